//! Throttle: at most so many changes a second reach a sink.
//!
//! A write is one transaction and is never split: it waits until the rate allows all of its changes,
//! where it holds more than one second's worth it waits for several.

use std::num::NonZeroU32;

use async_trait::async_trait;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::error::Result;
use crate::record::Positions;
use crate::sink::{Outcome, Sink, Write};

/// A sink that is fed no faster than it should be.
pub struct Throttle {
    sink: Box<dyn Sink>,
    limiter: DefaultDirectRateLimiter,
    changes_per_second: NonZeroU32,
}

impl Throttle {
    /// Wraps a sink.
    pub fn new(sink: Box<dyn Sink>, changes_per_second: NonZeroU32) -> Self {
        let limiter = RateLimiter::direct(Quota::per_second(changes_per_second));
        Self { sink, limiter, changes_per_second }
    }

    async fn wait_for(&self, changes: usize) {
        let mut left = u32::try_from(changes).unwrap_or(u32::MAX);
        while let Some(part) = NonZeroU32::new(left.min(self.changes_per_second.get())) {
            // A part is never more than the burst, which is one second's worth.
            if self.limiter.until_n_ready(part).await.is_err() {
                break;
            }
            left -= part.get();
        }
    }
}

#[async_trait]
impl Sink for Throttle {
    async fn positions(&mut self) -> Result<Option<Positions>> {
        self.sink.positions().await
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        self.wait_for(write.len()).await;
        self.sink.write(write).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.sink.close().await
    }
}
