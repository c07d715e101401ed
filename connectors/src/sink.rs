//! The contract of a sink and of its settings.
//!
//! **One write is one transaction** (C10, R4): rows, conflict decisions and positions become
//! durable together or nothing does. A sink that cannot keep positions says so by returning
//! `None` from [`Sink::positions`]; it is then at-least-once.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::change::Changes;
use crate::conflict::{ConflictCounts, Resolvers};
use crate::conflict_queue::ConflictQueue;
use crate::error::Result;
use crate::positions::PositionStore;
use crate::problem::Problem;
use crate::record::{HeldPositions, Span};
use crate::sql::Options;

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
#[derive(Debug, Clone, Default)]
pub struct Write {
    /// Batches in source order; two of one table keep their order.
    pub changes: Vec<Changes>,
    /// The positions to move, by compare-and-set from `from` to `next`. May move past records that
    /// left no change. An incarnation is kept beside its position; one that is absent leaves what is
    /// kept.
    pub spans: Vec<Span>,
    /// Changes of [`Outcome::expired`] that are in the quarantine by now: the sink forgets them.
    pub taken: Vec<i64>,
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

/// What became of every change of a write (R17): `written + superseded + kept + waiting + replayed` is their
/// number, and that of the changes that were released beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Applied to the target, deletes of missing rows among them.
    pub written: u64,
    /// Folded into a later change of the same key in the same write (R8).
    pub superseded: u64,
    /// Lost against the target's row by the strategy.
    pub kept: u64,
    /// Values of columns that the target does not have, which `evolution = "ignore"` leaves out; no
    /// part of the others.
    pub left_out: u64,
    /// Waiting for a person (C9), the changes behind an open conflict among them; a part of `kept`.
    pub queued: u64,
    /// Came to wait for a row that a foreign key needs (R21), those behind such a change among them.
    pub waiting: u64,
    /// Waited for such a row, which is there now: they are counted as written, superseded or kept too.
    pub released: u64,
    /// How many changes of [`Write::taken`] were still there: two sessions may hand over the same.
    pub taken: u64,
    /// How many changes of the sink wait after the write.
    pub room: u64,
    /// Changes that waited too long, or that the target refuses now that their row is there. They go to
    /// the quarantine, and the sink keeps them until it is told so ([`Write::taken`]).
    pub expired: Vec<Expired>,
    /// Written by an earlier process, which ended before the rest of their delivery was: they are in none of
    /// the others.
    pub replayed: u64,
    /// Conflicts by type, whoever won.
    pub conflicts: ConflictCounts,
}

/// A change that waited in vain (R21).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The target's number of the change.
    pub id: i64,
    /// The change with its record, as [`crate::conflict::write_change_and_record`] writes it.
    pub change: String,
    /// Why it is refused.
    pub rule: String,
    /// The column, where there is one.
    pub field: Option<String>,
    /// The reason, for a person.
    pub reason: String,
}

impl std::ops::AddAssign<&Outcome> for Outcome {
    fn add_assign(&mut self, other: &Outcome) {
        self.written += other.written;
        self.superseded += other.superseded;
        self.kept += other.kept;
        self.left_out += other.left_out;
        self.queued += other.queued;
        self.waiting += other.waiting;
        self.released += other.released;
        self.taken += other.taken;
        self.room = self.room.max(other.room);
        self.replayed += other.replayed;
        self.expired.extend_from_slice(&other.expired);
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
    async fn positions(&mut self) -> Result<Option<HeldPositions>>;

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

/// The settings of one sink, as a pipeline file gives them.
pub type SinkConfig = Arc<dyn SinkSettings>;

/// What a sink can be asked before it is connected. `config`, `validate` and `run` know a sink by this
/// alone, never by its kind.
#[async_trait]
pub trait SinkSettings: fmt::Debug + Send + Sync {
    /// The value of `type`.
    fn kind(&self) -> &'static str;

    /// What every SQL sink can be told; `None` for sinks that are no database.
    fn options(&self) -> Option<Options>;

    /// Settings that are wrong by themselves or together, but for those of [`Options`]; paths begin at the
    /// sink's own table.
    fn check(&self) -> Vec<Problem>;

    /// Whether rows go to standard output, which then belongs to nobody else.
    fn owns_stdout(&self) -> bool {
        false
    }

    /// Whether the target is there and fits the settings. Writes nothing.
    ///
    /// # Errors
    /// `Unavailable` or `Configuration`, with what to do about it.
    async fn probe(&self) -> Result<()>;

    /// The columns that identify a row in the target's one table, as the table itself says it: the default
    /// of `key`. `None` where the sink says its key, where the table does not exist, has no such key or
    /// depends on the change, or where the sink is no database.
    ///
    /// # Errors
    /// As [`SinkSettings::connect`].
    async fn default_key(&self) -> Result<Option<Vec<String>>>;

    /// Opens the target for one lane. `resolvers` decide what no bulk statement can.
    ///
    /// # Errors
    /// `Unavailable` where the system does not answer, `Configuration` where it refuses.
    async fn connect(
        &self,
        identity: &Identity,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Box<dyn Sink>>;

    /// The same sink, but that no change replaces a row that is not what its source knew: for changes that
    /// come later than others of their key (R26). `None` where the sink cannot tell.
    fn guarded(&self) -> Option<SinkConfig>;

    /// Opens the conflict queue of the sink `sink` of `pipeline`; `None` where the sink is no database.
    ///
    /// # Errors
    /// As [`SinkSettings::connect`].
    async fn open_queue(
        &self,
        pipeline: &str,
        sink: &str,
    ) -> Result<Option<Box<dyn ConflictQueue>>>;

    /// Opens the positions of the sink `sink` of `pipeline`, for a person; `None` where the sink keeps
    /// none.
    ///
    /// # Errors
    /// As [`SinkSettings::connect`].
    async fn open_positions(
        &self,
        pipeline: &str,
        sink: &str,
    ) -> Result<Option<Box<dyn PositionStore>>>;
}
