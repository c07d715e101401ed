//! What a cache holds in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::queue::Queue;
use super::stats::Counters;
use super::stored::{Stored, Weight, size};
use super::{ENTRIES, Key, Options, Policy};

/// About how large an entry is, where only bytes are bounded.
const GUESSED_BYTES: u64 = 256;

impl Weighter<Key, Stored> for Weight {
    fn weight(&self, key: &Key, stored: &Stored) -> u64 {
        self.of(key, stored)
    }
}

/// Counts what goes to make room.
#[derive(Debug, Clone)]
struct Evictions(Arc<Counters>);

impl Lifecycle<Key, Stored> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Key, _: Stored) {
        self.0.evicted();
    }
}

type Clock = sync::Cache<Key, Stored, Weight, foldhash::fast::RandomState, Evictions>;

/// The entries in an order of eviction.
enum Entries {
    /// Those that were not asked for lately go first.
    Clock(Clock),
    /// The oldest goes first.
    Queue(Queue),
}

/// See the module docs.
pub(super) struct Memory {
    entries: Entries,
    counters: Arc<Counters>,
    began: Instant,
    /// When expired entries are swept next, in milliseconds since `began`; 0 before there are any.
    sweep_ms: AtomicU64,
}

impl Memory {
    pub(super) fn new(options: &Options, counters: Arc<Counters>, now: Instant) -> Self {
        let entries_max = match (options.entries, options.bytes) {
            (None, None) => Some(ENTRIES),
            (entries, _) => entries.map(|entries| entries.max(1)),
        };
        let weight = Weight {
            by_bytes: options.bytes.is_some(),
            share: match (entries_max, options.bytes) {
                (Some(entries), Some(bytes)) => bytes.div_ceil(entries),
                _ => 0,
            },
        };
        let capacity = options.bytes.or(entries_max).unwrap_or(ENTRIES);
        let guessed = entries_max.unwrap_or(capacity / GUESSED_BYTES);
        let entries = match options.policy {
            Policy::Fifo | Policy::Ttl => {
                Entries::Queue(Queue::new(capacity, weight, counters.clone()))
            }
            Policy::Lru => {
                let mut builder = OptionsBuilder::new();
                builder
                    .estimated_items_capacity(usize::try_from(guessed).unwrap_or(usize::MAX))
                    .weight_capacity(capacity);
                let built = builder.build().expect("both capacities are set");
                let hasher = foldhash::fast::RandomState::default();
                let evictions = Evictions(counters.clone());
                Entries::Clock(Clock::with_options(built, weight, hasher, evictions))
            }
        };
        Self {
            entries,
            counters,
            began: now,
            sweep_ms: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Stored> {
        match &self.entries {
            Entries::Clock(entries) => entries.get(key),
            Entries::Queue(entries) => entries.get(key),
        }
    }

    /// As [`Memory::get`], without keeping the entry.
    pub(super) fn peek(&self, key: &[u8]) -> Option<Stored> {
        match &self.entries {
            Entries::Clock(entries) => entries.peek(key),
            Entries::Queue(entries) => entries.get(key),
        }
    }

    /// Sets a value. An entry that is set again is the newest.
    pub(super) fn set(&self, key: Key, stored: Stored) {
        match &self.entries {
            Entries::Clock(entries) => entries.insert(key, stored),
            Entries::Queue(entries) => entries.insert(key, stored),
        }
    }

    pub(super) fn remove(&self, key: &[u8]) {
        self.remove_if(key, |_| true);
    }

    /// Forgets an entry if its time is over.
    pub(super) fn expire(&self, key: &[u8], now: Instant) {
        if self.remove_if(key, |stored| stored.is_over(now)) {
            self.counters.expired(1);
        }
    }

    pub(super) fn clear(&self) {
        match &self.entries {
            Entries::Clock(entries) => entries.clear(),
            Entries::Queue(entries) => entries.clear(),
        }
    }

    /// Forgets all entries whose time is over, once in a time to live.
    pub(super) fn sweep(&self, now: Instant, ttl: Option<Duration>) {
        let Some(ttl) = ttl else { return };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now_ms = millis(now.saturating_duration_since(self.began));
        let due = self.sweep_ms.load(Ordering::Relaxed);
        if due != 0 && now_ms < due {
            return;
        }
        let next = now_ms.saturating_add(millis(ttl).max(1));
        let relaxed = Ordering::Relaxed;
        let is_mine = self.sweep_ms.compare_exchange(due, next, relaxed, relaxed);
        if due == 0 || is_mine.is_err() {
            return;
        }
        let over = AtomicU64::new(0);
        let stays = |stored: &Stored| {
            let is_over = stored.is_over(now);
            over.fetch_add(u64::from(is_over), relaxed);
            !is_over
        };
        match &self.entries {
            Entries::Clock(entries) => entries.retain(|_, stored| stays(stored)),
            Entries::Queue(entries) => entries.retain(stays),
        }
        self.counters.expired(over.load(relaxed));
    }

    /// How many entries there are, and about how many bytes they have.
    pub(super) fn held(&self) -> (u64, u64) {
        let (mut count, mut bytes) = (0, 0);
        let mut see = |key: &Key, stored: &Stored| {
            count += 1;
            bytes += size(key, stored);
        };
        match &self.entries {
            Entries::Clock(entries) => {
                for (key, stored) in entries.iter() {
                    see(&key, &stored);
                }
            }
            Entries::Queue(entries) => entries.each(see),
        }
        (count, bytes)
    }

    fn remove_if(&self, key: &[u8], wanted: impl FnOnce(&Stored) -> bool) -> bool {
        match &self.entries {
            Entries::Clock(entries) => entries.remove_if(key, wanted).is_some(),
            Entries::Queue(entries) => entries.remove_if(key, wanted),
        }
    }
}
