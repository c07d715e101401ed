//! Avro messages of a real client (`tests/fixtures/avro`), with their schemas in a small registry.

mod sink;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::harness::{
    DEADLINE, HttpServer, Kafka, Pipeline, RawMessage, Received, Reply, Target, eventually, kafka,
};

const MESSAGES: &str = include_str!("../fixtures/avro/messages.jsonl");
const SCHEMAS: &str = include_str!("../fixtures/avro/schemas.json");
const PASSWORD: &str = "canary-of-the-registry";
/// The schema of the messages whose columns changed.
const LATER: &str = "/schemas/ids/3";

/// The messages of a topic of the fixture, in a topic of this test.
async fn produce(kafka: &Kafka, topic: &str, label: &str) -> String {
    let name = kafka.topic(label, 1).await;
    kafka.produce_raw(&name, &messages(topic));
    name
}

fn messages(topic: &str) -> Vec<RawMessage> {
    let lines = MESSAGES.lines();
    let lines = lines.map(|line| serde_json::from_str(line).expect("a line is JSON"));
    let of_topic = lines.filter(|message: &Value| message["topic"] == topic);
    of_topic
        .map(|message| {
            let part = |name: &str| {
                let text = message[name].as_str()?;
                Some(BASE64.decode(text).expect("it is base64"))
            };
            RawMessage {
                partition: 0,
                key: part("key"),
                value: part("value"),
            }
        })
        .collect()
}

/// Answers as a registry does, to who knows the password; `later` says whether it knows [`LATER`].
fn registry(request: &Received, later: bool) -> Reply {
    let expected = format!("Basic {}", BASE64.encode(format!("syncline:{PASSWORD}")));
    if request.header("authorization") != expected {
        return Reply::status(401, r#"{"error_code":401}"#);
    }
    if request.path == "/schemas/types" {
        return Reply::ok(r#"["JSON","PROTOBUF","AVRO"]"#);
    }
    let answers: BTreeMap<String, Value> = serde_json::from_str(SCHEMAS).expect("it is JSON");
    match answers
        .get(&request.path)
        .filter(|_| later || request.path != LATER)
    {
        Some(answer) => Reply::ok(answer.to_string()),
        None => Reply::status(404, r#"{"error_code":40403,"message":"Schema not found"}"#),
    }
}

fn pipeline(
    kafka: &Kafka,
    topic: &str,
    format: &str,
    registry: &HttpServer,
    sink: &str,
) -> Pipeline {
    let mut pipeline = Pipeline::new(&format!(
        r#"[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "{format}"
schema_registry = {{ url = "{url}", auth = {{ type = "basic", user = "syncline", password = "${{env:REGISTRY_PASSWORD}}" }} }}

[sinks.target]
inputs    = ["crm"]
evolution = "evolve"
{sink}"#,
        brokers = kafka.brokers(),
        url = registry.url(""),
    ));
    pipeline.set("REGISTRY_PASSWORD", PASSWORD);
    pipeline
}

async fn summary(pipeline: &Pipeline) -> Value {
    let process = pipeline.start(&["--once", "--json"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    assert!(!finished.stderr.contains(PASSWORD), "{}", finished.stderr);
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
    summaries[0]["sinks"][0].clone()
}

fn texts(rows: &[Vec<Option<String>>]) -> Vec<String> {
    let text = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".to_owned());
    rows.iter()
        .map(|row| row.iter().map(text).collect::<Vec<_>>().join(" | "))
        .collect()
}

#[tokio::test]
async fn events_in_avro_are_kept_equal_to_a_table() {
    let kafka = kafka();
    let server = HttpServer::start(|request| registry(request, true)).await;
    for target in Target::each("avro").await {
        let kind = target.kind();
        let topic = produce(&kafka, "crm.public.clients", "avro").await;
        // A message that no registry framed costs only itself.
        let stray = RawMessage {
            partition: 0,
            key: None,
            value: Some(b"{\"id\":9}".to_vec()),
        };
        kafka.produce_raw(&topic, &[stray]);
        let sink = format!("table = \"clients\"\n{}", target.lines());
        let pipeline = pipeline(&kafka, &topic, "debezium-avro", &server, &sink);
        let summary = summary(&pipeline).await;
        assert_eq!(
            (&summary["in"], &summary["quarantined"]),
            (&8.into(), &1.into()),
            "{kind}: {summary}"
        );
        // The column that came with a later schema was added (R15); what a change leaves out stays (R14).
        let sql = "SELECT id, name, balance, small, mood, city FROM clients ORDER BY id";
        let rows = texts(&target.rows(sql).await);
        assert_eq!(rows.len(), 3, "{kind}: {rows:?}");
        assert!(
            rows[0].starts_with("2 | Zoë \\ \"Z\" | -0.05 | -2 | ok | -"),
            "{kind}: {rows:?}"
        );
        assert!(
            rows[1].starts_with("3 | - | - | - | - | -"),
            "{kind}: {rows:?}"
        );
        assert!(
            rows[2].starts_with("4 | Lev | - | 5000000000 | - | Bern"),
            "{kind}: {rows:?}"
        );
        let extra = texts(&target.rows("SELECT extra FROM clients WHERE id = 2").await);
        assert!(extra[0].contains("\"x\""), "{kind}: {extra:?}");
        let listed = pipeline
            .command(&["quarantine", "list", pipeline.file(), "--json"])
            .await;
        assert!(
            listed.stdout.contains("expected the byte 0"),
            "{kind}: {}",
            listed.stdout
        );
    }
    // Each schema is asked for once in each run of one lane.
    let asked = server.seen();
    let count = asked.iter().filter(|request| request.path == LATER).count();
    assert_eq!(count, 3, "once for each database");
}

#[tokio::test]
async fn an_event_in_avro_says_what_one_in_json_says() {
    let kafka = kafka();
    let server = HttpServer::start(|request| registry(request, true)).await;
    let topic = produce(&kafka, "crm.public.clients", "avrosource").await;
    let sink = "type = \"file\"\npath = \"out.jsonl\"\n";
    let events = pipeline(&kafka, &topic, "debezium-avro", &server, sink);
    let text = std::fs::read_to_string(events.file()).expect("it is there");
    let text = text.replace("evolution = \"evolve\"\n", "").replace(
        "[sinks.target]\ninputs    = [\"crm\"]",
        "[operators.told]\ntype = \"map\"\ninputs = [\"crm\"]\nfields.id = \"id\"\n\
         fields.lsn = \"_source.lsn\"\nfields.key = \"_key\"\n\n[sinks.target]\ninputs = [\"told\"]",
    );
    events.write(&text);
    let checked = events
        .command(&["validate", "--connect", events.file()])
        .await;
    checked.expect_success();
    events.run_once(DEADLINE).await.expect_success();
    let lines = std::fs::read_to_string(events.folder().join("out.jsonl")).expect("it is there");
    let first = lines.lines().next().expect("a line");
    assert!(
        first.contains("\"lsn\":\"7\"") || first.contains("\"lsn\":7"),
        "{first}"
    );
    assert!(first.contains(r#"\"payload\":{\"id\":1}"#), "{first}");
}

#[tokio::test]
async fn a_record_in_quarantine_is_replayed_by_its_schema() {
    let kafka = kafka();
    let server = HttpServer::start(|request| registry(request, true)).await;
    let topic = produce(&kafka, "orders", "avroreplay").await;
    let target = Target::each("avroreplay").await.remove(0);
    target
        .execute("CREATE TABLE orders (id text PRIMARY KEY, status text, total numeric CHECK (total > 0.3))")
        .await;
    let sink = format!("table = \"orders\"\nkey = [\"id\"]\n{}", target.lines());
    let orders = pipeline(&kafka, &topic, "avro", &server, &sink);
    let text = std::fs::read_to_string(orders.file()).expect("it is there");
    let text = text.replace(
        "[sinks.target]\ninputs    = [\"crm\"]",
        "[operators.few]\ntype = \"map\"\ninputs = [\"crm\"]\nfields.id = \"id\"\n\
         fields.status = \"status\"\nfields.total = \"total\"\n\n[sinks.target]\ninputs    = [\"few\"]",
    );
    orders.write(&text);
    let run = summary(&orders).await;
    assert_eq!(run["quarantined"], 1, "{run}");
    target.execute("ALTER TABLE orders RENAME TO old").await;
    target
        .execute("CREATE TABLE orders (id text PRIMARY KEY, status text, total numeric)")
        .await;
    target.execute("INSERT INTO orders SELECT * FROM old").await;
    let replayed = orders
        .command(&["quarantine", "replay", orders.file()])
        .await;
    replayed.expect_success();
    let rows = texts(
        &target
            .rows("SELECT status, total FROM orders ORDER BY id")
            .await,
    );
    assert_eq!(rows.len(), 2, "{rows:?} {}", replayed.stdout);
    assert!(rows[0].starts_with("NEW | 0.25"), "{rows:?}");
}

#[tokio::test]
async fn rows_in_avro_have_the_types_of_avro() {
    let kafka = kafka();
    let server = HttpServer::start(|request| registry(request, true)).await;
    for target in Target::each("avrorows").await {
        let kind = target.kind();
        let topic = produce(&kafka, "orders", "avrorows").await;
        let sink = format!("table = \"orders\"\nkey = [\"id\"]\n{}", target.lines());
        let pipeline = pipeline(&kafka, &topic, "avro", &server, &sink);
        let summary = summary(&pipeline).await;
        assert_eq!(
            (&summary["in"], &summary["quarantined"]),
            (&4.into(), &0.into()),
            "{kind}: {summary}"
        );
        let rows = texts(
            &target
                .rows("SELECT id, status, total, due FROM orders ORDER BY id")
                .await,
        );
        assert_eq!(
            rows,
            [
                "00000000-0000-0000-0000-000000000001 | NEW | 0.25 | 2026-02-01",
                "00000000-0000-0000-0000-000000000002 | PAID | 0.50 | 2026-02-02",
            ],
            "{kind}"
        );
    }
}

#[tokio::test]
async fn records_wait_for_a_schema_that_the_registry_does_not_know_yet() {
    let kafka = kafka();
    let (later, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let server = HttpServer::start({
        let (later, asked) = (later.clone(), asked.clone());
        move |request| {
            if request.path == LATER {
                asked.fetch_add(1, Ordering::Relaxed);
            }
            registry(request, later.load(Ordering::Relaxed))
        }
    })
    .await;
    let topic = produce(&kafka, "crm.public.clients", "avrowaits").await;
    let target = Target::each("avrowaits").await.remove(0);
    let sink = format!("table = \"clients\"\n{}", target.lines());
    let pipeline = pipeline(&kafka, &topic, "debezium-avro", &server, &sink);

    let process = pipeline.start_as("waits", &[]);
    eventually("the stall", DEADLINE, async || {
        let said = process.stderr();
        let stalled = said.contains("stalled") && said.contains("has no schema 3");
        if stalled && asked.load(Ordering::Relaxed) > 2 {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    // It ends when it is told to, although the schema is missing.
    process.terminate();
    let finished = pipeline.finish(process, DEADLINE).await;
    assert!(
        !finished.stderr.contains("quarantin"),
        "{}",
        finished.stderr
    );
    let listed = pipeline
        .command(&["quarantine", "list", pipeline.file(), "--json"])
        .await;
    assert_eq!(listed.stdout.trim(), "[]", "nothing went into quarantine");

    later.store(true, Ordering::Relaxed);
    let summary = summary(&pipeline).await;
    assert_eq!(
        (&summary["in"], &summary["quarantined"]),
        (&7.into(), &0.into()),
        "{summary}"
    );
    let rows = target
        .rows("SELECT id, name FROM clients ORDER BY id")
        .await;
    assert_eq!(texts(&rows), ["2 | Zoë \\ \"Z\"", "3 | -", "4 | Lev"]);
}

/// Partitions that leave a lane while its records wait for a schema are read by who owns them then.
#[tokio::test]
async fn partitions_may_move_while_their_records_wait() {
    let kafka = kafka();
    let later = Arc::new(AtomicBool::new(false));
    let server = HttpServer::start({
        let later = later.clone();
        move |request| registry(request, later.load(Ordering::Relaxed))
    })
    .await;
    let topic = kafka.topic("avromoves", 4).await;
    // One of the schema that is there, and one of the other, for each partition.
    let all = messages("crm.public.clients");
    let records: Vec<RawMessage> = (0..4)
        .flat_map(|partition| [&all[2], &all[4]].map(|message| (partition, message)))
        .map(|(partition, message)| RawMessage {
            partition,
            ..message.clone()
        })
        .collect();
    kafka.produce_raw(&topic, &records);
    let target = Target::each("avromoves").await.remove(1);
    let sink = format!("table = \"clients\"\n{}", target.lines());
    let replicas = [(); 2].map(|()| pipeline(&kafka, &topic, "debezium-avro", &server, &sink));
    let mut processes = Vec::new();
    for replica in &replicas {
        let process = replica.start(&["--lanes", "1"]);
        eventually("the stall", DEADLINE, async || {
            let said = process.stderr();
            match said.contains("has no schema 3") {
                true => Ok(()),
                false => Err(said),
            }
        })
        .await;
        processes.push(process);
    }
    later.store(true, Ordering::Relaxed);
    eventually("every record", DEADLINE, async || {
        let done: i64 = kafka.committed(&topic, &topic).values().sum();
        if done == records.len() as i64 {
            Ok(())
        } else {
            Err(done)
        }
    })
    .await;
    let rows = target
        .rows("SELECT id, name, city FROM clients ORDER BY id")
        .await;
    assert_eq!(texts(&rows), ["3 | - | -", "4 | Lev | Bern"]);
    for (replica, process) in replicas.iter().zip(processes) {
        process.terminate();
        replica.finish(process, DEADLINE).await.expect_success();
    }
}

#[tokio::test]
async fn a_registry_that_refuses_who_asks_stops_the_pipeline() {
    let kafka = kafka();
    let server = HttpServer::start(|request| registry(request, true)).await;
    let topic = produce(&kafka, "orders", "avrorefused").await;
    let sink = "type = \"sqlite\"\npath = \"target.db\"\ntable = \"orders\"";
    let mut pipeline = pipeline(&kafka, &topic, "avro", &server, sink);
    pipeline.set("REGISTRY_PASSWORD", "wrong-password");
    let finished = pipeline.run_once(DEADLINE).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("refuses to give schema"),
        "{}",
        finished.stderr
    );
    assert!(
        !finished.stderr.contains("wrong-password"),
        "{}",
        finished.stderr
    );
}
