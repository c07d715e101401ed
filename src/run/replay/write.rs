//! Writes the changes of some records to one sink, each with the mark of its record.

use std::collections::{BTreeSet, HashSet};

use syncline_connectors::change::Changes;
use syncline_connectors::error::{Error, RejectedChange};
use syncline_connectors::positions::ReplayMark;
use syncline_connectors::record::{Partition, Span};
use syncline_connectors::sink::{Outcome, Sink, Write};

use super::{Carried, Record, Replayed};
use crate::run::held::take;

/// Writes changes with the marks of their records; gives the records that the sink refuses.
pub(super) async fn write(
    sink: &mut dyn Sink,
    records: &[Record<'_>],
    stay: &HashSet<usize>,
    carried: Carried,
    replayed: &mut Replayed,
) -> Result<Vec<(usize, RejectedChange)>, Error> {
    let known = sink.positions().await?;
    let mut left = carried.changes;
    let mut refused: Vec<(usize, RejectedChange)> = Vec::new();
    let mut before = HashSet::new();
    if let Some(known) = &known {
        let held = (0..records.len()).filter(|&record| known.contains_key(&mark(&records[record])));
        before.extend(held);
    }
    let written_before = |record: usize| before.contains(&record);
    retain(&mut left, |record| {
        !written_before(record) && !stay.contains(&record)
    })?;
    loop {
        let mut marked: BTreeSet<usize> = BTreeSet::new();
        for batch in &left {
            marked.extend(batch.origins.iter().map(|&origin| origin as usize));
        }
        let spans = marked.iter().map(|&record| Span {
            partition: mark(&records[record]),
            from: None,
            next: 1,
            incarnation: None,
        });
        let write = Write {
            changes: left.clone(),
            spans: match known {
                Some(_) => spans.collect(),
                None => Vec::new(),
            },
            ..Write::default()
        };
        match sink.write(&write).await {
            Ok(outcome) => {
                count(replayed, &outcome);
                replayed.written_before += before.len() as u64;
                return Ok(refused);
            }
            Err(Error::Rejected(rejected)) if !rejected.is_empty() => {
                let mut gone = HashSet::new();
                for change in rejected {
                    let record = left[change.batch].origins[change.row] as usize;
                    gone.insert(record);
                    refused.push((record, change));
                }
                retain(&mut left, |record| !gone.contains(&record))?;
            }
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn count(replayed: &mut Replayed, outcome: &Outcome) {
    replayed.written += outcome.written;
    replayed.superseded += outcome.superseded;
    replayed.kept += outcome.kept;
    replayed.waiting += outcome.waiting;
}

/// Keeps the changes of some records.
pub(crate) fn retain(
    changes: &mut Vec<Changes>,
    keeps: impl Fn(usize) -> bool,
) -> Result<(), Error> {
    for batch in changes.iter_mut() {
        let rows: Vec<u32> = (0..batch.len() as u32)
            .filter(|&row| keeps(batch.origins[row as usize] as usize))
            .collect();
        if rows.len() < batch.len() {
            *batch = take(batch, &rows)?;
        }
    }
    changes.retain(|batch| !batch.is_empty());
    Ok(())
}

/// What says in a sink that a record was replayed: a partition of its own.
pub(super) fn mark(record: &Record<'_>) -> Partition {
    let entry = record.entries[0];
    let mark = ReplayMark {
        topic: &entry.topic,
        number: entry.partition,
        offset: entry.offset,
    };
    mark.partition()
}
