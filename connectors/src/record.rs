//! Raw records and positions: what a source hands over before anything is decoded.
//!
//! A position is the offset of the next record to read, never of the last one read. For Kafka it
//! is the offset; for a file it is the byte at which the next line begins. What a position counts
//! in is its incarnation: a topic that was deleted and made again counts anew.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A part of a source that is ordered in itself: a Kafka topic partition, a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Topic name, or the path of a file.
    pub topic: Arc<str>,
    /// Partition number; 0 for a file.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.number)
    }
}

/// The next offset of each partition. A partition that is absent has never been written.
pub type Positions = BTreeMap<Partition, i64>;

/// What the positions of a partition count in, as a text that only its source compares: the id of a
/// Kafka topic, the fingerprint of a file. A database has no numbers for its rows: there the position
/// counts the rows that were read, and this text says after which one reading goes on.
pub type Incarnation = Arc<str>;

/// Where a partition stands in a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The next offset.
    pub next: i64,
    /// What it counts in; `None` where the source said nothing when it was written.
    pub incarnation: Option<Incarnation>,
}

/// What a target holds. A partition that is absent has never been written.
pub type HeldPositions = BTreeMap<Partition, Held>;

/// The offsets alone.
pub fn offsets(held: &HeldPositions) -> Positions {
    held.iter()
        .map(|(partition, held)| (partition.clone(), held.next))
        .collect()
}

/// The stretch of one partition that a fetch covers, also where it holds no records (compaction,
/// transaction markers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which partition.
    pub partition: Partition,
    /// The position before: where the last span of this partition ended. `None` where the target
    /// held no position for it yet.
    pub from: Option<i64>,
    /// The position after: one past the last record.
    pub next: i64,
    /// What the positions count in, where the source can tell; the target keeps it beside the
    /// position and gives it back (see [`crate::assignment`]).
    pub incarnation: Option<Incarnation>,
}

/// One record of [`Records`]; key, value and headers are ranges of [`Records::bytes`].
#[derive(Debug, Clone)]
pub struct Record {
    /// Index into [`Records::partitions`].
    pub partition: u32,
    /// Offset in its partition.
    pub offset: i64,
    /// Record time, milliseconds since the epoch; `None` where the source has none.
    pub timestamp_ms: Option<i64>,
    /// `None` where the record has no key.
    pub key: Option<Range<u32>>,
    /// `None` for a tombstone.
    pub value: Option<Range<u32>>,
    /// The headers as a JSON object of strings (`{"name":"value"}`), `None` where there are none.
    pub headers: Option<Range<u32>>,
}

/// Raw records in arrival order, kept until every change of theirs is finished, so that a
/// quarantined change can be stored with its original bytes. Below 4 GiB.
#[derive(Debug, Default)]
pub struct Records {
    /// Keys, values and headers back to back.
    pub bytes: Vec<u8>,
    /// The records, in arrival order; those of one partition ascend by offset.
    pub entries: Vec<Record>,
    /// The partitions that [`Record::partition`] points into.
    pub partitions: Vec<RecordPartition>,
    /// What makes text of keys and values that are none; the decoder says it.
    pub(crate) readable: OnceLock<Arc<dyn Readable>>,
}

/// Makes the text of what a format in bytes says, as `debezium-json` or `json` would say it.
pub(crate) trait Readable: fmt::Debug + Send + Sync {
    /// Of a key; `None` where it cannot be read.
    fn key(&self, bytes: &[u8]) -> Option<Vec<u8>>;
    /// Of a value; `None` where it cannot be read.
    fn value(&self, bytes: &[u8]) -> Option<Vec<u8>>;
}

/// A partition as [`Records`] knows it.
#[derive(Debug, Clone)]
pub struct RecordPartition {
    /// Which one.
    pub partition: Partition,
    /// Whether it is the only partition of its topic, so that a truncate is ordered against every
    /// row of its table (R13).
    pub single: bool,
    /// The line that names the columns, of a file that begins with one; without its line end.
    pub header: Option<Arc<[u8]>>,
}

impl Records {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The key of a record.
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        self.slice(&self.entries[index].key)
    }

    /// The value of a record; `None` for a tombstone.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        self.slice(&self.entries[index].value)
    }

    /// The key as JSON or plain text, whatever its format.
    pub fn key_text(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        let bytes = self.key(index)?;
        match self.readable.get() {
            Some(readable) => readable.key(bytes).map(Cow::Owned),
            None => Some(Cow::Borrowed(bytes)),
        }
    }

    /// The value as JSON or plain text, whatever its format.
    pub fn value_text(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        let bytes = self.value(index)?;
        match self.readable.get() {
            Some(readable) => readable.value(bytes).map(Cow::Owned),
            None => Some(Cow::Borrowed(bytes)),
        }
    }

    /// The headers of a record, a JSON object.
    pub fn headers(&self, index: usize) -> Option<&[u8]> {
        self.slice(&self.entries[index].headers)
    }

    /// The partition of a record.
    pub fn partition(&self, index: usize) -> &RecordPartition {
        &self.partitions[self.entries[index].partition as usize]
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Record>()
    }

    /// The number of `partition`, added where it is new.
    pub fn add_partition(&mut self, partition: &Partition, single: bool) -> u32 {
        let found = self
            .partitions
            .iter()
            .position(|known| known.partition == *partition);
        let index = found.unwrap_or_else(|| {
            self.partitions.push(RecordPartition {
                partition: partition.clone(),
                single,
                header: None,
            });
            self.partitions.len() - 1
        });
        index as u32
    }

    /// Appends a record. `partition` comes from [`Records::add_partition`].
    pub fn push(
        &mut self,
        partition: u32,
        offset: i64,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<&[u8]>,
    ) {
        let key = key.map(|bytes| self.append(bytes));
        let value = value.map(|bytes| self.append(bytes));
        let headers = headers.map(|bytes| self.append(bytes));
        self.entries.push(Record {
            partition,
            offset,
            timestamp_ms,
            key,
            value,
            headers,
        });
    }

    fn append(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len() as u32
    }

    fn slice(&self, range: &Option<Range<u32>>) -> Option<&[u8]> {
        range
            .as_ref()
            .map(|range| &self.bytes[range.start as usize..range.end as usize])
    }
}
