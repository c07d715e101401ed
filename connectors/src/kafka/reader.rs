//! One member of the group, read by the thread of its lane.
//!
//! Guarantees: nothing of a partition is handed over before [`Source::assign`] said where to begin;
//! an offset that is gone is an error, never a reset; nothing is committed for a partition after
//! it was given up (R18). A duplicate is dropped by its offset, a tombstone is a record without
//! a value. The client recovers from brokers that are away; `next` says `Unavailable` once they
//! have been for [`PATIENCE`], and may be called again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{REQUEST_TIMEOUT, Rebalance, Reports, Verdict, failed, judge};
use super::gather::{Beginning, Gather};
use super::topic;
use super::{Start, headers, watermark};
use crate::error::{Error, Result};
use crate::record::{Partition, Positions};
use crate::source::{Event, Limits, Source};

/// How long brokers may be away before it is said.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether they are back, and for how long.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Partitions are paused once nothing was wanted for this long. A pause throws the client's queue
/// away, so a short wait of the lane must not cause one.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// The clock is read once in this many records.
const CLOCK_ROWS: usize = 256;
/// How long a partition that was assigned a moment ago may take until it can be moved.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a reader is told when it is opened.
pub(super) struct Task {
    pub(super) brokers: String,
    pub(super) start: Start,
    /// Whether a topic that is gone is an error: it was named.
    pub(super) topics_are_named: bool,
    /// `--once`: the partitions of this lane with their end offsets, no group protocol.
    pub(super) once: Option<Vec<(Partition, i64)>>,
}

/// A consumer; see the module docs.
pub(super) struct Reader {
    consumer: BaseConsumer<Reports>,
    task: Task,
    gather: Gather,
    /// Offered by [`Event::Assigned`], not yet answered by [`Source::assign`].
    offered: Option<Vec<Partition>>,
    /// Announced by [`Event::Revoked`]; given up with the next call of `next`.
    leaving: Option<Vec<Partition>>,
    /// Whether `leaving` is lost: nothing may be committed for it.
    lost: bool,
    announced: bool,
    idle_since: Option<Instant>,
    paused: bool,
    trouble: Option<Trouble>,
}

/// Brokers that are away.
struct Trouble {
    since: Instant,
    probed: Instant,
    error: KafkaError,
    reason: String,
}

/// How a poll went.
enum Polled {
    Record,
    /// A record that was not wanted, or an error that passes.
    Dropped,
    Ended,
    Nothing,
}

impl Reader {
    pub(super) fn new(consumer: BaseConsumer<Reports>, task: Task) -> Self {
        Self {
            consumer,
            task,
            gather: Gather::default(),
            offered: None,
            leaving: None,
            lost: false,
            announced: false,
            idle_since: None,
            paused: false,
            trouble: None,
        }
    }

    fn is_once(&self) -> bool {
        self.task.once.is_some()
    }

    /// Answers the revocation that `next` announced.
    fn give_up(&mut self) {
        let Some(partitions) = self.leaving.take() else {
            return;
        };
        self.lost = false;
        self.gather.remove(&partitions);
        let answer = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                self.consumer.incremental_unassign(&list_of(&partitions))
            }
            _ => self.consumer.unassign(),
        };
        if let Err(error) = answer {
            // It fails only where the client has let them go already.
            tracing::debug!(target: "kafka", %error, "partitions were given up before");
        }
    }

    /// What the coordinator wants, or the partitions of `--once`.
    fn announce(&mut self) -> Result<Option<Event>> {
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
            self.trouble = None;
            match rebalance {
                Rebalance::Assign(partitions) if partitions.is_empty() => {
                    self.add(&TopicPartitionList::new())?;
                }
                Rebalance::Assign(partitions) => {
                    self.offered = Some(partitions.clone());
                    return Ok(Some(Event::Assigned(partitions)));
                }
                Rebalance::Revoke { partitions, lost } => {
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

    /// Hands the client partitions with the offsets to begin at.
    fn add(&self, list: &TopicPartitionList) -> Result<()> {
        let answer = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(list),
            _ => {
                // This call replaces the assignment, so what is read already goes along.
                let mut whole = list.clone();
                for (partition, next) in self.gather.reading() {
                    place(&mut whole, partition, next)?;
                }
                self.consumer.assign(&whole)
            }
        };
        answer.map_err(|error| failed("partitions could not be taken on", error))
    }

    /// Moves partitions that are being read already. Returns once the client has dropped what it
    /// fetched before.
    fn seek(&self, beginnings: &[Beginning]) -> Result<()> {
        let what = "partitions could not be moved to another position";
        let deadline = Instant::now() + SEEK_TIMEOUT;
        let mut open: Vec<&Beginning> = beginnings.iter().collect();
        while !open.is_empty() {
            let list = list_from(open.iter().copied())?;
            let answer = self
                .consumer
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
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// Where to begin with each partition: the sink's position, else the committed offset, else as
    /// `start` says; each of them checked against what the broker holds.
    fn beginnings(
        &mut self,
        positions: &Positions,
        wanted: &[Partition],
    ) -> Result<Vec<Beginning>> {
        let mut singles = HashMap::new();
        for partition in wanted {
            if !singles.contains_key(&*partition.topic) {
                let count = topic::partitions(&self.consumer, &partition.topic)?.len();
                singles.insert(partition.topic.clone(), count == 1);
                self.gather.set_single(&partition.topic, count == 1);
            }
        }
        let mut unknown = TopicPartitionList::new();
        for partition in wanted.iter().filter(|known| !positions.contains_key(known)) {
            unknown.add_partition(&partition.topic, partition.number);
        }
        if unknown.count() > 0 {
            unknown = self
                .consumer
                .committed_offsets(unknown, REQUEST_TIMEOUT)
                .map_err(|error| failed("the group's offsets could not be read", error))?;
        }
        let mut beginnings = Vec::with_capacity(wanted.len());
        for partition in wanted {
            let (low, high) = topic::watermarks(&self.consumer, partition)?;
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
                None => match self.task.start {
                    Start::Earliest => low,
                    Start::Latest => high,
                },
            };
            let end = self.task.once.as_ref().and_then(|once| {
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

    /// Gathers records until a limit is reached.
    fn fill(&mut self, limits: &Limits) -> Result<Event> {
        let deadline = Instant::now() + limits.linger;
        let mut wait = Duration::ZERO;
        let mut rows_until_clock = CLOCK_ROWS;
        let mut has_ended = false;
        while self.gather.rows() < limits.rows && self.gather.bytes() < limits.bytes {
            match self.poll(wait)? {
                Polled::Record => {
                    wait = Duration::ZERO;
                    rows_until_clock -= 1;
                    if rows_until_clock == 0 {
                        rows_until_clock = CLOCK_ROWS;
                        if Instant::now() >= deadline {
                            break;
                        }
                    }
                    continue;
                }
                Polled::Dropped => {}
                Polled::Ended => {
                    has_ended = true;
                    if self.is_once() {
                        self.catch_up()?;
                    }
                }
                Polled::Nothing => {
                    let now = Instant::now();
                    if now >= deadline || self.consumer.context().has_rebalance() {
                        break;
                    }
                    wait = deadline - now;
                }
            }
            if self.is_drained() {
                break;
            }
        }
        if has_ended {
            self.catch_up()?;
        }
        if let Some(fetched) = self.gather.take() {
            return Ok(Event::Records(fetched));
        }
        if self.is_drained() {
            return Ok(Event::End);
        }
        self.unavailable().map_or(Ok(Event::Idle), Err)
    }

    /// Hands over nothing and stays a member. See [`PAUSE_AFTER`].
    fn hold_back(&mut self, linger: Duration) -> Result<Event> {
        let now = Instant::now();
        let since = *self.idle_since.get_or_insert(now);
        if !self.paused {
            if now.duration_since(since) < PAUSE_AFTER {
                std::thread::sleep(linger);
                return Ok(Event::Idle);
            }
            let partitions: Vec<_> = self.gather.partitions().cloned().collect();
            self.pause(&partitions)?;
            self.paused = true;
        }
        let deadline = now + linger;
        loop {
            // A record that was on its way is kept in the gather; no more follow it.
            self.poll(deadline.saturating_duration_since(Instant::now()))?;
            if Instant::now() >= deadline || self.consumer.context().has_rebalance() {
                return Ok(Event::Idle);
            }
        }
    }

    fn pause(&self, partitions: &[Partition]) -> Result<()> {
        self.consumer
            .pause(&list_of(partitions))
            .map_err(|error| failed("partitions could not be paused", error))
    }

    fn resume(&mut self) -> Result<()> {
        self.idle_since = None;
        if self.paused {
            let partitions: Vec<_> = self.gather.partitions().cloned().collect();
            self.consumer
                .resume(&list_of(&partitions))
                .map_err(|error| failed("partitions could not be resumed", error))?;
            self.paused = false;
        }
        Ok(())
    }

    /// Takes one thing from the client's queue.
    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        let message = match self.consumer.poll(wait) {
            None => return Ok(Polled::Nothing),
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(number))) => {
                self.trouble = None;
                self.gather.reached_end(number);
                return Ok(Polled::Ended);
            }
            Some(Err(error)) => {
                self.complain(error)?;
                return Ok(Polled::Dropped);
            }
        };
        let place = self
            .gather
            .accept(message.topic(), message.partition(), message.offset());
        let Some((records, index)) = place else {
            return Ok(Polled::Dropped);
        };
        let headers = message.headers().and_then(headers::to_json);
        records.push(
            index,
            message.offset(),
            message.timestamp().to_millis(),
            message.key(),
            message.payload(),
            headers.as_deref(),
        );
        drop(message);
        self.trouble = None;
        Ok(Polled::Record)
    }

    /// Moves the positions on to where the client stands: past transaction markers.
    fn catch_up(&mut self) -> Result<()> {
        let list = self
            .consumer
            .position()
            .map_err(|error| failed("the positions of the client could not be read", error))?;
        for element in list.elements() {
            if let Offset::Offset(position) = element.offset() {
                self.gather
                    .advance(element.topic(), element.partition(), position);
            }
        }
        Ok(())
    }

    /// Whether everything of `--once` was gathered.
    fn is_drained(&self) -> bool {
        self.is_once() && self.announced && self.offered.is_none() && self.gather.is_done()
    }

    /// What an error of the client means.
    fn complain(&mut self, error: KafkaError) -> Result<()> {
        let code = error.rdkafka_error_code();
        let reason = self.consumer.context().reason();
        match code.map_or(Verdict::Passing, judge) {
            Verdict::UnknownTopic if !self.task.topics_are_named => {
                tracing::warn!(target: "kafka", reason, "a topic is gone");
                Ok(())
            }
            Verdict::UnknownTopic => Err(Error::configuration_from(
                format!(
                    "a topic does not exist at {}: {reason}; create it or correct `topics`",
                    self.task.brokers
                ),
                error,
            )),
            Verdict::Expired => Err(self.explain_expired(&reason, error)),
            Verdict::Refused(remedy) => Err(Error::configuration_from(
                format!(
                    "Kafka at {} refuses, reading {}: {reason}; {remedy}",
                    self.task.brokers,
                    self.whereabouts()
                ),
                error,
            )),
            Verdict::Passing if code == Some(RDKafkaErrorCode::PollExceeded) => {
                tracing::warn!(target: "kafka", reason, "the lane was away for too long and left its group");
                Ok(())
            }
            Verdict::Passing => {
                let now = Instant::now();
                let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
                let probed = self.trouble.as_ref().map_or(now, |trouble| trouble.probed);
                self.trouble = Some(Trouble {
                    since,
                    probed,
                    error,
                    reason,
                });
                Ok(())
            }
        }
    }

    /// The partitions that are read, each with its next offset; a few of them.
    fn whereabouts(&self) -> String {
        let few: Vec<_> = self
            .gather
            .reading()
            .take(8)
            .map(|(partition, next)| format!("{partition} at {next}"))
            .collect();
        few.join(", ")
    }

    /// Finds the partition whose next offset is gone.
    fn explain_expired(&self, reason: &str, error: KafkaError) -> Error {
        for (partition, next) in self.gather.reading() {
            if let Ok((low, high)) = topic::watermarks(&self.consumer, partition)
                && (next < low || next > high)
            {
                return expired(partition, next, low, high);
            }
        }
        Error::configuration_from(
            format!(
                "a position no longer exists at the broker, reading {}: {reason}",
                self.whereabouts()
            ),
            error,
        )
    }

    /// The error to report while brokers are away, once they have been for a while.
    fn unavailable(&mut self) -> Option<Error> {
        let trouble = self.trouble.as_ref()?;
        if trouble.since.elapsed() < PATIENCE {
            return None;
        }
        if trouble.probed.elapsed() >= PROBE_INTERVAL {
            // Nothing tells that an idle broker is back, so it is asked.
            let answers = match self.gather.reading().next() {
                Some((partition, _)) => self
                    .consumer
                    .fetch_watermarks(&partition.topic, partition.number, PROBE_TIMEOUT)
                    .is_ok(),
                None => self.consumer.fetch_metadata(None, PROBE_TIMEOUT).is_ok(),
            };
            if answers {
                self.trouble = None;
                return None;
            }
        }
        let trouble = self.trouble.as_mut()?;
        if trouble.probed.elapsed() >= PROBE_INTERVAL {
            trouble.probed = Instant::now();
        }
        Some(Error::unavailable(
            format!(
                "Kafka at {} does not answer: {}",
                self.task.brokers, trouble.reason
            ),
            trouble.error.clone(),
        ))
    }
}

#[async_trait]
impl Source for Reader {
    async fn next(&mut self, limits: &Limits) -> Result<Event> {
        self.give_up();
        if let Some(event) = self.announce()? {
            return Ok(event);
        }
        if limits.rows == 0 {
            return self.hold_back(limits.linger);
        }
        self.resume()?;
        self.fill(limits)
    }

    async fn assign(&mut self, positions: &Positions, partitions: &[Partition]) -> Result<()> {
        let offered = self.offered.clone().unwrap_or_default();
        let wanted: Vec<Partition> = partitions
            .iter()
            .filter(|known| offered.contains(known) || self.gather.owns(known))
            .cloned()
            .collect();
        let (moved, fresh): (Vec<_>, Vec<_>) = self
            .beginnings(positions, &wanted)?
            .into_iter()
            .partition(|beginning| self.gather.owns(&beginning.partition));
        self.seek(&moved)?;
        if !fresh.is_empty() {
            self.add(&list_from(fresh.iter())?)?;
            if self.paused {
                let partitions: Vec<_> = fresh.iter().map(|new| new.partition.clone()).collect();
                self.pause(&partitions)?;
            }
        }
        self.offered = self.offered.take().and_then(|mut open| {
            open.retain(|known| !wanted.contains(known));
            (!open.is_empty()).then_some(open)
        });
        for beginning in moved.into_iter().chain(fresh) {
            self.gather.begin(beginning);
        }
        Ok(())
    }

    async fn acknowledge(&mut self, positions: &Positions) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, &position) in positions {
            let is_lost = self.lost
                && self
                    .leaving
                    .as_ref()
                    .is_some_and(|leaving| leaving.contains(partition));
            if self.gather.owns(partition) && !is_lost {
                place(&mut list, partition, position)?;
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        // Nobody waits for the answer: the sink's positions are what counts.
        self.consumer
            .commit(&list, CommitMode::Async)
            .map_err(|error| failed("offsets could not be committed", error))
    }

    fn lag(&self) -> Option<u64> {
        self.gather.partitions().next()?;
        self.gather
            .reading()
            .map(|(partition, next)| {
                let high = watermark::cached_high(&self.consumer, partition)?;
                Some(u64::try_from(high - next).unwrap_or(0))
            })
            .sum()
    }

    async fn close(self: Box<Self>) -> Result<()> {
        drop(self);
        Ok(())
    }
}

/// Leaves the group. The client closes only once every rebalance is answered.
impl Drop for Reader {
    fn drop(&mut self) {
        self.consumer.context().close();
        self.give_up();
        let mut open = self.offered.take().is_some();
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            match rebalance {
                Rebalance::Assign(_) => open = true,
                Rebalance::Revoke { partitions, .. } => {
                    self.leaving = Some(partitions);
                    self.give_up();
                }
            }
        }
        let answer = if self.is_once() {
            self.consumer.unassign()
        } else if open {
            match self.consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => {
                    self.consumer.incremental_assign(&TopicPartitionList::new())
                }
                _ => self.consumer.unassign(),
            }
        } else {
            Ok(())
        };
        if let Err(error) = answer {
            tracing::debug!(target: "kafka", %error, "the consumer closes with an answer owed");
        }
    }
}

fn expired(partition: &Partition, asked: i64, low: i64, high: i64) -> Error {
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

fn list_of(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
    }
    list
}

fn list_from<'a>(beginnings: impl Iterator<Item = &'a Beginning>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for beginning in beginnings {
        place(&mut list, &beginning.partition, beginning.offset)?;
    }
    Ok(list)
}

fn place(list: &mut TopicPartitionList, partition: &Partition, offset: i64) -> Result<()> {
    list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset))
        .map_err(|error| failed("an offset could not be set", error))
}
