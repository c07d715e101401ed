//! The nouns that cross every border: operation, table, a batch of changes.
//!
//! A change is one row-level event. A batch holds changes of one table with one Arrow schema, in
//! source order. What a row means by operation:
//!
//! - create, read, update: the row after. A value that the source did not send is null in the column
//!   and set in [`Changes::unset`]: it means "unchanged" and is left out of the update. Where the
//!   target has no such row, a column that the change does not carry ([`Changes::not_carried`], R19)
//!   is left out of the insert too and gets its default; a value that the source withheld as
//!   unavailable (R14) makes the change incomplete.
//! - delete: the row before where the source sent a full image; else only the key columns hold
//!   values and every other column is unset.
//! - truncate: all columns null and unset; it concerns the whole table (R13).
//!
//! Types that Arrow cannot say travel as text with a [`Logical`] type in the field's metadata, so
//! that nothing becomes a float or loses digits (R3). Timestamps `i64::MAX` and `i64::MIN` are
//! `infinity` and `-infinity`; a time of 24:00:00 is one unit past the last of the day.
//!
//! A column whose type no schema declares is *undeclared* ([`is_undeclared`]): its Arrow type is that
//! of the JSON values at hand, and the sink reads each value as the type of the target's column.

mod column_type;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

pub use self::column_type::{Logical, has_no_kind, is_undeclared, undeclared, without_kind};
pub(crate) use self::column_type::{is_loose_text, loose_text};
use crate::record::Records;

/// What happened to a row; Debezium's letters (R1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `c`: inserted.
    Create,
    /// `u`: updated.
    Update,
    /// `d`: deleted.
    Delete,
    /// `r`: read by a snapshot.
    Read,
    /// `t`: the whole table was emptied.
    Truncate,
}

impl Operation {
    /// Debezium's letter.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
            Self::Truncate => "t",
        }
    }
}

/// A table as the source names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// The topic or file that the changes came from.
    pub topic: Arc<str>,
    /// Database, where the source says it.
    pub database: Option<Arc<str>>,
    /// Schema, where the source says it.
    pub schema: Option<Arc<str>>,
    /// Table name; the last part of the topic where the source does not say it.
    pub name: Arc<str>,
}

impl Table {
    /// No table of any source, for a target whose name depends on none.
    pub(crate) fn nowhere() -> Self {
        Self {
            topic: "".into(),
            database: None,
            schema: None,
            name: "".into(),
        }
    }
}

/// Changes of one table with one schema, in source order. All vectors have one entry a row.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The source's table.
    pub table: Arc<Table>,
    /// Names of the key columns as the record key or the source's configuration gives them (R2);
    /// `None` where neither does. They name columns of the *decoded* rows; an operator that renames
    /// a column renames it here.
    pub key: Option<Arc<[String]>>,
    /// The row values; see the module docs for what they are by operation.
    pub rows: RecordBatch,
    /// For each column, the rows in which the source did not send it (R14); `None` for a column
    /// that is set in every row.
    pub unset: Vec<Option<BooleanBuffer>>,
    /// For each column, those of its unset rows whose change does not carry the column at all (R19);
    /// the others hold a value that the source withheld as unavailable (R14). Empty where every unset
    /// value is unavailable.
    pub not_carried: Vec<Option<BooleanBuffer>>,
    /// The rows before, where someone asked for them and the source sent any.
    pub before: Option<Image>,
    /// What happened to each row.
    pub operations: Vec<Operation>,
    /// When it happened at the source, milliseconds since the epoch: `source.ts_ms`, else `ts_ms`,
    /// else the record's time; `None` where nothing says it. Never used to order changes (R5).
    pub event_times_ms: Vec<Option<i64>>,
    /// Index into [`Changes::records`] of the record that each row came from. Two rows share one
    /// where a key change became a delete and a create (R10).
    pub origins: Vec<u32>,
    /// The raw records, for `_key`, `_offset` and the like, and for the quarantine.
    pub records: Arc<Records>,
}

/// Rows as they were before their changes: the base of a three-way merge.
#[derive(Debug, Clone)]
pub struct Image {
    /// Their values, in the schema of the rows after; null where there is no image.
    pub rows: RecordBatch,
    /// For each column, the rows in which it is not known; `None` where it always is.
    pub unset: Vec<Option<BooleanBuffer>>,
    /// Whether there is an image at all. A create has none, but where a change of key made it and it
    /// leaves out values: then the image says the old key, and those values if it knows them. The
    /// image of a delete is its row.
    pub present: BooleanBuffer,
}

impl Image {
    /// The images at `indices`, in that order.
    ///
    /// # Errors
    /// Where Arrow cannot take from a column (an index past the end).
    pub fn take(&self, indices: &[u32]) -> Result<Self, ArrowError> {
        Ok(Self {
            rows: take_rows(&self.rows, indices)?,
            unset: take_masks(&self.unset, indices),
            present: take_bits(&self.present, indices),
        })
    }
}

impl Changes {
    /// Number of changes.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The Arrow schema of the rows.
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// The changes at `indices`, in that order.
    ///
    /// # Errors
    /// Where Arrow cannot take from a column (an index past the end).
    pub fn take(&self, indices: &[u32]) -> Result<Self, ArrowError> {
        Ok(Self {
            table: self.table.clone(),
            key: self.key.clone(),
            rows: take_rows(&self.rows, indices)?,
            unset: take_masks(&self.unset, indices),
            not_carried: take_masks(&self.not_carried, indices),
            before: self
                .before
                .as_ref()
                .map(|before| before.take(indices))
                .transpose()?,
            operations: indices
                .iter()
                .map(|&i| self.operations[i as usize])
                .collect(),
            event_times_ms: indices
                .iter()
                .map(|&i| self.event_times_ms[i as usize])
                .collect(),
            origins: indices.iter().map(|&i| self.origins[i as usize]).collect(),
            records: self.records.clone(),
        })
    }

    /// The changes whose bit in `mask` is true; a null bit is false.
    ///
    /// # Errors
    /// As [`Changes::take`].
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self, ArrowError> {
        if mask.true_count() == self.len() {
            return Ok(self.clone());
        }
        let indices: Vec<u32> = (0..self.len())
            .filter(|&i| mask.is_valid(i) && mask.value(i))
            .map(|i| i as u32)
            .collect();
        self.take(&indices)
    }

    /// The columns at `indices`, in that order.
    ///
    /// # Errors
    /// Where an index is past the last column.
    pub fn project(&self, indices: &[usize]) -> Result<Self, ArrowError> {
        let whole = indices.len() == self.rows.num_columns();
        if whole
            && indices
                .iter()
                .enumerate()
                .all(|(place, &index)| place == index)
        {
            return Ok(self.clone());
        }
        let masks = |masks: &[Option<BooleanBuffer>]| -> Vec<Option<BooleanBuffer>> {
            let mask = |&index: &usize| masks.get(index).cloned().flatten();
            indices.iter().map(mask).collect()
        };
        let before = match &self.before {
            Some(before) => Some(Image {
                rows: before.rows.project(indices)?,
                unset: masks(&before.unset),
                present: before.present.clone(),
            }),
            None => None,
        };
        Ok(Self {
            rows: self.rows.project(indices)?,
            unset: masks(&self.unset),
            not_carried: masks(&self.not_carried),
            before,
            ..self.clone()
        })
    }

    /// Whether column `column` of row `row` was not sent by the source (R14, R19).
    pub fn is_unset(&self, column: usize, row: usize) -> bool {
        self.unset[column]
            .as_ref()
            .is_some_and(|mask| mask.value(row))
    }

    /// The rows of a column whose value the source withheld as unavailable (R14); `None` where there
    /// are none.
    pub fn unavailable(&self, column: usize) -> Option<BooleanBuffer> {
        let unset = self.unset[column].as_ref()?;
        let unavailable = match self.not_carried.get(column).and_then(Option::as_ref) {
            Some(not_carried) => unset & &!not_carried,
            None => unset.clone(),
        };
        (unavailable.count_set_bits() > 0).then_some(unavailable)
    }

    /// The rows in which a value of `columns` is unavailable (R14): without a row in the target they
    /// are incomplete. `None` where there are none.
    pub fn incomplete(&self, columns: impl Iterator<Item = usize>) -> Option<BooleanBuffer> {
        columns
            .filter_map(|column| self.unavailable(column))
            .reduce(|all, mask| &all | &mask)
    }

    /// The rows that say too little to be compared with the target's: those with an unavailable value
    /// in `columns`, which are all but the key's, and those in which none of them is set (C1). `None`
    /// where there are none.
    pub fn blind(&self, columns: &[usize]) -> Option<BooleanBuffer> {
        let incomplete = self.incomplete(columns.iter().copied());
        let masks: Option<Vec<&BooleanBuffer>> = columns
            .iter()
            .map(|&column| self.unset[column].as_ref())
            .collect();
        let masks = masks.unwrap_or_default();
        let nothing = masks
            .into_iter()
            .fold(None, |all: Option<BooleanBuffer>, mask| {
                Some(all.map_or_else(|| mask.clone(), |all| &all & mask))
            });
        let blind = match (incomplete, nothing) {
            (Some(incomplete), Some(nothing)) => &incomplete | &nothing,
            (Some(mask), None) | (None, Some(mask)) => mask,
            (None, None) => return None,
        };
        (blind.count_set_bits() > 0).then_some(blind)
    }

    /// Whether a row came from a record without a value, so that its key is all that is known.
    pub fn is_tombstone(&self, row: usize) -> bool {
        let value = self.records.value(self.origins[row] as usize);
        value.is_none_or(|value| {
            let value = value.trim_ascii();
            value == b"null" || value.ends_with(b"\"payload\":null}")
        })
    }

    /// The updates whose row before is known to have another key (R10); `key` are indices of the key
    /// columns. A row before in which a key column is null or not known says nothing.
    ///
    /// # Errors
    /// Where the key columns have a type that cannot be compared.
    pub fn changed_keys(&self, key: &[usize]) -> Result<Vec<usize>, ArrowError> {
        let Some(before) = &self.before else {
            return Ok(Vec::new());
        };
        let mut differs = vec![false; self.len()];
        for &column in key {
            let (after, was) = (self.rows.column(column), before.rows.column(column));
            let distinct = arrow::compute::kernels::cmp::distinct(after, was)?;
            for row in distinct.values().set_indices() {
                differs[row] = true;
            }
        }
        let is_known = |&column: &usize, row: usize| {
            let unset = before.unset[column].as_ref();
            before.rows.column(column).is_valid(row)
                && !unset.is_some_and(|unset| unset.value(row))
                && self.rows.column(column).is_valid(row)
        };
        let rows = (0..self.len()).filter(|&row| {
            differs[row]
                && self.operations[row] == Operation::Update
                && before.present.value(row)
                && key.iter().all(|column| is_known(column, row))
        });
        Ok(rows.collect())
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.rows.column_by_name(name)
    }

    /// Memory held by the rows, in bytes; the raw records are counted on their own.
    pub fn size(&self) -> usize {
        let before = self.before.as_ref();
        self.rows.get_array_memory_size()
            + before.map_or(0, |before| before.rows.get_array_memory_size())
    }
}

/// The rows at `indices`, in that order.
///
/// # Errors
/// Where Arrow cannot take from a column (an index past the end).
pub fn take_rows(rows: &RecordBatch, indices: &[u32]) -> Result<RecordBatch, ArrowError> {
    let index_array = UInt32Array::from(indices.to_vec());
    let columns = rows
        .columns()
        .iter()
        .map(|column| arrow::compute::take(column, &index_array, None))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
    RecordBatch::try_new_with_options(rows.schema(), columns, &options)
}

/// The bits at `indices`, in that order.
pub fn take_bits(bits: &BooleanBuffer, indices: &[u32]) -> BooleanBuffer {
    BooleanBuffer::collect_bool(indices.len(), |i| bits.value(indices[i] as usize))
}

/// The bits of each mask at `indices`; `None` for a mask of which none is set.
pub fn take_masks(masks: &[Option<BooleanBuffer>], indices: &[u32]) -> Vec<Option<BooleanBuffer>> {
    masks
        .iter()
        .map(|mask| {
            let taken = take_bits(mask.as_ref()?, indices);
            (taken.count_set_bits() > 0).then_some(taken)
        })
        .collect()
}
