//! Which topics and partitions there are, and what they hold.

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use regex::Regex;

use super::failure::{REQUEST_TIMEOUT, failed};
use super::fetch_buffer::partition;
use crate::error::{Error, Result};
use crate::record::Partition;

/// Kafka's own topics, which no pattern matches; the client takes patterns.
pub(super) const INTERNAL: &str =
    "^__consumer_offsets$,^__transaction_state$,^__share_group_state$,^__cluster_metadata$";

/// A pattern of topics, as both the client and [`matching`] read it.
///
/// # Errors
/// The reason why it is none, for a person.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    // The client knows POSIX patterns only; what it would read otherwise is refused.
    for foreign in ["\\d", "\\D", "\\p", "(?", "*?", "+?", "??"] {
        if text.contains(foreign) {
            return Err(format!(
                "the pattern `{text}` holds `{foreign}`, which Kafka's client does not know; write it with [0-9], [a-z] and the like"
            ));
        }
    }
    Regex::new(text).map_err(|error| format!("`{text}` is not a pattern: {error}"))
}

/// The partitions of the topics that are named or match, sorted. A pattern may match none; a name
/// has to be there.
pub(super) fn matching<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    brokers: &str,
    topics: &[String],
) -> Result<Vec<Partition>> {
    let mut partitions = Vec::new();
    let mut patterns = Vec::new();
    for name in topics {
        if name.starts_with('^') {
            patterns.push(pattern(name).map_err(Error::configuration)?);
        } else {
            let numbers = self::partitions(consumer, name).map_err(|error| match error {
                Error::Configuration { message, cause } => Error::Configuration {
                    message: format!("{message} (brokers {brokers})"),
                    cause,
                },
                Error::Unavailable { message, cause } => Error::Unavailable {
                    message: format!("{message} (brokers {brokers})"),
                    cause,
                },
                other => other,
            })?;
            partitions.extend(numbers.into_iter().map(|number| partition(name, number)));
        }
    }
    if !patterns.is_empty() {
        let metadata = consumer
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| {
                failed(
                    &format!("the topics of {brokers} could not be listed"),
                    error,
                )
            })?;
        let internal: Vec<&str> = INTERNAL
            .split(',')
            .map(|name| name.trim_matches(['^', '$']))
            .collect();
        for topic in metadata.topics() {
            if !internal.contains(&topic.name())
                && patterns
                    .iter()
                    .any(|pattern| pattern.is_match(topic.name()))
            {
                let numbers = numbers(topic);
                partitions.extend(
                    numbers
                        .into_iter()
                        .map(|number| partition(topic.name(), number)),
                );
            }
        }
    }
    partitions.sort();
    partitions.dedup();
    Ok(partitions)
}

/// The partition numbers of one topic.
pub(super) fn partitions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
) -> Result<Vec<i32>> {
    let what = || format!("topic {topic} could not be looked up");
    let metadata = consumer
        .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
        .map_err(|error| failed(&what(), error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found {
        Some(found) => match found.error() {
            Some(code) => Err(failed(&what(), KafkaError::MetadataFetch(code.into()))),
            None => Ok(numbers(found)),
        },
        None => {
            let code = RDKafkaErrorCode::UnknownTopicOrPartition;
            Err(failed(&what(), KafkaError::MetadataFetch(code)))
        }
    }
}

/// The first offset that a partition holds, and one past the last that may be read.
pub(super) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partition: &Partition,
) -> Result<(i64, i64)> {
    consumer
        .fetch_watermarks(&partition.topic, partition.number, REQUEST_TIMEOUT)
        .map_err(|error| {
            failed(
                &format!("the offsets of {partition} could not be read"),
                error,
            )
        })
}

fn numbers(topic: &MetadataTopic) -> Vec<i32> {
    topic.partitions().iter().map(|found| found.id()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_the_client_would_read_otherwise_is_refused() {
        for (text, expect) in [
            ("^crm\\.public\\..*", true),
            ("^a[0-9]+$", true),
            ("^a\\d+", false),
            ("^(?i)a", false),
            ("^a.*?b", false),
            ("^a(", false),
        ] {
            assert_eq!(pattern(text).is_ok(), expect, "{text}");
        }
    }
}
