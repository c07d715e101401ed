//! MySQL and MariaDB as a sink: exactly once, in bulk, with conflicts decided inside the statement.
//!
//! **Guarantees.** One write is one transaction (C10): rows, conflict decisions and positions become
//! durable together or nothing does. Positions move by compare-and-set, which fences a second owner
//! (R4). Where the reply to a commit is lost, the next try of the same write finds its positions
//! moved and returns the outcome that it had.
//!
//! **How.** Rows go as text into a temporary table of the connection, in statements of a MiB, whose
//! columns have the types of the target's. One `INSERT … SELECT … FOR UPDATE` locks the rows that they
//! meet and notes what becomes of each; an `UPDATE … JOIN` writes those that win and differ, an
//! `INSERT … SELECT` those that are missing. Deletes go first (R9). There is no `ON DUPLICATE KEY
//! UPDATE`, which matches *any* unique index: the row that is updated is always the row of the key
//! (R11), and another unique index that is in the way refuses the change.
//!
//! What no statement can decide is read under lock, decided by a resolver and written.
//!
//! - duplicate: folded to one net change a key (R8); a replayed write is fenced by its position.
//!   A row that another session inserts meanwhile makes the write begin again.
//! - null: a null version loses (C4); a null key is rejected (R2).
//! - delete: `hard`, `soft` or `ignore`; a missing row is counted. Under `newest_wins` and `merge`
//!   the versions of deletes are kept, so that an older change does not bring a row back (R12).
//! - truncate: a `DELETE` of every row, since `TRUNCATE` commits (R13).
//! - tie: `tie` decides (C3).
//! - an unset value (R14) is left out of the update; where the row is missing it is rejected.
//!
//! **Exactness** (R3). The session is strict, and what a strict MySQL still changes in silence is
//! refused before it is sent: digits after the second or the decimal point that a column does not
//! keep, blanks past a text's length, bytes short of a `binary(n)`, numbers in a text, a label that an
//! `enum` does not have, two-digit years, `NaN`.
//!
//! **Schema changes** commit by themselves in MySQL: they run before the transaction, under a lock that
//! all Syncline sessions of the server share.
//!
//! Tested against MariaDB 10.11; written for MySQL 8.0.17 and later too, which our tests do not run.

mod failure;

mod catalogue;
mod positions;
mod prepare;
mod session;

mod apply;
mod bisect;
mod cell;
mod place;
mod plan;
mod read;
mod settle;
mod stage;
mod statement;

mod desk;
mod explain;
mod resolve;

#[cfg(test)]
#[cfg(feature = "server-tests")]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use self::bisect::Found;
use self::failure::Failure;
use self::plan::Part;
use self::session::Session;
use crate::change::Table;
use crate::conflict::{ConflictPolicy, Resolvers};
use crate::desk::{Desk, Look};
use crate::error::{Error, Result};
use crate::problem::{Problem, problems};
use crate::record::{Positions, Span};
use crate::sink::{Identity, Outcome, Sink, SinkSettings, Write};
use crate::sql::admit::Admitted;
use crate::sql::catalogue::TargetTable;
use crate::sql::identifier::Dialect;
use crate::sql::moves;
use crate::sql::target::Target;
use crate::sql::version::version_column;
use crate::sql::{
    DeleteMode, Evolution, Options, TruncateMode, default_soft_delete_column, default_table,
};

/// Writes rows to the tables of a MySQL or MariaDB database, exactly once.
///
/// ```toml
/// [sinks.billing]
/// type   = "mysql"
/// inputs = ["check"]
/// url    = "mysql://syncline@localhost/billing"
/// table  = "clients"
/// key    = ["id"]
/// ```
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MysqlSink {
    /// Where the database is: `mysql://user:password@host:port/database`; `?ssl-mode=VERIFY_IDENTITY`
    /// and `&ssl-ca=…` for TLS that is checked. A secret: take it from the environment or a file.
    pub url: String,
    /// Target table: `name` or `database.name`, with the placeholders `{table}`, `{schema}`,
    /// `{database}` and `{topic}` of the source.
    #[serde(default = "default_table")]
    pub table: String,
    /// Columns that identify a row, in the target. Default: the key that the changes carry.
    pub key: Option<Vec<String>>,
    /// What a delete does.
    #[serde(default)]
    pub delete: DeleteMode,
    /// The boolean column that `delete = "soft"` sets.
    #[serde(default = "default_soft_delete_column")]
    pub soft_delete_column: String,
    /// What a difference between the columns of the changes and of the table does.
    #[serde(default)]
    pub evolution: Evolution,
    /// What a truncate does.
    #[serde(default)]
    pub truncate: TruncateMode,
    /// Who wins when source and target disagree.
    #[serde(default)]
    pub conflict: ConflictPolicy,
    /// How long to wait for a connection, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long to wait for a lock that another session holds, in milliseconds; MySQL counts whole
    /// seconds.
    #[serde(default = "default_lock_timeout_ms")]
    pub lock_timeout_ms: u64,
    /// How long one write may take before the database counts as not answering, in milliseconds.
    #[serde(default = "default_write_timeout_ms")]
    pub write_timeout_ms: u64,
}

fn default_connect_timeout_ms() -> u64 {
    10_000
}

fn default_lock_timeout_ms() -> u64 {
    10_000
}

fn default_write_timeout_ms() -> u64 {
    60_000
}

/// How often a write begins again because another session inserted its rows meanwhile.
const RACES_MAX: u32 = 5;

impl MysqlSink {
    /// A sink of `url` with every other option at its default.
    pub fn new(url: impl Into<String>) -> Self {
        let Options {
            table,
            key,
            delete,
            soft_delete_column,
            evolution,
            truncate,
            conflict,
        } = Options::default();
        Self {
            url: url.into(),
            table,
            key,
            delete,
            soft_delete_column,
            evolution,
            truncate,
            conflict,
            connect_timeout_ms: default_connect_timeout_ms(),
            lock_timeout_ms: default_lock_timeout_ms(),
            write_timeout_ms: default_write_timeout_ms(),
        }
    }

    /// Whether the URL can be read.
    ///
    /// # Errors
    /// `Configuration`; it does not show the URL, which may hold a password.
    pub fn check_url(&self) -> Result<()> {
        session::connect_options(&self.url).map(|_| ())
    }

    /// The options that all SQL sinks share.
    pub fn options(&self) -> Options {
        Options {
            table: self.table.clone(),
            key: self.key.clone(),
            delete: self.delete,
            soft_delete_column: self.soft_delete_column.clone(),
            evolution: self.evolution,
            truncate: self.truncate,
            conflict: self.conflict.clone(),
        }
    }
}

/// Everything but the URL, which may hold a password.
impl fmt::Debug for MysqlSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlSink")
            .field("options", &self.options())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SinkSettings for MysqlSink {
    fn kind(&self) -> &'static str {
        "mysql"
    }

    fn options(&self) -> Option<Options> {
        Some(self.options())
    }

    fn check(&self) -> Vec<Problem> {
        problems([("url", self.check_url())])
    }

    async fn probe(&self) -> Result<()> {
        check(self).await
    }

    async fn catalogue(&self) -> Result<Option<SchemaRef>> {
        if self.table.contains('{') {
            return Ok(None);
        }
        catalogue_schema(self, &Table::unknown()).await
    }

    async fn default_key(&self) -> Result<Option<Vec<String>>> {
        if self.key.is_some() || self.table.contains('{') {
            return Ok(None);
        }
        let table = target_table(self, &Table::unknown()).await?;
        Ok(table.and_then(|table| table.default_key().map(<[String]>::to_vec)))
    }

    async fn connect(
        &self,
        identity: &Identity,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Box<dyn Sink>> {
        connect(self, identity, resolvers).await
    }

    async fn open_desk(&self, pipeline: &str, sink: &str) -> Result<Option<Box<dyn Desk>>> {
        let look = Look::new(Dialect::Mysql, &self.conflict, pipeline, sink);
        desk::open_desk(self, look).await.map(Some)
    }
}

/// Opens a connection of its own for one lane, and makes the tables for positions and tombstones
/// where they are not there.
///
/// # Errors
/// `Unavailable` while the database does not answer, `Configuration` where it refuses or where the
/// conflict policy is incomplete.
pub async fn connect(
    config: &MysqlSink,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
) -> Result<Box<dyn Sink>> {
    version_column(&config.conflict)?;
    let session = Session::open(config, identity, resolvers).await?;
    Ok(Box::new(MysqlConnection {
        config: config.clone(),
        identity: identity.clone(),
        resolvers: resolvers.clone(),
        session: Some(session),
        in_doubt: None,
    }))
}

/// Whether the database answers, and whether the table that the sink names is there, where the sink
/// does not create it, with a unique index over the sink's key. Writes nothing.
///
/// # Errors
/// `Unavailable` or `Configuration`, with what to do about it.
pub async fn check(config: &MysqlSink) -> Result<()> {
    version_column(&config.conflict)?;
    let (mut connection, server) = session::open_connection(config).await?;
    if config.table.contains('{') {
        return Ok(());
    }
    let nowhere = Table {
        topic: "".into(),
        database: None,
        schema: None,
        name: "".into(),
    };
    let target = Target::of(&config.table, &nowhere)?;
    let found = catalogue::read(&mut connection, &server, &target)
        .await
        .map_err(Failure::into_error)?;
    let creates = matches!(config.evolution, Evolution::Evolve | Evolution::Lenient);
    match (found, &config.key) {
        (Some(found), Some(key)) => found.table.check_key(&target.to_string(), key),
        (None, _) if !creates => Err(Error::configuration(format!(
            "table {:?} does not exist: create it, or write evolution = \"evolve\" in the sink",
            target.to_string()
        ))),
        _ => Ok(()),
    }
}

/// The columns of the table that changes of `table` go to, as an Arrow schema; `None` where it does
/// not exist. For sources that bring no schema.
///
/// # Errors
/// As [`check`].
pub async fn catalogue_schema(config: &MysqlSink, table: &Table) -> Result<Option<SchemaRef>> {
    let found = target_table(config, table).await?;
    Ok(found.map(|table| table.arrow_schema(Dialect::Mysql)))
}

/// The table that changes of `table` go to, as it is now; `None` where there is none.
async fn target_table(config: &MysqlSink, table: &Table) -> Result<Option<TargetTable>> {
    let target = Target::of(&config.table, table)?;
    let (mut connection, server) = session::open_connection(config).await?;
    let found = catalogue::read(&mut connection, &server, &target)
        .await
        .map_err(Failure::into_error)?;
    Ok(found.map(|found| found.table))
}

/// The write with what the catalogue says about its tables.
async fn admit<'w>(
    session: &mut Session,
    options: &Options,
    write: &'w Write,
) -> Result<Admitted<'w>, Failure> {
    for target in session.tables.unknown(options, &write.changes)? {
        let found = catalogue::read(&mut session.connection, &session.server, &target).await?;
        let table = found.as_ref().map(|found| &found.table);
        session.tables.learn(target, table);
    }
    Ok(session.tables.admit(options, write)?)
}

/// One connection of one lane.
struct MysqlConnection {
    config: MysqlSink,
    identity: Identity,
    resolvers: Arc<dyn Resolvers>,
    /// Taken out during a call and put back only where its state is known, so that a call that was
    /// dropped half-way leaves no open transaction behind.
    session: Option<Session>,
    /// The last write, from just before its commit until the reply to it.
    in_doubt: Option<InDoubt>,
}

/// A write whose commit may have happened.
struct InDoubt {
    spans: Vec<Span>,
    outcome: Outcome,
}

#[async_trait]
impl Sink for MysqlConnection {
    async fn positions(&mut self) -> Result<Option<Positions>> {
        let mut session = self.take_session().await?;
        let wait = self.limit();
        let read = positions::read(&mut session, &self.identity);
        let positions = match tokio::time::timeout(wait, read).await {
            Ok(read) => read.map_err(Failure::into_error)?,
            Err(_) => return Err(self.silence()),
        };
        self.session = Some(session);
        Ok(Some(positions))
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        let mut refreshed = false;
        let mut in_pieces = false;
        let mut races = 0;
        loop {
            let mut session = self.take_session().await?;
            // Bisection may take as many tries, each as long as a write.
            let limit = self.limit() * if in_pieces { 20 } else { 1 };
            let attempt = self.attempt(&mut session, write, in_pieces);
            let failure = match tokio::time::timeout(limit, attempt).await {
                Err(_) => return Err(self.silence()),
                Ok(Ok(outcome)) => {
                    self.session = Some(session);
                    return Ok(outcome);
                }
                Ok(Err(failure)) => failure,
            };
            match failure {
                Failure::Error(error @ Error::Unavailable { .. }) => return Err(error),
                Failure::Error(error) => {
                    session.roll_back().await?;
                    self.session = Some(session);
                    return Err(moves::explain(write, error));
                }
                // The table changed under us: look at it afresh, once.
                Failure::Stale(error) => {
                    if refreshed {
                        return Err(error);
                    }
                    refreshed = true;
                }
                Failure::Raced(error) => {
                    session.roll_back().await?;
                    self.session = Some(session);
                    races += 1;
                    if races == RACES_MAX {
                        return Err(error);
                    }
                }
                Failure::Data(refused) => {
                    session.roll_back().await?;
                    self.session = Some(session);
                    if in_pieces {
                        return Err(Failure::Data(refused).into_error());
                    }
                    in_pieces = true;
                }
            }
        }
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        match self.session.take() {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }
}

impl MysqlConnection {
    async fn take_session(&mut self) -> Result<Session> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => Session::open(&self.config, &self.identity, &self.resolvers).await,
        }
    }

    /// The whole of a write: positions, rows, commit. `in_pieces` finds out which changes the
    /// database refuses.
    async fn attempt(
        &mut self,
        session: &mut Session,
        write: &Write,
        in_pieces: bool,
    ) -> Result<Outcome, Failure> {
        let options = self.config.options();
        let Admitted {
            write,
            outcome: known,
        } = admit(session, &options, write).await?;
        let write = &*write;
        let mut parts = Part::of_write(write);
        let moves = settle::prepare_moves(session, &options, &parts).await?;
        let planned = match moves {
            true => None,
            false => Some(plan::plan(session, &options, &parts).await?),
        };
        session.begin().await?;
        let moved = positions::advance(session, &self.identity, &write.spans).await?;
        if !moved {
            session.roll_back().await?;
            return self.answer_moved(session, write).await;
        }
        if moves {
            parts = settle::complete(session, &self.identity, &options, parts).await?;
        }
        let work = match planned {
            Some(work) => work,
            None => plan::plan(session, &options, &parts).await?,
        };
        let mut outcome = if in_pieces {
            match bisect::run(session, &self.identity, &options, &parts).await? {
                Found::Applied(outcome) => outcome,
                Found::Culprits(culprits) => {
                    return Err(Failure::Error(Error::Rejected(culprits)));
                }
            }
        } else {
            apply::run(session, &self.identity, &options, &work).await?
        };
        outcome += &known;
        self.in_doubt = Some(InDoubt {
            spans: write.spans.clone(),
            outcome: outcome.clone(),
        });
        let committed = session.commit().await;
        if !matches!(&committed, Err(Failure::Error(Error::Unavailable { .. }))) {
            self.in_doubt = None;
        }
        committed?;
        Ok(outcome)
    }

    /// The positions were not where the write expects them: our own commit whose reply was lost, or
    /// another owner.
    async fn answer_moved(
        &mut self,
        session: &mut Session,
        write: &Write,
    ) -> Result<Outcome, Failure> {
        let found = positions::read(session, &self.identity).await?;
        let stands = |span: &Span| found.get(&span.partition).copied();
        if let Some(in_doubt) = &self.in_doubt
            && in_doubt.spans == write.spans
            && write
                .spans
                .iter()
                .all(|span| stands(span) == Some(span.next))
        {
            return Ok(in_doubt.outcome.clone());
        }
        let other = write.spans.iter().find(|span| stands(span) != span.from);
        Err(Failure::Error(match other {
            Some(span) => Error::Fenced {
                partition: span.partition.clone(),
                expected: span.from.unwrap_or(0),
                found: stands(span),
            },
            None => Error::Unavailable {
                message: "the positions moved while they were compared: try again".to_owned(),
                cause: None,
            },
        }))
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.config.write_timeout_ms)
    }

    fn silence(&self) -> Error {
        Error::Unavailable {
            message: format!(
                "the database did not answer within {} ms (write_timeout_ms)",
                self.config.write_timeout_ms
            ),
            cause: None,
        }
    }
}

#[cfg(test)]
mod config_tests {
    use super::*;

    #[test]
    fn the_url_is_never_printed() {
        let config = MysqlSink::new("mysql://u:canary@h/d");
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn defaults_are_those_of_the_docs() {
        let config: MysqlSink =
            serde_json::from_str(r#"{"url": "mysql://h/d", "key": ["id"]}"#).unwrap();
        assert_eq!(config.table, "{table}");
        assert_eq!(config.delete, DeleteMode::Hard);
        assert_eq!(config.evolution, Evolution::Fail);
        assert_eq!(config.lock_timeout_ms, 10_000);
        assert!(serde_json::from_str::<MysqlSink>(r#"{"url": "x", "tabel": "y"}"#).is_err());
    }
}
