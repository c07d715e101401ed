//! The file source: every line of a file, or of every file that a glob finds, is one record; of a `parquet` file
//! every row (`columns`).
//!
//! ```toml
//! [sources.export]
//! type   = "file"
//! path   = "exports/clients-*.jsonl"
//! format = "debezium-json"
//! ```
//!
//! A file whose name ends with `.gz` or `.zst` is decompressed; its position counts the bytes that are in it. It may
//! grow by whole members.
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

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::columns::{self, Columns};
use super::lines::Lines;
use super::survey::survey;
use super::tail::{Framing, LINE_BYTES_MAX};
use crate::error::Result;
use crate::format::{Decoding, Format};
use crate::problem::Problem;
use crate::source::{Description, Extent, Opening, Purpose, Source, SourceSettings, Wanted};

/// Reads the lines of files, also compressed ones, or the rows of `parquet` files, and goes on where it stopped.
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
    /// What a line is, and what every source can be told about its rows.
    #[serde(flatten)]
    pub decoding: Decoding,
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

    fn decoding(&self) -> &Decoding {
        &self.decoding
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.decoding.check();
        if self.decoding.format == Format::Parquet && self.decoding.schema.is_some() {
            let message =
                "a parquet file says the types of its columns: cast them in a map operator";
            problems.push(Problem::new(&["schema"], message));
        }
        if self.decoding.format.has_registry() {
            let message = "only for topics: a line of a file names no schema of a registry";
            problems.push(Problem::new(&["format"], message));
        }
        problems
    }

    async fn lanes(&self, _lanes_max: usize) -> Result<usize> {
        Ok(1)
    }

    async fn connect(&self, opening: Opening) -> Result<Box<dyn Source>> {
        let once = opening.purpose != Purpose::Follow;
        if self.decoding.format == Format::Parquet {
            let columns = Columns::open(&self.path, &self.decoding, once)?;
            return Ok(Box::new(columns));
        }
        let lines = Lines::open(&self.path, self.framing(), once, LINE_BYTES_MAX)?;
        Ok(Box::new(lines))
    }

    async fn survey(&self, wanted: &Wanted) -> Result<Vec<Extent>> {
        if self.decoding.format == Format::Parquet {
            return columns::survey(&self.path, &self.decoding, wanted);
        }
        let files = Lines::open(&self.path, self.framing(), true, LINE_BYTES_MAX)?;
        survey(&files, wanted)
    }
}

impl FileSource {
    /// How its lines are told apart.
    fn framing(&self) -> Framing {
        let csv = self.decoding.csv.clone().unwrap_or_default();
        match self.decoding.format {
            Format::Csv => Framing::Csv {
                delimiter: csv.delimiter as u8,
                quote: csv.quote as u8,
                header: csv.header.is_none(),
            },
            Format::DebeziumJson
            | Format::MaxwellJson
            | Format::Json
            | Format::Parquet
            // Refused by `check`.
            | Format::DebeziumAvro
            | Format::Avro => Framing::Lines,
        }
    }
}

#[cfg(test)]
mod tests;
