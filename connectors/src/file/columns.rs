//! Rows of `parquet` files, one file after another.
//!
//! A file is whole when it appears and never changes: its position counts its rows, and a fingerprint of its
//! end is kept beside it. Names that begin with a dot are files that are being written. Types come from the
//! file: texts, bytes and instants in their several forms become one form each, and what has fields or
//! keys inside becomes a JSON document. A column of the setting `deleted` marks deletes.

mod plain;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use self::plain::plain;
use super::find::{find, is_pattern};
use super::fingerprint;
use super::tail::failed;
use crate::assignment::{Assignment, Remember, Standing};
use crate::change::{Changes, Operation, Table};
use crate::error::{Error, Result};
use crate::format::{Decoded, Decoding};
use crate::record::{Held, Partition, Positions, Records, Span};
use crate::source::{Event, Extent, FetchedRows, Limits, Source, Wanted};
use crate::stable_hash::hash;
use crate::text::{write_json, write_string};

/// How many rows are decoded at once.
const BATCH_ROWS: usize = 8_192;

/// See the module docs.
pub(super) struct Columns {
    path: String,
    once: bool,
    decoding: Decoding,
    /// Files that were handed over, in order.
    files: Vec<ColumnFile>,
    /// How many of them were assigned; the rest wait for it.
    assigned: usize,
    found: Vec<Partition>,
}

struct ColumnFile {
    partition: Partition,
    table: Arc<Table>,
    /// The next row.
    position: i64,
    known: bool,
    fingerprint: Arc<str>,
    rows: Option<Rows>,
    /// Whether every row was handed over.
    ended: bool,
}

struct Rows {
    reader: ParquetRecordBatchReader,
    /// What is left of the last batch.
    left: Option<RecordBatch>,
}

impl Columns {
    /// The files at `path`; `once` ends at the end of the last one.
    ///
    /// # Errors
    /// `Configuration` where the path is no valid pattern, or where there is no such file.
    pub(super) fn open(path: &str, decoding: &Decoding, once: bool) -> Result<Self> {
        let mut source = Self {
            path: path.to_owned(),
            once,
            decoding: decoding.clone(),
            files: Vec::new(),
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

    fn discover(&mut self) -> Result<()> {
        for partition in find(&self.path)? {
            let name = Path::new(&*partition.topic).file_name();
            let hidden = name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            let mut files = self.files.iter();
            if !hidden && !files.any(|file| file.partition == partition) {
                self.found.push(partition);
            }
        }
        Ok(())
    }

    /// The next rows of the first file that has some.
    fn fetch(&mut self, limits: &Limits) -> Result<Option<FetchedRows>> {
        for file in &mut self.files[..self.assigned] {
            if !file.ended
                && let Some(rows) = file.fetch(limits, &self.decoding)?
            {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }
}

/// The files that match now, for a person.
///
/// # Errors
/// `Configuration` where there is no such file, or where an instant is asked for.
pub(super) fn survey(path: &str, decoding: &Decoding, wanted: &Wanted) -> Result<Vec<Extent>> {
    if wanted.time.is_some() {
        return Err(Error::configuration(
            "a file has no offset of an instant: name a row, the beginning or the end",
        ));
    }
    let files = Columns::open(path, decoding, true)?;
    let mut extents = Vec::new();
    for partition in files.found {
        let builder = open_builder(&partition)?;
        extents.push(Extent {
            low: 0,
            high: builder.metadata().file_metadata().num_rows(),
            incarnation: Some(fingerprint_of(&partition)?),
            partition,
            group: None,
            time: None,
        });
    }
    Ok(extents)
}

fn open_builder(partition: &Partition) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let path = Path::new(&*partition.topic);
    let file = File::open(path).map_err(|cause| failed("open", path, cause))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| {
        Error::configuration_from(
            format!(
                "file {:?} is no whole parquet file: take it away, or give files their name when they are whole",
                partition.topic
            ),
            cause,
        )
    })
}

/// What tells a file from another of its name: its length, and the bytes at its end, which describe it.
fn fingerprint_of(partition: &Partition) -> Result<Arc<str>> {
    let path = Path::new(&*partition.topic);
    let read = || -> std::io::Result<String> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let count = length.min(fingerprint::BYTES_MAX);
        let mut bytes = vec![0; count as usize];
        file.read_exact_at(&mut bytes, length - count)?;
        Ok(format!("parquet:{length}:{:016x}", hash(&bytes)))
    };
    let taken = read().map_err(|cause| failed("read", path, cause))?;
    Ok(taken.into())
}

impl ColumnFile {
    fn open(partition: &Partition) -> Result<Self> {
        let stem = Path::new(&*partition.topic).file_stem();
        let name = stem.and_then(|stem| stem.to_str()).unwrap_or_default();
        Ok(Self {
            table: Arc::new(Table {
                topic: partition.topic.clone(),
                database: None,
                schema: None,
                name: name.into(),
            }),
            fingerprint: fingerprint_of(partition)?,
            partition: partition.clone(),
            position: 0,
            known: false,
            rows: None,
            ended: false,
        })
    }

    /// Goes to a row.
    fn seek(&mut self, position: i64) -> Result<()> {
        let builder = open_builder(&self.partition)?;
        let rows = builder.metadata().file_metadata().num_rows();
        if rows < position {
            return Err(Error::configuration(format!(
                "file {0:?} has {rows} rows, and was read up to row {position}: it was replaced; give the new file a new name, or read it anew: syncline positions reset FILE --topic {0:?}",
                self.partition.topic
            )));
        }
        let reader = builder
            .with_batch_size(BATCH_ROWS)
            .with_offset(usize::try_from(position).unwrap_or(0))
            .build();
        let reader = reader.map_err(|cause| self.unreadable(&cause))?;
        self.rows = Some(Rows { reader, left: None });
        self.position = position;
        self.ended = false;
        Ok(())
    }

    fn unreadable(&self, cause: &dyn std::fmt::Display) -> Error {
        Error::configuration(format!(
            "file {:?} cannot be read as parquet at row {}: {cause}",
            self.partition.topic, self.position
        ))
    }

    fn fetch(&mut self, limits: &Limits, decoding: &Decoding) -> Result<Option<FetchedRows>> {
        let Some(rows) = &mut self.rows else {
            return Ok(None);
        };
        let batch = match rows.left.take() {
            Some(batch) => batch,
            None => match rows.reader.next() {
                Some(Ok(batch)) => batch,
                Some(Err(cause)) => return Err(self.unreadable(&cause)),
                None => {
                    self.ended = true;
                    return Ok(None);
                }
            },
        };
        let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
        let fitting = (limits.bytes / row_bytes.max(1)).max(1);
        let count = batch.num_rows().min(limits.rows).min(fitting);
        let taken = batch.slice(0, count);
        if count < batch.num_rows() {
            rows.left = Some(batch.slice(count, batch.num_rows() - count));
        }
        let from = self.position;
        let (records, changes) = self.changes(&taken, decoding)?;
        self.position += count as i64;
        let known = std::mem::replace(&mut self.known, true);
        let mut decoded = Decoded::default();
        decoded.changes.push(changes);
        Ok(Some(FetchedRows {
            records,
            decoded,
            spans: vec![Span {
                partition: self.partition.clone(),
                from: known.then_some(from),
                next: self.position,
                incarnation: Some(self.fingerprint.clone()),
            }],
        }))
    }

    /// Rows of the file as records and changes.
    fn changes(&self, batch: &RecordBatch, decoding: &Decoding) -> Result<(Arc<Records>, Changes)> {
        let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        let mut operations = vec![Operation::Read; batch.num_rows()];
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if decoding.deleted.as_deref() == Some(field.name().as_str()) {
                for (row, operation) in operations.iter_mut().enumerate() {
                    let text = array_value_to_string(column, row).unwrap_or_default();
                    let is_marked = matches!(
                        text.to_lowercase().as_str(),
                        "true" | "t" | "1" | "yes" | "y"
                    );
                    if column.is_valid(row) && is_marked {
                        *operation = Operation::Delete;
                    }
                }
                continue;
            }
            let (field, column) = plain(field, column).map_err(|cause| self.unreadable(&cause))?;
            fields.push(field);
            columns.push(column);
        }
        let mut records = Records::default();
        let number = records.add_partition(&self.partition, true);
        let mut object = Vec::new();
        for row in 0..batch.num_rows() {
            object.clear();
            object.push(b'{');
            for (field, column) in fields.iter().zip(&columns) {
                if object.len() > 1 {
                    object.push(b',');
                }
                write_string(field.name(), &mut object);
                object.push(b':');
                write_json(field, column, row, &mut object);
            }
            object.push(b'}');
            let offset = self.position + row as i64;
            records.push(number, offset, None, None, Some(&object), None);
        }
        let records = Arc::new(records);
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let width = columns.len();
        let rows =
            RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
                .map_err(|cause| self.unreadable(&cause))?;
        let changes = Changes {
            table: self.table.clone(),
            key: decoding.key.as_deref().map(Into::into),
            rows,
            unset: vec![None; width],
            not_carried: Vec::new(),
            before: None,
            event_times_ms: vec![None; operations.len()],
            origins: (0..operations.len() as u32).collect(),
            operations,
            records: records.clone(),
        };
        Ok((records, changes))
    }
}

#[async_trait]
impl Source for Columns {
    async fn next(&mut self, limits: &Limits) -> Result<Event> {
        if !self.found.is_empty() {
            let files = self.found.iter().map(ColumnFile::open);
            let files = files.collect::<Result<Vec<_>>>()?;
            self.files.extend(files);
            return Ok(Event::Assigned(std::mem::take(&mut self.found)));
        }
        if limits.rows > 0 && self.assigned > 0 {
            if let Some(rows) = self.fetch(limits)? {
                return Ok(Event::Rows(rows));
            }
            if self.once && self.assigned == self.files.len() {
                return Ok(Event::End);
            }
        }
        if !self.once && self.assigned == self.files.len() {
            self.discover()?;
        }
        if self.found.is_empty() {
            tokio::time::sleep(limits.linger).await;
        }
        Ok(Event::Idle)
    }

    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>> {
        for assignment in assignments {
            let mut files = self.files.iter_mut();
            let Some(file) = files.find(|file| file.partition == assignment.partition) else {
                continue;
            };
            for standing in &assignment.sinks {
                if let Standing::Held(Held {
                    incarnation: Some(kept),
                    ..
                }) = standing
                    && *kept != file.fingerprint
                {
                    return Err(Error::configuration(format!(
                        "file {0:?} is not the one that was read: it was replaced; give the new file a new name, or read it anew: syncline positions reset FILE --topic {0:?}",
                        file.partition.topic
                    )));
                }
            }
            let held = assignment.sinks.iter().map(Standing::position);
            file.seek(held.clone().map(|at| at.unwrap_or(0)).min().unwrap_or(0))?;
            file.known = held.clone().all(|at| at.is_some());
        }
        self.assigned = self.files.len();
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
