//! Syncline's own tables in a SQLite file: how their statements run.

use futures::FutureExt as _;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::{Batch, Connection};

use super::failure::of_statement;
use crate::error::{Error, Result};
use crate::sql::dialect::Dialect;
use crate::sql::metadata::Row;
use crate::sql::positions::Execute;
use crate::sql::positions::lock::SinkLock;
use crate::sqlite::SQLITE;

/// A connection for the statements that all databases share.
pub(super) struct Statements<'a>(pub(super) &'a mut Connection);

impl Execute for Statements<'_> {
    type Failure = Error;
    const DIALECT: &'static Dialect = &SQLITE;

    async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        read_rows(self.0, sql).map_err(|error| of_statement(DOING, error))
    }

    async fn execute(&mut self, sql: &str) -> Result<u64> {
        let run = || -> rusqlite::Result<u64> {
            let mut statements = Batch::new(self.0, sql);
            let mut written = 0;
            while let Some(mut statement) = statements.next()? {
                written += statement.execute([])? as u64;
            }
            Ok(written)
        };
        run().map_err(|error| of_statement(DOING, error))
    }

    // The statements say themselves what is to happen then.
    fn is_duplicate(_: &Error) -> bool {
        false
    }

    async fn begin_schema_change(&mut self) -> Result<()> {
        self.execute("BEGIN IMMEDIATE").await.map(drop)
    }

    async fn end_schema_change(&mut self, succeeded: bool) -> Result<()> {
        let end = if succeeded { "COMMIT" } else { "ROLLBACK" };
        self.execute(end).await.map(drop)
    }

    // The lock is a file's, which is open before the database is (`lock.rs`).
    async fn share(&mut self, _: &SinkLock) -> Result<()> {
        Ok(())
    }

    async fn take_alone(&mut self, _: &SinkLock, _shares: bool) -> Result<bool> {
        Ok(true)
    }

    async fn release(&mut self, _: &SinkLock) -> Result<()> {
        Ok(())
    }
}

const DOING: &str = "reading or writing the positions";

/// What a future of [`Statements`] comes to: it never waits.
pub(super) fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("SQLite answers at once")
}

/// The rows of one statement, of which every column is a text.
pub(super) fn read_rows(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(sql)?;
    let width = statement.column_count();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let texts = (0..width).map(|column| row.get(column));
        found.push(texts.collect::<rusqlite::Result<Row>>()?);
    }
    Ok(found)
}
