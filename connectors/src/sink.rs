//! The contract of a sink, the list of what exists, and [`connect`].
//!
//! **One write is one transaction** (C10, R4): rows, conflict decisions and positions become
//! durable together or nothing does. A sink that cannot keep positions says so by returning
//! `None` from [`Sink::positions`]; it is then at-least-once.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use schemars::JsonSchema as _;

use crate::blackhole::{self, BlackholeSink};
use crate::change::{Changes, Table};
use crate::conflict::{ConflictCounts, Resolvers};
use crate::error::Result;
use crate::file::{self, FileSink};
use crate::kind::Kind;
use crate::mysql::{self, MysqlSink};
use crate::postgres::{self, PostgresSink};
use crate::record::{Positions, Span};
use crate::sql::Options;
use crate::sqlite::{self, SqliteSink};

/// Who writes: the name under which positions are kept. Two lanes of one source share it; they
/// never share a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The pipeline's name.
    pub pipeline: String,
    /// The sink's name in the pipeline.
    pub sink: String,
    /// The source's name in the pipeline.
    pub source: String,
}

/// What one transaction makes durable.
#[derive(Debug, Clone)]
pub struct Write {
    /// Batches in source order; two of one table keep their order.
    pub changes: Vec<Changes>,
    /// The positions to move, by compare-and-set from `from` to `next`. May move past records that
    /// left no change.
    pub spans: Vec<Span>,
}

impl Write {
    /// Number of changes.
    pub fn len(&self) -> usize {
        self.changes.iter().map(Changes::len).sum()
    }

    /// Whether there is no change; the spans may move all the same.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What became of every change of a write (R17): `written + superseded + kept` is their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Applied to the target, deletes of missing rows among them.
    pub written: u64,
    /// Folded into a later change of the same key in the same write (R8).
    pub superseded: u64,
    /// Lost against the target's row by the strategy.
    pub kept: u64,
    /// Waiting for a person (C9), the changes behind an open conflict among them; a part of `kept`.
    pub queued: u64,
    /// Conflicts by type, whoever won.
    pub conflicts: ConflictCounts,
}

impl std::ops::AddAssign<&Outcome> for Outcome {
    fn add_assign(&mut self, other: &Outcome) {
        self.written += other.written;
        self.superseded += other.superseded;
        self.kept += other.kept;
        self.queued += other.queued;
        self.conflicts += &other.conflicts;
    }
}

/// Where rows go. One value is one connection and belongs to one lane.
#[async_trait]
pub trait Sink: Send {
    /// Where each partition stands in the target, read afresh. `None`: this sink keeps no positions
    /// and is at-least-once.
    ///
    /// # Errors
    /// `Unavailable` or `Configuration`.
    async fn positions(&mut self) -> Result<Option<Positions>>;

    /// Makes a write durable, wholly or not at all. After `Unavailable` the same write may be tried
    /// again on the same sink, which connects anew by itself: where the reply to a commit was lost,
    /// the sink finds its positions moved and returns the outcome that it had.
    ///
    /// # Errors
    /// Every kind of [`crate::error::Error`]; nothing is durable then, but for a commit whose reply was lost.
    async fn write(&mut self, write: &Write) -> Result<Outcome>;

    /// Flushes and closes.
    ///
    /// # Errors
    /// `Unavailable` where the last flush did not get through.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// The sinks that exist.
#[derive(Clone)]
pub enum SinkConfig {
    /// `type = "postgres"`
    Postgres(PostgresSink),
    /// `type = "mysql"`
    Mysql(MysqlSink),
    /// `type = "sqlite"`
    Sqlite(SqliteSink),
    /// `type = "file"`
    File(FileSink),
    /// `type = "blackhole"`
    Blackhole(BlackholeSink),
}

impl SinkConfig {
    /// Every sink.
    pub const KINDS: &[Kind<Self>] = &[
        Kind {
            name: "postgres",
            schema: PostgresSink::json_schema,
            read: |value| serde_json::from_value(value).map(Self::Postgres),
        },
        Kind {
            name: "mysql",
            schema: MysqlSink::json_schema,
            read: |value| serde_json::from_value(value).map(Self::Mysql),
        },
        Kind {
            name: "sqlite",
            schema: SqliteSink::json_schema,
            read: |value| serde_json::from_value(value).map(Self::Sqlite),
        },
        Kind {
            name: "file",
            schema: FileSink::json_schema,
            read: |value| serde_json::from_value(value).map(Self::File),
        },
        Kind {
            name: "blackhole",
            schema: BlackholeSink::json_schema,
            read: |value| serde_json::from_value(value).map(Self::Blackhole),
        },
    ];

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Mysql(_) => "mysql",
            Self::Sqlite(_) => "sqlite",
            Self::File(_) => "file",
            Self::Blackhole(_) => "blackhole",
        }
    }

    /// What every SQL sink can be told; `None` for sinks that are no database.
    pub fn options(&self) -> Option<Options> {
        match self {
            Self::Postgres(config) => Some(config.options()),
            Self::Mysql(config) => Some(config.options()),
            Self::Sqlite(config) => Some(config.options()),
            Self::File(_) | Self::Blackhole(_) => None,
        }
    }
}

/// The columns of the target's table as an Arrow schema, for sources that bring none; `None` where the
/// table does not exist, depends on the change, or the sink is no database.
///
/// # Errors
/// As [`connect`].
pub async fn catalogue(config: &SinkConfig) -> Result<Option<SchemaRef>> {
    let nothing = Table {
        topic: "".into(),
        database: None,
        schema: None,
        name: "".into(),
    };
    match config {
        SinkConfig::Postgres(postgres) if !postgres.table.contains('{') => {
            postgres::catalogue_schema(postgres, &nothing).await
        }
        SinkConfig::Mysql(mysql) if !mysql.table.contains('{') => {
            mysql::catalogue_schema(mysql, &nothing).await
        }
        SinkConfig::Sqlite(sqlite) if !sqlite.table.contains('{') => {
            sqlite::catalogue_schema(sqlite, &nothing).await
        }
        _ => Ok(None),
    }
}

/// The columns that identify a row in the target's one table, as the table itself says it: the default
/// of `key`. `None` where the sink says its key, where the table does not exist, has no such key or
/// depends on the change, or where the sink is no database.
///
/// # Errors
/// As [`connect`].
pub async fn default_key(config: &SinkConfig) -> Result<Option<Vec<String>>> {
    let options = config.options();
    if options.is_none_or(|options| options.key.is_some() || options.table.contains('{')) {
        return Ok(None);
    }
    let nothing = Table {
        topic: "".into(),
        database: None,
        schema: None,
        name: "".into(),
    };
    let table = match config {
        SinkConfig::Postgres(postgres) => postgres::target_table(postgres, &nothing).await?,
        SinkConfig::Mysql(mysql) => mysql::target_table(mysql, &nothing).await?,
        SinkConfig::Sqlite(sqlite) => sqlite::target_table(sqlite, &nothing).await?,
        SinkConfig::File(_) | SinkConfig::Blackhole(_) => None,
    };
    Ok(table.and_then(|table| table.default_key().map(<[String]>::to_vec)))
}

/// Opens the target for one lane. `resolvers` decide what no bulk statement can.
///
/// # Errors
/// `Unavailable` where the system does not answer, `Configuration` where it refuses.
pub async fn connect(
    config: &SinkConfig,
    identity: &Identity,
    resolvers: &Arc<dyn Resolvers>,
) -> Result<Box<dyn Sink>> {
    match config {
        SinkConfig::Postgres(postgres) => postgres::connect(postgres, identity, resolvers).await,
        SinkConfig::Mysql(mysql) => mysql::connect(mysql, identity, resolvers).await,
        SinkConfig::Sqlite(sqlite) => sqlite::connect(sqlite, identity, resolvers).await,
        SinkConfig::File(file) => file::connect_sink(file, identity),
        SinkConfig::Blackhole(_) => Ok(blackhole::connect()),
    }
}
