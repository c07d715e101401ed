//! What the client's errors mean to a lane: an outage that the client mends by itself, or something
//! that only a person can.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::Reports;
use super::failure::expired;
use super::failure::{Verdict, judge};
use super::fetch_buffer::FetchBuffer;
use super::topic;
use crate::error::{Error, Result};

/// How long brokers may be away before it is said.
const REPORT_AFTER: Duration = Duration::from_secs(2);
/// How often it is looked whether they are back, and for how long.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// The outage that goes on, if one does.
#[derive(Debug, Default)]
pub(super) struct OutageTracker(Option<Outage>);

#[derive(Debug)]
struct Outage {
    since: Instant,
    probed: Instant,
    error: KafkaError,
    reason: String,
}

impl OutageTracker {
    /// Something came: it is over.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    /// Takes an error of the client: one that passes is noted.
    ///
    /// # Errors
    /// `Configuration` where it does not pass.
    pub(super) fn take(
        &mut self,
        error: KafkaError,
        consumer: &BaseConsumer<Reports>,
        fetch_buffer: &FetchBuffer,
        brokers: &str,
        topics_are_named: bool,
    ) -> Result<()> {
        let code = error.rdkafka_error_code();
        let reason = consumer.context().reason();
        match code.map_or(Verdict::Passing, judge) {
            Verdict::UnknownTopic if !topics_are_named => {
                tracing::warn!(target: "kafka", reason, "a topic is gone");
                Ok(())
            }
            Verdict::UnknownTopic => Err(Error::configuration_from(
                format!(
                    "a topic does not exist at {brokers}: {reason}; create it or correct `topics`"
                ),
                error,
            )),
            Verdict::Expired => Err(explain_expired(error, &reason, consumer, fetch_buffer)),
            Verdict::Refused(remedy) => Err(Error::configuration_from(
                format!(
                    "Kafka at {brokers} refuses, reading {}: {reason}; {remedy}",
                    whereabouts(fetch_buffer)
                ),
                error,
            )),
            Verdict::Passing if code == Some(RDKafkaErrorCode::PollExceeded) => {
                tracing::warn!(target: "kafka", reason, "the lane was away too long and left its group");
                Ok(())
            }
            Verdict::Passing => {
                let now = Instant::now();
                let (since, probed) = match &self.0 {
                    Some(outage) => (outage.since, outage.probed),
                    None => (now, now),
                };
                self.0 = Some(Outage {
                    since,
                    probed,
                    error,
                    reason,
                });
                Ok(())
            }
        }
    }

    /// The error to report, once brokers have been away for [`REPORT_AFTER`]. Nothing tells that an idle
    /// broker is back, so it is asked now and then.
    pub(super) fn report(
        &mut self,
        consumer: &BaseConsumer<Reports>,
        fetch_buffer: &FetchBuffer,
        brokers: &str,
    ) -> Option<Error> {
        let outage = self.0.as_mut()?;
        if outage.since.elapsed() < REPORT_AFTER {
            return None;
        }
        if outage.probed.elapsed() >= PROBE_INTERVAL {
            let answers = match fetch_buffer.reading().next() {
                Some((partition, _)) => consumer
                    .fetch_watermarks(&partition.topic, partition.number, PROBE_TIMEOUT)
                    .is_ok(),
                None => consumer.fetch_metadata(None, PROBE_TIMEOUT).is_ok(),
            };
            if answers {
                self.end();
                return None;
            }
            outage.probed = Instant::now();
        }
        Some(Error::unavailable(
            format!("Kafka at {brokers} does not answer: {}", outage.reason),
            outage.error.clone(),
        ))
    }
}

/// The partitions that are read, each with its next offset; a few of them.
fn whereabouts(fetch_buffer: &FetchBuffer) -> String {
    let few: Vec<_> = fetch_buffer
        .reading()
        .take(8)
        .map(|(partition, next)| format!("{partition} at {next}"))
        .collect();
    few.join(", ")
}

/// Finds the partition whose next offset is gone.
fn explain_expired(
    error: KafkaError,
    reason: &str,
    consumer: &BaseConsumer<Reports>,
    fetch_buffer: &FetchBuffer,
) -> Error {
    for (partition, next) in fetch_buffer.reading() {
        if let Ok((low, high)) = topic::watermarks(consumer, partition)
            && (next < low || next > high)
        {
            return expired(partition, next, low, high);
        }
    }
    Error::configuration_from(
        format!(
            "a position no longer exists at the broker, reading {}: {reason}",
            whereabouts(fetch_buffer)
        ),
        error,
    )
}
