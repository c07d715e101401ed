//! Where a consumer begins with a partition, and moving it there.
//!
//! The sink's position decides, else the group's committed offset, else `start`. Each is checked
//! against what the broker holds: one that is gone is an error, never a reset.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Start;
use super::client::{REQUEST_TIMEOUT, Reports, failed};
use super::gather::Beginning;
use super::topic;
use crate::error::{Error, Result};
use crate::record::{Partition, Positions};

/// How long a partition that was assigned a moment ago may take until it can be moved.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it is left alone in between.
const SEEK_PAUSE: Duration = Duration::from_millis(5);

/// Where to begin with each partition: the sink's position, else the committed offset, else as
/// `start` says; each of them checked against what the broker holds.
pub(super) fn beginnings(
    consumer: &BaseConsumer<Reports>,
    start: Start,
    once: Option<&[(Partition, i64)]>,
    positions: &Positions,
    wanted: &[Partition],
) -> Result<Vec<Beginning>> {
    let mut singles = HashMap::new();
    for partition in wanted {
        if !singles.contains_key(&*partition.topic) {
            let count = topic::partitions(consumer, &partition.topic)?.len();
            singles.insert(partition.topic.clone(), count == 1);
        }
    }
    let mut unknown = TopicPartitionList::new();
    for partition in wanted.iter().filter(|known| !positions.contains_key(known)) {
        unknown.add_partition(&partition.topic, partition.number);
    }
    if unknown.count() > 0 {
        unknown = consumer
            .committed_offsets(unknown, REQUEST_TIMEOUT)
            .map_err(|error| failed("the group's offsets could not be read", error))?;
    }
    let mut beginnings = Vec::with_capacity(wanted.len());
    for partition in wanted {
        let (low, high) = topic::watermarks(consumer, partition)?;
        let from = positions.get(partition).copied();
        let committed = unknown
            .find_partition(&partition.topic, partition.number)
            .and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
        let offset = match from.or(committed) {
            Some(asked) if asked < low || asked > high => {
                return Err(expired(partition, asked, low, high));
            }
            Some(asked) => asked,
            None => match start {
                Start::Earliest => low,
                Start::Latest => high,
            },
        };
        let end = once.and_then(|once| {
            let found = once.iter().find(|(known, _)| known == partition)?;
            Some(found.1)
        });
        beginnings.push(Beginning {
            partition: partition.clone(),
            single: singles.get(&partition.topic).copied().unwrap_or(false),
            from,
            offset,
            end,
        });
    }
    Ok(beginnings)
}

/// Moves partitions that are being read already. Returns once the client has dropped what it
/// fetched before.
pub(super) fn seek(consumer: &BaseConsumer<Reports>, beginnings: &[Beginning]) -> Result<()> {
    let what = "partitions could not be moved to another position";
    let deadline = Instant::now() + SEEK_TIMEOUT;
    let mut open: Vec<&Beginning> = beginnings.iter().collect();
    while !open.is_empty() {
        let list = list_from(open.iter().copied())?;
        let answer = consumer
            .seek_partitions(list, SEEK_TIMEOUT)
            .map_err(|error| failed(what, error))?;
        let refused: Vec<_> = answer
            .elements()
            .iter()
            .filter_map(|element| {
                let error = element.error().err()?;
                Some((element.topic().to_owned(), element.partition(), error))
            })
            .collect();
        open.retain(|beginning| {
            refused.iter().any(|(topic, number, _)| {
                *number == beginning.partition.number && **topic == *beginning.partition.topic
            })
        });
        if let Some((_, _, error)) = refused.into_iter().next() {
            // A partition whose fetcher is about to start cannot be moved for a moment.
            if Instant::now() >= deadline {
                return Err(failed(what, error));
            }
            std::thread::sleep(SEEK_PAUSE);
        }
    }
    Ok(())
}

/// The position is not, or not any more, at the broker.
pub(super) fn expired(partition: &Partition, asked: i64, low: i64, high: i64) -> Error {
    let cause = if asked < low {
        "the records from there on were deleted before they were read; load the table anew, or \
         accept the gap and delete the partition's position from the sink and the group"
    } else {
        "the topic was made anew or cut short; if that was meant, delete the partition's position \
         from the sink and the group"
    };
    Error::configuration(format!(
        "{partition} has no position {asked}: the broker holds {low} to {high}; {cause}"
    ))
}

/// Partitions without offsets.
pub(super) fn list_of(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
    }
    list
}

/// Partitions with the offsets to begin at.
pub(super) fn list_from<'a>(
    beginnings: impl Iterator<Item = &'a Beginning>,
) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for beginning in beginnings {
        place(&mut list, &beginning.partition, beginning.offset)?;
    }
    Ok(list)
}

/// Adds a partition with its offset.
pub(super) fn place(
    list: &mut TopicPartitionList,
    partition: &Partition,
    offset: i64,
) -> Result<()> {
    list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset))
        .map_err(|error| failed("an offset could not be set", error))
}
