//! One file, read line by line from a byte position.
//!
//! Memory is bounded by one line: a line longer than [`LINE_BYTES_MAX`] is handed on cut short, so
//! that the decoder refuses it and it ends in the quarantine, and the rest of it is skipped.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::error::{Error, Result};
use crate::record::Partition;

/// A line that is longer than this is cut.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How much is read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// One line with where it stands.
pub(super) struct Line<'a> {
    pub(super) offset: i64,
    pub(super) bytes: &'a [u8],
}

/// A file that is being read.
pub(super) struct Tail {
    pub(super) partition: Partition,
    /// Whether the target holds a position for it, once what was read is written.
    pub(super) known: bool,
    file: Option<File>,
    /// The bytes read and not yet handed on; the first unread byte is at `start`.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes before this one in the buffer hold no line end.
    searched: usize,
    /// Bytes of an over-long line that were thrown away.
    skipped: usize,
    /// Where the next line begins.
    position: i64,
    line_bytes_max: usize,
    /// Whether the log says that the last line is unfinished.
    told: bool,
}

impl Tail {
    pub(super) fn new(partition: Partition, line_bytes_max: usize) -> Self {
        Self {
            partition,
            known: false,
            file: None,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            skipped: 0,
            position: 0,
            line_bytes_max,
            told: false,
        }
    }

    /// Where the next line begins.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Goes to a position.
    pub(super) fn seek(&mut self, position: i64) -> Result<()> {
        let mut file =
            File::open(&*self.partition.topic).map_err(|cause| self.failed("open", cause))?;
        let length = self.length(&file)?;
        if length < position {
            return Err(self.shrunk(length, position));
        }
        file.seek(SeekFrom::Start(position as u64))
            .map_err(|cause| self.failed("read", cause))?;
        self.file = Some(file);
        self.buffer = Vec::new();
        (self.start, self.searched, self.skipped) = (0, 0, 0);
        self.position = position;
        Ok(())
    }

    /// Moves past the next line and gives it; `None` at the end of the file. `last` says that a line
    /// without an end counts, unless it is unfinished.
    pub(super) fn next(&mut self, last: bool) -> Result<Option<Line<'_>>> {
        loop {
            let from = self.start + self.searched;
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[from..]) {
                return Ok(Some(self.take(from + found, 1)));
            }
            self.searched = self.buffer.len() - self.start;
            if self.searched > self.line_bytes_max {
                let excess = self.searched - self.line_bytes_max;
                self.buffer.truncate(self.buffer.len() - excess);
                self.skipped += excess;
                self.searched = self.line_bytes_max;
            }
            if !self.fill()? {
                if last && self.searched > 0 && !self.is_unfinished() {
                    let end = self.buffer.len();
                    return Ok(Some(self.take(end, 0)));
                }
                return Ok(None);
            }
        }
    }

    /// Whether the last line is a JSON value that has not been written to its end: the rest of it
    /// comes later. What is no beginning of one counts as a line, and so does a whole value.
    fn is_unfinished(&mut self) -> bool {
        let bytes = &self.buffer[self.start..self.start + self.searched];
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let parsed: Result<IgnoredAny, _> = serde_json::from_slice(bytes);
        let unfinished = !bytes.trim_ascii().is_empty()
            && parsed.is_err_and(|error| error.classify() == Category::Eof);
        if unfinished && !self.told {
            self.told = true;
            tracing::warn!(
                file = &*self.partition.topic,
                offset = self.position,
                "the last line is unfinished and is left for the next run"
            );
        }
        unfinished
    }

    /// The line that ends before `end`, which is followed by a line end of `terminator` bytes.
    fn take(&mut self, end: usize, terminator: usize) -> Line<'_> {
        let offset = self.position;
        let (start, length) = (self.start, end - self.start);
        self.position += (length + self.skipped + terminator) as i64;
        self.start = end + terminator;
        (self.searched, self.skipped) = (0, 0);
        let mut bytes = &self.buffer[start..end];
        if offset == 0 {
            bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        }
        Line {
            offset,
            bytes: &bytes[..bytes.len().min(self.line_bytes_max)],
        }
    }

    /// Reads on; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        if self.file.is_none() {
            self.seek(self.position)?;
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + BLOCK_BYTES, 0);
        let file = self.file.as_mut().expect("a seek opened the file");
        let read = loop {
            match file.read(&mut self.buffer[held..]) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(held + count);
        read.map_err(|cause| self.failed("read", cause))?;
        if count == 0 {
            let file = self.file.as_ref().expect("a seek opened the file");
            let (length, reached) = (
                self.length(file)?,
                self.position + (held + self.skipped) as i64,
            );
            if length < reached {
                return Err(self.shrunk(length, reached));
            }
        }
        Ok(count > 0)
    }

    fn length(&self, file: &File) -> Result<i64> {
        let metadata = file
            .metadata()
            .map_err(|cause| self.failed("read", cause))?;
        Ok(metadata.len() as i64)
    }

    fn shrunk(&self, length: i64, position: i64) -> Error {
        Error::configuration(format!(
            "file {:?} has {length} bytes, but was read up to byte {position}: it was replaced or cut; give a new file a new name, or remove the position from the sink",
            self.partition.topic
        ))
    }

    fn failed(&self, verb: &str, cause: io::Error) -> Error {
        failed(verb, Path::new(&*self.partition.topic), cause)
    }
}

/// What an error of a file asks of the caller.
pub(super) fn failed(verb: &str, path: &Path, cause: io::Error) -> Error {
    let message = format!("cannot {verb} file {:?}", path.display());
    match cause.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::InvalidInput => {
            Error::configuration_from(format!("{message}: correct path = \"…\""), cause)
        }
        _ => Error::unavailable(message, cause),
    }
}
