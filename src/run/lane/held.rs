//! Fetches that wait for the end of a trial (R25).

use std::sync::Arc;
use std::time::Instant;

use syncline_connectors::error::{Error, Result};
use syncline_connectors::record::{Partition, Records, Span};

use super::{Progress, TRIAL_POLL};
use crate::failure::Failure;
use crate::run::Lane;
use crate::run::chain::Chained;
use crate::run::writer::Command;

/// A fetch that went through the chain and not to the writers.
pub(super) struct Held {
    pub(super) records: Arc<Records>,
    pub(super) spans: Vec<Span>,
    pub(super) chained: Chained,
    pub(super) fetched_at: Instant,
    pub(super) bytes: usize,
}

/// The bytes of a fetch with what became of it.
pub(super) fn size(records: &Records, chained: &Chained) -> usize {
    let changes = chained.flows.iter().flat_map(|flow| &flow.changes);
    records.size() + changes.map(|batch| batch.size()).sum::<usize>()
}

impl Lane {
    /// Sends what was held on to the writers once nothing of it is on trial any more.
    pub(super) async fn forward_held(&mut self) -> Result<(), Failure> {
        if self.progress.held.is_empty() {
            return Ok(());
        }
        let waiting = self.refusals.waiting(&self.progress.on_trial);
        self.progress.on_trial = waiting.map_err(|diagnosis| self.stopped(&diagnosis))?;
        if !self.progress.on_trial.is_empty() {
            return Ok(());
        }
        for held in std::mem::take(&mut self.progress.held) {
            self.progress.in_flight_bytes -= held.bytes;
            self.forward(held).await?;
        }
        Ok(())
    }

    /// The source has ended: what no other lane can decide any more is decided.
    pub(super) async fn conclude(&mut self) -> Result<(), Failure> {
        self.ask_all(Command::Finish).await?;
        self.refusals.has_read(&self.part);
        while !self.refusals.all_read() && !*self.stop.borrow() {
            self.forward_held().await?;
            if !self.refusals.any_open() {
                break;
            }
            tokio::time::sleep(TRIAL_POLL).await;
        }
        if !*self.stop.borrow() {
            self.refusals
                .conclude(&self.progress.on_trial)
                .map_err(|diagnosis| self.stopped(&diagnosis))?;
            self.forward_held().await?;
            self.ask_all(Command::Conclude).await?;
        }
        self.take_notices()?;
        if self.progress.fence.is_some() {
            self.refusals.reads(&self.part);
        }
        Ok(())
    }
}

impl Progress {
    /// Forgets what waits for the end of a trial: it comes again from the source.
    pub(super) fn drop_held(&mut self) {
        for held in self.held.drain(..) {
            self.in_flight_bytes -= held.bytes;
        }
        self.on_trial.clear();
    }

    /// Partitions that are gone: nothing of theirs is acknowledged any more (R18).
    pub(super) fn forget(&mut self, partitions: &[Partition]) {
        let unprepared = self.drop_unprepared();
        if unprepared || !self.held.is_empty() {
            self.drop_held();
            self.fence = Some(Error::Unavailable {
                message: "partitions left while changes of theirs were held back".to_owned(),
                cause: None,
            });
        }
        self.tracker.revoke(partitions);
        self.finished
            .retain(|partition, _| !partitions.contains(partition));
        self.owned
            .retain(|partition| !partitions.contains(partition));
        self.waiting
            .retain(|partition| !partitions.contains(partition));
    }
}
