//! The connection of one session, and the tables that are prepared on it. It lives on the thread of
//! [`super::connection`].

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::failure::{Failure, of_row, of_statement};
use super::function::{Memory, register};
use super::lock::{self, FileLock};
use super::positions::{Statements, read_rows, ready};
use super::prepare::read_table;
use super::{SqliteSink, Synchronous};
use crate::error::{Error, Result};
use crate::record::HeldPositions;
use crate::sink::{Identity, Write};
use crate::sql::catalogue::TargetTable;
use crate::sql::connection::Purpose;
use crate::sql::metadata::Row;
use crate::sql::positions::lock::SinkLock;
use crate::sql::positions::targets::{self, WrittenTables};
use crate::sql::positions::{advance, create_tables, read};
use crate::sql::target::Target;

/// Statements that one connection keeps prepared.
const STATEMENTS_MAX: usize = 1_024;

/// How many KiB of the file one connection keeps in memory.
const CACHE_KIB: u32 = 16_384;

/// See the module docs.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) memory: Memory,
    purpose: Purpose,
    identity: Identity,
    /// The tables that the target knows to be written.
    written: WrittenTables,
    /// What a session that writes holds.
    _lock: Option<FileLock>,
}

/// Opens the file with the settings that every statement relies on.
pub(super) fn open_to_write(config: &SqliteSink) -> rusqlite::Result<Connection> {
    let connection = Connection::open(&config.path)?;
    connection.busy_timeout(Duration::from_millis(config.busy_timeout_ms))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let synchronous = match config.synchronous {
        Synchronous::Off => "OFF",
        Synchronous::Normal => "NORMAL",
        Synchronous::Full => "FULL",
    };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
         PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = MEMORY;"
    ))?;
    Ok(connection)
}

/// A connection that changes nothing, neither the file nor its journal. A file that does not exist is
/// not made, and counts as empty.
pub(super) fn open_to_read(config: &SqliteSink) -> rusqlite::Result<Connection> {
    if !Path::new(&config.path).exists() {
        return Connection::open_in_memory();
    }
    let connection = Connection::open_with_flags(&config.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_millis(config.busy_timeout_ms))?;
    connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    Ok(connection)
}

impl Session {
    /// Opens the file; to write, makes it and Syncline's own tables where they are not there.
    pub(super) fn open(config: &SqliteSink, identity: &Identity, purpose: Purpose) -> Result<Self> {
        let doing = format!("opening SQLite file {:?}", config.path);
        let connection = match purpose {
            Purpose::ReadOnly => open_to_read(config),
            Purpose::Write => {
                if let Some(folder) = Path::new(&config.path).parent() {
                    std::fs::create_dir_all(folder).map_err(|cause| {
                        Error::configuration_from(
                            format!("{doing} failed: correct path = \"…\""),
                            cause,
                        )
                    })?;
                }
                open_to_write(config)
            }
        };
        let mut connection = connection.map_err(|error| of_statement(&doing, error))?;
        let (mut written, mut held) = (WrittenTables::default(), None);
        if purpose == Purpose::Write {
            let mut statements = Statements(&mut connection);
            ready(create_tables(&mut statements, true))?;
            let sink = SinkLock::new(&identity.pipeline, &identity.sink);
            let alone = lock::take_alone(config, &sink)?.is_some();
            held = Some(lock::share(config, &sink)?);
            let check = targets::check(
                &mut statements,
                identity,
                &config.options.table,
                Some(alone),
            );
            written = ready(check)?;
        }
        let memory = register(&connection)
            .map_err(|error| of_statement("adding functions to SQLite", error))?;
        Ok(Self {
            connection,
            memory,
            purpose,
            identity: identity.clone(),
            written,
            _lock: held,
        })
    }

    /// Where each partition stands.
    pub(super) fn positions(&mut self, identity: &Identity) -> Result<HeldPositions> {
        ready(read(&mut Statements(&mut self.connection), identity))
    }

    /// Moves positions and keeps which tables are written.
    pub(super) fn advance(
        &mut self,
        identity: &Identity,
        table: &str,
        write: &Write,
    ) -> Result<bool> {
        let mut statements = Statements(&mut self.connection);
        Ok(ready(advance(&mut statements, identity, &write.spans))?
            && ready(self.written.keep(&mut statements, identity, table, write))?)
    }

    /// Commits.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.run("COMMIT")?;
        self.written.committed();
        Ok(())
    }

    /// Begins a transaction; to write, it takes the file's write lock first, so that nobody slips
    /// between reading a row and writing it.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.written.begin();
        let begin = match self.purpose {
            Purpose::Write => "BEGIN IMMEDIATE",
            Purpose::ReadOnly => "BEGIN",
        };
        self.run(begin).map_err(Failure::into_error)
    }

    /// Ends the open transaction, if there is one.
    pub(super) fn roll_back(&mut self) -> Result<()> {
        self.memory.take();
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.run("ROLLBACK").map_err(Failure::into_error)
    }

    /// The table as it is now. Refuses one that was written and is gone, before anything makes it anew
    /// (R24).
    pub(super) fn read(&self, target: &Target) -> Result<Option<TargetTable>> {
        let found = read_table(&self.connection, target)?;
        if found.is_none() && self.written.contains(target) {
            return Err(targets::gone(&self.identity, std::slice::from_ref(target)));
        }
        Ok(found)
    }

    /// Runs one statement whose columns are all text, and gives its rows.
    pub(super) fn query(&self, sql: &str) -> Result<Vec<Row>> {
        read_rows(&self.connection, sql)
            .map_err(|error| of_statement("reading Syncline's own tables", error))
    }

    /// A number that is another one after every change of the schema.
    pub(super) fn schema_version(&self) -> Result<i64> {
        let read = || {
            self.connection
                .prepare_cached("PRAGMA schema_version")?
                .query_row([], |row| row.get(0))
        };
        read().map_err(|error| of_statement("reading the version of the schema", error))
    }

    pub(super) fn run(&self, sql: &str) -> Result<(), Failure> {
        self.connection.execute_batch(sql).map_err(|error| {
            match error.sqlite_error_code() {
                // A truncate of rows that others refer to, or that a trigger refuses.
                Some(ErrorCode::ConstraintViolation) => of_row("", error),
                _ => Failure::Error(of_statement(&format!("running {sql}"), error)),
            }
        })
    }
}
