//! The account of one sink of one pipeline: every change is counted in exactly one place (R17).
//!
//! `in = written + superseded + filtered + kept + waiting + quarantined + in flight`, at all times. A change
//! that comes again after a restart or a fence is first removed from the account, so it counts
//! once.
//!
//! A run that did not end in time leaves tasks behind. Its account is closed then: what it finished goes on in
//! the account of the next run, so that counts never fall, and whatever these tasks still do counts nowhere.
//! The next run finds it in the target and counts it as replayed.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use syncline_connectors::conflict::{ConflictCounts, ConflictType};
use syncline_connectors::sink::Outcome;

use super::measures::durations;

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

/// The account of one sink, shared by its lanes. One lock holds all of it, so that it adds up whenever it
/// is read.
#[derive(Debug)]
pub struct Account {
    counts: Mutex<Counts>,
    /// How long deliveries took from their fetch to the commit.
    pub delivery: prometheus_client::metrics::histogram::Histogram,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
            delivery: durations(),
        }
    }
}

#[derive(Debug, Clone)]
struct Counts {
    /// Another account goes on with these counts.
    is_closed: bool,
    entered: u64,
    written: u64,
    superseded: u64,
    filtered: u64,
    ignored: u64,
    kept: u64,
    left_out: u64,
    queued: u64,
    /// Net: a change that an earlier run left waiting, or another process, is released here too.
    waiting: i64,
    quarantined: u64,
    in_flight: u64,
    warned: u64,
    replayed: u64,
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

impl Default for Counts {
    fn default() -> Self {
        Self {
            is_closed: false,
            entered: 0,
            written: 0,
            superseded: 0,
            filtered: 0,
            ignored: 0,
            kept: 0,
            left_out: 0,
            queued: 0,
            waiting: 0,
            quarantined: 0,
            in_flight: 0,
            warned: 0,
            replayed: 0,
            conflicts: ConflictCounts::default(),
            latency_us: Histogram::new(3).expect("three significant digits are within bounds"),
        }
    }
}

impl Account {
    /// Adds changes that are on their way to the sink.
    pub(crate) fn enter(&self, tally: &Tally) {
        let mut counts = self.counts();
        if counts.is_closed {
            return;
        }
        counts.in_flight += tally.entered;
        counts.entered += tally.entered;
    }

    /// Removes changes that the source will deliver again.
    pub(crate) fn give_back(&self, tally: &Tally) {
        let mut counts = self.counts();
        if counts.is_closed {
            return;
        }
        counts.entered -= tally.entered;
        counts.in_flight -= tally.entered;
    }

    /// Removes changes that the target already holds, and counts them as replayed.
    pub(crate) fn replay(&self, count: u64) {
        let mut counts = self.counts();
        if counts.is_closed {
            return;
        }
        counts.entered -= count;
        counts.in_flight -= count;
        counts.replayed += count;
    }

    /// Records a durable delivery, `latency` after its fetch. `refused` is the number of changes
    /// that the sink rejected and that are in quarantine.
    pub(crate) fn finish(&self, tally: &Tally, outcome: &Outcome, refused: u64, latency: Duration) {
        let mut counts = self.counts();
        if counts.is_closed {
            return;
        }
        self.delivery.observe(latency.as_secs_f64());
        let quarantined = tally.quarantined + refused;
        let superseded = tally.superseded + outcome.superseded;
        let counted = outcome.written + superseded + tally.filtered + outcome.kept + quarantined;
        // What was released had left before.
        let done = (counted + outcome.waiting).saturating_sub(outcome.released);
        counts.written += outcome.written;
        counts.superseded += superseded;
        counts.filtered += tally.filtered;
        counts.ignored += tally.ignored;
        counts.kept += outcome.kept;
        counts.left_out += outcome.left_out;
        counts.queued += outcome.queued;
        let waiting = outcome.waiting as i64 - outcome.released as i64;
        counts.waiting += waiting;
        counts.quarantined += quarantined;
        counts.warned += tally.warned;
        counts.in_flight -= done;
        counts.conflicts += &outcome.conflicts;
        let micros = u64::try_from(latency.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        // The histogram resizes itself and fails only for a value of more than 64 bits, which
        // cannot occur.
        let _ = counts.latency_us.record_n(micros, done);
    }

    /// Records changes that waited in vain and are in the quarantine now.
    pub(crate) fn expire(&self, count: u64) {
        let mut counts = self.counts();
        if counts.is_closed {
            return;
        }
        counts.waiting -= count as i64;
        counts.quarantined += count;
    }

    /// The current account.
    pub fn balance(&self) -> Balance {
        let counts = self.counts();
        let waiting = counts.waiting;
        Balance {
            // What an earlier run or another process left waiting enters when it is released here.
            entered: counts.entered + waiting.min(0).unsigned_abs(),
            waiting: waiting.max(0) as u64,
            written: counts.written,
            superseded: counts.superseded,
            filtered: counts.filtered,
            ignored: counts.ignored,
            kept: counts.kept,
            left_out: counts.left_out,
            queued: counts.queued,
            quarantined: counts.quarantined,
            in_flight: counts.in_flight,
            warned: counts.warned,
            replayed: counts.replayed,
            conflicts: ConflictType::ALL
                .iter()
                .map(|&kind| (kind.name(), counts.conflicts.get(kind)))
                .collect(),
            latency_p50_us: counts.latency_us.value_at_quantile(0.5),
            latency_p99_us: counts.latency_us.value_at_quantile(0.99),
        }
    }

    /// How many changes are finished.
    pub(crate) fn finished(&self) -> u64 {
        let counts = self.counts();
        counts.entered.saturating_sub(counts.in_flight)
    }

    /// Removes everything that is in flight: a run has failed, and the next one gets it again.
    pub(crate) fn give_all_back(&self) {
        let mut counts = self.counts();
        counts.entered = counts.entered.saturating_sub(counts.in_flight);
        counts.in_flight = 0;
    }

    /// Closes this account and opens the next one with what is finished. What is in flight comes again.
    pub(crate) fn succeed(&self) -> Self {
        let mut counts = self.counts();
        counts.entered = counts.entered.saturating_sub(counts.in_flight);
        counts.in_flight = 0;
        let next = Self {
            counts: Mutex::new(counts.clone()),
            delivery: self.delivery.clone(),
        };
        counts.is_closed = true;
        next
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no holder of this lock panics")
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
    fn r17_a_failed_run_leaves_nothing_in_flight() {
        let account = Account::default();
        let tally = Tally {
            entered: 4,
            ..Tally::default()
        };
        account.enter(&tally);
        let outcome = Outcome {
            written: 1,
            ..Outcome::default()
        };
        account.finish(&Tally::default(), &outcome, 0, Duration::ZERO);
        account.give_all_back();
        let balance = account.balance();
        assert!(balance.adds_up(), "{balance:?}");
        assert_eq!((balance.entered, balance.in_flight), (1, 0));
    }

    #[test]
    fn r17_counts_go_on_after_a_run_that_did_not_end_in_time() {
        let account = Account::default();
        let two = Tally {
            entered: 2,
            ..Tally::default()
        };
        let both = Outcome {
            written: 2,
            ..Outcome::default()
        };
        account.enter(&two);
        account.finish(&two, &both, 0, Duration::ZERO);
        account.enter(&two);
        let next = account.succeed();
        // A task of the run before ends late, and what it wrote is found in the target.
        account.finish(&two, &both, 0, Duration::ZERO);
        next.enter(&two);
        next.replay(2);
        for balance in [account.balance(), next.balance()] {
            assert!(balance.adds_up(), "{balance:?}");
            assert_eq!((balance.written, balance.in_flight), (2, 0));
        }
        assert_eq!(next.balance().replayed, 2);
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
