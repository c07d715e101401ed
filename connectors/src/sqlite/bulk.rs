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
    Bulk, Fates, Layout, Load, Locked, PreparedTable, Staged, TableWrite, Tables,
};
use crate::sql::equality::Equality;
use crate::sql::target::Target;
use crate::sql::undeclared::Lent;

impl Staged for Load {
    fn has_deletes(&self) -> bool {
        match self {
            Self::Round { round, .. } => !round.deletes.is_empty(),
            Self::Decided { settlement, .. } => !settlement.deletes.rows.is_empty(),
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

impl Tables for SqliteConnection {
    type Table = Prepared;

    // A file has one writer at a time, and takes back with a transaction what it did to the schema.
    const PREPARES_INSIDE: bool = true;

    async fn lend(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
        may_wait: bool,
    ) -> Result<Option<Lent>, Failure> {
        let (options, target, changes) = (options.clone(), target.clone(), changes.clone());
        let lend = self.call(move |session| session.lend(&options, &target, &changes, may_wait));
        Ok(lend.await??)
    }

    async fn prepare(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
        key: &[usize],
    ) -> Result<Arc<Prepared>, Failure> {
        let (options, target) = (options.clone(), target.clone());
        let (schema, key) = (changes.schema(), key.to_vec());
        let prepare = self.call(move |session| session.prepare(&options, &target, &schema, &key));
        Ok(prepare.await??)
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
            Load::Decided { settlement, places } => {
                rows.decided_deletes(settlement, &places[settlement.upserts.rows.len()..])
            }
        };
        self.on_rows(write, delete).await
    }

    async fn upsert(
        &mut self,
        write: &TableWrite<'_, Prepared>,
        staged: Load,
    ) -> Result<Fates, Failure> {
        let upsert = move |rows: &Rows<'_>| match &staged {
            Load::Round { round, places } => rows.upserts(&round.upserts, places),
            Load::Decided { settlement, places } => rows.decided_upserts(settlement, places),
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

    fn refers_to(&self, _: &Self) -> bool {
        false
    }

    fn truncate(&self) -> String {
        Statements::truncate(self)
    }
}
