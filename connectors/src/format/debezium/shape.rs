//! Which stream a message belongs to, and which columns the stream has.
//!
//! A stream takes on the schema that comes with its rows, else the one that was given, else one that
//! is sampled: from the row at hand and from those behind it, so that it need not widen row by row.

use std::sync::Arc;

use super::{Debezium, Job};
use crate::change::Table;
use crate::format::envelope::{EnvelopeReader, Head, Part};
use crate::format::fault::{Fault, Parsed};
use crate::format::record_key::Payload;
use crate::format::scan::Cursor;
use crate::format::schema::Form;
use crate::format::stream::{Basis, Stream, is_wanted};

/// How many records a first guess at a schema looks at, and a later one.
const SAMPLE_RECORDS: usize = 1000;
const SAMPLE_AGAIN_RECORDS: usize = 100;

impl Debezium {
    /// The stream of the table that the message names.
    #[inline]
    pub(super) fn target(&mut self, topic: usize, head: &Head<'_>) -> usize {
        let known = &self.topics[topic];
        let is = |stream: usize| is_table(&self.streams[stream].table, head, &known.table);
        let mut candidates = known.last.into_iter().chain(known.streams.iter().copied());
        let found = candidates.find(|&stream| is(stream));
        let stream = found.unwrap_or_else(|| {
            let text = |bytes: &[u8]| -> Arc<str> { String::from_utf8_lossy(bytes).into() };
            let table = Table {
                topic: known.name.clone(),
                database: head.database.as_deref().map(text),
                schema: head.schema.as_deref().map(text),
                name: head
                    .table
                    .as_deref()
                    .map_or_else(|| known.table.clone(), text),
            };
            self.streams.push(Stream::new(table, self.keys.clone()));
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
    pub(super) fn prepare(
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
                let columns = self.with_key_columns(job, &connect.columns, &basis);
                self.topics[job.topic].lacks_key_columns |= columns.len() > connect.columns.len();
                let projection = self.projection.as_deref();
                self.streams[target].reshape(&columns, form, basis, projection);
            }
            (None, Some(given)) => {
                let columns = self.with_key_columns(job, given, &basis);
                self.topics[job.topic].lacks_key_columns |= columns.len() > given.len();
                let projection = self.projection.as_deref();
                self.streams[target].reshape(&columns, form, basis, projection);
            }
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
    pub(super) fn append(
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

    /// Appends the row that begins at `before` as the image of the one that begins at `after` and was
    /// appended last. Where it cannot be read there is none.
    ///
    /// A fault is one of the row after, which is read again where a sampled schema has to widen.
    pub(super) fn append_image(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        bytes: &[u8],
        (before, after): (usize, usize),
    ) -> Parsed<()> {
        if self.streams[target].lacks_image(bytes) {
            self.append_any_image(job, target, (bytes, before), (bytes, after))?;
        }
        Ok(())
    }

    /// The same for an image that is needed, whoever asks for it, and that may stand elsewhere. False
    /// where it cannot be read.
    pub(super) fn append_any_image(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        (image, image_at): (&[u8], usize),
        (row, row_at): (&[u8], usize),
    ) -> Parsed<bool> {
        let read = |this: &mut Self| {
            let stream = &mut this.streams[target];
            stream.append_image(&mut Cursor::from(image, image_at), &this.placeholder)
        };
        if read(self) {
            return Ok(true);
        }
        if self.widen(job, target, image, image_at) {
            self.append(job, target, row, row_at)?;
            return Ok(read(self));
        }
        Ok(false)
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

    pub(super) fn rollback(&mut self, stream: Option<usize>) {
        if let Some(stream) = stream {
            self.streams[stream].rollback();
        }
    }
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
pub(super) fn scan_flat<'a>(cursor: &mut Cursor<'a>, head: &mut Head<'a>) -> Parsed<()> {
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
