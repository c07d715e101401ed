//! Values of rows under a new key: what is known of them, and rows filled with them.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::FieldRef;

use crate::change::{Changes, Image, Operation};
use crate::error::{Error, Result};
use crate::format::fit;
use crate::sql::Options;
use crate::sql::target::key_columns;
use crate::text::write_text;

/// Values of rows that were made whole, by their place and column.
pub(super) type Values = HashMap<(usize, usize), HashMap<usize, ArrayRef>>;

pub(super) fn known_value(image: &Image, column: usize, row: usize) -> Option<ArrayRef> {
    let unset = image.unset[column].as_ref();
    (!unset.is_some_and(|unset| unset.value(row))).then(|| image.rows.column(column).slice(row, 1))
}

/// A value in the type of its column; `None` where that type cannot say it.
pub(super) fn fitted(value: &ArrayRef, field: &FieldRef) -> Result<Option<ArrayRef>> {
    let (value, unfit) = fit(value, field)?;
    Ok(unfit.is_none().then_some(value))
}

/// The batch with the values of its rows; what a create carried of its old key is left out.
pub(super) fn fill(mut changes: Changes, number: usize, whole: &Values) -> Result<Changes> {
    let mut columns = changes.rows.columns().to_vec();
    for (column, array) in columns.iter_mut().enumerate() {
        let Some(unset) = changes.unset[column].clone() else {
            continue;
        };
        let value = |row: usize| {
            whole
                .get(&(number, row))
                .and_then(|values| values.get(&column))
        };
        let mut sources: Vec<&dyn Array> = vec![array.as_ref()];
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(changes.len());
        for row in 0..changes.len() {
            match value(row).filter(|_| unset.value(row)) {
                Some(value) => {
                    places.push((sources.len(), 0));
                    sources.push(value.as_ref());
                }
                None => places.push((0, row)),
            }
        }
        if sources.len() > 1 {
            let filled = arrow::compute::interleave(&sources, &places);
            *array = filled.map_err(Error::configuration)?;
            let still = |row: usize| unset.value(row) && value(row).is_none();
            let still = BooleanBuffer::collect_bool(changes.len(), still);
            if let Some(Some(not_carried)) = changes.not_carried.get_mut(column) {
                *not_carried = &*not_carried & &still;
            }
            changes.unset[column] = (still.count_set_bits() > 0).then_some(still);
        }
    }
    changes.rows = arrow::array::RecordBatch::try_new(changes.schema(), columns)
        .map_err(Error::configuration)?;
    if let Some(before) = &mut changes.before {
        let operations = &changes.operations;
        before.present = BooleanBuffer::collect_bool(operations.len(), |row| {
            before.present.value(row) && operations[row] != Operation::Create
        });
        if before.present.count_set_bits() == 0 {
            changes.before = None;
        }
    }
    Ok(changes)
}

/// The key of every row as text; `None` where it has none.
pub(super) fn key_texts(options: &Options, changes: &Changes) -> Result<Vec<Option<Vec<u8>>>> {
    let key = key_columns(options, changes)?;
    let schema = changes.schema();
    let text = |row: usize| {
        let mut bytes = Vec::new();
        for &column in &key {
            let array = changes.rows.column(column);
            if array.is_null(row) || changes.is_unset(column, row) {
                return None;
            }
            let start = bytes.len();
            write_text(schema.field(column), array, row, &mut bytes);
            let length = (bytes.len() - start) as u64;
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        Some(bytes)
    };
    Ok((0..changes.len()).map(text).collect())
}
