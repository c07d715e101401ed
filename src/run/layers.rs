//! The layers around a sink: retry, breaker and throttle, seen in the status.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use syncline_connectors::error::{Error, Result};
use syncline_connectors::layer;
use syncline_connectors::layer::{Breaker, OnStatus};
use syncline_connectors::record::HeldPositions;
use syncline_connectors::sink::{Outcome, Sink, Write};
use tokio::sync::watch;

use super::measures::SinkMeasures;
use super::status::Status;
use crate::config::Layers;

/// What a sink's layers need of the pipeline around them.
pub(super) struct RetryContext<'a> {
    /// The sink and its lane, for the status.
    pub(super) part: &'a str,
    /// Shared by all lanes that write to the sink.
    pub(super) breaker: &'a Breaker,
    pub(super) status: &'a Arc<Status>,
    pub(super) measures: &'a Arc<SinkMeasures>,
    /// Ends the waiting for a target that is away.
    pub(super) abandoned: &'a watch::Receiver<bool>,
}

/// Wraps a sink in its layers, so that an outage is waited for and seen in the status. The throttle
/// is outside: what is tried again was let through already.
pub(super) fn patient(
    sink: Box<dyn Sink>,
    layers: &Layers,
    context: &RetryContext<'_>,
) -> Box<dyn Sink> {
    let (part, status) = (context.part.to_owned(), context.status.clone());
    let mut seed = DefaultHasher::new();
    (std::process::id(), &part).hash(&mut seed);
    let on_status: OnStatus = Arc::new(move |told| match told {
        layer::Status::Stalled { cause, .. } => status.stall(&part, cause),
        layer::Status::Flowing => status.resume(&part),
    });
    let watched = Watched {
        sink,
        part: context.part.to_owned(),
        status: context.status.clone(),
        measures: context.measures.clone(),
    };
    let sink = layer::retry(
        Box::new(watched),
        &layers.retry,
        context.breaker.clone(),
        seed.finish(),
        on_status,
        context.abandoned.clone(),
    );
    match &layers.throttle {
        Some(throttle) => layer::throttle(sink, throttle, layer::system_clock()),
        None => sink,
    }
}

/// Shows in the status that a call to the target waits for its answer, and measures it. It is inside the retries and the
/// throttle, whose pauses are no calls.
struct Watched {
    sink: Box<dyn Sink>,
    part: String,
    status: Arc<Status>,
    measures: Arc<SinkMeasures>,
}

impl Watched {
    fn note<T>(&self, answer: &Result<T>) {
        self.status.moved(&self.part);
        if let Err(Error::Unavailable { .. }) = answer {
            self.measures.failed();
        }
    }
}

#[async_trait]
impl Sink for Watched {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        self.status
            .waits(&self.part, "no answer to a question for the positions");
        let found = self.sink.positions().await;
        self.note(&found);
        found
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        self.status.waits(&self.part, "no answer to a write");
        let began = Instant::now();
        let outcome = self.sink.write(write).await;
        self.note(&outcome);
        if outcome.is_ok() {
            self.measures.wrote(write.len(), began.elapsed());
        }
        outcome
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.sink.close().await
    }
}
