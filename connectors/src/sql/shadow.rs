//! The source's last images, kept beside the target for three-way merges without images before.
//!
//! The image of a key is what the source said last, whatever became of it in the target: a column
//! whose value differs from it was changed by the source, a row of the target that differs from it
//! was changed there. A delete takes the image away.

use arrow::array::{Array, ArrayRef, UInt32Array, UInt64Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{interleave, take};

use super::scatter::{scatter_bits, scatter_column};
use crate::change::{Changes, Image, Operation};
use crate::conflict::{Base, Hashes, hash_column};
use crate::error::{Error, Result};

/// The images of some keys.
#[derive(Debug, Clone)]
pub(crate) enum Shadow {
    /// Their values.
    Image(Image),
    /// Their hashes.
    Hashes(Hashes),
}

impl Shadow {
    /// As a resolver is shown it.
    pub(crate) fn base(&self) -> Base<'_> {
        match self {
            Self::Image(image) => Base::Image(image),
            Self::Hashes(hashes) => Base::Hashes(hashes),
        }
    }

    /// The images of the keys at `keys`, in that order.
    ///
    /// # Errors
    /// Where Arrow cannot take from a column.
    pub(crate) fn take(&self, keys: &[u32]) -> Result<Self> {
        match self {
            Self::Image(image) => image.take(keys).map(Self::Image).map_err(broken),
            Self::Hashes(hashes) => {
                let indices = UInt32Array::from(keys.to_vec());
                let columns = hashes.columns.iter().map(|column| {
                    let taken = take(column, &indices, None)?;
                    Ok(UInt64Array::from(taken.to_data()))
                });
                let columns = columns.collect::<Result<_, _>>().map_err(broken)?;
                Ok(Self::Hashes(Hashes { columns }))
            }
        }
    }

    /// Takes on the images of one change for each of `keys`, as far as `seen`.
    ///
    /// # Errors
    /// Where Arrow cannot put the columns together.
    pub(crate) fn follow(&mut self, changes: &Changes, keys: &[u32], seen: &[bool]) -> Result<()> {
        let is_upsert = |row: usize| changes.operations[row] != Operation::Delete;
        match self {
            Self::Image(image) => {
                let count = image.present.len();
                for column in 0..changes.rows.num_columns() {
                    let takes =
                        |row: usize| seen[row] && is_upsert(row) && !changes.is_unset(column, row);
                    let values = changes.rows.column(column);
                    let held = image.rows.column(column);
                    let merged = follow_column(held, values, keys, &takes, &|row| {
                        seen[row] && !is_upsert(row)
                    })?;
                    let mut columns = image.rows.columns().to_vec();
                    columns[column] = merged;
                    image.rows = arrow::array::RecordBatch::try_new(image.rows.schema(), columns)
                        .map_err(broken)?;
                    let set = BooleanBuffer::collect_bool(keys.len(), takes);
                    let set = scatter_bits(&set, keys, count);
                    // Of a key that had no image, what is not set now is not known.
                    let absent = !&image.present;
                    let unknown = match &image.unset[column] {
                        Some(unset) => unset | &absent,
                        None => absent,
                    };
                    let unknown = &unknown & &!&set;
                    image.unset[column] = (unknown.count_set_bits() > 0).then_some(unknown);
                }
                let now = |row: usize| seen[row] && is_upsert(row);
                let gone = |row: usize| seen[row] && !is_upsert(row);
                let now = scatter_bits(&BooleanBuffer::collect_bool(keys.len(), now), keys, count);
                let gone =
                    scatter_bits(&BooleanBuffer::collect_bool(keys.len(), gone), keys, count);
                image.present = &(&image.present | &now) & &!&gone;
            }
            Self::Hashes(hashes) => {
                for (column, held) in hashes.columns.iter_mut().enumerate() {
                    let takes =
                        |row: usize| seen[row] && is_upsert(row) && !changes.is_unset(column, row);
                    let field = changes.rows.schema_ref().field(column);
                    let values: ArrayRef =
                        std::sync::Arc::new(hash_column(field, changes.rows.column(column)));
                    let as_array: ArrayRef = std::sync::Arc::new(held.clone());
                    let merged = follow_column(&as_array, &values, keys, &takes, &|row| {
                        seen[row] && !is_upsert(row)
                    })?;
                    *held = UInt64Array::from(merged.to_data());
                }
            }
        }
        Ok(())
    }
}

/// `held` with the values of `keys` where `takes`, and null where `gone`.
fn follow_column(
    held: &ArrayRef,
    values: &ArrayRef,
    keys: &[u32],
    takes: &dyn Fn(usize) -> bool,
    gone: &dyn Fn(usize) -> bool,
) -> Result<ArrayRef> {
    let none = new_null_array(held.data_type(), 1);
    let places: Vec<(usize, usize)> = keys
        .iter()
        .enumerate()
        .map(|(row, &key)| match (takes(row), gone(row)) {
            (true, _) => (1, row),
            (false, true) => (2, 0),
            (false, false) => (0, key as usize),
        })
        .collect();
    let of_keys =
        interleave(&[held.as_ref(), values.as_ref(), none.as_ref()], &places).map_err(broken)?;
    scatter_column(held, &of_keys, keys).map_err(broken)
}

fn broken(cause: arrow::error::ArrowError) -> Error {
    Error::configuration_from("cannot put the rows of a shadow together", cause)
}
