//! The test suite for sources.

use std::time::{Duration, Instant};

use crate::assignment::{Remember, assignments, from_the_start};
use crate::record::{Held, HeldPositions, Partition, Positions};
use crate::source::{Event, Limits, Source};

/// How long a source may take to hand over what it held back.
const HELD_BACK_MAX: Duration = Duration::from_secs(10);

/// A record with its partition and offset.
type Seen = (Partition, i64, Option<Vec<u8>>);

fn limits(rows: usize) -> Limits {
    Limits {
        rows,
        bytes: 1 << 20,
        linger: Duration::from_millis(5),
    }
}

/// Checks that a source that ends by itself delivers `count` records, each once and in order, for
/// every batch size and every position from which it resumes.
pub async fn check_source(open: &dyn Fn() -> Box<dyn Source>, count: usize) {
    let mut steps = Vec::new();
    let all = read(open(), 1, &Positions::new(), &mut steps).await;
    assert_eq!(all.len(), count, "records in all");
    for rows in [2, 7, 10_000] {
        let again = read(open(), rows, &Positions::new(), &mut Vec::new()).await;
        assert_eq!(again, all, "batches of {rows} rows");
    }
    // Resume from each position at which a sink may have stopped: no loss and no repetition.
    for held in &steps {
        let rest = read(open(), 3, held, &mut Vec::new()).await;
        let expect: Vec<Seen> = all
            .iter()
            .filter(|(partition, offset, _)| held.get(partition).is_none_or(|next| offset >= next))
            .cloned()
            .collect();
        assert_eq!(rest, expect, "resumed at {held:?}");
    }
    holds_back(open()).await;
}

/// As a target holds them.
fn held_at(positions: &Positions) -> HeldPositions {
    let held = |(partition, &next): (&Partition, &i64)| {
        let incarnation = None;
        (partition.clone(), Held { next, incarnation })
    };
    positions.iter().map(held).collect()
}

/// Reads to the end; records the positions after every fetch.
async fn read(
    mut source: Box<dyn Source>,
    rows: usize,
    held: &Positions,
    steps: &mut Vec<Positions>,
) -> Vec<Seen> {
    let mut positions = held.clone();
    let mut seen = Vec::new();
    loop {
        match source.next(&limits(rows)).await.unwrap() {
            Event::Assigned(partitions) => {
                let assignments = assignments(&[Some(held_at(&positions))], &partitions);
                for Remember { span, .. } in source.assign(&assignments).await.unwrap() {
                    positions.insert(span.partition, span.next);
                }
            }
            Event::Records(fetched) => {
                let records = &fetched.records;
                assert!(records.len() <= rows, "{} records of {rows}", records.len());
                for (index, entry) in records.entries.iter().enumerate() {
                    let partition = records.partition(index).partition.clone();
                    let value = records.value(index).map(<[u8]>::to_vec);
                    seen.push((partition, entry.offset, value));
                }
                for span in fetched.spans {
                    assert!(span.from.unwrap_or(0) < span.next, "{span:?} moves on");
                    let before = positions.insert(span.partition.clone(), span.next);
                    assert_eq!(before, span.from, "{span:?} joins the last one");
                }
                steps.push(positions.clone());
            }
            Event::Idle => {}
            Event::Revoked { .. } => panic!("nobody else reads"),
            Event::End => break,
        }
    }
    source.close().await.unwrap();
    // There is an order within a partition only.
    seen.sort_by(|(left, ..): &Seen, (right, ..): &Seen| left.cmp(right));
    seen
}

/// If no more records are allowed, the source delivers none and loses none.
async fn holds_back(mut source: Box<dyn Source>) {
    let mut idle = 0;
    while idle < 3 {
        match source.next(&limits(0)).await.unwrap() {
            Event::Assigned(partitions) => {
                source.assign(&from_the_start(&partitions)).await.unwrap();
            }
            Event::Idle => idle += 1,
            other => panic!("no room, and yet {other:?}"),
        }
    }
    let deadline = Instant::now() + HELD_BACK_MAX;
    loop {
        match source.next(&limits(1)).await.unwrap() {
            Event::Records(_) => break,
            Event::Idle => assert!(Instant::now() < deadline, "what was held back never comes"),
            other => panic!("there are records, and yet {other:?}"),
        }
    }
    source.close().await.unwrap();
}
