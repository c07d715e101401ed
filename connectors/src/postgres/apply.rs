//! Steps into tables, inside a transaction that the caller opened (R9).
//!
//! The steps of all tables are taken together: in each, deletes with referencing tables first, then
//! upserts with referenced tables first, so that foreign keys hold.

use sqlx::Row;

use super::failure::{Failure, failure};
use super::prepare::Prepared;
use super::session::Session;
use super::settle::{self, settle};
use super::stage::{INSERT, Staged, UPDATE, stage};
use super::statement::Statements;
use crate::change::Changes;
use crate::conflict::{ConflictType, Detect, Strategy, Winner};
use crate::error::Error;
use crate::sink::{Identity, Outcome};
use crate::sql::Options;
use crate::sql::decide::{Settlement, Tally};
use crate::sql::plan::{Step, Work, rejection};

/// Does the work.
pub(super) async fn run(
    session: &mut Session,
    identity: &Identity,
    options: &Options,
    work: &Work<Prepared>,
) -> Result<Outcome, Failure> {
    let mut outcome = work.settled.clone();
    let count = work.tables.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..count {
        let mut staged: Vec<Option<Staged>> = Vec::new();
        staged.resize_with(work.tables.len(), || None);
        let mut settled: Vec<Option<Settlement>> = Vec::new();
        settled.resize_with(work.tables.len(), || None);
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
                Step::Truncate(prepared) => {
                    session.execute(&statements.truncate()).await?;
                    let clear: Vec<String> =
                        session.books.clear(&prepared.name).into_iter().collect();
                    session.ledger(&clear).await?;
                }
                Step::Contested { changes, .. } => {
                    let settlement = settle(session, &statements, options, changes).await?;
                    outcome += &settlement.outcome;
                    settled[table] = Some(settlement);
                }
                Step::Rows {
                    prepared,
                    round,
                    places,
                } => {
                    let rows = stage(session, prepared, round, places).await?;
                    if rows.deletes > 0 {
                        let mut run = Run::new(session, &statements, options, &mut outcome);
                        run.delete(rows.deletes).await?;
                        run.enter(&round.deletes).await?;
                    }
                    staged[table] = Some(rows);
                }
            }
        }
        for (table, steps) in work.tables.iter().enumerate() {
            let Some(step) = steps.get(number) else {
                continue;
            };
            let statements = Statements {
                prepared: step.prepared(),
                policy: &options.conflict,
                identity,
            };
            if let Some(settlement) = &settled[table] {
                settle::write(session, &statements, options, settlement).await?;
            }
            if let (Some(rows), Step::Rows { places, round, .. }) = (staged[table].take(), step) {
                let mut run = Run::new(session, &statements, options, &mut outcome);
                run.upsert(rows, places, number == 0).await?;
                run.enter(&round.upserts).await?;
            }
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
    tally: Tally,
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
            tally: Tally::new(),
        }
    }

    /// Counts conflicts that ended in one way.
    fn conflict(&mut self, kind: ConflictType, winner: Winner, count: u64) {
        if count > 0 {
            self.outcome.conflicts.add(kind, count);
            let strategy = self.options.conflict.strategy.name();
            *self
                .tally
                .entry((kind, strategy, None, winner))
                .or_default() += count;
        }
    }

    /// Puts the counts into the books.
    async fn enter(self, changes: &Changes) -> Result<(), Failure> {
        let name = &self.statements.prepared.name;
        let entries = self.session.books.count(name, changes, &self.tally);
        self.session.ledger(&entries).await.map(|_| ())
    }

    fn strategy(&self) -> &Strategy {
        &self.options.conflict.strategy
    }

    /// Whether versions of deletes are kept (R12).
    fn buries(&self) -> bool {
        self.statements.buries(self.options.delete)
    }

    async fn delete(&mut self, staged: u64) -> Result<(), Failure> {
        let [applied, differing] = self.counts(&self.statements.delete(), false).await?;
        let mut kept = 0;
        if applied < staged && *self.strategy() != Strategy::SourceWins {
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
        self.conflict(ConflictType::DeleteOriginDiffers, Winner::Source, differing);
        self.conflict(lost, Winner::Target, kept);
        let missing = staged - applied - kept;
        self.conflict(ConflictType::DeleteMissing, Winner::Source, missing);
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
        let mut revived = self.count_marked(0).await?;
        let mut rest = [0, 0];
        for operation in [INSERT, UPDATE] {
            let count = staged.full[operation as usize];
            if count == 0 {
                continue;
            }
            let sql = self.statements.upsert(operation);
            let [inserted, updated] = self.counts(&sql, true).await?;
            // A row that was marked as deleted counts as absent.
            let back = std::mem::take(&mut revived[operation as usize]).min(updated);
            let (inserted, updated) = (inserted + back, updated - back);
            if operation == UPDATE {
                self.conflict(ConflictType::UpdateMissing, Winner::Source, inserted);
            }
            self.updated(operation as usize, updated);
            rest[operation as usize] = count.saturating_sub(inserted + updated);
            self.outcome.written += count;
        }
        self.settle_rest(&whole, 0, rest, first).await?;

        let mut incomplete = Vec::new();
        for (index, (set, counts)) in staged.partial.iter().enumerate() {
            let pattern = index as i16 + 1;
            let revived = self.count_marked(pattern).await?;
            let updated = self
                .counts(&self.statements.update(set, pattern), false)
                .await?;
            let mut rest = [0, 0];
            for operation in [0, 1] {
                let back = revived[operation].min(updated[operation]);
                if operation == 1 {
                    self.conflict(ConflictType::UpdateMissing, Winner::Source, back);
                }
                self.updated(operation, updated[operation] - back);
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

    /// Rows that an upsert changed: in conflict, unless newer versions are none.
    fn updated(&mut self, operation: usize, count: u64) {
        if self.options.conflict.detect != Some(Detect::Version) {
            self.conflict(CONFLICTS[operation], Winner::Source, count);
        }
    }

    /// How many staged rows of a pattern meet a row that is marked as deleted, inserts first.
    async fn count_marked(&mut self, pattern: i16) -> Result<[u64; 2], Failure> {
        match self.statements.marked(pattern) {
            Some(sql) => self.counts(&sql, false).await,
            None => Ok([0, 0]),
        }
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
        let by_key = self.options.conflict.detect == Some(Detect::Key);
        if *self.strategy() == Strategy::SourceWins {
            // They are equal to the change, and in conflict by their key alone.
            for operation in [0, 1] {
                let count = if by_key { rest[operation] } else { 0 };
                self.conflict(CONFLICTS[operation], Winner::Source, count);
            }
            return Ok(());
        }
        if rest == [0, 0] {
            return Ok(());
        }
        let lost = match self.options.conflict.detect {
            Some(Detect::Key) => rest,
            _ => {
                self.counts(&self.statements.kept(set, pattern, first), false)
                    .await?
            }
        };
        for operation in [0, 1] {
            let kept = lost[operation].min(rest[operation]);
            self.conflict(CONFLICTS[operation], Winner::Target, kept);
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
            self.conflict(ConflictType::UpdateMissing, Winner::Target, count);
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
