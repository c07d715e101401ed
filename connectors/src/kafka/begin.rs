//! Where a consumer begins with a partition, and moving it there.
//!
//! Each sink's position decides, else `start`; the group's committed offset only for a sink that keeps
//! no positions. Each is checked against what the broker holds: one that is gone is an error, never a
//! reset, and so is one of another topic of the same name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::Reports;
use super::failure::{REQUEST_TIMEOUT, expired, failed};
use super::fetch_buffer::Beginning;
use super::start_offset::StartOffset;
use super::task::Task;
use super::{Start, start_offset, topic, topic_id};
use crate::assignment::{Assignment, Known, Remember, Standing};
use crate::error::{Error, Result};
use crate::record::{Incarnation, Partition, Span};

/// How long a partition that was assigned a moment ago may take until it can be moved.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it is left alone in between.
const SEEK_PAUSE: Duration = Duration::from_millis(5);

/// Where to begin, and who has to keep that.
#[derive(Default)]
pub(super) struct Begun {
    pub(super) beginnings: Vec<Beginning>,
    remember: BTreeMap<(usize, Partition), Span>,
    /// What the group has to keep, for sinks that keep no positions.
    pub(super) commit: BTreeMap<Partition, i64>,
    /// Partitions of which the group has an offset that a sink without a position does not take.
    pub(super) untaken: Vec<Partition>,
    /// Whether a topic has no id.
    pub(super) without_id: bool,
}

/// What the broker says of the topics that are assigned.
struct Broker<'a> {
    consumer: &'a BaseConsumer<Reports>,
    task: &'a Task,
    /// The partitions of each topic.
    topics: HashMap<Arc<str>, Vec<Partition>>,
    ids: HashMap<Arc<str>, Incarnation>,
    /// The group's offsets, of every partition of the topics.
    committed: BTreeMap<Partition, i64>,
    /// Where `start` says to begin, as far as it was asked.
    starts: BTreeMap<Partition, i64>,
}

/// Where to begin with each partition; see the module docs.
pub(super) fn begin(
    consumer: &BaseConsumer<Reports>,
    task: &Task,
    assignments: &[&Assignment],
) -> Result<Begun> {
    let mut broker = Broker::ask(consumer, task, assignments)?;
    let mut begun = Begun::default();
    for assignment in assignments {
        let partition = &assignment.partition;
        let id = broker.ids.get(&partition.topic).cloned();
        begun.without_id |= id.is_none();
        let (low, high) = topic::watermarks(consumer, partition)?;
        let mut places = Vec::with_capacity(assignment.sinks.len());
        let mut all_known = false;
        for (sink, standing) in assignment.sinks.iter().enumerate() {
            let (at, known) = match standing {
                Standing::Held(held) => {
                    check_incarnation(partition, held.incarnation.as_ref(), id.as_ref())?;
                    check_range(partition, held.next, low, high)?;
                    (held.next, true)
                }
                Standing::New(known) => {
                    if broker.committed.contains_key(partition) {
                        begun.untaken.push(partition.clone());
                    }
                    match broker.start(partition, *known)? {
                        None => (low, false),
                        Some((at, met)) => {
                            begun.meet(sink, &broker, &met);
                            (at, true)
                        }
                    }
                }
                Standing::Unkept => (broker.own_memory(partition, low, high, &mut begun)?, true),
            };
            all_known = known && (sink == 0 || all_known);
            places.push(at);
        }
        let offset = places.iter().copied().min().unwrap_or(low);
        for (sink, at) in places.into_iter().enumerate() {
            if assignment.sinks[sink] == Standing::Unkept && at > offset {
                let start_offset = span(partition, at, None);
                begun
                    .remember
                    .insert((sink, partition.clone()), start_offset);
            }
        }
        let kept = |sink: &Standing| *sink != Standing::Unkept;
        begun.beginnings.push(Beginning {
            partition: partition.clone(),
            single: broker.topics[&partition.topic].len() == 1,
            from: (all_known && assignment.sinks.iter().any(kept)).then_some(offset),
            offset,
            end: task.end(partition),
            incarnation: id,
        });
    }
    Ok(begun)
}

impl Begun {
    /// What sinks have to keep.
    pub(super) fn remember(self) -> Vec<Remember> {
        let remember = |((sink, _), span)| Remember { sink, span };
        self.remember.into_iter().map(remember).collect()
    }

    /// Sink number `sink` meets these partitions.
    fn meet(&mut self, sink: usize, broker: &Broker<'_>, met: &[Partition]) {
        for partition in met {
            let id = broker.ids.get(&partition.topic).cloned();
            let span = span(partition, broker.starts[partition], id);
            self.remember.insert((sink, partition.clone()), span);
        }
    }
}

impl<'a> Broker<'a> {
    fn ask(
        consumer: &'a BaseConsumer<Reports>,
        task: &'a Task,
        assignments: &[&Assignment],
    ) -> Result<Self> {
        let mut topics: HashMap<Arc<str>, Vec<Partition>> = HashMap::new();
        for Assignment { partition, .. } in assignments {
            if !topics.contains_key(&partition.topic) {
                let numbers = topic::partitions(consumer, &partition.topic)?;
                let partitions = numbers.into_iter().map(|number| Partition {
                    topic: partition.topic.clone(),
                    number,
                });
                topics.insert(partition.topic.clone(), partitions.collect());
            }
        }
        if task.start != Start::Earliest && meets_source(assignments) {
            // All that is there now is met now, whoever reads it.
            for partition in topic::matching(consumer, &task.brokers, task.topics.names())? {
                let known = topics.entry(partition.topic.clone()).or_default();
                if !known.contains(&partition) {
                    known.push(partition);
                }
            }
        }
        let names: Vec<Arc<str>> = topics.keys().cloned().collect();
        let asked = |sink: &Standing| !matches!(sink, Standing::Held(_));
        let unkept = |sink: &Standing| *sink == Standing::Unkept;
        let any = |wanted: &dyn Fn(&Standing) -> bool| {
            assignments
                .iter()
                .any(|assignment| assignment.sinks.iter().any(wanted))
        };
        let committed = if any(&asked) {
            match committed(consumer, topics.values().flatten()) {
                Ok(committed) => committed,
                Err(error) if any(&unkept) => return Err(error),
                Err(error) => {
                    // They are only mentioned.
                    tracing::debug!(target: "kafka", error = error.chain(), "no offsets of the group");
                    BTreeMap::new()
                }
            }
        } else {
            BTreeMap::new()
        };
        Ok(Self {
            consumer,
            task,
            ids: topic_id::ids(consumer, &names, REQUEST_TIMEOUT)?,
            topics,
            committed,
            starts: BTreeMap::new(),
        })
    }

    /// Where a sink begins that keeps positions and holds none of `partition`, with everything that it
    /// has to keep then; `None` for the first record, which it need not keep.
    fn start(
        &mut self,
        partition: &Partition,
        known: Known,
    ) -> Result<Option<(i64, Vec<Partition>)>> {
        let is_named = self
            .task
            .topics
            .names()
            .iter()
            .any(|name| **name == *partition.topic);
        let met: Vec<Partition> = match known {
            _ if self.task.start == Start::Earliest => return Ok(None),
            Known::Topic => return Ok(None),
            // A topic that joined a pattern. One that was added by its name is met only now.
            Known::OtherTopics if !is_named => return Ok(None),
            Known::OtherTopics => self.topics[&partition.topic].clone(),
            Known::Nothing => self.topics.values().flatten().cloned().collect(),
        };
        self.ask_starts(&met)?;
        Ok(self.starts.get(partition).map(|&at| (at, met)))
    }

    /// Where a sink begins that keeps no positions: at the group's offset. A group that knows the topic
    /// and not the partition begins at its first record, one that knows neither as `start` says.
    fn own_memory(
        &mut self,
        partition: &Partition,
        low: i64,
        high: i64,
        begun: &mut Begun,
    ) -> Result<i64> {
        if let Some(&at) = self.committed.get(partition) {
            check_range(partition, at, low, high)?;
            return Ok(at);
        }
        let knows_topic = self
            .committed
            .keys()
            .any(|known| known.topic == partition.topic);
        if self.task.start == Start::Earliest || knows_topic {
            return Ok(low);
        }
        let met = self.topics[&partition.topic].clone();
        self.ask_starts(&met)?;
        for partition in met {
            let at = self.starts[&partition];
            begun.commit.insert(partition, at);
        }
        Ok(self.starts[partition])
    }

    fn ask_starts(&mut self, partitions: &[Partition]) -> Result<()> {
        let open: Vec<Partition> = partitions
            .iter()
            .filter(|partition| !self.starts.contains_key(partition))
            .cloned()
            .collect();
        let found =
            start_offset::offsets(self.consumer, &open, StartOffset::of(&self.task.start)?)?;
        self.starts.extend(found);
        Ok(())
    }
}

fn span(partition: &Partition, next: i64, incarnation: Option<Incarnation>) -> Span {
    Span {
        partition: partition.clone(),
        from: None,
        next,
        incarnation,
    }
}

/// Whether a sink knows nothing of the whole source.
fn meets_source(assignments: &[&Assignment]) -> bool {
    let sinks = assignments.iter().flat_map(|assignment| &assignment.sinks);
    sinks
        .into_iter()
        .any(|sink| *sink == Standing::New(Known::Nothing))
}

/// The group's offsets.
pub(super) fn committed<'a>(
    consumer: &BaseConsumer<Reports>,
    partitions: impl Iterator<Item = &'a Partition>,
) -> Result<BTreeMap<Partition, i64>> {
    let mut list = TopicPartitionList::new();
    let mut asked = BTreeSet::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
        asked.insert(partition.clone());
    }
    let list = consumer
        .committed_offsets(list, REQUEST_TIMEOUT)
        .map_err(|error| failed("the group's offsets could not be read", error))?;
    let found = asked.into_iter().filter_map(|partition| {
        let element = list.find_partition(&partition.topic, partition.number)?;
        match element.offset() {
            Offset::Offset(offset) => Some((partition, offset)),
            _ => None,
        }
    });
    Ok(found.collect())
}

/// A position of a topic that was deleted and made again counts in something else.
pub(super) fn check_incarnation(
    partition: &Partition,
    held: Option<&Incarnation>,
    now: Option<&Incarnation>,
) -> Result<()> {
    match (held, now) {
        (Some(held), Some(now)) if held != now => {
            let topic = &partition.topic;
            Err(Error::configuration(format!(
                "topic {topic} was deleted and made again: the target's position of {partition} counts in {held}, and the broker has {now}; to read the new topic from where `start` says: syncline positions reset FILE --topic {topic}"
            )))
        }
        _ => Ok(()),
    }
}

fn check_range(partition: &Partition, asked: i64, low: i64, high: i64) -> Result<()> {
    if asked < low || asked > high {
        return Err(expired(partition, asked, low, high));
    }
    Ok(())
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
        start_offset::add(&mut list, &beginning.partition, beginning.offset)?;
    }
    Ok(list)
}
