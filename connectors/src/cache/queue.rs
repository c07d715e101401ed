//! Entries in the order in which they were set: the oldest goes first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::LinkedHashMap;

use super::Key;
use super::stats::Counters;
use super::stored::{Stored, Weight};

/// See the module docs.
pub(super) struct Queue {
    capacity: u64,
    weight: Weight,
    counters: Arc<Counters>,
    held: Mutex<Held>,
}

struct Held {
    entries: LinkedHashMap<Key, Stored, foldhash::fast::RandomState>,
    weight: u64,
}

impl Queue {
    pub(super) fn new(capacity: u64, weight: Weight, counters: Arc<Counters>) -> Self {
        let entries = LinkedHashMap::with_hasher(foldhash::fast::RandomState::default());
        Self {
            capacity,
            weight,
            counters,
            held: Mutex::new(Held { entries, weight: 0 }),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Stored> {
        self.held().entries.get(key).cloned()
    }

    /// Sets a value as the newest. One that is larger than all may be is not kept.
    pub(super) fn insert(&self, key: Key, stored: Stored) {
        let weight = self.weight.of(&key, &stored);
        let mut held = self.held();
        self.take(&mut held, &key);
        if weight > self.capacity {
            self.counters.evicted();
            return;
        }
        while held.weight + weight > self.capacity {
            let Some((key, oldest)) = held.entries.pop_front() else {
                break;
            };
            held.weight -= self.weight.of(&key, &oldest);
            self.counters.evicted();
        }
        held.weight += weight;
        held.entries.insert(key, stored);
    }

    /// Removes the entry of a key if `wanted` says so, and says whether it did.
    pub(super) fn remove_if(&self, key: &[u8], wanted: impl FnOnce(&Stored) -> bool) -> bool {
        let mut held = self.held();
        let is_wanted = held.entries.get(key).is_some_and(wanted);
        if is_wanted {
            self.take(&mut held, key);
        }
        is_wanted
    }

    pub(super) fn clear(&self) {
        let mut held = self.held();
        held.entries.clear();
        held.weight = 0;
    }

    /// Keeps the entries that `wanted` says.
    pub(super) fn retain(&self, wanted: impl Fn(&Stored) -> bool) {
        let mut held = self.held();
        let mut gone = 0;
        held.entries.retain(|key, stored| {
            let stays = wanted(stored);
            if !stays {
                gone += self.weight.of(key, stored);
            }
            stays
        });
        held.weight -= gone;
    }

    /// Shows each entry.
    pub(super) fn each(&self, mut see: impl FnMut(&Key, &Stored)) {
        for (key, stored) in &self.held().entries {
            see(key, stored);
        }
    }

    fn take(&self, held: &mut Held, key: &[u8]) {
        if let Some((key, stored)) = held.entries.remove_entry(key) {
            held.weight -= self.weight.of(&key, &stored);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing between two changes of what is held panics.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
