//! Lane → sink: the task that owns a sink's connection and makes deliveries durable in order.
//!
//! While the database works on one delivery the lane prepares the next. The queue between them is
//! bounded twice: by [`DELIVERIES_MAX`] and, in the lane, by bytes. What the sink refuses goes into
//! quarantine first and only then does the rest of the delivery commit, so that no position moves
//! past a change that is nowhere. Where another process moved a position (a fence), everything that
//! is queued is given back to the source, and nothing is written until the positions were read anew.

use std::sync::Arc;
use std::time::Instant;

use syncline_connectors::change::Changes;
use syncline_connectors::error::{Error, RejectedChange, Result};
use syncline_connectors::record::{Positions, Span};
use syncline_connectors::sink::{Outcome, Sink, Write};
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::quarantine::{Entry, Quarantine, Verdict};
use crate::run::account::{Account, Tally};
use crate::run::patience;
use crate::run::status::Status;

/// At most this many deliveries wait for one writer.
pub(crate) const DELIVERIES_MAX: usize = 16;

/// One fetch on its way into one sink.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The number that the lane's tracker gave the fetch.
    pub(crate) number: u64,
    pub(crate) write: Write,
    pub(crate) tally: Tally,
    pub(crate) fetched_at: Instant,
    /// Memory that the delivery holds.
    pub(crate) bytes: usize,
}

/// What a lane asks of a writer; answered in order.
#[derive(Debug)]
pub(crate) enum Command {
    /// Make this durable.
    Deliver(Delivery),
    /// Read the positions afresh, once everything before is finished or given back.
    Positions(oneshot::Sender<Result<Option<Positions>>>),
    /// Say when everything before is finished.
    Flush(oneshot::Sender<()>),
}

/// What a writer tells its lane.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Durable.
    Finished { number: u64, bytes: usize },
    /// Not written: it will come again from the source.
    GivenBack { bytes: usize },
    /// Another process moved a position: read the positions again. This delivery was not written.
    Fenced { error: Error, bytes: usize },
    /// The sink cannot go on.
    Failed(Error),
}

/// The task that writes; see the module docs.
pub(crate) struct Writer {
    pub(crate) pipeline: String,
    pub(crate) name: String,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) account: Arc<Account>,
    pub(crate) status: Arc<Status>,
    /// Where each partition stands in the target, as far as this writer knows.
    pub(crate) positions: Positions,
    /// Whether queued deliveries are given back until the positions are read anew.
    pub(crate) fenced: bool,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) notices: mpsc::Sender<Notice>,
}

impl Writer {
    /// Serves a lane until it hangs up, then closes the sink.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        while let Some(command) = self.commands.recv().await {
            let notice = match command {
                Command::Deliver(delivery) => self.deliver(delivery).await,
                Command::Positions(reply) => {
                    // A lane that hung up no longer wants to know.
                    let _ = reply.send(self.read_positions().await);
                    continue;
                }
                Command::Flush(reply) => {
                    let _ = reply.send(());
                    continue;
                }
            };
            if self.notices.send(notice).await.is_err() {
                break;
            }
        }
        self.sink
            .close()
            .await
            .map_err(|error| Failure::of_sink(&self.name, error))
    }

    async fn read_positions(&mut self) -> Result<Option<Positions>> {
        let positions = self.sink.positions().await?;
        self.positions = positions.clone().unwrap_or_default();
        self.fenced = false;
        Ok(positions)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Notice {
        let Delivery {
            number,
            mut write,
            mut tally,
            fetched_at,
            bytes,
        } = delivery;
        if self.fenced {
            self.account.give_back(&tally);
            return Notice::GivenBack { bytes };
        }
        if let Some(error) = self.find_gap(&write) {
            self.fenced = true;
            self.account.give_back(&tally);
            return Notice::Fenced { error, bytes };
        }
        let replayed = match self.skip_replayed(&mut write) {
            Ok(replayed) => replayed,
            Err(error) => return Notice::Failed(error),
        };
        if replayed > 0 {
            tally.entered -= replayed;
            self.account.replay(replayed);
        }
        match self.write(&mut write).await {
            Ok((outcome, refused)) => {
                for span in write.spans {
                    self.positions.insert(span.partition, span.next);
                }
                self.account
                    .finish(&tally, &outcome, refused, fetched_at.elapsed());
                Notice::Finished { number, bytes }
            }
            Err(error @ Error::Fenced { .. }) => {
                self.fenced = true;
                self.account.give_back(&tally);
                Notice::Fenced { error, bytes }
            }
            Err(error) => Notice::Failed(error),
        }
    }

    /// Writes until the sink takes everything that is left; returns how many it refused.
    async fn write(&mut self, write: &mut Write) -> Result<(Outcome, u64)> {
        let mut refused = 0;
        if write.is_empty() && write.spans.is_empty() {
            return Ok((Outcome::default(), refused));
        }
        loop {
            match self.sink.write(write).await {
                Ok(outcome) => return Ok((outcome, refused)),
                Err(Error::Rejected(rejected)) => {
                    if rejected.is_empty() {
                        return Err(Error::configuration(format!(
                            "sink {} refused a write without naming a change",
                            self.name
                        )));
                    }
                    refused += rejected.len() as u64;
                    self.quarantine(write, &rejected).await;
                    remove(write, &rejected)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn quarantine(&mut self, write: &Write, rejected: &[RejectedChange]) {
        let entries: Vec<Entry> = rejected
            .iter()
            .map(|bad| {
                let changes = &write.changes[bad.batch];
                let verdict = Verdict {
                    pipeline: &self.pipeline,
                    stage: &self.name,
                    rule: &bad.rule,
                    field: bad.field.as_deref(),
                    reason: &bad.reason,
                };
                Entry::new(
                    &changes.records,
                    changes.origins[bad.row] as usize,
                    &verdict,
                )
            })
            .collect();
        patience::append(&self.quarantine, &entries, &self.status).await;
    }

    /// A span that begins past what the target holds would lose what lies between: somebody else
    /// changed the positions, or a fence was missed. Begin again from the target's positions.
    fn find_gap(&self, write: &Write) -> Option<Error> {
        let gap = write.spans.iter().find_map(|span| {
            let found = *self.positions.get(&span.partition)?;
            let expected = span.from.filter(|&from| found < from)?;
            Some((span.partition.clone(), expected, found))
        });
        gap.map(|(partition, expected, found)| Error::Fenced {
            partition,
            expected,
            found: Some(found),
        })
    }

    /// Takes out what the target holds already (R4) and sets each span to begin where it stands.
    fn skip_replayed(&self, write: &mut Write) -> Result<u64> {
        let stale = |span: &Span| {
            self.positions
                .get(&span.partition)
                .is_some_and(|&at| Some(at) > span.from)
        };
        let mut replayed = 0;
        if write.spans.iter().any(stale) {
            for changes in &mut write.changes {
                let fresh: Vec<u32> = (0..changes.len() as u32)
                    .filter(|&row| !self.holds(changes, row as usize))
                    .collect();
                if fresh.len() < changes.len() {
                    replayed += (changes.len() - fresh.len()) as u64;
                    *changes = take(changes, &fresh)?;
                }
            }
        }
        write.spans.retain_mut(|span| {
            let at = self.positions.get(&span.partition).copied();
            span.from = at;
            at.is_none_or(|at| at < span.next)
        });
        Ok(replayed)
    }

    fn holds(&self, changes: &Changes, row: usize) -> bool {
        let origin = changes.origins[row] as usize;
        let partition = &changes.records.partition(origin).partition;
        let offset = changes.records.entries[origin].offset;
        self.positions.get(partition).is_some_and(|&at| offset < at)
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

fn take(changes: &Changes, rows: &[u32]) -> Result<Changes> {
    changes
        .take(rows)
        .map_err(|e| Error::configuration_from("cannot take rows of a batch", e))
}
