//! Changes that were kept one by one, put together to batches again.

use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;

use crate::change::{Changes, Image};
use crate::conflict::read_change;
use crate::error::{Error, Result};
use crate::record::Records;
use crate::sql::plan::{ChangeSlice, RowNumbers};

/// Batches of the changes of `texts`, which are in their order. The row numbers of a slice are the places
/// of its changes in `texts`.
///
/// # Errors
/// As [`read_change`].
pub(super) fn join<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Vec<ChangeSlice>> {
    let mut records = Records::default();
    let mut groups: Vec<(Vec<Changes>, Vec<usize>)> = Vec::new();
    for (number, text) in texts.enumerate() {
        let change = read_change(text)?;
        let from = &change.records;
        let place = from.partition(0);
        let partition = records.add_partition(&place.partition, place.single);
        let entry = &from.entries[0];
        records.push(
            partition,
            entry.offset,
            entry.timestamp_ms,
            from.key(0),
            from.value(0),
            from.headers(0),
        );
        match groups
            .iter_mut()
            .find(|(group, _)| are_alike(&group[0], &change))
        {
            Some((group, numbers)) => {
                group.push(change);
                numbers.push(number);
            }
            None => groups.push((vec![change], vec![number])),
        }
    }
    let records = Arc::new(records);
    let groups = groups.into_iter().enumerate();
    groups
        .map(|(batch, (group, numbers))| {
            let changes = concat(&group, &numbers, &records).map_err(Error::configuration)?;
            Ok(ChangeSlice {
                batch,
                rows: RowNumbers::Listed(numbers.into()),
                changes,
            })
        })
        .collect()
}

/// Whether two changes fit into one batch.
fn are_alike(left: &Changes, right: &Changes) -> bool {
    left.table == right.table
        && left.key == right.key
        && left.before.is_some() == right.before.is_some()
        && left.rows.schema() == right.rows.schema()
}

/// `numbers` are the records of the changes.
fn concat(
    changes: &[Changes],
    numbers: &[usize],
    records: &Arc<Records>,
) -> Result<Changes, ArrowError> {
    let first = &changes[0];
    let schema = first.rows.schema();
    let columns = schema.fields().len();
    let before = match &first.before {
        None => None,
        Some(_) => {
            let images: Vec<&Image> = changes
                .iter()
                .filter_map(|one| one.before.as_ref())
                .collect();
            Some(Image {
                rows: concat_batches(&schema, images.iter().map(|image| &image.rows))?,
                unset: masks(columns, images.iter().map(|image| &image.unset)),
                present: bits(images.iter().map(|image| image.present.value(0))),
            })
        }
    };
    Ok(Changes {
        table: first.table.clone(),
        key: first.key.clone(),
        rows: concat_batches(&schema, changes.iter().map(|one| &one.rows))?,
        unset: masks(columns, changes.iter().map(|one| &one.unset)),
        not_carried: masks(columns, changes.iter().map(|one| &one.not_carried)),
        before,
        operations: changes.iter().map(|one| one.operations[0]).collect(),
        event_times_ms: changes.iter().map(|one| one.event_times_ms[0]).collect(),
        origins: numbers.iter().map(|&number| number as u32).collect(),
        records: records.clone(),
    })
}

fn bits(bits: impl Iterator<Item = bool>) -> BooleanBuffer {
    let mut builder = BooleanBufferBuilder::new(0);
    bits.for_each(|bit| builder.append(bit));
    builder.finish()
}

/// Masks of one row each, one after another.
fn masks<'m>(
    columns: usize,
    masks: impl Iterator<Item = &'m Vec<Option<BooleanBuffer>>> + Clone,
) -> Vec<Option<BooleanBuffer>> {
    let is_set = |mask: &Vec<Option<BooleanBuffer>>, column: usize| {
        let mask = mask.get(column).and_then(Option::as_ref);
        mask.is_some_and(|mask| mask.value(0))
    };
    (0..columns)
        .map(|column| {
            let bits = bits(masks.clone().map(|mask| is_set(mask, column)));
            (bits.count_set_bits() > 0).then_some(bits)
        })
        .collect()
}
