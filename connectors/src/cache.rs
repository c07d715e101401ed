//! A cache of bytes by key: bounded in entries and bytes, with a time to live, shared by all lanes.
//!
//! **Guarantees.** A value is never given after its time to live. What is held never exceeds the bounds: to
//! make room, entries go by the policy. A key that is set again has its new value and a new time to live.
//! [`Cache::load`] asks for what is missing once, however many lanes want it at the same time. A cache holds
//! copies: what it forgets is asked for again, and nothing is lost.
//!
//! - [`Policy::Lru`]: entries that were not asked for lately go first. The order is that of a clock with a
//!   hot and a cold part (Clock-PRO), so that one pass over many keys does not push out those in use.
//! - [`Policy::Fifo`]: the oldest entry goes first, whoever asks for it.
//! - [`Policy::Ttl`]: as `Fifo`, which is the order in which entries expire.
//!
//! With `Lru` the bounds hold for each of a few parts, among which keys are spread evenly; a part may make room
//! while another has some.

mod compression;
mod memory;
mod queue;
mod stats;
mod stored;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::compression::Compression;
use self::memory::Memory;
pub use self::stats::CacheStats;
use self::stats::Counters;
use self::stored::Stored;

/// How many entries a cache holds where nothing says it.
pub const ENTRIES: u64 = 100_000;

/// A key.
pub type Key = Box<[u8]>;

/// Which entry goes where there is no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// One that was not asked for lately.
    #[default]
    Lru,
    /// The oldest.
    Fifo,
    /// The one that expires first; needs `ttl`.
    Ttl,
}

/// The settings of a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Which entry goes where there is no room.
    pub policy: Policy,
    /// How many entries it holds. Default: [`ENTRIES`], and no bound where `bytes` is one.
    pub entries: Option<u64>,
    /// How many bytes keys and values have, as they are kept, with what an entry costs.
    pub bytes: Option<u64>,
    /// How long a value is given.
    pub ttl: Option<Duration>,
    /// How values are kept.
    pub compression: Option<Compression>,
}

/// Tells the time; tests have a clock of their own.
pub type Now = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A value that is no number, so that nothing can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not a whole number of 64 bits, or would become one that is too large")]
pub struct NotANumber;

/// See the module docs.
pub struct Cache {
    options: Options,
    memory: Memory,
    counters: Arc<Counters>,
    now: Now,
    /// One load at a time, so that two lanes never ask for the same key.
    flight: tokio::sync::Mutex<()>,
    /// A value is read and written by one of those who count with it.
    counting: std::sync::Mutex<()>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// An empty cache.
    pub fn new(options: Options) -> Self {
        Self::with_clock(options, Arc::new(Instant::now))
    }

    /// The same with a clock of its own.
    pub fn with_clock(options: Options, now: Now) -> Self {
        let counters = Arc::new(Counters::default());
        Self {
            memory: Memory::new(&options, counters.clone(), now()),
            options,
            counters,
            now,
            flight: tokio::sync::Mutex::default(),
            counting: std::sync::Mutex::default(),
        }
    }

    /// The value of a key. Counts as a hit or a miss.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        let found = self.fresh(key);
        self.counters.asked(found.is_some());
        found.map(|stored| stored.value())
    }

    /// Sets the value of a key, for the time to live of the cache.
    pub fn set(&self, key: Key, value: Bytes) {
        self.set_for(key, value, self.options.ttl);
    }

    /// Sets the value of a key for a time; `None` for as long as there is room.
    pub fn set_for(&self, key: Key, value: Bytes, ttl: Option<Duration>) {
        let now = (ttl.is_some() || self.options.ttl.is_some()).then(|| (self.now)());
        let expires = ttl.zip(now).and_then(|(ttl, now)| now.checked_add(ttl));
        let stored = Stored::new(value, self.options.compression, expires);
        self.memory.set(key, stored);
        if let Some(now) = now {
            self.memory.sweep(now, self.options.ttl);
        }
    }

    /// Forgets a key, and says whether it had a value.
    pub fn delete(&self, key: &[u8]) -> bool {
        let had = self.fresh(key).is_some();
        self.memory.remove(key);
        had
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.memory.clear();
    }

    /// Whether a key has a value. Counts as nothing, and does not keep the entry.
    pub fn exists(&self, key: &[u8]) -> bool {
        let found = self.memory.peek(key);
        found.is_some_and(|stored| !self.is_over(&stored))
    }

    /// How long the value of a key is given: `None` where there is none, `Some(None)` where no time ends it.
    pub fn ttl(&self, key: &[u8]) -> Option<Option<Duration>> {
        let stored = self.memory.peek(key)?;
        match stored.expires {
            None => Some(None),
            Some(at) => {
                let left = at.checked_duration_since((self.now)())?;
                (!left.is_zero()).then_some(Some(left))
            }
        }
    }

    /// Adds to a number in decimal digits, and gives the sum. A key without a value is 0; one with a value
    /// keeps its time to live.
    ///
    /// # Errors
    /// Where the value is no number, or the sum does not fit.
    pub fn increment(&self, key: &[u8], by: i64) -> Result<i64, NotANumber> {
        let counting = self
            .counting
            .lock()
            .unwrap_or_else(|held| held.into_inner());
        let found = self.memory.peek(key).filter(|stored| !self.is_over(stored));
        let (was, expires) = match &found {
            None => {
                let ttl = self.options.ttl;
                let expires = ttl.and_then(|ttl| (self.now)().checked_add(ttl));
                (0, expires)
            }
            Some(stored) => {
                let value = stored.value();
                let text = std::str::from_utf8(&value).ok();
                let number = text.and_then(|text| text.parse::<i64>().ok());
                (number.ok_or(NotANumber)?, stored.expires)
            }
        };
        let sum = was.checked_add(by).ok_or(NotANumber)?;
        let value = Bytes::from(sum.to_string());
        let stored = Stored::new(value, self.options.compression, expires);
        self.memory.set(key.into(), stored);
        drop(counting);
        Ok(sum)
    }

    /// Takes from a number; see [`Cache::increment`].
    ///
    /// # Errors
    /// As [`Cache::increment`].
    pub fn decrement(&self, key: &[u8], by: i64) -> Result<i64, NotANumber> {
        self.increment(key, by.checked_neg().ok_or(NotANumber)?)
    }

    /// The values of different keys: those that are held, and of the others what `ask` says, in its order.
    /// While one asks, others wait and then find what it brought. `ask` gets the places in `keys` that are
    /// missing, and is not called where none is.
    ///
    /// # Errors
    /// What `ask` fails with; nothing is kept then.
    pub async fn load<E, F>(
        &self,
        keys: &[Key],
        ask: impl FnOnce(Vec<usize>) -> F,
    ) -> Result<Vec<Bytes>, E>
    where
        F: Future<Output = Result<Vec<Bytes>, E>>,
    {
        let mut found: Vec<Option<Bytes>> = keys.iter().map(|key| self.get(key)).collect();
        if found.iter().any(Option::is_none) {
            let _alone = self.flight.lock().await;
            for (place, key) in found.iter_mut().zip(keys) {
                if place.is_none() {
                    *place = self.fresh(key).map(|stored| stored.value());
                }
            }
            let places = 0..keys.len();
            let missing: Vec<usize> = places.filter(|&place| found[place].is_none()).collect();
            if !missing.is_empty() {
                let began = Instant::now();
                let values = ask(missing.clone()).await?;
                self.counters.loaded(missing.len(), began.elapsed());
                for (place, value) in missing.into_iter().zip(values) {
                    self.set(keys[place].clone(), value.clone());
                    found[place] = Some(value);
                }
            }
        }
        // `ask` says something of each key that it was given.
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// What it did, and what it holds.
    pub fn stats(&self) -> CacheStats {
        let (entries, bytes) = self.memory.held();
        self.counters.stats(entries, bytes)
    }

    fn fresh(&self, key: &[u8]) -> Option<Stored> {
        let stored = self.memory.get(key)?;
        if self.is_over(&stored) {
            self.memory.expire(key, (self.now)());
            return None;
        }
        Some(stored)
    }

    fn is_over(&self, stored: &Stored) -> bool {
        stored.expires.is_some_and(|at| at <= (self.now)())
    }
}

#[cfg(test)]
mod tests;
