//! The operators of a lane, which may wait for a lookup, and whatever else it waits for, beside a source that
//! stays in its group.

use std::sync::Arc;
use std::time::Duration;

use syncline_connectors::error::Error;
use syncline_connectors::format::Decoded;
use syncline_connectors::record::{Records, Span};
use syncline_connectors::source::{Event, Source};

use super::{HOLD, Lane, Progress};
use crate::failure::Failure;
use crate::run::chain::{Chained, Waits};
use crate::run::status::Status;

/// How long a lane waits before it asks a source again that does not answer.
const SOURCE_PAUSE: Duration = Duration::from_millis(200);

impl Lane {
    /// Sends a fetch through the operators. `None` where the run ends or a partition of the fetch leaves while
    /// a lookup is waited for: the fetch comes again.
    pub(super) async fn apply(
        &mut self,
        records: &Arc<Records>,
        decoded: Decoded,
        spans: &[Span],
    ) -> Result<Option<Chained>, Failure> {
        let Self {
            chain,
            source,
            progress,
            status,
            part,
            stop,
            ..
        } = self;
        let owned = progress.owned.len();
        let waits = Waits { status, part };
        let applied = chain.apply(records, decoded, Some(&waits));
        let mut stop = stop.clone();
        let chained = tokio::select! {
            biased;
            chained = hold(source.as_mut(), progress, status, part, applied) => chained??,
            _ = stop.wait_for(|&stop| stop) => return Ok(None),
        };
        let is_left = |span: &Span| !progress.owned.contains(&span.partition);
        if progress.owned.len() < owned && spans.iter().any(is_left) {
            progress.fence = Some(Error::Unavailable {
                message: "partitions left while a lookup was waited for".to_owned(),
                cause: None,
            });
            return Ok(None);
        }
        Ok(Some(chained))
    }

    /// Waits for something while the source hands over nothing and stays in its group.
    pub(super) async fn hold<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Failure> {
        let Self {
            source,
            progress,
            status,
            part,
            ..
        } = self;
        hold(source.as_mut(), progress, status, part, future).await
    }

    pub(super) async fn source_failed(&mut self, error: Error) -> Result<(), Failure> {
        source_failed(&self.status, &self.part, error).await
    }
}

async fn hold<T>(
    source: &mut dyn Source,
    progress: &mut Progress,
    status: &Status,
    part: &str,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::pin!(future);
    loop {
        let event = tokio::select! {
            biased;
            value = &mut future => return Ok(value),
            event = source.next(&HOLD) => event,
        };
        match event {
            Ok(Event::Revoked { partitions, .. }) => progress.forget(&partitions),
            Ok(Event::Assigned(partitions)) => progress.waiting.extend(partitions),
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => source_failed(status, part, error).await?,
        }
    }
}

async fn source_failed(status: &Status, part: &str, error: Error) -> Result<(), Failure> {
    match error {
        Error::Unavailable { .. } => {
            status.stall(part, &error.chain());
            tokio::time::sleep(SOURCE_PAUSE).await;
            Ok(())
        }
        error => Err(Failure::of_source(part, error)),
    }
}
