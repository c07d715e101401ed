//! One file, read line by line from a byte position.
//!
//! Memory is bounded by one line: a line longer than [`LINE_BYTES_MAX`] is handed on cut short, so
//! that the decoder refuses it and it ends in the quarantine, and the rest of it is skipped.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::fingerprint;
use super::input::Input;
use crate::error::{Error, Result};
use crate::format::{RecordEnd, record_end};
use crate::record::Partition;

/// A line that is longer than this is cut.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How much is read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// One line with where it stands.
pub(super) struct Line<'a> {
    pub(super) offset: i64,
    /// Without the line end, `\n` or `\r\n`.
    pub(super) bytes: &'a [u8],
}

/// Where a record of a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// At the line end.
    Lines,
    /// At the line end that no quotes enclose; the first record may be the header.
    Csv {
        delimiter: u8,
        quote: u8,
        header: bool,
    },
}

impl Framing {
    /// Where the record ends that begins the text, without its line end; `None` where it goes on. A quote
    /// that is not closed encloses nothing, where more than [`QUOTED_BYTES_MAX`] follow it or no more will
    /// (`last`): the record is its first line, which the decoder refuses.
    fn end(self, text: &[u8], searched: usize, last: bool) -> Option<usize> {
        match self {
            Self::Lines => Some(searched + memchr::memchr(b'\n', text.get(searched..)?)?),
            Self::Csv {
                delimiter, quote, ..
            } => match record_end(text, delimiter, quote) {
                RecordEnd::At(end) => Some(end),
                RecordEnd::Open(first) => first.filter(|_| last || text.len() > QUOTED_BYTES_MAX),
                RecordEnd::Missing => None,
            },
        }
    }
}

/// How long a record of CSV may be that holds line ends.
const QUOTED_BYTES_MAX: usize = 1 << 20;

/// A file that is being read.
pub(super) struct Tail {
    pub(super) partition: Partition,
    /// Whether the target holds a position for it, once what was read is written.
    pub(super) known: bool,
    file: Option<Input>,
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
    framing: Framing,
    /// The line that names the columns, once it was read.
    header: Option<Arc<[u8]>>,
    /// Whether the log says that the last line is unfinished.
    told: bool,
    /// The fingerprint of the beginning, and of how many bytes.
    fingerprint: Option<(u64, Arc<str>)>,
    /// Whether the end of the file was reached: what follows may be another file.
    at_end: bool,
}

impl Tail {
    pub(super) fn new(partition: Partition, framing: Framing, line_bytes_max: usize) -> Self {
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
            framing,
            header: None,
            told: false,
            fingerprint: None,
            at_end: false,
        }
    }

    /// Where the next line begins.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// What the position counts in: how the file began when it was read; `None` before anything was.
    pub(super) fn incarnation(&mut self) -> Result<Option<Arc<str>>> {
        let read = u64::try_from(self.position).unwrap_or(0);
        let length = match &self.file {
            // Its bytes are those of the file, whatever is in them.
            Some(input) if input.is_packed() && read > 0 => {
                let found = input.file.metadata();
                found.map_err(|cause| self.failed("read", cause))?.len()
            }
            _ => read,
        };
        let length = length.min(fingerprint::BYTES_MAX);
        let known = self
            .fingerprint
            .as_ref()
            .filter(|(known, _)| *known >= length);
        if let Some((_, known)) = known {
            return Ok(Some(known.clone()));
        }
        let Some(input) = self.file.as_ref().filter(|_| length > 0) else {
            return Ok(None);
        };
        let taken =
            fingerprint::take(&input.file, length).map_err(|cause| self.failed("read", cause))?;
        let taken: Arc<str> = taken.ok_or_else(|| self.replaced())?.into();
        self.fingerprint = Some((length, taken.clone()));
        Ok(Some(taken))
    }

    /// Refuses a file that does not begin as the one that `kept` was taken of.
    pub(super) fn verify(&self, kept: &str) -> Result<()> {
        let file =
            File::open(&*self.partition.topic).map_err(|cause| self.failed("open", cause))?;
        match fingerprint::matches(&file, kept) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.replaced()),
            Err(cause) => Err(self.failed("read", cause)),
        }
    }

    /// After the end was reached: whether the path leads to the file that is open still. Another one
    /// that begins alike, as editors leave it, is read on from the position; what is deleted has been
    /// read.
    fn follow(&mut self) -> Result<()> {
        let kept = self.incarnation()?;
        let (Some(input), Ok(found)) = (&self.file, std::fs::metadata(&*self.partition.topic))
        else {
            return Ok(());
        };
        let is_packed = input.is_packed();
        let compared = input.is_same(&found, self.read_up_to());
        let (same, unchanged) = compared.map_err(|cause| self.failed("read", cause))?;
        if same && unchanged {
            return Ok(());
        }
        if let Some(kept) = kept {
            self.verify(&kept)?;
        }
        if same && !is_packed {
            Ok(())
        } else {
            self.seek(self.position)
        }
    }

    /// Up to where the file was read.
    fn read_up_to(&self) -> u64 {
        let held = self.buffer.len() - self.start + self.skipped;
        u64::try_from(self.position).unwrap_or(0) + held as u64
    }

    fn replaced(&self) -> Error {
        Error::configuration(format!(
            "file {0:?} does not begin as it did when it was read up to byte {1}: it was replaced; give the new file a new name, or read it anew: syncline positions reset FILE --topic {0:?}",
            self.partition.topic, self.position
        ))
    }

    /// Goes to a position.
    pub(super) fn seek(&mut self, position: i64) -> Result<()> {
        let path = Path::new(&*self.partition.topic);
        let opened = Input::open(path, u64::try_from(position).unwrap_or(0));
        match opened.map_err(|cause| self.failed("open", cause))? {
            Ok(input) => self.file = Some(input),
            Err(length) => return Err(self.shrunk(length as i64, position)),
        }
        self.buffer = Vec::new();
        (self.start, self.searched, self.skipped) = (0, 0, 0);
        self.position = position;
        self.at_end = false;
        Ok(())
    }

    /// Moves past the next line and gives it; `None` at the end of the file. `last` says that a line
    /// without an end counts, unless it is unfinished.
    pub(super) fn next(&mut self, last: bool) -> Result<Option<Line<'_>>> {
        if self.position == 0 && matches!(self.framing, Framing::Csv { header: true, .. }) {
            // The header is no row.
            if self.find(last)?.is_none() {
                return Ok(None);
            }
        }
        self.find(last)
    }

    /// The line that names the columns, of a file that begins with one.
    pub(super) fn header(&mut self) -> Result<Option<Arc<[u8]>>> {
        if !matches!(self.framing, Framing::Csv { header: true, .. }) {
            return Ok(None);
        }
        if self.header.is_none() {
            let (partition, framing) = (self.partition.clone(), self.framing);
            let mut beginning = Self::new(partition, framing, self.line_bytes_max);
            let line = beginning.find(true)?;
            self.header = line.map(|line| line.bytes.into());
        }
        Ok(self.header.clone())
    }

    /// Moves past the next line, be it the header or a row.
    fn find(&mut self, last: bool) -> Result<Option<Line<'_>>> {
        loop {
            let text = &self.buffer[self.start..];
            if let Some(found) = self.framing.end(text, self.searched, false) {
                return Ok(Some(self.take(self.start + found, 1)));
            }
            self.searched = self.buffer.len() - self.start;
            if self.searched > self.line_bytes_max {
                let excess = self.searched - self.line_bytes_max;
                self.buffer.truncate(self.buffer.len() - excess);
                self.skipped += excess;
                self.searched = self.line_bytes_max;
            }
            if !self.fill()? {
                let text = &self.buffer[self.start..];
                if let Some(found) = self.framing.end(text, self.searched, last) {
                    return Ok(Some(self.take(self.start + found, 1)));
                }
                if last && self.searched > 0 && !self.is_unfinished() {
                    let end = self.buffer.len();
                    return Ok(Some(self.take(end, 0)));
                }
                return Ok(None);
            }
        }
    }

    /// Whether the last line is a JSON value, or a quoted field, that has not been written to its end: the
    /// rest of it comes later. What is no beginning of one counts as a line, and so does a whole value.
    fn is_unfinished(&mut self) -> bool {
        let bytes = &self.buffer[self.start..self.start + self.searched];
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let is_part = || match self.framing {
            Framing::Lines => serde_json::from_slice::<IgnoredAny>(bytes)
                .is_err_and(|error| error.classify() == Category::Eof),
            Framing::Csv {
                delimiter, quote, ..
            } => matches!(record_end(bytes, delimiter, quote), RecordEnd::Open(_)),
        };
        let unfinished = !bytes.trim_ascii().is_empty() && is_part();
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
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
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
        if self.at_end {
            self.follow()?;
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + BLOCK_BYTES, 0);
        let input = self.file.as_mut().expect("a seek opened the file");
        let read = input.read(&mut self.buffer[held..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(held + count);
        read.map_err(|cause| self.failed("read", cause))?;
        self.at_end = count == 0;
        let input = self.file.as_ref().expect("a seek opened the file");
        if count == 0 && !input.is_packed() {
            let (length, reached) = (
                self.length(&input.file)?,
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
            "file {0:?} has {length} bytes, but was read up to byte {position}: it was replaced or cut; give a new file a new name, or read it anew: syncline positions reset FILE --topic {0:?}",
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
