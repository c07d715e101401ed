//! What operators remember from batch to batch: values seen, how often rules failed, and counts.
//!
//! The memory of an operator is shared by its lanes, and by what was compiled of it for other schemas. It
//! begins empty at each start, but for the counts. Each entry knows the position of the change that made it, so that a change
//! which is read again meets only what came before it. Bounded: see [`Window`] and [`RULES_MAX`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use hashlink::LinkedHashMap;
use syncline_connectors::change::Changes;

/// Fields come from the data: past so many rules the rest is counted as one.
const RULES_MAX: usize = 500;

/// The memory of one operator.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By the index of the rule that keeps it.
    pub(super) windows: BTreeMap<usize, Window>,
    /// By the index of the rule; that of the operator has none.
    pub(super) rates: BTreeMap<Option<usize>, Rate>,
    counts: Vec<RuleCount>,
}

/// How many rows broke a rule, and what happened to them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RuleCount {
    /// The rule as it is written.
    pub rule: String,
    /// The column, where one is the reason.
    pub field: Option<String>,
    /// `quarantine`, `drop` or `warn`.
    pub action: &'static str,
    /// How many rows. A row that breaks several rules counts for each.
    pub count: u64,
}

impl Memory {
    pub(super) fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Begins anew; what was counted stays.
    pub(crate) fn forget(&self) {
        let mut kept = self.lock();
        kept.windows.clear();
        kept.rates.clear();
    }

    /// How often each rule failed, in the order in which they first did.
    pub fn counts(&self) -> Vec<RuleCount> {
        self.lock().counts.clone()
    }
}

impl Kept {
    /// Counts rows that broke a rule.
    pub(super) fn count(
        &mut self,
        rule: &str,
        field: Option<&str>,
        action: &'static str,
        rows: u64,
    ) {
        let same = |known: &&mut RuleCount| {
            known.rule == rule && known.field.as_deref() == field && known.action == action
        };
        if let Some(known) = self.counts.iter_mut().find(same) {
            known.count += rows;
        } else if self.counts.len() < RULES_MAX {
            self.counts.push(RuleCount {
                rule: rule.to_owned(),
                field: field.map(str::to_owned),
                action,
                count: rows,
            });
        } else if let Some(last) = self.counts.last_mut() {
            last.count += rows;
        }
    }
}

/// Where a change stands in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
}

impl Place {
    pub(super) fn of(changes: &Changes, row: usize) -> Self {
        let origin = changes.origins[row] as usize;
        let partition = &changes.records.partition(origin).partition;
        Self {
            topic: partition.topic.clone(),
            partition: partition.number,
            offset: changes.records.entries[origin].offset,
        }
    }

    /// Whether a change stands at this place or before it: then it is read again.
    pub(super) fn is_at_or_behind(&self, known: &Self) -> bool {
        self.partition == known.partition
            && self.topic == known.topic
            && self.offset <= known.offset
    }
}

/// Values that were seen, the oldest first, at most `entries_max`.
#[derive(Debug)]
pub(super) struct Window {
    entries_max: usize,
    seen: LinkedHashMap<Box<[u8]>, Seen>,
}

/// The change that brought a value.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The key of its row.
    pub(super) key: Box<[u8]>,
    pub(super) place: Place,
    /// When it happened, milliseconds since the epoch.
    pub(super) time_ms: Option<i64>,
}

impl Window {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            seen: LinkedHashMap::new(),
        }
    }

    pub(super) fn get(&self, value: &[u8]) -> Option<&Seen> {
        self.seen.get(value)
    }

    /// Remembers who brought a value, as the newest.
    pub(super) fn put(&mut self, value: &[u8], seen: Seen) {
        self.seen.remove(value);
        while self.seen.len() >= self.entries_max {
            self.seen.pop_front();
        }
        self.seen.insert(value.into(), seen);
    }

    pub(super) fn forget(&mut self, value: &[u8]) {
        self.seen.remove(value);
    }

    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }
}

/// How many of the last rows failed, by batch.
#[derive(Debug, Default)]
pub(super) struct Rate {
    batches: std::collections::VecDeque<(u64, u64)>,
    rows: u64,
    failed: u64,
}

impl Rate {
    /// Adds a batch and gives failed and checked rows of the last `window` rows, if there are so many.
    pub(super) fn add(&mut self, rows: u64, failed: u64, window: u64) -> Option<(u64, u64)> {
        self.batches.push_back((rows, failed));
        self.rows += rows;
        self.failed += failed;
        while let Some(&(first_rows, first_failed)) = self.batches.front()
            && self.rows - first_rows >= window
        {
            self.batches.pop_front();
            self.rows -= first_rows;
            self.failed -= first_failed;
        }
        (self.rows >= window).then_some((self.failed, self.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_looks_at_the_last_rows() {
        let mut rate = Rate::default();
        assert_eq!(rate.add(60, 0, 100), None);
        assert_eq!(rate.add(50, 50, 100), Some((50, 110)));
        assert_eq!(rate.add(60, 6, 100), Some((56, 110)));
        assert_eq!(rate.add(500, 5, 100), Some((5, 500)));
    }

    #[test]
    fn a_window_forgets_the_oldest() {
        let seen = |offset| Seen {
            key: Box::from(&b"k"[..]),
            place: Place {
                topic: "t".into(),
                partition: 0,
                offset,
            },
            time_ms: None,
        };
        let mut window = Window::new(2);
        window.put(b"a", seen(1));
        window.put(b"b", seen(2));
        window.put(b"a", seen(3));
        window.put(b"c", seen(4));
        assert!(window.get(b"b").is_none());
        assert_eq!(window.get(b"a").map(|seen| seen.place.offset), Some(3));
        assert!(window.get(b"c").is_some());
    }

    #[test]
    fn past_the_bound_rules_are_counted_as_one() {
        let memory = Memory::default();
        for rule in 0..2 * RULES_MAX {
            memory
                .lock()
                .count(&format!("rule {rule}"), None, "warn", 1);
        }
        let counts = memory.counts();
        assert_eq!(counts.len(), RULES_MAX);
        let sum: u64 = counts.iter().map(|count| count.count).sum();
        assert_eq!(sum, 2 * RULES_MAX as u64);
    }
}
