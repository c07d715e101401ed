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

mod bulk;
mod cell;
mod column_kind;
mod connection;
mod dialect;
mod equality;
mod lock;
mod lookup;
mod one_by_one;
mod read;
mod source;
mod stage;
mod statement;
mod store;
mod types;

#[cfg(test)]
#[cfg(feature = "server-tests")]
mod tests;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::dialect::MYSQL;
pub use self::lookup::MysqlLookup;
use self::session::Session;
pub use self::source::MysqlSource;
use crate::conflict::Resolvers;
use crate::conflict_queue::ConflictQueue;
use crate::error::Result;
use crate::positions::PositionStore;
use crate::problem::{Problem, problems};
use crate::sink::{Identity, Sink, SinkConfig, SinkSettings};
use crate::sql::{self, Options};

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
    /// What every SQL sink can be told about its tables.
    #[serde(flatten)]
    pub options: Options,
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

impl MysqlSink {
    /// A sink of `url` with every other option at its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            options: Options::default(),
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
        self.options.clone()
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

    async fn default_key(&self) -> Result<Option<Vec<String>>> {
        sql::check::default_key::<session::Session>(self).await
    }

    async fn connect(
        &self,
        identity: &Identity,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Box<dyn Sink>> {
        connect(self, identity, resolvers).await
    }

    fn guarded(&self) -> Option<SinkConfig> {
        let mut guarded = self.clone();
        guarded.options.conflict = self.options.conflict.guarded();
        guarded.options.writers = 1;
        Some(Arc::new(guarded))
    }

    async fn open_queue(
        &self,
        pipeline: &str,
        sink: &str,
    ) -> Result<Option<Box<dyn ConflictQueue>>> {
        let queue = sql::queue::open::<Session>(self, pipeline, sink).await?;
        Ok(Some(queue))
    }

    async fn open_positions(
        &self,
        pipeline: &str,
        sink: &str,
    ) -> Result<Option<Box<dyn PositionStore>>> {
        store::open_positions(self, pipeline, sink).await.map(Some)
    }
}

/// Opens a session of its own for one lane, and makes the tables for positions and tombstones where
/// they are not there.
///
/// # Errors
/// `Unavailable` while the database does not answer, `Configuration` where it refuses or where the
/// conflict policy is incomplete.
pub async fn connect(
    config: &MysqlSink,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
) -> Result<Box<dyn Sink>> {
    sql::writers::connect::<Session>(config, identity, resolvers).await
}

/// Whether the database answers, and whether the table that the sink names is there, where the sink
/// does not create it, with a unique index over the sink's key. Writes nothing.
///
/// # Errors
/// `Unavailable` or `Configuration`, with what to do about it.
pub async fn check(config: &MysqlSink) -> Result<()> {
    sql::check::check::<Session>(config).await
}

#[cfg(test)]
mod config_tests {
    use super::*;
    use crate::sql::{DeleteMode, Evolution};

    #[test]
    fn the_url_is_never_printed() {
        let config = MysqlSink::new("mysql://u:canary@h/d");
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn defaults_are_those_of_the_docs() {
        let config: MysqlSink =
            serde_json::from_str(r#"{"url": "mysql://h/d", "key": ["id"]}"#).unwrap();
        assert_eq!(config.options.table, "{table}");
        assert_eq!(config.options.delete, DeleteMode::Hard);
        assert_eq!(config.options.evolution, Evolution::Fail);
        assert_eq!(config.lock_timeout_ms, 10_000);
        assert!(serde_json::from_str::<MysqlSink>(r#"{"url": "x", "tabel": "y"}"#).is_err());
    }
}
