//! What a writer tries together: usually one delivery; several where refusals of the sink are on
//! trial, since positions may not pass what was refused before that is decided.

use std::sync::Arc;
use std::time::Instant;

use syncline_connectors::change::Changes;
use syncline_connectors::error::{Error, RejectedChange, Result};
use syncline_connectors::record::Partition;
use syncline_connectors::sink::Write;

use crate::quarantine::{Entry, Verdict};
use crate::run::account::Tally;
use crate::run::refusals::{Seen, Subject, passes};

/// Deliveries that are written in one transaction, without what the sink refused of them.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) write: Write,
    pub(crate) deliveries: Vec<Waiting>,
    /// What became of their changes before the sink.
    pub(crate) tally: Tally,
    /// Changes that the sink refused.
    pub(crate) refused: u64,
    /// Their entries.
    pub(crate) entries: Vec<Entry>,
    /// How many of the entries the quarantine holds.
    pub(crate) stored: usize,
    /// Whether the sink was asked to write this and did not say that nothing is durable: a commit
    /// whose reply was lost may have gone through.
    pub(crate) in_doubt: bool,
    /// What is on trial.
    pub(crate) on_trial: Vec<Subject>,
}

/// A delivery whose end the lane waits for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) number: u64,
    pub(crate) bytes: usize,
    pub(crate) tally: Tally,
    pub(crate) fetched_at: Instant,
}

impl Held {
    /// Adds a delivery behind the others.
    pub(crate) fn add(&mut self, write: Write, delivery: Waiting) {
        self.write.changes.extend(write.changes);
        for span in write.spans {
            let known = self.write.spans.iter_mut();
            match known
                .into_iter()
                .find(|known| known.partition == span.partition)
            {
                Some(known) => {
                    known.next = span.next;
                    known.incarnation = span.incarnation.or(known.incarnation.take());
                }
                None => self.write.spans.push(span),
            }
        }
        self.tally += delivery.tally;
        self.deliveries.push(delivery);
    }

    /// Up to where a partition is held.
    pub(crate) fn next(&self, partition: &Partition) -> Option<i64> {
        let mut spans = self.write.spans.iter();
        spans
            .find(|span| span.partition == *partition)
            .map(|span| span.next)
    }

    /// Whether a write can tell something about every subject of `waiting`.
    pub(crate) fn can_tell(&self, waiting: &[Subject]) -> bool {
        waiting.iter().all(|subject| self.has_rows(subject))
    }

    fn has_rows(&self, subject: &Subject) -> bool {
        let of_subject = |changes: &&Changes| {
            subject
                .table
                .as_ref()
                .is_some_and(|table| *table == changes.table)
        };
        self.write.changes.iter().filter(of_subject).any(passes)
    }

    /// Takes out what the sink refused; gives what is to be noted, with the entries.
    pub(crate) fn refuse(
        &mut self,
        rejected: &[RejectedChange],
        pipeline: &str,
        stage: &Arc<str>,
        run: &str,
    ) -> Result<(Vec<Seen>, Vec<Entry>)> {
        let mut seen: Vec<Seen> = Vec::new();
        let mut entries = Vec::with_capacity(rejected.len());
        for bad in rejected {
            let changes = &self.write.changes[bad.batch];
            let verdict = Verdict {
                pipeline,
                stage,
                rule: &bad.rule,
                field: bad.field.as_deref(),
                reason: &bad.reason,
            };
            let origin = changes.origins[bad.row] as usize;
            let subject = Subject::of_table(stage, &changes.table);
            let index = match seen.iter().position(|seen| seen.subject == subject) {
                Some(index) => index,
                None => {
                    seen.push(Seen {
                        subject,
                        passed: false,
                        refused: Vec::new(),
                        more: false,
                        input: None,
                    });
                    seen.len() - 1
                }
            };
            seen[index].refused.push(entries.len());
            entries.push(Entry {
                run: Some(run.to_owned()),
                ..Entry::new(&changes.records, origin, &verdict)
            });
        }
        remove(&mut self.write, rejected)?;
        for seen in &mut seen {
            seen.more = self.has_rows(&seen.subject);
        }
        self.refused += rejected.len() as u64;
        Ok((seen, entries))
    }
}

fn remove(write: &mut Write, rejected: &[RejectedChange]) -> Result<()> {
    for (index, changes) in write.changes.iter_mut().enumerate() {
        let mut gone = vec![false; changes.len()];
        for bad in rejected.iter().filter(|bad| bad.batch == index) {
            gone[bad.row] = true;
        }
        let left: Vec<u32> = (0..changes.len() as u32)
            .filter(|&row| !gone[row as usize])
            .collect();
        if left.len() < changes.len() {
            *changes = take(changes, &left)?;
        }
    }
    Ok(())
}

/// The changes at `rows`.
pub(crate) fn take(changes: &Changes, rows: &[u32]) -> Result<Changes> {
    changes
        .take(rows)
        .map_err(|e| Error::configuration_from("cannot take rows of a batch", e))
}
