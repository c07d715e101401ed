//! The file source: every line of a file, or of every file that a glob finds, is one record.
//!
//! ```toml
//! [sources.export]
//! type   = "file"
//! path   = "exports/clients-*.jsonl"
//! format = "debezium-json"
//! ```
//!
//! With `format = "csv"` a record ends at the line end that no quotes enclose, and the first line names the
//! columns unless `csv.header` does.
//!
//! Each file is a partition named by its path, and its position is the byte at which the next line
//! begins; a file is only ever appended to. One that is shorter than its position, or that does
//! not begin as it did (a fingerprint of its first 4 KiB is kept with the position), stops the
//! pipeline: it was replaced, and reading on would skip or repeat lines. Another file that takes its place and begins alike is read on. Files are read one
//! after another in the order of their names. A line `null` is a tombstone, an empty line is passed over. With
//! `--once` the source ends at the end of the last file: a last line without a line end counts where
//! it is whole, and is left for the next run where it is the beginning of a JSON value. Without
//! `--once` it waits for the line end, for further lines and for new files.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::survey::survey;
use super::tail::{Framing, LINE_BYTES_MAX, Tail, failed};
use crate::assignment::{Assignment, Remember, Standing};
use crate::error::{Error, Result};
use crate::format::{CsvSettings, DeclaredSchema, Decoding, Format, KeyColumns};
use crate::problem::Problem;
use crate::record::{Held, Partition, Positions, Records, Span};
use crate::source::{
    Description, Event, Extent, Fetched, Limits, Opening, Purpose, Source, SourceSettings, Wanted,
};

/// Reads the lines of files, and goes on where it stopped.
///
/// ```toml
/// [sources.crm]
/// type   = "file"
/// path   = "events/*.jsonl"
/// format = "debezium-json"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// A file, or a pattern with `*`, `**`, `?` or `[…]`.
    pub path: String,
    /// What a line is.
    pub format: Format,
    /// Column types, for rows that bring no schema.
    pub schema: Option<DeclaredSchema>,
    /// The columns that identify a row. Default: the key of the sinks, where they agree.
    pub key: Option<Vec<String>>,
    /// The text that stands for an unavailable value (R14); Debezium's own by default.
    pub unavailable: Option<String>,
    /// For `json` and `csv`: the field that marks a row as a delete where it is `true`, `t`, `1`, `yes`
    /// or `y`. It is no column.
    pub deleted: Option<String>,
    /// For `csv`: how lines are written. Without `header` each file begins with the names of its columns.
    pub csv: Option<CsvSettings>,
    /// Replication origins whose changes are left out, where another pipeline writes to this
    /// source: `syncline_*`, with `*` for any text. They count as filtered. Needs Debezium's
    /// `source.origin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_origins: Vec<String>,
}

#[async_trait]
impl SourceSettings for FileSource {
    fn describe(&self) -> Description<'_> {
        Description {
            kind: "file",
            topic: &self.path,
            local: true,
        }
    }

    fn decoding(&self) -> Decoding<'_> {
        Decoding {
            format: self.format,
            schema: self.schema.as_ref(),
            key: self.key.as_deref(),
            // A line has no record key.
            key_columns: KeyColumns::default(),
            unavailable: self.unavailable.as_deref(),
            ignore_origins: &self.ignore_origins,
            deleted: self.deleted.as_deref(),
            csv: self.csv.as_ref(),
        }
    }

    fn check(&self) -> Vec<Problem> {
        self.decoding().check()
    }

    async fn lanes(&self, _lanes_max: usize) -> Result<usize> {
        Ok(1)
    }

    async fn connect(&self, opening: Opening) -> Result<Box<dyn Source>> {
        let once = opening.purpose != Purpose::Follow;
        Ok(Box::new(Lines::open(self, once, LINE_BYTES_MAX)?))
    }

    async fn survey(&self, wanted: &Wanted) -> Result<Vec<Extent>> {
        survey(self, wanted)
    }
}

pub(super) struct Lines {
    path: String,
    once: bool,
    framing: Framing,
    line_bytes_max: usize,
    /// Files that were handed over, in order.
    tails: Vec<Tail>,
    /// How many of them were assigned; the rest wait for it.
    assigned: usize,
    /// Files that were found and not yet handed over.
    found: Vec<Partition>,
}

impl Lines {
    /// The files of `config`; `once` ends at the end of the last one.
    ///
    /// # Errors
    /// `Configuration` where the path is no valid pattern, or where there is no such file.
    pub(super) fn open(config: &FileSource, once: bool, line_bytes_max: usize) -> Result<Self> {
        let path = &config.path;
        let mut source = Self {
            path: path.clone(),
            once,
            framing: framing(config),
            line_bytes_max,
            tails: Vec::new(),
            assigned: 0,
            found: Vec::new(),
        };
        source.discover()?;
        if source.found.is_empty() && (once || !is_pattern(path)) {
            return Err(Error::configuration(format!(
                "no file matches {path:?}: correct path = \"…\""
            )));
        }
        Ok(source)
    }

    /// The files that were found and not yet handed over.
    pub(super) fn found(&self) -> &[Partition] {
        &self.found
    }

    /// Looks for files that are not known yet.
    fn discover(&mut self) -> Result<()> {
        let mut add = |path: &Path| {
            let Some(topic) = path.to_str() else {
                return Err(Error::configuration(format!(
                    "the name of file {:?} is not UTF-8: rename it",
                    path.display()
                )));
            };
            if !self
                .tails
                .iter()
                .any(|tail| *tail.partition.topic == *topic)
            {
                self.found.push(Partition {
                    topic: Arc::from(topic),
                    number: 0,
                });
            }
            Ok(())
        };
        let path = Path::new(&self.path);
        if !is_pattern(&self.path) || path.is_file() {
            return if path.exists() { add(path) } else { Ok(()) };
        }
        let paths = glob::glob(&self.path).map_err(|cause| {
            Error::configuration_from(format!("path = {:?} is no valid pattern", self.path), cause)
        })?;
        for path in paths {
            let path = path.map_err(|cause| {
                let path = cause.path().to_owned();
                failed("read", &path, cause.into())
            })?;
            if path.is_file() {
                add(&path)?;
            }
        }
        Ok(())
    }

    fn fetch(&mut self, limits: &Limits) -> Result<Fetched> {
        let mut fetched = Fetched {
            records: Records::default(),
            spans: Vec::new(),
        };
        let records = &mut fetched.records;
        let mut failure = None;
        for tail in &mut self.tails[..self.assigned] {
            let (from, known) = (tail.position(), tail.known);
            let partition = tail.partition.clone();
            let mut number = None;
            while records.len() < limits.rows && records.bytes.len() < limits.bytes.max(1) {
                let line = match tail.next(self.once) {
                    Ok(Some(line)) => line,
                    Ok(None) => break,
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                };
                let value = line.bytes.trim_ascii();
                if value.is_empty() {
                    continue;
                }
                let number = *number.get_or_insert_with(|| records.add_partition(&partition, true));
                let is_csv = self.framing != Framing::Lines;
                let value = (is_csv || value != b"null").then_some(value);
                records.push(number, line.offset, None, None, value, None);
            }
            if let (Some(number), Some(header)) = (number, tail.header()?) {
                records.partitions[number as usize].header = Some(header);
            }
            if tail.position() > from {
                tail.known = true;
                fetched.spans.push(Span {
                    partition,
                    from: known.then_some(from),
                    next: tail.position(),
                    incarnation: tail.incarnation()?,
                });
            }
        }
        // What was read goes out first; the failure comes again with the next call.
        match failure {
            Some(error) if fetched.spans.is_empty() => Err(error),
            _ => Ok(fetched),
        }
    }
}

#[async_trait]
impl Source for Lines {
    async fn next(&mut self, limits: &Limits) -> Result<Event> {
        if !self.found.is_empty() {
            let partitions = std::mem::take(&mut self.found);
            let tails = partitions.iter().cloned();
            let (framing, line_bytes_max) = (self.framing, self.line_bytes_max);
            self.tails
                .extend(tails.map(|partition| Tail::new(partition, framing, line_bytes_max)));
            return Ok(Event::Assigned(partitions));
        }
        if limits.rows > 0 && self.assigned > 0 {
            let fetched = self.fetch(limits)?;
            if !fetched.spans.is_empty() {
                return Ok(Event::Records(fetched));
            }
            if self.once && self.assigned == self.tails.len() {
                return Ok(Event::End);
            }
        }
        if !self.once && self.assigned == self.tails.len() {
            self.discover()?;
        }
        if self.found.is_empty() {
            tokio::time::sleep(limits.linger).await;
        }
        Ok(Event::Idle)
    }

    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>> {
        for assignment in assignments {
            let mut tails = self.tails.iter_mut();
            let Some(tail) = tails.find(|tail| tail.partition == assignment.partition) else {
                continue;
            };
            for standing in &assignment.sinks {
                if let Standing::Held(Held {
                    incarnation: Some(kept),
                    ..
                }) = standing
                {
                    tail.verify(kept)?;
                }
            }
            let held = assignment.sinks.iter().map(Standing::position);
            // A sink without a position lacks the file from its first byte.
            tail.seek(held.clone().map(|at| at.unwrap_or(0)).min().unwrap_or(0))?;
            tail.known = held.clone().all(|at| at.is_some());
        }
        // Files are handed over in order, so that those that wait are always the last ones.
        self.assigned = self.tails.len();
        Ok(Vec::new())
    }

    async fn acknowledge(&mut self, _positions: &Positions) -> Result<()> {
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        None
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn framing(config: &FileSource) -> Framing {
    let csv = config.csv.clone().unwrap_or_default();
    match config.format {
        Format::Csv => Framing::Csv {
            delimiter: csv.delimiter as u8,
            quote: csv.quote as u8,
            header: csv.header.is_none(),
        },
        Format::DebeziumJson | Format::Json => Framing::Lines,
    }
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests;
