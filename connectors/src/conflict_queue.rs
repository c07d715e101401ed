//! The contract of a sink's conflict queue: a person's view of the conflicts of one sink.
//!
//! It reads what the sink keeps beside the rows, and the rows themselves where somebody asks what would
//! become of a change. It writes only what a person decides. A table that does not exist, because the
//! sink had no reason to make it or has never run, counts as one without rows.

use std::sync::Arc;

use async_trait::async_trait;

use crate::change::Changes;
use crate::conflict::{
    ConflictCount, ConflictRecord, KeyFilter, QueueEntry, Resolution, Resolved, Resolvers,
};
use crate::error::Result;
use crate::waiting::WaitingChange;

pub use crate::explanation::Explanation;

/// Which entries of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    /// Those that wait for a person.
    Open,
    /// Those that a person has decided as well.
    All,
    /// The one of this id.
    Id(i64),
}

/// The conflicts of one sink.
#[async_trait]
pub trait ConflictQueue: Send {
    /// Entries of the queue, the oldest first.
    ///
    /// # Errors
    /// `Unavailable`, or `Configuration` where the target refuses or a newer version wrote it.
    async fn entries(&mut self, which: Entries) -> Result<Vec<QueueEntry>>;

    /// The last `limit` conflicts, the newest first; of `key` alone where it is given.
    ///
    /// # Errors
    /// As [`ConflictQueue::entries`].
    async fn history(
        &mut self,
        key: Option<&KeyFilter>,
        limit: usize,
    ) -> Result<Vec<ConflictRecord>>;

    /// How often each kind of conflict was.
    ///
    /// # Errors
    /// As [`ConflictQueue::entries`].
    async fn counts(&mut self) -> Result<Vec<ConflictCount>>;

    /// Carries a person's decision out and replays what waited behind it, in one transaction (C9).
    ///
    /// # Errors
    /// As [`ConflictQueue::entries`], and `Configuration` where there is no such open entry or where
    /// what was decided does not fit; `Rejected` where the target refuses the row. Nothing is changed
    /// then.
    async fn resolve(
        &mut self,
        id: i64,
        resolution: &Resolution,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Resolved>;

    /// Changes that wait for rows that foreign keys need (R21), the oldest first.
    ///
    /// # Errors
    /// As [`ConflictQueue::entries`].
    async fn waiting(&mut self, limit: usize) -> Result<Vec<WaitingChange>>;

    /// What would become of one change of `source` now, and why: decided as a write would decide it by
    /// a resolver, and not written. `changes` holds that change alone.
    ///
    /// # Errors
    /// As a write; `Configuration` too where it is not one change of one row.
    async fn explain(
        &mut self,
        changes: &Changes,
        source: &str,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Explanation>;
}
