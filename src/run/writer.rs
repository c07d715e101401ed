//! Lane → sink: the task that owns a sink's connection and makes deliveries durable in order.
//!
//! While the database works on one delivery the lane prepares the next. The queue between them is
//! bounded twice: by [`DELIVERIES_MAX`] and, in the lane, by bytes. What the sink refuses goes into
//! quarantine first and only then does the rest of the delivery commit, so that no position moves
//! past a change that is nowhere. Where another process moved a position (a fence), everything that
//! is queued is given back to the source, and nothing is written until the positions were read anew.
//!
//! Where the sink refuses every change of a table, that is on trial (see [`crate::run::refusals`]):
//! the delivery waits, with those behind it, until a change of the table is accepted or the trial
//! ends. What comes behind is tried together with it, in one transaction; for that the entries
//! have to be in the quarantine, and they are withdrawn where the changes are not acknowledged.

mod message;
mod room;

use std::sync::Arc;
use std::time::Duration;

use syncline_connectors::change::Changes;
use syncline_connectors::error::{Error, Result};
use syncline_connectors::record::{HeldPositions, Partition, Positions, Span, offsets};
use syncline_connectors::sink::{Outcome, Sink, Write};
use tokio::sync::mpsc;

pub(crate) use self::message::{Command, Delivery, Notice};
use crate::failure::Failure;
use crate::quarantine::Quarantine;
use crate::run::account::Account;
use crate::run::held::{Held, Waiting, take};
use crate::run::quarantine_writer;
use crate::run::refusals::Refusals;
use crate::run::status::Status;

/// At most this many deliveries wait for one writer.
pub(crate) const DELIVERIES_MAX: usize = 16;
/// How often a writer looks whether a trial has ended.
const TRIAL_POLL: Duration = Duration::from_millis(50);
/// How often it is looked whether a change that waits for another row can be written now.
const ROOM_POLL: Duration = Duration::from_secs(1);

/// The task that writes; see the module docs.
pub(crate) struct Writer {
    pub(crate) pipeline: String,
    pub(crate) name: Arc<str>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) account: Arc<Account>,
    pub(crate) status: Arc<Status>,
    /// Where each partition stands in the target, as far as this writer knows.
    pub(crate) positions: Positions,
    /// Whether the sink keeps positions, once it was asked.
    pub(crate) keeps_positions: bool,
    /// Whether queued deliveries are given back until the positions are read anew.
    pub(crate) fenced: bool,
    /// What is being written, or waits for the end of a trial.
    pub(crate) held: Option<Held>,
    /// How many changes of the sink wait for other rows (R21); `None` until it was asked.
    pub(crate) room: Option<u64>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) notices: mpsc::Sender<Notice>,
}

/// What wakes a writer.
enum Wake {
    Command(Command),
    /// A trial may have ended.
    Trial,
    /// A change that waits for another row may be written now.
    Room,
    /// The lane hung up.
    End,
}

impl Writer {
    /// Serves a lane until it hangs up or the sink cannot go on, then closes the sink.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let mut failed = false;
        // What is queued behind a failure must not be written: its positions would pass what
        // was not.
        while !failed && !self.notices.is_closed() {
            let mut answer = None;
            let served = match self.wake().await {
                Wake::End => break,
                Wake::Trial => self.decide().await,
                Wake::Room => self.release().await,
                Wake::Command(Command::Deliver(delivery)) => self.deliver(delivery).await,
                Wake::Command(Command::Positions(reply)) => {
                    self.give_back().await;
                    // A lane that hung up no longer wants to know.
                    let _ = reply.send(self.read_positions().await);
                    Ok(())
                }
                Wake::Command(Command::Remember(spans, reply)) => {
                    let _ = reply.send(self.remember(spans).await);
                    Ok(())
                }
                Wake::Command(Command::Finish(reply)) => {
                    answer = Some(reply);
                    Ok(())
                }
                Wake::Command(Command::Flush(reply)) => {
                    answer = Some(reply);
                    self.give_back().await;
                    Ok(())
                }
                Wake::Command(Command::Conclude(reply)) => {
                    answer = Some(reply);
                    match self.conclude().await {
                        // What the other lanes brought may be what is waited for.
                        Ok(()) if self.keeps_positions => self.release().await,
                        concluded => concluded,
                    }
                }
            };
            if let Err(error) = served {
                failed = true;
                self.tell(Notice::Failed(error)).await;
            } else if let Some(reply) = answer {
                let _ = reply.send(());
            }
        }
        if let Some(held) = self.held.take() {
            self.withdraw(&held).await;
        }
        match self.sink.close().await {
            Err(error) if failed => {
                tracing::warn!(sink = &*self.name, error = error.chain(), "did not close");
                Ok(())
            }
            closed => closed.map_err(|error| Failure::of_sink(&self.name, error)),
        }
    }

    async fn wake(&mut self) -> Wake {
        let on_trial = self.held.is_some();
        let looks = self.keeps_positions && self.room != Some(0);
        let poll = async {
            match on_trial {
                true => tokio::time::sleep(TRIAL_POLL).await,
                false if looks => tokio::time::sleep(ROOM_POLL).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            command = self.commands.recv() => command.map_or(Wake::End, Wake::Command),
            () = poll => if on_trial { Wake::Trial } else { Wake::Room },
        }
    }

    async fn tell(&mut self, notice: Notice) {
        // A lane that hung up is seen by the loop.
        let _ = self.notices.send(notice).await;
    }

    async fn read_positions(&mut self) -> Result<Option<HeldPositions>> {
        let held = self.sink.positions().await?;
        self.keeps_positions = held.is_some();
        self.positions = held.as_ref().map(offsets).unwrap_or_default();
        self.fenced = false;
        Ok(held)
    }

    /// A sink that keeps no positions is told here what to skip, for as long as this process runs.
    async fn remember(&mut self, spans: Vec<Span>) -> Result<()> {
        let write = Write {
            spans,
            ..Write::default()
        };
        if self.keeps_positions {
            self.sink.write(&write).await?;
        }
        for span in write.spans {
            self.positions.insert(span.partition, span.next);
        }
        Ok(())
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let Delivery {
            number,
            mut write,
            mut tally,
            fetched_at,
            bytes,
        } = delivery;
        if self.fenced {
            self.account.give_back(&tally);
            self.tell(Notice::GivenBack { bytes }).await;
            return Ok(());
        }
        if let Some(error) = self.gap(&write) {
            self.fenced = true;
            self.account.give_back(&tally);
            self.tell(Notice::Fenced { error, bytes }).await;
            return Ok(());
        }
        let replayed = self.skip_replayed(&mut write)?;
        if write.spans.is_empty() {
            // All of it was seen before, with what was filtered or rejected on its way.
            self.account.replay(tally.entered);
            self.tell(Notice::Finished { number, bytes }).await;
            return Ok(());
        }
        if replayed > 0 {
            tally.entered -= replayed;
            self.account.replay(replayed);
        }
        let waiting = Waiting {
            number,
            bytes,
            tally,
            fetched_at,
        };
        self.held.get_or_insert_default().add(write, waiting);
        self.decide().await
    }

    /// Writes what is held where that can tell something of what is on trial, or nothing is.
    async fn decide(&mut self) -> Result<()> {
        let Some(held) = &mut self.held else {
            return Ok(());
        };
        let waiting = self.refusals.waiting(&held.on_trial);
        held.on_trial = waiting.map_err(Error::configuration)?;
        match held.can_tell(&held.on_trial) {
            true => self.write().await,
            false => Ok(()),
        }
    }

    /// Ends the trials of what is held: nothing more will come.
    async fn conclude(&mut self) -> Result<()> {
        while let Some(held) = &self.held {
            let ended = self.refusals.conclude(&held.on_trial);
            ended.map_err(Error::configuration)?;
            self.decide().await?;
        }
        Ok(())
    }

    /// Writes what is held until the sink takes everything that is left, or until what it refused is
    /// on trial with nothing left to try.
    async fn write(&mut self) -> Result<()> {
        while let Some(held) = &mut self.held {
            let new = &held.entries[held.stored..];
            if !new.is_empty() {
                quarantine_writer::append(&self.quarantine, new, &self.status).await?;
                held.stored = held.entries.len();
            }
            held.in_doubt = true;
            match self.sink.write(&held.write).await {
                Ok(outcome) => {
                    self.finish(&outcome).await;
                    self.expire(outcome).await?;
                }
                Err(Error::Rejected(rejected)) if rejected.is_empty() => {
                    return Err(Error::configuration(format!(
                        "sink {} refused a write without naming a change",
                        self.name
                    )));
                }
                Err(Error::Rejected(rejected)) => {
                    held.in_doubt = false;
                    let run = &self.refusals.run;
                    let (seen, entries) =
                        held.refuse(&rejected, &self.pipeline, &self.name, run)?;
                    let waiting = self.refusals.note(&seen, &entries);
                    held.entries.extend(entries);
                    held.on_trial = waiting.map_err(Error::configuration)?;
                    if !held.on_trial.is_empty() {
                        return Ok(());
                    }
                }
                Err(error @ Error::Fenced { .. }) => return self.fence(error).await,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn finish(&mut self, outcome: &Outcome) {
        let Some(held) = self.held.take() else {
            return;
        };
        self.refusals.pass(&self.name, held.write.changes.iter());
        self.refusals.keep(&held.entries);
        for span in held.write.spans {
            self.positions.insert(span.partition, span.next);
        }
        let fetched_at = held.deliveries.first().map(|delivery| delivery.fetched_at);
        let latency = fetched_at.map_or(Duration::ZERO, |at| at.elapsed());
        self.account.replay(outcome.replayed);
        self.account
            .finish(&held.tally, outcome, held.refused, latency);
        for Waiting { number, bytes, .. } in held.deliveries {
            self.tell(Notice::Finished { number, bytes }).await;
        }
    }

    /// Gives what is held back to the source: the trial goes on when it comes again.
    async fn give_back(&mut self) {
        if self.held.is_some() {
            let message = "refused changes that are on trial were given back".to_owned();
            let cause = None;
            // There is nothing to fail on.
            let _ = self.fence(Error::Unavailable { message, cause }).await;
        }
    }

    async fn fence(&mut self, error: Error) -> Result<()> {
        self.fenced = true;
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        self.withdraw(&held).await;
        let mut error = Some(error);
        for Waiting { bytes, tally, .. } in held.deliveries {
            self.account.give_back(&tally);
            let notice = match error.take() {
                Some(error) => Notice::Fenced { error, bytes },
                None => Notice::GivenBack { bytes },
            };
            self.tell(notice).await;
        }
        Ok(())
    }

    /// Takes entries out of the quarantine whose changes were not acknowledged after all. Where that
    /// is in doubt or fails they stay: they come again and are stored under the same id.
    async fn withdraw(&mut self, held: &Held) {
        if held.in_doubt {
            return;
        }
        let stored = &held.entries[..held.stored];
        if let Err(error) = self.quarantine.withdraw(stored).await {
            tracing::warn!(
                sink = &*self.name,
                error = error.chain(),
                "entries of changes that come again stay in the quarantine"
            );
        }
    }

    /// Where a partition stands: in what is held, else in the target.
    fn stands(&self, partition: &Partition) -> Option<i64> {
        let held = self.held.as_ref().and_then(|held| held.next(partition));
        held.or_else(|| self.positions.get(partition).copied())
    }

    /// A span that begins past where the target stands: to write it would pass what lies between.
    fn gap(&self, write: &Write) -> Option<Error> {
        write.spans.iter().find_map(|span| {
            let (at, from) = (self.stands(&span.partition)?, span.from?);
            (at < from).then(|| Error::Fenced {
                partition: span.partition.clone(),
                expected: from,
                found: Some(at),
            })
        })
    }

    /// Takes out what the target holds already (R4) and sets each span to begin where it stands.
    fn skip_replayed(&self, write: &mut Write) -> Result<u64> {
        let stale = |span: &Span| {
            self.stands(&span.partition)
                .is_some_and(|at| Some(at) > span.from)
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
            let at = self.stands(&span.partition);
            span.from = at;
            at.is_none_or(|at| at < span.next)
        });
        Ok(replayed)
    }

    fn holds(&self, changes: &Changes, row: usize) -> bool {
        let origin = changes.origins[row] as usize;
        let partition = &changes.records.partition(origin).partition;
        let offset = changes.records.entries[origin].offset;
        self.stands(partition).is_some_and(|at| offset < at)
    }
}

#[cfg(test)]
mod tests;
