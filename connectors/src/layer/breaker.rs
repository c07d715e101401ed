//! The breaker: after some failures in a row a target is left alone but for one probe a window.
//!
//! One breaker is shared by all lanes that write to one target, so that it is one probe for all of
//! them. It refuses nothing: a lane waits for its turn to probe, and goes on with the first success.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::{Clock, system_clock};

/// `[sinks.NAME.breaker]`: when a target is left alone.
///
/// ```toml
/// [sinks.billing.breaker]
/// failures  = 5
/// window_ms = 10000
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// It opens after this many failures in a row.
    #[schemars(range(min = 1))]
    pub failures: u32,
    /// While it is open there is at most one attempt in this time.
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

/// Shared by everyone who writes to one target; a clone is the same breaker.
#[derive(Clone)]
pub struct Breaker {
    pub(super) clock: Arc<dyn Clock>,
    failures_max: u32,
    window: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// While it is open: when the next probe may go.
    next_probe: Option<Duration>,
}

impl Breaker {
    /// A closed breaker on the clock of the machine.
    pub fn new(config: &BreakerConfig) -> Self {
        Self::on_clock(config, system_clock())
    }

    /// A closed breaker on another clock.
    pub fn on_clock(config: &BreakerConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            failures_max: config.failures.max(1),
            window: Duration::from_millis(config.window_ms),
            state: Arc::default(),
        }
    }

    /// Whether the target is left alone now.
    pub fn is_open(&self) -> bool {
        self.state().next_probe.is_some()
    }

    /// Takes the turn to try, or says how long to wait before asking again.
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
        // Every change of the state is one assignment: a panic elsewhere leaves it whole.
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
