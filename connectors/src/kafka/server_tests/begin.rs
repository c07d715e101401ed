//! Where a consumer begins: `start`, the group, partitions and topics that come later, and topics that
//! were made again.

use rdkafka::admin::NewPartitions;

use super::*;

#[test]
fn r24_where_to_begin_is_said_by_the_sink_then_start_and_by_the_group_only_for_a_sink_that_forgets()
{
    for once in [false, true] {
        // Old enough for the last record to lie in the past, young enough for the broker to keep it.
        let base_ms = chrono::Utc::now().timestamp_millis() - 3_600_000;
        let since = |milliseconds: i64| {
            let instant = chrono::DateTime::from_timestamp_millis(base_ms + milliseconds).unwrap();
            Start::Timestamp(Timestamp(instant.to_rfc3339()))
        };
        for (forgets, sink_says, group_says, start, expect) in [
            (false, Some(7), Some(5), Start::Earliest, 7..10),
            (false, None, Some(5), Start::Earliest, 2..10),
            (false, None, None, Start::Earliest, 2..10),
            (false, None, None, Start::Latest, 10..10),
            (false, None, Some(5), Start::Latest, 10..10),
            (false, None, Some(5), since(6_000), 6..10),
            (false, None, None, since(0), 2..10),
            (false, None, None, since(60_000), 10..10),
            (true, None, Some(5), Start::Earliest, 5..10),
            (true, None, Some(5), since(6_000), 5..10),
            (true, None, None, Start::Earliest, 2..10),
            (true, None, None, Start::Latest, 10..10),
        ] {
            let topic = topic_of("start", 1);
            produce_at_seconds(&topic, base_ms, 0..10);
            delete_before(&topic, 0, 2);
            let group = unique("g");
            if let Some(offset) = group_says {
                let consumer: BaseConsumer = client().set("group.id", &group).create().unwrap();
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&topic, 0, Offset::Offset(offset))
                    .unwrap();
                consumer
                    .commit(&list, rdkafka::consumer::CommitMode::Sync)
                    .unwrap();
            }
            let sink = match sink_says {
                Some(position) => sink_at(&[(&topic, 0, position)]),
                None => empty(),
            };
            sink.lock().unwrap().forgets = forgets;
            let mut config = config(&topic, &group);
            config.start = start.clone();
            let mut expect = numbered(expect);
            if once {
                let mut driver = Driver::once(&config, &sink);
                driver.until("the end", |_, event| matches!(event, Event::End));
            } else {
                let mut driver = Driver::open(&config, &sink);
                driver.until("the partition", |driver, _| !driver.assigned.is_empty());
                produce(&topic, 0, ["last".to_owned()]);
                expect.push("last".to_owned());
                driver.until("the records", |driver, _| {
                    driver.rows_seen() == expect.len()
                });
                driver.close();
            }
            assert_eq!(
                values(&sink),
                expect,
                "once {once}, forgets {forgets}, {sink_says:?} {group_says:?} {start:?}"
            );
        }
    }
}

#[test]
fn a_start_at_the_end_is_remembered_by_the_group() {
    let topic = topic_of("latest", 1);
    produce(&topic, 0, numbered(0..5));
    let mut config = config(&topic, &unique("g"));
    config.start = Start::Latest;
    let forgetful = || {
        Arc::new(Mutex::new(Sink {
            forgets: true,
            ..Sink::default()
        }))
    };
    let mut first = Driver::open(&config, &forgetful());
    first.until("the partition", |driver, _| !driver.assigned.is_empty());
    first.until("the commit", |_, _| {
        committed(&config.group, &topic, 0) == Some(5)
    });
    first.close();
    produce(&topic, 0, numbered(5..8));
    let sink = forgetful();
    let mut second = Driver::open(&config, &sink);
    second.until("what came in between", |driver, _| driver.rows_seen() == 3);
    assert_eq!(values(&sink), numbered(5..8));
    second.close();
}

#[test]
fn r24_a_start_past_the_first_record_is_remembered_by_the_sink_and_new_partitions_begin_at_theirs()
{
    for once in [false, true] {
        let topic = topic_of("met", 2);
        produce(&topic, 0, numbered(0..5));
        let mut config = config(&topic, &unique("g"));
        config.start = Start::Latest;
        let sink = empty();
        let lane = Lane { number: 0, of: 1 };
        let mut first = Driver::open_lane(&config, &sink, lane, once);
        first.until("the partitions", |driver, _| driver.assigned.len() == 2);
        let kept = sink.lock().unwrap().positions.clone();
        assert_eq!(
            kept,
            Positions::from([(partition(&topic, 0), 5), (partition(&topic, 1), 0)])
        );
        first.close();
        // While nobody reads: records of known partitions, and a new partition with records.
        add_partitions(&topic, 3);
        produce(&topic, 0, numbered(5..7));
        produce(&topic, 1, numbered(20..22));
        produce(&topic, 2, numbered(30..33));
        let mut second = Driver::open_lane(&config, &sink, lane, once);
        second.until("all that came since", |driver, _| driver.rows_seen() == 7);
        if !once {
            // While it is read.
            add_partitions(&topic, 4);
            produce(&topic, 3, numbered(40..42));
            second.until("the second new one", |driver, _| driver.rows_seen() == 9);
        }
        second.close();
        let mut expect: Vec<String> = [5..7, 20..22, 30..33]
            .into_iter()
            .flat_map(numbered)
            .collect();
        if !once {
            expect.extend(numbered(40..42));
        }
        assert_eq!(values(&sink), expect, "once {once}");
    }
}

#[test]
fn r24_a_topic_that_joins_a_pattern_later_begins_at_its_first_record() {
    let prefix = unique("join");
    let name = |topic: &str| format!("{prefix}.{topic}");
    create(&name("a"), 1);
    produce(&name("a"), 0, numbered(0..5));
    let pattern = format!("^{}\\..*", prefix.replace('.', "\\."));
    let mut config = config(&pattern, &unique("g"));
    config.start = Start::Latest;
    let sink = empty();
    let mut driver = Driver::open(&config, &sink);
    driver.until("the first topic", |driver, _| driver.assigned.len() == 1);
    create(&name("b"), 1);
    produce(&name("b"), 0, numbered(0..3));
    driver.until("the new topic", |driver, _| driver.rows_seen() == 3);
    driver.close();
    // A topic that is added by its name is met for the first time: `start` says where it begins.
    let named = format!("z.{prefix}");
    create(&named, 1);
    produce(&named, 0, numbered(0..9));
    config.topics = Topics::Many(vec![pattern, named.clone()]);
    let mut driver = Driver::open(&config, &sink);
    driver.until("all three", |driver, _| driver.assigned.len() == 3);
    driver.close();
    let held = sink.lock().unwrap().positions.clone();
    assert_eq!(held[&partition(&named, 0)], 9);
}

#[test]
fn r24_a_topic_that_was_made_again_is_told_apart_by_its_id() {
    let topic = topic_of("again", 1);
    produce(&topic, 0, numbered(0..5));
    let config = config(&topic, &unique("g"));
    let sink = empty();
    let mut driver = Driver::open(&config, &sink);
    driver.until("all records", |driver, _| driver.rows_seen() == 5);
    driver.close();
    let kept = sink.lock().unwrap().incarnations[&partition(&topic, 0)].clone();
    delete(&topic);
    create(&topic, 1);
    // Longer than before: the old position exists.
    produce(&topic, 0, numbered(0..20));
    for once in [false, true] {
        let lane = Lane { number: 0, of: 1 };
        let error = Driver::open_lane(&config, &sink, lane, once).until_refused();
        for part in [&*topic, &*kept, "made again", "syncline positions reset"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }
    assert_eq!(sink.lock().unwrap().records.len(), 5, "nothing was read");
    // A position without an id, of an older version, is taken as it is, and gets the id.
    let sink = sink_at(&[(&topic, 0, 15)]);
    let mut driver = Driver::open(&config, &sink);
    driver.until("the rest", |driver, _| driver.rows_seen() == 5);
    driver.close();
    let now = sink.lock().unwrap().incarnations[&partition(&topic, 0)].clone();
    assert_ne!(now, kept);
}

#[test]
fn r24_a_topic_that_is_made_again_while_it_is_read_stops_the_reader() {
    let topic = topic_of("remade", 1);
    produce(&topic, 0, numbered(0..5));
    let sink = empty();
    let mut driver = Driver::open(&config(&topic, &unique("g")), &sink);
    driver.until("all records", |driver, _| driver.rows_seen() == 5);
    delete(&topic);
    create(&topic, 1);
    produce(&topic, 0, numbered(0..20));
    let error = driver.until_refused();
    let expected = error.contains("made again") || error.contains("does not exist");
    assert!(expected && error.contains(&topic), "{error}");
}

fn delete(topic: &str) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let gone = block_on(admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
    gone.into_iter().for_each(|result| {
        result.unwrap();
    });
    let consumer: BaseConsumer = client().create().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while topic::partitions(&consumer, topic).is_ok() {
        assert!(Instant::now() < deadline, "{topic} was not deleted");
    }
}

/// Raises the number of partitions.
fn add_partitions(topic: &str, count: i32) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let more = NewPartitions::new(topic, count as usize);
    let made = block_on(admin.create_partitions(&[more], &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|result| {
        result.unwrap();
    });
    let consumer: BaseConsumer = client().create().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while topic::partitions(&consumer, topic).unwrap().len() != count as usize {
        assert!(Instant::now() < deadline, "{topic} got no partitions");
    }
}

/// Produces numbers, each as many seconds after `base_ms`.
fn produce_at_seconds(topic: &str, base_ms: i64, range: std::ops::Range<i64>) {
    let producer: BaseProducer = client().create().unwrap();
    for number in range {
        let value = number.to_string();
        let record = BaseRecord::<(), str>::to(topic)
            .partition(0)
            .timestamp(base_ms + number * 1_000)
            .payload(&value);
        producer.send(record).unwrap();
    }
    producer.flush(DEADLINE).unwrap();
}
