//! Converts a whole change to text and back without loss: changes that wait in the queue for a
//! person (C9).
//!
//! The text is Base64 of: a version byte, the length of a JSON header, the header, and an Arrow IPC
//! stream with the row after and, if there is one, the row before. The raw record is stored where it may
//! still go to the quarantine; an entry of the conflict queue shows its rows instead.
//!
//! A text of a newer version is refused.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::change::{Changes, Image, Operation, Table};
use crate::error::{Cause, Error, Result};
use crate::record::{Partition, Records};

/// The version of the format that is written.
const VERSION: u8 = 1;

/// All of the change without its values.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    table: TableHead,
    key: Option<Vec<String>>,
    operation: char,
    event_time_ms: Option<i64>,
    /// The unset columns.
    unset: Vec<usize>,
    /// Those of them that the change does not carry.
    #[serde(default)]
    not_carried: Vec<usize>,
    /// The columns that are unknown in the row before; `None` if there is no row before.
    before: Option<BeforeHead>,
    topic: String,
    partition: i32,
    single: bool,
    offset: i64,
    timestamp_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<RawRecord>,
}

/// The bytes of a record, in Base64.
#[derive(Debug, Serialize, Deserialize)]
struct RawRecord {
    key: Option<String>,
    value: Option<String>,
    headers: Option<String>,
}

impl RawRecord {
    fn of(records: &Records, index: usize) -> Self {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| BASE64.encode(bytes));
        Self {
            key: text(records.key(index)),
            value: text(records.value(index)),
            headers: text(records.headers(index)),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct TableHead {
    topic: String,
    database: Option<String>,
    schema: Option<String>,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct BeforeHead {
    present: bool,
    unset: Vec<usize>,
}

/// The text of the change in row `row`, without its raw record.
///
/// # Errors
/// `Configuration` if a column has a type that Arrow IPC cannot write.
pub fn write_change(changes: &Changes, row: usize) -> Result<String> {
    write(changes, row, None)
}

/// The text of the change in row `row`, with its raw record.
///
/// # Errors
/// As [`write_change`].
pub fn write_change_and_record(changes: &Changes, row: usize) -> Result<String> {
    let record = RawRecord::of(&changes.records, changes.origins[row] as usize);
    write(changes, row, Some(record))
}

fn write(changes: &Changes, row: usize, raw: Option<RawRecord>) -> Result<String> {
    let origin = changes.origins[row] as usize;
    let record = &changes.records.entries[origin];
    let place = changes.records.partition(origin);
    let Table {
        topic,
        database,
        schema,
        name,
    } = &*changes.table;
    let head = Head {
        table: TableHead {
            topic: topic.to_string(),
            database: database.as_deref().map(str::to_owned),
            schema: schema.as_deref().map(str::to_owned),
            name: name.to_string(),
        },
        key: changes.key.as_deref().map(<[String]>::to_vec),
        operation: changes.operations[row]
            .letter()
            .chars()
            .next()
            .unwrap_or('?'),
        event_time_ms: changes.event_times_ms[row],
        unset: columns_set(&changes.unset, row),
        not_carried: columns_set(&changes.not_carried, row),
        before: changes.before.as_ref().map(|before| BeforeHead {
            present: before.present.value(row),
            unset: columns_set(&before.unset, row),
        }),
        topic: place.partition.topic.to_string(),
        partition: place.partition.number,
        single: place.single,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        record: raw,
    };
    let write = || -> Result<Vec<u8>, Cause> {
        let head = serde_json::to_vec(&head)?;
        let mut out = vec![VERSION];
        out.extend_from_slice(&u32::try_from(head.len())?.to_le_bytes());
        out.extend_from_slice(&head);
        let mut writer = StreamWriter::try_new(out, &changes.schema())?;
        writer.write(&changes.rows.slice(row, 1))?;
        if let Some(before) = &changes.before {
            writer.write(&before.rows.slice(row, 1))?;
        }
        Ok(writer.into_inner()?)
    };
    let bytes = write().map_err(|cause| {
        Error::configuration_from(
            format!(
                "a change of {name:?} cannot be put into the conflict queue: cast its columns in a map operator"
            ),
            cause,
        )
    })?;
    Ok(BASE64.encode(bytes))
}

/// Parses a text into a batch with the change as its only row.
///
/// # Errors
/// `Configuration` if a newer version wrote the text, or if the text is damaged.
pub fn read_change(text: &str) -> Result<Changes> {
    let bytes = BASE64.decode(text).map_err(damaged)?;
    match bytes.first() {
        Some(&VERSION) => read(&bytes[1..]).map_err(damaged),
        Some(version) if *version > VERSION => Err(Error::configuration(format!(
            "a change in the conflict queue was written by a newer Syncline (format {version}, this one reads {VERSION}): resolve it with that version"
        ))),
        _ => Err(damaged("it has no version")),
    }
}

fn read(bytes: &[u8]) -> Result<Changes, Cause> {
    let (length, rest) = bytes.split_at_checked(4).ok_or("it is incomplete")?;
    let length = u32::from_le_bytes(length.try_into()?) as usize;
    let (head, stream) = rest.split_at_checked(length).ok_or("it is incomplete")?;
    let head: Head = serde_json::from_slice(head)?;
    let mut batches = StreamReader::try_new(stream, None)?;
    let mut next = || -> Result<RecordBatch, Cause> {
        let batch = batches.next().ok_or("a row is missing")??;
        if batch.num_rows() != 1 {
            return Err("it contains more than one row".into());
        }
        Ok(batch)
    };
    let rows = next()?;
    let columns = rows.num_columns();
    let before = match head.before {
        Some(before) => Some(Image {
            rows: next()?,
            unset: masks(&before.unset, columns),
            present: BooleanBuffer::from(vec![before.present]),
        }),
        None => None,
    };
    let letters = [
        Operation::Create,
        Operation::Update,
        Operation::Delete,
        Operation::Read,
        Operation::Truncate,
    ];
    let operation = letters
        .into_iter()
        .find(|operation| operation.letter().starts_with(head.operation))
        .ok_or("it has no valid operation")?;
    let mut records = Records::default();
    let partition = Partition {
        topic: head.topic.into(),
        number: head.partition,
    };
    let partition = records.add_partition(&partition, head.single);
    let raw = head.record.unwrap_or(RawRecord {
        key: None,
        value: None,
        headers: None,
    });
    let bytes = |text: Option<String>| text.map(|text| BASE64.decode(text)).transpose();
    records.push(
        partition,
        head.offset,
        head.timestamp_ms,
        bytes(raw.key)?.as_deref(),
        bytes(raw.value)?.as_deref(),
        bytes(raw.headers)?.as_deref(),
    );
    Ok(Changes {
        table: Arc::new(Table {
            topic: head.table.topic.into(),
            database: head.table.database.map(Into::into),
            schema: head.table.schema.map(Into::into),
            name: head.table.name.into(),
        }),
        key: head.key.map(Into::into),
        rows,
        unset: masks(&head.unset, columns),
        not_carried: masks(&head.not_carried, columns),
        before,
        operations: vec![operation],
        event_times_ms: vec![head.event_time_ms],
        origins: vec![0],
        records: Arc::new(records),
    })
}

fn columns_set(masks: &[Option<BooleanBuffer>], row: usize) -> Vec<usize> {
    let is_set = |mask: &Option<BooleanBuffer>| mask.as_ref().is_some_and(|mask| mask.value(row));
    (0..masks.len())
        .filter(|&column| is_set(&masks[column]))
        .collect()
}

fn masks(columns: &[usize], count: usize) -> Vec<Option<BooleanBuffer>> {
    (0..count)
        .map(|column| columns.contains(&column).then(|| BooleanBuffer::new_set(1)))
        .collect()
}

fn damaged(cause: impl Into<Cause>) -> Error {
    Error::configuration_from(
        "a change in the conflict queue is damaged: skip its entry, and make the source send the row again",
        cause,
    )
}

#[cfg(test)]
mod tests;
