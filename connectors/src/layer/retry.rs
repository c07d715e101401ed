//! Retries writes to an unavailable target, with exponentially growing waits and jitter (R16).
//!
//! Only `Unavailable` is retried, without a limit by default: an outage pauses the pipeline and
//! quarantines nothing. Every other error is returned at once. [`OnStatus`] is called when waiting
//! starts and ends. A cancellation ends the wait.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::breaker::Breaker;
use crate::error::{Error, Result};
use crate::record::HeldPositions;
use crate::sink::{Outcome, Sink, Write};

/// `[sinks.NAME.retry]`: how often and how soon a write to an unavailable target is repeated.
///
/// ```toml
/// [sinks.billing.retry]
/// initial_ms = 100
/// max_ms     = 30000
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// The first wait, in milliseconds; each further wait is twice as long, plus a random part.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub initial_ms: u64,
    /// The longest wait before its random part, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub max_ms: u64,
    /// The maximum number of attempts; unlimited if absent.
    #[schemars(range(min = 1))]
    pub attempts: Option<u32>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            initial_ms: 100,
            max_ms: 30_000,
            attempts: None,
        }
    }
}

/// The state of a sink with retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The target answers again.
    Flowing,
    /// The target does not answer.
    Stalled {
        /// The error with its causes.
        cause: String,
        /// The number of failures in a row.
        failures: u32,
        /// The wait before the next attempt.
        wait: Duration,
    },
}

/// Called at every change of [`Status`].
pub type OnStatus = Arc<dyn Fn(&Status) + Send + Sync>;

/// Wraps a sink. `jitter_seed` makes the waits repeatable. `cancelled` becomes true when the
/// pipeline must not wait any longer; the last error is then returned.
pub fn retry(
    sink: Box<dyn Sink>,
    config: &RetryConfig,
    breaker: Breaker,
    jitter_seed: u64,
    on_status: OnStatus,
    cancelled: watch::Receiver<bool>,
) -> Box<dyn Sink> {
    let backoff = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(config.initial_ms))
        .with_max_delay(Duration::from_millis(config.max_ms.max(config.initial_ms)))
        .with_jitter()
        .with_jitter_seed(jitter_seed)
        .without_max_times();
    Box::new(Retry {
        sink,
        attempts_max: config.attempts.unwrap_or(u32::MAX).max(1),
        max_wait: Duration::from_millis(config.max_ms),
        pause: Pause {
            backoff,
            breaker,
            on_status,
            cancelled,
        },
    })
}

struct Retry {
    sink: Box<dyn Sink>,
    attempts_max: u32,
    max_wait: Duration,
    pause: Pause,
}

/// What is needed to wait between two attempts.
struct Pause {
    backoff: ExponentialBuilder,
    breaker: Breaker,
    on_status: OnStatus,
    cancelled: watch::Receiver<bool>,
}

/// The attempts of one call.
struct Attempts {
    waits: backon::ExponentialBackoff,
    failures: u32,
}

impl Pause {
    fn begin(&self) -> Attempts {
        Attempts {
            waits: self.backoff.build(),
            failures: 0,
        }
    }

    /// Waits for the breaker; false if the wait was cancelled.
    async fn admitted(&mut self) -> bool {
        while let Err(wait) = self.breaker.admit() {
            if !self.sleep(wait).await {
                return false;
            }
        }
        true
    }

    fn succeeded(&self, attempts: &Attempts) {
        self.breaker.succeeded();
        if attempts.failures > 0 {
            (self.on_status)(&Status::Flowing);
        }
    }

    /// Waits after a failure; false if no further attempt may be made.
    async fn failed(&mut self, attempts: &mut Attempts, error: &Error, max_wait: Duration) -> bool {
        self.breaker.failed();
        attempts.failures = attempts.failures.saturating_add(1);
        let wait = attempts.waits.next().unwrap_or(max_wait);
        (self.on_status)(&Status::Stalled {
            cause: error.chain(),
            failures: attempts.failures,
            wait,
        });
        self.sleep(wait).await && self.admitted().await
    }

    /// False if the wait was cancelled. If the sender of `cancelled` is gone, no cancellation can
    /// come.
    async fn sleep(&mut self, wait: Duration) -> bool {
        let cancelled = &mut self.cancelled;
        let cancel = async move {
            let gone = cancelled.wait_for(|&cancelled| cancelled).await.is_err();
            if gone {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = cancel => false,
            () = self.breaker.clock.sleep(wait) => true,
        }
    }
}

/// Retries a call. A macro, because a closure cannot borrow the sink across its awaits.
macro_rules! retried {
    ($self:ident, $call:expr) => {{
        let mut attempts = $self.pause.begin();
        // Other lanes may have opened the shared breaker.
        if !$self.pause.admitted().await {
            return Err(Error::Unavailable {
                message: "cancelled while the breaker was open".to_owned(),
                cause: None,
            });
        }
        loop {
            match $call.await {
                Ok(done) => {
                    $self.pause.succeeded(&attempts);
                    return Ok(done);
                }
                Err(error @ Error::Unavailable { .. }) => {
                    let last = attempts.failures + 1 >= $self.attempts_max;
                    if last
                        || !$self
                            .pause
                            .failed(&mut attempts, &error, $self.max_wait)
                            .await
                    {
                        return Err(error);
                    }
                }
                Err(error) => {
                    // The target answered.
                    $self.pause.succeeded(&attempts);
                    return Err(error);
                }
            }
        }
    }};
}

#[async_trait]
impl Sink for Retry {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        retried!(self, self.sink.positions())
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        retried!(self, self.sink.write(write))
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.sink.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::breaker::BreakerConfig;
    use super::super::fake::{Fake, FakeClock, unavailable};
    use super::*;

    const NOTHING: Write = Write {
        changes: Vec::new(),
        spans: Vec::new(),
        taken: Vec::new(),
    };

    struct Bench {
        sink: Box<dyn Sink>,
        calls: super::super::fake::Calls,
        statuses: Arc<Mutex<Vec<Status>>>,
    }

    /// A sink that fails `failures` times; it is cancelled at the status number `cancel_at`.
    fn bench(
        failures: u32,
        make: fn() -> Error,
        config: &RetryConfig,
        breaker: &BreakerConfig,
        cancel_at: usize,
    ) -> Bench {
        let clock = Arc::new(FakeClock::default());
        let (fake, calls) = Fake::connect(failures, make, &clock);
        let statuses = Arc::new(Mutex::new(Vec::new()));
        let heard = statuses.clone();
        let (cancel, cancelled) = watch::channel(false);
        let on_status: OnStatus = Arc::new(move |status| {
            let mut heard = heard.lock().unwrap();
            heard.push(status.clone());
            cancel.send_replace(heard.len() == cancel_at);
        });
        let breaker = Breaker::on_clock(breaker, clock);
        let sink = retry(fake, config, breaker, 7, on_status, cancelled);
        Bench {
            sink,
            calls,
            statuses,
        }
    }

    const NEVER: BreakerConfig = BreakerConfig {
        failures: u32::MAX,
        window_ms: 1,
    };

    #[tokio::test]
    async fn waits_grow_with_jitter_and_are_bounded() {
        let config = RetryConfig {
            initial_ms: 100,
            max_ms: 1_000,
            attempts: None,
        };
        let mut bench = bench(8, unavailable, &config, &NEVER, usize::MAX);
        bench.sink.write(&NOTHING).await.unwrap();
        let calls = bench.calls.lock().unwrap().clone();
        assert_eq!(calls.len(), 9);
        for (index, pair) in calls.windows(2).enumerate() {
            let wait = (pair[1] - pair[0]).as_millis();
            let least = (100 << index).min(1_000);
            assert!((least..=2 * least).contains(&wait), "{index}: {wait} ms");
        }
        let statuses = bench.statuses.lock().unwrap();
        assert_eq!(statuses.last(), Some(&Status::Flowing));
        let Status::Stalled {
            cause, failures, ..
        } = &statuses[0]
        else {
            panic!("a failure stalls");
        };
        assert_eq!(
            (cause.as_str(), *failures),
            ("cannot reach the database: connection refused", 1)
        );
    }

    #[tokio::test]
    async fn an_open_breaker_lets_one_probe_through_in_a_window() {
        let config = RetryConfig {
            initial_ms: 1,
            max_ms: 1,
            attempts: None,
        };
        let breaker = BreakerConfig {
            failures: 3,
            window_ms: 5_000,
        };
        let mut bench = bench(9, unavailable, &config, &breaker, usize::MAX);
        bench.sink.write(&NOTHING).await.unwrap();
        let calls = bench.calls.lock().unwrap().clone();
        assert!(calls[2] < Duration::from_secs(5), "{calls:?}");
        for pair in calls[2..].windows(2) {
            assert!(pair[1] - pair[0] >= Duration::from_secs(5), "{calls:?}");
        }
    }

    #[tokio::test]
    async fn only_an_outage_is_retried_r16() {
        let refused: fn() -> Error = || Error::configuration("no such table");
        let config = RetryConfig::default();
        let mut bench = bench(1, refused, &config, &NEVER, usize::MAX);
        assert!(bench.sink.write(&NOTHING).await.is_err());
        assert_eq!(bench.calls.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn attempts_end_and_a_cancel_ends_the_wait() {
        let config = RetryConfig {
            attempts: Some(3),
            ..RetryConfig::default()
        };
        let mut ends = bench(9, unavailable, &config, &NEVER, usize::MAX);
        assert!(ends.sink.positions().await.is_err());
        assert_eq!(ends.calls.lock().unwrap().len(), 3);

        let mut waits = bench(u32::MAX, unavailable, &RetryConfig::default(), &NEVER, 20);
        let result = waits.sink.write(&NOTHING).await;
        assert!(matches!(result, Err(Error::Unavailable { .. })));
        assert_eq!(waits.calls.lock().unwrap().len(), 20);
    }
}
