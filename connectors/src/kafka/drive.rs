//! For tests: a lane and a sink in one, which drive sources and check what every source owes:
//! contiguous spans, offsets in order, nothing before it was assigned.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::executor::block_on;

use super::{KafkaSource, Lane, connect};
use crate::assignment::assignments;
use crate::error::{Error, Result};
use crate::record::{Held, HeldPositions, Incarnation, Partition, Positions, Span};
use crate::source::{Event, Limits, Source};

/// Long enough for any wait of a test; a wait that takes it has failed.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What the sink holds: positions moved by compare-and-set, and every record.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) positions: Positions,
    pub(super) incarnations: BTreeMap<Partition, Incarnation>,
    /// It says that it keeps no positions.
    pub(super) forgets: bool,
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

impl Sink {
    /// What it says that it holds.
    pub(super) fn held(&self) -> Option<HeldPositions> {
        let held = |(partition, &next): (&Partition, &i64)| {
            let incarnation = self.incarnations.get(partition).cloned();
            (partition.clone(), Held { next, incarnation })
        };
        (!self.forgets).then(|| self.positions.iter().map(held).collect())
    }

    /// Keeps a position; gives the one before.
    fn keep(&mut self, span: &Span) -> Option<i64> {
        if let Some(incarnation) = &span.incarnation {
            let partition = span.partition.clone();
            self.incarnations.insert(partition, incarnation.clone());
        }
        self.positions.insert(span.partition.clone(), span.next)
    }
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
                let held = self.sink.lock().unwrap().held();
                let assignments = assignments(&[held], partitions);
                for remember in block_on(self.source.assign(&assignments))? {
                    self.sink.lock().unwrap().keep(&remember.span);
                }
                self.assigned.extend(partitions.iter().cloned());
            }
            Event::Revoked { partitions, .. } => {
                self.assigned.retain(|known| !partitions.contains(known));
                self.revoked.extend(partitions.iter().cloned());
            }
            Event::Rows(_) => panic!("a topic has bytes"),
            Event::Records(fetched) => {
                let mut sink = self.sink.lock().unwrap();
                for span in &fetched.spans {
                    assert!(
                        self.assigned.contains(&span.partition),
                        "{} is not ours",
                        span.partition
                    );
                    let held = sink.keep(span);
                    assert!(
                        held == span.from || sink.forgets,
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
        let mut outage = String::new();
        loop {
            match self.step() {
                Ok(event) => {
                    if done(self, &event) {
                        return;
                    }
                }
                Err(error @ Error::Unavailable { .. }) => outage = error.chain(),
                Err(error) => panic!("{what}: {}", error.chain()),
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not come about: {outage}"
            );
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
