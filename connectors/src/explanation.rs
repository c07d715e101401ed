//! What would become of one change now, and why: the answer to a person who asks a sink.

use crate::change::Operation;
use crate::conflict::{Conflict, Json, Place, QueueEntry, Sides, Verdict};
use crate::error::RejectedRow;
use crate::record::{HeldPositions, Partition};

/// What would become of one change now.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The table in the target: `name` or `schema.name`.
    pub target: String,
    /// Whether that table is there.
    pub table_exists: bool,
    /// The key columns of the row.
    pub key: Json,
    /// What happened to the row at the source.
    pub operation: Operation,
    /// Where the change came from.
    pub place: Place,
    /// Where its partition stands in the target; `None` where the target has never held any of it.
    pub position: Option<i64>,
    /// What would become of it, if it met the row now.
    pub verdict: Verdict,
    /// The conflict, where there is one.
    pub conflict: Option<Conflict>,
    /// The contested columns, and which strategy decides each: an object of names.
    pub columns: Json,
    /// Why it can never be written, where that is the verdict.
    pub rejected: Option<RejectedRow>,
    /// The row on all sides; `result` is what the target would hold.
    pub rows: Sides,
    /// Whether a base is known but for its values (`base = "shadow_hash"`).
    pub base_is_hashed: bool,
    /// Whether the target's row is only marked as deleted, and counts as absent.
    pub marked: bool,
    /// The version of the delete that took the row away, where it is kept (R12): an object of the
    /// version column.
    pub tombstone: Option<Json>,
    /// Columns whose value in the target the type of the change cannot say.
    pub foreign: Vec<String>,
    /// Columns of the change that have no place in the target now.
    pub unplaced: Vec<String>,
    /// The open conflict of the key, behind which the change would wait.
    pub open: Option<QueueEntry>,
}

impl Explanation {
    /// Whether the target holds the change already, so that it is passed over (R4).
    pub fn is_applied(&self) -> bool {
        self.position
            .is_some_and(|position| self.place.position < position)
    }

    /// Adds where the sink stands, and which conflict of the key is open.
    pub(crate) fn add(&mut self, positions: &HeldPositions, entries: Vec<QueueEntry>) {
        let place = &self.place;
        let partition = Partition {
            topic: place.topic.as_str().into(),
            number: place.partition,
        };
        self.position = positions.get(&partition).map(|held| held.next);
        let mut entries = entries.into_iter();
        self.open = entries.find(|entry| entry.target == self.target && entry.key == self.key);
    }
}
