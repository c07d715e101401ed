//! What PostgreSQL does for the SQL engine.

use std::time::Duration;

use super::failure::Failure;
use super::session::Session;
use super::{PostgresSink, catalogue};
use crate::error::Result;
use crate::postgres::POSTGRES;
use crate::record::HeldPositions;
use crate::sink::{Identity, Write};
use crate::sql::Options;
use crate::sql::catalogue::TargetTable;
use crate::sql::connection::{Connection, Purpose, SchemaLock, Settings, Transaction};
use crate::sql::dialect::Dialect;
use crate::sql::metadata::Row;
use crate::sql::positions::{Execute as _, read};
use crate::sql::target::Target;

impl Settings for PostgresSink {
    fn options(&self) -> Options {
        Self::options(self)
    }

    fn write_timeout(&self) -> Option<(Duration, &'static str)> {
        let limit = Duration::from_millis(self.write_timeout_ms);
        Some((limit, "write_timeout_ms"))
    }
}

impl Connection for Session {
    type Settings = PostgresSink;

    const DIALECT: &'static Dialect = &POSTGRES;

    async fn open(settings: &PostgresSink, identity: &Identity, purpose: Purpose) -> Result<Self> {
        Self::open(settings, identity, purpose).await
    }

    async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        Self::execute(self, sql).await
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        Self::query(self, sql).await
    }

    async fn describe(&mut self, target: &Target) -> Result<Option<TargetTable>, Failure> {
        let found = catalogue::read(&mut self.connection, target).await?;
        Ok(found.map(|found| found.table))
    }

    async fn close(self) -> Result<()> {
        Self::close(self).await
    }
}

impl SchemaLock for Session {
    async fn lock_schema(&mut self) -> Result<(), Failure> {
        self.connection.begin_schema_change().await
    }

    async fn unlock_schema(&mut self) -> Result<(), Failure> {
        self.connection.end_schema_change(true).await
    }

    async fn revision(&mut self) -> Result<Option<i64>, Failure> {
        Ok(None)
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
