//! `union` of lists: the target's items in their order, followed by the source's items that the
//! target lacks.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::Values;
use crate::conflict::compare::normalize_floats;

/// The unions for the selected rows; no side is null.
pub(super) fn union(source: &ArrayRef, target: &ArrayRef) -> Result<Values, ArrowError> {
    let (source, target) = (source.as_list::<i32>(), target.as_list::<i32>());
    let field = match target.data_type() {
        arrow::datatypes::DataType::List(field) => field.clone(),
        other => unreachable!("{other} was compiled as a list"),
    };
    let items = [source.values(), target.values()];
    let converter = RowConverter::new(vec![SortField::new(field.data_type().clone())])?;
    let rows_of = |items: &ArrayRef| converter.convert_columns(&[normalize_floats(items)]);
    let (source_items, target_items) = (rows_of(items[0])?, rows_of(items[1])?);
    let range = |list: &ListArray, row: usize| {
        let offsets = list.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    };
    let mut picked = Vec::new();
    let mut lengths = Vec::with_capacity(source.len());
    let mut known = HashSet::new();
    for row in 0..source.len() {
        let before = picked.len();
        known.clear();
        for item in range(target, row) {
            known.insert(target_items.row(item));
            picked.push((1, item));
        }
        let missing = range(source, row).filter(|&item| !known.contains(&source_items.row(item)));
        picked.extend(missing.map(|item| (0, item)));
        lengths.push(picked.len() - before);
    }
    let values = interleave(&[items[0].as_ref(), items[1].as_ref()], &picked)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Values {
        values: Arc::new(ListArray::try_new(field, offsets, values, None)?),
        failed: Vec::new(),
    })
}
