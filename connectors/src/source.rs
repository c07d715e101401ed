//! The contract of a source and of its settings.
//!
//! A source is asked for events and answers with records, with rows that need no decoder, or with
//! partitions that it was given or lost. It never decides where to begin: when it is assigned partitions it waits for
//! [`Source::assign`], because the positions stand in the sink (R4). `next` runs on the thread of
//! a lane, which does nothing else: it may block for up to [`Limits::linger`], never longer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::assignment::{Assignment, Remember};
use crate::error::Result;
use crate::format::{Decoded, Decoding};
use crate::problem::Problem;
use crate::record::{Incarnation, Partition, Positions, Records, Span};
use crate::schema_registry::RegistryClient;

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

/// Rows that came as rows, so that there is nothing to decode: from a database.
#[derive(Debug)]
pub struct FetchedRows {
    /// What stands for each row where bytes are wanted: in the quarantine, and when it is replayed
    /// from there. The value of each is the row as a JSON object.
    pub records: Arc<Records>,
    /// The rows; their `records` are those above, and every record is accounted for (R17).
    pub decoded: Decoded,
    /// One span for each partition that moved.
    pub spans: Vec<Span>,
}

/// What a source has to say.
#[derive(Debug)]
pub enum Event {
    /// Records, in the order of their partitions.
    Records(Fetched),
    /// Rows, in the order of their partitions.
    Rows(FetchedRows),
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

    /// Answers [`Event::Assigned`]: begin with these partitions, at the lowest place that a sink
    /// asks for; [`crate::assignment`] says which that is. Also called for a partition that is being
    /// read already, to go back to what the sinks hold. Returns what sinks have to keep before they
    /// are written to.
    ///
    /// # Errors
    /// As [`Source::next`]; a position that no longer exists, or that counts in another incarnation,
    /// is a `Configuration` error, never a silent reset.
    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>>;

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

/// The settings of one source, as a pipeline file gives them.
pub type SourceConfig = Arc<dyn SourceSettings>;

/// What a source can be asked before it is connected. `config`, `validate` and `run` know a source by
/// this alone, never by its kind.
#[async_trait]
pub trait SourceSettings: fmt::Debug + Send + Sync {
    /// What the source is.
    fn describe(&self) -> Description<'_>;

    /// What its records are.
    fn decoding(&self) -> &Decoding;

    /// Settings that are wrong by themselves or together; paths begin at the source's own table.
    fn check(&self) -> Vec<Problem>;

    /// How many lanes it feeds, at most `lanes_max`, at least one.
    ///
    /// # Errors
    /// As [`SourceSettings::connect`].
    async fn lanes(&self, lanes_max: usize) -> Result<usize>;

    /// Opens the source of one lane.
    ///
    /// # Errors
    /// `Unavailable` where the system does not answer, `Configuration` where it refuses.
    async fn connect(&self, opening: Opening) -> Result<Box<dyn Source>>;

    /// The partitions as they are now, by name and number. Joins no group and commits nothing.
    ///
    /// # Errors
    /// As [`SourceSettings::connect`]; `Configuration` too where the source has no such places.
    async fn survey(&self, wanted: &Wanted) -> Result<Vec<Extent>>;
}

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description<'a> {
    /// The value of `type`.
    pub kind: &'static str,
    /// The topic or file of a record that comes from elsewhere, as one given on the command line.
    pub topic: &'a str,
    /// Whether it can be read without asking another system.
    pub local: bool,
}

/// How a source is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Which of its lanes.
    pub lane: Lane,
    /// What for.
    pub purpose: Purpose,
    /// How many bytes a client may hold ahead of the lane.
    pub memory_bytes: u64,
}

/// What a source is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To follow it for ever.
    Follow,
    /// To read up to the end that it has now.
    Once,
    /// To look at its records from the first that is there up to the end that it has now, whatever the
    /// pipeline has read: no group is joined, and nothing is committed under the pipeline's name.
    Peek,
}

impl Opening {
    /// The only lane, for whoever reads a source up to its end and is no pipeline.
    pub fn alone(purpose: Purpose, memory_bytes: u64) -> Self {
        Self {
            lane: Lane { number: 0, of: 1 },
            purpose,
            memory_bytes,
        }
    }
}

/// Whether the source is there: opens it and closes it again.
///
/// # Errors
/// As [`SourceSettings::connect`].
pub async fn probe(settings: &dyn SourceSettings) -> Result<()> {
    if let Some(registry) = &settings.decoding().schema_registry {
        RegistryClient::new(registry)?.probe().await?;
    }
    let source = settings.connect(Opening::alone(Purpose::Once, 0)).await?;
    source.close().await
}

/// What a person wants to know of a source besides its extent.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The offsets of the group.
    pub group: bool,
    /// The offsets of an instant, in milliseconds since the epoch.
    pub time: Option<i64>,
    /// Whether this offset is one at which reading can begin.
    pub offset: Option<i64>,
}

/// A partition as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Which one.
    pub partition: Partition,
    /// The first offset that is there.
    pub low: i64,
    /// One past the last that can be read.
    pub high: i64,
    /// What the offsets count in.
    pub incarnation: Option<Incarnation>,
    /// The group's offset, where it was asked for and there is one.
    pub group: Option<i64>,
    /// The first offset that is not older than the instant, where one was asked for.
    pub time: Option<i64>,
}

/// A lane's place among the lanes of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Counted from 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}
