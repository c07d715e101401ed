//! Files: a source of lines and a sink of JSON lines.

mod fingerprint;
mod lines;
mod sink;
mod source;
mod survey;
mod tail;

pub use self::sink::FileSink;
pub use self::source::FileSource;
