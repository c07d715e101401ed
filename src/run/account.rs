//! The account of one sink of one pipeline: every change is counted in exactly one place (R17).
//!
//! `in = written + superseded + filtered + kept + waiting + quarantined + in flight`, at all times. A change
//! that comes again after a restart or a fence is first removed from the account, so it counts
//! once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use syncline_connectors::conflict::{ConflictCounts, ConflictType};
use syncline_connectors::sink::Outcome;

/// Counts of changes on the way to a sink, before the sink sees them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Changes that left the source.
    pub(crate) entered: u64,
    /// Dropped by a rule on purpose.
    pub(crate) filtered: u64,
    /// The part of `filtered` that comes from an ignored origin.
    pub(crate) ignored: u64,
    /// Superseded before the sink: a tombstone that follows its delete (R12).
    pub(crate) superseded: u64,
    /// Rejected by the decoder or an operator.
    pub(crate) quarantined: u64,
    /// Passed by a rule with `on_failure = "warn"`.
    pub(crate) warned: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.entered += other.entered;
        self.filtered += other.filtered;
        self.ignored += other.ignored;
        self.superseded += other.superseded;
        self.quarantined += other.quarantined;
        self.warned += other.warned;
    }
}

/// The account of one sink, shared by its lanes.
#[derive(Debug)]
pub struct Account {
    entered: AtomicU64,
    written: AtomicU64,
    superseded: AtomicU64,
    filtered: AtomicU64,
    ignored: AtomicU64,
    kept: AtomicU64,
    left_out: AtomicU64,
    queued: AtomicU64,
    /// Net: a change that an earlier run left waiting, or another process, is released here too.
    waiting: AtomicI64,
    quarantined: AtomicU64,
    in_flight: AtomicU64,
    warned: AtomicU64,
    replayed: AtomicU64,
    finished: Mutex<Finished>,
}

#[derive(Debug)]
struct Finished {
    conflicts: ConflictCounts,
    latency_us: Histogram<u64>,
}

/// The account at one moment, for the summary, `--json` and metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Balance {
    /// Changes that entered.
    #[serde(rename = "in")]
    pub entered: u64,
    /// Applied to the target.
    pub written: u64,
    /// Folded into a later change of the same key.
    pub superseded: u64,
    /// Dropped by a rule on purpose.
    pub filtered: u64,
    /// Filtered because of an ignored origin; a part of `filtered`.
    pub ignored: u64,
    /// Not written because the strategy kept the target's row.
    pub kept: u64,
    /// Values of columns that the target does not have, left out by `evolution = "ignore"`; not a part
    /// of `in`.
    pub left_out: u64,
    /// Waiting for a person's decision; a part of `kept`.
    pub queued: u64,
    /// Waiting in the target for a row that a foreign key needs (R21).
    pub waiting: u64,
    /// Written to the quarantine.
    pub quarantined: u64,
    /// Not finished.
    pub in_flight: u64,
    /// Passed with a warning; also counted in one of the others.
    pub warned: u64,
    /// Skipped because a restart or a fence delivered them again; not a part of `in`.
    pub replayed: u64,
    /// Conflicts by type, with any winner.
    pub conflicts: Vec<(&'static str, u64)>,
    /// Median time from fetch to commit, in microseconds.
    pub latency_p50_us: u64,
    /// 99th percentile of the time from fetch to commit, in microseconds.
    pub latency_p99_us: u64,
}

impl Balance {
    /// Whether the sum of R17 holds.
    pub fn adds_up(&self) -> bool {
        self.entered
            == self.written
                + self.superseded
                + self.filtered
                + self.kept
                + self.waiting
                + self.quarantined
                + self.in_flight
    }
}

impl Default for Account {
    fn default() -> Self {
        let latency_us = Histogram::new(3).expect("three significant digits are within bounds");
        Self {
            entered: AtomicU64::default(),
            written: AtomicU64::default(),
            superseded: AtomicU64::default(),
            filtered: AtomicU64::default(),
            ignored: AtomicU64::default(),
            kept: AtomicU64::default(),
            left_out: AtomicU64::default(),
            queued: AtomicU64::default(),
            waiting: AtomicI64::default(),
            quarantined: AtomicU64::default(),
            in_flight: AtomicU64::default(),
            warned: AtomicU64::default(),
            replayed: AtomicU64::default(),
            finished: Mutex::new(Finished {
                conflicts: ConflictCounts::default(),
                latency_us,
            }),
        }
    }
}

impl Account {
    /// Adds changes that are on their way to the sink.
    pub(crate) fn enter(&self, tally: &Tally) {
        self.in_flight.fetch_add(tally.entered, Relaxed);
        self.entered.fetch_add(tally.entered, Relaxed);
    }

    /// Removes changes that the source will deliver again.
    pub(crate) fn give_back(&self, tally: &Tally) {
        self.entered.fetch_sub(tally.entered, Relaxed);
        self.in_flight.fetch_sub(tally.entered, Relaxed);
    }

    /// Removes changes that the target already holds, and counts them as replayed.
    pub(crate) fn replay(&self, count: u64) {
        self.entered.fetch_sub(count, Relaxed);
        self.in_flight.fetch_sub(count, Relaxed);
        self.replayed.fetch_add(count, Relaxed);
    }

    /// Records a durable delivery, `latency` after its fetch. `refused` is the number of changes
    /// that the sink rejected and that are in quarantine.
    pub(crate) fn finish(&self, tally: &Tally, outcome: &Outcome, refused: u64, latency: Duration) {
        let quarantined = tally.quarantined + refused;
        let superseded = tally.superseded + outcome.superseded;
        let counted = outcome.written + superseded + tally.filtered + outcome.kept + quarantined;
        // What was released had left before.
        let done = (counted + outcome.waiting).saturating_sub(outcome.released);
        self.written.fetch_add(outcome.written, Relaxed);
        self.superseded.fetch_add(superseded, Relaxed);
        self.filtered.fetch_add(tally.filtered, Relaxed);
        self.ignored.fetch_add(tally.ignored, Relaxed);
        self.kept.fetch_add(outcome.kept, Relaxed);
        self.left_out.fetch_add(outcome.left_out, Relaxed);
        self.queued.fetch_add(outcome.queued, Relaxed);
        let waiting = outcome.waiting as i64 - outcome.released as i64;
        self.waiting.fetch_add(waiting, Relaxed);
        self.quarantined.fetch_add(quarantined, Relaxed);
        self.warned.fetch_add(tally.warned, Relaxed);
        self.in_flight.fetch_sub(done, Relaxed);
        let mut finished = self.finished.lock().expect("no holder of this lock panics");
        finished.conflicts += &outcome.conflicts;
        let micros = u64::try_from(latency.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        // The histogram resizes itself and fails only for a value of more than 64 bits, which
        // cannot occur.
        let _ = finished.latency_us.record_n(micros, done);
    }

    /// Records changes that waited in vain and are in the quarantine now.
    pub(crate) fn expire(&self, count: u64) {
        self.waiting.fetch_sub(count as i64, Relaxed);
        self.quarantined.fetch_add(count, Relaxed);
    }

    /// The current account.
    pub fn balance(&self) -> Balance {
        let finished = self.finished.lock().expect("no holder of this lock panics");
        let waiting = self.waiting.load(Relaxed);
        Balance {
            // What an earlier run or another process left waiting enters when it is released here.
            entered: self.entered.load(Relaxed) + waiting.min(0).unsigned_abs(),
            waiting: waiting.max(0) as u64,
            written: self.written.load(Relaxed),
            superseded: self.superseded.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
            ignored: self.ignored.load(Relaxed),
            kept: self.kept.load(Relaxed),
            left_out: self.left_out.load(Relaxed),
            queued: self.queued.load(Relaxed),
            quarantined: self.quarantined.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            warned: self.warned.load(Relaxed),
            replayed: self.replayed.load(Relaxed),
            conflicts: ConflictType::ALL
                .iter()
                .map(|&kind| (kind.name(), finished.conflicts.get(kind)))
                .collect(),
            latency_p50_us: finished.latency_us.value_at_quantile(0.5),
            latency_p99_us: finished.latency_us.value_at_quantile(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r17_adds_up_at_every_step() {
        let account = Account::default();
        let tally = Tally {
            entered: 10,
            filtered: 2,
            ignored: 1,
            superseded: 1,
            quarantined: 1,
            warned: 0,
        };
        account.enter(&tally);
        assert!(account.balance().adds_up());
        let outcome = Outcome {
            written: 3,
            superseded: 1,
            kept: 1,
            ..Outcome::default()
        };
        account.finish(&tally, &outcome, 1, Duration::from_millis(5));
        let balance = account.balance();
        assert!(balance.adds_up(), "{balance:?}");
        assert_eq!(
            (balance.in_flight, balance.quarantined, balance.superseded),
            (0, 2, 2)
        );
        assert!(balance.latency_p50_us >= 4_900);
    }

    #[test]
    fn r17_what_is_given_back_never_entered() {
        let account = Account::default();
        let tally = Tally {
            entered: 4,
            ..Tally::default()
        };
        account.enter(&tally);
        account.give_back(&tally);
        account.enter(&tally);
        account.replay(4);
        let balance = account.balance();
        assert_eq!(
            (balance.entered, balance.in_flight, balance.replayed),
            (0, 0, 4)
        );
    }
}
