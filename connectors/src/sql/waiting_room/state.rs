//! What a session knows of the waiting room of its sink.

use std::collections::HashMap;
use std::sync::Arc;

use super::foreign_key::ForeignKey;
use crate::error::Result;
use crate::sql::WaitingConfig;
use crate::sql::target::Target;
use crate::sql::version::duration_us;

/// What a session knows of the waiting room of its sink.
pub(crate) struct WaitingRoom {
    pub(crate) timeout_ms: i64,
    pub(crate) changes_max: u64,
    /// How many changes wait, as far as this session knows; `None` after a transaction was taken back.
    pub(crate) count: Option<u64>,
    /// Where the next look at the heads begins, and when those without a known row are tried again.
    pub(crate) after: i64,
    pub(crate) unknown_at_ms: i64,
    pub(crate) unknown_from: usize,
    pub(crate) references: HashMap<Target, Arc<[ForeignKey]>>,
}

impl WaitingRoom {
    /// The waiting room of a sink, empty until it is counted.
    ///
    /// # Errors
    /// `Configuration` where the time is no duration.
    pub(crate) fn new(config: &WaitingConfig) -> Result<Self> {
        Ok(Self {
            timeout_ms: duration_us("waiting.timeout", &config.timeout)? / 1_000,
            changes_max: config.changes_max,
            count: None,
            after: 0,
            unknown_at_ms: 0,
            unknown_from: 0,
            references: HashMap::new(),
        })
    }

    /// Whether changes wait at all.
    pub(crate) fn is_on(&self) -> bool {
        self.timeout_ms > 0
    }

    /// Forgets what was true in a transaction that was taken back.
    pub(crate) fn forget(&mut self) {
        self.count = None;
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_on() || self.count == Some(0)
    }

    pub(crate) fn add(&mut self, entries: usize) {
        self.count = self.count.map(|count| count + entries as u64);
    }

    pub(crate) fn remove(&mut self, entries: usize) {
        self.count = self.count.map(|count| count.saturating_sub(entries as u64));
    }
}
