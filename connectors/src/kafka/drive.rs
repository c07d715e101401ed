//! For tests: a lane and a sink in one, which drive sources and check what every source owes:
//! contiguous spans, offsets in order, nothing before it was assigned.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::executor::block_on;

use super::{KafkaSource, Lane, connect};
use crate::error::{Error, Result};
use crate::record::{Partition, Positions};
use crate::source::{Event, Limits, Source};

/// Long enough for any wait of a test; a wait that takes it has failed.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What the sink holds: positions moved by compare-and-set, and every record.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) positions: Positions,
    pub(super) records: Vec<Seen>,
}

/// A record as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) partition: Partition,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Option<String>,
}

/// One lane.
pub(super) struct Driver {
    pub(super) source: Box<dyn Source>,
    pub(super) sink: Arc<Mutex<Sink>>,
    pub(super) assigned: Vec<Partition>,
    pub(super) revoked: Vec<Partition>,
    pub(super) rows: usize,
    pub(super) acknowledges: bool,
}

impl Driver {
    pub(super) fn open(config: &KafkaSource, sink: &Arc<Mutex<Sink>>) -> Self {
        Self::open_lane(config, sink, Lane { number: 0, of: 1 }, false)
    }

    pub(super) fn once(config: &KafkaSource, sink: &Arc<Mutex<Sink>>) -> Self {
        Self::open_lane(config, sink, Lane { number: 0, of: 1 }, true)
    }

    pub(super) fn open_lane(
        config: &KafkaSource,
        sink: &Arc<Mutex<Sink>>,
        lane: Lane,
        once: bool,
    ) -> Self {
        Self {
            source: connect(config, lane, once, 8 << 20).unwrap(),
            sink: sink.clone(),
            assigned: Vec::new(),
            revoked: Vec::new(),
            rows: 1000,
            acknowledges: false,
        }
    }

    /// One call of `next`, and what a lane does about it.
    pub(super) fn step(&mut self) -> Result<Event> {
        let limits = Limits {
            rows: self.rows,
            bytes: 1 << 20,
            linger: Duration::from_millis(50),
        };
        let event = block_on(self.source.next(&limits))?;
        match &event {
            Event::Assigned(partitions) => {
                let positions = self.sink.lock().unwrap().positions.clone();
                block_on(self.source.assign(&positions, partitions))?;
                self.assigned.extend(partitions.iter().cloned());
            }
            Event::Revoked { partitions, .. } => {
                self.assigned.retain(|known| !partitions.contains(known));
                self.revoked.extend(partitions.iter().cloned());
            }
            Event::Records(fetched) => {
                let mut sink = self.sink.lock().unwrap();
                for span in &fetched.spans {
                    assert!(
                        self.assigned.contains(&span.partition),
                        "{} is not ours",
                        span.partition
                    );
                    let held = sink.positions.insert(span.partition.clone(), span.next);
                    assert_eq!(
                        held, span.from,
                        "R4: {} has a gap or an overlap",
                        span.partition
                    );
                }
                for index in 0..fetched.records.len() {
                    let records = &fetched.records;
                    sink.records.push(Seen {
                        partition: records.partition(index).partition.clone(),
                        offset: records.entries[index].offset,
                        key: records.key(index).map(<[u8]>::to_vec),
                        value: records.value(index).map(<[u8]>::to_vec),
                        headers: records
                            .headers(index)
                            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()),
                    });
                }
                if self.acknowledges {
                    block_on(self.source.acknowledge(&sink.positions))?;
                }
            }
            Event::Idle | Event::End => {}
        }
        Ok(event)
    }

    /// Steps until `done`, or fails at the deadline; an outage is waited out.
    pub(super) fn until(&mut self, what: &str, mut done: impl FnMut(&Self, &Event) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.step() {
                Ok(event) => {
                    if done(self, &event) {
                        return;
                    }
                }
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("{what}: {}", error.chain()),
            }
            assert!(Instant::now() < deadline, "{what} did not come about");
        }
    }

    /// Steps until `next` or `assign` fails for good, and gives that error.
    pub(super) fn until_refused(&mut self) -> String {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            match self.step() {
                Err(Error::Unavailable { .. }) | Ok(_) => {}
                Err(error) => return error.chain(),
            }
        }
        panic!("nothing was refused");
    }

    pub(super) fn rows_seen(&self) -> usize {
        self.sink.lock().unwrap().records.len()
    }

    pub(super) fn close(self) {
        block_on(self.source.close()).unwrap();
    }
}

/// Values as text, in order of partition and offset.
pub(super) fn values(sink: &Arc<Mutex<Sink>>) -> Vec<String> {
    let mut records = sink.lock().unwrap().records.clone();
    records.sort_by_key(|seen| (seen.partition.clone(), seen.offset));
    records
        .iter()
        .map(|seen| String::from_utf8(seen.value.clone().unwrap_or_default()).unwrap())
        .collect()
}
