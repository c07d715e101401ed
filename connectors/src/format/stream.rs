//! The rows of one table that are being decoded, with one schema at a time.
//!
//! A row is appended, looked at, and then either committed with its operation or rolled back, in
//! all columns. A field that a row lacks is null; a field that stands twice counts the last time.
//! When the schema changes, what was committed is flushed as a batch of its own.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};

use super::column::Column;
use super::envelope::Head;
use super::fault::{Fault, Parsed};
use super::keys::{KeyOrder, STRANGER};
use super::reading::{Placeholder, Reading};
use super::sample::Sample;
use super::scan::Cursor;
use super::schema::{Connect, Described, Form};
use crate::change::{Changes, Operation, Table};
use crate::record::Records;

/// Columns asked for; `None` means all.
pub(super) type Projection<'a> = Option<&'a [String]>;

/// What a stream's columns were made from.
#[derive(Debug, Clone, Default)]
pub(super) struct Basis {
    /// The schema that came with the rows.
    pub(super) connect: Option<Arc<Connect>>,
    /// The key as the record or the configuration gives it.
    pub(super) key: Option<Arc<[String]>>,
}

impl PartialEq for Basis {
    fn eq(&self, other: &Self) -> bool {
        let same_schema = match (&self.connect, &other.connect) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_schema
            && match (&self.key, &other.key) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
                (None, None) => true,
                _ => false,
            }
    }
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) table: Arc<Table>,
    pub(super) form: Form,
    /// Set where the schema is guessed from the rows.
    pub(super) sample: Option<Sample>,
    /// `None` until the columns are known.
    basis: Option<Basis>,
    /// The key, where all its columns exist.
    key: Option<Arc<[String]>>,
    schema: SchemaRef,
    shape: Vec<Shape>,
    columns: Vec<Column>,
    keys: KeyOrder,
    /// A key that is no column is a new column.
    strangers_widen: bool,
    operations: Vec<Operation>,
    event_times_ms: Vec<Option<i64>>,
    origins: Vec<u32>,
    /// Where the key fields of the row read last stand in its message, by column.
    row_key: Vec<(usize, usize)>,
    /// The same for the row before it.
    before_key: Vec<(usize, usize)>,
    bytes: usize,
    /// A row was begun and neither committed nor rolled back.
    begun: bool,
}

#[derive(Debug)]
struct Shape {
    reading: Reading,
    required: bool,
    /// Place in the key's spans.
    key: Option<usize>,
}

/// Spans of a key field that is absent.
const ABSENT: (usize, usize) = (0, 0);

impl Stream {
    pub(super) fn new(table: Table) -> Self {
        Self {
            table: Arc::new(table),
            form: Form::Envelope,
            sample: None,
            basis: None,
            key: None,
            schema: Arc::new(Schema::empty()),
            shape: Vec::new(),
            columns: Vec::new(),
            keys: KeyOrder::default(),
            strangers_widen: false,
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
        let wanted =
            |column: &&Described| is_wanted(&column.name, form, basis.key.as_deref(), projection);
        let described: Vec<&Described> = described.iter().filter(wanted).collect();
        let fields: Vec<_> = described
            .iter()
            .map(|column| column.reading.field(&column.name))
            .collect();
        let has = |name: &String| described.iter().any(|column| column.name == *name);
        self.key = basis
            .key
            .clone()
            .filter(|key| !key.is_empty() && key.iter().all(has));
        let key = self.key.as_deref().unwrap_or_default();
        self.shape = described
            .iter()
            .map(|column| Shape {
                reading: column.reading.clone(),
                required: column.required,
                key: key.iter().position(|name| *name == column.name),
            })
            .collect();
        self.columns = fields
            .iter()
            .map(|field| Column::new(field.data_type()))
            .collect();
        let meta = if form == Form::Flat { Head::NAMES } else { &[] };
        let names = described.iter().map(|column| column.name.as_str());
        self.keys = KeyOrder::new(names.chain(meta.iter().copied()));
        self.row_key = vec![ABSENT; key.len()];
        self.before_key = vec![ABSENT; key.len()];
        self.strangers_widen = self.sample.is_some() && projection.is_none();
        self.schema = Arc::new(Schema::new(fields));
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
        let row = self.operations.len();
        self.row_key.fill(ABSENT);
        self.begun = true;
        cursor.expect(b'{')?;
        let (mut hint, mut filled) = (0, 0);
        let mut more = !cursor.closed(b'}');
        while more {
            let target = self.keys.next(cursor, &mut hint)?;
            if let Some(column) = self.columns.get_mut(target) {
                let shape = &self.shape[target];
                if column.len() > row {
                    column.truncate(row);
                    filled -= 1;
                }
                let start = cursor.at();
                shape
                    .reading
                    .read(cursor, column, placeholder)
                    .map_err(|fault| fault.at_field(self.schema.field(target).name()))?;
                if let Some(place) = shape.key {
                    self.row_key[place] = (start, cursor.at());
                }
                filled += 1;
            } else if target != STRANGER {
                head.read(target - self.columns.len(), cursor)?;
            } else if self.strangers_widen {
                return Err(Fault::value("found a field that no row had before"));
            } else {
                cursor.skip()?;
            }
            more = cursor.more(b'}')?;
        }
        if filled < self.columns.len() {
            for column in &mut self.columns {
                if column.len() == row {
                    column.append_null();
                }
            }
        }
        Ok(())
    }

    /// Passes the row before, noting only where its key fields stand.
    pub(super) fn scan_before(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        self.before_key.fill(ABSENT);
        if self.before_key.is_empty() {
            return cursor.skip();
        }
        cursor.expect(b'{')?;
        let mut hint = 0;
        let mut more = !cursor.closed(b'}');
        while more {
            let target = self.keys.next(cursor, &mut hint)?;
            let start = cursor.at();
            cursor.skip()?;
            if let Some(place) = self.shape.get(target).and_then(|shape| shape.key) {
                self.before_key[place] = (start, cursor.at());
            }
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    /// Whether the bytes of a key field differ between the row before and the row just read; the
    /// values may still be the same (R10).
    pub(super) fn may_change_key(&self, bytes: &[u8]) -> bool {
        let text = |&(start, end): &(usize, usize)| &bytes[start..end];
        self.before_key
            .iter()
            .zip(&self.row_key)
            .any(|(before, after)| {
                *before != ABSENT && *after != ABSENT && text(before) != text(after)
            })
    }

    /// Whether rows `a` and `b` hold the same key.
    pub(super) fn same_key(&self, a: usize, b: usize) -> bool {
        self.key_columns().all(|column| column.same(a, b))
    }

    /// Whether a key column of the last row is null.
    pub(super) fn lacks_key(&self) -> bool {
        self.key_columns().any(|column| column.is_null(self.len()))
    }

    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    fn key_columns(&self) -> impl Iterator<Item = &Column> {
        let pairs = self.columns.iter().zip(&self.shape);
        pairs
            .filter(|(_, shape)| shape.key.is_some())
            .map(|(column, _)| column)
    }

    /// Turns the last row, the image of a delete, into its key alone, where no other column holds
    /// anything: then the source did not send the row. A connector fills in zeros for columns that
    /// are `NOT NULL`, so that those say nothing.
    pub(super) fn reduce_to_key(&mut self) {
        let row = self.len();
        if self.key.is_none() {
            return;
        }
        let full = self.columns.iter().zip(&self.shape).any(|(column, shape)| {
            shape.key.is_none() && !column.is_null(row) && !(shape.required && column.is_zero(row))
        });
        if !full {
            self.unset_rest();
        }
    }

    /// Leaves the key columns of the last row and unsets the others.
    pub(super) fn unset_rest(&mut self) {
        let row = self.len();
        for (column, shape) in self.columns.iter_mut().zip(&self.shape) {
            if shape.key.is_none() {
                column.truncate(row);
                column.append_unset();
            }
        }
    }

    /// A row that holds nothing, for a truncate.
    pub(super) fn append_unset_row(&mut self) {
        self.rollback();
        self.begun = true;
        self.columns.iter_mut().for_each(Column::append_unset);
    }

    /// Keeps the row appended last.
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
        self.operations.push(operation);
        self.event_times_ms.push(event_time_ms);
        self.origins.push(origin);
        self.bytes += bytes;
    }

    /// Takes back what was appended and not committed.
    pub(super) fn rollback(&mut self) {
        if self.begun {
            self.truncate(self.len());
        }
    }

    /// Takes back all but the first `rows`, committed or not.
    pub(super) fn truncate(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.truncate(rows);
        }
        self.begun = false;
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
        let taken: Result<Vec<_>, _> = self
            .columns
            .iter_mut()
            .zip(self.schema.fields())
            .map(|(column, field)| column.take(field.data_type()))
            .collect();
        let (arrays, unset) = taken
            .expect("messages are checked for UTF-8 before they are read")
            .into_iter()
            .unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(len));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .expect("every column has the type of its field and one entry a row");
        Some(Changes {
            table: self.table.clone(),
            key: self.key.clone(),
            rows,
            unset,
            before: None,
            operations: std::mem::take(&mut self.operations),
            event_times_ms: std::mem::take(&mut self.event_times_ms),
            origins: std::mem::take(&mut self.origins),
            records: records.clone(),
        })
    }
}

/// Whether a column is to be decoded: the key always is, the metadata of flat rows never.
pub(super) fn is_wanted(
    name: &str,
    form: Form,
    key: Option<&[String]>,
    projection: Projection<'_>,
) -> bool {
    let named = |names: &[String]| names.iter().any(|other| other == name);
    (form != Form::Flat || !Head::NAMES.contains(&name))
        && (projection.is_none_or(named) || key.is_some_and(named))
}
