//! One member of the group, read by the thread of its lane.
//!
//! Guarantees: nothing of a partition is handed over before [`Source::assign`] said where to begin;
//! an offset that is gone is an error, never a reset; nothing is committed for a partition after
//! it was given up (R18). A duplicate is dropped by its offset, a tombstone is a record without
//! a value. The client recovers from brokers that are away; `next` says `Unavailable` once they
//! have been for a few seconds, and may be called again.

mod partitions;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::begin::{begin, list_from, list_of, seek};
use super::client::{Rebalance, Reports};
use super::failure::failed;
use super::fetch_buffer::FetchBuffer;
use super::outage::OutageTracker;
use super::task::Task;
use super::{headers, start_offset, watermark};
use crate::assignment::{Assignment, Remember};
use crate::error::Result;
use crate::record::{Partition, Positions};
use crate::source::{Event, Limits, Source};

/// Partitions are paused once nothing was wanted for this long. A pause throws the client's queue
/// away, so a short wait of the lane must not cause one.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// The clock is read once in this many records.
const CLOCK_ROWS: usize = 256;

/// How often it is looked whether a topic was made again while it is read, and how long that may take.
const ID_INTERVAL: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });
const ID_TIMEOUT: Duration = Duration::from_millis(500);

/// A consumer; see the module docs.
pub(super) struct Reader {
    consumer: BaseConsumer<Reports>,
    task: Task,
    fetch_buffer: FetchBuffer,
    /// Offered by [`Event::Assigned`], not yet answered by [`Source::assign`].
    offered: Option<Vec<Partition>>,
    /// Announced by [`Event::Revoked`]; given up with the next call of `next`.
    leaving: Option<Vec<Partition>>,
    /// Whether `leaving` is lost: nothing may be committed for it.
    lost: bool,
    announced: bool,
    idle_since: Option<Instant>,
    paused: bool,
    /// Whether a partition ended since the positions were read last.
    ended: bool,
    /// What was said once in the log.
    said_untaken: bool,
    said_without_id: bool,
    ids_checked: Instant,
    outage: OutageTracker,
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
            fetch_buffer: FetchBuffer::default(),
            offered: None,
            leaving: None,
            lost: false,
            announced: false,
            idle_since: None,
            paused: false,
            ended: false,
            said_untaken: false,
            said_without_id: false,
            ids_checked: Instant::now(),
            outage: OutageTracker::default(),
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
        self.fetch_buffer.remove(&partitions);
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

    /// Gathers records until a limit is reached.
    fn fill(&mut self, limits: &Limits) -> Result<Event> {
        let deadline = Instant::now() + limits.linger;
        // To wait costs a wake-up, so what is there is taken first.
        let mut wait = Duration::ZERO;
        let mut rows_until_clock = CLOCK_ROWS;
        while self.fetch_buffer.rows() < limits.rows && self.fetch_buffer.bytes() < limits.bytes {
            match self.poll(wait)? {
                Polled::Record if rows_until_clock > 0 => {
                    rows_until_clock -= 1;
                    wait = Duration::ZERO;
                    continue;
                }
                Polled::Record => rows_until_clock = CLOCK_ROWS,
                Polled::Dropped => {}
                Polled::Ended if self.is_once() => self.catch_up()?,
                Polled::Ended => {}
                Polled::Nothing if self.consumer.context().has_rebalance() => break,
                Polled::Nothing => {}
            }
            wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() || self.is_drained() {
                break;
            }
        }
        if self.ended {
            self.catch_up()?;
        }
        if let Some(fetched) = self.fetch_buffer.take() {
            return Ok(Event::Records(fetched));
        }
        if self.is_drained() {
            return Ok(Event::End);
        }
        let outage = self
            .outage
            .report(&self.consumer, &self.fetch_buffer, &self.task.brokers);
        outage.map_or(Ok(Event::Idle), Err)
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
            let partitions: Vec<_> = self.fetch_buffer.partitions().cloned().collect();
            self.pause(&partitions)?;
            self.paused = true;
        }
        let deadline = now + linger;
        loop {
            // A record that was on its way is kept in the fetch buffer; no more follow it.
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
            let partitions: Vec<_> = self.fetch_buffer.partitions().cloned().collect();
            self.consumer
                .resume(&list_of(&partitions))
                .map_err(|error| failed("partitions could not be resumed", error))?;
            self.paused = false;
        }
        Ok(())
    }

    /// Takes one thing from the client's queue.
    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        let polled = self.poll_client(wait);
        if polled.is_err() {
            // A topic that was made again is the better reason.
            self.check_ids(Duration::ZERO)?;
        }
        polled
    }

    fn poll_client(&mut self, wait: Duration) -> Result<Polled> {
        let message = match self.consumer.poll(wait) {
            None => return Ok(Polled::Nothing),
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(number))) => {
                self.outage.end();
                self.fetch_buffer.reached_end(number);
                self.ended = true;
                return Ok(Polled::Ended);
            }
            Some(Err(error)) => {
                self.outage.take(
                    error,
                    &self.consumer,
                    &self.fetch_buffer,
                    &self.task.brokers,
                    !self.task.topics.has_pattern(),
                )?;
                return Ok(Polled::Dropped);
            }
        };
        let start_offset =
            self.fetch_buffer
                .accept(message.topic(), message.partition(), message.offset());
        let Some((records, index)) = start_offset else {
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
        self.outage.end();
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
                self.fetch_buffer
                    .advance(element.topic(), element.partition(), position);
            }
        }
        self.ended = false;
        Ok(())
    }

    /// Commits offsets. Nobody waits for the answer: the sink's positions are what counts.
    fn commit(&self, list: &TopicPartitionList) -> Result<()> {
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer
            .commit(list, CommitMode::Async)
            .map_err(|error| failed("offsets could not be committed", error))
    }

    /// Whether everything of `--once` was gathered.
    fn is_drained(&self) -> bool {
        self.is_once() && self.announced && self.offered.is_none() && self.fetch_buffer.is_done()
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
        self.check_ids(ID_INTERVAL)?;
        self.fill(limits)
    }

    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>> {
        let offered = self.offered.clone().unwrap_or_default();
        let wanted: Vec<&Assignment> = assignments
            .iter()
            .filter(|Assignment { partition, .. }| {
                offered.contains(partition) || self.fetch_buffer.owns(partition)
            })
            .collect();
        let mut begun = begin(&self.consumer, &self.task, &wanted)?;
        self.say(&begun);
        for beginning in &begun.beginnings {
            self.fetch_buffer
                .set_single(&beginning.partition.topic, beginning.single);
        }
        let (moved, fresh): (Vec<_>, Vec<_>) = std::mem::take(&mut begun.beginnings)
            .into_iter()
            .partition(|beginning| self.fetch_buffer.owns(&beginning.partition));
        seek(&self.consumer, &moved)?;
        if !fresh.is_empty() {
            self.add(&list_from(fresh.iter())?)?;
            if self.paused {
                let partitions: Vec<_> = fresh.iter().map(|new| new.partition.clone()).collect();
                self.pause(&partitions)?;
            }
        }
        if !self.is_once() {
            // The end moves on: whoever owns the partition next must begin here, not there.
            let mut list = TopicPartitionList::new();
            for (partition, offset) in &begun.commit {
                start_offset::add(&mut list, partition, *offset)?;
            }
            self.commit(&list)?;
        }
        let wanted: Vec<Partition> = wanted.iter().map(|known| known.partition.clone()).collect();
        self.withdraw(&wanted);
        for beginning in moved.into_iter().chain(fresh) {
            self.fetch_buffer.begin(beginning);
        }
        Ok(begun.remember())
    }

    async fn acknowledge(&mut self, positions: &Positions) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, &position) in positions {
            let is_lost = self.lost
                && self
                    .leaving
                    .as_ref()
                    .is_some_and(|leaving| leaving.contains(partition));
            if self.fetch_buffer.owns(partition) && !is_lost {
                start_offset::add(&mut list, partition, position)?;
            }
        }
        self.commit(&list)
    }

    fn lag(&self) -> Option<u64> {
        self.fetch_buffer.partitions().next()?;
        self.fetch_buffer
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
