//! Fills topics for the benches, and reads them with a bare client loop as the ceiling.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

/// The broker that `make bench` starts.
pub fn brokers() -> String {
    std::env::var("SYNCLINE_TEST_KAFKA").expect("SYNCLINE_TEST_KAFKA: run `make bench`")
}

/// Creates a topic with `partitions` partitions and `count` records of `value`; the keys are
/// `{"id":N}`.
pub fn fill(
    runtime: &Runtime,
    name: &str,
    partitions: i32,
    count: u64,
    value: impl Fn(u64) -> String,
) -> String {
    let name = format!("{name}-{}", std::process::id());
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .create()
        .expect("an admin client");
    let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()));
    assert!(
        made.expect("the broker answers")[0].is_ok(),
        "the topic is new"
    );
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("linger.ms", "50")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .expect("a producer");
    for id in 0..count {
        let (key, value) = (format!(r#"{{"id":{id}}}"#), value(id));
        let mut record = BaseRecord::to(&name).key(&key).payload(&value);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(10));
        }
        if id % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer
        .flush(Duration::from_secs(60))
        .expect("every record is acknowledged");
    name
}

/// Reads `count` records with a bare client; returns the number of bytes of their values.
pub fn bare_loop(topic: &str, partitions: i32, count: u64) -> u64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("group.id", "bench-bare")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "10")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("a valid offset");
    }
    consumer.assign(&assignment).expect("the partitions exist");
    let (mut bytes, mut seen, started) = (0, 0, Instant::now());
    while seen < count {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "the broker gave {seen} of {count}"
        );
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            bytes += message.expect("a message").payload().map_or(0, <[u8]>::len) as u64;
            seen += 1;
        }
    }
    bytes
}
