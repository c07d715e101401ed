//! What MySQL does for the SQL engine.

use std::time::Duration;

use super::failure::Failure;
use super::session::Session;
use super::{MysqlSink, catalogue};
use crate::error::{Error, Result};
use crate::mysql::MYSQL;
use crate::record::HeldPositions;
use crate::sink::{Identity, Write};
use crate::sql::Options;
use crate::sql::catalogue::TargetTable;
use crate::sql::connection::{Connection, Purpose, SchemaLock, Settings, Transaction};
use crate::sql::dialect::Dialect;
use crate::sql::metadata::Row;
use crate::sql::positions::{Execute as _, read};
use crate::sql::target::Target;

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

    const DIALECT: &'static Dialect = &MYSQL;

    async fn open(settings: &MysqlSink, identity: &Identity, purpose: Purpose) -> Result<Self> {
        Self::open(settings, identity, purpose).await
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

impl SchemaLock for Session {
    async fn lock_schema(&mut self) -> Result<(), Failure> {
        if self.writing {
            // A change of the schema would commit what is written so far.
            return Err(Failure::Stale(Error::configuration(
                "a table has changed while it was written: compare it with the columns of the changes",
            )));
        }
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
