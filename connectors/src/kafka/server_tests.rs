//! The source and the writer against a real broker: `SYNCLINE_TEST_KAFKA` names it.
//! Longer than 400 lines: every test needs the same few helpers and a broker.

mod begin;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::drive::{DEADLINE, Driver, Sink, values};
use super::fetch_buffer::partition;
use super::tests::source;
use super::*;
use crate::assignment::assignments;
use crate::record::Positions;
use crate::source::Event;

fn brokers() -> String {
    std::env::var("SYNCLINE_TEST_KAFKA").expect("SYNCLINE_TEST_KAFKA names the test broker")
}

fn client() -> rdkafka::ClientConfig {
    let mut settings = rdkafka::ClientConfig::new();
    settings.set("bootstrap.servers", brokers());
    settings
}

fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}.{}.{next}", now.as_nanos())
}

fn create(topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let made = block_on(admin.create_topics(&[new], &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|result| {
        result.unwrap();
    });
    let consumer: BaseConsumer = client().create().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while topic::partitions(&consumer, topic)
        .map(|found| found.len())
        .ok()
        != Some(partitions as usize)
    {
        assert!(Instant::now() < deadline, "{topic} was not made");
    }
}

fn topic_of(name: &str, partitions: i32) -> String {
    let topic = unique(name);
    create(&topic, partitions);
    topic
}

fn produce(topic: &str, number: i32, values: impl IntoIterator<Item = String>) {
    let producer: BaseProducer = client().create().unwrap();
    for value in values {
        let record = BaseRecord::<(), str>::to(topic)
            .partition(number)
            .payload(&value);
        producer.send(record).unwrap();
    }
    producer.flush(DEADLINE).unwrap();
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| i.to_string()).collect()
}

/// Produces in a transaction, which leaves a marker behind.
fn produce_transaction(topic: &str, number: i32, values: &[&str], commits: bool) {
    let producer: BaseProducer = client()
        .set("transactional.id", unique("tx"))
        .create()
        .unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    producer.begin_transaction().unwrap();
    for value in values {
        let record = BaseRecord::<(), str>::to(topic)
            .partition(number)
            .payload(*value);
        producer.send(record).unwrap();
    }
    producer.flush(DEADLINE).unwrap();
    if commits {
        producer.commit_transaction(DEADLINE).unwrap();
    } else {
        producer.abort_transaction(DEADLINE).unwrap();
    }
}

fn delete_before(topic: &str, number: i32, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, number, Offset::Offset(offset))
        .unwrap();
    block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
}

fn committed(group: &str, topic: &str, number: i32) -> Option<i64> {
    let consumer: BaseConsumer = client().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, number);
    let list = consumer.committed_offsets(list, DEADLINE).unwrap();
    match list.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn config(topic: &str, group: &str) -> KafkaSource {
    let mut config = source(&brokers(), topic, group);
    for (key, value) in [
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "300"),
        ("topic.metadata.refresh.interval.ms", "300"),
    ] {
        config.properties.insert(key.to_owned(), value.to_owned());
    }
    config
}

fn empty() -> Arc<Mutex<Sink>> {
    Arc::new(Mutex::new(Sink::default()))
}

fn sink_at(positions: &[(&str, i32, i64)]) -> Arc<Mutex<Sink>> {
    let positions = positions
        .iter()
        .map(|&(topic, number, position)| (partition(topic, number), position))
        .collect();
    Arc::new(Mutex::new(Sink {
        positions,
        ..Sink::default()
    }))
}

#[test]
fn once_reads_to_the_end_as_it_was_over_empty_partitions_and_transaction_markers() {
    let topic = topic_of("once", 3);
    produce(&topic, 0, numbered(0..5));
    produce_transaction(&topic, 2, &["a", "b"], true);
    produce_transaction(&topic, 2, &["never"], false);
    let group = unique("g");
    let sink = empty();
    let lane = |number| Lane { number, of: 2 };
    let mut drivers =
        [0, 1].map(|number| Driver::open_lane(&config(&topic, &group), &sink, lane(number), true));
    produce(&topic, 0, ["after the start".to_owned()]);
    for driver in &mut drivers {
        driver.acknowledges = true;
        driver.until("the end", |_, event| matches!(event, Event::End));
        driver.until("the end again", |_, event| matches!(event, Event::End));
    }
    assert_eq!(values(&sink), ["0", "1", "2", "3", "4", "a", "b"]);
    let positions = sink.lock().unwrap().positions.clone();
    let expect: Positions = [(partition(&topic, 0), 5), (partition(&topic, 2), 5)].into();
    assert_eq!(
        positions, expect,
        "two records, a marker, an aborted record, its marker"
    );
    drivers.into_iter().for_each(Driver::close);
    assert_eq!(committed(&group, &topic, 2), Some(5));

    let mut again = Driver::once(
        &config(&topic, &group),
        &sink_at(&[(&topic, 0, 5), (&topic, 2, 5)]),
    );
    again.until("the end", |_, event| matches!(event, Event::End));
    assert_eq!(again.rows_seen(), 1, "what came after the first run");

    let sink = empty();
    let mut member = Driver::open(&config(&topic, &unique("g")), &sink);
    let expect: Positions = [(partition(&topic, 0), 6), (partition(&topic, 2), 5)].into();
    member.until("the positions past the markers", |_, _| {
        sink.lock().unwrap().positions == expect
    });
    member.close();
}

#[test]
fn r18_members_come_and_go_and_nothing_is_lost_or_twice() {
    for strategy in ["cooperative-sticky", "range"] {
        let topic = topic_of("rebalance", 4);
        let mut config = config(&topic, &unique("g"));
        config.properties.insert(
            "partition.assignment.strategy".to_owned(),
            strategy.to_owned(),
        );
        let sink = empty();
        let stop = AtomicBool::new(false);
        let mut written = 0;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let mut driver = Driver::open(&config, &sink);
                driver.acknowledges = true;
                driver.until("the stop", |_, _| stop.load(Ordering::Relaxed));
                driver.revoked.len()
            });
            let mut more = || {
                for number in 0..4 {
                    produce(&topic, number, numbered(written..written + 25));
                }
                written += 25;
            };
            more();
            for _ in 0..2 {
                let mut second = Driver::open(&config, &sink);
                second.acknowledges = true;
                second.until("partitions of the second member", |driver, _| {
                    !driver.assigned.is_empty()
                });
                more();
                second.until("half of the partitions", |driver, _| {
                    driver.assigned.len() == 2
                });
                second.close();
                more();
            }
            let deadline = Instant::now() + DEADLINE;
            while sink.lock().unwrap().records.len() < written * 4 {
                assert!(Instant::now() < deadline, "records are missing");
                std::thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
            assert!(
                first.join().unwrap() >= 4,
                "{strategy}: partitions left the first member twice"
            );
        });
        let sink = sink.lock().unwrap();
        assert_eq!(sink.records.len(), written * 4, "{strategy}");
        for number in 0..4 {
            assert_eq!(sink.positions[&partition(&topic, number)], written as i64);
        }
    }
}

#[test]
fn backpressure_keeps_the_membership_and_loses_nothing() {
    let topic = topic_of("pressure", 2);
    let mut config = config(&topic, &unique("g"));
    config
        .properties
        .insert("max.poll.interval.ms".to_owned(), "6000".to_owned());
    let sink = empty();
    let mut driver = Driver::open(&config, &sink);
    driver.until("the partitions", |driver, _| driver.assigned.len() == 2);
    produce(&topic, 0, numbered(0..5000));
    driver.rows = 10;
    driver.until("a few records", |driver, _| driver.rows_seen() >= 10);
    driver.rows = 0;
    let seen = driver.rows_seen();
    let since = Instant::now();
    driver.until("the poll interval to pass", |driver, event| {
        assert!(matches!(event, Event::Idle), "{event:?}");
        assert_eq!(driver.rows_seen(), seen);
        since.elapsed() > Duration::from_secs(8)
    });
    produce(&topic, 1, numbered(0..10));
    driver.rows = 1000;
    driver.until("all records", |driver, _| driver.rows_seen() == 5010);
    assert_eq!(driver.revoked, []);
    driver.close();
}

#[test]
fn a_pattern_joins_new_topics_and_leaves_others_alone() {
    let prefix = unique("crm");
    create(&format!("{prefix}.public.a"), 1);
    create(&format!("{prefix}.private.b"), 1);
    let pattern = format!("^{}\\.public\\..*", prefix.replace('.', "\\."));
    let config = config(&pattern, &unique("g"));
    let sink = empty();
    let mut driver = Driver::open(&config, &sink);
    driver.until("the first topic", |driver, _| driver.assigned.len() == 1);
    create(&format!("{prefix}.public.c"), 1);
    produce(&format!("{prefix}.public.c"), 0, numbered(0..3));
    driver.until("the new topic", |driver, _| driver.rows_seen() == 3);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let topics = runtime.block_on(check(&config)).unwrap();
    assert_eq!(
        topics,
        [format!("{prefix}.public.a"), format!("{prefix}.public.c")]
    );
    assert_eq!(runtime.block_on(lanes(&config, 8)).unwrap(), 2);
    driver.close();
}

#[test]
fn r18_after_a_partition_is_given_up_nothing_is_committed_for_it() {
    let topic = topic_of("revoked", 2);
    let config = config(&topic, &unique("g"));
    for number in 0..2 {
        produce(&topic, number, numbered(0..5));
    }
    let sink = empty();
    let mut first = Driver::open(&config, &sink);
    first.until("all records", |driver, _| driver.rows_seen() == 10);
    let positions = sink.lock().unwrap().positions.clone();
    let mut second = Driver::open(&config, &sink);
    let deadline = Instant::now() + DEADLINE;
    while first.revoked.is_empty() || second.assigned.is_empty() {
        first.step().unwrap();
        second.step().unwrap();
        assert!(Instant::now() < deadline, "nothing was revoked");
    }
    let gone = first.revoked[0].number;
    block_on(first.source.acknowledge(&positions)).unwrap();
    while committed(&config.group, &topic, 1 - gone).is_none() {
        first.step().unwrap();
        assert!(
            Instant::now() < deadline,
            "what is still ours was not committed"
        );
    }
    assert_eq!(committed(&config.group, &topic, gone), None);
    second.close();
    first.close();
}

#[test]
fn r18_nothing_is_committed_for_partitions_that_were_lost() {
    let topic = topic_of("lost", 1);
    let mut config = config(&topic, &unique("g"));
    config
        .properties
        .insert("max.poll.interval.ms".to_owned(), "6000".to_owned());
    produce(&topic, 0, numbered(0..5));
    let sink = empty();
    let mut first = Driver::open(&config, &sink);
    first.until("all records", |driver, _| driver.rows_seen() == 5);
    let positions = sink.lock().unwrap().positions.clone();

    let mut second = Driver::open(&config, &sink);
    second.until(
        "the partition of the first, which is silent",
        |driver, _| !driver.assigned.is_empty(),
    );
    first.until("the loss", |_, event| {
        matches!(event, Event::Revoked { lost: true, .. })
    });
    block_on(first.source.acknowledge(&positions)).unwrap();
    first.step().unwrap();
    block_on(first.source.acknowledge(&positions)).unwrap();
    produce(&topic, 0, numbered(5..8));
    second.until("the rest", |driver, _| driver.rows_seen() == 8);
    assert_eq!(committed(&config.group, &topic, 0), None);
    first.close();
    second.close();
}

#[test]
fn a_position_that_is_gone_is_an_error_and_never_a_reset() {
    let topic = topic_of("expired", 1);
    produce(&topic, 0, numbered(0..10));
    delete_before(&topic, 0, 6);
    for (position, once, expect) in [
        (3, false, "deleted"),
        (3, true, "deleted"),
        (11, true, "made anew"),
    ] {
        let sink = sink_at(&[(&topic, 0, position)]);
        let config = config(&topic, &unique("g"));
        let error =
            Driver::open_lane(&config, &sink, Lane { number: 0, of: 1 }, once).until_refused();
        let wanted = format!("{topic}[0] has no position {position}: the broker holds 6 to 10");
        assert!(error.contains(&wanted) && error.contains(expect), "{error}");
    }

    let sink = sink_at(&[(&topic, 0, 7)]);
    let mut late = Driver::open(&config(&topic, &unique("g")), &sink);
    late.rows = 0;
    late.until("the partition", |driver, _| !driver.assigned.is_empty());
    let since = Instant::now();
    late.until("the pause", |_, _| since.elapsed() > Duration::from_secs(2));
    delete_before(&topic, 0, 9);
    late.rows = 1000;
    let error = late.until_refused();
    assert!(
        error.contains("has no position 7: the broker holds 9 to 10"),
        "{error}"
    );
    assert_eq!(late.rows_seen(), 0);
}

#[test]
fn keys_headers_and_tombstones_come_as_they_were_written() {
    let topic = topic_of("whole", 1);
    let writer = KafkaWriter::connect(&brokers(), &topic, &BTreeMap::new()).unwrap();
    let record = |key: Option<&str>, value: Option<&str>, headers: &[(&str, &[u8])]| OutRecord {
        key: key.map(|text| text.as_bytes().to_vec()),
        value: value.map(|text| text.as_bytes().to_vec()),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
            .collect(),
    };
    let sent = vec![
        record(Some("k"), Some("v"), &[("a", b"1"), ("b", &[0xff])]),
        record(Some("k"), None, &[]),
        record(None, Some(""), &[]),
    ];
    block_on(writer.send_all(sent)).unwrap();
    let mut got = Vec::new();
    read_topic(&brokers(), &topic, &BTreeMap::new(), |records| {
        for index in 0..records.len() {
            got.push((
                records.key(index).map(<[u8]>::to_vec),
                records.value(index).map(<[u8]>::to_vec),
                records.headers(index).map(<[u8]>::to_vec),
                records.entries[index].timestamp_ms.is_some(),
            ));
        }
        assert!(records.partitions[0].single, "R13");
        Ok(())
    })
    .unwrap();
    let headers = br#"{"a":"1","b":"base64:/w=="}"#.to_vec();
    let (key, value) = (Some(b"k".to_vec()), Some(b"v".to_vec()));
    let expect = [
        (key.clone(), value, Some(headers), true),
        (key, None, None, true),
        (None, Some(Vec::new()), None, true),
    ];
    assert_eq!(got, expect);
}

#[test]
fn going_back_to_the_sink_drops_what_was_fetched_before() {
    let topic = topic_of("back", 1);
    produce(&topic, 0, numbered(0..2000));
    let sink = empty();
    let mut driver = Driver::open(&config(&topic, &unique("g")), &sink);
    driver.rows = 300;
    driver.until("some records", |driver, _| driver.rows_seen() >= 600);
    let partitions = driver.assigned.clone();
    let back: Positions = [(partition(&topic, 0), 100)].into();
    {
        let mut sink = sink.lock().unwrap();
        sink.positions = back.clone();
        sink.records.retain(|seen| seen.offset < 100);
    }
    let held = sink.lock().unwrap().held();
    block_on(driver.source.assign(&assignments(&[held], &partitions))).unwrap();
    driver.until("all records", |driver, _| driver.rows_seen() == 2000);
    assert_eq!(values(&sink), numbered(0..2000));
    assert_eq!(driver.source.lag(), Some(0));
    produce(&topic, 0, numbered(0..7));
    driver.rows = 1;
    driver.until("the lag to show", |driver, _| {
        driver.source.lag() == Some(6)
    });
    driver.close();
}

#[test]
fn what_is_not_there_is_said_with_its_remedy() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let missing = unique("missing");
    let error = runtime
        .block_on(lanes(&config(&missing, "g"), 2))
        .unwrap_err();
    assert!(
        matches!(error, Error::Configuration { .. }),
        "{}",
        error.chain()
    );
    assert!(error.chain().contains(&missing), "{}", error.chain());
    let error = Driver::open(&config(&missing, &unique("g")), &empty()).until_refused();
    assert!(error.contains("does not exist"), "{error}");
    let away = source("127.0.0.1:1", "t", "g");
    let error = runtime.block_on(check(&away)).unwrap_err();
    assert!(
        matches!(error, Error::Unavailable { .. }),
        "{}",
        error.chain()
    );
    let writer = KafkaWriter::connect(&brokers(), &missing, &BTreeMap::new()).unwrap();
    let error = block_on(writer.send_all(vec![OutRecord::default()])).unwrap_err();
    assert!(
        matches!(error, Error::Configuration { .. }),
        "{}",
        error.chain()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_conforms() {
    let topic = topic_of("conforms", 3);
    produce(&topic, 0, numbered(0..6));
    produce_transaction(&topic, 2, &["a", "b"], true);
    produce(&topic, 2, numbered(6..8));
    let group = unique("g");
    let open = || -> Box<dyn Source> {
        let lane = Lane { number: 0, of: 1 };
        connect(&config(&topic, &group), lane, true, 16 << 20).unwrap()
    };
    crate::conformance::source::check_source(&open, 10).await;
}
