//! Debezium messages to rows of tables: which table, which schema, which operation.
//!
//! The row after is read straight into the columns of the table that the last message of its topic
//! belonged to, before the message says which it is; where that was wrong it is rolled back and read
//! again. Only the slow paths below build anything.
//!
//! - duplicate: a tombstone that follows the delete of its key in its partition is superseded (R12);
//!   any other duplicate is a change like the first.
//! - null: a null value is a delete by the record key, in the one table that its topic has, or in that
//!   which the schema of its key is named after; else it is superseded: its delete came before it.
//! - delete: the image before, else the key alone with everything else unset (R14).
//! - key change: a delete of the old and a create of the new, from one record (R10).
//! - update: the row before goes along where it is asked for; it never costs the change.
//! - an ignored origin: filtered, whatever the operation; a tombstone says nothing of its origin and
//!   is then always taken for the end of a delete.

mod apply;
mod key_change;
mod key_columns;
mod read;
mod rows;
mod shape;
mod topic;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use self::read::{Tail, begins_as_envelope, not_an_object};
use self::rows::Rows;
pub(super) use self::rows::ToObject;
use self::topic::{Progress, Topic};
use super::envelope::EnvelopeReader;
use super::fault::{Fault, Parsed};
use super::head::{Head, Metadata};
use super::origin::Origins;
use super::reading::Placeholder;
use super::scan::Cursor;
use super::schema::{Connect, Described, Form};
use super::stream::{Basis, Stream, StreamSettings};
use super::{Decode, Decoded, DecoderOptions, KeyColumns, Undecodable};
use crate::error::Result;
use crate::record::{Partition, Records};

/// A longer message is refused.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// A batch ends once its messages have this many bytes, so that no column outgrows its offsets:
/// no value is more than eight times as long as its JSON.
const BATCH_BYTES_MAX: usize = 128 << 20;

/// Schema texts remembered; past this they are forgotten and parsed again.
const SCHEMAS_MAX: usize = 4096;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Debezium {
    declared: Option<Vec<Described>>,
    /// Columns that are there without a schema, too.
    expected: Vec<String>,
    computed: Arc<[String]>,
    key: Option<Arc<[String]>>,
    projection: Option<Vec<String>>,
    placeholder: Placeholder,
    default_table: Option<Arc<str>>,
    keys: StreamSettings,
    /// Where every value is a row, and none an event: how its text becomes a JSON object.
    rows: Option<Rows>,
    key_columns: KeyColumns,
    ignored: Origins,
    schemas: HashMap<Box<[u8]>, Arc<Connect>>,
    /// Schemas that do not stand in the messages, by the text that stands for them there.
    given: HashMap<Box<[u8]>, Arc<Connect>>,
    reader: EnvelopeReader,
    topics: Vec<Topic>,
    topic_lookup: HashMap<Arc<str>, usize>,
    partitions: Vec<Progress>,
    partition_lookup: HashMap<Partition, usize>,
    streams: Vec<Stream>,
}

/// One record on its way.
struct Job<'a> {
    records: &'a Arc<Records>,
    index: usize,
    topic: usize,
    /// The row as a JSON object, where its format is another one.
    object: Option<&'a [u8]>,
    /// The message with the columns of its key, where those were added.
    completed: Option<&'a [u8]>,
    decoded: &'a mut Decoded,
}

enum Done {
    Rows {
        deleted: bool,
    },
    Filtered,
    /// By its origin.
    Ignored {
        deleted: bool,
    },
    Superseded,
    /// The row lacks columns that its record key has: to be read again with them.
    LacksKeyColumns,
}

impl<'a> Job<'a> {
    /// The message.
    fn value(&self) -> Option<&'a [u8]> {
        self.completed
            .or(self.object)
            .or_else(|| self.records.value(self.index))
    }

    fn record_key(&self) -> Option<&'a [u8]> {
        self.records.key(self.index)
    }
}

impl Debezium {
    pub(super) fn new(options: DecoderOptions) -> Self {
        let key: Option<Arc<[String]>> = options.key.map(Into::into);
        Self {
            declared: options.declared.map(|schema| Described::all(&schema)),
            expected: options.expected,
            computed: options.computed.into(),
            keys: StreamSettings {
                fallback: key.clone(),
                watched: options.watched.into(),
                before: options.before,
                before_without_key: options.before_without_key,
                metadata: Arc::new(Metadata::of_events()),
            },
            rows: None,
            key_columns: options.key_columns,
            key,
            projection: options.columns,
            placeholder: Placeholder::new(&options.unavailable),
            default_table: options.default_table.map(Into::into),
            ignored: Origins::new(&options.ignore_origins),
            schemas: HashMap::new(),
            given: HashMap::new(),
            reader: EnvelopeReader::new(),
            topics: Vec::new(),
            topic_lookup: HashMap::new(),
            partitions: Vec::new(),
            partition_lookup: HashMap::new(),
            streams: Vec::new(),
        }
    }
}

#[async_trait]
impl Decode for Debezium {
    async fn prepare(&mut self, _records: &Records) -> Result<()> {
        Ok(())
    }

    fn decode(&mut self, records: &Arc<Records>) -> Decoded {
        let mut decoded = Decoded::default();
        let partitions = records.partitions.iter();
        let places: Vec<usize> = partitions
            .map(|known| self.place(&known.partition))
            .collect();
        // All messages are checked at once; where one is bad, each is checked alone.
        let all_good = simdutf8::basic::from_utf8(&records.bytes).ok();
        for (index, entry) in records.entries.iter().enumerate() {
            let place = places[entry.partition as usize];
            let topic = self.partitions[place].topic;
            let good = entry.value.as_ref().is_none_or(|range| {
                let (start, end) = (range.start as usize, range.end as usize);
                match all_good {
                    Some(text) => text.is_char_boundary(start) && text.is_char_boundary(end),
                    None => simdutf8::basic::from_utf8(&records.bytes[start..end]).is_ok(),
                }
            });
            let object = match good {
                true => self.object_of(records, index),
                false => Err(Fault::form("the message is not UTF-8")),
            };
            let mut job = Job {
                records,
                index,
                topic,
                object: object.as_ref().ok().and_then(Option::as_deref),
                completed: None,
                decoded: &mut decoded,
            };
            let done = match &object {
                Ok(_) => self.record(&mut job, place),
                Err(fault) => Err(fault.clone()),
            };
            self.finish(done, &mut job, place);
            self.give_back(object.unwrap_or_default());
            if let Some(last) = self.topics[topic].last
                && self.streams[last].bytes() > BATCH_BYTES_MAX
            {
                decoded.changes.extend(self.streams[last].flush(records));
            }
        }
        for stream in &mut self.streams {
            decoded.changes.extend(stream.flush(records));
        }
        decoded
    }
}

impl Debezium {
    fn finish(&mut self, done: Parsed<Done>, job: &mut Job<'_>, place: usize) {
        let progress = &mut self.partitions[place];
        progress.deleted_at = None;
        if matches!(done, Ok(Done::Ignored { .. })) {
            job.decoded.filtered += 1;
            job.decoded.ignored += 1;
        }
        match done {
            Ok(Done::Rows { deleted: false } | Done::Ignored { deleted: false }) => {}
            Ok(Done::Rows { deleted: true } | Done::Ignored { deleted: true }) => {
                progress.deleted_at = Some(job.records.entries[job.index].offset);
                progress.deleted_key.clear();
                let key = job.records.key(job.index).unwrap_or_default();
                progress.deleted_key.extend_from_slice(key);
            }
            Ok(Done::Filtered | Done::LacksKeyColumns) => job.decoded.filtered += 1,
            Ok(Done::Superseded) => job.decoded.superseded += 1,
            Err(fault) => {
                for &stream in &self.topics[job.topic].streams {
                    self.streams[stream].rollback();
                }
                job.decoded.rejected.push(Undecodable {
                    origin: job.index as u32,
                    rule: fault.rule.to_owned(),
                    field: fault.field,
                    reason: fault.reason,
                });
            }
        }
    }

    fn record(&mut self, job: &mut Job<'_>, place: usize) -> Parsed<Done> {
        let names = self.topics[job.topic].key.names(job.record_key());
        let key = names.or(self.key.as_ref()).cloned();
        if !self.topics[job.topic].lacks_key_columns {
            let done = self.message(job, place, key.clone())?;
            if !matches!(done, Done::LacksKeyColumns) {
                return Ok(done);
            }
            self.topics[job.topic].lacks_key_columns = true;
        }
        let completed = self.complete(job, key.as_ref());
        let value = job.value();
        let mut job = Job {
            completed: completed.as_deref().or(value),
            records: job.records,
            decoded: &mut *job.decoded,
            ..*job
        };
        self.message(&mut job, place, key)
    }

    fn message(
        &mut self,
        job: &mut Job<'_>,
        place: usize,
        key: Option<Arc<[String]>>,
    ) -> Parsed<Done> {
        let topic = &mut self.topics[job.topic];
        let Some(value) = job.value() else {
            return self.tombstone(job, place, key);
        };
        if value.len() > MESSAGE_BYTES_MAX {
            return Err(Fault::form(format!(
                "the message has {} bytes, expected at most {MESSAGE_BYTES_MAX}",
                value.len()
            )));
        }
        if topic.other {
            return Ok(Done::Filtered);
        }
        let mut cursor = Cursor::new(value);
        if self.rows.is_some() {
            return self.row(job, place, cursor, key);
        }
        let topic = &mut self.topics[job.topic];
        let (connect, tail) = if !topic.wrapper.is_empty() && cursor.take(&topic.wrapper) {
            (topic.wrapper_schema.clone(), Tail::Wrapper)
        } else {
            self.open(job.topic, &mut cursor)?
        };
        if cursor.take_null() {
            tail.check(&mut cursor)?;
            return self.tombstone(job, place, key);
        }
        if cursor.peek() != b'{' {
            return Err(not_an_object(&cursor));
        }
        let basis = Basis { connect, key };
        let expected = self.topics[job.topic].last;
        let expected = expected.filter(|&stream| self.streams[stream].fits(&basis));
        let form = match (&basis.connect, expected) {
            (Some(connect), _) => Some(connect.form),
            (None, Some(stream)) if !begins_as_envelope(value, &cursor) => {
                Some(self.streams[stream].form).filter(|form| *form == Form::Flat)
            }
            (None, _) => None,
        };
        let start = cursor.at();
        let mut head = Head::default();
        if form == Some(Form::Other) {
            return Ok(Done::Filtered);
        }
        if form != Some(Form::Flat) {
            let expected = expected.filter(|&stream| self.streams[stream].form == Form::Envelope);
            let envelope = self.envelope(&mut cursor, &mut head, expected)?;
            if envelope.is_one(&head) {
                tail.check(&mut cursor)?;
                if self.ignored.matches(&head) {
                    self.rollback(expected);
                    let deleted = head.operation.as_deref() == Some(b"d");
                    return Ok(Done::Ignored { deleted });
                }
                return self.apply(job, basis, &head, envelope, expected);
            }
            if form.is_some() {
                return Err(Fault::form("an envelope without an operation and a row"));
            }
            if let Some(stream) = expected {
                self.streams[stream].rollback();
            }
            if envelope.other {
                return Ok(Done::Filtered);
            }
            cursor.seek(start);
            head = Head::default();
        }
        self.flat_row(job, basis, head, cursor, expected, &tail)
    }
}
