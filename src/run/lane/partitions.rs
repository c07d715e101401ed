//! Partitions that a lane takes on, begins again and gives up.

use std::collections::BTreeMap;

use syncline_connectors::assignment::{Assignment, Remember, Standing, assignments};
use syncline_connectors::error::{Error, Result};
use syncline_connectors::record::{HeldPositions, Partition, Span};
use tokio::sync::oneshot;

use super::{FENCES_MAX, Lane, REVOKE_DEADLINE};
use crate::failure::Failure;
use crate::run::writer::Command;

impl Lane {
    /// Partitions were assigned: they begin where the sinks stand. Where a sink has to keep a place
    /// first and another process was faster, the positions are read again.
    pub(super) async fn begin(&mut self, partitions: Vec<Partition>) -> Result<(), Failure> {
        self.progress.waiting.extend(partitions);
        let mut fences = 0;
        while !self.progress.waiting.is_empty() {
            let held = self.sink_positions().await?;
            let waiting: Vec<Partition> = std::mem::take(&mut self.progress.waiting)
                .into_iter()
                .collect();
            let assignments = assignments(&held, &waiting);
            let remember = loop {
                match self.source.assign(&assignments).await {
                    Ok(remember) => break remember,
                    Err(error) => self.source_failed(error).await?,
                }
                if *self.stop.borrow() {
                    return Ok(());
                }
            };
            self.tell_beginning(&assignments);
            let standing = assignments.iter().filter_map(|assignment| {
                let held = assignment.sinks.iter().map(Standing::position).min();
                Some((assignment.partition.clone(), held.flatten()?))
            });
            self.measures.reached(&standing.collect());
            self.progress.owned.extend(waiting.iter().cloned());
            if let Some(fence) = self.remember(remember).await? {
                fences += 1;
                if fences > FENCES_MAX {
                    return Err(Failure::Failed(format!("{}: {fence}", self.part)));
                }
                let owned = &self.progress.owned;
                let still = waiting.into_iter().filter(|known| owned.contains(known));
                self.progress.waiting.extend(still);
            }
        }
        Ok(())
    }

    /// Says in the log with how many partitions reading begins, and at which position with the first.
    fn tell_beginning(&self, assignments: &[Assignment]) {
        let Some(first) = assignments.first() else {
            return;
        };
        let held = first.sinks.iter().map(Standing::position).min().flatten();
        tracing::info!(
            part = self.part,
            partitions = assignments.len(),
            first = %first.partition,
            "{}",
            match held {
                Some(position) => format!("reads on; the first partition stands at {position}"),
                None => "begins to read at `start`".to_owned(),
            }
        );
    }

    /// Makes the sinks keep where they begin; gives the fence that one of them met.
    pub(super) async fn remember(
        &mut self,
        places: Vec<Remember>,
    ) -> Result<Option<Error>, Failure> {
        let mut spans: BTreeMap<usize, Vec<Span>> = BTreeMap::new();
        for Remember { sink, span } in places {
            spans.entry(sink).or_default().push(span);
        }
        for (index, spans) in spans {
            let (reply, answer) = oneshot::channel();
            self.send(index, Command::Remember(spans, reply)).await?;
            let answer = self.hold(answer).await?.map_err(|_| self.hung_up(index))?;
            match answer {
                Ok(()) => {}
                Err(fence @ Error::Fenced { .. }) => return Ok(Some(fence)),
                Err(error) => return Err(Failure::of_sink(&self.writers[index].name, error)),
            }
        }
        Ok(None)
    }

    /// Another process moved a position: everything begins again from what the sinks hold.
    pub(super) async fn begin_again(&mut self, fence: &Error) -> Result<(), Failure> {
        tracing::warn!(part = self.part, fence = %fence, "reading the positions again");
        self.progress.tracker.reset();
        self.progress.marker = None;
        self.progress.drop_held();
        self.progress.drop_unprepared();
        let partitions: Vec<Partition> = self.progress.owned.iter().cloned().collect();
        self.begin(partitions).await?;
        // What was queued was finished or given back before the positions were read: a fence that it
        // met is mended by now.
        self.take_notices()?;
        self.progress.fence = None;
        Ok(())
    }

    /// What each sink holds of the source; `None` for one that keeps no positions.
    pub(super) async fn sink_positions(&mut self) -> Result<Vec<Option<HeldPositions>>, Failure> {
        let mut held = Vec::with_capacity(self.writers.len());
        for index in 0..self.writers.len() {
            let (reply, answer) = oneshot::channel();
            self.send(index, Command::Positions(reply)).await?;
            let answer = self.hold(answer).await?.map_err(|_| self.hung_up(index))?;
            held.push(answer.map_err(|e| Failure::of_sink(&self.writers[index].name, e))?);
        }
        Ok(held)
    }

    /// Partitions are about to leave: what is in flight is finished within a deadline, and nothing
    /// is acknowledged for them afterwards (R18).
    pub(super) async fn give_up(
        &mut self,
        partitions: &[Partition],
        lost: bool,
    ) -> Result<(), Failure> {
        tracing::info!(
            part = self.part,
            count = partitions.len(),
            lost,
            "partitions leave"
        );
        if !lost {
            match tokio::time::timeout(REVOKE_DEADLINE, self.flush()).await {
                Ok(flushed) => {
                    flushed?;
                    self.acknowledge().await;
                }
                Err(_) => tracing::warn!(
                    part = self.part,
                    "gave partitions up with changes in flight"
                ),
            }
        }
        self.progress.forget(partitions);
        self.measures.leave(partitions.iter());
        Ok(())
    }
}
