//! The rows of a round, taken from the batch column by column.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;

use super::Round;
use super::plan::{Draft, Net};
use crate::change::Changes;

impl Draft {
    /// Takes the rows; `members` are all rows of the fold, sorted by key.
    pub(super) fn build(self, changes: &Changes, members: &[u32]) -> Result<Round, ArrowError> {
        let upsert_rows: Vec<u32> = self.upserts.iter().map(|net| net.row).collect();
        let mut upserts = if self.upserts.iter().any(|net| net.merge.1 > 0) {
            merge(changes, &self.upserts, members, &upsert_rows)?
        } else {
            pick(changes, &upsert_rows)?
        };
        upserts.operations.clear();
        upserts
            .operations
            .extend(self.upserts.iter().map(|net| net.operation));
        let nets = self.upserts.iter().zip(0..);
        let merged = nets.filter(|(net, _)| net.merge.1 > net.merge.0 + 1);
        Ok(Round {
            merged: merged.map(|(_, upsert)| upsert).collect(),
            upserts,
            upsert_rows,
            deletes: pick(changes, &self.deletes)?,
            delete_rows: self.deletes,
        })
    }
}

/// The changes at `rows`; shares the columns where that is all of them in order.
pub(super) fn pick(changes: &Changes, rows: &[u32]) -> Result<Changes, ArrowError> {
    let all =
        rows.len() == changes.len() && rows.iter().enumerate().all(|(i, &row)| i == row as usize);
    if all {
        Ok(changes.clone())
    } else {
        changes.take(rows)
    }
}

/// Like [`pick`], but each column takes its value from the last row of the fold that set it. A column
/// that none of them set is unavailable only where the fold as a whole is incomplete without a row in
/// the target, which its first row says.
fn merge(
    changes: &Changes,
    nets: &[Net],
    members: &[u32],
    rows: &[u32],
) -> Result<Changes, ArrowError> {
    let plain = UInt32Array::from(rows.to_vec());
    let mut columns = Vec::with_capacity(changes.unset.len());
    let mut unset = Vec::with_capacity(changes.unset.len());
    let mut not_carried = Vec::with_capacity(changes.unset.len());
    let incomplete = changes.incomplete(0..changes.unset.len());
    let begins_complete = |net: &Net| {
        let first = members.get(net.merge.0).filter(|_| net.merge.1 > 0);
        let first = *first.unwrap_or(&net.row) as usize;
        incomplete.as_ref().is_none_or(|mask| !mask.value(first))
    };
    for (index, (column, mask)) in changes
        .rows
        .columns()
        .iter()
        .zip(&changes.unset)
        .enumerate()
    {
        let Some(mask) = mask else {
            columns.push(arrow::compute::take(column, &plain, None)?);
            unset.push(None);
            not_carried.push(None);
            continue;
        };
        let chosen: Vec<u32> = nets
            .iter()
            .map(|net| {
                members[net.merge.0..net.merge.1]
                    .iter()
                    .rev()
                    .copied()
                    .find(|&row| !mask.value(row as usize))
                    .unwrap_or(net.row)
            })
            .collect();
        let still = BooleanBuffer::collect_bool(chosen.len(), |i| mask.value(chosen[i] as usize));
        let unavailable = changes.unavailable(index);
        let is_unavailable = |net: &Net| {
            let rows = match net.merge {
                (_, 0) => std::slice::from_ref(&net.row),
                (start, end) => &members[start..end],
            };
            let is = |&row: &u32| {
                unavailable
                    .as_ref()
                    .is_some_and(|mask| mask.value(row as usize))
            };
            rows.iter().any(is)
        };
        let missing = BooleanBuffer::collect_bool(nets.len(), |i| {
            still.value(i) && (begins_complete(&nets[i]) || !is_unavailable(&nets[i]))
        });
        not_carried.push((missing.count_set_bits() > 0).then_some(missing));
        unset.push((still.count_set_bits() > 0).then_some(still));
        columns.push(arrow::compute::take(
            column,
            &UInt32Array::from(chosen),
            None,
        )?);
    }
    let at = |row: &u32| *row as usize;
    Ok(Changes {
        table: changes.table.clone(),
        key: changes.key.clone(),
        rows: RecordBatch::try_new(changes.rows.schema(), columns)?,
        unset,
        not_carried,
        // Only the statement's way merges partial updates, and a statement looks at no image.
        before: None,
        operations: nets.iter().map(|net| net.operation).collect(),
        event_times_ms: rows
            .iter()
            .map(|row| changes.event_times_ms[at(row)])
            .collect(),
        origins: rows.iter().map(|row| changes.origins[at(row)]).collect(),
        records: changes.records.clone(),
    })
}
