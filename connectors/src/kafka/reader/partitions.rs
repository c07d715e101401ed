//! Partitions that come and go, and topics that are made again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, RebalanceProtocol};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{ID_TIMEOUT, Reader};
use crate::error::Result;
use crate::kafka::begin::{Begun, check_incarnation};
use crate::kafka::client::Rebalance;
use crate::kafka::failure::failed;
use crate::kafka::{start_offset, topic_id};
use crate::record::Partition;
use crate::source::Event;

impl Reader {
    /// What the coordinator wants, or the partitions of `--once`.
    pub(super) fn announce(&mut self) -> Result<Option<Event>> {
        if let Some(once) = &self.task.once {
            if self.announced {
                return Ok(None);
            }
            self.announced = true;
            let partitions: Vec<_> = once
                .iter()
                .map(|(partition, _)| partition.clone())
                .collect();
            if partitions.is_empty() {
                return Ok(None);
            }
            self.offered = Some(partitions.clone());
            return Ok(Some(Event::Assigned(partitions)));
        }
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            self.outage.end();
            match rebalance {
                Rebalance::Assign(partitions) if partitions.is_empty() => {
                    self.add(&TopicPartitionList::new())?;
                }
                Rebalance::Assign(partitions) => {
                    self.offered = Some(partitions.clone());
                    return Ok(Some(Event::Assigned(partitions)));
                }
                Rebalance::Revoke { partitions, lost } => {
                    self.withdraw(&partitions);
                    self.leaving = Some(partitions.clone());
                    self.lost = lost;
                    if partitions.is_empty() {
                        self.give_up();
                        continue;
                    }
                    return Ok(Some(Event::Revoked { partitions, lost }));
                }
            }
        }
        Ok(None)
    }

    /// These partitions wait for [`Source::assign`] no longer.
    pub(super) fn withdraw(&mut self, partitions: &[Partition]) {
        self.offered = self.offered.take().and_then(|mut open| {
            open.retain(|known| !partitions.contains(known));
            (!open.is_empty()).then_some(open)
        });
    }

    /// Hands the client partitions with the offsets to begin at.
    pub(super) fn add(&self, list: &TopicPartitionList) -> Result<()> {
        let answer = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(list),
            _ => {
                // This call replaces the assignment, so what is read already goes along.
                let mut whole = list.clone();
                for (partition, next) in self.fetch_buffer.reading() {
                    start_offset::add(&mut whole, partition, next)?;
                }
                self.consumer.assign(&whole)
            }
        };
        answer.map_err(|error| failed("partitions could not be taken on", error))
    }

    /// A topic that was deleted and made again while it is read begins to count anew, and the client
    /// goes on at the old offset. Looked at where the last look is `interval` ago.
    pub(super) fn check_ids(&mut self, interval: Duration) -> Result<()> {
        if self.ids_checked.elapsed() < interval {
            return Ok(());
        }
        self.ids_checked = Instant::now();
        let mut topics: Vec<Arc<str>> = self
            .fetch_buffer
            .incarnations()
            .filter(|(_, incarnation)| incarnation.is_some())
            .map(|(partition, _)| partition.topic.clone())
            .collect();
        topics.sort();
        topics.dedup();
        // A broker that is away is not asked again before the next time.
        let Ok(ids) = topic_id::ids(&self.consumer, &topics, ID_TIMEOUT) else {
            return Ok(());
        };
        for (partition, incarnation) in self.fetch_buffer.incarnations() {
            check_incarnation(partition, incarnation, ids.get(&partition.topic))?;
        }
        Ok(())
    }

    /// Says once what a person may not expect.
    pub(super) fn say(&mut self, begun: &Begun) {
        if !begun.untaken.is_empty() && !self.said_untaken {
            self.said_untaken = true;
            let group = &self.task.group;
            let (first, count) = (&begun.untaken[0], begun.untaken.len());
            tracing::warn!(
                "the target holds no position of {first} ({count} partitions in all), so reading begins where `start` says; group {group} has committed offsets there, which are not used. To begin at them: syncline positions set FILE --to group"
            );
        }
        if begun.without_id && !self.said_without_id {
            self.said_without_id = true;
            tracing::info!(
                "the brokers at {} give topics no ids: a topic that is deleted and made again is not recognised",
                self.task.brokers
            );
        }
    }
}
