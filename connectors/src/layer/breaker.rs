//! The circuit breaker: after several failures in a row, only one attempt in each time window is
//! made.
//!
//! All lanes that write to one target share one breaker, so there is one attempt for all of them.
//! The breaker rejects no write: a lane waits for its turn, and all continue after the first
//! success.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::{Clock, system_clock};

/// `[sinks.NAME.breaker]`: when writes to an unavailable target pause.
///
/// ```toml
/// [sinks.billing.breaker]
/// failures  = 5
/// window_ms = 10000
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// The number of failures in a row after which the breaker opens.
    #[schemars(range(min = 1))]
    pub failures: u32,
    /// While the breaker is open, at most one attempt is made in this time, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub window_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            window_ms: 10_000,
        }
    }
}

/// The breaker of one target; clones share their state.
#[derive(Clone)]
pub struct Breaker {
    pub(super) clock: Arc<dyn Clock>,
    failures_max: u32,
    window: Duration,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// The time of the next attempt, while the breaker is open.
    next_probe: Option<Duration>,
}

impl Breaker {
    /// A closed breaker that uses the system's clock.
    pub fn new(config: &BreakerConfig) -> Self {
        Self::on_clock(config, system_clock())
    }

    /// A closed breaker that uses another clock.
    pub fn on_clock(config: &BreakerConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            failures_max: config.failures.max(1),
            window: Duration::from_millis(config.window_ms),
            state: Arc::default(),
        }
    }

    /// Whether the breaker is open.
    pub fn is_open(&self) -> bool {
        self.state().next_probe.is_some()
    }

    /// Allows an attempt, or returns the time to wait before the next call.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        let now = self.clock.now();
        let mut state = self.state();
        match state.next_probe {
            Some(next) if now < next => Err(next - now),
            Some(_) => {
                state.next_probe = Some(now + self.window);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn succeeded(&self) {
        *self.state() = State::default();
    }

    pub(super) fn failed(&self) {
        let now = self.clock.now();
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.failures_max && state.next_probe.is_none() {
            state.next_probe = Some(now + self.window);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Every change of the state is one assignment, so a panic elsewhere cannot leave it
        // inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeClock;
    use super::*;

    #[tokio::test]
    async fn an_open_breaker_admits_one_probe_a_window_for_all() {
        let clock = Arc::new(FakeClock::default());
        let config = BreakerConfig {
            failures: 2,
            window_ms: 1_000,
        };
        let breaker = Breaker::on_clock(&config, clock.clone());
        let other = breaker.clone();
        let window = Duration::from_secs(1);
        breaker.failed();
        assert!(!other.is_open());
        assert_eq!(other.admit(), Ok(()));
        other.failed();
        assert!(breaker.is_open());
        assert_eq!(breaker.admit(), Err(window));
        clock.sleep(window).await;
        assert_eq!(breaker.admit(), Ok(()));
        assert_eq!(other.admit(), Err(window));
        breaker.failed();
        assert_eq!(other.admit(), Err(window));
        breaker.succeeded();
        assert_eq!(other.admit(), Ok(()));
        assert!(!other.is_open());
    }
}
