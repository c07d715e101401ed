//! What SQLite does with a load: one prepared statement a row, on the thread of the connection.
//!
//! A row that the target refuses does not stop the others: all culprits of a write are found in one go.

use std::sync::Arc;

use super::connection::SqliteConnection;
use super::failure::Failure;
use super::prepare::Prepared;
use super::rows::Rows;
use super::statement::Statements;
use crate::change::Changes;
use crate::error::Result;
use crate::sink::Identity;
use crate::sql::Options;
use crate::sql::bulk::{
    Bulk, Fates, Found, Layout, Load, Locked, PreparedTable, Shape, Staged, TableWrite, Tables,
};
use crate::sql::catalogue::{Action, TargetTable, statement};
use crate::sql::equality::Equality;
use crate::sql::failure::RefusedRow;
use crate::sql::target::Target;
use crate::sqlite::SQLITE;

impl Staged for Load {
    fn has_deletes(&self) -> bool {
        match self {
            Self::Round { round, .. } => !round.deletes.is_empty(),
            Self::Decided { resolved, .. } => !resolved.deletes.rows.is_empty(),
        }
    }
}

/// A write to a table, for the thread.
struct Owned {
    table: Arc<Prepared>,
    options: Options,
    identity: Identity,
    has_tombstones: bool,
}

impl Owned {
    fn of(write: &TableWrite<'_, Prepared>) -> Self {
        Self {
            table: write.table.clone(),
            options: write.options.clone(),
            identity: write.identity.clone(),
            has_tombstones: write.has_tombstones,
        }
    }

    fn borrowed(&self) -> TableWrite<'_, Prepared> {
        TableWrite {
            table: &self.table,
            options: &self.options,
            identity: &self.identity,
            has_tombstones: self.has_tombstones,
        }
    }
}

impl SqliteConnection {
    /// Does `work` with the rows of a table, on the thread.
    async fn on_rows<T: Send + 'static>(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        work: impl FnOnce(&Rows<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let write = Owned::of(write);
        let done = self.call(move |session| {
            let write = write.borrowed();
            work(&Rows {
                connection: &session.connection,
                memory: &session.memory,
                write: &write,
            })
        });
        Ok(done.await??)
    }
}

impl Found for TargetTable {
    fn table(&self) -> &TargetTable {
        self
    }

    fn is_domain(&self, _: &str) -> bool {
        false
    }
}

impl Tables for SqliteConnection {
    type Found = TargetTable;

    type Table = Prepared;

    // A file has one writer at a time, and takes back with a transaction what it did to the schema.
    const PREPARES_INSIDE: bool = true;

    const PREPARED_MAX: usize = 2_048;

    async fn read(&mut self, target: &Target) -> Result<Option<TargetTable>, Failure> {
        let target = target.clone();
        Ok(self.call(move |session| session.read(&target)).await??)
    }

    fn evolution(
        &self,
        target: &Target,
        _: Option<&TargetTable>,
        action: Action,
    ) -> Result<String> {
        statement(&SQLITE, &target.quoted(&SQLITE)?, &action)
    }

    async fn compile(&mut self, shape: &Shape<'_, TargetTable>) -> Result<Prepared, Failure> {
        let (options, target) = (shape.options.clone(), shape.target.clone());
        let (schema, key) = (shape.schema.clone(), shape.key.to_vec());
        let (found, plan) = (shape.found.clone(), shape.plan.clone());
        let compile = self.call(move |session| {
            let shape = Shape {
                options: &options,
                target: &target,
                schema: &schema,
                key: &key,
                found: &found,
                plan: &plan,
            };
            Prepared::build(&session.connection, &shape)
        });
        Ok(compile.await??)
    }

    async fn forget(&mut self, _: Vec<Arc<Prepared>>) -> Result<(), Failure> {
        Ok(())
    }

    async fn normal_texts(
        &mut self,
        _: &Arc<Prepared>,
        _: usize,
        texts: &[String],
    ) -> Result<Vec<String>, Failure> {
        // All of it is known without asking.
        Ok(texts.to_vec())
    }
}

impl Bulk for SqliteConnection {
    type Staged = Load;

    const CHECK_DEFERRED: Option<&'static str> = None;

    async fn lock(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        keys: &Changes,
    ) -> Result<Locked, Failure> {
        let keys = keys.clone();
        self.on_rows(write, move |rows| rows.read(&keys)).await
    }

    async fn stage(&mut self, _: &TableWrite<'_, Prepared>, load: &Load) -> Result<Load, Failure> {
        Ok(load.clone())
    }

    async fn delete(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: &mut Load,
    ) -> Result<Fates, Failure> {
        let load = staged.clone();
        let delete = move |rows: &Rows<'_>| match &load {
            Load::Round { round, places } => {
                rows.deletes(&round.deletes, &places[round.upserts.len()..])
            }
            Load::Decided { resolved, places } => {
                rows.decided_deletes(resolved, &places[resolved.upserts.rows.len()..])
            }
        };
        self.on_rows(write, delete).await
    }

    async fn refused_values(
        &mut self,
        _: &TableWrite<'_, Prepared>,
        _: &mut Load,
    ) -> Result<Vec<RefusedRow>, Failure> {
        // Every write names the rows that it refuses.
        Ok(Vec::new())
    }

    async fn upsert(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: Load,
    ) -> Result<Fates, Failure> {
        let upsert = move |rows: &Rows<'_>| match &staged {
            Load::Round { round, places } => rows.upserts(&round.upserts, places),
            Load::Decided { resolved, places } => rows.decided_upserts(resolved, places),
        };
        self.on_rows(write, upsert).await
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
        let same = |name: &String| name.eq_ignore_ascii_case(&other.table);
        !self.table.eq_ignore_ascii_case(&other.table) && self.references.iter().any(same)
    }

    fn truncate(&self) -> String {
        Statements::truncate(self)
    }
}
