//! Folds a batch to one net change a key, so that **the target ends exactly as if the changes had
//! been applied one at a time**, whatever the batch size and the strategy (R8).
//!
//! A fold is a list of rounds, written one after another in one transaction. Within a round every
//! key stands once, deletes go before upserts and keys ascend (R9). What can be proven equal is
//! folded into one change; what cannot takes a further round, and one change a round *is*
//! one-at-a-time. By strategy:
//!
//! - `source_wins`: the last image wins. A partial update (R14) folds onto the images before it,
//!   column by column. An upsert after a delete takes a second round, since a delete also resets
//!   the columns that only the target has. A partial update after a delete is incomplete. Under
//!   soft deletes the row stays, so only what a full image overwrites is folded away.
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

mod keys;
mod version;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;

use self::keys::Keys;
use self::version::Versions;
use super::DeleteMode;
use crate::change::{Changes, Operation};
use crate::conflict::{ConflictPolicy, Strategy, Tie};
use crate::error::{Error, Result};

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
    /// Rows to delete, by ascending key.
    pub deletes: Changes,
    /// The row of the batch that each delete stands for.
    pub delete_rows: Vec<u32>,
}

/// A change that cannot be written, whatever the target holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// Row of the batch.
    pub row: usize,
    /// The rule.
    pub rule: String,
    /// The column at fault.
    pub field: Option<String>,
    /// Why, for a person.
    pub reason: String,
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
        deletes: pick(changes, &delete_rows)?,
        delete_rows,
    }])
}

fn null_key(changes: &Changes, key: &[usize], row: usize) -> Option<RejectedRow> {
    let column = key.iter().copied().find(|&column| {
        changes.rows.column(column).is_null(row) || changes.is_unset(column, row)
    })?;
    let name = changes.rows.schema_ref().field(column).name().clone();
    Some(RejectedRow {
        row,
        rule: "R2 key".to_owned(),
        reason: format!("key column `{name}` has no value"),
        field: Some(name),
    })
}

/// One upsert of a round.
#[derive(Clone, Copy)]
struct Net {
    row: u32,
    operation: Operation,
    /// The stretch of the sorted rows that fold column by column; empty where `row` stands alone.
    merge: (usize, usize),
}

/// A round before its rows are taken; groups come by ascending key, and so do they.
#[derive(Default)]
struct Draft {
    upserts: Vec<Net>,
    deletes: Vec<u32>,
}

struct Planner<'a> {
    changes: &'a Changes,
    policy: &'a ConflictPolicy,
    delete: DeleteMode,
    /// The rows with an unset value; `None` where there are none.
    partial: Option<BooleanBuffer>,
    versions: Option<Versions>,
    drafts: Vec<Draft>,
    superseded: u64,
    rejected: Vec<RejectedRow>,
}

impl<'a> Planner<'a> {
    fn new(changes: &'a Changes, policy: &'a ConflictPolicy, delete: DeleteMode) -> Self {
        let compares = matches!(policy.strategy, Strategy::NewestWins | Strategy::OldestWins);
        let versions = (compares && policy.threshold.is_none())
            .then_some(policy.version.as_deref())
            .flatten()
            .and_then(|name| changes.column(name))
            .and_then(Versions::of);
        Self {
            changes,
            policy,
            delete,
            partial: changes
                .unset
                .iter()
                .flatten()
                .cloned()
                .reduce(|left, right| &left | &right),
            versions,
            drafts: Vec::new(),
            superseded: 0,
            rejected: Vec::new(),
        }
    }

    /// All changes of one key, in source order; they stand at `start` of the sorted rows.
    fn plan_group(&mut self, rows: &[u32], start: usize) {
        if rows.len() == 1 {
            self.emit(0, rows[0], self.operation(rows[0]));
            return;
        }
        match self.policy.strategy {
            Strategy::SourceWins if self.delete == DeleteMode::Soft => self.plan_soft(rows, start),
            Strategy::SourceWins => self.plan_hard(rows, start),
            _ => match self.winner(rows) {
                Some(winner) => {
                    self.emit(0, winner, self.net_operation(rows[0]));
                    self.superseded += rows.len() as u64 - 1;
                }
                None => {
                    for (round, &row) in rows.iter().enumerate() {
                        self.emit(round, row, self.operation(row));
                    }
                }
            },
        }
    }

    /// `source_wins`, deletes remove the row: at most the last delete and one image after it.
    fn plan_hard(&mut self, rows: &[u32], start: usize) {
        let after = rows
            .iter()
            .rposition(|&row| self.operation(row) == Operation::Delete)
            .map_or(0, |delete| delete + 1);
        let full = (after..rows.len())
            .rev()
            .find(|&index| !self.is_partial(rows[index]));
        let mut superseded = after;
        if after > 0 {
            self.emit(0, rows[after - 1], Operation::Delete);
            superseded -= 1;
        }
        match full {
            Some(full) => {
                superseded += full - after;
                let first = if after > 0 { rows[full] } else { rows[0] };
                self.emit_merged(usize::from(after > 0), first, &rows[full..], start + full);
            }
            None if after == 0 => {
                self.emit_merged(0, rows[0], rows, start);
            }
            None => self
                .rejected
                .extend(rows[after..].iter().map(|&row| incomplete(row))),
        }
        self.superseded += superseded as u64;
    }

    /// `source_wins`, deletes leave a marked row: only what a full image overwrites falls away.
    fn plan_soft(&mut self, rows: &[u32], start: usize) {
        let full = (0..rows.len()).rev().find(|&index| {
            self.operation(rows[index]) != Operation::Delete && !self.is_partial(rows[index])
        });
        let mut from = full.unwrap_or(0);
        self.superseded += from as u64;
        let mut round = 0;
        while from < rows.len() {
            let length = rows[from..]
                .iter()
                .take_while(|&&row| self.operation(row) != Operation::Delete)
                .count();
            if length == 0 {
                self.emit(round, rows[from], Operation::Delete);
                from += 1;
                round += 1;
            } else {
                let first = if round == 0 { rows[0] } else { rows[from] };
                round += self.emit_merged(round, first, &rows[from..from + length], start + from);
                from += length;
            }
        }
    }

    /// The one change that decides how the key ends, where that can be known without the target.
    fn winner(&self, rows: &[u32]) -> Option<u32> {
        let whole = |&row: &u32| self.operation(row) != Operation::Delete && !self.is_partial(row);
        if !rows.iter().all(whole) {
            return None;
        }
        let soft = self.delete == DeleteMode::Soft;
        match self.policy.strategy {
            Strategy::TargetWins => (!soft).then_some(rows[0]),
            Strategy::NewestWins | Strategy::OldestWins => {
                let best = self.versions.as_ref()?.best(
                    rows,
                    self.policy.strategy == Strategy::NewestWins,
                    self.policy.tie == Tie::Source,
                )?;
                // A marked row that equals one of several tied changes comes back to life with
                // that one only.
                (!soft || best.alone).then_some(best.row)
            }
            Strategy::SourceWins | Strategy::Merge => None,
        }
    }

    fn emit(&mut self, round: usize, row: u32, operation: Operation) {
        let draft = self.draft(round);
        if operation == Operation::Delete {
            draft.deletes.push(row);
        } else {
            draft.upserts.push(Net {
                row,
                operation,
                merge: (0, 0),
            });
        }
    }

    /// Folds upserts onto the first of `rows`; `first` is the change that the fold began with.
    /// Gives the number of rounds taken: partial updates that only together make a full image
    /// stay apart, since each of them alone is incomplete where the row is absent.
    fn emit_merged(&mut self, round: usize, first: u32, rows: &[u32], start: usize) -> usize {
        if self.is_partial(rows[0]) && self.cover(rows) {
            for (index, &row) in rows.iter().enumerate() {
                self.emit(round + index, row, self.operation(row));
            }
            return rows.len();
        }
        let operation = self.net_operation(first);
        let last = rows[rows.len() - 1];
        let merge = if self.is_partial(last) {
            (start, start + rows.len())
        } else {
            (0, 0)
        };
        self.draft(round).upserts.push(Net {
            row: last,
            operation,
            merge,
        });
        self.superseded += rows.len() as u64 - 1;
        1
    }

    fn draft(&mut self, round: usize) -> &mut Draft {
        while self.drafts.len() <= round {
            self.drafts.push(Draft::default());
        }
        &mut self.drafts[round]
    }

    fn operation(&self, row: u32) -> Operation {
        self.changes.operations[row as usize]
    }

    /// What a fold that began with this row is to the target.
    fn net_operation(&self, first: u32) -> Operation {
        match self.operation(first) {
            insert @ (Operation::Create | Operation::Read) => insert,
            _ => Operation::Update,
        }
    }

    /// Whether every column is set in one of the rows.
    fn cover(&self, rows: &[u32]) -> bool {
        self.changes
            .unset
            .iter()
            .flatten()
            .all(|mask| rows.iter().any(|&row| !mask.value(row as usize)))
    }

    fn is_partial(&self, row: u32) -> bool {
        self.partial
            .as_ref()
            .is_some_and(|mask| mask.value(row as usize))
    }
}

fn incomplete(row: u32) -> RejectedRow {
    RejectedRow {
        row: row as usize,
        rule: "R14 incomplete".to_owned(),
        field: None,
        reason: "the update leaves out unchanged values, and the row was deleted before it"
            .to_owned(),
    }
}

impl Draft {
    fn build(self, changes: &Changes, members: &[u32]) -> Result<Round, ArrowError> {
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
        Ok(Round {
            upserts,
            upsert_rows,
            deletes: pick(changes, &self.deletes)?,
            delete_rows: self.deletes,
        })
    }
}

/// The changes at `rows`; shares the columns where that is all of them in order.
fn pick(changes: &Changes, rows: &[u32]) -> Result<Changes, ArrowError> {
    let all =
        rows.len() == changes.len() && rows.iter().enumerate().all(|(i, &row)| i == row as usize);
    if all {
        Ok(changes.clone())
    } else {
        changes.take(rows)
    }
}

/// Like [`pick`], but each column takes its value from the last row of the fold that set it.
fn merge(
    changes: &Changes,
    nets: &[Net],
    members: &[u32],
    rows: &[u32],
) -> Result<Changes, ArrowError> {
    let plain = UInt32Array::from(rows.to_vec());
    let mut columns = Vec::with_capacity(changes.unset.len());
    let mut unset = Vec::with_capacity(changes.unset.len());
    for (column, mask) in changes.rows.columns().iter().zip(&changes.unset) {
        let Some(mask) = mask else {
            columns.push(arrow::compute::take(column, &plain, None)?);
            unset.push(None);
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
        operations: nets.iter().map(|net| net.operation).collect(),
        event_times_ms: rows
            .iter()
            .map(|row| changes.event_times_ms[at(row)])
            .collect(),
        origins: rows.iter().map(|row| changes.origins[at(row)]).collect(),
        records: changes.records.clone(),
    })
}

#[cfg(test)]
mod tests;
