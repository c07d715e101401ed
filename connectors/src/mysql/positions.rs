//! Syncline's own tables in MySQL: how their statements run.

use sqlx::{AssertSqlSafe, MySqlConnection};

use super::failure::{Failure, failure};
use super::lock;
use super::session::{rows, texts};
use crate::error::Error;
use crate::mysql::MYSQL;
use crate::sql::dialect::Dialect;
use crate::sql::failure::describe;
use crate::sql::metadata::Row;
use crate::sql::positions::lock::SinkLock;
use crate::sql::positions::{Execute, is_one};

/// Serialises sessions that create or alter tables at the same time.
const DDL_LOCK: &str = "syncline_ddl";

/// How long a session waits for it.
const DDL_LOCK_SECONDS: u32 = 60;

impl Execute for MySqlConnection {
    type Failure = Failure;
    const DIALECT: &'static Dialect = &MYSQL;

    async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        let found = rows(self, sql).await?;
        texts(&found).map_err(|error| failure(&describe(sql), error))
    }

    async fn execute(&mut self, sql: &str) -> Result<u64, Failure> {
        let doing = describe(sql);
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(self)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| failure(&doing, error))
    }

    fn is_duplicate(failure: &Failure) -> bool {
        matches!(failure, Failure::Data(refused) if refused.duplicate.is_some())
    }
    async fn begin_schema_change(&mut self) -> Result<(), Failure> {
        let sql = format!("SELECT CAST(GET_LOCK('{DDL_LOCK}', {DDL_LOCK_SECONDS}) AS char)");
        if is_one(&Execute::rows(self, &sql).await?) {
            return Ok(());
        }
        let busy = Error::Unavailable {
            message: format!(
                "another session changes tables for longer than {DDL_LOCK_SECONDS} s: try again"
            ),
            cause: None,
        };
        Err(busy.into())
    }

    // What was changed is committed by itself.
    async fn end_schema_change(&mut self, _succeeded: bool) -> Result<(), Failure> {
        let sql = format!("SELECT CAST(RELEASE_LOCK('{DDL_LOCK}') AS char)");
        Execute::rows(self, &sql).await.map(drop)
    }

    async fn share(&mut self, lock: &SinkLock) -> Result<(), Failure> {
        lock::share(self, lock).await
    }

    async fn take_alone(&mut self, lock: &SinkLock, shares: bool) -> Result<bool, Failure> {
        lock::take_alone(self, lock, shares).await
    }

    async fn release(&mut self, lock: &SinkLock) -> Result<(), Failure> {
        lock::release(self, lock).await
    }
}
