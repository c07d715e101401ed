//! Syncline's own tables in PostgreSQL: how their statements run, and the tables of the books.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::failure::{Failure, failure};
use super::session::describe;
use crate::sql::books::Books;
use crate::sql::identifier::Dialect;
use crate::sql::ledger::{QUEUE_TABLE, Row};
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

/// Makes the tables of the books that are not there, and looks whether a conflict waits.
pub(super) async fn create_books(
    connection: &mut PgConnection,
    books: &mut Books,
) -> Result<(), Failure> {
    let doing = "creating Syncline's own tables";
    let statements = books.tables().create(Dialect::Postgres);
    if !statements.is_empty() {
        let sql = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({DDL_LOCK}); {}; COMMIT",
            statements.join("; ")
        );
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await
            .map_err(|error| failure(doing, error))?;
    }
    if !books.may_wait {
        let known = format!("SELECT to_regclass('{QUEUE_TABLE}') IS NOT NULL");
        let known: bool = sqlx::query_scalar(AssertSqlSafe(known))
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| failure(doing, error))?;
        if known {
            let open = sqlx::query(AssertSqlSafe(books.ledger.select_queue(false)))
                .fetch_optional(&mut *connection)
                .await
                .map_err(|error| failure(doing, error))?;
            books.may_wait = open.is_some();
        }
    }
    Ok(())
}
