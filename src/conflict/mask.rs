//! Rows of a meeting as bits: one bit a change.

use arrow::array::{Array, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use syncline_connectors::error::Error;

/// The rows whose bit is set.
pub(super) type Mask = BooleanBuffer;

/// No row.
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

/// `left` without the rows of `right`, where there are any.
pub(super) fn without_some(left: &Mask, right: Option<&Mask>) -> Mask {
    match right {
        Some(right) => without(left, right),
        None => left.clone(),
    }
}

/// The rows that are true; a null is not.
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

/// Puts the bits of some rows back where those rows stand.
pub(super) fn scatter(bits: &Mask, rows: &Mask) -> Mask {
    let mut scattered = vec![false; rows.len()];
    for (index, row) in rows.set_indices().enumerate() {
        scattered[row] = bits.value(index);
    }
    Mask::from(scattered)
}

/// `None` where no row is in it.
pub(super) fn if_any(mask: Mask) -> Option<Mask> {
    mask.has_true().then_some(mask)
}

/// As a filter.
pub(super) fn filter_of(rows: &Mask) -> BooleanArray {
    BooleanArray::new(rows.clone(), None)
}

/// What a kernel refuses: columns that are not of the compiled types.
pub(super) fn refused(error: ArrowError) -> Error {
    Error::configuration_from(
        "source and target cannot be compared: their columns are of different types",
        error,
    )
}
