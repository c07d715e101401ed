//! What is left to write of every key, after all its changes were decided.

use arrow::buffer::BooleanBuffer;

use super::{Decider, Key, broken};
use crate::change::{Changes, Operation, take_masks, take_rows};
use crate::error::Result;
use crate::sql::DeleteMode;

/// Net changes, one a key.
#[derive(Debug)]
pub(crate) struct Net {
    /// Of an update, columns whose value in the target stays are unset; of an insert, those that no
    /// change carried. Without event times where nothing needs them.
    pub(crate) changes: Changes,
    /// The change that each stands for: the last one that was applied.
    pub(crate) rows: Vec<u32>,
    /// The rows that end marked as deleted (`delete = "soft"`).
    pub(crate) marked: Option<BooleanBuffer>,
    /// The keys of which no earlier delete counts any more: a row was written since (R12).
    pub(crate) recreated: BooleanBuffer,
    /// The keys that end without a row, or with a marked one: their delete is remembered.
    pub(crate) gone: BooleanBuffer,
}

/// Deletes and upserts.
pub(super) fn nets(decider: &Decider<'_>) -> Result<(Net, Net)> {
    let soft = decider.rules.delete == DeleteMode::Soft;
    let (mut deletes, mut recreated, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    let mut upserts = Vec::new();
    for (index, key) in decider.keys.iter().enumerate() {
        if let Some(row) = leaves(key) {
            deletes.push(row);
            recreated.push(key.rose);
            gone.push(key.deleted.is_some());
        }
        if key.exists && key.dirty {
            upserts.push(index as u32);
        }
    }
    let deletes = Net {
        changes: delete_rows(decider, &deletes)?,
        rows: deletes,
        marked: None,
        recreated: recreated.into(),
        gone: gone.into(),
    };
    let rows: Vec<u32> = upserts
        .iter()
        .map(|&key| decider.keys[key as usize].last.unwrap_or_default())
        .collect();
    let updates = |key: &Key| key.existed && !key.reborn;
    let operations: Vec<Operation> = upserts
        .iter()
        .map(|&key| match updates(&decider.keys[key as usize]) {
            true => Operation::Update,
            false => Operation::Create,
        })
        .collect();
    let untouched: Vec<Option<BooleanBuffer>> =
        decider.untouched.iter().cloned().map(Some).collect();
    let unset = take_masks(&untouched, &upserts);
    let marked = soft.then(|| {
        BooleanBuffer::collect_bool(upserts.len(), |i| decider.keys[upserts[i] as usize].marked)
    });
    let of = decider.changes;
    let at = |&row: &u32| row as usize;
    let changes = Changes {
        table: of.table.clone(),
        key: of.key.clone(),
        rows: take_rows(&decider.held.rows, &upserts).map_err(broken)?,
        not_carried: unset.clone(),
        unset,
        before: None,
        operations,
        event_times_ms: rows.iter().map(|row| of.event_times_ms[at(row)]).collect(),
        origins: rows.iter().map(|row| of.origins[at(row)]).collect(),
        records: of.records.clone(),
    };
    let recreated =
        BooleanBuffer::collect_bool(upserts.len(), |i| decider.keys[upserts[i] as usize].rose);
    let upserts = Net {
        changes,
        rows,
        marked,
        recreated,
        gone: BooleanBuffer::new_unset(upserts.len()),
    };
    Ok((deletes, upserts))
}

/// The delete that a key leaves behind: of the row that was held, or of nothing but its version.
fn leaves(key: &Key) -> Option<u32> {
    match (key.deleted.and(key.buried).or(key.deleted), key.reborn) {
        (Some(row), _) => Some(row),
        (None, true) => key.last,
        (None, false) => None,
    }
}

/// The changes themselves, as deletes.
fn delete_rows(decider: &Decider<'_>, rows: &[u32]) -> Result<Changes> {
    let mut changes = decider.changes.take(rows).map_err(broken)?;
    changes.before = None;
    changes.operations.fill(Operation::Delete);
    Ok(changes)
}
