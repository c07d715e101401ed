//! Lines of JSON at the end of a file: one for every change, to look at and to pipe on.
//!
//! ```toml
//! [sinks.out]
//! type   = "file"
//! inputs = ["tidy"]
//! path   = "out/{table}.jsonl"
//! ```
//!
//! A line holds `_op` (`c`, `u`, `d`, `r`, `t`), `_table`, and the columns that the change sets:
//! decimals and instants as exact text, an unavailable value left out (R14), of a delete what the
//! source sent of the row. Changes stand in source order; nothing is folded, no conflict decided.
//! A file is flushed to the disk with every write. It keeps no positions, so it is **at-least-once**:
//! after a crash lines may stand twice. `path = "-"` is standard output.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::FileSink;
use super::rows::write_line;
use super::template::part_of_a_path;
use crate::change::Changes;
use crate::error::{Error, Result};
use crate::file::tail::failed;
use crate::record::HeldPositions;
use crate::sink::{Outcome, Sink, Write};

/// Opens the sink. A file whose name depends on the table is made with the first change for it.
///
/// # Errors
/// `Configuration` where the file cannot be made.
pub(super) fn connect(config: &FileSink) -> Result<Box<dyn Sink>> {
    let mut sink = Lines {
        path: config.path.clone(),
        files: BTreeMap::new(),
    };
    if config.path != "-" && !config.path.contains("{table}") {
        sink.file(PathBuf::from(&config.path))?;
    }
    Ok(Box::new(sink))
}

struct Lines {
    path: String,
    files: BTreeMap<PathBuf, Appended>,
}

/// A file with the length up to which it holds whole writes.
struct Appended {
    file: File,
    length: u64,
}

impl Lines {
    fn path_of(&self, changes: &Changes) -> Result<PathBuf> {
        let name = &*changes.table.name;
        if !self.path.contains("{table}") {
            return Ok(PathBuf::from(&self.path));
        }
        part_of_a_path(name)?;
        Ok(PathBuf::from(self.path.replace("{table}", name)))
    }

    fn file(&mut self, path: PathBuf) -> Result<&mut Appended> {
        match self.files.entry(path) {
            Entry::Occupied(file) => Ok(file.into_mut()),
            Entry::Vacant(free) => {
                let file = Appended::open(free.key())
                    .map_err(|cause| failed("open", free.key(), cause))?;
                Ok(free.insert(file))
            }
        }
    }
}

impl Appended {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// Appends whole lines; takes back what a failure left half written.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self
            .file
            .write_all(lines)
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.length += lines.len() as u64,
            // The first failure is the one to report; the length is set again with the next write.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        written
    }
}

#[async_trait]
impl Sink for Lines {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        Ok(None)
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        let mut texts: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        for changes in &write.changes {
            let text = texts.entry(self.path_of(changes)?).or_default();
            for row in 0..changes.len() {
                write_line(changes, row, true, text);
            }
        }
        for (path, text) in texts {
            if path.as_os_str() == "-" {
                let mut output = io::stdout().lock();
                output
                    .write_all(&text)
                    .and_then(|()| output.flush())
                    .map_err(|cause| {
                        Error::unavailable("cannot write to standard output", cause)
                    })?;
                continue;
            }
            let file = self.file(path.clone())?;
            file.append(&text)
                .map_err(|cause| failed("write", &path, cause))?;
        }
        Ok(Outcome {
            written: write.len() as u64,
            ..Outcome::default()
        })
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use arrow::buffer::BooleanBuffer;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::change::{Operation, Table};
    use crate::record::Records;

    fn changes(table: &str) -> Changes {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
        ]);
        Changes {
            table: Arc::new(Table {
                topic: "t".into(),
                database: None,
                schema: None,
                name: table.into(),
            }),
            key: None,
            rows: RecordBatch::try_new(
                Arc::new(schema),
                vec![
                    Arc::new(Int64Array::from(vec![1, 2])),
                    Arc::new(StringArray::from(vec![Some("a"), None])),
                ],
            )
            .unwrap(),
            unset: vec![None, Some(BooleanBuffer::from(vec![false, true]))],
            before: None,
            not_carried: Vec::new(),
            operations: vec![Operation::Create, Operation::Delete],
            event_times_ms: vec![None; 2],
            origins: vec![0; 2],
            records: Arc::new(Records::default()),
        }
    }

    #[tokio::test]
    async fn a_change_is_one_line_in_the_file_of_its_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder
            .path()
            .join("{table}.jsonl")
            .to_str()
            .unwrap()
            .to_owned();
        let mut sink = connect(&FileSink::new(path)).unwrap();
        let write = Write {
            changes: vec![changes("clients"), changes("notes")],
            spans: Vec::new(),
            taken: Vec::new(),
        };
        for _ in 0..2 {
            assert_eq!(sink.write(&write).await.unwrap().written, 4);
        }
        let lines = "{\"_op\":\"c\",\"_table\":\"clients\",\"id\":1,\"name\":\"a\"}\n\
                     {\"_op\":\"d\",\"_table\":\"clients\",\"id\":2}\n";
        let found = std::fs::read_to_string(folder.path().join("clients.jsonl")).unwrap();
        assert_eq!(found, lines.repeat(2));
        assert!(folder.path().join("notes.jsonl").exists());
    }

    #[tokio::test]
    async fn a_table_name_never_leads_out_of_the_folder() {
        let path = "out/{table}".to_owned();
        let mut sink = connect(&FileSink::new(path)).unwrap();
        for name in ["../etc", "a/b", "..", "", "a\0b"] {
            let write = Write {
                changes: vec![changes(name)],
                spans: Vec::new(),
                taken: Vec::new(),
            };
            let error = sink.write(&write).await.unwrap_err();
            assert!(matches!(error, Error::Configuration { .. }), "{name:?}");
        }
    }
}
