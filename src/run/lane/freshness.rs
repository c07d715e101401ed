//! What a lane tells others: whether it has caught up, how old the targets are, and which positions
//! are done.

use std::time::Instant;

use crate::run::Lane;

impl Lane {
    /// Tells the outside what is finished, and whoever watches how much waits.
    pub(super) async fn acknowledge(&mut self) {
        self.lag.report(self.number, self.source.lag());
        let finished = std::mem::take(&mut self.progress.finished);
        self.progress.acknowledged_at = Some(Instant::now());
        if finished.is_empty() {
            return;
        }
        self.measures.reached(&finished);
        if let Err(error) = self.source.acknowledge(&finished).await {
            tracing::warn!(
                part = self.part,
                error = error.chain(),
                "the source did not take positions"
            );
        }
    }

    /// Nothing came: there is nothing, or the lane holds the source back.
    pub(super) fn idle(&mut self) {
        if self.progress.unprepared.is_some() {
            // It is stalled still, whatever the source says.
            return;
        }
        self.status.resume(&self.part);
        let busy = self.progress.tracker.in_flight() > 0 || !self.progress.held.is_empty();
        match (busy, self.source.lag()) {
            (false, None | Some(0)) => self.status.caught_up(&self.part),
            // Offsets that are no records (the ends of transactions) count as lag as well.
            (true, _) | (false, Some(_)) => self.status.moved(&self.part),
        }
    }

    /// Remembers the fetch that emptied the source: once it is finished, the targets hold everything that
    /// there was then.
    pub(super) fn mark(&mut self, number: u64, fetched_at: Instant) {
        if matches!(self.source.lag(), None | Some(0)) && self.progress.held.is_empty() {
            self.progress.marker.get_or_insert((number, fetched_at));
        }
    }

    /// Tells the status how old the targets are, once the marked fetch is finished.
    pub(super) fn freshen(&mut self) {
        if let Some((marker, at)) = self.progress.marker
            && self.progress.tracker.has_finished(marker)
        {
            self.progress.marker = None;
            self.status.fresh(&self.part, at.into());
        }
    }
}
