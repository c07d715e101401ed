//! What a write comes down to before the database is asked: steps for every table (R8, R13).
//!
//! Every batch is cut at its truncates, which are barriers, and folded to rounds in between; every
//! target is prepared. What can be refused without the database is refused here.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;

use super::equality::with_normal_keys;
use super::failure::Failure;
use super::prepare::Prepared;
use super::session::Session;
use super::settle::Dispute;
use crate::change::{Changes, Operation};
use crate::error::{Error, RejectedChange};
use crate::sink::{Outcome, Write};
use crate::sql::decide::takes_resolver;
use crate::sql::fold::{Round, fold};
use crate::sql::names::spelled;
use crate::sql::target::{Target, key_columns};
use crate::sql::version::refuse_skewed;
use crate::sql::{DeleteMode, Options, TruncateMode};

/// A stretch of one batch of a write.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Index of the batch.
    pub(super) batch: usize,
    /// The batch's row that the stretch begins with.
    pub(super) first_row: usize,
    pub(super) changes: Changes,
}

impl Part {
    /// All batches, whole.
    ///
    /// # Errors
    /// As [`spelled`].
    pub(super) fn of_write(options: &Options, write: &Write) -> crate::error::Result<Vec<Self>> {
        let parts = write.changes.iter().enumerate();
        parts
            .filter(|(_, changes)| !changes.is_empty())
            .map(|(batch, changes)| {
                Ok(Self {
                    batch,
                    first_row: 0,
                    changes: spelled(options, changes.clone())?,
                })
            })
            .collect()
    }
}

/// What is to be done, and what is already known of its outcome.
pub(super) struct Work {
    /// In an order in which every table comes after those that its foreign keys point to.
    pub(super) tables: Vec<Vec<Step>>,
    /// What is counted already.
    pub(super) settled: Outcome,
}

/// One round of a table, or its truncate.
pub(super) enum Step {
    Rows {
        prepared: Arc<Prepared>,
        round: Box<Round>,
        /// The batch and row of each upsert, then of each delete.
        places: Vec<(usize, usize)>,
    },
    /// Changes that a resolver decides.
    Dispute {
        prepared: Arc<Prepared>,
        dispute: Box<Dispute>,
    },
    Truncate(Arc<Prepared>),
}

impl Step {
    pub(super) fn prepared(&self) -> &Prepared {
        match self {
            Self::Rows { prepared, .. }
            | Self::Dispute { prepared, .. }
            | Self::Truncate(prepared) => prepared,
        }
    }
}

/// Folds and prepares.
pub(super) async fn plan(
    session: &mut Session,
    options: &Options,
    parts: &[Part],
) -> Result<Work, Failure> {
    let mut tables: BTreeMap<Target, Vec<Step>> = BTreeMap::new();
    let mut settled = Outcome::default();
    let mut rejected = Vec::new();
    let now_ms = Utc::now().timestamp_millis();
    for part in parts {
        let target = Target::of(&options.table, &part.changes.table)?;
        let key = key_columns(options, &part.changes)?;
        let prepared = Prepared::of(session, options, &target, &part.changes, &key).await?;
        let place = |row: usize| (part.batch, part.first_row + row);
        for row in refuse_skewed(&part.changes, &options.conflict, now_ms)? {
            let (batch, at) = place(row.row);
            rejected.push(rejection(batch, at, row.rule, row.field, row.reason));
        }
        let steps = tables.entry(target).or_default();
        for segment in segments(&part.changes) {
            let rows = match segment {
                Segment::Truncate(row) => {
                    match truncates(options, &part.changes, row) {
                        Ok(true) => {
                            steps.push(Step::Truncate(prepared.clone()));
                            settled.written += 1;
                        }
                        Ok(false) => settled.kept += 1,
                        Err((rule, reason)) => {
                            let (batch, at) = place(row);
                            rejected.push(rejection(batch, at, rule, None, reason));
                        }
                    }
                    continue;
                }
                Segment::Rows(rows) => rows,
            };
            let segment = if rows.len() == part.changes.len() {
                part.changes.clone()
            } else {
                let indices: Vec<u32> = rows.clone().map(|row| row as u32).collect();
                part.changes.take(&indices).map_err(Error::configuration)?
            };
            let (segment, spelling) =
                with_normal_keys(session, &prepared, segment, options).await?;
            if takes_resolver(options, &segment, session.books.may_wait)? {
                let spelling = spelling.map(|spelling| spelling.placed(&prepared.indices()));
                steps.push(Step::Dispute {
                    prepared: prepared.clone(),
                    dispute: Box::new(Dispute {
                        changes: prepared.place(&segment)?,
                        spelling,
                        batch: part.batch,
                        first_row: part.first_row + rows.start,
                    }),
                });
                continue;
            }
            let folded = fold(&segment, &key, &options.conflict, options.delete)?;
            settled.superseded += folded.superseded;
            settled.kept += folded.kept;
            for row in folded.rejected {
                let (batch, at) = place(rows.start + row.row);
                rejected.push(rejection(batch, at, row.rule, row.field, row.reason));
            }
            for mut round in folded.rounds {
                if let Some(spelling) = &spelling {
                    spelling.restore(&mut round.upserts, &round.upsert_rows)?;
                }
                let numbers = round.upsert_rows.iter().chain(&round.delete_rows);
                let places = numbers
                    .map(|&row| place(rows.start + row as usize))
                    .collect();
                steps.push(Step::Rows {
                    prepared: prepared.clone(),
                    round: Box::new(round),
                    places,
                });
            }
        }
    }
    if !rejected.is_empty() {
        rejected.sort_by_key(|change: &RejectedChange| (change.batch, change.row));
        return Err(Failure::Error(Error::Rejected(rejected)));
    }
    Ok(Work {
        tables: in_order_of_references(tables.into_values().collect()),
        settled,
    })
}

enum Segment {
    Rows(std::ops::Range<usize>),
    Truncate(usize),
}

/// The rows between truncates, and the truncates.
fn segments(changes: &Changes) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut start = 0;
    for (row, operation) in changes.operations.iter().enumerate() {
        if *operation == Operation::Truncate {
            if start < row {
                segments.push(Segment::Rows(start..row));
            }
            segments.push(Segment::Truncate(row));
            start = row + 1;
        }
    }
    if start < changes.len() {
        segments.push(Segment::Rows(start..changes.len()));
    }
    segments
}

/// Whether a truncate is applied; the rule and the reason where it is refused.
fn truncates(options: &Options, changes: &Changes, row: usize) -> Result<bool, (String, String)> {
    if options.truncate == TruncateMode::Ignore || options.delete == DeleteMode::Ignore {
        return Ok(false);
    }
    let origin = changes.origins[row] as usize;
    if options.truncate == TruncateMode::Apply || changes.records.partition(origin).single {
        return Ok(true);
    }
    Err((
        "R13 truncate".to_owned(),
        "the topic has several partitions, so the truncate has no place in the order of the rows: write truncate = \"apply\" or \"ignore\" in the sink".to_owned(),
    ))
}

pub(super) fn rejection(
    batch: usize,
    row: usize,
    rule: String,
    field: Option<String>,
    reason: String,
) -> RejectedChange {
    RejectedChange {
        batch,
        row,
        rule,
        field,
        reason,
    }
}

/// Every table after those that its foreign keys point to; by name where they go in a circle.
fn in_order_of_references(mut rest: Vec<Vec<Step>>) -> Vec<Vec<Step>> {
    rest.retain(|steps| !steps.is_empty());
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let waits = |steps: &Vec<Step>| {
            let prepared = steps[0].prepared();
            rest.iter().any(|other| {
                let oid = &other[0].prepared().oid;
                *oid != prepared.oid && prepared.references.contains(oid)
            })
        };
        let next = rest.iter().position(|steps| !waits(steps)).unwrap_or(0);
        ordered.push(rest.remove(next));
    }
    ordered
}
