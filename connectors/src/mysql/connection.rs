//! What MySQL does for the SQL engine.

use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use super::prepare::{Prepared, lend};
use super::session::Session;
use super::statement::Statements;
use super::{MysqlSink, apply, catalogue, equality, settle};
use crate::change::Changes;
use crate::conflict::{ConflictPolicy, Resolver, Resolvers};
use crate::error::Result;
use crate::record::HeldPositions;
use crate::sink::{Identity, Outcome, Write};
use crate::sql::Options;
use crate::sql::books::Books;
use crate::sql::catalogue::TargetTable;
use crate::sql::connection::{Bulk, Connection, PreparedTable, Purpose, Settings, Transaction};
use crate::sql::decide::{Facts, Groups};
use crate::sql::equality::Equality;
use crate::sql::identifier::Dialect;
use crate::sql::ledger::Row;
use crate::sql::plan::Work;
use crate::sql::positions::read;
use crate::sql::target::Target;
use crate::sql::undeclared::Lent;

impl Settings for MysqlSink {
    fn options(&self) -> Options {
        Self::options(self)
    }

    fn write_timeout(&self) -> Option<(Duration, &'static str)> {
        let limit = Duration::from_millis(self.write_timeout_ms);
        Some((limit, "write_timeout_ms"))
    }
}

impl Connection for Session {
    type Settings = MysqlSink;

    const DIALECT: Dialect = Dialect::Mysql;

    async fn open(
        settings: &MysqlSink,
        identity: &Identity,
        resolvers: &Arc<dyn Resolvers>,
        purpose: Purpose,
    ) -> Result<Self> {
        Self::open(settings, identity, resolvers, purpose).await
    }

    async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        Self::execute(self, sql).await
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        Self::query(self, sql).await
    }

    async fn describe(&mut self, target: &Target) -> Result<Option<TargetTable>, Failure> {
        let found = catalogue::read(&mut self.connection, &self.server, target).await?;
        Ok(found.map(|found| found.table))
    }

    async fn close(self) -> Result<()> {
        Self::close(self).await
    }
}

impl Transaction for Session {
    async fn begin(&mut self) -> Result<(), Failure> {
        Self::begin(self).await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        Self::commit(self).await
    }

    async fn roll_back(&mut self) -> Result<()> {
        Self::roll_back(self).await
    }

    async fn positions(&mut self, identity: &Identity) -> Result<HeldPositions, Failure> {
        read(&mut self.connection, identity).await
    }

    async fn advance(
        &mut self,
        identity: &Identity,
        table: &str,
        write: &Write,
    ) -> Result<bool, Failure> {
        Self::advance(self, identity, table, write).await
    }
}

impl Bulk for Session {
    type Table = Prepared;

    const PREPARES_INSIDE: bool = false;

    const CHECK_DEFERRED: Option<&'static str> = None;

    fn books(&mut self) -> &mut Books {
        &mut self.books
    }

    fn resolvers(&self) -> &Arc<dyn Resolvers> {
        &self.resolvers
    }

    async fn lend(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
    ) -> Result<Option<Lent>, Failure> {
        lend(self, options, target, changes).await
    }

    async fn prepare(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
        key: &[usize],
    ) -> Result<Arc<Prepared>, Failure> {
        Prepared::of(self, options, target, changes, key).await
    }

    async fn normal_texts(
        &mut self,
        table: &Arc<Prepared>,
        place: usize,
        texts: &[String],
    ) -> Result<Vec<String>, Failure> {
        equality::ask(self, &table.columns[place], texts).await
    }

    async fn apply(
        &mut self,
        identity: &Identity,
        options: &Options,
        work: Work<Prepared>,
    ) -> Result<Outcome, Failure> {
        apply::run(self, identity, options, &work).await
    }

    async fn facts(
        &mut self,
        identity: &Identity,
        options: &Options,
        table: &Arc<Prepared>,
        changes: &Changes,
        groups: &Groups,
    ) -> Result<Facts, Failure> {
        let statements = Statements {
            prepared: table,
            policy: &options.conflict,
            identity,
        };
        let (_, facts) = settle::facts(self, &statements, options, changes, groups).await?;
        Ok(facts)
    }
}

impl PreparedTable for Prepared {
    fn place(&self, changes: &Changes) -> Result<Changes> {
        Self::place(self, changes)
    }

    fn indices(&self) -> Vec<usize> {
        Self::indices(self)
    }

    fn equality(&self, place: usize) -> Equality {
        self.columns[place].equality
    }

    fn left_out(&self) -> &[usize] {
        &self.left_out
    }

    fn placed_key(&self) -> &[usize] {
        &self.placed_key
    }

    fn resolver(
        &self,
        resolvers: &Arc<dyn Resolvers>,
        policy: &ConflictPolicy,
    ) -> Result<Arc<dyn Resolver>> {
        Self::resolver(self, resolvers, policy)
    }

    fn refers_to(&self, other: &Self) -> bool {
        self.oid != other.oid && self.references.contains(&other.oid)
    }
}
