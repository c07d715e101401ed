//! Debezium messages to rows of tables: which table, which schema, which operation.
//!
//! The row after is read straight into the columns of the table that the last message of its topic
//! belonged to, before the message says which it is; where that was wrong it is rolled back and read
//! again. Only the slow paths below build anything.
//!
//! - duplicate: a tombstone that follows the delete of its key in its partition is superseded (R12);
//!   any other duplicate is a change like the first.
//! - null: a null value is a delete by the record key.
//! - delete: the image before, else the key alone with everything else unset (R14).
//! - key change: a delete of the old and a create of the new, from one record (R10).

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use super::envelope::Head;
use super::envelope::{Envelope, EnvelopeReader, Part};
use super::reading::Placeholder;
use super::record_key::{self, Payload, RecordKey};
use super::scan::{Cursor, Fault, Parsed};
use super::schema::{Connect, Described, Form};
use super::stream::{Basis, Stream, is_wanted};
use super::{Decoded, DecoderOptions, Undecodable};
use crate::change::{Operation, Table};
use crate::record::{Partition, Records};

/// A longer message is refused.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// A batch ends once its messages have this many bytes, so that no column outgrows its offsets:
/// no value is more than eight times as long as its JSON.
const BATCH_BYTES_MAX: usize = 128 << 20;

/// How many records a first guess at a schema looks at, and a later one.
const SAMPLE_RECORDS: usize = 1000;
const SAMPLE_AGAIN_RECORDS: usize = 100;

/// Schema texts remembered; past this they are forgotten and parsed again.
const SCHEMAS_MAX: usize = 4096;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Debezium {
    given: Option<Vec<Described>>,
    key: Option<Arc<[String]>>,
    projection: Option<Vec<String>>,
    placeholder: Placeholder,
    default_table: Option<Arc<str>>,
    schemas: HashMap<Box<[u8]>, Arc<Connect>>,
    reader: EnvelopeReader,
    topics: Vec<Topic>,
    topic_lookup: HashMap<Arc<str>, usize>,
    partitions: Vec<Progress>,
    partition_lookup: HashMap<Partition, usize>,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// The table, where no message says it.
    table: Arc<str>,
    /// Holds no rows.
    other: bool,
    streams: Vec<usize>,
    /// The stream of the last message.
    last: Option<usize>,
    key: RecordKey,
    /// The bytes of the last message up to its payload, and their schema.
    wrapper: Vec<u8>,
    wrapper_schema: Option<Arc<Connect>>,
}

/// The last record of a partition, where it was a delete (R12).
#[derive(Debug)]
struct Progress {
    topic: usize,
    deleted_at: Option<i64>,
    deleted_key: Vec<u8>,
}

/// One record on its way.
struct Job<'a> {
    records: &'a Arc<Records>,
    index: usize,
    topic: usize,
    decoded: &'a mut Decoded,
}

enum Done {
    Rows { deleted: bool },
    Filtered,
    Superseded,
}

impl Debezium {
    pub(super) fn new(options: DecoderOptions) -> Self {
        let given = options.declared.or(options.catalogue);
        Self {
            given: given.map(|schema| Described::all(&schema)),
            key: options.key.map(Into::into),
            projection: options.columns,
            placeholder: Placeholder::new(&options.unavailable),
            default_table: options.default_table.map(Into::into),
            schemas: HashMap::new(),
            reader: EnvelopeReader::new(),
            topics: Vec::new(),
            topic_lookup: HashMap::new(),
            partitions: Vec::new(),
            partition_lookup: HashMap::new(),
            streams: Vec::new(),
        }
    }

    pub(super) fn decode(&mut self, records: &Arc<Records>) -> Decoded {
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
            let mut job = Job {
                records,
                index,
                topic,
                decoded: &mut decoded,
            };
            let done = if good {
                self.record(&mut job, place)
            } else {
                Err(Fault::form("the message is not UTF-8"))
            };
            self.finish(done, &mut job, place);
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

    fn finish(&mut self, done: Parsed<Done>, job: &mut Job<'_>, place: usize) {
        let progress = &mut self.partitions[place];
        progress.deleted_at = None;
        match done {
            Ok(Done::Rows { deleted: false }) => {}
            Ok(Done::Rows { deleted: true }) => {
                progress.deleted_at = Some(job.records.entries[job.index].offset);
                progress.deleted_key.clear();
                let key = job.records.key(job.index).unwrap_or_default();
                progress.deleted_key.extend_from_slice(key);
            }
            Ok(Done::Filtered) => job.decoded.filtered += 1,
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
        let records = job.records.clone();
        let topic = &mut self.topics[job.topic];
        let names = topic.key.names(records.key(job.index));
        let key = names.or(self.key.as_ref()).cloned();
        let Some(value) = records.value(job.index) else {
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
            return Err(match cursor.kind() {
                "an unexpected byte" | "the end of the message" => cursor.unexpected("an object"),
                kind => Fault::form(format!("found {kind}, expected an object")),
            });
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
                return self.apply(job, basis, &head, envelope, expected);
            }
            if form.is_some() {
                return Err(Fault::form("an envelope without an operation and a row"));
            }
            if envelope.other {
                return Ok(Done::Filtered);
            }
            if let Some(stream) = expected {
                self.streams[stream].rollback();
            }
            cursor.seek(start);
            head = Head::default();
        }
        self.flat_row(job, basis, head, cursor, expected, &tail)
    }

    /// The schema of a message that begins in an unknown way; the cursor is left at the payload.
    #[cold]
    fn open(
        &mut self,
        topic: usize,
        cursor: &mut Cursor<'_>,
    ) -> Parsed<(Option<Arc<Connect>>, Tail)> {
        let value = cursor.bytes();
        let payload = Payload::open(value)?;
        cursor.seek(payload.at);
        if !payload.wrapped {
            return Ok((None, Tail::End));
        }
        let connect = match payload.schema {
            None => None,
            Some(text) => Some(match self.schemas.get(text) {
                Some(connect) => connect.clone(),
                None => {
                    let connect = Arc::new(Connect::parse(text)?);
                    if self.schemas.len() >= SCHEMAS_MAX {
                        self.schemas.clear();
                    }
                    self.schemas.insert(text.into(), connect.clone());
                    connect
                }
            }),
        };
        // Only a schema that stands first can be recognised by how the message begins.
        let mut end = cursor.clone();
        end.skip()?;
        let last = end.closed(b'}');
        let topic = &mut self.topics[topic];
        topic.wrapper.clear();
        if last {
            topic.wrapper.extend_from_slice(&value[..payload.at]);
            topic.wrapper_schema.clone_from(&connect);
        }
        Ok((connect, Tail::Checked))
    }

    fn envelope<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        head: &mut Head<'a>,
        expected: Option<usize>,
    ) -> Parsed<Envelope> {
        let Self {
            reader,
            streams,
            placeholder,
            ..
        } = self;
        let mut stream = expected.map(|stream| &mut streams[stream]);
        reader.read(cursor, head, |cursor, is_after| {
            let start = cursor.at();
            match &mut stream {
                Some(stream) if is_after => {
                    stream.rollback();
                    match stream.append_row(cursor, placeholder, &mut Head::default()) {
                        Ok(()) => return Ok(Part::Appended(start)),
                        Err(fault) => {
                            // Passing over the row says whether the rest of the message is good.
                            stream.rollback();
                            cursor.seek(start);
                            cursor.skip()?;
                            return Ok(Part::Failed(start, fault));
                        }
                    }
                }
                Some(stream) => stream.scan_before(cursor)?,
                None => cursor.skip()?,
            }
            Ok(Part::At(start))
        })
    }

    /// Makes changes of an envelope.
    fn apply(
        &mut self,
        job: &mut Job<'_>,
        basis: Basis,
        head: &Head<'_>,
        envelope: Envelope,
        expected: Option<usize>,
    ) -> Parsed<Done> {
        let records = job.records.clone();
        let value = records.value(job.index).unwrap_or_default();
        let operation = match head.operation.as_deref() {
            Some(b"c") => Operation::Create,
            Some(b"u") => Operation::Update,
            Some(b"d") => Operation::Delete,
            Some(b"r") => Operation::Read,
            Some(b"t") => Operation::Truncate,
            Some(b"m") => {
                self.rollback(expected);
                return Ok(Done::Filtered);
            }
            _ => {
                return Err(
                    Fault::form("unknown operation, expected one of c, u, d, r, t, m")
                        .at_field("op"),
                );
            }
        };
        let target = self.target(job.topic, head);
        let in_place = expected == Some(target);
        if !in_place {
            self.rollback(expected);
        }
        let before = envelope.before.start();
        let appended = match operation {
            Operation::Create | Operation::Update | Operation::Read => match envelope.after {
                Part::Absent | Part::Null => {
                    return Err(Fault::form(format!(
                        "operation {} without a row",
                        operation.letter()
                    ))
                    .at_field("after"));
                }
                Part::Appended(start) if in_place => Ok(start),
                Part::Failed(_, fault) if in_place && self.streams[target].sample.is_none() => {
                    return Err(fault);
                }
                part => Err(part.start().unwrap_or_default()),
            },
            Operation::Delete | Operation::Truncate => Err(before.unwrap_or_default()),
        };
        let sampled_row = appended.unwrap_or_else(|start| start);
        let has_row =
            before.is_some() || operation != Operation::Delete && operation != Operation::Truncate;
        let form = Form::Envelope;
        self.prepare(
            job,
            target,
            basis,
            form,
            has_row.then_some((value, sampled_row)),
        );
        let time = self.event_time(job, head);
        match operation {
            Operation::Truncate => {
                self.streams[target].append_unset_row();
                self.commit(job, target, operation, time, value.len());
            }
            Operation::Delete => match before {
                Some(start) => {
                    self.rollback(Some(target));
                    self.append(job, target, value, start)?;
                    if self.streams[target].has_key() && self.streams[target].lacks_key() {
                        self.append_record_key(job, target)?;
                    } else {
                        self.streams[target].reduce_to_key();
                    }
                    self.commit(job, target, operation, time, value.len());
                }
                None => {
                    self.append_record_key(job, target)?;
                    self.commit(job, target, operation, time, value.len());
                }
            },
            Operation::Create | Operation::Update | Operation::Read => {
                if let Err(start) = appended {
                    self.append(job, target, value, start)?;
                }
                if let (Operation::Update, Some(start)) = (operation, before)
                    && self.changes_key(target, value, start, in_place)?
                    && self.split(job, target, value, start, sampled_row, time)?
                {
                    return Ok(Done::Rows { deleted: false });
                }
                self.commit(job, target, operation, time, value.len());
            }
        }
        Ok(Done::Rows {
            deleted: operation == Operation::Delete,
        })
    }

    /// Whether the key may have changed, by its bytes.
    fn changes_key(
        &mut self,
        target: usize,
        value: &[u8],
        before: usize,
        scanned: bool,
    ) -> Parsed<bool> {
        let stream = &mut self.streams[target];
        if !scanned {
            stream.scan_before(&mut Cursor::from(value, before))?;
        }
        Ok(stream.may_change_key(value))
    }

    /// R10: where the keys do differ, commits a delete of the row before and a create of the row
    /// after. Else leaves the row after appended and says so.
    fn split(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        value: &[u8],
        before: usize,
        after: usize,
        time: Option<i64>,
    ) -> Parsed<bool> {
        // The row after was appended already, so that a sampled schema fits it. After the row
        // before is in, too, the schema fits both.
        self.rollback(Some(target));
        self.append(job, target, value, before)?;
        let stream = &mut self.streams[target];
        let rows = stream.len();
        stream.commit(Operation::Delete, time, job.index as u32, 0);
        if let Err(fault) = self.append(job, target, value, after) {
            self.streams[target].truncate(rows);
            return Err(fault);
        }
        let stream = &mut self.streams[target];
        let same = stream.same_key(rows, rows + 1);
        stream.truncate(rows);
        if same {
            self.append(job, target, value, after)?;
            return Ok(false);
        }
        self.append(job, target, value, before)?;
        self.streams[target].reduce_to_key();
        self.streams[target].commit(Operation::Delete, time, job.index as u32, value.len());
        self.append(job, target, value, after)?;
        self.commit(job, target, Operation::Create, time, value.len());
        Ok(true)
    }

    /// Makes a change of a flat row; the cursor stands at it.
    fn flat_row<'a>(
        &mut self,
        job: &mut Job<'_>,
        basis: Basis,
        mut head: Head<'a>,
        mut cursor: Cursor<'a>,
        expected: Option<usize>,
        tail: &Tail,
    ) -> Parsed<Done> {
        let (start, value) = (cursor.at(), cursor.bytes());
        let expected = expected.filter(|&stream| self.streams[stream].form == Form::Flat);
        let read = match expected {
            Some(stream) => {
                self.streams[stream].append_row(&mut cursor, &self.placeholder, &mut head)
            }
            None => Err(Fault::form("no stream is expected")),
        };
        let appended = read.is_ok();
        match (&read, expected) {
            (Err(fault), Some(_)) if fault.rule == "R1" => return Err(fault.clone()),
            _ => {}
        }
        if !appended {
            self.rollback(expected);
            head = Head::default();
            cursor.seek(start);
            scan_flat(&mut cursor, &mut head)?;
        }
        tail.check(&mut cursor)?;
        let operation = match head.operation.as_deref() {
            _ if head.deleted => Operation::Delete,
            Some(b"c") => Operation::Create,
            // A plain row says what a row is now, whether it was there before or not.
            Some(b"u") | None => Operation::Update,
            Some(b"d") => Operation::Delete,
            Some(b"r") => Operation::Read,
            Some(b"t") => Operation::Truncate,
            Some(b"m") => {
                self.rollback(expected);
                return Ok(Done::Filtered);
            }
            Some(_) => {
                return Err(
                    Fault::form("unknown operation, expected one of c, u, d, r, t, m")
                        .at_field("__op"),
                );
            }
        };
        let target = self.target(job.topic, &head);
        if expected != Some(target) {
            self.rollback(expected);
        }
        self.prepare(job, target, basis, Form::Flat, Some((value, start)));
        if !appended || expected != Some(target) {
            self.append(job, target, value, start)?;
        }
        let stream = &mut self.streams[target];
        match operation {
            Operation::Truncate => stream.append_unset_row(),
            Operation::Delete if stream.has_key() && stream.lacks_key() => {
                self.append_record_key(job, target)?;
            }
            Operation::Delete => stream.reduce_to_key(),
            Operation::Create | Operation::Update | Operation::Read => {}
        }
        let time = self.event_time(job, &head);
        self.commit(job, target, operation, time, value.len());
        Ok(Done::Rows {
            deleted: operation == Operation::Delete,
        })
    }

    /// A null value: a delete by the record key, unless it follows that delete (R12).
    #[cold]
    fn tombstone(
        &mut self,
        job: &mut Job<'_>,
        place: usize,
        key: Option<Arc<[String]>>,
    ) -> Parsed<Done> {
        let records = job.records.clone();
        let entry = &records.entries[job.index];
        let progress = &self.partitions[place];
        let Some(bytes) = records.key(job.index) else {
            return Err(Fault::key("a tombstone without a record key"));
        };
        if progress
            .deleted_at
            .is_some_and(|offset| offset < entry.offset)
            && progress.deleted_key == bytes
        {
            return Ok(Done::Superseded);
        }
        let topic = &self.topics[job.topic];
        let target = match topic.streams[..] {
            [] => self.target(job.topic, &Head::default()),
            [only] => only,
            _ => {
                return Err(Fault::key(
                    "a tombstone in a topic of several tables names none",
                ));
            }
        };
        let (object, schema) = record_key::values(bytes, key.as_ref())?;
        let stream = &self.streams[target];
        let form = stream.form;
        let known = stream.basis().map(|basis| basis.connect.clone());
        let connect = match (known, schema) {
            (Some(connect), _) => connect,
            (None, Some(schema)) => Connect::parse(&schema).ok().map(Arc::new),
            (None, None) => None,
        };
        self.prepare(
            job,
            target,
            Basis { connect, key },
            form,
            Some((&object, 0)),
        );
        self.append_record_key(job, target)?;
        self.commit(
            job,
            target,
            Operation::Delete,
            entry.timestamp_ms,
            bytes.len(),
        );
        Ok(Done::Rows { deleted: true })
    }

    /// Appends a row of the record key's values, everything else unset.
    #[cold]
    fn append_record_key(&mut self, job: &mut Job<'_>, target: usize) -> Parsed<()> {
        self.rollback(Some(target));
        let records = job.records.clone();
        let bytes = records.key(job.index);
        let bytes =
            bytes.ok_or_else(|| Fault::key("a delete with neither a key nor a row before"))?;
        let names = self.streams[target]
            .basis()
            .and_then(|basis| basis.key.clone());
        let (object, _) = record_key::values(bytes, names.as_ref())?;
        self.append(job, target, &object, 0)?;
        let stream = &mut self.streams[target];
        if !stream.has_key() || stream.lacks_key() {
            return Err(Fault::key(
                "a delete whose key is not in the columns of its table, or null",
            ));
        }
        stream.unset_rest();
        Ok(())
    }

    /// The stream of the table that the message names.
    #[inline]
    fn target(&mut self, topic: usize, head: &Head<'_>) -> usize {
        let known = &self.topics[topic];
        let is = |stream: usize| is_table(&self.streams[stream].table, head, &known.table);
        let mut candidates = known.last.into_iter().chain(known.streams.iter().copied());
        let found = candidates.find(|&stream| is(stream));
        let stream = found.unwrap_or_else(|| {
            let text = |bytes: &[u8]| -> Arc<str> { String::from_utf8_lossy(bytes).into() };
            self.streams.push(Stream::new(Table {
                topic: known.name.clone(),
                database: head.database.as_deref().map(text),
                schema: head.schema.as_deref().map(text),
                name: head
                    .table
                    .as_deref()
                    .map_or_else(|| known.table.clone(), text),
            }));
            self.streams.len() - 1
        });
        let known = &mut self.topics[topic];
        if found.is_none() {
            known.streams.push(stream);
        }
        known.last = Some(stream);
        stream
    }

    /// Makes the stream fit a message of this schema and key. `row` is a row of it, for a sample.
    #[inline]
    fn prepare(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        basis: Basis,
        form: Form,
        row: Option<(&[u8], usize)>,
    ) {
        let stream = &self.streams[target];
        if !stream.fits(&basis) || stream.form != form {
            self.reshape(job, target, basis, form, row);
        }
    }

    #[cold]
    fn reshape(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        basis: Basis,
        form: Form,
        row: Option<(&[u8], usize)>,
    ) {
        let stream = &mut self.streams[target];
        job.decoded.changes.extend(stream.flush(job.records));
        let projection = self.projection.as_deref();
        match (&basis.connect, &self.given) {
            (Some(connect), _) => {
                stream.sample = None;
                let connect = connect.clone();
                stream.reshape(&connect.columns, form, basis, projection);
            }
            (None, Some(given)) => stream.reshape(given, form, basis, projection),
            (None, None) => {
                let sample = stream.sample.get_or_insert_default();
                if let Some(asked) = projection {
                    // Then a field that is no column is one that nobody asked for.
                    let key = basis.key.as_deref().unwrap_or_default();
                    asked.iter().chain(key).for_each(|name| sample.expect(name));
                }
                let columns = sample.columns();
                stream.reshape(&columns, form, basis, projection);
                if let Some((bytes, start)) = row {
                    self.widen(job, target, bytes, start);
                }
            }
        }
    }

    /// Appends the row that begins at `start`, widening a sampled schema where it does not fit.
    fn append(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        bytes: &[u8],
        start: usize,
    ) -> Parsed<()> {
        let read = |this: &mut Self| {
            let stream = &mut this.streams[target];
            let mut cursor = Cursor::from(bytes, start);
            stream.append_row(&mut cursor, &this.placeholder, &mut Head::default())
        };
        let Err(fault) = read(self) else {
            return Ok(());
        };
        self.rollback(Some(target));
        if self.widen(job, target, bytes, start) {
            return read(self);
        }
        Err(fault)
    }

    /// Widens the schema of a sampled stream to fit this row, and the next ones of its topic so that
    /// it need not be done for each. False where nothing came of it.
    #[cold]
    fn widen(&mut self, job: &mut Job<'_>, target: usize, bytes: &[u8], start: usize) -> bool {
        let stream = &mut self.streams[target];
        let (Some(mut sample), Some(basis)) = (stream.sample.take(), stream.basis().cloned())
        else {
            return false;
        };
        let form = stream.form;
        let projection = self.projection.as_deref();
        let wanted = |name: &str| is_wanted(name, form, basis.key.as_deref(), projection);
        let records = job.records.clone();
        let ahead = if sample.is_fresh() {
            SAMPLE_RECORDS
        } else {
            SAMPLE_AGAIN_RECORDS
        };
        let read = sample.add(&mut Cursor::from(bytes, start), wanted);
        let entries = records
            .entries
            .iter()
            .enumerate()
            .skip(job.index + 1)
            .take(ahead);
        for (index, entry) in entries.filter(|_| read.is_ok()) {
            let topic = &self.topics[job.topic];
            if *records.partitions[entry.partition as usize].partition.topic == *topic.name
                && let Some(value) = records.value(index)
                && let Ok(rows) = rows_of(value, form, &self.streams[target].table, &topic.table)
            {
                for row in rows {
                    // A bad row is refused when its turn comes.
                    let _ = sample.add(&mut Cursor::from(value, row), wanted);
                }
            }
        }
        let changed = sample.take_changed();
        let stream = &mut self.streams[target];
        if changed {
            job.decoded.changes.extend(stream.flush(&records));
        }
        let columns = sample.columns();
        stream.sample = Some(sample);
        if changed {
            stream.reshape(&columns, form, basis, self.projection.as_deref());
        }
        changed
    }

    fn rollback(&mut self, stream: Option<usize>) {
        if let Some(stream) = stream {
            self.streams[stream].rollback();
        }
    }

    fn commit(
        &mut self,
        job: &Job<'_>,
        target: usize,
        operation: Operation,
        time: Option<i64>,
        bytes: usize,
    ) {
        self.streams[target].commit(operation, time, job.index as u32, bytes);
    }

    fn event_time(&self, job: &Job<'_>, head: &Head<'_>) -> Option<i64> {
        let record = &job.records.entries[job.index];
        head.source_ms.or(head.event_ms).or(record.timestamp_ms)
    }

    /// What is known of a partition.
    fn place(&mut self, partition: &Partition) -> usize {
        if let Some(&place) = self.partition_lookup.get(partition) {
            return place;
        }
        let topic = match self.topic_lookup.get(&partition.topic) {
            Some(&topic) => topic,
            None => {
                let name = partition.topic.clone();
                let table = self.default_table.clone();
                self.topics.push(Topic {
                    table: table.unwrap_or_else(|| table_of(&name).into()),
                    other: name.starts_with("__debezium-heartbeat")
                        || name.ends_with(".transaction"),
                    name,
                    streams: Vec::new(),
                    last: None,
                    key: RecordKey::default(),
                    wrapper: Vec::new(),
                    wrapper_schema: None,
                });
                let topic = self.topics.len() - 1;
                self.topic_lookup.insert(partition.topic.clone(), topic);
                topic
            }
        };
        self.partitions.push(Progress {
            topic,
            deleted_at: None,
            deleted_key: Vec::new(),
        });
        let place = self.partitions.len() - 1;
        self.partition_lookup.insert(partition.clone(), place);
        place
    }
}

/// What must follow the payload.
enum Tail {
    /// Nothing.
    End,
    /// The end of the wrapper.
    Wrapper,
    /// The message was walked to its end already.
    Checked,
}

impl Tail {
    fn check(&self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        match self {
            Self::Checked => return Ok(()),
            Self::Wrapper => cursor.expect(b'}')?,
            Self::End => {}
        }
        cursor.end()
    }
}

/// Whether a bare object begins with a key of envelopes.
fn begins_as_envelope(value: &[u8], cursor: &Cursor<'_>) -> bool {
    let mut cursor = Cursor::from(value, cursor.at() + 1);
    cursor.skip_space();
    let keys: [&[u8]; 5] = [
        b"\"before\"",
        b"\"after\"",
        b"\"op\"",
        b"\"source\"",
        b"\"ts_ms\"",
    ];
    keys.iter().any(|key| cursor.take(key))
}

fn is_table(table: &Table, head: &Head<'_>, default: &str) -> bool {
    let same = |known: &Option<Arc<str>>, named: Option<&[u8]>| {
        known.as_deref().map(str::as_bytes) == named
    };
    table.name.as_bytes() == head.table.as_deref().unwrap_or(default.as_bytes())
        && same(&table.schema, head.schema.as_deref())
        && same(&table.database, head.database.as_deref())
}

/// Reads the metadata of a flat row and nothing else.
fn scan_flat<'a>(cursor: &mut Cursor<'a>, head: &mut Head<'a>) -> Parsed<()> {
    cursor.expect(b'{')?;
    let mut more = !cursor.closed(b'}');
    while more {
        let name = cursor.string()?.unescape()?;
        cursor.expect(b':')?;
        cursor.skip_space();
        match Head::NAMES
            .iter()
            .position(|known| known.as_bytes() == &*name)
        {
            Some(place) => head.read(place, cursor)?,
            None => cursor.skip()?,
        }
        more = cursor.more(b'}')?;
    }
    Ok(())
}

/// Where the rows of a message begin, if they are rows of this table and in this form.
fn rows_of(value: &[u8], form: Form, table: &Table, default: &str) -> Parsed<Vec<usize>> {
    let payload = Payload::open(value)?;
    let mut cursor = Cursor::from(value, payload.at);
    let mut head = Head::default();
    std::str::from_utf8(value).map_err(|_| Fault::form("the message is not UTF-8"))?;
    let rows = if form == Form::Flat {
        scan_flat(&mut cursor, &mut head)?;
        vec![payload.at]
    } else {
        let envelope = EnvelopeReader::new().read(&mut cursor, &mut head, |cursor, _| {
            let start = cursor.at();
            cursor.skip()?;
            Ok(Part::At(start))
        })?;
        [envelope.before.start(), envelope.after.start()]
            .into_iter()
            .flatten()
            .collect()
    };
    Ok(if is_table(table, &head, default) {
        rows
    } else {
        Vec::new()
    })
}

/// The table that a topic or file is named after.
fn table_of(topic: &str) -> &str {
    let file = topic.rsplit('/').next().unwrap_or(topic);
    let stem = file.rsplit_once('.').map_or(file, |(stem, end)| {
        let is_file = file.len() < topic.len() || ["json", "jsonl", "ndjson"].contains(&end);
        if is_file && !stem.is_empty() {
            stem
        } else {
            end
        }
    });
    if stem.is_empty() { topic } else { stem }
}
