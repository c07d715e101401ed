//! Rows of some keys put into the rows of all.

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use crate::change::Changes;
use crate::conflict::Verdict;
use crate::error::{Error, Result};

/// The version that each change would leave behind as a delete: that of its row, else its event
/// time where versions are instants (C6).
pub(super) fn delete_versions(changes: &Changes, version: usize) -> Result<ArrayRef> {
    let column = changes.rows.column(version);
    let is_instant = matches!(
        column.data_type(),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    );
    if !is_instant || column.null_count() == 0 {
        return Ok(column.clone());
    }
    let events = Int64Array::from(changes.event_times_ms.clone());
    let instants = DataType::Timestamp(TimeUnit::Millisecond, None);
    let events = cast(&events, &instants)
        .and_then(|events| cast(&events, column.data_type()))
        .map_err(|cause| Error::configuration_from("cannot compare event times", cause))?;
    let places: Vec<(usize, usize)> = (0..column.len())
        .map(|row| (usize::from(column.is_null(row)), row))
        .collect();
    interleave(&[column.as_ref(), events.as_ref()], &places)
        .map_err(|cause| Error::configuration_from("cannot compare event times", cause))
}

/// The tombstones after a round: a delete that applied leaves its version, unless a higher one is there;
/// a row that is written takes it away. And which changes of the round left theirs.
pub(super) fn record_tombstones(
    tombstones: &ArrayRef,
    versions: &ArrayRef,
    verdicts: &[Verdict],
    keys: &[u32],
) -> Result<(ArrayRef, Vec<usize>), ArrowError> {
    let mut buried = Vec::new();
    let none = arrow::array::new_null_array(tombstones.data_type(), 1);
    let order = arrow::array::make_comparator(
        versions.as_ref(),
        tombstones.as_ref(),
        arrow::compute::SortOptions::default(),
    )?;
    let mut places: Vec<(usize, usize)> = (0..tombstones.len()).map(|row| (0, row)).collect();
    for (index, (&key, verdict)) in keys.iter().zip(verdicts).enumerate() {
        let key = key as usize;
        match verdict {
            Verdict::Delete
                if versions.is_valid(index)
                    && (tombstones.is_null(key) || order(index, key).is_gt()) =>
            {
                places[key] = (1, index);
                buried.push(index);
            }
            Verdict::Write => places[key] = (2, 0),
            _ => {}
        }
    }
    let tombstones = interleave(
        &[tombstones.as_ref(), versions.as_ref(), none.as_ref()],
        &places,
    )?;
    Ok((tombstones, buried))
}
