//! The Kafka sink: what it writes, that a second pipeline reads it as the same changes, and `kill -9`.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::harness::{DEADLINE, Kafka, Pipeline, Target, eventually, kafka, unique};

/// Inserts, an update of a part, a delete and a second life.
const ROWS: &str = r#"{"id":1,"name":"Anna","balance":"1.50"}
{"id":2,"name":"Mia","balance":"2.00"}
{"id":3,"name":"Lev","balance":null}
{"id":1,"name":"Anne"}
{"id":2,"gone":true}
{"id":3,"gone":true}
{"id":3,"name":"Leo","balance":"7.25"}
"#;

/// From the file `rows.jsonl` to a topic.
fn to_kafka(kafka: &Kafka, topic: &str, format: &str, more: &str) -> Pipeline {
    Pipeline::new(&format!(
        "[batch]\nrows = 50\n[sources.file]\ntype = \"file\"\npath = \"rows.jsonl\"\nformat = \"json\"\ndeleted = \"gone\"\n{more}\n\
         [sinks.out]\ntype = \"kafka\"\ninputs = [\"file\"]\nbrokers = \"{}\"\ntopic = \"{topic}\"\nformat = \"{format}\"\n",
        kafka.brokers()
    ))
}

#[tokio::test]
async fn a_topic_is_made_on_request_and_its_messages_have_headers() {
    let kafka = kafka();
    let topic = unique("made");
    let pipeline = to_kafka(&kafka, &topic, "json", "key = [\"id\"]");
    fs::write(pipeline.folder().join("rows.jsonl"), ROWS).expect("the folder can be written");
    let text = fs::read_to_string(pipeline.file()).expect("it is there");
    let finished = pipeline.run_once(DEADLINE).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    pipeline.write(&format!(
        "{text}create = {{ partitions = 3, compact = true, settings = {{ \"retention.ms\" = \"-1\" }} }}\nheaders = {{ origin = \"syncline\" }}\n"
    ));
    pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(kafka.read(&topic).len(), 7);
    // Read back, a header is a column of the operators.
    let back = Pipeline::new(&format!(
        "[sources.in]\ntype = \"kafka\"\nbrokers = \"{}\"\ntopics = \"{topic}\"\ngroup = \"{topic}\"\nformat = \"json\"\n\
         [operators.told]\ntype = \"map\"\ninputs = [\"in\"]\nfields.id = \"id\"\nfields.headers = \"_headers\"\nfields.partition = \"_partition\"\n\
         [sinks.look]\ntype = \"file\"\ninputs = [\"told\"]\npath = \"out.jsonl\"\n",
        kafka.brokers()
    ));
    back.run_once(DEADLINE).await.expect_success();
    let lines = fs::read_to_string(back.folder().join("out.jsonl")).expect("it is there");
    assert!(
        lines
            .lines()
            .next()
            .is_some_and(|line| line.contains("syncline")),
        "{lines}"
    );
}

#[tokio::test]
async fn what_is_written_is_read_as_the_same_changes() {
    let kafka = kafka();
    for format in ["json", "debezium-json"] {
        let topic = kafka.topic("out", 3).await;
        let pipeline = to_kafka(&kafka, &topic, format, "key = [\"id\"]");
        fs::write(pipeline.folder().join("rows.jsonl"), ROWS).expect("the folder can be written");
        pipeline.run_once(DEADLINE).await.expect_success();
        let messages = kafka.read(&topic);
        let deletes = messages.iter().filter(|message| message.value.is_none());
        assert_eq!(deletes.count(), 2, "{format}: a tombstone for each delete");
        let events = if format == "json" { 0 } else { 2 };
        assert_eq!(messages.len(), 7 + events, "{format}");
        for message in &messages {
            let key: Value = serde_json::from_str(message.key.as_deref().expect("a key"))
                .expect("the key is JSON");
            assert_eq!(key.as_object().map(serde_json::Map::len), Some(1), "{key}");
        }

        let target = Target::each("out").await.remove(1);
        target
            .execute(
                "CREATE TABLE clients (id bigint PRIMARY KEY, name text, balance numeric(12, 2))",
            )
            .await;
        let back = Pipeline::new(&format!(
            "[sources.in]\ntype = \"kafka\"\nbrokers = \"{}\"\ntopics = \"{topic}\"\ngroup = \"{topic}\"\nformat = \"{format}\"\n\
             [sinks.copy]\ninputs = [\"in\"]\ntable = \"clients\"\n{}\n",
            kafka.brokers(),
            target.lines()
        ));
        back.run_once(DEADLINE).await.expect_success();
        let rows = target
            .rows("SELECT id, name, balance FROM clients ORDER BY id")
            .await;
        let texts: Vec<Vec<&str>> = rows
            .iter()
            .map(|row| {
                row.iter()
                    .map(|cell| cell.as_deref().unwrap_or("-"))
                    .collect()
            })
            .collect();
        assert_eq!(
            texts,
            [["1", "Anne", "1.50"], ["3", "Leo", "7.25"]],
            "{format}"
        );
    }
}

#[tokio::test]
async fn a_change_without_a_key_stops_with_its_remedy() {
    let kafka = kafka();
    let topic = kafka.topic("keyless", 1).await;
    let pipeline = to_kafka(&kafka, &topic, "json", "");
    let rows = "{\"id\":1}\n".repeat(2_000);
    fs::write(pipeline.folder().join("rows.jsonl"), rows).expect("the folder can be written");
    let finished = pipeline.run_once(DEADLINE).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("write key = […] in the sink"),
        "{}",
        finished.stderr
    );
    assert_eq!(kafka.read(&topic).len(), 0);
}

#[tokio::test]
async fn a_message_that_is_too_large_costs_its_change_alone() {
    let kafka = kafka();
    let topic = kafka.topic("large", 1).await;
    let pipeline = to_kafka(&kafka, &topic, "json", "key = [\"id\"]");
    let large = "x".repeat(1_000_001);
    let rows = format!("{{\"id\":1}}\n{{\"id\":2,\"name\":\"{large}\"}}\n{{\"id\":3}}\n");
    fs::write(pipeline.folder().join("rows.jsonl"), rows).expect("the folder can be written");
    pipeline.run_once(DEADLINE).await.expect_success();
    let keys: Vec<_> = kafka
        .read(&topic)
        .into_iter()
        .map(|message| message.key)
        .collect();
    let expect = ["{\"id\":1}", "{\"id\":3}"].map(|key| Some(key.to_owned()));
    assert_eq!(keys, expect);
}

#[tokio::test]
async fn kills_lose_nothing_and_keep_the_order_of_a_key() {
    const ROWS: i64 = 40_000;
    let kafka = kafka();
    let source = kafka.topic("kill_in", 2).await;
    let topic = kafka.topic("kill_out", 2).await;
    let messages: Vec<_> = (0..ROWS)
        .map(|number| crate::harness::Message {
            key: Some(format!("{{\"id\":{}}}", number % 500)),
            value: Some(format!("{{\"id\":{},\"number\":{number}}}", number % 500)),
        })
        .collect();
    kafka.produce(&source, &messages);
    let pipeline = Pipeline::new(&format!(
        "[batch]\nrows = 100\n[sources.in]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = \"{source}\"\ngroup = \"{group}\"\nformat = \"json\"\n\
         properties = {{ \"session.timeout.ms\" = \"2000\", \"heartbeat.interval.ms\" = \"400\" }}\n\
         [sinks.out]\ntype = \"kafka\"\ninputs = [\"in\"]\nbrokers = \"{brokers}\"\ntopic = \"{topic}\"\n",
        brokers = kafka.brokers(),
        group = unique("kill"),
    ));
    let written = || {
        kafka
            .offsets(&topic)
            .iter()
            .map(|(_, next)| next)
            .sum::<i64>()
    };
    for _ in 0..3 {
        let before = written();
        let mut process = pipeline.start(&[]);
        eventually("progress", DEADLINE, async || {
            process.expect_running();
            let now = written();
            if now > before { Ok(()) } else { Err(now) }
        })
        .await;
        assert!(process.kill(), "it ran until it was killed");
        assert!(before < ROWS, "all was written before the kill");
    }
    pipeline.run_once(DEADLINE).await.expect_success();
    let (mut last, mut seen) = (BTreeMap::new(), BTreeMap::new());
    for message in kafka.read(&topic) {
        let value: Value = serde_json::from_str(message.value.as_deref().expect("a row"))
            .expect("the value is JSON");
        let number = value["number"].as_i64().expect("a number");
        *seen.entry(number).or_insert(0) += 1;
        last.insert(message.key, number);
    }
    assert_eq!(seen.len() as i64, ROWS, "every change is there");
    for (key, number) in last {
        assert!(
            number >= ROWS - 500,
            "{key:?} ends with {number}, which is not its last change"
        );
    }
}
