//! Files: a source of lines and columns, and a sink of lines, columns and finished files.

mod columns;
mod compression;
mod find;
mod fingerprint;
mod input;
mod lines;
mod sink;
mod source;
mod survey;
mod tail;

pub use self::compression::Compression;
pub use self::sink::{FileFormat, FileSink, Roll};
pub use self::source::FileSource;
