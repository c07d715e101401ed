//! Syncline's own tables in a SQLite file: how their statements run, and the tables of the books.

use futures::FutureExt as _;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::{Batch, Connection};

use super::failure::of_statement;
use crate::error::{Error, Result};
use crate::sql::books::Books;
use crate::sql::identifier::Dialect;
use crate::sql::ledger::{QUEUE_TABLE, Row};
use crate::sql::positions::Execute;

/// A connection for the statements that all databases share.
pub(super) struct Statements<'a>(pub(super) &'a mut Connection);

impl Execute for Statements<'_> {
    type Failure = Error;
    const DIALECT: Dialect = Dialect::Sqlite;

    async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        read_rows(self.0, &[sql.to_owned()]).map_err(|error| of_statement(DOING, error))
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
}

const DOING: &str = "reading or writing the positions";

/// What a future of [`Statements`] comes to: it never waits.
pub(super) fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("SQLite answers at once")
}

/// Makes the tables of the books that are not there, and looks whether a conflict waits.
pub(super) fn create_books(connection: &Connection, books: &mut Books) -> Result<()> {
    let create = || -> rusqlite::Result<bool> {
        for sql in books.tables().create(Dialect::Sqlite) {
            connection.execute_batch(&sql)?;
        }
        let known = connection.table_exists(None, QUEUE_TABLE)?;
        let open = books.ledger.select_queue(false);
        Ok(known && connection.prepare(&open)?.exists([])?)
    };
    let waits = create().map_err(|error| of_statement("creating Syncline's own tables", error))?;
    books.may_wait |= waits;
    Ok(())
}

/// Runs statements of the ledger, and gives what they return.
pub(super) fn ledger(connection: &Connection, statements: &[String]) -> Result<Vec<Row>> {
    read_rows(connection, statements)
        .map_err(|error| of_statement("keeping what is known of conflicts", error))
}

fn read_rows(connection: &Connection, statements: &[String]) -> rusqlite::Result<Vec<Row>> {
    let mut found = Vec::new();
    for sql in statements {
        let mut statement = connection.prepare(sql)?;
        let width = statement.column_count();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let texts = (0..width).map(|column| row.get(column));
            found.push(texts.collect::<rusqlite::Result<Row>>()?);
        }
    }
    Ok(found)
}
