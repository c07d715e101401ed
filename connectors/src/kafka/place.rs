//! Places in partitions: the offsets that `start` and `syncline positions set` mean.

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{REQUEST_TIMEOUT, failed};
use super::{Start, topic};
use crate::error::Result;
use crate::record::Partition;

/// The offset of each partition that `start` means: for a timestamp that of the first record that is
/// not older, or the end where there is none.
pub(super) fn offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[Partition],
    start: &Start,
) -> Result<Vec<(Partition, i64)>> {
    let mut by_time = None;
    if let Start::Timestamp(timestamp) = start
        && !partitions.is_empty()
    {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            add(&mut list, partition, timestamp.milliseconds()?)?;
        }
        let found = consumer
            .offsets_for_times(list, REQUEST_TIMEOUT)
            .map_err(|error| failed("the offsets of a time could not be read", error))?;
        by_time = Some(found);
    }
    let mut offsets = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let timed = by_time.as_ref().and_then(|list| {
            match list
                .find_partition(&partition.topic, partition.number)?
                .offset()
            {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }
        });
        let offset = match timed {
            Some(offset) => offset,
            None => {
                let (low, high) = topic::watermarks(consumer, partition)?;
                match start {
                    Start::Earliest => low,
                    Start::Latest | Start::Timestamp(_) => high,
                }
            }
        };
        offsets.push((partition.clone(), offset));
    }
    Ok(offsets)
}

/// Adds a partition with its offset.
pub(super) fn add(list: &mut TopicPartitionList, partition: &Partition, offset: i64) -> Result<()> {
    list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset))
        .map_err(|error| failed("an offset could not be set", error))
}
