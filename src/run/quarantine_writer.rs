//! Writes to the quarantine and retries without end: while the quarantine is unavailable, the
//! pipeline stalls and drops nothing.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use syncline_connectors::error::{Error, Result};

use crate::quarantine::{Entry, Quarantine};
use crate::run::status::Status;

const PART: &str = "quarantine";
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(10);

/// Makes entries durable. Retries as long as it takes and reports `stalled` meanwhile.
///
/// # Errors
/// Errors that a retry cannot solve: a topic that does not exist or may not be written.
pub(crate) async fn append(
    quarantine: &Quarantine,
    entries: &[Entry],
    status: &Status,
) -> Result<()> {
    let delays = ExponentialBuilder::default()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .with_jitter()
        .without_max_times();
    let mut delays = delays.build();
    loop {
        match quarantine.append(entries).await {
            Ok(()) => break,
            Err(error @ Error::Unavailable { .. }) => status.stall(PART, &error.chain()),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(delays.next().unwrap_or(DELAY_MAX)).await;
    }
    status.resume(PART);
    Ok(())
}
