//! The lag of a source: the number of records that wait and were not fetched yet.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// The lag of one source. Each lane reports the partitions that it owns.
#[derive(Debug, Default)]
pub struct Lag {
    lanes: Mutex<BTreeMap<usize, u64>>,
}

impl Lag {
    /// Sets the lag of a lane; `None` if the lane owns no partition, or its source does not know.
    pub(crate) fn report(&self, lane: usize, records: Option<u64>) {
        let mut lanes = self.lanes.lock().expect("no holder of this lock panics");
        match records {
            Some(records) => lanes.insert(lane, records),
            None => lanes.remove(&lane),
        };
    }

    /// Nobody reads the source now: what was last known grows old, and is no longer said.
    pub(crate) fn forget(&self) {
        let mut lanes = self.lanes.lock().expect("no holder of this lock panics");
        lanes.clear();
    }

    /// The lag over all lanes, in records; `None` if no lane knows it.
    pub fn records(&self) -> Option<u64> {
        let lanes = self.lanes.lock().expect("no holder of this lock panics");
        (!lanes.is_empty()).then(|| lanes.values().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_that_of_the_lanes_that_know() {
        let lag = Lag::default();
        let check = |lane, records, expect| {
            lag.report(lane, records);
            assert_eq!(lag.records(), expect);
        };
        check(0, None, None);
        check(0, Some(5), Some(5));
        check(1, Some(7), Some(12));
        check(0, None, Some(7));
        check(1, Some(0), Some(0));
        check(1, None, None);
        check(1, Some(3), Some(3));
        lag.forget();
        assert_eq!(lag.records(), None);
    }
}
