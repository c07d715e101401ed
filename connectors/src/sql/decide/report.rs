//! What is said about the conflicts of a round: exact counts, and images of as many as are wanted.

use std::collections::BTreeMap;

use super::{ConflictBatch, Decider, Decisions, Operation, Verdict, Winner};
use crate::conflict::{Base, Conflict, ConflictType, write_image};

/// How often conflicts of one type ended in one way: type, strategy, column (`None` for the row),
/// who won.
pub(crate) type Tally = BTreeMap<(ConflictType, &'static str, Option<usize>, Winner), u64>;

/// A conflict with its images, as JSON objects; an image that is not known is `None`.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// The change, and which key it has.
    pub(crate) row: u32,
    pub(crate) key: u32,
    pub(crate) kind: ConflictType,
    pub(crate) winner: Winner,
    pub(crate) reason: &'static str,
    /// The contested columns.
    pub(crate) columns: Vec<usize>,
    pub(crate) base: Option<String>,
    pub(crate) source: String,
    pub(crate) target: Option<String>,
    /// The row as it is afterwards; `None` where there is none.
    pub(crate) result: Option<String>,
}

impl Decider<'_> {
    /// Counts the conflicts of a round and takes their images.
    pub(super) fn report(
        &mut self,
        meeting: &ConflictBatch<'_>,
        decisions: &Decisions,
        keys: &[u32],
        rows: &[u32],
    ) {
        let policy = self.rules.policy;
        for conflict in &decisions.conflicts {
            self.outcome.conflicts.add(conflict.kind, 1);
            let row = (conflict.kind, policy.strategy.name(), None, conflict.winner);
            *self.tally.entry(row).or_default() += 1;
            let index = conflict.row as usize;
            let is_queued = decisions.verdicts[index] == Verdict::Queue;
            if is_queued || self.reports.len() < self.rules.reports_max {
                let report = Report {
                    row: rows[index],
                    key: keys[index],
                    ..report(meeting, decisions, conflict)
                };
                if is_queued {
                    self.queued.push(report.clone());
                }
                if self.reports.len() < self.rules.reports_max {
                    self.reports.push(report);
                }
            }
        }
        let schema = meeting.changes.rows.schema_ref();
        for (column, contested) in decisions.contested.iter().enumerate() {
            let Some(contested) = contested else { continue };
            let own = policy.columns.get(schema.field(column).name());
            let strategy = own.unwrap_or(&policy.strategy).name();
            for conflict in &decisions.conflicts {
                if contested.value(conflict.row as usize) {
                    let entry = (conflict.kind, strategy, Some(column), conflict.winner);
                    *self.tally.entry(entry).or_default() += 1;
                }
            }
        }
    }
}

/// The report of a conflict by its row in the meeting.
fn report(meeting: &ConflictBatch<'_>, decisions: &Decisions, conflict: &Conflict) -> Report {
    let row = conflict.row as usize;
    let changes = meeting.changes;
    let contested = decisions.contested.iter().enumerate();
    let base = match meeting.base {
        _ if changes.operations[row] == Operation::Delete => None,
        Base::Image(base) if base.present.value(row) => {
            Some(write_image(&base.rows, &base.unset, row))
        }
        _ => None,
    };
    let held = meeting.target.exists.value(row);
    let target = held.then(|| write_image(&meeting.target.rows, &meeting.target.foreign, row));
    let result = match decisions.verdicts[row] {
        Verdict::Write => Some(write_image(&decisions.rows, &[], row)),
        Verdict::Delete => None,
        _ => target.clone(),
    };
    Report {
        row: conflict.row,
        key: conflict.row,
        kind: conflict.kind,
        winner: conflict.winner,
        reason: conflict.reason,
        columns: contested
            .filter(|(_, mask)| mask.as_ref().is_some_and(|mask| mask.value(row)))
            .map(|(column, _)| column)
            .collect(),
        base,
        source: write_image(&changes.rows, &changes.unset, row),
        target,
        result,
    }
}
