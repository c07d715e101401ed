//! The test suite for sources.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::assignment::{Remember, assignments, from_the_start};
use crate::record::{Held, HeldPositions, Partition, Records, Span};
use crate::source::{Event, FetchedRows, Limits, Source};

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
    check_source_from(open, &HeldPositions::new(), count).await;
}

/// The same for what comes behind a place. Gives the last place.
pub async fn check_source_from(
    open: &dyn Fn() -> Box<dyn Source>,
    start: &HeldPositions,
    count: usize,
) -> HeldPositions {
    let mut steps = Vec::new();
    let all = read(open(), 1, start, &mut steps).await;
    assert_eq!(all.len(), count, "records in all");
    for rows in [2, 7, 10_000] {
        let again = read(open(), rows, start, &mut Vec::new()).await;
        assert_eq!(again, all, "batches of {rows} rows");
    }
    // Resume from each position at which a sink may have stopped: no loss and no repetition.
    for held in &steps {
        let rest = read(open(), 3, held, &mut Vec::new()).await;
        let expect: Vec<Seen> = all
            .iter()
            .filter(|(partition, offset, _)| {
                let held = held.get(partition);
                held.is_none_or(|held| *offset >= held.next)
            })
            .cloned()
            .collect();
        assert_eq!(rest, expect, "resumed at {held:?}");
    }
    holds_back(open()).await;
    steps.pop().unwrap_or_default()
}

/// Keeps a position as a target does; gives the one before.
fn keep(positions: &mut HeldPositions, span: Span) -> Option<i64> {
    let before = positions.remove(&span.partition);
    let known = before.as_ref().and_then(|held| held.incarnation.clone());
    let held = Held {
        next: span.next,
        incarnation: span.incarnation.or(known),
    };
    positions.insert(span.partition, held);
    before.map(|held| held.next)
}

/// Every record is accounted for once, and the rows are those of the records (R17).
fn check_rows(rows: &FetchedRows) {
    let mut origins: BTreeSet<u32> = rows.decoded.rejected.iter().map(|bad| bad.origin).collect();
    for changes in &rows.decoded.changes {
        origins.extend(&changes.origins);
    }
    let others = rows.decoded.filtered + rows.decoded.superseded;
    assert_eq!(origins.len() as u64 + others, rows.records.len() as u64);
    for changes in &rows.decoded.changes {
        assert!(Arc::ptr_eq(&changes.records, &rows.records));
        assert_eq!(changes.rows.num_rows(), changes.len());
        assert!(changes.origins.is_sorted(), "the rows are in order");
    }
}

/// Reads to the end; records the positions after every fetch.
async fn read(
    mut source: Box<dyn Source>,
    rows: usize,
    held: &HeldPositions,
    steps: &mut Vec<HeldPositions>,
) -> Vec<Seen> {
    let mut positions = held.clone();
    let mut seen = Vec::new();
    loop {
        let (records, spans): (Arc<Records>, _) = match source.next(&limits(rows)).await.unwrap() {
            Event::Assigned(partitions) => {
                let assignments = assignments(&[Some(positions.clone())], &partitions);
                for Remember { span, .. } in source.assign(&assignments).await.unwrap() {
                    keep(&mut positions, span);
                }
                continue;
            }
            Event::Records(fetched) => (Arc::new(fetched.records), fetched.spans),
            Event::Rows(rows) => {
                check_rows(&rows);
                (rows.records, rows.spans)
            }
            Event::Idle => continue,
            Event::Revoked { .. } => panic!("nobody else reads"),
            Event::End => break,
        };
        assert!(records.len() <= rows, "{} records of {rows}", records.len());
        for (index, entry) in records.entries.iter().enumerate() {
            let partition = records.partition(index).partition.clone();
            let value = records.value(index).map(<[u8]>::to_vec);
            seen.push((partition, entry.offset, value));
        }
        for span in spans {
            assert!(span.from.unwrap_or(0) < span.next, "{span:?} moves on");
            let (from, said) = (span.from, format!("{span:?}"));
            let before = keep(&mut positions, span);
            assert_eq!(before, from, "{said} joins the last one");
        }
        steps.push(positions.clone());
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
            Event::Records(_) | Event::Rows(_) => break,
            Event::Idle => assert!(Instant::now() < deadline, "what was held back never comes"),
            other => panic!("there are records, and yet {other:?}"),
        }
    }
    source.close().await.unwrap();
}
