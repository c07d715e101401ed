//! The columns of a stream, and how a JSON object becomes a row of them.
//!
//! One layout reads the rows after and the rows before, each into columns of their own. A column that
//! a row does not carry is unset and never null (R19); a field that stands twice counts the last time;
//! a field that is no column is passed over, or is a new column where no schema declares them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Schema, SchemaRef};

use super::column::Column;
use super::fault::{Fault, Parsed};
use super::head::{Head, Metadata};
use super::keys::{KeyOrder, STRANGER};
use super::reading::{Placeholder, Reading};
use super::scan::Cursor;
use super::schema::{Described, Form};

/// Where a key field's value begins and ends in its message.
pub(super) type Span = (usize, usize);

/// The span of a key field that is absent.
pub(super) const ABSENT: Span = (0, 0);

/// See the module docs.
#[derive(Debug)]
pub(super) struct Layout {
    /// The key, where all its columns exist.
    pub(super) key: Option<Arc<[String]>>,
    /// Where its columns stand.
    key_places: Vec<usize>,
    /// How many fields are noted where they stand: those of the key, then those that are watched.
    span_count: usize,
    schema: SchemaRef,
    shape: Vec<Shape>,
    keys: KeyOrder,
    /// The places of the names in `keys` that are no columns, for [`Head::read`].
    metadata: Vec<usize>,
    /// A key that is no column is a new column.
    strangers_count: bool,
}

/// Rows of columns, and of each column the rows in which it is unset, and those in which it is not carried.
pub(super) type Rows = (RecordBatch, Masks, Masks);

/// For each column the rows of which something holds; `None` where it holds of none.
type Masks = Vec<Option<BooleanBuffer>>;

#[derive(Debug)]
struct Shape {
    reading: Reading,
    required: bool,
    /// Whether it is part of the key.
    key: bool,
    /// Place in the spans.
    span: Option<usize>,
}

impl Layout {
    /// Of no columns.
    pub(super) fn empty() -> Self {
        Self {
            key: None,
            key_places: Vec::new(),
            span_count: 0,
            schema: Arc::new(Schema::empty()),
            shape: Vec::new(),
            keys: KeyOrder::default(),
            metadata: Vec::new(),
            strangers_count: false,
        }
    }

    /// Of these columns. The key is the first of `keys` whose columns all exist; `watched` are further
    /// columns that are noted where they stand. The `metadata` of a flat row is known, too, but no column.
    pub(super) fn new(
        described: &[&Described],
        form: Form,
        metadata: &Metadata,
        keys: [Option<&Arc<[String]>>; 2],
        watched: &[String],
        strangers_count: bool,
    ) -> Self {
        let has = |name: &String| described.iter().any(|column| column.name == *name);
        let mut keys = keys.into_iter().flatten();
        let key = keys
            .find(|key| !key.is_empty() && key.iter().all(has))
            .cloned();
        let key_names = key.as_deref().unwrap_or_default();
        let further = watched.iter().filter(|name| !key_names.contains(name));
        let noted: Vec<&String> = key_names.iter().chain(further).collect();
        let names = described.iter().enumerate();
        let key_places = names
            .filter(|(_, column)| key_names.contains(&column.name))
            .map(|(place, _)| place)
            .collect();
        let fields: Vec<_> = described
            .iter()
            .map(|column| column.reading.field(&column.name))
            .collect();
        let shape = described
            .iter()
            .map(|column| Shape {
                reading: column.reading.clone(),
                required: column.required,
                key: key_names.contains(&column.name),
                span: noted.iter().position(|name| **name == column.name),
            })
            .collect();
        let metadata = Some(metadata).filter(|_| form == Form::Flat);
        let meta = metadata.into_iter().flat_map(Metadata::names);
        let names = described.iter().map(|column| column.name.as_str());
        Self {
            schema: Arc::new(Schema::new(fields)),
            shape,
            keys: KeyOrder::new(names.chain(meta)),
            metadata: metadata.into_iter().flat_map(Metadata::places).collect(),
            strangers_count,
            key_places,
            span_count: noted.len(),
            key,
        }
    }

    /// Whether the column of this name holds plain text.
    pub(super) fn is_text(&self, name: &str) -> bool {
        let place = self.schema.index_of(name);
        place.is_ok_and(|place| self.shape[place].reading == Reading::Text)
    }

    /// Whether there is a column of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.schema.index_of(name).is_ok()
    }

    /// Empty columns of it.
    pub(super) fn columns(&self) -> Vec<Column> {
        let fields = self.schema.fields().iter();
        fields.map(|field| Column::new(field.data_type())).collect()
    }

    /// Spans of a key of which nothing was read.
    pub(super) fn spans(&self) -> Vec<Span> {
        vec![ABSENT; self.span_count]
    }

    /// Appends the object that stands next to columns that hold `row` entries, and notes in `spans`
    /// where its key fields stand. Metadata of a flat row goes to `head`. After a fault the columns
    /// must be cut back to `row` entries.
    pub(super) fn read<'a>(
        &mut self,
        columns: &mut [Column],
        row: usize,
        spans: &mut [Span],
        cursor: &mut Cursor<'a>,
        placeholder: &Placeholder,
        head: &mut Head<'a>,
    ) -> Parsed<()> {
        spans.fill(ABSENT);
        cursor.expect(b'{')?;
        let (mut hint, mut filled) = (0, 0);
        let mut more = !cursor.closed(b'}');
        while more {
            let target = self.keys.next(cursor, &mut hint)?;
            if let Some(column) = columns.get_mut(target) {
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
                if let Some(place) = shape.span {
                    spans[place] = (start, cursor.at());
                }
                filled += 1;
            } else if target != STRANGER {
                head.read(self.metadata[target - columns.len()], cursor)?;
            } else if self.strangers_count {
                return Err(Fault::value("found a field that no row had before"));
            } else {
                cursor.skip()?;
            }
            more = cursor.more(b'}')?;
        }
        if filled < columns.len() {
            for column in columns {
                if column.len() == row {
                    column.append_not_carried();
                }
            }
        }
        Ok(())
    }

    /// Passes the object that stands next, noting in `spans` where its key fields stand.
    pub(super) fn scan(&mut self, spans: &mut [Span], cursor: &mut Cursor<'_>) -> Parsed<()> {
        spans.fill(ABSENT);
        if spans.is_empty() {
            return cursor.skip();
        }
        cursor.expect(b'{')?;
        let mut hint = 0;
        let mut more = !cursor.closed(b'}');
        while more {
            let target = self.keys.next(cursor, &mut hint)?;
            let start = cursor.at();
            cursor.skip()?;
            if let Some(place) = self.shape.get(target).and_then(|shape| shape.span) {
                spans[place] = (start, cursor.at());
            }
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    /// The key's columns among `columns`; none where the key is not known.
    pub(super) fn key_columns<'a>(
        &'a self,
        columns: &'a [Column],
    ) -> impl Iterator<Item = &'a Column> {
        self.key_places.iter().map(|&place| &columns[place])
    }

    /// The columns that are not the key's.
    pub(super) fn other_columns<'a>(
        &'a self,
        columns: &'a mut [Column],
    ) -> impl Iterator<Item = &'a mut Column> {
        let pairs = columns.iter_mut().zip(&self.shape);
        pairs
            .filter(|(_, shape)| !shape.key)
            .map(|(column, _)| column)
    }

    /// Whether a column that is not the key's holds anything in this row; if none does, the source
    /// did not send the row. A connector fills in zeros for columns that are `NOT NULL`, so that
    /// those say nothing.
    pub(super) fn holds_more_than_key(&self, columns: &[Column], row: usize) -> bool {
        columns.iter().zip(&self.shape).any(|(column, shape)| {
            let says_nothing = column.is_null(row) || (shape.required && column.is_zero(row));
            !shape.key && !says_nothing
        })
    }

    /// The rows of columns of `len` entries, which are empty afterwards, and where they are unset.
    pub(super) fn take(&self, columns: &mut [Column], len: usize) -> Rows {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        let (mut unset, mut not_carried) = (Vec::new(), Vec::new());
        for (column, field) in columns.iter_mut().zip(self.schema.fields()) {
            let taken = column
                .take(field.data_type())
                .expect("messages are checked for UTF-8 before they are read");
            arrays.push(taken.array);
            unset.push(taken.unset);
            not_carried.push(taken.not_carried);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(len));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .expect("every column has the type of its field and one entry a row");
        (rows, unset, not_carried)
    }
}
