//! Time as the wrappers see it, so that tests own the clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

/// A clock that can be waited on.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// Returns after `wait`.
    async fn sleep(&self, wait: Duration);
}

/// The clock of the machine.
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
