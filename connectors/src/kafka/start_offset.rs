//! Places in partitions: the offsets that `start` and `syncline positions set` mean.

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::failure::{REQUEST_TIMEOUT, failed};
use super::{Start, topic};
use crate::error::Result;
use crate::record::Partition;

/// A place in every partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartOffset {
    /// The first record that is there.
    Beginning,
    /// The first record that comes.
    End,
    /// The first record that is not older than this, in milliseconds since the epoch; the end where
    /// there is none.
    Since(i64),
}

impl StartOffset {
    /// What `start` means.
    ///
    /// # Errors
    /// `Configuration` where its instant is none.
    pub(super) fn of(start: &Start) -> Result<Self> {
        Ok(match start {
            Start::Earliest => Self::Beginning,
            Start::Latest => Self::End,
            Start::Timestamp(timestamp) => Self::Since(timestamp.milliseconds()?),
        })
    }
}

/// The offset of a place in each partition.
pub(super) fn offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[Partition],
    start_offset: StartOffset,
) -> Result<Vec<(Partition, i64)>> {
    let mut by_time = None;
    if let StartOffset::Since(milliseconds) = start_offset
        && !partitions.is_empty()
    {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            add(&mut list, partition, milliseconds)?;
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
                match start_offset {
                    StartOffset::Beginning => low,
                    StartOffset::End | StartOffset::Since(_) => high,
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
