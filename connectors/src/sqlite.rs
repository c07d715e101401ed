//! SQLite as a sink: exactly once into a file, with conflicts decided inside the statement.
//!
//! **Guarantees.** One write is one transaction (C10): rows, conflict decisions and positions become
//! durable together or nothing does. It takes the file's write lock first, so nobody slips between
//! reading a row and writing it. Positions move by compare-and-set, which fences a second owner (R4).
//!
//! **How.** A thread of its own holds the connection. Every row is one prepared `INSERT … ON CONFLICT
//! DO UPDATE … WHERE`; the condition calls back into Rust, so that counting conflicts costs no second
//! look at the row.
//!
//! - duplicate: folded to one net change a key (R8); a replayed write is fenced by its position.
//! - null: a null version loses (C4); a null key is rejected (R2).
//! - delete: `hard`, `soft` or `ignore`; a missing row is counted; under `ignore` every delete
//!   counts as kept. Under `newest_wins` and `merge` the versions of deletes are kept, so that an
//!   older change does not bring a row back (R12).
//! - tie: `tie` decides (C3).
//! - an unset value (R14) is left out of the update; where the row is missing it is rejected.
//!
//! **Types.** Integers, floats, text and bytes are stored as such, booleans as 0 and 1. Decimals,
//! dates, times and instants are exact text: ISO 8601, instants in UTC with the digits of their unit,
//! so that they sort; lists are JSON. A value that a column with a numeric affinity would round is
//! rejected. Versions compare to the microsecond, or as numbers, whatever form the target holds them
//! in: ISO text with a blank or a `T`, with or without an offset, or an epoch number.

mod cell;
mod failure;
mod function;

mod lock;
mod lookup;
mod positions;
mod prepare;
mod statement;
mod store;
mod tombstone;

mod bound_rows;
mod bulk;
mod connection;
mod dialect;
mod equality;
mod read;
mod rows;
mod scratch;
mod session;
mod source;
mod types;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::connection::SqliteConnection;
pub use self::dialect::SQLITE;
pub use self::lookup::SqliteLookup;
pub use self::scratch::ScratchDatabase;
pub use self::source::SqliteSource;
use crate::conflict::Resolvers;
use crate::conflict_queue::ConflictQueue;
use crate::error::{Error, Result};
use crate::positions::PositionStore;
use crate::problem::{Problem, problems};
use crate::sink::{Identity, Sink, SinkConfig, SinkSettings};
use crate::sql::{self, Options};

/// Writes rows to the tables of a SQLite file, exactly once.
///
/// ```toml
/// [sinks.billing]
/// type   = "sqlite"
/// inputs = ["check"]
/// path   = "state/billing.db"
/// table  = "clients"
/// key    = ["id"]
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSink {
    /// The database file; made, with its folder, where it is absent.
    pub path: String,
    /// What every SQL sink can be told about its tables.
    #[serde(flatten)]
    pub options: Options,
    /// How long a commit waits for the disk.
    #[serde(default)]
    pub synchronous: Synchronous,
    /// How long to wait for a lock that another connection holds, in milliseconds.
    #[serde(default = "default_busy_timeout_ms")]
    pub busy_timeout_ms: u64,
}

/// How long a commit waits for the disk. With every value a crash of Syncline loses nothing, and a
/// power cut loses rows and their positions together, so that the source replays what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// Not at all: a power cut may damage the file.
    Off,
    /// At checkpoints: a power cut may lose the last commits, never a part of one.
    #[default]
    Normal,
    /// At every commit.
    Full,
}

fn default_busy_timeout_ms() -> u64 {
    10_000
}

impl SqliteSink {
    /// A sink of `path` with every other option at its default.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            options: Options::default(),
            synchronous: Synchronous::default(),
            busy_timeout_ms: default_busy_timeout_ms(),
        }
    }

    /// The options that all SQL sinks share.
    pub fn options(&self) -> Options {
        self.options.clone()
    }
}

#[async_trait]
impl SinkSettings for SqliteSink {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn options(&self) -> Option<Options> {
        Some(self.options())
    }

    fn check(&self) -> Vec<Problem> {
        let writers = match self.options.writers {
            0 | 1 => Ok(()),
            more => Err(Error::configuration(format!(
                "a SQLite database has one writer at a time, writers is {more}: leave it out"
            ))),
        };
        problems([("writers", writers)])
    }

    async fn probe(&self) -> Result<()> {
        check(self).await
    }

    async fn default_key(&self) -> Result<Option<Vec<String>>> {
        sql::check::default_key::<connection::SqliteConnection>(self).await
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
        let queue = sql::queue::open::<SqliteConnection>(self, pipeline, sink).await?;
        Ok(Some(queue))
    }

    async fn open_positions(
        &self,
        pipeline: &str,
        sink: &str,
    ) -> Result<Option<Box<dyn PositionStore>>> {
        Ok(Some(store::open_positions(self, pipeline, sink)))
    }
}

/// Opens a session of its own for one lane, and makes the tables for positions and tombstones where
/// they are not there.
///
/// # Errors
/// `Unavailable` while the file is locked or cannot be opened, `Configuration` where it is no
/// database or where the conflict policy is incomplete.
pub async fn connect(
    config: &SqliteSink,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
) -> Result<Box<dyn Sink>> {
    sql::writers::connect::<SqliteConnection>(config, identity, resolvers).await
}

/// Whether the database answers, and whether the table that the sink names is there, where the sink
/// does not create it, with a unique index over the sink's key. Writes nothing.
///
/// # Errors
/// `Unavailable` or `Configuration`, with what to do about it.
pub async fn check(config: &SqliteSink) -> Result<()> {
    sql::check::check::<SqliteConnection>(config).await
}
