//! Masks: sets of rows of a conflict batch, one bit for each change.

use arrow::array::{Array, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use syncline_connectors::error::Error;

/// The set of rows whose bit is set.
pub(super) type Mask = BooleanBuffer;

/// The empty set.
pub(super) fn no_rows(rows: usize) -> Mask {
    Mask::new_unset(rows)
}

/// The rows of `left` that are not in `right`.
pub(super) fn without(left: &Mask, right: &Mask) -> Mask {
    Mask::from_bitwise_binary_op(
        left.inner(),
        left.offset(),
        right.inner(),
        right.offset(),
        left.len(),
        |left, right| left & !right,
    )
}

/// `left` without the rows of `right`, if `right` is given.
pub(super) fn without_some(left: &Mask, right: Option<&Mask>) -> Mask {
    match right {
        Some(right) => without(left, right),
        None => left.clone(),
    }
}

/// The rows that are true; null counts as false.
pub(super) fn true_rows(compared: &BooleanArray) -> Mask {
    match compared.nulls() {
        Some(nulls) => compared.values() & nulls.inner(),
        None => compared.values().clone(),
    }
}

/// The rows that hold a value.
pub(super) fn valid_rows(column: &dyn Array) -> Mask {
    match column.nulls() {
        Some(nulls) => nulls.inner().clone(),
        None => Mask::new_set(column.len()),
    }
}

/// Expands bits for the selected `rows` to a mask over all rows.
pub(super) fn scatter(bits: &Mask, rows: &Mask) -> Mask {
    let mut scattered = vec![false; rows.len()];
    for (index, row) in rows.set_indices().enumerate() {
        scattered[row] = bits.value(index);
    }
    Mask::from(scattered)
}

/// `None` if the set is empty.
pub(super) fn if_any(mask: Mask) -> Option<Mask> {
    mask.has_true().then_some(mask)
}

/// Converts a mask to a filter for Arrow's kernels.
pub(super) fn filter_of(rows: &Mask) -> BooleanArray {
    BooleanArray::new(rows.clone(), None)
}

/// Converts the error of an Arrow kernel, which fails only if columns do not have the compiled
/// types.
pub(super) fn refused(error: ArrowError) -> Error {
    Error::configuration_from(
        "source and target cannot be compared: their columns are of different types",
        error,
    )
}
