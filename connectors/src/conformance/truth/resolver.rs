//! The table against a resolver alone: a pure function, no database.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::buffer::BooleanBuffer;

use super::{Bucket, Case, Held, groups};
use crate::change::{Changes, Image, Operation};
use crate::conflict::{
    Base, Decisions, Held as Rows, Meeting, Resolver, Resolvers, Strategy, Verdict,
};
use crate::conformance::cells::{Cell, Event, batch, cell, changes, images, schema, show};

/// Cases of one policy as what a resolver is asked; row `i` is case `i`.
pub struct Met {
    cases: Vec<Case>,
    changes: Changes,
    target: Rows,
    base: Option<Image>,
    graves: Option<ArrayRef>,
}

/// Passes where the resolver decides every case as it is written down: all of a policy at once, and
/// every one alone.
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
        problems.extend(put(&*resolver, &Met::new(without.clone(), false)));
        problems.extend(put(&*resolver, &Met::new(group, true)));
        for case in without {
            problems.extend(put(&*resolver, &Met::new(vec![case], false)));
        }
    }
    report(&problems);
}

/// Fails with what went wrong, if anything did.
pub(super) fn report(problems: &[String]) {
    // One a line of the table is enough to see what is wrong.
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
        "{} times a case ended otherwise than truth.txt says:\n{shown}",
        problems.len(),
    );
}

fn put(resolver: &dyn Resolver, met: &Met) -> Vec<String> {
    match resolver.resolve(&met.meeting()) {
        Ok(decisions) => met.compare(&decisions),
        Err(error) => vec![format!(
            "truth.txt:{} and on: {}",
            met.cases[0].line,
            error.chain()
        )],
    }
}

impl Met {
    /// The meeting of these cases, which share their policy and columns. Images before go along
    /// where `with_before`: then that of a delete is its row.
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
        let rows: Vec<Option<&[Cell]>> = cases.iter().map(|case| case.held.cells()).collect();
        let marks: Vec<bool> = cases
            .iter()
            .map(|case| matches!(case.held, Held::Marked(_)))
            .collect();
        let graves = cases.iter().map(|case| match case.held {
            Held::Grave(version) => Some(version),
            _ => None,
        });
        let policy = &cases[0].policy;
        let buries = matches!(policy.strategy, Strategy::NewestWins | Strategy::Merge)
            && policy.version.is_some();
        Self {
            changes: changes(columns, &events, with_before),
            target: Rows {
                rows: batch(columns, &ids, &rows),
                exists: rows.iter().map(Option::is_some).collect(),
                marked: marks.contains(&true).then(|| BooleanBuffer::from(marks)),
                foreign: vec![None; columns.len() + 1],
            },
            base: with_before.then(|| images(columns, &events)),
            graves: buries.then(|| Arc::new(Int64Array::from_iter(graves)) as ArrayRef),
            cases,
        }
    }

    /// What the resolver is asked.
    pub fn meeting(&self) -> Meeting<'_> {
        Meeting {
            changes: &self.changes,
            target: &self.target,
            base: self.base.as_ref().map_or(Base::None, Base::Image),
            graves: self.graves.as_ref(),
        }
    }

    /// What differs from what is written down, one line each.
    pub fn compare(&self, decisions: &Decisions) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, case) in self.cases.iter().enumerate() {
            let found = found(case, decisions, index);
            let (wanted, fits) = wanted(case, decisions.verdicts[index]);
            if !fits || found != wanted {
                problems.push(format!(
                    "truth.txt:{} ({}, detect {:?}, tie {:?}, {} {}): {:?} {found}, expected {wanted}",
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
                "truth.txt:{}: conflicts do not ascend by their row, or one has two",
                self.cases[0].line
            ));
        }
        problems
    }
}

impl Held {
    /// The row, marked or not.
    pub(super) fn cells(&self) -> Option<&[Cell]> {
        match self {
            Self::Row(row) | Self::Marked(row) => Some(row),
            Self::Nothing | Self::Grave(_) => None,
        }
    }
}

/// What was decided: the row, the conflict, the rule.
fn found(case: &Case, decisions: &Decisions, index: usize) -> String {
    let held = match &case.held {
        Held::Row(row) => Some(row.clone()),
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

/// What is written down, and whether the verdict says so.
fn wanted(case: &Case, verdict: Verdict) -> (String, bool) {
    let same = case.held.cells() == case.row.as_deref() && !matches!(case.held, Held::Marked(_));
    let delete = case.event.operation == Operation::Delete;
    let (rule, fits) = match &case.bucket {
        Bucket::Rejected(rule) => (Some(rule.as_str()), verdict == Verdict::Reject),
        Bucket::Kept => (None, verdict == Verdict::Keep),
        Bucket::Queued => (None, verdict == Verdict::Queue),
        Bucket::Written if delete && matches!(case.held, Held::Row(_)) => {
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
