//! What a reader is told when it is opened.

use super::{Start, Topics};
use crate::record::Partition;

/// What a reader is told when it is opened.
pub(super) struct Task {
    pub(super) brokers: String,
    pub(super) topics: Topics,
    pub(super) group: String,
    pub(super) start: Start,
    /// `--once`: the partitions of this lane with their end offsets, no group protocol.
    pub(super) once: Option<Vec<(Partition, i64)>>,
}

impl Task {
    /// Where `--once` stops.
    pub(super) fn end(&self, partition: &Partition) -> Option<i64> {
        let once = self.once.as_deref()?;
        let found = once.iter().find(|(known, _)| known == partition)?;
        Some(found.1)
    }
}
