//! Limits the average number of rows that are written in a second.
//!
//! A write waits until all of its rows are allowed. It is never split, so one write stays one
//! transaction. Idle time is credited for at most one second.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use crate::error::Result;
use crate::record::HeldPositions;
use crate::sink::{Outcome, Sink, Write};

/// `[sinks.NAME.throttle]`: the maximum write rate.
///
/// ```toml
/// [sinks.billing.throttle]
/// rows_per_second = 5000
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThrottleConfig {
    /// The maximum number of rows in a second, for each lane.
    pub rows_per_second: NonZeroU32,
}

/// Wraps a sink.
pub fn throttle(
    sink: Box<dyn Sink>,
    config: &ThrottleConfig,
    clock: Arc<dyn Clock>,
) -> Box<dyn Sink> {
    Box::new(Throttle {
        sink,
        burst: config.rows_per_second.get(),
        limiter: RateLimiter::direct_with_clock(
            Quota::per_second(config.rows_per_second),
            Ticks(clock.clone()),
        ),
        clock,
    })
}

struct Throttle {
    sink: Box<dyn Sink>,
    /// The maximum number of rows that can be requested at once.
    burst: u32,
    limiter: RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>,
    clock: Arc<dyn Clock>,
}

/// Adapts the clock to the limiter.
#[derive(Clone)]
struct Ticks(Arc<dyn Clock>);

impl governor::clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now()
    }
}

#[async_trait]
impl Sink for Throttle {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        self.sink.positions().await
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        let mut rows = write.len() as u64;
        while let Some(share) = NonZeroU32::new(rows.min(self.burst.into()) as u32) {
            match self.limiter.check_n(share) {
                Ok(Err(early)) => {
                    self.clock
                        .sleep(early.wait_time_from(self.clock.now()))
                        .await;
                }
                Ok(Ok(())) => rows -= u64::from(share.get()),
                Err(_) => unreachable!("a share is never larger than the burst"),
            }
        }
        self.sink.write(write).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.sink.close().await
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{RecordBatch, RecordBatchOptions};
    use arrow::datatypes::Schema;

    use super::super::fake::{Fake, FakeClock, unavailable};
    use super::*;
    use crate::change::{Changes, Operation, Table};
    use crate::record::Records;

    fn rows(count: usize) -> Write {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let changes = Changes {
            table: Arc::new(Table {
                topic: "t".into(),
                database: None,
                schema: None,
                name: "t".into(),
            }),
            key: None,
            rows: RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)
                .unwrap(),
            unset: Vec::new(),
            before: None,
            not_carried: Vec::new(),
            operations: vec![Operation::Create; count],
            event_times_ms: vec![None; count],
            origins: vec![0; count],
            records: Arc::new(Records::default()),
        };
        Write {
            changes: vec![changes],
            spans: Vec::new(),
            taken: Vec::new(),
        }
    }

    #[tokio::test]
    async fn rows_a_second_are_kept_whatever_the_batch() {
        for batch in [50, 300] {
            let clock = Arc::new(FakeClock::default());
            let (fake, calls) = Fake::connect(0, unavailable, &clock);
            let config = ThrottleConfig {
                rows_per_second: NonZeroU32::new(100).unwrap(),
            };
            let mut sink = throttle(fake, &config, clock);
            for _ in 0..600 / batch {
                sink.write(&rows(batch)).await.unwrap();
            }
            // The rows of the first second are written at once.
            let took = calls.lock().unwrap().last().unwrap().as_secs_f64();
            assert!((4.9..=5.2).contains(&took), "{batch}: {took} s");
        }
    }
}
