//! Retry: an outage is waited for, with growing pauses and jitter, and never ends in an error.
//!
//! Only `Unavailable` is retried (R16); everything else passes through at once. While the sink is away
//! there is one try at a time and none during a pause, so this is a circuit breaker too: at most one
//! probe a pause. The same write is tried again as it was, and a sink whose commit went through without
//! its reply recognises it by its positions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::{Error, Result};
use crate::record::Positions;
use crate::sink::{Outcome, Sink, Write};

/// What is told when a sink is away (the cause) and when it is back (`None`).
pub type Watch = Arc<dyn Fn(Option<&Error>) + Send + Sync>;

/// How long the pauses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// The first.
    pub first: Duration,
    /// The longest; each is twice the one before, up to this, with jitter.
    pub longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10) }
    }
}

/// A sink that waits for outages to end.
pub struct Retry {
    sink: Box<dyn Sink>,
    pauses: Pauses,
    watch: Watch,
}

impl Retry {
    /// Wraps a sink.
    pub fn new(sink: Box<dyn Sink>, pauses: Pauses, watch: Watch) -> Self {
        Self { sink, pauses, watch }
    }

    fn pauses(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.pauses.first)
            .with_max_delay(self.pauses.longest)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// Tells the cause and waits.
    async fn pause(&self, pauses: &mut ExponentialBackoff, error: &Error) {
        (self.watch)(Some(error));
        tokio::time::sleep(pauses.next().unwrap_or(self.pauses.longest)).await;
    }
}

#[async_trait]
impl Sink for Retry {
    async fn positions(&mut self) -> Result<Option<Positions>> {
        let mut pauses = self.pauses();
        loop {
            match self.sink.positions().await {
                Err(error @ Error::Unavailable { .. }) => self.pause(&mut pauses, &error).await,
                answer => {
                    (self.watch)(None);
                    return answer;
                }
            }
        }
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        let mut pauses = self.pauses();
        loop {
            match self.sink.write(write).await {
                Err(error @ Error::Unavailable { .. }) => self.pause(&mut pauses, &error).await,
                answer => {
                    (self.watch)(None);
                    return answer;
                }
            }
        }
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.sink.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers with these errors, one after the other, then with success.
    struct Flaky {
        errors: Vec<Error>,
    }

    #[async_trait]
    impl Sink for Flaky {
        async fn positions(&mut self) -> Result<Option<Positions>> {
            self.errors.pop().map_or(Ok(None), Err)
        }

        async fn write(&mut self, _: &Write) -> Result<Outcome> {
            self.errors.pop().map_or(Ok(Outcome { written: 7, ..Outcome::default() }), Err)
        }

        async fn close(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    fn away() -> Error {
        Error::unavailable("connection refused", std::io::Error::other("test"))
    }

    async fn write(errors: Vec<Error>) -> (Result<Outcome>, Vec<bool>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let watch: Watch = {
            let told = told.clone();
            Arc::new(move |error| told.lock().unwrap().push(error.is_some()))
        };
        let pauses = Pauses { first: Duration::from_millis(1), longest: Duration::from_millis(2) };
        let mut sink = Retry::new(Box::new(Flaky { errors }), pauses, watch);
        let outcome = sink.write(&Write { changes: vec![], spans: vec![] }).await;
        let told = told.lock().unwrap().clone();
        (outcome, told)
    }

    #[tokio::test]
    async fn r16_an_outage_is_waited_for_and_told() {
        let (outcome, told) = write(vec![away(), away(), away()]).await;
        assert_eq!((outcome.unwrap().written, told), (7, vec![true, true, true, false]));
    }

    #[tokio::test]
    async fn r16_anything_else_passes_at_once() {
        let (outcome, _) = write(vec![Error::configuration("no such table"), away()]).await;
        assert!(matches!(outcome, Err(Error::Configuration { .. })));
    }
}
