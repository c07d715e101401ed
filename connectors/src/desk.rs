//! The desk at which a person looks at the conflicts of one sink.
//!
//! It reads what the sink keeps beside the rows, and the rows themselves where somebody asks what would
//! become of a change; it writes only what a person decides. A table that is not there, because the sink
//! has had no reason to make it or has never run, is one without rows.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::change::Changes;
use crate::conflict::{
    ConflictCount, ConflictPolicy, ConflictRecord, HistoryPlace, KeyFilter, QueueEntry, QueueState,
    Resolution, Resolved, Resolvers, Take, read_history_file,
};
use crate::error::{Error, Result};
use crate::sink::Identity;
use crate::sql::identifier::Dialect;
use crate::sql::ledger::{Ledger, Row};

pub use crate::sql::explain::Explained;

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
pub trait Desk: Send {
    /// Entries of the queue, the oldest first.
    ///
    /// # Errors
    /// `Unavailable`, or `Configuration` where the target refuses or a newer version wrote it.
    async fn entries(&mut self, which: Entries) -> Result<Vec<QueueEntry>>;

    /// The last `limit` conflicts, the newest first; of `key` alone where it is given.
    ///
    /// # Errors
    /// As [`Desk::entries`].
    async fn history(
        &mut self,
        key: Option<&KeyFilter>,
        limit: usize,
    ) -> Result<Vec<ConflictRecord>>;

    /// How often each kind of conflict was.
    ///
    /// # Errors
    /// As [`Desk::entries`].
    async fn counts(&mut self) -> Result<Vec<ConflictCount>>;

    /// Carries a person's decision out and replays what waited behind it, in one transaction (C9).
    ///
    /// # Errors
    /// As [`Desk::entries`], and `Configuration` where there is no such open entry or where what was
    /// decided does not fit; `Rejected` where the target refuses the row. Nothing is changed then.
    async fn resolve(
        &mut self,
        id: i64,
        resolution: &Resolution,
        resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Resolved>;

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
    ) -> Result<Explained>;
}

/// What every desk knows: the statements, and whether the history is elsewhere.
pub(crate) struct Look {
    pub(crate) ledger: Ledger,
    /// The file of the history, where it is kept in one.
    file: Option<PathBuf>,
}

impl Look {
    pub(crate) fn new(
        dialect: Dialect,
        policy: &ConflictPolicy,
        pipeline: &str,
        sink: &str,
    ) -> Self {
        let history = policy.history.as_ref();
        Self {
            ledger: Ledger::new(dialect, pipeline, sink),
            file: history
                .filter(|history| history.to == HistoryPlace::File)
                .and_then(|history| history.path.as_ref().map(PathBuf::from)),
        }
    }

    /// Who writes the changes of `source`.
    pub(crate) fn identity(&self, source: &str) -> Identity {
        Identity {
            pipeline: self.ledger.pipeline().to_owned(),
            sink: self.ledger.sink().to_owned(),
            source: source.to_owned(),
        }
    }

    /// The statement for entries.
    pub(crate) fn select_entries(&self, which: Entries) -> String {
        match which {
            Entries::Open => self.ledger.select_queue(false),
            Entries::All => self.ledger.select_queue(true),
            Entries::Id(id) => self.ledger.select_entry(id),
        }
    }

    /// The history of the file; `None` where it is kept in a table.
    pub(crate) fn history_of_file(
        &self,
        key: Option<&KeyFilter>,
        limit: usize,
    ) -> Option<Result<Vec<ConflictRecord>>> {
        let ledger = &self.ledger;
        let own = |record: &ConflictRecord| {
            record.pipeline == ledger.pipeline() && record.sink == ledger.sink()
        };
        let wanted = |record: &ConflictRecord| {
            own(record) && key.is_none_or(|key| key.matches(&record.key.0))
        };
        let file = self.file.as_ref()?;
        Some(read_history_file(file, limit, wanted))
    }
}

/// Reads every row.
pub(crate) fn read_all<T>(rows: Vec<Row>, read: impl FnMut(Row) -> Result<T>) -> Result<Vec<T>> {
    rows.into_iter().map(read).collect()
}

/// Reads a history, and leaves out what its statement returned too many.
pub(crate) fn read_history(rows: Vec<Row>, key: Option<&KeyFilter>) -> Result<Vec<ConflictRecord>> {
    let mut records = read_all(rows, crate::sql::ledger::read_record)?;
    records.retain(|record| key.is_none_or(|key| key.matches(&record.key.0)));
    Ok(records)
}

/// There is no such entry.
pub(crate) fn gone(id: i64) -> Error {
    Error::configuration(format!(
        "there is no conflict {id} in the queue of this sink: `syncline conflicts list --all` shows the ids"
    ))
}

/// Somebody was faster.
pub(crate) fn already(id: i64) -> Error {
    Error::configuration(format!(
        "the conflict {id} is not open any more: `syncline conflicts show {id}` says who resolved it"
    ))
}

/// The entry as a resolution leaves it.
pub(crate) fn closed(entry: &QueueEntry, resolution: &Resolution) -> QueueEntry {
    QueueEntry {
        state: match resolution.take {
            Take::Skip => QueueState::Skipped,
            _ => QueueState::Resolved,
        },
        taken: Some(resolution.taken()),
        resolved_by: Some(resolution.by.clone()),
        resolved_at_ms: Some(resolution.at_ms),
        waiting: 0,
        ..entry.clone()
    }
}
