//! What becomes of the changes of one key: which rounds they take, and what folds together.

use arrow::buffer::BooleanBuffer;

use super::version::Versions;
use crate::change::{Changes, Operation};
use crate::conflict::{ConflictPolicy, Strategy, Tie};
use crate::error::RejectedRow;
use crate::sql::DeleteMode;

/// One upsert of a round.
#[derive(Clone, Copy)]
pub(super) struct Net {
    pub(super) row: u32,
    pub(super) operation: Operation,
    /// The stretch of the sorted rows that fold column by column; empty where `row` stands alone.
    pub(super) merge: (usize, usize),
}

/// A round before its rows are taken; groups come by ascending key, and so do they.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) upserts: Vec<Net>,
    pub(super) deletes: Vec<u32>,
}

/// Plans group after group, by ascending key.
pub(super) struct Planner<'a> {
    changes: &'a Changes,
    policy: &'a ConflictPolicy,
    delete: DeleteMode,
    /// The rows with an unset value; `None` where there are none.
    partial: Option<BooleanBuffer>,
    /// Those of them with an unavailable value, which need their row in the target (R14).
    incomplete: Option<BooleanBuffer>,
    versions: Option<Versions>,
    pub(super) drafts: Vec<Draft>,
    pub(super) superseded: u64,
    pub(super) rejected: Vec<RejectedRow>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        changes: &'a Changes,
        policy: &'a ConflictPolicy,
        delete: DeleteMode,
    ) -> Self {
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
            incomplete: changes.incomplete(0..changes.rows.num_columns()),
            versions,
            drafts: Vec::new(),
            superseded: 0,
            rejected: Vec::new(),
        }
    }

    /// All changes of one key, in source order; they stand at `start` of the sorted rows.
    pub(super) fn plan_group(&mut self, rows: &[u32], start: usize) {
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
            None => {
                // The first of them that needs no row makes one, for those behind it too.
                let mut incomplete_rows = rows[after..].iter();
                let first = incomplete_rows.position(|&row| !self.is_incomplete(row));
                let first = first.map_or(rows.len(), |first| after + first);
                let refused = rows[after..first].iter().map(|&row| incomplete(row));
                self.rejected.extend(refused);
                if first < rows.len() {
                    self.emit_merged(1, rows[first], &rows[first..], start + first);
                }
            }
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
            _ => None,
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
    /// Gives the number of rounds taken: where the first is incomplete without a row and the fold of
    /// all would not be, they stay apart.
    fn emit_merged(&mut self, round: usize, first: u32, rows: &[u32], start: usize) -> usize {
        if self.is_incomplete(rows[0]) && self.completes(rows) {
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

    /// Whether a row that follows an incomplete one needs no row in the target, or all of them together
    /// set every value that one of them holds unavailable.
    fn completes(&self, rows: &[u32]) -> bool {
        let alone = rows.iter().any(|&row| !self.is_incomplete(row));
        let changes = self.changes;
        alone
            || (0..changes.unset.len()).all(|column| {
                let unset = |&row: &u32| changes.is_unset(column, row as usize);
                changes.unavailable(column).is_none() || !rows.iter().all(unset)
            })
    }

    fn is_incomplete(&self, row: u32) -> bool {
        let mask = self.incomplete.as_ref();
        mask.is_some_and(|mask| mask.value(row as usize))
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
