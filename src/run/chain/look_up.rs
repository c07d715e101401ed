//! What an operator looks up, asked for before the operator sees the batch.
//!
//! A database that does not answer is waited for, with a pause that grows, as long as the lane waits: the
//! batch stays at hand, and nothing of it is rejected, acknowledged or lost.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use syncline_connectors::change::Changes;
use syncline_connectors::error::Error;

use super::ChainError;
use crate::lookup::Reader;
use crate::operator::OperatorConfig;
use crate::plan::SourcePlan;
use crate::run::status::Status;

/// How long the pauses are between two requests.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Who waits for a lookup, and is told why.
pub(crate) struct Waits<'a> {
    pub(crate) status: &'a Status,
    /// The source and the lane.
    pub(crate) part: &'a str,
}

/// What an operator of a lane reads.
pub(super) fn readers(plan: &SourcePlan, config: &OperatorConfig) -> Vec<Reader> {
    let questions = config.questions().into_iter();
    questions
        .filter_map(|question| plan.lookups.reader(&question))
        .collect()
}

/// Looks up what the rows ask for. Without `waits` a database that does not answer is an error.
pub(super) async fn look_up(
    readers: &mut [Reader],
    changes: &Changes,
    waits: Option<&Waits<'_>>,
) -> Result<(), ChainError> {
    for reader in readers {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(PAUSE.0)
            .with_max_delay(PAUSE.1)
            .without_max_times()
            .with_jitter()
            .build();
        let mut stalled: Option<String> = None;
        loop {
            match (reader.find(changes).await, waits) {
                (Ok(()), Some(waits)) => {
                    if let Some(part) = &stalled {
                        waits.status.resume(part);
                    }
                    break;
                }
                (Ok(()), None) => break,
                (Err(error @ Error::Unavailable { .. }), Some(waits)) => {
                    let part = stalled.get_or_insert_with(|| {
                        format!("lookup {} of {}", reader.name(), waits.part)
                    });
                    waits.status.stall(part, &error.chain());
                    tokio::time::sleep(pauses.next().unwrap_or(PAUSE.1)).await;
                }
                (Err(error), _) => {
                    return Err(ChainError::Lookup(reader.name().to_owned(), error));
                }
            }
        }
    }
    Ok(())
}
