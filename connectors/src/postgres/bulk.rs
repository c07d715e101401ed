//! What PostgreSQL does with a load: rows are copied into the staging table, and one statement each
//! deletes and upserts, and returns what became of them.

mod resolved;
mod tables;
mod upsert;

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use self::resolved::{held, tombstones, write_decided};
use self::upsert::Upsert;
use super::bound::StagedRows;
use super::failure::{Failure, failure};
use super::keys::stage_keys;
use super::one_by_one::refused;
use super::prepare::Prepared;
use super::session::Session;
use super::stage::{StagedRound, stage, stage_decided, stage_in_table};
use super::statement::Statements;
use crate::change::Changes;
use crate::conflict::Strategy;
use crate::sql::DeleteMode;
use crate::sql::bulk::{Bulk, Counts, Fates, Load, Locked, Staged, TableWrite};
use crate::sql::decide::Resolved;
use crate::sql::failure::RefusedRow;

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
