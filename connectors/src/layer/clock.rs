//! The clock of the layers, which tests can replace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

/// A clock with a sleep.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time since a fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// Returns after `wait`.
    async fn sleep(&self, wait: Duration);
}

/// The system's clock.
pub fn system_clock() -> Arc<dyn Clock> {
    Arc::new(System {
        began: Instant::now(),
    })
}

struct System {
    began: Instant,
}

#[async_trait]
impl Clock for System {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}
