//! What a pipeline measures beside its accounts: how long each stage takes, how large writes are, how
//! often a write was tried again, where each partition stands and how many bytes are under way.
//!
//! One fetch costs three observations and one write costs three, each a lock that only a scrape shares.
//! Nothing is measured by record.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use syncline_connectors::layer::Breaker;
use syncline_connectors::record::{Partition, Positions};

/// The upper bounds of the buckets of a duration, in seconds.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];
/// The upper bounds of the buckets of the number of changes of a write.
const CHANGES: [f64; 10] = [
    1.0, 10.0, 100.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 50_000.0, 100_000.0,
];

/// A histogram of durations.
pub(crate) fn durations() -> Histogram {
    Histogram::new(SECONDS)
}

/// What is measured of one source; its lanes share it.
#[derive(Debug)]
pub struct SourceMeasures {
    /// How long the source took to hand over something.
    pub fetch: Histogram,
    /// How long a fetch took to become rows; nothing where rows come as rows.
    pub decode: Histogram,
    /// How long the operators took with a fetch.
    pub operators: Histogram,
    positions: Mutex<BTreeMap<Partition, i64>>,
    queued: Mutex<Vec<Weak<AtomicU64>>>,
}

/// What is measured of one sink; its writers share it.
#[derive(Debug)]
pub struct SinkMeasures {
    /// How long a write took, with its commit.
    pub write: Histogram,
    /// How many changes a write held.
    pub changes: Histogram,
    /// Shared with the runs before, so that it never falls.
    retries: Arc<AtomicU64>,
    breaker: Mutex<Option<Breaker>>,
}

/// What is measured of a pipeline: of each source and sink, by name.
#[derive(Debug)]
pub struct Measures {
    /// In the order of the plan.
    pub sources: Vec<(String, Arc<SourceMeasures>)>,
    /// In the order of the plan.
    pub sinks: Vec<(String, Arc<SinkMeasures>)>,
}

impl Measures {
    /// Of the sources and sinks of these names.
    pub(crate) fn new<'a>(
        sources: impl Iterator<Item = &'a str>,
        sinks: impl Iterator<Item = &'a str>,
    ) -> Self {
        Self {
            sources: sources
                .map(|name| (name.to_owned(), Arc::default()))
                .collect(),
            sinks: sinks
                .map(|name| (name.to_owned(), Arc::default()))
                .collect(),
        }
    }

    /// Goes on with what was measured before: a source or sink that keeps its name keeps its counters. Positions,
    /// bytes and the breaker are those of one run.
    pub(crate) fn go_on_from(&mut self, before: &Self) {
        for (name, source) in &mut self.sources {
            if let Some((_, known)) = before.sources.iter().find(|(known, _)| known == name) {
                *source = Arc::new(known.succeed());
            }
        }
        for (name, sink) in &mut self.sinks {
            if let Some((_, known)) = before.sinks.iter().find(|(known, _)| known == name) {
                *sink = Arc::new(known.succeed());
            }
        }
    }

    /// Those of the sink `name`.
    pub(crate) fn sink(&self, name: &str) -> Arc<SinkMeasures> {
        let found = self.sinks.iter().find(|(known, _)| known == name);
        found
            .map(|(_, sink)| sink.clone())
            .expect("the measures are made from the plan's sinks")
    }
}

impl Default for SourceMeasures {
    fn default() -> Self {
        Self {
            fetch: durations(),
            decode: durations(),
            operators: durations(),
            positions: Mutex::default(),
            queued: Mutex::default(),
        }
    }
}

impl SourceMeasures {
    fn succeed(&self) -> Self {
        Self {
            fetch: self.fetch.clone(),
            decode: self.decode.clone(),
            operators: self.operators.clone(),
            ..Self::default()
        }
    }

    /// A place for a lane to say how many bytes it has under way. It counts until it is dropped.
    pub(crate) fn lane(&self) -> Arc<AtomicU64> {
        let mine = Arc::new(AtomicU64::new(0));
        let mut queued = lock(&self.queued);
        queued.retain(|lane| lane.strong_count() > 0);
        queued.push(Arc::downgrade(&mine));
        mine
    }

    /// How many bytes are between fetch and commit.
    pub fn queued_bytes(&self) -> u64 {
        let lanes = lock(&self.queued);
        let of_each = lanes.iter().filter_map(Weak::upgrade);
        of_each.map(|lane| lane.load(Ordering::Relaxed)).sum()
    }

    /// Every sink has everything before these positions.
    pub(crate) fn reached(&self, positions: &Positions) {
        let mut known = lock(&self.positions);
        for (partition, position) in positions {
            known.insert(partition.clone(), *position);
        }
    }

    /// These partitions belong to another process now.
    pub(crate) fn leave<'a>(&self, partitions: impl Iterator<Item = &'a Partition>) {
        let mut known = lock(&self.positions);
        for partition in partitions {
            known.remove(partition);
        }
    }

    /// Where each partition stands: every sink has everything before it.
    pub fn positions(&self) -> Vec<(Partition, i64)> {
        let known = lock(&self.positions);
        known.iter().map(|(key, at)| (key.clone(), *at)).collect()
    }
}

impl Default for SinkMeasures {
    fn default() -> Self {
        Self {
            write: durations(),
            changes: Histogram::new(CHANGES),
            retries: Arc::default(),
            breaker: Mutex::default(),
        }
    }
}

impl SinkMeasures {
    fn succeed(&self) -> Self {
        Self {
            write: self.write.clone(),
            changes: self.changes.clone(),
            retries: self.retries.clone(),
            breaker: Mutex::default(),
        }
    }

    /// A write became durable.
    pub(crate) fn wrote(&self, changes: usize, took: Duration) {
        self.write.observe(took.as_secs_f64());
        self.changes.observe(changes as f64);
    }

    /// A call failed because the target did not answer; it is tried again.
    pub(crate) fn failed(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the target did not answer.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// The breaker of the present run.
    pub(crate) fn guarded_by(&self, breaker: &Breaker) {
        *lock(&self.breaker) = Some(breaker.clone());
    }

    /// Whether the breaker is open.
    pub fn is_open(&self) -> bool {
        lock(&self.breaker).as_ref().is_some_and(Breaker::is_open)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is complete before the lock is given back, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_as_long_as_their_lane_lives() {
        let source = SourceMeasures::default();
        let (one, other) = (source.lane(), source.lane());
        one.store(5, Ordering::Relaxed);
        other.store(7, Ordering::Relaxed);
        assert_eq!(source.queued_bytes(), 12);
        drop(one);
        assert_eq!(source.queued_bytes(), 7);
    }

    #[test]
    fn positions_are_those_of_the_partitions_that_are_ours() {
        let source = SourceMeasures::default();
        let partition = |number| Partition {
            topic: "t".into(),
            number,
        };
        source.reached(&Positions::from([(partition(0), 3), (partition(1), 4)]));
        source.reached(&Positions::from([(partition(0), 5)]));
        source.leave([partition(1)].iter());
        assert_eq!(source.positions(), [(partition(0), 5)]);
    }
}
