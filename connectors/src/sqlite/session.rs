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
use super::prepare::{Prepared, read_table};
use super::{SqliteSink, Synchronous, positions};
use crate::change::Changes;
use crate::conflict::Resolvers;
use crate::error::{Error, Result};
use crate::record::{Positions, Span};
use crate::sink::{Identity, Outcome, Write};
use crate::sql::Options;
use crate::sql::admit::{Admitted, KnownTables};
use crate::sql::books::Books;
use crate::sql::decide::{Groups, Tally};
use crate::sql::identifier::Dialect;
use crate::sql::ledger::Row;
use crate::sql::moves::{self, Moves};
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
    /// Tables that were looked up before a write was planned.
    tables: KnownTables,
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
            tables: KnownTables::default(),
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
        let error = moves::explain(write, error);
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
        for target in self.tables.unknown(&options, &write.changes)? {
            let table = read_table(&self.connection, &target)?;
            self.tables.learn(target, table.as_ref());
        }
        let Admitted {
            write,
            outcome: known,
        } = self.tables.admit(&options, write)?;
        let mut outcome = self.apply(&options, &write.changes)?;
        outcome += &known;
        Ok(outcome)
    }

    /// Writes batches in the open transaction.
    pub(super) fn apply(&mut self, options: &Options, batches: &[Changes]) -> Result<Outcome> {
        let batches: Vec<&Changes> = batches.iter().collect();
        let whole = self.complete(options, &batches)?;
        let batches = match &whole {
            Some(whole) => whole.iter().collect(),
            None => batches,
        };
        let mut prepared = Vec::with_capacity(batches.len());
        for changes in &batches {
            if changes.is_empty() {
                prepared.push(None);
                continue;
            }
            let target = Target::of(&self.options.table, &changes.table)?;
            let key = key_columns(&self.options, changes)?;
            prepared.push(Some(self.prepare(target, changes.schema(), &key)?));
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
            if let Some(prepared) = prepared {
                run.batch(number, changes, prepared)?;
            }
        }
        run.finish()
    }

    /// Makes rows whole that have a new key and left values out; see [`crate::sql::moves`]. `None`
    /// where there are none.
    fn complete(
        &mut self,
        options: &Options,
        batches: &[&Changes],
    ) -> Result<Option<Vec<Changes>>> {
        let Some(moves) = Moves::find(options, batches)? else {
            return Ok(None);
        };
        let mut answers = Vec::new();
        for question in moves.questions() {
            let keys = &question.keys;
            let target = Target::of(&options.table, &keys.table)?;
            let key = key_columns(options, keys)?;
            let prepared = self.prepare(target, keys.schema(), &key)?;
            let placed = keys
                .project(&prepared.indices())
                .map_err(Error::configuration)?;
            let groups = Groups::of(&placed, &prepared.placed_key, options.delete)?;
            let (_, facts) = self.looker(options).facts(&placed, &prepared, &groups)?;
            answers.push(question.answer(&groups, facts.held));
        }
        moves.complete(options, &answers).map(Some)
    }

    /// A run that only looks at rows.
    fn looker<'s>(&'s mut self, options: &'s Options) -> Run<'s> {
        Run {
            connection: &self.connection,
            memory: &self.memory,
            identity: &self.identity,
            resolvers: &self.resolvers,
            books: &mut self.books,
            options,
            now_ms: 0,
            outcome: Outcome::default(),
            tally: Tally::new(),
            rejected: Vec::new(),
        }
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
