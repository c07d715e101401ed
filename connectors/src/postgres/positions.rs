//! Syncline's own tables in PostgreSQL: how their statements run.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::failure::{Failure, failure};
use super::session::describe;
use crate::sql::identifier::Dialect;
use crate::sql::ledger::Row;
use crate::sql::positions::{Execute, POSTGRES_DDL_LOCK};

/// Serialises sessions that create or alter tables at the same time.
pub(super) const DDL_LOCK: i64 = POSTGRES_DDL_LOCK;

impl Execute for PgConnection {
    type Failure = Failure;
    const DIALECT: Dialect = Dialect::Postgres;

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
}
