//! Folds a batch to one net change a key, so that **the target ends exactly as if the changes had
//! been applied one at a time**, whatever the batch size and the strategy (R8).
//!
//! A fold is a list of rounds, written one after another in one transaction. Within a round every
//! key stands once, deletes go before upserts and keys ascend (R9). What can be proven equal is
//! folded into one change; what cannot takes a further round, and one change a round *is*
//! one-at-a-time. By strategy:
//!
//! - `source_wins`: the last image wins. A partial update (R14, R19) folds onto the images before it,
//!   column by column. An upsert after a delete takes a second round, since a delete also resets
//!   the columns that only the target has. An update with unavailable values after a delete is
//!   incomplete; one that merely does not carry a column makes a row. Under soft deletes the row stays,
//!   so only what a full image overwrites is folded away.
//! - `newest_wins`, `oldest_wins` without a threshold, where every change of the key is a full
//!   upsert: the highest or lowest version survives. A null version loses (C4); of equal versions
//!   the first survives where ties go to the target, else the last (C3).
//! - `target_wins`, every change a full upsert and deletes not soft: the first survives. If the
//!   row is absent the first creates it and the rest lose; if it exists each of them either
//!   equals it or loses.
//! - everything else (`merge`, thresholds, versions in text or NaN, deletes or partial updates
//!   under a strategy that compares): one round for each change of the key.
//!
//! A row whose key holds a null is rejected (R2). Under delete mode `ignore` deletes count as kept.
//! Truncates are flush barriers (R13): the caller splits the batch there.

mod plan;
mod take;
mod version;

use arrow::array::Array;
use arrow::error::ArrowError;

use self::plan::Planner;
use self::take::pick;
use super::DeleteMode;
use super::keys::Keys;
use super::keys::null_key;
use crate::change::{Changes, Operation};
use crate::conflict::ConflictPolicy;
use crate::error::{Error, RejectedRow, Result};

/// What a batch folds to.
#[derive(Debug)]
pub struct Folded {
    /// To be written in this order in one transaction; none where nothing is left.
    pub rounds: Vec<Round>,
    /// Changes folded into another one of their key.
    pub superseded: u64,
    /// Deletes that the mode `ignore` leaves out.
    pub kept: u64,
    /// Changes that cannot be written.
    pub rejected: Vec<RejectedRow>,
}

/// Changes in which every key stands once; deletes are to be applied before upserts.
#[derive(Debug)]
pub struct Round {
    /// Rows to insert or update, by ascending key.
    pub upserts: Changes,
    /// The row of the batch that each upsert stands for: the last one folded into it.
    pub upsert_rows: Vec<u32>,
    /// The upserts, by their index, that hold values of several changes.
    pub merged: Vec<u32>,
    /// Rows to delete, by ascending key.
    pub deletes: Changes,
    /// The row of the batch that each delete stands for.
    pub delete_rows: Vec<u32>,
}

/// Folds the changes of one table; `key` are indices of its key columns.
///
/// # Errors
/// `Configuration` where the key columns have a type that cannot be compared.
pub fn fold(
    changes: &Changes,
    key: &[usize],
    policy: &ConflictPolicy,
    delete: DeleteMode,
) -> Result<Folded> {
    debug_assert!(
        !changes.operations.contains(&Operation::Truncate),
        "the caller splits batches at truncates"
    );
    fold_changes(changes, key, policy, delete).map_err(|cause| {
        Error::configuration_from(
            format!(
                "cannot fold the changes of {} by their key",
                changes.table.name
            ),
            cause,
        )
    })
}

fn fold_changes(
    changes: &Changes,
    key: &[usize],
    policy: &ConflictPolicy,
    delete: DeleteMode,
) -> Result<Folded, ArrowError> {
    let mut rejected = Vec::new();
    let mut kept = 0;
    let nullable = key.iter().any(|&column| {
        changes.rows.column(column).null_count() > 0 || changes.unset[column].is_some()
    });
    let ignore = delete == DeleteMode::Ignore;
    let mut live: Vec<u32> = Vec::with_capacity(changes.len());
    for row in 0..changes.len() {
        if nullable && let Some(row) = null_key(changes, key, row) {
            rejected.push(row);
        } else if ignore && changes.operations[row] == Operation::Delete {
            kept += 1;
        } else {
            live.push(row as u32);
        }
    }

    let keys = Keys::of(&changes.rows, key)?;
    keys.sort(&mut live);
    let unique = live.windows(2).all(|pair| !keys.same(pair[0], pair[1]));
    if unique {
        let rounds = one_round(changes, live)?;
        return Ok(Folded {
            rounds,
            superseded: 0,
            kept,
            rejected,
        });
    }
    let mut planner = Planner::new(changes, policy, delete);
    let mut start = 0;
    for group in live.chunk_by(|&left, &right| keys.same(left, right)) {
        planner.plan_group(group, start);
        start += group.len();
    }
    rejected.append(&mut planner.rejected);
    rejected.sort_by_key(|rejected| rejected.row);
    let drafts = planner.drafts.into_iter();
    Ok(Folded {
        rounds: drafts
            .map(|draft| draft.build(changes, &live))
            .collect::<Result<_, _>>()?,
        superseded: planner.superseded,
        kept,
        rejected,
    })
}

/// No key stands twice: `rows` are one round, or none.
fn one_round(changes: &Changes, rows: Vec<u32>) -> Result<Vec<Round>, ArrowError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let is_delete = |&row: &u32| changes.operations[row as usize] == Operation::Delete;
    let (delete_rows, upsert_rows) = if changes.operations.contains(&Operation::Delete) {
        rows.into_iter().partition(is_delete)
    } else {
        (Vec::new(), rows)
    };
    Ok(vec![Round {
        upserts: pick(changes, &upsert_rows)?,
        upsert_rows,
        merged: Vec::new(),
        deletes: pick(changes, &delete_rows)?,
        delete_rows,
    }])
}

#[cfg(test)]
mod tests;
