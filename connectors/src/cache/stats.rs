//! What a cache counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// What a cache did since it began, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// Keys that were asked for and had a value.
    pub hits: u64,
    /// Keys that were asked for and had none.
    pub misses: u64,
    /// Entries that went to make room.
    pub evictions: u64,
    /// Entries that went because their time was over.
    pub expired: u64,
    /// How often something was asked for that was missing: one request may bring many keys.
    pub loads: u64,
    /// How many keys these requests were about.
    pub loaded: u64,
    /// How long all these requests took, in microseconds.
    pub load_us: u64,
    /// Entries that are held.
    pub entries: u64,
    /// About how many bytes they have.
    pub bytes: u64,
}

impl CacheStats {
    /// The part of keys that had a value, from 0 to 1; `None` where none was asked for.
    pub fn hit_rate(&self) -> Option<f64> {
        let asked = self.hits + self.misses;
        (asked > 0).then(|| self.hits as f64 / asked as f64)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
    expired: AtomicU64,
    loads: AtomicU64,
    loaded: AtomicU64,
    load_us: AtomicU64,
}

impl Counters {
    pub(super) fn asked(&self, found: bool) {
        let counter = match found {
            true => &self.hits,
            false => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn evicted(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn expired(&self, entries: u64) {
        self.expired.fetch_add(entries, Ordering::Relaxed);
    }

    pub(super) fn loaded(&self, keys: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.loaded.fetch_add(keys as u64, Ordering::Relaxed);
        self.load_us.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, entries: u64, bytes: u64) -> CacheStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            hits: of(&self.hits),
            misses: of(&self.misses),
            evictions: of(&self.evictions),
            expired: of(&self.expired),
            loads: of(&self.loads),
            loaded: of(&self.loaded),
            load_us: of(&self.load_us),
            entries,
            bytes,
        }
    }
}
