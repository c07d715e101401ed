//! What an operator is given beside its settings.

use super::memory::Memory;
use crate::function::Clock;
use crate::lookup::Slot;

/// What an operator is given beside its settings.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time of `now()`.
    pub clock: Clock,
    /// What it remembers from batch to batch.
    pub memory: Memory,
    /// Where it finds what was looked up for it, one for each of its questions; none where nothing is known of
    /// the tables.
    pub slots: Vec<Slot>,
}

impl Default for Context {
    /// The system's time, and an empty memory.
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            memory: Memory::default(),
            slots: Vec::new(),
        }
    }
}
