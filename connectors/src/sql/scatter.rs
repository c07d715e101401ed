//! Rows of some keys put into the rows of all.

use arrow::array::{Array, ArrayRef, BooleanBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::interleave;
use arrow::error::ArrowError;

/// `mask`, or nothing where no bit of it is set.
pub(crate) fn any(mask: BooleanBuffer) -> Option<BooleanBuffer> {
    (mask.count_set_bits() > 0).then_some(mask)
}

/// `rows` with those of `keys` replaced.
pub(crate) fn scatter(
    rows: &RecordBatch,
    with: &RecordBatch,
    keys: &[u32],
) -> Result<RecordBatch, ArrowError> {
    if keys.len() == rows.num_rows() {
        return Ok(with.clone());
    }
    let places = places(rows.num_rows(), keys);
    let columns = rows
        .columns()
        .iter()
        .zip(with.columns())
        .map(|(old, new)| interleave(&[old.as_ref(), new.as_ref()], &places))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(rows.schema(), columns, &options)
}

/// A column with the values of `keys` replaced.
pub(crate) fn scatter_column(
    column: &ArrayRef,
    with: &ArrayRef,
    keys: &[u32],
) -> Result<ArrayRef, ArrowError> {
    if keys.len() == column.len() {
        return Ok(with.clone());
    }
    interleave(
        &[column.as_ref(), with.as_ref()],
        &places(column.len(), keys),
    )
}

fn places(count: usize, keys: &[u32]) -> Vec<(usize, usize)> {
    let mut places: Vec<(usize, usize)> = (0..count).map(|row| (0, row)).collect();
    for (index, &key) in keys.iter().enumerate() {
        places[key as usize] = (1, index);
    }
    places
}

/// The bits of `keys` among `count`; the others are not set.
pub(crate) fn scatter_bits(bits: &BooleanBuffer, keys: &[u32], count: usize) -> BooleanBuffer {
    if keys.len() == count {
        return bits.clone();
    }
    let mut all = BooleanBufferBuilder::new(count);
    all.append_n(count, false);
    for (index, &key) in keys.iter().enumerate() {
        all.set_bit(key as usize, bits.value(index));
    }
    all.finish()
}
