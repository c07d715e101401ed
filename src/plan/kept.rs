//! What a plan takes over from the runs before it.

use std::sync::Arc;

use super::Plan;
use crate::lookup::Lookups;
use crate::operator::Memory;

impl Plan {
    /// Looks up in the tables and caches of another plan of the same file; the caches begin empty.
    pub(crate) fn look_up_in(&mut self, lookups: &Arc<Lookups>) {
        lookups.clear();
        self.lookups = lookups.clone();
        for source in &mut self.sources {
            source.lookups = lookups.clone();
        }
    }

    /// Operators keep what they remember where whoever watches looks; they begin with nothing.
    pub(crate) fn remember_in(&mut self, memories: &[(String, Memory)]) {
        let steps = self.sources.iter_mut().flat_map(|source| &mut source.steps);
        for (step, (_, memory)) in steps.zip(memories) {
            memory.forget();
            step.memory = memory.clone();
        }
    }
}
