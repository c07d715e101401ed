//! One connection with what belongs to it: session settings, staging tables, prepared targets.
//!
//! A session whose state is not known is dropped, never repaired.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row as _};

use super::PostgresSink;
use super::bound::{StagedRows, rows_of};
use super::failure::{Failure, failure};
use super::origin;
#[cfg(target_os = "linux")]
use super::relay::Relay;
use super::trigger;
use crate::conflict::ConflictPolicy;
use crate::error::{Error, Result};
use crate::sink::{Identity, Write};
use crate::sql::connection::Purpose;
use crate::sql::failure::describe;
use crate::sql::identifier::literal;
use crate::sql::metadata;
use crate::sql::positions::Execute as _;
use crate::sql::positions::lock::SinkLock;
use crate::sql::positions::targets::{self, WrittenTables};
use crate::sql::positions::{advance, create_tables};
use crate::sql::version::version_column;

/// How many statements a connection keeps prepared.
const STATEMENTS_MAX: usize = 1_024;

/// See the module docs.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    link: Link,
    /// What begins a transaction.
    begin: &'static str,
    /// Whose deletes are remembered, and how they are judged.
    pub(super) remembers: Option<(Identity, ConflictPolicy)>,
    /// The tables that the target knows to be written.
    written: WrittenTables,
    stages_made: usize,
    /// The tables, by the numbers of their staging tables, of which the open transaction staged rows, and
    /// keys.
    pub(super) filled: HashSet<usize>,
    pub(super) probed: HashSet<usize>,
    /// Staging tables that are there.
    made: HashSet<String>,
    /// Up to how many rows are bound and not staged.
    pub(super) bound_rows_max: usize,
}

impl Session {
    /// Connects; to write, makes Syncline's own tables where they are not there and sets the writer's
    /// name.
    pub(super) async fn open(
        config: &PostgresSink,
        identity: &Identity,
        purpose: Purpose,
    ) -> Result<Self> {
        let (mut connection, link) = open_connection(config, &identity.pipeline).await?;
        let (mut begin, mut remembers) = ("BEGIN ISOLATION LEVEL READ COMMITTED", None);
        let mut written = WrittenTables::default();
        if purpose == Purpose::Write {
            config.check_remembering()?;
            if config.origin.is_some() {
                begin = origin::BEGIN_MARKED;
            }
            if config.remember_deletes {
                remembers = Some((identity.clone(), config.options.conflict.clone()));
            }
            written = set_up(&mut connection, config, identity)
                .await
                .map_err(Failure::into_error)?;
        }
        Ok(Self {
            connection,
            link,
            begin,
            remembers,
            written,
            stages_made: 0,
            filled: HashSet::new(),
            probed: HashSet::new(),
            made: HashSet::new(),
            bound_rows_max: config.bound_rows_max,
        })
    }

    /// A number for the next staging table.
    pub(super) fn next_stage(&mut self) -> usize {
        self.stages_made += 1;
        self.stages_made
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
        self.written.committed();
        Ok(())
    }

    /// Begins the transaction of a write.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        self.written.begin();
        self.filled.clear();
        self.probed.clear();
        self.execute(self.begin).await
    }

    /// Makes a staging table where it is not there, and empties it where this transaction filled it.
    pub(super) async fn empty(
        &mut self,
        name: &str,
        create: &str,
        filled: bool,
    ) -> Result<(), Failure> {
        if !self.made.contains(name) {
            self.execute(create).await?;
            self.made.insert(name.to_owned());
        }
        match filled {
            true => self.execute(&format!("TRUNCATE {name}")).await,
            false => Ok(()),
        }
    }

    /// Lets go of staging tables.
    pub(super) async fn drop_stages(&mut self, names: &[&str]) -> Result<(), Failure> {
        let made: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| self.made.remove(*name))
            .collect();
        match made.is_empty() {
            true => Ok(()),
            // One that was made in a transaction that was taken back is not there.
            false => {
                let drop = format!("DROP TABLE IF EXISTS {}", made.join(", "));
                self.execute(&drop).await
            }
        }
    }

    /// Runs statements without parameters.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        if sql.starts_with("ROLLBACK") {
            // With it go the tables that it made.
            self.made.clear();
        }
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|error| failure(&describe(sql), error))
    }

    /// Runs one statement and gives its rows. `cached` keeps it prepared: right only for statements
    /// whose plan does not depend on how many rows there are.
    pub(super) async fn rows(&mut self, sql: &str, cached: bool) -> Result<Vec<PgRow>, Failure> {
        self.rows_of(sql, &StagedRows::InTable, cached).await
    }

    /// The same for a statement about staged rows. Those that are bound are few, so that it is kept
    /// prepared.
    pub(super) async fn rows_of(
        &mut self,
        sql: &str,
        staged: &StagedRows,
        cached: bool,
    ) -> Result<Vec<PgRow>, Failure> {
        rows_of(&mut self.connection, sql, staged, cached).await
    }

    /// Runs a statement about staged rows that gives none.
    pub(super) async fn execute_of(
        &mut self,
        sql: &str,
        staged: &StagedRows,
    ) -> Result<(), Failure> {
        match staged {
            StagedRows::InTable => self.execute(sql).await,
            StagedRows::Bound(_) => self.rows_of(sql, staged, true).await.map(drop),
        }
    }

    /// Runs one statement whose columns are all text, and gives its rows.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<metadata::Row>, Failure> {
        let rows = self.rows(sql, false).await?;
        let texts = rows.iter().map(|row| {
            let texts = (0..row.len()).map(|column| row.try_get(column));
            texts.collect::<Result<metadata::Row, sqlx::Error>>()
        });
        texts
            .collect::<Result<_, _>>()
            .map_err(|error| failure(&describe(sql), error))
    }

    /// Ends the open transaction, if there is one.
    pub(super) async fn roll_back(&mut self) -> Result<()> {
        self.filled.clear();
        self.probed.clear();
        self.execute("ROLLBACK").await.map_err(Failure::into_error)
    }

    /// Says goodbye.
    pub(super) async fn close(self) -> Result<()> {
        self.connection
            .close()
            .await
            .map_err(|error| Error::unavailable("closing the connection", error))?;
        self.link.close().await;
        Ok(())
    }
}

/// What a session that writes needs.
async fn set_up(
    connection: &mut PgConnection,
    config: &PostgresSink,
    identity: &Identity,
) -> Result<WrittenTables, Failure> {
    let tombstones = version_column(&config.options.conflict)?.is_some();
    create_tables(connection, tombstones).await?;
    let lock = SinkLock::new(&identity.pipeline, &identity.sink);
    connection.share(&lock).await?;
    let written = targets::check(connection, identity, &config.options.table, None).await?;
    introduce(connection, config, identity).await?;
    Ok(written)
}

/// Tells the database who writes in this session: to triggers, and to whoever reads its changes.
async fn introduce(
    connection: &mut PgConnection,
    config: &PostgresSink,
    identity: &Identity,
) -> Result<(), Failure> {
    let sql = format!(
        "SET {} = {}",
        trigger::WRITER_SETTING,
        literal(&trigger::writer(identity))
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut *connection)
        .await
        .map_err(|error| failure("naming the session", error))?;
    if config.remember_deletes {
        trigger::ensure_early(connection, identity, &config.options()).await?;
    }
    if config.origin.is_some() {
        origin::take(connection, identity).await?;
    }
    Ok(())
}

/// What carries a connection and has to live as long.
pub(super) struct Link {
    #[cfg(target_os = "linux")]
    relay: Option<Relay>,
}

impl Link {
    /// Prepares the way to the server; gives the options to connect with.
    #[cfg(target_os = "linux")]
    async fn open(options: PgConnectOptions) -> std::io::Result<(Self, PgConnectOptions)> {
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            return Ok((Self { relay: None }, options));
        }
        let (relay, directory) = Relay::open(options.get_host(), options.get_port()).await?;
        Ok((Self { relay: Some(relay) }, options.socket(directory)))
    }

    /// Elsewhere the driver connects by itself.
    #[cfg(not(target_os = "linux"))]
    async fn open(options: PgConnectOptions) -> std::io::Result<(Self, PgConnectOptions)> {
        Ok((Self {}, options))
    }

    async fn close(self) {
        #[cfg(target_os = "linux")]
        if let Some(relay) = self.relay {
            relay.close().await;
        }
    }
}

/// What a URL says.
pub(super) fn connect_options(url: &str) -> Result<PgConnectOptions> {
    let schemes = ["postgres://", "postgresql://"];
    schemes
        .iter()
        .any(|scheme| url.starts_with(scheme))
        .then(|| PgConnectOptions::from_str(url).ok())
        .flatten()
        .ok_or_else(|| {
            Error::configuration(
                "the url of the postgres sink cannot be read: write postgres://user:password@host:port/database, with special characters percent-encoded",
            )
        })
}

/// A connection with the session settings that every statement relies on.
pub(super) async fn open_connection(
    config: &PostgresSink,
    name: &str,
) -> Result<(PgConnection, Link)> {
    let options = connect_options(&config.url)?;
    let place = format!(
        "{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    );
    let doing = format!("connecting to {place}");
    // Postgres cuts the name short by itself.
    let options = options
        .application_name(&format!("syncline/{name}"))
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging();
    let wait = Duration::from_millis(config.connect_timeout_ms);
    let connect = async {
        let (link, options) = Link::open(options).await?;
        Ok((options.connect().await?, link))
    };
    let (mut connection, link) = match tokio::time::timeout(wait, connect).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(sqlx::Error::Configuration(cause))) => {
            return Err(Error::Configuration {
                message: format!("{doing}: the connection options do not fit: correct the url"),
                cause: Some(cause),
            });
        }
        Ok(Err(error)) => return Err(failure(&doing, error).into_error()),
        Err(_) => {
            return Err(Error::Unavailable {
                message: format!(
                    "{doing}: no answer within {} ms (connect_timeout_ms)",
                    config.connect_timeout_ms
                ),
                cause: None,
            });
        }
    };
    let settings = format!(
        "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'iso_8601'; \
         SET standard_conforming_strings = on; SET client_min_messages = error; \
         SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lock_timeout = {}; SET statement_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}; SET synchronous_commit = {}",
        config.lock_timeout_ms,
        config.write_timeout_ms,
        config.write_timeout_ms,
        if config.synchronous_commit {
            "on"
        } else {
            "off"
        },
    );
    sqlx::raw_sql(AssertSqlSafe(settings))
        .execute(&mut connection)
        .await
        .map_err(|error| failure(&doing, error).into_error())?;
    Ok((connection, link))
}
