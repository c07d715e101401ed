//! Syncline's own tables in PostgreSQL: how their statements run.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::failure::{Failure, failure};
use crate::postgres::POSTGRES;
use crate::sql::dialect::Dialect;
use crate::sql::failure::describe;
use crate::sql::metadata::Row;
use crate::sql::positions::lock::SinkLock;
use crate::sql::positions::{Execute, is_one};

/// Serialises sessions that create or alter tables at the same time.
pub(super) const DDL_LOCK: i64 = 0x5379_6e63_6c69_6e65;

impl Execute for PgConnection {
    type Failure = Failure;
    const DIALECT: &'static Dialect = &POSTGRES;

    async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        let doing = describe(sql);
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .persistent(false)
            .fetch_all(self)
            .await
            .map_err(|error| failure(&doing, error))?;
        rows.iter()
            .map(|row| (0..row.len()).map(|column| row.try_get(column)).collect())
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| failure(&doing, error))
    }

    async fn execute(&mut self, sql: &str) -> Result<u64, Failure> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(self)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| failure(&describe(sql), error))
    }

    // The statements say themselves what is to happen then.
    fn is_duplicate(_: &Failure) -> bool {
        false
    }
    async fn begin_schema_change(&mut self) -> Result<(), Failure> {
        let sql = format!(
            "BEGIN; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({DDL_LOCK})"
        );
        Execute::execute(self, &sql).await.map(drop)
    }

    async fn end_schema_change(&mut self, succeeded: bool) -> Result<(), Failure> {
        let end = if succeeded { "COMMIT" } else { "ROLLBACK" };
        Execute::execute(self, end).await.map(drop)
    }

    async fn share(&mut self, lock: &SinkLock) -> Result<(), Failure> {
        let sql = format!(
            "SELECT pg_advisory_lock_shared({})::text",
            lock.key() as i64
        );
        self.rows(&sql).await.map(drop)
    }

    // A session's own shared lock is not in its way.
    async fn take_alone(&mut self, lock: &SinkLock, _shares: bool) -> Result<bool, Failure> {
        let key = lock.key() as i64;
        let sql = format!("SELECT pg_try_advisory_lock({key})::integer::text");
        Ok(is_one(&self.rows(&sql).await?))
    }

    async fn release(&mut self, lock: &SinkLock) -> Result<(), Failure> {
        let sql = format!("SELECT pg_advisory_unlock({})::text", lock.key() as i64);
        self.rows(&sql).await.map(drop)
    }
}
