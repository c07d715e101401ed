//! Invalid messages: exactly these are in quarantine, with position and reason, and every valid row
//! is delivered (R16), in any batch.

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, Pipeline, RawMessage, kafka, postgres};

const TABLE: &str = "CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL,
    amount numeric(12, 2) CHECK (amount < 1000), code integer UNIQUE)";
const GOOD: i64 = 300;
const LARGE_BYTES: usize = 20 << 20;

/// An invalid message: where it was produced, and its expected reason.
struct Culprit {
    offset: i64,
    value: Vec<u8>,
    stage: &'static str,
    /// A part of the reason or the rule.
    said: &'static str,
}

fn event(id: i64, name: &str, amount: &str, code: i64) -> Vec<u8> {
    let row = json!({ "id": id, "name": name, "amount": amount, "code": code });
    json!({ "before": null, "after": row, "source": { "table": "items" }, "op": "c", "ts_ms": 1 })
        .to_string()
        .into_bytes()
}

/// The event with id 9999 and a replaced part.
fn broken(part: &str, by: &[u8]) -> Vec<u8> {
    let event = event(9999, "NAME", "1.00", 9999);
    let part = part.as_bytes();
    let at = event
        .windows(part.len())
        .position(|window| window == part)
        .expect("the part is there");
    [&event[..at], by, &event[at + part.len()..]].concat()
}

fn culprits() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let (open, close) = (b"[".repeat(200_000), b"]".repeat(200_000));
    let deep = [&b"\"NAME\",\"deep\":"[..], &open, &close].concat();
    let large = [b"\"", &b"x".repeat(LARGE_BYTES)[..], b"\"!"].concat();
    let keyless =
        br#"{"before":null,"after":null,"source":{"table":"items"},"op":"d","ts_ms":1}"#.to_vec();
    vec![
        (broken("\"NAME\"", b"\"\xff\xfe\""), "decode", "UTF-8"),
        (broken("}", b""), "decode", "R1"),
        (broken("\"NAME\"", &deep), "decode", "nested deeper"),
        (broken("\"NAME\"", &large), "decode", "R1"),
        (broken("\"1.00\"", b"\"lots\""), "decode", "amount"),
        (keyless, "decode", "key"),
        // Only the database can detect these.
        (event(9001, "dear", "1000.00", 9001), "billing", "23514"),
        (event(9002, "twin", "1.00", 1), "billing", "23505"),
        (broken("\"NAME\"", b"null"), "billing", "23502"),
    ]
}

/// Valid rows with invalid ones between them; all in one partition, the last of two.
fn messages() -> (Vec<RawMessage>, Vec<Culprit>) {
    let mut values = Vec::new();
    let mut found = Vec::new();
    let mut waiting = culprits().into_iter();
    for id in 1..=GOOD {
        let name = if id == GOOD / 2 {
            "x".repeat(LARGE_BYTES)
        } else {
            format!("item {id}")
        };
        values.push(event(id, &name, "1.50", id));
        if id % 31 == 0
            && let Some((value, stage, said)) = waiting.next()
        {
            let offset = values.len() as i64;
            values.push(value.clone());
            found.push(Culprit {
                offset,
                value,
                stage,
                said,
            });
        }
    }
    assert!(waiting.next().is_none(), "every culprit has its place");
    let raw = |value| RawMessage {
        partition: 1,
        key: None,
        value: Some(value),
    };
    (values.into_iter().map(raw).collect(), found)
}

fn text(topic: &str, brokers: &str, url: &str, quarantine: &str) -> String {
    format!(
        r#"
[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"
key     = ["id"]

[sources.crm.schema]
id     = "int64"
name   = "string"
amount = "decimal(12, 2)"
code   = "int32"

[sinks.billing]
type   = "postgres"
inputs = ["crm"]
url    = "{url}"
table  = "items"
key    = ["id"]

[quarantine]
{quarantine}
"#
    )
}

async fn check(label: &str, quarantine: &str) {
    let kafka = kafka();
    let topic = kafka.topic(label, 2).await;
    let target = postgres(label).await;
    target.execute(TABLE).await;
    let (messages, culprits) = messages();
    kafka.produce_raw(&topic, &messages);
    let pipeline = Pipeline::new(&text(&topic, kafka.brokers(), target.url(), quarantine));
    pipeline.run_once(2 * DEADLINE).await.expect_success();
    every_good_row_is_there(&target).await;
    exactly_these_are_kept(&pipeline, &topic, &culprits).await;

    // A second run finds no work and quarantines nothing again.
    pipeline.run_once(DEADLINE).await.expect_success();
    exactly_these_are_kept(&pipeline, &topic, &culprits).await;
}

async fn every_good_row_is_there(target: &Database) {
    let query = "SELECT id, length(name), amount, code FROM items ORDER BY id";
    let text = |number: i64| Some(number.to_string());
    let expected: Vec<_> = (1..=GOOD)
        .map(|id| {
            let length = if id == GOOD / 2 {
                LARGE_BYTES
            } else {
                format!("item {id}").len()
            };
            let amount = Some("1.50".to_owned());
            vec![text(id), text(length as i64), amount, text(id)]
        })
        .collect();
    assert_eq!(target.rows(query).await, expected);
}

async fn exactly_these_are_kept(pipeline: &Pipeline, topic: &str, culprits: &[Culprit]) {
    let listed = pipeline
        .command(&["quarantine", "list", "--json", pipeline.file()])
        .await;
    listed.expect_success();
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let mut entries: Vec<&Value> = listed.as_array().expect("a list").iter().collect();
    entries.sort_by_key(|entry| entry["offset"].as_i64());
    let places: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["offset"], &entry["stage"]))
        .collect();
    let expected: Vec<_> = culprits
        .iter()
        .map(|culprit| (json!(culprit.offset), json!(culprit.stage)))
        .collect();
    let expected: Vec<_> = expected.iter().map(|(at, stage)| (at, stage)).collect();
    assert_eq!(places, expected);
    for (entry, culprit) in entries.into_iter().zip(culprits) {
        assert_eq!(entry["topic"], topic);
        assert_eq!(entry["partition"], 1);
        let said = format!("{} {} {}", entry["rule"], entry["field"], entry["reason"]);
        assert!(said.contains(culprit.said), "{} in {said}", culprit.said);
        assert!(
            said.len() < 2_000,
            "a reason for people: {} bytes",
            said.len()
        );
    }
    // One of the records, complete with its original bytes.
    let first = &culprits[0];
    let id = format!("{topic}/1/{}/{}", first.offset, first.stage);
    let shown = pipeline
        .command(&["quarantine", "show", "--json", &id, pipeline.file()])
        .await;
    shown.expect_success();
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let bytes = shown["value"]["base64"].as_str().expect("no UTF-8");
    use base64::Engine;
    let bytes = base64::prelude::BASE64_STANDARD.decode(bytes);
    assert_eq!(bytes.expect("base64"), first.value);
    let shown = pipeline
        .command(&["quarantine", "show", &id, pipeline.file()])
        .await;
    shown.expect_success();
    assert!(shown.stdout.contains(&id), "{}", shown.stdout);
    let absent = pipeline
        .command(&["quarantine", "show", "nothing/0/0/decode", pipeline.file()])
        .await;
    assert_eq!(absent.code, Some(1), "{}", absent.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_culprits_alone_are_kept_in_a_folder() {
    check("poison_file", "type = \"file\"\npath = \"quarantine\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_culprits_alone_are_kept_in_a_topic() {
    let kafka = kafka();
    let topic = kafka.topic("poison_kept", 1).await;
    let brokers = kafka.brokers();
    let quarantine = format!("type = \"kafka\"\nbrokers = \"{brokers}\"\ntopic = \"{topic}\"");
    check("poison_topic", &quarantine).await;
}
