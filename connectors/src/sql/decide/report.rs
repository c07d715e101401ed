//! What is said about the conflicts of a round: exact counts, and images of as many as are wanted.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;

use super::{Bout, Decisions, Meeting, Operation, Verdict, Winner};
use crate::conflict::{Base, Conflict, ConflictType};
use crate::text::{write_json, write_string};

/// How often conflicts of one type ended in one way: type, strategy, column (`None` for the row),
/// who won.
pub(crate) type Tally = BTreeMap<(ConflictType, &'static str, Option<usize>, Winner), u64>;

/// A conflict with its images, as JSON objects; an image that is not known is `None`.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// The change.
    pub(crate) row: u32,
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

/// A conflict for a person.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    /// Which key.
    pub(crate) key: u32,
    pub(crate) report: Report,
}

impl Bout<'_> {
    /// Counts the conflicts of a round and takes their images.
    pub(super) fn report(
        &mut self,
        meeting: &Meeting<'_>,
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
                let report = report(meeting, decisions, conflict, rows[index]);
                if is_queued {
                    self.queued.push(Queued {
                        key: keys[index],
                        report: report.clone(),
                    });
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

fn report(
    meeting: &Meeting<'_>,
    decisions: &Decisions,
    conflict: &Conflict,
    change: u32,
) -> Report {
    let row = conflict.row as usize;
    let changes = meeting.changes;
    let contested = decisions.contested.iter().enumerate();
    let base = match meeting.base {
        _ if changes.operations[row] == Operation::Delete => None,
        Base::Image(base) if base.present.value(row) => Some(image(&base.rows, row, &base.unset)),
        _ => None,
    };
    let held = meeting.target.exists.value(row);
    let target = held.then(|| image(&meeting.target.rows, row, &meeting.target.foreign));
    let result = match decisions.verdicts[row] {
        Verdict::Write => Some(image(&decisions.rows, row, &[])),
        Verdict::Delete => None,
        _ => target.clone(),
    };
    Report {
        row: change,
        kind: conflict.kind,
        winner: conflict.winner,
        reason: conflict.reason,
        columns: contested
            .filter(|(_, mask)| mask.as_ref().is_some_and(|mask| mask.value(row)))
            .map(|(column, _)| column)
            .collect(),
        base,
        source: image(&changes.rows, row, &changes.unset),
        target,
        result,
    }
}

/// One row as a JSON object, without what is unset.
pub(in crate::sql) fn image(
    rows: &RecordBatch,
    row: usize,
    unset: &[Option<BooleanBuffer>],
) -> String {
    let mut out = vec![b'{'];
    let fields = rows.schema_ref().fields().iter();
    for (column, (field, array)) in fields.zip(rows.columns()).enumerate() {
        let left_out = unset.get(column).and_then(Option::as_ref);
        if left_out.is_some_and(|mask| mask.value(row)) {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        write_string(field.name(), &mut out);
        out.push(b':');
        write_json(field, array, row, &mut out);
    }
    out.push(b'}');
    String::from_utf8(out).expect("JSON is written as text")
}
