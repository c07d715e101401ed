//! One connection with what belongs to it: session settings, staging tables, prepared targets.
//!
//! A session whose state is not known is dropped, never repaired. Staged rows and decisions carry the
//! number of their step, by which statements pick them: tables are emptied only between transactions, since
//! `TRUNCATE` commits, and only where they hold many rows.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, Row};

use super::MysqlSink;
use super::failure::{Failure, failure};
use crate::error::{Error, Result};
use crate::sink::{Identity, Write};
use crate::sql::connection::Purpose;
use crate::sql::failure::describe;
use crate::sql::metadata;
use crate::sql::positions::Execute as _;
use crate::sql::positions::lock::SinkLock;
use crate::sql::positions::targets::{self, WrittenTables};
use crate::sql::positions::{advance, create_tables};
use crate::sql::version::version_column;

/// What was decided about each staged row that met one of the target.
pub(super) const DECISIONS: &str = "_syncline_decisions";

/// How many rows a staging table may hold of earlier writes, and how many steps are counted before they
/// begin anew.
const STAGED_MAX: usize = 5_000;
const STEPS_MAX: u32 = 1_000_000_000;

/// What every statement relies on. Strict, and without what a strict server would still change in
/// silence: a 0 in a column that counts by itself, a subtraction below zero. A backslash is itself.
const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
    NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES,NO_AUTO_VALUE_ON_ZERO,NO_UNSIGNED_SUBTRACTION";

/// What the server says of itself.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// MariaDB, not MySQL.
    pub(super) mariadb: bool,
    /// The longest statement, in bytes.
    pub(super) packet_bytes_max: usize,
    /// The database of the connection.
    pub(super) database: String,
}

impl Server {
    /// A collation under which two texts are equal only where their bytes are.
    pub(super) fn collation(&self) -> &'static str {
        if self.mariadb {
            "utf8mb4_nopad_bin"
        } else {
            "utf8mb4_0900_bin"
        }
    }
}

/// See the module docs.
pub(super) struct Session {
    pub(super) connection: MySqlConnection,
    pub(super) server: Server,
    /// The tables that the target knows to be written.
    written: WrittenTables,
    stages_made: usize,
    step: u32,
    /// About how many rows each staging table holds, and the table of decisions.
    pub(super) filled: HashMap<String, usize>,
    /// Whether a transaction is open, which a change of a schema would commit.
    pub(super) writing: bool,
    /// Whether there is a table of decisions, which a session that only reads does not make.
    decides: bool,
}

impl Session {
    /// Connects; to write, makes Syncline's own tables where they are not there.
    pub(super) async fn open(
        config: &MysqlSink,
        identity: &Identity,
        purpose: Purpose,
    ) -> Result<Self> {
        let (connection, server) = open_connection(config).await?;
        let mut session = Self {
            connection,
            server,
            written: WrittenTables::default(),
            stages_made: 0,
            step: 0,
            filled: HashMap::new(),
            writing: false,
            decides: false,
        };
        if purpose == Purpose::Write {
            let tombstones = version_column(&config.options.conflict)?.is_some();
            session
                .prepare_own_tables(config, identity, tombstones)
                .await
                .map_err(Failure::into_error)?;
        }
        Ok(session)
    }

    async fn prepare_own_tables(
        &mut self,
        config: &MysqlSink,
        identity: &Identity,
        tombstones: bool,
    ) -> Result<(), Failure> {
        create_tables(&mut self.connection, tombstones).await?;
        let lock = SinkLock::new(&identity.pipeline, &identity.sink);
        self.connection.share(&lock).await?;
        self.written =
            targets::check(&mut self.connection, identity, &config.options.table, None).await?;
        self.execute(&format!(
            "CREATE TEMPORARY TABLE {DECISIONS} (step int NOT NULL, number int NOT NULL, \
             outcome tinyint NOT NULL, flag tinyint NOT NULL, PRIMARY KEY (step, number)) ENGINE = InnoDB"
        ))
        .await?;
        self.decides = true;
        Ok(())
    }

    /// A number for the next staging table.
    pub(super) fn next_stage(&mut self) -> usize {
        self.stages_made += 1;
        self.stages_made
    }

    /// A number for the next rows of `stage`, of which there are so many.
    pub(super) fn next_step(&mut self, stage: &str, rows: usize) -> u32 {
        for table in [stage, DECISIONS] {
            match self.filled.get_mut(table) {
                Some(filled) => *filled += rows,
                None => drop(self.filled.insert(table.to_owned(), rows)),
            }
        }
        self.step += 1;
        self.step
    }

    /// Runs a statement, or several, without looking at rows; gives how many were written or, for an
    /// update, found.
    pub(super) async fn execute_counted(&mut self, sql: String) -> Result<u64, Failure> {
        let doing = describe(&sql);
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| failure(&doing, error))
    }

    /// Runs statements.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        self.execute_counted(sql.to_owned()).await.map(drop)
    }

    /// Runs one statement and gives its rows.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<MySqlRow>, Failure> {
        rows(&mut self.connection, sql).await
    }

    /// Runs one statement, and gives its rows as text.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<metadata::Row>, Failure> {
        let rows = self.rows(sql).await?;
        texts(&rows).map_err(|error| failure(&describe(sql), error))
    }

    /// Begins the transaction of a write. Staging tables that hold much are emptied: of few rows that costs
    /// more than to step over them.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        let all = self.step >= STEPS_MAX;
        if all {
            self.step = 0;
        }
        let mut sql = String::new();
        let decides = self.decides;
        self.filled.retain(|table, rows| {
            let stays = *rows <= STAGED_MAX && !all;
            if !stays && (table != DECISIONS || decides) {
                sql.push_str(&format!("TRUNCATE TABLE {table}; "));
            }
            stays
        });
        self.written.begin();
        sql.push_str("START TRANSACTION");
        self.writing = true;
        self.execute(&sql).await
    }

    /// Ends the open transaction, if there is one.
    pub(super) async fn roll_back(&mut self) -> Result<()> {
        self.execute("ROLLBACK")
            .await
            .map_err(Failure::into_error)?;
        self.writing = false;
        Ok(())
    }

    /// Moves positions and keeps which tables are written.
    pub(super) async fn advance(
        &mut self,
        identity: &Identity,
        table: &str,
        write: &Write,
    ) -> Result<bool, Failure> {
        let connection = &mut self.connection;
        Ok(advance(connection, identity, &write.spans).await?
            && self
                .written
                .keep(connection, identity, table, write)
                .await?)
    }

    /// Commits.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.execute("COMMIT").await?;
        self.writing = false;
        self.written.committed();
        Ok(())
    }

    /// Says goodbye.
    pub(super) async fn close(self) -> Result<()> {
        self.connection
            .close()
            .await
            .map_err(|error| Error::unavailable("closing the connection", error))
    }
}

/// Runs one statement and gives its rows.
pub(super) async fn rows(
    connection: &mut MySqlConnection,
    sql: &str,
) -> Result<Vec<MySqlRow>, Failure> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await
        .map_err(|error| failure(&describe(sql), error))
}

/// A value as text; servers do not agree whether a text of the catalogue is text or bytes.
pub(super) fn text(row: &MySqlRow, column: &str) -> Result<Option<String>, Failure> {
    row.try_get_unchecked(column)
        .map_err(|error| failure(&format!("reading {column}"), error))
}

/// Every value of these rows as text.
pub(super) fn texts(rows: &[MySqlRow]) -> Result<Vec<metadata::Row>, sqlx::Error> {
    let row = |row: &MySqlRow| {
        (0..row.len())
            .map(|column| row.try_get_unchecked(column))
            .collect()
    };
    rows.iter().map(row).collect()
}

/// An integer.
pub(super) fn integer(row: &MySqlRow, column: usize) -> Result<i64, Failure> {
    row.try_get_unchecked(column)
        .map_err(|error| failure("reading counts", error))
}

/// What a URL says.
pub(super) fn connect_options(url: &str) -> Result<MySqlConnectOptions> {
    let schemes = ["mysql://", "mariadb://"];
    schemes
        .iter()
        .any(|scheme| url.starts_with(scheme))
        .then(|| MySqlConnectOptions::from_str(url).ok())
        .flatten()
        .filter(|options| options.get_database().is_some())
        .ok_or_else(|| {
            Error::configuration(
                "the url of the mysql sink cannot be read: write mysql://user:password@host:port/database, with special characters percent-encoded",
            )
        })
}

/// A connection with the session settings that every statement relies on.
pub(super) async fn open_connection(config: &MysqlSink) -> Result<(MySqlConnection, Server)> {
    let options = connect_options(&config.url)?;
    let database = options.get_database().unwrap_or_default().to_owned();
    let place = format!("{}:{}/{database}", options.get_host(), options.get_port());
    let doing = format!("connecting to {place}");
    // What the URL says of character set and time zone would change what our statements mean.
    let options = options
        .charset("utf8mb4")
        .set_names(true)
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .disable_statement_logging();
    let wait = Duration::from_millis(config.connect_timeout_ms);
    let connect = async {
        let mut connection = options.connect().await?;
        let server = set_up(&mut connection, config, &database).await?;
        Ok((connection, server))
    };
    match tokio::time::timeout(wait, connect).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(sqlx::Error::Configuration(cause))) => Err(Error::Configuration {
            message: format!("{doing}: the connection options do not fit: correct the url"),
            cause: Some(cause),
        }),
        Ok(Err(error)) => Err(failure(&doing, error).into_error()),
        Err(_) => Err(Error::Unavailable {
            message: format!(
                "{doing}: no answer within {} ms (connect_timeout_ms)",
                config.connect_timeout_ms
            ),
            cause: None,
        }),
    }
}

async fn set_up(
    connection: &mut MySqlConnection,
    config: &MysqlSink,
    database: &str,
) -> Result<Server, sqlx::Error> {
    let about = sqlx::raw_sql("SELECT VERSION(), @@max_allowed_packet")
        .fetch_one(&mut *connection)
        .await?;
    let version: String = about.try_get_unchecked(0)?;
    let packet_bytes_max: u64 = about.try_get_unchecked(1)?;
    let server = Server {
        mariadb: version.contains("MariaDB"),
        packet_bytes_max: packet_bytes_max as usize,
        database: database.to_owned(),
    };
    sqlx::raw_sql(AssertSqlSafe(settings(config, &server)))
        .execute(connection)
        .await?;
    Ok(server)
}

/// Lock time-outs are whole seconds, at least one.
fn settings(config: &MysqlSink, server: &Server) -> String {
    let lock_seconds = config.lock_timeout_ms.div_ceil(1_000).max(1);
    let mut settings = format!(
        "SET NAMES utf8mb4 COLLATE utf8mb4_bin; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', autocommit = 1, sql_safe_updates = 0, \
         foreign_key_checks = 1, unique_checks = 1, sql_quote_show_create = 1, \
         innodb_lock_wait_timeout = {lock_seconds}, lock_wait_timeout = {lock_seconds}"
    );
    // MySQL has no limit for statements that write: there the connection is dropped.
    if server.mariadb {
        let write_seconds = config.write_timeout_ms as f64 / 1_000.0;
        settings.push_str(&format!(
            ", max_statement_time = {write_seconds}, idle_transaction_timeout = {}",
            config.write_timeout_ms.div_ceil(1_000).max(1)
        ));
    }
    settings
}
