//! What PostgreSQL does with a load: rows are copied into the staging table, and one statement each
//! deletes and upserts, and returns what became of them.

mod resolved;
mod tables;

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use self::resolved::{held, tombstones, write_decided};
use super::failure::{Failure, failure};
use super::keys::stage_keys;
use super::one_by_one::refused;
use super::prepare::Prepared;
use super::session::Session;
use super::stage::{StagedRound, StagedRows, stage, stage_decided, stage_in_table};
use super::statement::Statements;
use crate::change::Changes;
use crate::conflict::{Detect, Strategy};
use crate::sql::DeleteMode;
use crate::sql::bulk::{Bulk, Counts, Fates, Load, Locked, Staged, TableWrite};
use crate::sql::decide::Resolved;
use crate::sql::failure::{Refused, RefusedRow};
use crate::sql::patterns::{INSERT, UPDATE};

/// A load in the staging table.
pub(super) enum StagedLoad {
    Round(StagedRound),
    Decided(Arc<Resolved>, StagedRows),
}

impl Staged for StagedLoad {
    fn has_deletes(&self) -> bool {
        match self {
            Self::Round(round) => round.patterns.deletes > 0,
            Self::Decided(resolved, _) => !resolved.deletes.rows.is_empty(),
        }
    }
}

impl<'a> Statements<'a> {
    fn of(write: &TableWrite<'a, Prepared>, staged: &StagedRows) -> Self {
        Self {
            bound: staged.is_bound(),
            prepared: write.table,
            policy: &write.options.conflict,
            identity: write.identity,
        }
    }
}

impl Bulk for Session {
    type Staged = StagedLoad;

    const CHECK_DEFERRED: Option<&'static str> =
        Some("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED");

    async fn lock(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        keys: &Changes,
    ) -> Result<Locked, Failure> {
        let staged = stage_keys(self, write.table, keys).await?;
        let statements = Statements::of(write, &staged);
        let held = held(self, &statements, &staged, keys.len()).await?;
        let tombstones = match write.keeps_tombstones() {
            true => tombstones(self, &statements, &staged, keys.len()).await?,
            false => None,
        };
        Ok(Locked { held, tombstones })
    }

    async fn stage(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        load: &Load,
    ) -> Result<StagedLoad, Failure> {
        Ok(match load {
            Load::Round { round, places } => {
                StagedLoad::Round(stage(self, write.table, round, places).await?)
            }
            Load::Decided { resolved, places } => {
                let staged = match places.is_empty() {
                    true => StagedRows::InTable,
                    false => stage_decided(self, write.table, resolved, places).await?,
                };
                StagedLoad::Decided(resolved.clone(), staged)
            }
        })
    }

    async fn delete(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: &mut StagedLoad,
    ) -> Result<Fates, Failure> {
        let mut fates = Fates::default();
        match staged {
            StagedLoad::Round(round) => fates.deletes = delete(self, write, round).await?,
            StagedLoad::Decided(..) if write.options.delete == DeleteMode::Soft => {}
            StagedLoad::Decided(_, rows) => {
                let statements = Statements::of(write, rows);
                self.execute_of(&statements.resolved_deletes(), rows)
                    .await?;
            }
        }
        Ok(fates)
    }

    async fn refused_values(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: &mut StagedLoad,
    ) -> Result<Vec<RefusedRow>, Failure> {
        let StagedLoad::Round(round) = staged else {
            return Ok(Vec::new());
        };
        stage_in_table(self, write.table, round).await?;
        if write.keeps_tombstones() && round.patterns.has_upserts() {
            // What is outdated is not written, and so not refused.
            Upsert::of(self, write, round).drop_outdated(round).await?;
        }
        let updates_first = write.table.requires_more || write.table.partitioned;
        let statements = Statements::of(write, &round.rows);
        refused(self, &statements, updates_first, round).await
    }

    async fn upsert(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: StagedLoad,
    ) -> Result<Fates, Failure> {
        match staged {
            StagedLoad::Round(round) => {
                let mut upsert = Upsert::of(self, write, &round);
                upsert.run(round).await?;
                Ok(upsert.fates)
            }
            StagedLoad::Decided(resolved, rows) => {
                write_decided(self, write, &rows, &resolved).await?;
                Ok(Fates::default())
            }
        }
    }
}

async fn delete(
    session: &mut Session,
    write: &TableWrite<'_, Prepared>,
    staged: &StagedRound,
) -> Result<Counts, Failure> {
    let (statements, rows) = (Statements::of(write, &staged.rows), &staged.rows);
    let whole = vec![true; write.table.columns.len()];
    let sets = std::iter::once(&whole).chain(&staged.patterns.delete_sets);
    let (mut applied, mut replaced) = (0, 0);
    for (pattern, set) in sets.enumerate() {
        let sql = statements.delete(set, pattern as i16);
        let [deleted, differed] = counts(session, &sql, rows, false).await?;
        applied += deleted;
        replaced += differed;
    }
    let staged = staged.patterns.deletes;
    let mut lost = 0;
    if applied < staged && write.options.conflict.strategy != Strategy::SourceWins {
        let [survivors, _] = counts(session, &statements.survivors(), rows, false).await?;
        lost = survivors.min(staged - applied);
    }
    if write.keeps_tombstones()
        && let Some(sql) = statements.record_tombstones()
    {
        session.execute_of(&sql, rows).await?;
    }
    Ok(Counts {
        missing: staged - applied - lost,
        same: applied - replaced,
        replaced,
        lost,
        ..Counts::default()
    })
}

/// The upserts of a round.
struct Upsert<'a> {
    session: &'a mut Session,
    write: &'a TableWrite<'a, Prepared>,
    statements: Statements<'a>,
    rows: StagedRows,
    fates: Fates,
}

impl<'a> Upsert<'a> {
    fn of(
        session: &'a mut Session,
        write: &'a TableWrite<'a, Prepared>,
        staged: &StagedRound,
    ) -> Self {
        Self {
            session,
            write,
            statements: Statements::of(write, &staged.rows),
            rows: staged.rows.clone(),
            fates: Fates::default(),
        }
    }

    async fn run(&mut self, mut staged: StagedRound) -> Result<(), Failure> {
        if self.write.keeps_tombstones() && staged.patterns.has_upserts() {
            self.drop_outdated(&mut staged).await?;
        }
        let whole = vec![true; self.write.table.columns.len()];
        self.upsert(&whole, 0, staged.patterns.full, staged.first)
            .await?;
        for (index, partial) in staged.patterns.partial.iter().enumerate() {
            let pattern = index as i16 + 1;
            let (set, wanted) = (&partial.set, &partial.counts);
            if !partial.incomplete {
                self.upsert(set, pattern, *wanted, staged.first).await?;
                continue;
            }
            let revived = self.count_marked(pattern).await?;
            let sql = self.statements.update(set, pattern);
            let updated = self.ask(&sql, false).await?;
            let mut rest = [0, 0];
            for place in [0, 1] {
                let revived = revived[place].min(updated[place]);
                let counts = self.counts(place);
                counts.revived += revived;
                counts.replaced += updated[place] - revived;
                rest[place] = wanted[place].saturating_sub(updated[place]);
            }
            if rest != [0, 0] {
                let sql = self.statements.incomplete(pattern);
                for row in self.session.rows_of(&sql, &self.rows, false).await? {
                    let number: i32 = get(&row, 0)?;
                    let place = staged.places[number as usize];
                    self.fates.refused.push((place, Refused::incomplete()));
                }
            }
            self.count_rest(set, pattern, rest, staged.first).await?;
        }
        Ok(())
    }

    /// Rows that need none in the target: every value is known that the change carries.
    async fn upsert(
        &mut self,
        set: &[bool],
        pattern: i16,
        wanted: [u64; 2],
        first: bool,
    ) -> Result<(), Failure> {
        if wanted == [0, 0] {
            return Ok(());
        }
        let mut revived = self.count_marked(pattern).await?;
        let mut rest = [0, 0];
        // An insert of a row that is there fails where a column that takes no null is not among its own.
        let Prepared {
            requires_more,
            partitioned,
            ..
        } = **self.write.table;
        let updates_first = pattern > 0 || requires_more || partitioned;
        let mut met = [0, 0];
        if updates_first {
            let sql = self.statements.update(set, pattern);
            met = self.ask(&sql, false).await?;
        }
        for operation in [INSERT, UPDATE] {
            let place = operation as usize;
            let wanted = wanted[place];
            if wanted == 0 {
                continue;
            }
            let sql = self
                .statements
                .upsert(operation, set, pattern, updates_first);
            let [inserted, updated] = self.ask(&sql, pattern == 0).await?;
            let updated = updated + met[place];
            // A row that was marked as deleted counts as absent.
            let revived = std::mem::take(&mut revived[place]).min(updated);
            let counts = self.counts(place);
            counts.missing += inserted;
            counts.revived += revived;
            counts.replaced += updated - revived;
            rest[place] = wanted.saturating_sub(inserted + updated);
        }
        self.count_rest(set, pattern, rest, first).await
    }

    /// The two counts that a statement about the staged rows returns.
    async fn ask(&mut self, sql: &str, cached: bool) -> Result<[u64; 2], Failure> {
        counts(self.session, sql, &self.rows, cached).await
    }

    /// Of inserts, then of updates.
    fn counts(&mut self, place: usize) -> &mut Counts {
        match place {
            0 => &mut self.fates.inserts,
            _ => &mut self.fates.updates,
        }
    }

    /// How many staged rows of a pattern meet a row that is marked as deleted, inserts first.
    async fn count_marked(&mut self, pattern: i16) -> Result<[u64; 2], Failure> {
        match self.statements.marked(pattern) {
            Some(sql) => self.ask(&sql, false).await,
            None => Ok([0, 0]),
        }
    }

    /// Rows that a statement left as they were: equal to the change, or in a conflict that the change
    /// lost.
    async fn count_rest(
        &mut self,
        set: &[bool],
        pattern: i16,
        rest: [u64; 2],
        first: bool,
    ) -> Result<(), Failure> {
        let policy = &self.write.options.conflict;
        let lost = match policy.detect {
            _ if rest == [0, 0] || policy.strategy == Strategy::SourceWins => [0, 0],
            Some(Detect::Key) => rest,
            _ => {
                let sql = self.statements.kept(set, pattern, first);
                self.ask(&sql, false).await?
            }
        };
        for place in [0, 1] {
            let lost = lost[place].min(rest[place]);
            let counts = self.counts(place);
            counts.lost += lost;
            counts.same += rest[place] - lost;
        }
        Ok(())
    }

    /// Upserts that are not ahead of the delete of their key are kept out (R12).
    async fn drop_outdated(&mut self, staged: &mut StagedRound) -> Result<(), Failure> {
        let rows = self
            .session
            .rows(&self.statements.has_tombstones(), false)
            .await?;
        let any: bool = one(&rows, 0)?;
        if !any {
            return Ok(());
        }
        // They are taken out of what is staged.
        stage_in_table(self.session, self.write.table, staged).await?;
        self.rows = StagedRows::InTable;
        self.statements = Statements::of(self.write, &self.rows);
        let Some(sql) = self.statements.drop_outdated() else {
            return Ok(());
        };
        for row in self.session.rows(&sql, false).await? {
            let (operation, pattern, count): (i16, i16, i64) =
                (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
            let (place, count) = (operation as usize, count as u64);
            staged.patterns.take_out((operation, pattern.into()), count);
            self.counts(place).outdated += count;
        }
        self.session
            .execute(&self.statements.clear_tombstones())
            .await
    }
}

/// The two counts that a statement returns; the second may be absent.
async fn counts(
    session: &mut Session,
    sql: &str,
    staged: &StagedRows,
    cached: bool,
) -> Result<[u64; 2], Failure> {
    let rows = session.rows_of(sql, staged, cached).await?;
    let first: i64 = one(&rows, 0)?;
    let second: i64 = match rows.first().map(|row| row.len()) {
        Some(2) => one(&rows, 1)?,
        _ => 0,
    };
    Ok([first as u64, second as u64])
}

fn one<'r, T>(rows: &'r [PgRow], column: usize) -> Result<T, Failure>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let first = rows.first().ok_or(sqlx::Error::RowNotFound);
    let row = first.map_err(|error| failure("reading counts", error))?;
    get(row, column)
}

fn get<'r, T>(row: &'r PgRow, column: usize) -> Result<T, Failure>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column)
        .map_err(|error| failure("reading counts", error))
}
