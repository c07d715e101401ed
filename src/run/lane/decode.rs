//! Bytes on their way to rows; rows that come as rows pass by.
//!
//! What a decoder needs beside the records, as schemas of a registry, is fetched before it decodes. While it
//! is missing the fetch waits in its lane, which is stalled and asks for nothing more: the partitions of the
//! lane stay where they are, and nothing of the fetch is rejected, written or acknowledged.

use std::sync::Arc;
use std::time::Duration;

use syncline_connectors::error::Error;
use syncline_connectors::record::{Records, Span};
use syncline_connectors::source::{Fetched, FetchedRows};
use tokio::time::Instant;

use super::{Lane, Progress};
use crate::failure::Failure;

/// How long a fetch waits at first before what it needs is asked for again, and at most; each time twice
/// as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A fetch that cannot be decoded yet.
pub(super) struct Unprepared {
    records: Arc<Records>,
    spans: Vec<Span>,
    /// When it is asked again.
    again_at: Instant,
    pause: Duration,
}

impl Lane {
    /// One fetch of bytes, decoded and processed.
    pub(super) async fn decode(&mut self, fetched: Fetched) -> Result<(), Failure> {
        let records = Arc::new(fetched.records);
        self.refusals
            .first_look(&records, &self.declared, self.chain.input)
            .map_err(|diagnosis| self.stopped(&diagnosis))?;
        self.prepare(Unprepared {
            records,
            spans: fetched.spans,
            again_at: Instant::now(),
            pause: PAUSE_MIN,
        })
        .await
    }

    /// Tries again what could not be decoded, once it is time.
    pub(super) async fn decode_waiting(&mut self) -> Result<(), Failure> {
        let due = |fetch: &mut Unprepared| fetch.again_at <= Instant::now();
        match self.progress.unprepared.take_if(due) {
            Some(fetch) => self.prepare(fetch).await,
            None => Ok(()),
        }
    }

    /// Decodes a fetch, or lets it wait for what it needs.
    async fn prepare(&mut self, mut fetch: Unprepared) -> Result<(), Failure> {
        let prepared = tokio::select! {
            prepared = self.decoder.prepare(&fetch.records) => prepared,
            // Nothing of it is acknowledged: the next run reads it again.
            Ok(_) = self.stop.wait_for(|stop| *stop) => return Ok(()),
        };
        match prepared {
            Ok(()) => self.decode_prepared(fetch.records, fetch.spans).await,
            Err(error @ Error::Unavailable { .. }) => {
                self.status.stall(&self.part, &error.chain());
                fetch.again_at = Instant::now() + fetch.pause;
                fetch.pause = PAUSE_MAX.min(fetch.pause * 2);
                self.progress.unprepared = Some(fetch);
                Ok(())
            }
            Err(error) => Err(Failure::of_source(&self.part, error)),
        }
    }

    async fn decode_prepared(
        &mut self,
        records: Arc<Records>,
        spans: Vec<Span>,
    ) -> Result<(), Failure> {
        self.status.moved(&self.part);
        self.status.waits(&self.part, "a fetch is being decoded");
        let began = Instant::now();
        let decoded = self.decoder.decode(&records);
        self.measures.decode.observe(began.elapsed().as_secs_f64());
        self.process(FetchedRows {
            records,
            decoded,
            spans,
        })
        .await
    }
}

impl Progress {
    /// Forgets the fetch that could not be decoded: it comes again from the source. Says whether there was one.
    pub(super) fn drop_unprepared(&mut self) -> bool {
        self.unprepared.take().is_some()
    }
}
