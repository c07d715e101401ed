//! Changes into tables, inside a transaction that the caller opened (R8, R9, R13).
//!
//! [`plan`] folds every batch and prepares every target; what can be refused without the database is
//! refused here. [`run`] then goes through the steps of all tables together: in each, deletes with
//! referencing tables first, then upserts with referenced tables first, so that foreign keys hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use sqlx::Row;

use super::failure::{Failure, failure};
use super::prepare::Prepared;
use super::session::Session;
use super::stage::{INSERT, Staged, UPDATE, stage};
use super::statement::Statements;
use crate::change::{Changes, Operation};
use crate::conflict::{ConflictType, Detect, Strategy};
use crate::error::{Error, RejectedChange};
use crate::sink::{Identity, Outcome, Write};
use crate::sql::fold::{Round, fold};
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
    pub(super) fn of_write(write: &Write) -> Vec<Self> {
        let parts = write.changes.iter().enumerate();
        parts
            .filter(|(_, changes)| !changes.is_empty())
            .map(|(batch, changes)| Self {
                batch,
                first_row: 0,
                changes: changes.clone(),
            })
            .collect()
    }
}

/// What is to be done, and what is already known of its outcome.
pub(super) struct Work {
    /// In an order in which every table comes after those that its foreign keys point to.
    tables: Vec<Vec<Step>>,
    settled: Outcome,
}

impl Work {
    /// The staging tables that the work fills.
    pub(super) fn stages(&self) -> Vec<&str> {
        let mut stages: Vec<&str> = self
            .tables
            .iter()
            .flatten()
            .map(|step| step.prepared().stage.as_str())
            .collect();
        stages.sort_unstable();
        stages.dedup();
        stages
    }
}

enum Step {
    Rows {
        prepared: Arc<Prepared>,
        round: Box<Round>,
        /// The batch and row of each upsert, then of each delete.
        places: Vec<(usize, usize)>,
    },
    Truncate(Arc<Prepared>),
}

impl Step {
    fn prepared(&self) -> &Prepared {
        match self {
            Self::Rows { prepared, .. } | Self::Truncate(prepared) => prepared,
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
            let folded = fold(&segment, &key, &options.conflict, options.delete)?;
            settled.superseded += folded.superseded;
            settled.kept += folded.kept;
            for row in folded.rejected {
                let (batch, at) = place(rows.start + row.row);
                rejected.push(rejection(batch, at, row.rule, row.field, row.reason));
            }
            for round in folded.rounds {
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

/// Does the work.
pub(super) async fn run(
    session: &mut Session,
    identity: &Identity,
    options: &Options,
    work: &Work,
) -> Result<Outcome, Failure> {
    session.filled.clear();
    let mut outcome = work.settled.clone();
    let count = work.tables.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..count {
        let mut staged: Vec<Option<Staged>> = Vec::new();
        staged.resize_with(work.tables.len(), || None);
        for (table, steps) in work.tables.iter().enumerate().rev() {
            let Some(step) = steps.get(number) else {
                continue;
            };
            let statements = Statements {
                prepared: step.prepared(),
                policy: &options.conflict,
                identity,
            };
            match step {
                Step::Truncate(_) => session.execute(&statements.truncate()).await?,
                Step::Rows {
                    prepared,
                    round,
                    places,
                } => {
                    let rows = stage(session, prepared, round, places).await?;
                    if rows.deletes > 0 {
                        let mut run = Run::new(session, &statements, options, &mut outcome);
                        run.delete(rows.deletes).await?;
                    }
                    staged[table] = Some(rows);
                }
            }
        }
        for (table, steps) in work.tables.iter().enumerate() {
            let (
                Some(Step::Rows {
                    prepared, places, ..
                }),
                Some(rows),
            ) = (steps.get(number), staged[table].take())
            else {
                continue;
            };
            let statements = Statements {
                prepared,
                policy: &options.conflict,
                identity,
            };
            let mut run = Run::new(session, &statements, options, &mut outcome);
            run.upsert(rows, places, number == 0).await?;
        }
    }
    Ok(outcome)
}

/// One step of one table.
struct Run<'a> {
    session: &'a mut Session,
    statements: &'a Statements<'a>,
    options: &'a Options,
    outcome: &'a mut Outcome,
}

/// What a row in conflict is called, by its operation.
const CONFLICTS: [ConflictType; 2] = [
    ConflictType::InsertExists,
    ConflictType::UpdateOriginDiffers,
];

impl<'a> Run<'a> {
    fn new(
        session: &'a mut Session,
        statements: &'a Statements<'a>,
        options: &'a Options,
        outcome: &'a mut Outcome,
    ) -> Self {
        Self {
            session,
            statements,
            options,
            outcome,
        }
    }

    fn strategy(&self) -> Strategy {
        self.options.conflict.strategy
    }

    /// Whether versions of deletes are kept (R12).
    fn buries(&self) -> bool {
        self.options.delete != DeleteMode::Ignore
            && matches!(self.strategy(), Strategy::NewestWins | Strategy::Merge)
    }

    async fn delete(&mut self, staged: u64) -> Result<(), Failure> {
        let [applied, differing] = self.counts(&self.statements.delete(), false).await?;
        let mut kept = 0;
        if applied < staged && self.strategy() != Strategy::SourceWins {
            let [survivors, _] = self.counts(&self.statements.survivors(), false).await?;
            kept = survivors.min(staged - applied);
        }
        if self.buries()
            && let Some(sql) = self.statements.bury()
        {
            self.session.execute(&sql).await?;
        }
        let lost = match self.strategy() {
            Strategy::NewestWins | Strategy::Merge => ConflictType::DeleteExists,
            _ => ConflictType::DeleteOriginDiffers,
        };
        let conflicts = &mut self.outcome.conflicts;
        conflicts.add(ConflictType::DeleteOriginDiffers, differing);
        conflicts.add(lost, kept);
        conflicts.add(ConflictType::DeleteMissing, staged - applied - kept);
        self.outcome.kept += kept;
        self.outcome.written += staged - kept;
        Ok(())
    }

    /// `first`: nothing of this transaction has been written to the table yet but deletes.
    async fn upsert(
        &mut self,
        mut staged: Staged,
        places: &[(usize, usize)],
        first: bool,
    ) -> Result<(), Failure> {
        if self.buries() && (staged.full != [0; 2] || !staged.partial.is_empty()) {
            self.drop_outdated(&mut staged).await?;
        }
        let whole = vec![true; self.statements.prepared.columns.len()];
        let mut rest = [0, 0];
        for operation in [INSERT, UPDATE] {
            let count = staged.full[operation as usize];
            if count == 0 {
                continue;
            }
            let sql = self.statements.upsert(operation);
            let [inserted, updated] = self.counts(&sql, true).await?;
            if operation == UPDATE {
                self.outcome
                    .conflicts
                    .add(ConflictType::UpdateMissing, inserted);
            }
            self.outcome
                .conflicts
                .add(CONFLICTS[operation as usize], updated);
            rest[operation as usize] = count.saturating_sub(inserted + updated);
            self.outcome.written += count;
        }
        self.settle_rest(&whole, 0, rest, first).await?;

        let mut incomplete = Vec::new();
        for (index, (set, counts)) in staged.partial.iter().enumerate() {
            let pattern = index as i16 + 1;
            let updated = self
                .counts(&self.statements.update(set, pattern), false)
                .await?;
            let mut rest = [0, 0];
            for operation in [0, 1] {
                self.outcome
                    .conflicts
                    .add(CONFLICTS[operation], updated[operation]);
                self.outcome.written += counts[operation];
                rest[operation] = counts[operation].saturating_sub(updated[operation]);
            }
            if rest != [0, 0] {
                let sql = self.statements.incomplete(pattern);
                incomplete.extend(self.session.rows(&sql, false).await?);
            }
            self.settle_rest(set, pattern, rest, first).await?;
        }
        if incomplete.is_empty() {
            return Ok(());
        }
        let mut rejected = incomplete
            .iter()
            .map(|row| {
                let number: i32 = row.try_get(0)?;
                let (batch, row) = places[number as usize];
                Ok(rejection(
                    batch,
                    row,
                    "R14 incomplete".to_owned(),
                    None,
                    "the update leaves out unchanged values, and the target has no such row"
                        .to_owned(),
                ))
            })
            .collect::<Result<Vec<_>, sqlx::Error>>()
            .map_err(|error| failure("reading incomplete rows", error))?;
        rejected.sort_by_key(|change| (change.batch, change.row));
        Err(Failure::Error(Error::Rejected(rejected)))
    }

    /// Rows that a statement left as they were: equal to the change, which is then applied, or in a
    /// conflict that the change lost. They were counted as written.
    async fn settle_rest(
        &mut self,
        set: &[bool],
        pattern: i16,
        rest: [u64; 2],
        first: bool,
    ) -> Result<(), Failure> {
        if rest == [0, 0] || self.strategy() == Strategy::SourceWins {
            return Ok(());
        }
        let lost = match self.options.conflict.detect {
            Detect::Key => rest,
            Detect::Row => {
                self.counts(&self.statements.kept(set, pattern, first), false)
                    .await?
            }
        };
        for operation in [0, 1] {
            let kept = lost[operation].min(rest[operation]);
            self.outcome.conflicts.add(CONFLICTS[operation], kept);
            self.outcome.kept += kept;
            self.outcome.written -= kept;
        }
        Ok(())
    }

    /// Upserts that are not ahead of the delete of their key are kept out (R12).
    async fn drop_outdated(&mut self, staged: &mut Staged) -> Result<(), Failure> {
        let sql = self.statements.has_tombstones();
        let rows = self.session.rows(&sql, false).await?;
        let any: bool = one(&rows, 0)?;
        let Some(sql) = self.statements.drop_outdated().filter(|_| any) else {
            return Ok(());
        };
        for row in self.session.rows(&sql, false).await? {
            let read = || -> Result<(i16, i16, i64), sqlx::Error> {
                Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
            };
            let (operation, pattern, count) =
                read().map_err(|error| failure("reading outdated rows", error))?;
            let (operation, count) = (operation as usize, count as u64);
            match pattern {
                0 => staged.full[operation] -= count,
                pattern => staged.partial[pattern as usize - 1].1[operation] -= count,
            }
            self.outcome.kept += count;
            self.outcome
                .conflicts
                .add(ConflictType::UpdateMissing, count);
        }
        self.session.execute(&self.statements.exhume()).await
    }

    /// The two counts that a statement returns; the second may be absent.
    async fn counts(&mut self, sql: &str, cached: bool) -> Result<[u64; 2], Failure> {
        let rows = self.session.rows(sql, cached).await?;
        let first: i64 = one(&rows, 0)?;
        let second: i64 = match rows.first().map(|row| row.len()) {
            Some(2) => one(&rows, 1)?,
            _ => 0,
        };
        Ok([first as u64, second as u64])
    }
}

fn one<'r, T>(rows: &'r [sqlx::postgres::PgRow], column: usize) -> Result<T, Failure>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    rows.first()
        .ok_or(sqlx::Error::RowNotFound)
        .and_then(|row| row.try_get(column))
        .map_err(|error| failure("reading counts", error))
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

fn rejection(
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
                let oid = other[0].prepared().oid;
                oid != prepared.oid && prepared.references.contains(&oid)
            })
        };
        let next = rest.iter().position(|steps| !waits(steps)).unwrap_or(0);
        ordered.push(rest.remove(next));
    }
    ordered
}
