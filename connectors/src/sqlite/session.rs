//! One connection with what belongs to it, and the transaction of a write.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use rusqlite::{Connection, OpenFlags};

use super::apply::Run;
use super::failure::of_statement;
use super::function::{Memory, register};
use super::prepare::Prepared;
use super::{SqliteSink, Synchronous, positions};
use crate::change::Changes;
use crate::conflict::Resolvers;
use crate::error::{Error, Result};
use crate::record::{Positions, Span};
use crate::sink::{Identity, Outcome, Write};
use crate::sql::Options;
use crate::sql::books::Books;
use crate::sql::decide::Tally;
use crate::sql::identifier::Dialect;
use crate::sql::ledger::Row;
use crate::sql::names::spelled;
use crate::sql::target::{Target, key_columns};

/// Statements that one connection keeps prepared.
const STATEMENTS_MAX: usize = 256;

/// Targets with a schema that one connection keeps prepared; past it all are prepared anew.
const PREPARED_MAX: usize = 256;

/// How many KiB of the file one connection keeps in memory.
const CACHE_KIB: u32 = 16_384;

/// See the module docs.
pub(super) struct Session {
    connection: Connection,
    pub(super) identity: Identity,
    resolvers: Arc<dyn Resolvers>,
    pub(super) books: Books,
    options: Options,
    memory: Memory,
    prepared: HashMap<Target, Vec<Arc<Prepared>>>,
    /// The file's schema when they were prepared.
    schema_version: i64,
    /// The last write, so that a caller who did not hear the answer gets it (R4).
    last: Option<(Vec<Span>, Outcome)>,
}

/// Opens the file with the settings that every statement relies on.
pub(super) fn open_connection(config: &SqliteSink) -> Result<Connection> {
    let doing = format!("opening SQLite file {:?}", config.path);
    if let Some(folder) = Path::new(&config.path).parent() {
        std::fs::create_dir_all(folder).map_err(|cause| {
            Error::configuration_from(format!("{doing} failed: correct path = \"…\""), cause)
        })?;
    }
    let open = || {
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
    };
    open().map_err(|error| of_statement(&doing, error))
}

/// A connection that changes nothing, neither the file nor its journal; `None` where there is no
/// file.
pub(super) fn open_to_look(config: &SqliteSink) -> Result<Option<Connection>> {
    if !Path::new(&config.path).exists() {
        return Ok(None);
    }
    let open = || {
        let connection =
            Connection::open_with_flags(&config.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_millis(config.busy_timeout_ms))?;
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        Ok(connection)
    };
    let doing = format!("opening SQLite file {:?}", config.path);
    open()
        .map(Some)
        .map_err(|error| of_statement(&doing, error))
}

impl Session {
    /// Opens the file, and makes Syncline's own tables where they are not there.
    pub(super) fn open(
        config: &SqliteSink,
        identity: Identity,
        resolvers: Arc<dyn Resolvers>,
    ) -> Result<Self> {
        let connection = open_connection(config)?;
        positions::create_tables(&connection)?;
        let now_ms = chrono::Utc::now().timestamp_millis();
        let mut books = Books::new(Dialect::Sqlite, &identity, &config.conflict, now_ms)?;
        positions::create_books(&connection, &mut books)?;
        let memory = register(&connection)
            .map_err(|error| of_statement("adding functions to SQLite", error))?;
        Ok(Self {
            connection,
            identity,
            resolvers,
            books,
            options: config.options(),
            memory,
            prepared: HashMap::new(),
            schema_version: -1,
            last: None,
        })
    }

    /// Where each partition stands.
    pub(super) fn positions(&self) -> Result<Positions> {
        positions::read(&self.connection, &self.identity)
    }

    /// One write, one transaction.
    pub(super) fn write(&mut self, write: &Write) -> Result<Outcome> {
        self.run("BEGIN IMMEDIATE")?;
        let done = self.attempt(write).and_then(|outcome| {
            let before = self.last.replace((write.spans.clone(), outcome.clone()));
            let committed = self.run("COMMIT");
            if committed.is_err() && !self.connection.is_autocommit() {
                self.last = before;
            }
            committed.map(|()| outcome)
        });
        let Err(error) = done else {
            return done;
        };
        self.memory.take();
        self.prepared.clear();
        if !self.connection.is_autocommit() {
            self.run("ROLLBACK")?;
        }
        match (&error, &self.last) {
            (Error::Fenced { .. }, Some((spans, outcome))) if *spans == write.spans => {
                let found = self.positions()?;
                let moved = |span: &Span| found.get(&span.partition) == Some(&span.next);
                if spans.iter().all(moved) {
                    Ok(outcome.clone())
                } else {
                    Err(error)
                }
            }
            _ => Err(error),
        }
    }

    fn attempt(&mut self, write: &Write) -> Result<Outcome> {
        positions::advance(&self.connection, &self.identity, &write.spans)?;
        let options = self.options.clone();
        self.apply(&options, &write.changes)
    }

    /// Writes batches in the open transaction.
    pub(super) fn apply(&mut self, options: &Options, batches: &[Changes]) -> Result<Outcome> {
        let mut prepared = Vec::with_capacity(batches.len());
        let batches = batches
            .iter()
            .map(|changes| spelled(options, changes.clone()))
            .collect::<Result<Vec<_>>>()?;
        for changes in &batches {
            let target = Target::of(&self.options.table, &changes.table)?;
            let key = key_columns(&self.options, changes)?;
            prepared.push(self.prepare(target, changes.schema(), &key)?);
        }
        let mut run = Run {
            connection: &self.connection,
            memory: &self.memory,
            identity: &self.identity,
            resolvers: &self.resolvers,
            books: &mut self.books,
            options,
            now_ms: chrono::Utc::now().timestamp_millis(),
            outcome: Outcome::default(),
            tally: Tally::new(),
            rejected: Vec::new(),
        };
        for (number, (changes, prepared)) in batches.iter().zip(&prepared).enumerate() {
            run.batch(number, changes, prepared)?;
        }
        run.finish()
    }

    fn prepare(
        &mut self,
        target: Target,
        schema: SchemaRef,
        key: &[usize],
    ) -> Result<Arc<Prepared>> {
        let version = self.schema_version()?;
        let count: usize = self.prepared.values().map(Vec::len).sum();
        if version != self.schema_version || count >= PREPARED_MAX {
            self.prepared.clear();
        }
        let known = self
            .prepared
            .get(&target)
            .into_iter()
            .flatten()
            .find(|known| {
                known.key_columns == key
                    && (Arc::ptr_eq(&known.schema, &schema) || known.schema == schema)
            });
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let prepared = Prepared::build(&self.connection, &self.options, &target, &schema, key)?;
        let after = self.schema_version()?;
        if after != version {
            self.prepared.clear();
        }
        self.schema_version = after;
        self.prepared
            .entry(target)
            .or_default()
            .push(prepared.clone());
        Ok(prepared)
    }

    /// Runs statements of the ledger, and gives what they return.
    pub(super) fn ledger(&self, statements: &[String]) -> Result<Vec<Row>> {
        positions::ledger(&self.connection, statements)
    }

    fn schema_version(&self) -> Result<i64> {
        let read = || {
            self.connection
                .prepare_cached("PRAGMA schema_version")?
                .query_row([], |row| row.get(0))
        };
        read().map_err(|error| of_statement("reading the version of the schema", error))
    }

    pub(super) fn run(&self, sql: &str) -> Result<()> {
        self.connection
            .execute_batch(sql)
            .map_err(|error| of_statement(&format!("running {sql}"), error))
    }
}
