//! The rows of one table that are being decoded, with one schema at a time.
//!
//! A row is appended, looked at, and then either committed with its operation or rolled back, in
//! all columns. A column that a row does not carry is unset; a field that stands twice counts the last
//! time. When the schema changes, what was committed is flushed as a batch of its own: so does a column
//! that nobody declared whose values turn to another kind.

mod basis;

use std::sync::Arc;

pub(super) use self::basis::{Basis, Projection, StreamSettings, is_wanted};
use super::column::Column;
use super::decimal;
use super::fault::Parsed;
use super::head::Head;
use super::images::Images;
use super::layout::{ABSENT, Layout, Span};
use super::observed::Observed;
use super::reading::Placeholder;
use super::scan::Cursor;
use super::schema::{Described, Form};
use crate::change::{Changes, Operation, Table};
use crate::record::Records;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) table: Arc<Table>,
    pub(super) form: Form,
    /// Set where nothing but the rows themselves describes them.
    pub(super) observed: Option<Observed>,
    /// `None` until the columns are known.
    basis: Option<Basis>,
    layout: Layout,
    columns: Vec<Column>,
    settings: StreamSettings,
    /// The row before of every update is asked for; else only where a watched column changed.
    wants_images: bool,
    /// The rows before, and the old keys of rows whose key changed.
    images: Option<Images>,
    operations: Vec<Operation>,
    event_times_ms: Vec<Option<i64>>,
    origins: Vec<u32>,
    /// Where the key fields of the row read last stand in its message, then the watched ones.
    row_key: Vec<Span>,
    /// The same for the row before it.
    before_key: Vec<Span>,
    bytes: usize,
    /// A row was begun and neither committed nor rolled back.
    begun: bool,
}

impl Stream {
    /// Of a table of which nothing is known yet.
    pub(super) fn new(table: Table, settings: StreamSettings) -> Self {
        Self {
            table: Arc::new(table),
            form: Form::Envelope,
            observed: None,
            basis: None,
            layout: Layout::empty(),
            columns: Vec::new(),
            settings,
            wants_images: false,
            images: None,
            operations: Vec::new(),
            event_times_ms: Vec::new(),
            origins: Vec::new(),
            row_key: Vec::new(),
            before_key: Vec::new(),
            bytes: 0,
            begun: false,
        }
    }

    /// Whether rows of this schema and key fit in.
    #[inline]
    pub(super) fn fits(&self, basis: &Basis) -> bool {
        self.basis.as_ref() == Some(basis)
    }

    pub(super) fn basis(&self) -> Option<&Basis> {
        self.basis.as_ref()
    }

    /// Rows committed.
    pub(super) fn len(&self) -> usize {
        self.operations.len()
    }

    /// Bytes of messages whose rows are committed.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes on new columns. What was committed must be flushed before.
    pub(super) fn reshape(
        &mut self,
        described: &[Described],
        form: Form,
        basis: Basis,
        projection: Projection<'_>,
    ) {
        let metadata = self.settings.metadata.clone();
        let key = basis.key.as_deref();
        let wanted =
            |column: &&Described| is_wanted(&column.name, (form, &metadata), key, projection);
        let described: Vec<&Described> = described.iter().filter(wanted).collect();
        let strangers_count = self.observed.is_some() && projection.is_none();
        let settings = &self.settings;
        self.layout = Layout::new(
            &described,
            form,
            &metadata,
            [basis.key.as_ref(), settings.fallback.as_ref()],
            &settings.watched,
            strangers_count,
        );
        self.columns = self.layout.columns();
        let keyless = settings.before_without_key && basis.key.is_none();
        self.wants_images = form == Form::Envelope && (settings.before || keyless);
        self.images = Some(Images::new(&self.layout));
        self.row_key = self.layout.spans();
        self.before_key = self.layout.spans();
        self.form = form;
        self.basis = Some(basis);
    }

    /// Appends the object that stands next as a row, not yet committed. Metadata of a flat row goes
    /// to `head`. After a fault the row must be rolled back.
    pub(super) fn append_row<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        placeholder: &Placeholder,
        head: &mut Head<'a>,
    ) -> Parsed<()> {
        self.begun = true;
        let (row, spans) = (self.operations.len(), &mut self.row_key);
        self.layout
            .read(&mut self.columns, row, spans, cursor, placeholder, head)
    }

    /// Passes the row before, noting where its key fields stand; where it is asked for and can be
    /// read, it is appended as the image of the row that is committed next.
    pub(super) fn pass_before(
        &mut self,
        cursor: &mut Cursor<'_>,
        placeholder: &Placeholder,
    ) -> Parsed<()> {
        if self.wants_images {
            let start = cursor.at();
            if self.append_image(cursor, placeholder) {
                return Ok(());
            }
            cursor.seek(start);
        }
        self.scan_before(cursor)
    }

    /// Passes the row before, noting only where its key fields stand.
    pub(super) fn scan_before(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        self.layout.scan(&mut self.before_key, cursor)
    }

    /// Appends the object that stands next as the image of the row that is committed next. False
    /// where images are not asked for or this one cannot be read; the cursor then stands anywhere.
    pub(super) fn append_image(
        &mut self,
        cursor: &mut Cursor<'_>,
        placeholder: &Placeholder,
    ) -> bool {
        let (row, spans) = (self.operations.len(), &mut self.before_key);
        self.images
            .as_mut()
            .is_some_and(|images| images.read(&mut self.layout, row, spans, cursor, placeholder))
    }

    /// Whether the image of the row before is asked for and was not read yet.
    pub(super) fn lacks_image(&self, bytes: &[u8]) -> bool {
        let pending = self.images.as_ref().is_some_and(Images::is_pending);
        !pending && (self.wants_images || self.may_change_watched(bytes))
    }

    /// Keeps the image that was read last as that of the row that is committed next, also where it
    /// holds no more than the key. Without a whole key it is dropped.
    pub(super) fn force_image(&mut self) -> bool {
        let row = self.operations.len();
        let images = self.images.as_mut();
        images.is_some_and(|images| images.force(&self.layout, row))
    }

    /// Whether a value of the row read last was not sent (R14).
    pub(super) fn is_partial(&self) -> bool {
        let row = self.operations.len();
        self.columns.iter().any(|column| column.is_unset(row))
    }

    /// Whether the column of this name holds plain text.
    pub(super) fn is_text(&self, name: &str) -> bool {
        self.layout.is_text(name)
    }

    /// Whether there is a column of this name.
    pub(super) fn has_column(&self, name: &str) -> bool {
        self.layout.has(name)
    }

    /// Whether the bytes of a key field differ between the row before and the row just read; the
    /// values may still be the same (R10).
    pub(super) fn may_change_key(&self, bytes: &[u8]) -> bool {
        let count = self.layout.key.as_deref().unwrap_or_default().len();
        differs(bytes, &self.before_key[..count], &self.row_key[..count])
    }

    /// The same for a watched column that is not part of the key.
    fn may_change_watched(&self, bytes: &[u8]) -> bool {
        let count = self.layout.key.as_deref().unwrap_or_default().len();
        differs(bytes, &self.before_key[count..], &self.row_key[count..])
    }

    /// Whether the key fields of the row before and the row just read, in their message, are the same
    /// values: for columns that nobody declared, whose two rows may have no batch in common.
    pub(super) fn same_observed_key(&self, bytes: &[u8]) -> bool {
        let same = |(before, after): (&Span, &Span)| {
            let text = |span: &Span| &bytes[span.0..span.1];
            before == after || text(before) == text(after) || same_value(text(before), text(after))
        };
        let count = self.layout.key.as_deref().unwrap_or_default().len();
        self.before_key
            .iter()
            .zip(&self.row_key)
            .take(count)
            .all(same)
    }

    /// Whether rows `a` and `b` hold the same key.
    pub(super) fn same_key(&self, a: usize, b: usize) -> bool {
        let mut key = self.layout.key_columns(&self.columns);
        key.all(|column| column.same(a, b))
    }

    /// Whether a key column of the last row is null.
    pub(super) fn lacks_key(&self) -> bool {
        let mut key = self.layout.key_columns(&self.columns);
        key.any(|column| column.is_null(self.len()))
    }

    pub(super) fn has_key(&self) -> bool {
        self.layout.key.is_some()
    }

    /// Turns the last row, the image of a delete, into its key alone, where it holds no more.
    pub(super) fn reduce_to_key(&mut self) {
        let row = self.len();
        if self.has_key() && !self.layout.holds_more_than_key(&self.columns, row) {
            self.unset_rest();
        }
    }

    /// Leaves the key columns of the last row and unsets the others.
    pub(super) fn unset_rest(&mut self) {
        let row = self.operations.len();
        for column in self.layout.other_columns(&mut self.columns) {
            column.truncate(row);
            column.append_unset();
        }
    }

    /// A row that holds nothing, for a truncate.
    pub(super) fn append_unset_row(&mut self) {
        self.rollback();
        self.begun = true;
        self.columns.iter_mut().for_each(Column::append_unset);
    }

    /// Keeps the row appended last, and the image that was read for it.
    pub(super) fn commit(
        &mut self,
        operation: Operation,
        event_time_ms: Option<i64>,
        origin: u32,
        bytes: usize,
    ) {
        debug_assert!(
            self.columns
                .iter()
                .all(|column| column.len() == self.len() + 1)
        );
        self.begun = false;
        if let Some(images) = &mut self.images {
            images.commit(&self.layout, self.operations.len());
        }
        self.operations.push(operation);
        self.event_times_ms.push(event_time_ms);
        self.origins.push(origin);
        self.bytes += bytes;
    }

    /// Takes back what was appended and not committed.
    pub(super) fn rollback(&mut self) {
        self.rollback_row();
        self.drop_image();
    }

    /// Takes back the image that waits for its row.
    pub(super) fn drop_image(&mut self) {
        if let Some(images) = &mut self.images {
            images.rollback();
        }
    }

    /// As [`Stream::rollback`], but for the image.
    pub(super) fn rollback_row(&mut self) {
        if self.begun {
            let rows = self.len();
            self.columns
                .iter_mut()
                .for_each(|column| column.truncate(rows));
            self.begun = false;
        }
    }

    /// Takes back all but the first `rows`, committed or not.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.rollback();
        for column in &mut self.columns {
            column.truncate(rows);
        }
        if let Some(images) = &mut self.images {
            images.truncate(rows);
        }
        self.operations.truncate(rows);
        self.event_times_ms.truncate(rows);
        self.origins.truncate(rows);
    }

    /// The committed rows as a batch; nothing where there are none.
    pub(super) fn flush(&mut self, records: &Arc<Records>) -> Option<Changes> {
        self.rollback();
        self.bytes = 0;
        let len = self.len();
        if len == 0 {
            return None;
        }
        let (rows, unset, not_carried) = self.layout.take(&mut self.columns, len);
        let images = self.images.as_mut();
        let before = images.and_then(|images| images.take(&self.layout, len));
        Some(Changes {
            table: self.table.clone(),
            key: self.layout.key.clone(),
            rows,
            unset,
            not_carried,
            before,
            operations: std::mem::take(&mut self.operations),
            event_times_ms: std::mem::take(&mut self.event_times_ms),
            origins: std::mem::take(&mut self.origins),
            records: records.clone(),
        })
    }
}

/// Whether two JSON texts are one value: numbers by what they are, strings without their escapes.
fn same_value(left: &[u8], right: &[u8]) -> bool {
    match (left.first(), right.first()) {
        (Some(b'"'), Some(b'"')) => {
            let text = |bytes| Cursor::new(bytes).string().and_then(|text| text.unescape());
            matches!((text(left), text(right)), (Ok(left), Ok(right)) if left == right)
        }
        (Some(b'-' | b'0'..=b'9'), Some(b'-' | b'0'..=b'9')) => decimal::same(left, right),
        _ => false,
    }
}

/// Whether the bytes of a field that both rows have differ.
fn differs(bytes: &[u8], before: &[Span], after: &[Span]) -> bool {
    let text = |&(start, end): &Span| &bytes[start..end];
    before
        .iter()
        .zip(after)
        .any(|(before, after)| *before != ABSENT && *after != ABSENT && text(before) != text(after))
}
