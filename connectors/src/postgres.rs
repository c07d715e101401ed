//! PostgreSQL as a sink: exactly once, in bulk, with conflicts decided inside the statement.
//!
//! **Guarantees.** One write is one transaction (C10): rows, conflict decisions and positions become
//! durable together or nothing does. Positions move by compare-and-set, which fences a second owner
//! (R4). Where the reply to a commit is lost, the next try of the same write finds its positions
//! moved and returns the outcome that it had.
//!
//! **How.** Rows are encoded from Arrow straight into binary `COPY` to a temporary table of the
//! connection, or bound as arrays where they are few, then one `INSERT … SELECT … ON CONFLICT DO UPDATE … WHERE` writes them and returns
//! what became of them. Deletes go first (R9).
//!
//! - duplicate: folded to one net change a key (R8); a replayed write is fenced by its position.
//! - null: a null version loses (C4); a null key is rejected (R2).
//! - delete: `hard`, `soft` or `ignore`; a missing row is counted. Under `newest_wins` and `merge`
//!   the versions of deletes are kept, so that an older change does not bring a row back (R12).
//! - tie: `tie` decides (C3).
//! - an unset value (R14) is left out of the update; where the row is missing it is rejected.

mod failure;

mod catalogue;
mod lookup;
mod origin;
mod positions;
mod prepare;
#[cfg(target_os = "linux")]
mod relay;
mod replication;
mod session;
mod source;

mod bound;
mod bulk;
mod connection;
mod copy;
mod dialect;
mod equality;
mod exact;
mod instant;
mod keys;
mod numeric;
mod one_by_one;
mod read;
mod stage;
mod staging;
mod statement;
mod store;
mod trigger;
mod types;
mod wire_type;

#[cfg(test)]
#[cfg(feature = "server-tests")]
mod tests;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::dialect::POSTGRES;
use self::failure::Failure;
pub use self::lookup::PostgresLookup;
pub use self::origin::OriginMark;
use self::session::Session;
pub use self::source::PostgresSource;
use crate::conflict::Resolvers;
use crate::conflict_queue::ConflictQueue;
use crate::error::Result;
use crate::positions::PositionStore;
use crate::problem::{Problem, problems};
use crate::sink::{Identity, Sink, SinkConfig, SinkSettings};
use crate::sql::{self, Options};

/// Writes rows to the tables of a PostgreSQL database, exactly once.
///
/// ```toml
/// [sinks.billing]
/// type   = "postgres"
/// inputs = ["check"]
/// url    = "postgres://syncline@localhost/billing"
/// table  = "clients"
/// key    = ["id"]
/// ```
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSink {
    /// Where the database is: `postgres://user:password@host:port/database`. A secret: take it from
    /// the environment or a file.
    pub url: String,
    /// What every SQL sink can be told about its tables.
    #[serde(flatten)]
    pub options: Options,
    /// How writes are marked, so that a pipeline that reads this database can leave them out
    /// (`ignore_origins`). Default: not at all.
    pub origin: Option<OriginMark>,
    /// Whether deletes by users of the target count as deletes that were applied (R12): an older
    /// change that comes later does not bring the row back. By triggers on the table.
    #[serde(default)]
    pub remember_deletes: bool,
    /// Whether a commit waits for the database's disk. `false` is faster; a crash of the database
    /// then loses the last rows and their positions together, and the source replays them.
    #[serde(default = "default_synchronous_commit")]
    pub synchronous_commit: bool,
    /// How long to wait for a connection, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long to wait for a lock that another session holds, in milliseconds.
    #[serde(default = "default_lock_timeout_ms")]
    pub lock_timeout_ms: u64,
    /// How long one write may take before the database counts as not answering, in milliseconds.
    #[serde(default = "default_write_timeout_ms")]
    pub write_timeout_ms: u64,
    /// Up to how many rows of a table and write are bound to its statements. More go through a staging
    /// table.
    #[serde(default = "default_bound_rows_max")]
    pub bound_rows_max: usize,
}

fn default_synchronous_commit() -> bool {
    true
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

fn default_bound_rows_max() -> usize {
    500
}

impl PostgresSink {
    /// A sink of `url` with every other option at its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            options: Options::default(),
            origin: None,
            remember_deletes: false,
            synchronous_commit: default_synchronous_commit(),
            connect_timeout_ms: default_connect_timeout_ms(),
            lock_timeout_ms: default_lock_timeout_ms(),
            write_timeout_ms: default_write_timeout_ms(),
            bound_rows_max: default_bound_rows_max(),
        }
    }

    /// Whether the URL can be read.
    ///
    /// # Errors
    /// `Configuration`; it does not show the URL, which may hold a password.
    pub fn check_url(&self) -> Result<()> {
        session::connect_options(&self.url).map(|_| ())
    }

    /// Whether its options agree with each other.
    ///
    /// # Errors
    /// `Configuration` where deletes are to be remembered and the conflict policy has no use for them.
    pub fn check_remembering(&self) -> Result<()> {
        if self.remember_deletes {
            trigger::check(&self.options())?;
        }
        Ok(())
    }

    /// The options that all SQL sinks share.
    pub fn options(&self) -> Options {
        self.options.clone()
    }
}

/// Everything but the URL, which may hold a password.
impl fmt::Debug for PostgresSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSink")
            .field("options", &self.options())
            .field("origin", &self.origin)
            .field("remember_deletes", &self.remember_deletes)
            .field("synchronous_commit", &self.synchronous_commit)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SinkSettings for PostgresSink {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn options(&self) -> Option<Options> {
        Some(self.options())
    }

    fn check(&self) -> Vec<Problem> {
        let settings = [
            ("url", self.check_url()),
            ("remember_deletes", self.check_remembering()),
        ];
        problems(settings)
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
    config: &PostgresSink,
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
pub async fn check(config: &PostgresSink) -> Result<()> {
    config.check_remembering()?;
    if config.origin.is_some() {
        let (mut connection, _link) = session::open_connection(config, "check").await?;
        origin::check(&mut connection)
            .await
            .map_err(Failure::into_error)?;
    }
    sql::check::check::<Session>(config).await
}

#[cfg(test)]
mod config_tests {
    use super::*;
    use crate::sql::{DeleteMode, Evolution};

    #[test]
    fn the_url_is_never_printed() {
        let config = PostgresSink::new("postgres://u:canary@h/d");
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn defaults_are_those_of_the_docs() {
        let config: PostgresSink =
            serde_json::from_str(r#"{"url": "postgres://h/d", "key": ["id"]}"#).unwrap();
        assert_eq!(config.options.table, "{table}");
        assert_eq!(config.options.delete, DeleteMode::Hard);
        assert_eq!(config.options.evolution, Evolution::Fail);
        assert!(config.synchronous_commit);
        assert!(serde_json::from_str::<PostgresSink>(r#"{"url": "x", "tabel": "y"}"#).is_err());
    }
}
