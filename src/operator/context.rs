//! What an operator is given beside its settings.

use super::memory::Memory;
use crate::function::Clock;

/// What an operator is given beside its settings.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time of `now()`.
    pub clock: Clock,
    /// What it remembers from batch to batch.
    pub memory: Memory,
}

impl Default for Context {
    /// The system's time, and an empty memory.
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            memory: Memory::default(),
        }
    }
}
