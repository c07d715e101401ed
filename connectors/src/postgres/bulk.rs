//! What PostgreSQL does with a load: rows are copied into the staging table, and one statement each
//! deletes and upserts, and returns what became of them.

use crate::postgres::POSTGRES;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::failure::{Failure, failure};
use super::one_by_one::refused;
use super::prepare::Prepared;
use super::read::{self, Reader, read};
use super::session::Session;
use super::stage::{StagedRound, stage, stage_decided, stage_keys};
use super::statement::Statements;
use super::trigger::Remembered;
use super::{catalogue, equality};
use crate::change::{Changes, Operation};
use crate::conflict::{Detect, Strategy, TargetRows};
use crate::error::Error;
use crate::sql::DeleteMode;
use crate::sql::bulk::{
    Bulk, Counts, Fates, Found, Layout, Load, Locked, PreparedTable, Shape, Staged, TableWrite,
    Tables,
};
use crate::sql::catalogue::{Action, TargetTable, statement};
use crate::sql::decide::Resolved;
use crate::sql::equality::Equality;
use crate::sql::failure::{Refused, RefusedRow};
use crate::sql::patterns::{INSERT, UPDATE, insert_sets};
use crate::sql::target::Target;

/// A load in the staging table.
pub(super) enum StagedLoad {
    Round(StagedRound),
    Decided(Arc<Resolved>),
}

impl Staged for StagedLoad {
    fn has_deletes(&self) -> bool {
        match self {
            Self::Round(round) => round.patterns.deletes > 0,
            Self::Decided(resolved) => !resolved.deletes.rows.is_empty(),
        }
    }
}

impl<'a> Statements<'a> {
    fn of(write: &TableWrite<'a, Prepared>) -> Self {
        Self {
            prepared: write.table,
            policy: &write.options.conflict,
            identity: write.identity,
        }
    }
}

impl Found for catalogue::Found {
    fn table(&self) -> &TargetTable {
        &self.table
    }

    fn is_domain(&self, column: &str) -> bool {
        self.is_domain(column)
    }
}

impl Tables for Session {
    type Found = catalogue::Found;

    type Table = Prepared;

    const PREPARES_INSIDE: bool = false;

    async fn read(&mut self, target: &Target) -> Result<Option<catalogue::Found>, Failure> {
        catalogue::read(&mut self.connection, target).await
    }

    fn evolution(
        &self,
        target: &Target,
        _: Option<&catalogue::Found>,
        action: Action,
    ) -> Result<String, Error> {
        statement(&POSTGRES, &target.quoted(&POSTGRES)?, &action)
    }

    async fn compile(&mut self, shape: &Shape<'_, catalogue::Found>) -> Result<Prepared, Failure> {
        let prepared = Prepared::build(shape, self.next_stage())?;
        self.execute(&prepared.create_stage()).await?;
        if let Some((identity, policy)) = &self.remembers
            && let Some(table) = Remembered::of_prepared(identity, policy, &prepared)
        {
            table.ensure(&mut self.connection).await?;
        }
        Ok(prepared)
    }

    async fn forget(&mut self, tables: Vec<Arc<Prepared>>) -> Result<(), Failure> {
        let stages = tables
            .iter()
            .flat_map(|table| [table.stage.as_str(), table.probe.as_str()]);
        let stages: Vec<&str> = stages.collect();
        if stages.is_empty() {
            return Ok(());
        }
        self.execute(&format!("DROP TABLE {}", stages.join(", ")))
            .await
    }

    async fn normal_texts(
        &mut self,
        table: &Arc<Prepared>,
        place: usize,
        texts: &[String],
    ) -> Result<Vec<String>, Failure> {
        let column = &table.columns[place];
        let name = table.schema.field(column.index).name();
        let asked = format!("column {name:?} of table {:?}", table.name);
        equality::ask(
            &mut self.connection,
            &column.sql_type,
            &column.kind,
            texts,
            &asked,
        )
        .await
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
        let statements = Statements::of(write);
        stage_keys(self, write.table, keys).await?;
        let held = held(self, &statements, keys.len()).await?;
        let tombstones = match write.keeps_tombstones() {
            true => tombstones(self, &statements, keys.len()).await?,
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
                if !places.is_empty() {
                    stage_decided(self, write.table, resolved, places).await?;
                }
                StagedLoad::Decided(resolved.clone())
            }
        })
    }

    async fn delete(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: &mut StagedLoad,
    ) -> Result<Fates, Failure> {
        let statements = Statements::of(write);
        let mut fates = Fates::default();
        match staged {
            StagedLoad::Round(round) => {
                fates.deletes = delete(self, write, &statements, round).await?;
            }
            StagedLoad::Decided(_) if write.options.delete == DeleteMode::Soft => {}
            StagedLoad::Decided(_) => self.execute(&statements.resolved_deletes()).await?,
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
        if write.keeps_tombstones() && round.patterns.has_upserts() {
            // What is outdated is not written, and so not refused.
            let mut upsert = Upsert {
                session: self,
                write,
                statements: Statements::of(write),
                fates: Fates::default(),
            };
            upsert.drop_outdated(round).await?;
        }
        let updates_first = write.table.requires_more || write.table.partitioned;
        refused(self, &Statements::of(write), updates_first, round).await
    }

    async fn upsert(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: StagedLoad,
    ) -> Result<Fates, Failure> {
        let statements = Statements::of(write);
        match staged {
            StagedLoad::Round(round) => {
                let mut upsert = Upsert {
                    session: self,
                    write,
                    statements,
                    fates: Fates::default(),
                };
                upsert.run(round).await?;
                Ok(upsert.fates)
            }
            StagedLoad::Decided(resolved) => {
                write_decided(self, write, &statements, &resolved).await?;
                Ok(Fates::default())
            }
        }
    }
}

impl PreparedTable for Prepared {
    fn layout(&self) -> Layout<'_> {
        Layout {
            name: &self.name,
            indices: self.columns.iter().map(|column| column.index).collect(),
            placed: &self.placed,
            placed_key: &self.placed_key,
            version: self.version.as_ref().map(|version| version.column),
            left_out: &self.left_out,
            resolver: &self.resolver,
        }
    }

    fn equality(&self, place: usize) -> Equality {
        self.columns[place].equality
    }

    fn refers_to(&self, other: &Self) -> bool {
        self.oid != other.oid && self.references.contains(&other.oid)
    }

    fn truncate(&self) -> String {
        Statements::truncate(self)
    }
}

async fn delete(
    session: &mut Session,
    write: &TableWrite<'_, Prepared>,
    statements: &Statements<'_>,
    staged: &StagedRound,
) -> Result<Counts, Failure> {
    let whole = vec![true; write.table.columns.len()];
    let sets = std::iter::once(&whole).chain(&staged.patterns.delete_sets);
    let (mut applied, mut replaced) = (0, 0);
    for (pattern, set) in sets.enumerate() {
        let sql = statements.delete(set, pattern as i16);
        let [deleted, differed] = counts(session, &sql, false).await?;
        applied += deleted;
        replaced += differed;
    }
    let staged = staged.patterns.deletes;
    let mut lost = 0;
    if applied < staged && write.options.conflict.strategy != Strategy::SourceWins {
        let [survivors, _] = counts(session, &statements.survivors(), false).await?;
        lost = survivors.min(staged - applied);
    }
    if write.keeps_tombstones()
        && let Some(sql) = statements.record_tombstones()
    {
        session.execute(&sql).await?;
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
    fates: Fates,
}

impl Upsert<'_> {
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
            let updated = counts(self.session, &sql, false).await?;
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
                for row in self.session.rows(&sql, false).await? {
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
            met = counts(self.session, &sql, false).await?;
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
            let [inserted, updated] = counts(self.session, &sql, pattern == 0).await?;
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
            Some(sql) => counts(self.session, &sql, false).await,
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
                counts(self.session, &sql, false).await?
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
        let Some(sql) = self.statements.drop_outdated().filter(|_| any) else {
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

/// Writes what was decided, but for the deletes.
async fn write_decided(
    session: &mut Session,
    write: &TableWrite<'_, Prepared>,
    statements: &Statements<'_>,
    resolved: &Resolved,
) -> Result<(), Failure> {
    let Resolved {
        deletes, upserts, ..
    } = resolved;
    let operations = upserts.changes.operations.iter();
    let is_insert = |&&operation: &&Operation| operation != Operation::Update;
    let inserts = operations.clone().filter(is_insert).count();
    if inserts > 0 {
        let sets = insert_sets(&upserts.changes, write.table.columns.len());
        let mut inserted = 0;
        for (pattern, set) in sets.iter().enumerate() {
            let sql = statements.resolved_inserts(set, pattern);
            inserted += counts(session, &sql, true).await?[0];
        }
        // Fewer may come of a trigger that suppresses rows, which are then written as far as they
        // can be.
        if (inserted as usize) < inserts {
            let rows = session
                .rows(&statements.concurrent_inserts(), false)
                .await?;
            if one(&rows, 0)? {
                return Err(Failure::ConcurrentInsert(Error::Unavailable {
                    message: format!(
                        "another session inserts the same rows into table {:?}: try again",
                        write.table.name
                    ),
                    cause: None,
                }));
            }
        }
    }
    if inserts < operations.len() {
        session.execute(&statements.resolved_updates()).await?;
    }
    if write.keeps_tombstones() {
        if upserts.recreated.has_true() || deletes.recreated.has_true() {
            session
                .execute(&statements.resolved_clear_tombstones())
                .await?;
        }
        if let (false, Some(sql)) = (deletes.rows.is_empty(), statements.record_tombstones()) {
            session.execute(&sql).await?;
        }
    }
    Ok(())
}

async fn held(
    session: &mut Session,
    statements: &Statements<'_>,
    count: usize,
) -> Result<TargetRows, Failure> {
    let prepared: &Prepared = statements.prepared;
    let mut readers = prepared.readers.clone();
    if let Some(mark) = &prepared.mark {
        let field = Arc::new(Field::new("mark", DataType::Boolean, true));
        readers.push(Reader::of(&format!("t.{mark} IS TRUE"), "boolean", &field));
    }
    let read::Found {
        exists,
        mut columns,
    } = read(
        &mut session.connection,
        "s.row",
        &readers,
        &statements.held(),
        count,
    )
    .await?;
    let marked = prepared.mark.as_ref().and_then(|_| {
        let (column, _) = columns.pop()?;
        let bits = column.as_boolean();
        let marked = match bits.nulls() {
            Some(nulls) => bits.values() & nulls.inner(),
            None => bits.values().clone(),
        };
        (marked.count_set_bits() > 0).then_some(marked)
    });
    let (columns, foreign) = columns.into_iter().unzip();
    let rows =
        RecordBatch::try_new(prepared.placed.clone(), columns).map_err(Error::configuration)?;
    Ok(TargetRows {
        rows,
        exists,
        marked,
        foreign,
    })
}

/// The versions of deletes, where there are any.
async fn tombstones(
    session: &mut Session,
    statements: &Statements<'_>,
    count: usize,
) -> Result<Option<ArrayRef>, Failure> {
    let prepared = statements.prepared;
    let (Some(version), Some((expression, sql_type))) = (&prepared.version, statements.tombstone())
    else {
        return Ok(None);
    };
    let rows = session.rows(&statements.has_tombstones(), false).await?;
    if !one::<bool>(&rows, 0)? {
        return Ok(None);
    }
    let field = &prepared.placed.fields()[version.column];
    let reader = Reader::of(&expression, sql_type, field);
    let read::Found { mut columns, .. } = read(
        &mut session.connection,
        "s.row",
        &[reader],
        &statements.tombstones(),
        count,
    )
    .await?;
    Ok(columns.pop().map(|(column, _)| column))
}

/// The two counts that a statement returns; the second may be absent.
async fn counts(session: &mut Session, sql: &str, cached: bool) -> Result<[u64; 2], Failure> {
    let rows = session.rows(sql, cached).await?;
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
