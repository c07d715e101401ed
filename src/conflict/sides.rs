//! Compares the sides of a conflict batch once: which changes meet a row, and in which columns the
//! sides differ.

use arrow::array::{Array, ArrayRef, UInt64Array, new_null_array};
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use syncline_connectors::change::{Changes, Operation};
use syncline_connectors::conflict::{Base, ConflictBatch, TargetRows, hash_column};

use super::compare::{Equality, hashes_differ};
use super::mask::{Mask, no_rows, valid_rows, without, without_some};

/// The two sides, with masks of the kinds of rows.
pub(super) struct Sides<'a> {
    pub(super) rows: usize,
    pub(super) changes: &'a Changes,
    pub(super) target: &'a TargetRows,
    base: Base<'a>,
    /// The creates, reads and updates.
    pub(super) upserts: Mask,
    /// The changes that meet a row that is not marked as deleted.
    pub(super) met: Mask,
}

/// The rows in which the sides of one column differ.
#[derive(Debug)]
pub(super) struct Difference {
    /// The source sent the column, and its value differs from the target's.
    pub(super) sides: Mask,
    /// The base is known; upserts only.
    pub(super) known: Mask,
    /// The base is known, and the source's value differs from it.
    pub(super) source: Mask,
    /// The base is known, and the target's value differs from it.
    pub(super) target: Mask,
}

impl<'a> Sides<'a> {
    pub(super) fn of(batch: &ConflictBatch<'a>) -> Self {
        let (changes, target) = (batch.changes, batch.target);
        let rows = changes.len();
        let operations = &changes.operations;
        Self {
            rows,
            changes,
            target,
            base: batch.base,
            upserts: Mask::collect_bool(rows, |row| operations[row] != Operation::Delete),
            met: without_some(&target.exists, target.marked.as_ref()),
        }
    }

    pub(super) fn deletes(&self) -> Mask {
        !&self.upserts
    }

    /// Whether the source sent the column in every row.
    pub(super) fn sent_all(&self, column: usize) -> bool {
        self.changes.unset[column].is_none()
    }

    /// The rows in which the source withheld one of `columns` as unavailable (R14).
    pub(super) fn incomplete(&self, columns: impl Iterator<Item = usize>) -> Mask {
        let incomplete = self.changes.incomplete(columns);
        incomplete.unwrap_or_else(|| no_rows(self.rows))
    }

    /// The rows that say too little of `columns` to be compared (C1).
    pub(super) fn blind(&self, columns: impl Iterator<Item = usize>) -> Mask {
        let columns: Vec<usize> = columns.collect();
        let blind = self.changes.blind(&columns);
        blind.unwrap_or_else(|| no_rows(self.rows))
    }

    /// The base's values of a column, null where unknown; `None` if the base holds no values.
    pub(super) fn base_column(&self, column: usize) -> Option<&'a ArrayRef> {
        match self.base {
            Base::Image(image) => Some(image.rows.column(column)),
            Base::None | Base::Hashes(_) => None,
        }
    }

    /// The base's values of a column; all null if the base holds no values.
    pub(super) fn base_values(&self, column: usize) -> ArrayRef {
        let known = self.base_column(column).cloned();
        known.unwrap_or_else(|| new_null_array(self.source(column).data_type(), self.rows))
    }

    /// Whether the base holds values, not only hashes.
    pub(super) fn has_base_values(&self) -> bool {
        matches!(self.base, Base::Image(_))
    }

    /// Compares a column. Looks at the base only if `with_base` is set.
    pub(super) fn difference(
        &self,
        column: usize,
        field: &Field,
        equality: Equality,
        with_base: bool,
    ) -> Result<Difference, ArrowError> {
        let (source, target) = (self.source(column), self.target.rows.column(column));
        let foreign = self.target.foreign[column].as_ref();
        let or_foreign = |differ: Mask| match foreign {
            Some(foreign) => &differ | foreign,
            None => differ,
        };
        let sent = without_some(&self.met, self.changes.unset[column].as_ref());
        let nothing = || no_rows(self.rows);
        let sides = match sent.has_true() {
            true => &or_foreign(equality.differ(source, target)?) & &sent,
            false => nothing(),
        };
        let known = match self.base {
            _ if !with_base => nothing(),
            Base::None => nothing(),
            Base::Image(image) => without_some(&image.present, image.unset[column].as_ref()),
            Base::Hashes(hashes) => valid_rows(&hashes.columns[column]),
        };
        let known = &(&known & &sent) & &self.upserts;
        if !known.has_true() {
            return Ok(Difference {
                sides,
                known,
                source: nothing(),
                target: nothing(),
            });
        }
        let (source, target) = match self.base {
            Base::None => (nothing(), nothing()),
            Base::Image(image) => {
                let base = image.rows.column(column);
                (
                    equality.differ(source, base)?,
                    equality.differ(target, base)?,
                )
            }
            Base::Hashes(hashes) => {
                let base: &UInt64Array = &hashes.columns[column];
                let differ = |side: &ArrayRef| hashes_differ(&hash_column(field, side), base);
                (differ(source)?, differ(target)?)
            }
        };
        Ok(Difference {
            source: &source & &known,
            target: &or_foreign(target) & &known,
            sides,
            known,
        })
    }

    pub(super) fn source(&self, column: usize) -> &ArrayRef {
        self.changes.rows.column(column)
    }
}

impl Difference {
    /// The rows in which only the source changed the column.
    pub(super) fn only_source(&self) -> Mask {
        without(&self.source, &self.target)
    }

    /// The rows in which only the target changed the column.
    pub(super) fn only_target(&self) -> Mask {
        without(&self.target, &self.source)
    }
}
