//! Syncline's own tables in MySQL: how their statements run, and the tables of the books.

use sqlx::{AssertSqlSafe, MySqlConnection};

use super::failure::{Failure, failure};
use super::session::{Session, describe, integer, rows, texts};
use crate::sql::identifier::{Dialect, literal};
use crate::sql::ledger::{QUEUE_TABLE, Row};
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

/// Makes the tables of the books that are not there, and looks whether a conflict waits.
pub(super) async fn create_books(session: &mut Session) -> Result<(), Failure> {
    let statements = session.books.tables().create(Dialect::Mysql);
    if !statements.is_empty() {
        lock_schemas(session).await?;
        session.execute(&statements.join("; ")).await?;
        unlock_schemas(session).await?;
    }
    if session.books.may_wait {
        return Ok(());
    }
    let known = format!(
        "SELECT CAST(COUNT(*) AS SIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {}",
        literal(QUEUE_TABLE)
    );
    let rows = session.rows(&known).await?;
    if rows.first().map(|row| integer(row, 0)).transpose()? == Some(1) {
        let select = session.books.ledger.select_queue(false);
        session.books.may_wait = !session.rows(&format!("{select} LIMIT 1")).await?.is_empty();
    }
    Ok(())
}
