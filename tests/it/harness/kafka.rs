//! A Kafka cluster in a test: own topics, records to produce and to read, offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::eventually;
use super::services::unique;

const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Kafka {
    brokers: String,
}

/// A record to produce or that was read. Without a value it is a tombstone. The key selects the
/// partition, as in Debezium's own producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

/// A record with arbitrary bytes, for a given partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawMessage {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Kafka {
    pub(crate) fn new(brokers: String) -> Self {
        Self { brokers }
    }

    /// `host:port`.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Creates a topic `LABEL_…` that no other test uses.
    pub(crate) async fn topic(&self, label: &str, partitions: i32) -> String {
        let name = unique(label);
        self.create_topic(&name, partitions).await;
        name
    }

    /// Creates a topic with exactly this name.
    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let results = self
            .admin()
            .create_topics([&topic], &AdminOptions::new())
            .await
            .expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("topic {topic} was not made: {code}"));
        }
    }

    /// Deletes a topic, and waits until it is gone.
    pub(crate) async fn delete_topic(&self, name: &str) {
        let results = self
            .admin()
            .delete_topics(&[name], &AdminOptions::new())
            .await
            .expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("topic {topic} was not deleted: {code}"));
        }
        let consumer = self.consumer("delete");
        eventually("the topic to be gone", TIMEOUT, async || {
            let metadata = consumer
                .fetch_metadata(Some(name), TIMEOUT)
                .expect("it answers");
            let there = !metadata.topics()[0].partitions().is_empty();
            if there { Err("it is there") } else { Ok(()) }
        })
        .await;
    }

    /// Gives a topic more partitions, and waits until they are there.
    pub(crate) async fn add_partitions(&self, name: &str, count: usize) {
        let more = NewPartitions::new(name, count);
        let results = self
            .admin()
            .create_partitions([&more], &AdminOptions::new())
            .await
            .expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("topic {topic} did not grow: {code}"));
        }
        let consumer = self.consumer("grow");
        eventually("the partitions", TIMEOUT, async || {
            let found = self.partitions(&consumer, name).len();
            if found == count { Ok(()) } else { Err(found) }
        })
        .await;
    }

    /// Produces records in order and waits until every record is acknowledged.
    pub(crate) fn produce(&self, topic: &str, messages: &[Message]) {
        self.produce_each(messages.iter().map(|message| {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            record.key = message.key.as_deref().map(str::as_bytes);
            record.payload = message.value.as_deref().map(str::as_bytes);
            record
        }));
    }

    /// As [`Kafka::produce`], each with its headers.
    pub(crate) fn produce_with_headers(
        &self,
        topic: &str,
        messages: &[(Message, &[(&str, &str)])],
    ) {
        self.produce_each(messages.iter().map(|(message, headers)| {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            record.key = message.key.as_deref().map(str::as_bytes);
            record.payload = message.value.as_deref().map(str::as_bytes);
            record.headers = headers.iter().fold(None, |all, (key, value)| {
                let all = all.unwrap_or_else(OwnedHeaders::new);
                Some(all.insert(Header {
                    key,
                    value: Some(*value),
                }))
            });
            record
        }));
    }

    /// The same as [`Kafka::produce`] for arbitrary bytes, each record to its partition.
    pub(crate) fn produce_raw(&self, topic: &str, messages: &[RawMessage]) {
        self.produce_each(messages.iter().map(|message| {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(message.partition);
            record.key = message.key.as_deref();
            record.payload = message.value.as_deref();
            record
        }));
    }

    fn produce_each<'a>(&self, records: impl Iterator<Item = BaseRecord<'a, [u8], [u8]>>) {
        let failures = Arc::new(AtomicU64::new(0));
        let context = CountFailures(failures.clone());
        let producer: BaseProducer<CountFailures> = self
            .config()
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "67108864")
            .set("linger.ms", "5")
            .create_with_context(context)
            .expect("the producer's settings are valid");
        for mut record in records {
            let topic = record.topic;
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        producer.poll(Duration::from_millis(50));
                        record = back;
                    }
                    Err((error, _)) => panic!("a record for {topic} was refused: {error}"),
                }
            }
        }
        producer.flush(TIMEOUT).expect("the broker takes records");
        assert_eq!(failures.load(Ordering::Relaxed), 0, "undelivered records");
    }

    /// The ids of the current members of a group, from the broker. A member that leaves and rejoins
    /// has another id.
    pub(crate) fn members(&self, group: &str) -> BTreeSet<String> {
        let groups = self
            .consumer("members")
            .fetch_group_list(Some(group), TIMEOUT)
            .expect("the broker knows its groups");
        let ours = groups.groups().iter().filter(|one| one.name() == group);
        ours.flat_map(|one| one.members())
            .map(|member| member.id().to_owned())
            .collect()
    }

    /// Deletes the records of a partition before `offset`, as retention does.
    pub(crate) async fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .expect("the offset is valid");
        self.admin()
            .delete_records(&offsets, &AdminOptions::new())
            .await
            .expect("the broker deletes records");
    }

    /// The first and the next offset of every partition. A partition of a new topic may have no
    /// leader yet: that is asked again until the time-out.
    pub(crate) fn offsets(&self, topic: &str) -> Vec<(i64, i64)> {
        let consumer = self.consumer("offsets");
        let deadline = Instant::now() + TIMEOUT;
        let offsets = |partition| {
            loop {
                match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
                    Ok(offsets) => return offsets,
                    Err(error) if Instant::now() > deadline => {
                        panic!("partition {partition} of {topic} has no offsets: {error}")
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        };
        let partitions = self.partitions(&consumer, topic);
        partitions.into_iter().map(offsets).collect()
    }

    /// The committed offsets of a group by partition; absent if the group committed none.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let consumer = self.consumer(group);
        let mut wanted = TopicPartitionList::new();
        for partition in self.partitions(&consumer, topic) {
            wanted.add_partition(topic, partition);
        }
        let committed = consumer
            .committed_offsets(wanted, TIMEOUT)
            .expect("the broker knows the group's offsets");
        committed
            .elements()
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(offset) => Some((element.partition(), offset)),
                _ => None,
            })
            .collect()
    }

    /// All records in a topic, ordered by partition.
    pub(crate) fn read(&self, topic: &str) -> Vec<Message> {
        let consumer = self.consumer("read");
        let mut messages = Vec::new();
        for (partition, (first, next)) in self.offsets(topic).into_iter().enumerate() {
            let mut assignment = TopicPartitionList::new();
            assignment
                .add_partition_offset(topic, partition as i32, Offset::Offset(first))
                .expect("the offset is valid");
            consumer.assign(&assignment).expect("the partition exists");
            let mut position = first;
            while position < next {
                let record = consumer.poll(TIMEOUT).expect("a record before the end");
                let record = record.expect("the broker hands over its records");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                messages.push(Message {
                    key: record.key().map(text),
                    value: record.payload().map(text),
                });
                position = record.offset() + 1;
            }
        }
        messages
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("the settings are valid")
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        self.config()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()
            .expect("the consumer's settings are valid")
    }

    fn partitions(&self, consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
        let metadata = consumer
            .fetch_metadata(Some(topic), TIMEOUT)
            .expect("the broker answers");
        let mut partitions: Vec<i32> = metadata.topics()[0]
            .partitions()
            .iter()
            .map(|partition| partition.id())
            .collect();
        partitions.sort_unstable();
        partitions
    }
}

struct CountFailures(Arc<AtomicU64>);

impl ClientContext for CountFailures {}

impl ProducerContext for CountFailures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
