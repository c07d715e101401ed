//! The contract of a source, the list of what exists, and [`connect`].
//!
//! A source is asked for events and answers with records, or with partitions that it was given or
//! lost. It never decides where to begin: when it is assigned partitions it waits for
//! [`Source::assign`], because the positions stand in the sink (R4). `next` runs on the thread of
//! a lane, which does nothing else: it may block for up to [`Limits::linger`], never longer.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;

use crate::error::Result;
use crate::kafka::KafkaSource;
use crate::kind::Kind;
use crate::record::{Partition, Positions, Records, Span};

/// How much one fetch may hold, and how long it may wait to fill.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At most this many records. 0 means: hand over nothing, hold the partitions back, and only
    /// stay a member of the group (backpressure).
    pub rows: usize,
    /// Stop once this many bytes of keys and values are gathered; one record may go past it.
    pub bytes: usize,
    /// Return what is there after this long.
    pub linger: Duration,
}

/// Records with the stretch of each partition that they cover.
#[derive(Debug)]
pub struct Fetched {
    /// The records, those of one partition in order.
    pub records: Records,
    /// One span for each partition that moved.
    pub spans: Vec<Span>,
}

/// What a source has to say.
#[derive(Debug)]
pub enum Event {
    /// Records, in the order of their partitions.
    Records(Fetched),
    /// These partitions are ours from now on; nothing of them comes before [`Source::assign`].
    Assigned(Vec<Partition>),
    /// These partitions are about to leave. Finish what is in flight, acknowledge it, and call
    /// `next` again: that gives them up. `lost` says that they are gone already and that nothing
    /// may be acknowledged for them (R18).
    Revoked {
        /// Which ones.
        partitions: Vec<Partition>,
        /// Whether another member may own them already.
        lost: bool,
    },
    /// Nothing came within the linger.
    Idle,
    /// The source is drained and will say nothing more (`--once`).
    End,
}

/// Where changes come from. See the module docs for who decides what.
#[async_trait]
pub trait Source: Send {
    /// The next event, after at most `limits.linger`. Cancel-safe: nothing is lost where the future
    /// is dropped.
    ///
    /// # Errors
    /// `Unavailable` while the system does not answer, `Configuration` where it refuses for good.
    async fn next(&mut self, limits: &Limits) -> Result<Event>;

    /// Answers [`Event::Assigned`]: begin at these positions. A partition without one begins where
    /// the source's own memory (a committed offset) or its `start` option says. Also called for a
    /// partition that is being read already, to go back to what the sink holds.
    ///
    /// # Errors
    /// As [`Source::next`]; a position that no longer exists is a `Configuration` error, never a
    /// silent reset.
    async fn assign(&mut self, positions: &Positions, partitions: &[Partition]) -> Result<()>;

    /// Tells the outside how far everything is done, for lag tools; never the authority where the
    /// sink keeps positions.
    ///
    /// # Errors
    /// `Unavailable`; the caller may go on.
    async fn acknowledge(&mut self, positions: &Positions) -> Result<()>;

    /// How many records wait in the assigned partitions; `None` where the source cannot know.
    fn lag(&self) -> Option<u64>;

    /// Leaves the group and closes.
    ///
    /// # Errors
    /// `Unavailable` where the goodbye did not get through.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// The sources that exist, each with its settings. Not tagged for serde, which would lose the
/// positions of errors: who reads a pipeline file reads `type` first.
#[derive(Debug, Clone)]
pub enum SourceConfig {
    /// `type = "kafka"`
    Kafka(KafkaSource),
}

impl SourceConfig {
    /// Every source.
    pub const KINDS: &[Kind<Self>] = &[Kind {
        name: "kafka",
        schema: KafkaSource::json_schema,
        read: |value| serde_json::from_value(value).map(Self::Kafka),
    }];

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
        }
    }
}
