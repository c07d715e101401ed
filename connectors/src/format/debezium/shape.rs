//! Which stream a message belongs to, and which columns the stream has.
//!
//! A stream takes on the schema that comes with its rows, else the one that is declared; what comes as a text
//! and is declared as `string` stays a text. Without either
//! its columns are those that the rows carry, each of the kind of the value at hand (R19).

use std::borrow::Cow;
use std::sync::Arc;

use super::{Debezium, Job};
use crate::change::Table;
use crate::format::fault::Parsed;
use crate::format::head::{Head, Metadata};
use crate::format::observed::Observed;
use crate::format::reading::Reading;
use crate::format::scan::Cursor;
use crate::format::schema::{Described, Form};
use crate::format::stream::{Basis, Stream, is_wanted};

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

    /// Makes the stream fit a message of this schema and key. `row` is a row of it.
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
        let metadata = self.keys.metadata.clone();
        match (&basis.connect, &self.declared) {
            (Some(connect), _) => {
                stream.observed = None;
                let connect = connect.clone();
                let columns = with_declared_texts(&connect.columns, self.declared.as_deref());
                let columns = self.with_key_columns(job, &columns, &basis);
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
                let key_columns: Vec<String> = basis
                    .key
                    .as_deref()
                    .map(|names| self.wanted(names).cloned().collect())
                    .unwrap_or_default();
                let stream = &mut self.streams[target];
                let observed = stream
                    .observed
                    .get_or_insert_with(|| Observed::new(self.computed.clone()));
                let key = basis.key.as_deref();
                if let Some((bytes, start)) = row {
                    let wanted = |name: &str| is_wanted(name, (form, &metadata), key, projection);
                    // A bad row is refused as it is read.
                    let cursor = &mut Cursor::from(bytes, start);
                    let _ = observed.add(cursor, &self.placeholder, wanted);
                }
                // A column that an operator names is there, whether a row carries it or not.
                let expected = self.expected.iter().chain(&key_columns);
                expected.for_each(|name| observed.expect(name));
                observed.take_changed();
                let columns = observed.columns();
                stream.reshape(&columns, form, basis, projection);
            }
        }
    }

    /// Appends the row that begins at `start`. Where nobody declared the columns, they take on the
    /// kinds of its values first.
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
        if self.adapt(job, target, bytes, start) {
            return read(self);
        }
        Err(fault)
    }

    /// Appends the row that begins at `before` as the image of the one that begins at `after` and was
    /// appended last. Where it cannot be read there is none, nor where its values are of other kinds
    /// than those of the row after.
    ///
    /// A fault is one of the row after, which is read again where the columns had to change.
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
        if self.adapt(job, target, image, image_at) {
            self.append(job, target, row, row_at)?;
            return Ok(read(self));
        }
        Ok(false)
    }

    /// Gives the columns that nobody declared the kinds of the values of this row; what was committed
    /// becomes a batch of its own. False where nothing changes.
    #[cold]
    fn adapt(&mut self, job: &mut Job<'_>, target: usize, bytes: &[u8], start: usize) -> bool {
        let stream = &mut self.streams[target];
        let (Some(mut observed), Some(basis)) = (stream.observed.take(), stream.basis().cloned())
        else {
            return false;
        };
        let form = stream.form;
        let projection = self.projection.as_deref();
        let (key, metadata) = (basis.key.as_deref(), self.keys.metadata.clone());
        let wanted = |name: &str| is_wanted(name, (form, &metadata), key, projection);
        // A bad row is refused as it is read.
        let _ = observed.add(&mut Cursor::from(bytes, start), &self.placeholder, wanted);
        let changed = observed.take_changed();
        if changed {
            job.decoded.changes.extend(stream.flush(job.records));
        }
        let columns = observed.columns();
        stream.observed = Some(observed);
        if changed {
            stream.reshape(&columns, form, basis, projection);
        }
        changed
    }

    pub(super) fn rollback(&mut self, stream: Option<usize>) {
        if let Some(stream) = stream {
            self.streams[stream].rollback();
        }
    }
}

/// The columns of an embedded schema, but that one whose values are JSON strings is a text where it is declared
/// as `string`: an instant in nanoseconds then stays as it was written.
fn with_declared_texts<'c>(
    columns: &'c [Described],
    declared: Option<&[Described]>,
) -> Cow<'c, [Described]> {
    let is_text = |column: &&Described| column.reading == Reading::Text;
    let mut columns = Cow::Borrowed(columns);
    for text in declared.into_iter().flatten().filter(is_text) {
        let embedded = columns
            .iter()
            .position(|column| column.name == text.name && column.reading.comes_as_text());
        if let Some(place) = embedded {
            columns.to_mut()[place].reading = Reading::Text;
        }
    }
    columns
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
pub(super) fn scan_flat<'a>(
    cursor: &mut Cursor<'a>,
    metadata: &Metadata,
    head: &mut Head<'a>,
) -> Parsed<()> {
    cursor.expect(b'{')?;
    let mut more = !cursor.closed(b'}');
    while more {
        let name = cursor.string()?.unescape()?;
        cursor.expect(b':')?;
        cursor.skip_space();
        match metadata.place(&name) {
            Some(place) => head.read(place, cursor)?,
            None => cursor.skip()?,
        }
        more = cursor.more(b'}')?;
    }
    Ok(())
}
