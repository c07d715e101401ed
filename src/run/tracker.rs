//! Tracks which fetches are finished: a position is acknowledged once its contiguous prefix is
//! finished (R18).
//!
//! A fetch is finished when every sink has finished it. Fetches can finish in any order; a position
//! is returned only when every earlier fetch of its partition is finished, too. A revoked partition
//! is forgotten: no position of it is returned, even if its fetches finish later.

use std::collections::{BTreeMap, VecDeque};

use syncline_connectors::record::{Partition, Positions, Span};

/// The fetches of a lane that are not finished.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    fetches: VecDeque<Fetch>,
    first: u64,
    acknowledged: BTreeMap<Partition, i64>,
}

#[derive(Debug)]
struct Fetch {
    spans: Vec<Span>,
    open: usize,
}

impl Tracker {
    /// Registers a fetch that `sinks` sinks must finish; returns its number.
    pub(crate) fn begin(&mut self, spans: Vec<Span>, sinks: usize) -> u64 {
        self.fetches.push_back(Fetch { spans, open: sinks });
        self.first + self.fetches.len() as u64 - 1
    }

    /// Records that one sink finished a fetch. Returns the positions that may be acknowledged.
    pub(crate) fn finish(&mut self, number: u64) -> Positions {
        let Some(index) = number.checked_sub(self.first) else {
            return Positions::new();
        };
        if let Some(fetch) = self.fetches.get_mut(index as usize) {
            fetch.open = fetch.open.saturating_sub(1);
        }
        let mut moved = Positions::new();
        while self.fetches.front().is_some_and(|fetch| fetch.open == 0) {
            let fetch = self.fetches.pop_front().expect("the front was just seen");
            self.first += 1;
            for span in fetch.spans {
                let before = self.acknowledged.insert(span.partition.clone(), span.next);
                assert!(
                    before.is_none_or(|before| before <= span.next),
                    "an acknowledged position never goes back"
                );
                moved.insert(span.partition, span.next);
            }
        }
        moved
    }

    /// Forgets revoked partitions: none of their positions is acknowledged any more.
    pub(crate) fn revoke(&mut self, partitions: &[Partition]) {
        for fetch in &mut self.fetches {
            fetch
                .spans
                .retain(|span| !partitions.contains(&span.partition));
        }
        self.acknowledged
            .retain(|partition, _| !partitions.contains(partition));
    }

    /// Forgets everything in flight, before the lane restarts from the sinks' positions.
    pub(crate) fn reset(&mut self) {
        self.first += self.fetches.len() as u64;
        self.fetches.clear();
        self.acknowledged.clear();
    }

    /// Whether a fetch and all before it are finished.
    pub(crate) fn has_finished(&self, number: u64) -> bool {
        number < self.first
    }

    /// The number of fetches that are not finished.
    pub(crate) fn in_flight(&self) -> usize {
        self.fetches.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(number: i32) -> Partition {
        Partition {
            topic: "t".into(),
            number,
        }
    }

    fn span(number: i32, from: i64, next: i64) -> Span {
        Span {
            partition: partition(number),
            from: Some(from),
            next,
            incarnation: None,
        }
    }

    #[test]
    fn r18_a_later_fetch_waits_for_an_earlier_one() {
        let mut tracker = Tracker::default();
        let first = tracker.begin(vec![span(0, 0, 10)], 1);
        let second = tracker.begin(vec![span(0, 10, 20)], 1);
        assert!(tracker.finish(second).is_empty());
        assert_eq!(tracker.finish(first), Positions::from([(partition(0), 20)]));
        assert_eq!(tracker.in_flight(), 0);
    }

    #[test]
    fn a_fetch_is_finished_by_its_last_sink() {
        let mut tracker = Tracker::default();
        let fetch = tracker.begin(vec![span(0, 0, 10)], 2);
        assert!(tracker.finish(fetch).is_empty());
        assert_eq!(tracker.finish(fetch), Positions::from([(partition(0), 10)]));
    }

    #[test]
    fn r18_nothing_is_acknowledged_after_a_revoke() {
        let mut tracker = Tracker::default();
        let fetch = tracker.begin(vec![span(0, 0, 10), span(1, 0, 5)], 1);
        tracker.revoke(&[partition(0)]);
        assert_eq!(tracker.finish(fetch), Positions::from([(partition(1), 5)]));
    }

    #[test]
    fn what_finishes_after_a_reset_is_ignored() {
        let mut tracker = Tracker::default();
        let stale = tracker.begin(vec![span(0, 0, 10)], 1);
        tracker.reset();
        let fresh = tracker.begin(vec![span(0, 0, 7)], 1);
        assert!(tracker.finish(stale).is_empty());
        assert_eq!(tracker.finish(fresh), Positions::from([(partition(0), 7)]));
    }

    proptest! {
        /// R18, under any order of completion: the acknowledged position is always the end of the
        /// longest finished prefix of each partition, and at the end all positions are
        /// acknowledged.
        #[test]
        fn r18_holds_under_random_completion_order(
            fetches in prop::collection::vec((0_i32..3, 1_i64..50), 1..40),
            order in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let mut tracker = Tracker::default();
            let mut ends = [0_i64; 3];
            let mut numbered = Vec::new();
            for (number, length) in fetches {
                let from = ends[number as usize];
                ends[number as usize] += length;
                let next = ends[number as usize];
                numbered.push((tracker.begin(vec![span(number, from, next)], 1), number, next, false));
            }
            let mut acknowledged = Positions::new();
            let mut remaining: Vec<usize> = (0..numbered.len()).collect();
            for choice in order {
                if remaining.is_empty() {
                    break;
                }
                let picked = remaining.swap_remove(choice.index(remaining.len()));
                numbered[picked].3 = true;
                acknowledged.extend(tracker.finish(numbered[picked].0));
                let mut expected = Positions::new();
                for (_, number, next, _) in numbered.iter().take_while(|(.., finished)| *finished) {
                    expected.insert(partition(*number), *next);
                }
                prop_assert_eq!(&acknowledged, &expected);
            }
            prop_assert_eq!(tracker.in_flight() == 0, remaining.is_empty());
        }
    }
}
