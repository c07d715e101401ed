//! Syncline's own tables in MySQL: how their statements run.

use sqlx::{AssertSqlSafe, MySqlConnection};

use super::failure::{Failure, failure};
use super::session::{Session, describe, integer, rows, texts};
use crate::sql::identifier::Dialect;
use crate::sql::ledger::Row;
use crate::sql::positions::{Execute, MYSQL_DDL_LOCK, MYSQL_DDL_LOCK_SECONDS, busy};

impl Execute for MySqlConnection {
    type Failure = Failure;
    const DIALECT: Dialect = Dialect::Mysql;

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
}

/// Takes the lock under which schemas change.
pub(super) async fn lock_schemas(session: &mut Session) -> Result<(), Failure> {
    let sql = format!("SELECT COALESCE(GET_LOCK('{MYSQL_DDL_LOCK}', {MYSQL_DDL_LOCK_SECONDS}), 0)");
    let rows = session.rows(&sql).await?;
    match rows.first().map(|row| integer(row, 0)).transpose()? {
        Some(1) => Ok(()),
        _ => Err(busy().into()),
    }
}

/// Gives it back.
pub(super) async fn unlock_schemas(session: &mut Session) -> Result<(), Failure> {
    let sql = format!("SELECT RELEASE_LOCK('{MYSQL_DDL_LOCK}')");
    session.rows(&sql).await.map(drop)
}
