//! The file sink: changes as lines of a file, or as finished files in folders.
//!
//! A `path` that ends in `/` is a folder of finished files, **exactly once**; any other is one file that
//! lines of JSON are appended to, **at least once**; `-` is standard output.
//!
//! - `append`: lines at the end of a file
//! - `folder`: finished files; the rest is for them
//! - `template`: which folder a row goes to
//! - `rows`: rows as bytes of a format, and which rows a format cannot say
//! - `part`: a file that is being written, and how it is finished
//! - `state`: where a partition of the source stands, kept beside the files
//! - `store`: the positions for a person

mod append;
mod folder;
mod part;
mod rows;
mod state;
mod store;
mod template;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::template::Template;
use crate::conflict::Resolvers;
use crate::conflict_queue::ConflictQueue;
use crate::error::Result;
use crate::file::Compression;
use crate::format::CsvSettings;
use crate::positions::PositionStore;
use crate::problem::Problem;
use crate::sink::{Identity, Sink, SinkConfig, SinkSettings};
use crate::sql::Options;
use crate::sql::version::duration_us;

/// Writes changes to files: lines of JSON at the end of one, or folders of finished `jsonl`, `csv` or
/// `parquet` files, exactly once.
///
/// ```toml
/// [sinks.lake]
/// type        = "file"
/// inputs      = ["crm"]
/// path        = "lake/{table}/dt={date}/"
/// format      = "parquet"
/// roll.rows   = 500_000
/// roll.after  = "10m"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSink {
    /// A file that lines are appended to; `-` is standard output; a path that ends in `/` is a folder of
    /// finished files. `{table}` is the table's name. In a folder's path `{date}` (`2024-02-29`) and
    /// `{hour}` (`07`) are when the change happened at the source, in UTC; where nothing says it, when it
    /// is written.
    pub path: String,
    /// What a file holds. Lines that are appended are `jsonl`.
    #[serde(default)]
    pub format: FileFormat,
    /// How finished `jsonl` and `csv` files are compressed. A `parquet` file is compressed inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// For `csv`: `delimiter`, `quote` and `null`, as in a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvSettings>,
    /// Whether each row says what happened to it: `_op` (`c`, `u`, `d`, `r`, `t`), `_table`, and in `csv` and
    /// `parquet` `_unset`, the columns that the change does not carry. `false` writes the columns alone;
    /// then a delete, a truncate and, in `csv` and `parquet`, a change without some of its columns are refused.
    #[serde(default = "default_operations")]
    pub operations: bool,
    /// When a file of a folder is finished and the next begins; whatever comes first, and when the
    /// pipeline ends.
    #[serde(default)]
    pub roll: Roll,
}

fn default_operations() -> bool {
    true
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// A JSON object a line.
    #[default]
    Jsonl,
    /// A header and a line a row.
    Csv,
    /// Columns with their types.
    Parquet,
}

/// When a file is finished.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Roll {
    /// It holds so many rows.
    pub rows: u64,
    /// It has so many bytes, as they are written: before `parquet` makes columns of them.
    pub bytes: u64,
    /// It was begun so long ago.
    pub after: String,
}

impl Default for Roll {
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            bytes: 128 << 20,
            after: "10m".to_owned(),
        }
    }
}

impl Roll {
    /// How long a file is written to.
    ///
    /// # Errors
    /// `Configuration` where it is no duration.
    fn interval(&self) -> Result<Duration> {
        let us = duration_us("roll.after", &self.after)?;
        Ok(Duration::from_micros(u64::try_from(us).unwrap_or(0)))
    }
}

impl FileSink {
    /// Lines of JSON that are appended to `path`, or a folder with every setting at its default.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            format: FileFormat::default(),
            compression: None,
            csv: None,
            operations: true,
            roll: Roll::default(),
        }
    }

    /// Whether the path is a folder of finished files.
    fn is_folder(&self) -> bool {
        self.path.ends_with('/')
    }
}

#[async_trait]
impl SinkSettings for FileSink {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn owns_stdout(&self) -> bool {
        self.path == "-"
    }

    fn options(&self) -> Option<Options> {
        None
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |path: &[&str], message: &str| problems.push(Problem::new(path, message));
        if !self.is_folder() {
            let default = Self::new(&self.path);
            let folder_only = [
                ("format", self.format != default.format),
                ("compression", self.compression.is_some()),
                ("operations", !self.operations),
                ("roll", self.roll != default.roll),
            ];
            for (name, given) in folder_only {
                if given {
                    refuse(
                        &[name],
                        "only for a folder of finished files: end path = \"…\" with a slash",
                    );
                }
            }
        } else if let Err(message) = Template::parse(&self.path) {
            refuse(&["path"], &message);
        }
        if self.csv.is_some() && self.format != FileFormat::Csv {
            refuse(&["csv"], "only for format = \"csv\"");
        }
        if let Some(csv) = &self.csv {
            if csv.header.is_some() {
                refuse(
                    &["csv", "header"],
                    "the sink writes the names of the columns",
                );
            }
            problems.extend(csv.check());
        }
        let mut refuse = |path: &[&str], message: &str| problems.push(Problem::new(path, message));
        if self.compression.is_some() && self.format == FileFormat::Parquet {
            refuse(&["compression"], "a parquet file is compressed inside");
        }
        if self.roll.interval().is_err() {
            refuse(
                &["roll", "after"],
                "write for example \"30s\", \"10m\" or \"1h\"",
            );
        }
        for (name, limit) in [("rows", self.roll.rows), ("bytes", self.roll.bytes)] {
            if limit == 0 {
                refuse(&["roll", name], "a file cannot hold less than one");
            }
        }
        problems
    }

    async fn probe(&self) -> Result<()> {
        match self.is_folder() {
            true => folder::probe(self),
            false => Ok(()),
        }
    }

    async fn default_key(&self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    async fn connect(
        &self,
        identity: &Identity,
        _resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Box<dyn Sink>> {
        match self.is_folder() {
            true => folder::connect(self, identity),
            false => append::connect(self),
        }
    }

    fn guarded(&self) -> Option<SinkConfig> {
        None
    }

    async fn open_queue(
        &self,
        _pipeline: &str,
        _sink: &str,
    ) -> Result<Option<Box<dyn ConflictQueue>>> {
        Ok(None)
    }

    async fn open_positions(
        &self,
        pipeline: &str,
        sink: &str,
    ) -> Result<Option<Box<dyn PositionStore>>> {
        match self.is_folder() {
            true => store::open(self, pipeline, sink).map(Some),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
