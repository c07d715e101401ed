//! Waiting for the quarantine: an outage of it is an outage of the pipeline, never a reason to drop.

use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

use crate::quarantine::{Entry, Quarantine};
use crate::run::status::Status;

const PART: &str = "quarantine";
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(10);

/// Makes entries durable, however long that takes; says `stalled` meanwhile.
pub(crate) async fn append(quarantine: &Quarantine, entries: &[Entry], status: &Status) {
    let delays = ExponentialBuilder::default()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .with_jitter()
        .without_max_times();
    let mut delays = delays.build();
    while let Err(error) = quarantine.append(entries).await {
        status.stall(PART, &error.chain());
        tokio::time::sleep(delays.next().unwrap_or(DELAY_MAX)).await;
    }
    status.resume(PART);
}
