//! Checks a resolver against the decision table, without a database.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::buffer::BooleanBuffer;

use super::{Bucket, Case, TargetState, groups};
use crate::change::{Changes, Image, Operation};
use crate::conflict::{
    Base, ConflictBatch, Decisions, Resolver, Resolvers, Strategy, TargetRows, Verdict,
};
use crate::conformance::cells::{Cell, Event, batch, cell, changes, images, schema, show};

/// The cases of one policy as one conflict batch; row `i` is case `i`.
pub struct CaseBatch {
    cases: Vec<Case>,
    changes: Changes,
    target: TargetRows,
    base: Option<Image>,
    tombstones: Option<ArrayRef>,
}

/// Checks that the resolver decides every case as the table says: all cases of a policy in one
/// batch, and each alone.
pub fn check_resolver(resolvers: &dyn Resolvers) {
    let mut problems = Vec::new();
    for (policy, group) in groups() {
        let resolver = match resolvers.compile(&policy, &schema(&group[0].columns), &[0]) {
            Ok(resolver) => resolver,
            Err(error) => {
                problems.push(format!(
                    "{}, {policy:?} does not compile: {}",
                    group[0].block,
                    error.chain()
                ));
                continue;
            }
        };
        let without: Vec<Case> = group
            .iter()
            .filter(|case| case.event.before.is_none())
            .cloned()
            .collect();
        problems.extend(put(&*resolver, &CaseBatch::new(without.clone(), false)));
        problems.extend(put(&*resolver, &CaseBatch::new(group, true)));
        for case in without {
            problems.extend(put(&*resolver, &CaseBatch::new(vec![case], false)));
        }
    }
    report(&problems);
}

/// Panics with the problems, if there are any.
pub(super) fn report(problems: &[String]) {
    // One problem for each line of the table is enough.
    let mut lines: Vec<&str> = Vec::new();
    let mut shown = String::new();
    for problem in problems {
        let line = problem.split([' ', ',']).next().unwrap_or_default();
        if !lines.contains(&line) && lines.len() < 60 {
            lines.push(line);
            shown.push_str(problem);
            shown.push('\n');
        }
    }
    assert!(
        problems.is_empty(),
        "{} times a case ended otherwise than decision_table.txt says:\n{shown}",
        problems.len(),
    );
}

fn put(resolver: &dyn Resolver, batch: &CaseBatch) -> Vec<String> {
    match resolver.resolve(&batch.conflict_batch()) {
        Ok(decisions) => batch.compare(&decisions),
        Err(error) => vec![format!(
            "decision_table.txt:{} and on: {}",
            batch.cases[0].line,
            error.chain()
        )],
    }
}

impl CaseBatch {
    /// The conflict batch of cases that share their policy and columns. With `with_before`, the
    /// changes contain their rows before; for a delete that is the deleted row.
    pub fn new(cases: Vec<Case>, with_before: bool) -> Self {
        let columns = &cases[0].columns;
        let events: Vec<Event> = cases
            .iter()
            .enumerate()
            .map(|(index, case)| Event {
                id: index as i64,
                ..case.event.clone()
            })
            .collect();
        let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
        let rows: Vec<Option<&[Cell]>> = cases.iter().map(|case| case.target.cells()).collect();
        let marks: Vec<bool> = cases
            .iter()
            .map(|case| matches!(case.target, TargetState::Marked(_)))
            .collect();
        let tombstones = cases.iter().map(|case| match case.target {
            TargetState::Tombstone(version) => Some(version),
            _ => None,
        });
        let policy = &cases[0].policy;
        let records_deletes = matches!(policy.strategy, Strategy::NewestWins | Strategy::Merge)
            && policy.version.is_some();
        Self {
            changes: changes(columns, &events, with_before),
            target: TargetRows {
                rows: batch(columns, &ids, &rows),
                exists: rows.iter().map(Option::is_some).collect(),
                marked: marks.contains(&true).then(|| BooleanBuffer::from(marks)),
                foreign: vec![None; columns.len() + 1],
            },
            base: with_before.then(|| images(columns, &events)),
            tombstones: records_deletes
                .then(|| Arc::new(Int64Array::from_iter(tombstones)) as ArrayRef),
            cases,
        }
    }

    /// The input of the resolver.
    pub fn conflict_batch(&self) -> ConflictBatch<'_> {
        ConflictBatch {
            changes: &self.changes,
            target: &self.target,
            base: self.base.as_ref().map_or(Base::None, Base::Image),
            tombstones: self.tombstones.as_ref(),
        }
    }

    /// The differences from the table, one on each line.
    pub fn compare(&self, decisions: &Decisions) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, case) in self.cases.iter().enumerate() {
            let found = found(case, decisions, index);
            let (wanted, fits) = wanted(case, decisions.verdicts[index]);
            if !fits || found != wanted {
                problems.push(format!(
                    "decision_table.txt:{} ({}, detect {:?}, tie {:?}, {} {}): {:?} {found}, expected {wanted}",
                    case.line,
                    case.block,
                    case.policy.detect,
                    case.policy.tie,
                    case.event.operation.letter(),
                    if self.base.is_some() { "with images" } else { "without images" },
                    decisions.verdicts[index],
                ));
            }
        }
        let rows = |rows: Vec<u32>| rows.is_sorted_by(|left, right| left < right);
        if !rows(decisions.conflicts.iter().map(|one| one.row).collect()) {
            problems.push(format!(
                "decision_table.txt:{}: conflicts are not ordered by row, or a row has two",
                self.cases[0].line
            ));
        }
        problems
    }
}

impl TargetState {
    /// The row in the target, marked or not.
    pub(super) fn cells(&self) -> Option<&[Cell]> {
        match self {
            Self::Row(row) | Self::Marked(row) => Some(row),
            Self::Absent | Self::Tombstone(_) => None,
        }
    }
}

/// The decision as text: the row, the conflict, the rule.
fn found(case: &Case, decisions: &Decisions, index: usize) -> String {
    let held = match &case.target {
        TargetState::Row(row) => Some(row.clone()),
        _ => None,
    };
    let row = match decisions.verdicts[index] {
        Verdict::Delete => None,
        Verdict::Write => Some(
            (0..case.columns.len())
                .map(|place| {
                    let untouched = decisions.untouched[place + 1]
                        .as_ref()
                        .is_some_and(|mask| mask.value(index));
                    match (&held, untouched) {
                        (Some(held), true) => held[place].clone(),
                        _ => cell(&case.columns, &decisions.rows, place, index),
                    }
                })
                .collect(),
        ),
        _ => held,
    };
    let conflict = decisions
        .conflicts
        .iter()
        .find(|conflict| conflict.row as usize == index)
        .map(|conflict| (conflict.kind, conflict.winner));
    let rule = decisions
        .rejected
        .iter()
        .find(|rejected| rejected.row == index)
        .map(|rejected| rejected.rule.clone());
    text(row.as_deref(), conflict, rule.as_deref())
}

/// The expected result as text, and whether the verdict fits it.
fn wanted(case: &Case, verdict: Verdict) -> (String, bool) {
    let same = case.target.cells() == case.row.as_deref()
        && !matches!(case.target, TargetState::Marked(_));
    let delete = case.event.operation == Operation::Delete;
    let (rule, fits) = match &case.bucket {
        Bucket::Rejected(rule) => (Some(rule.as_str()), verdict == Verdict::Reject),
        Bucket::Kept => (None, verdict == Verdict::Keep),
        Bucket::Queued => (None, verdict == Verdict::Queue),
        Bucket::Written if delete && matches!(case.target, TargetState::Row(_)) => {
            (None, verdict == Verdict::Delete)
        }
        Bucket::Written if delete => (None, matches!(verdict, Verdict::Delete | Verdict::Same)),
        Bucket::Written if same => (None, matches!(verdict, Verdict::Write | Verdict::Same)),
        Bucket::Written => (None, verdict == Verdict::Write),
    };
    (text(case.row.as_deref(), case.conflict, rule), fits)
}

fn text(
    row: Option<&[Cell]>,
    conflict: Option<(crate::conflict::ConflictType, crate::conflict::Winner)>,
    rule: Option<&str>,
) -> String {
    let row = row.map_or("none".to_owned(), show);
    let conflict = conflict.map_or("no conflict".to_owned(), |(kind, winner)| {
        format!("{} won by {}", kind.name(), winner.name())
    });
    let rule = rule.map_or(String::new(), |rule| format!(", rejected by {rule}"));
    format!("{row}, {conflict}{rule}")
}
