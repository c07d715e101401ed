//! Files: a source of lines and a sink of JSON lines.

mod sink;
mod source;
mod survey;
mod tail;

pub use self::sink::{FileSink, connect_sink};
pub use self::source::{FileSource, connect};
pub use self::survey::survey;
