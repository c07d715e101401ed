//! What the Kafka sink writes in Avro.

use std::sync::Mutex;

use serde_json::Value;

use super::{summary, texts};
use crate::harness::{HttpServer, Pipeline, Received, Reply, Target, kafka};

/// A registry that gives ids to schemas; two schemas that are the same have one id.
fn registering() -> impl Fn(&Received) -> Reply + Send + Sync {
    let schemas: Mutex<Vec<String>> = Mutex::new(Vec::new());
    move |request| {
        let mut schemas = schemas.lock().expect("no one panicked");
        if request.method == "POST" && request.path.starts_with("/subjects/") {
            let body: Value = serde_json::from_str(&request.body).expect("it is JSON");
            let text = body["schema"].as_str().expect("a schema").to_owned();
            let known = schemas.iter().position(|known| *known == text);
            let place = known.unwrap_or_else(|| {
                schemas.push(text);
                schemas.len() - 1
            });
            return Reply::ok(format!("{{\"id\":{}}}", place + 1));
        }
        let id = request.path.strip_prefix("/schemas/ids/");
        let place = id.and_then(|id| id.parse::<usize>().ok()?.checked_sub(1));
        match place.and_then(|place| schemas.get(place)) {
            Some(text) => Reply::ok(serde_json::json!({ "schema": text }).to_string()),
            None if request.path == "/schemas/types" => Reply::ok("[\"AVRO\"]"),
            None => Reply::status(404, "{}"),
        }
    }
}

#[tokio::test]
async fn what_is_written_in_avro_is_read_as_the_same_rows() {
    let kafka = kafka();
    let server = HttpServer::start(registering()).await;
    for format in ["avro", "debezium-avro"] {
        let topic = kafka.topic("avroout", 3).await;
        let registry = format!("schema_registry = {{ url = \"{}\" }}", server.url(""));
        let out = Pipeline::new(&format!(
            r#"[sources.file]
type    = "file"
path    = "rows.jsonl"
format  = "json"
deleted = "gone"
key     = ["id"]

[sources.file.schema]
id      = "int64"
name    = "string"
balance = "decimal(12, 2)"
seen    = "timestamptz"

[sinks.out]
type    = "kafka"
inputs  = ["file"]
brokers = "{brokers}"
topic   = "{topic}"
format  = "{format}"
{registry}
"#,
            brokers = kafka.brokers()
        ));
        let rows = [
            r#"{"id":1,"name":"Anna","balance":"1.50","seen":"2026-01-02T03:04:05.123456Z"}"#,
            r#"{"id":2,"name":"Mia","balance":"-2.00","seen":null}"#,
            // Avro cannot leave a column out.
            r#"{"id":2,"name":"Mia"}"#,
            r#"{"id":1,"gone":true}"#,
            r#"{"id":3,"name":null,"balance":null,"seen":null}"#,
        ];
        std::fs::write(out.folder().join("rows.jsonl"), rows.join("\n") + "\n")
            .expect("the folder can be written");
        let written = summary(&out).await;
        assert_eq!(
            (&written["in"], &written["written"], &written["quarantined"]),
            (&5.into(), &4.into(), &1.into()),
            "{format}: {written}"
        );

        let target = Target::each("avroback").await.remove(0);
        let back = Pipeline::new(&format!(
            r#"[sources.in]
type    = "kafka"
brokers = "{brokers}"
topics  = "{topic}"
group   = "{topic}"
format  = "{format}"
{registry}

[sinks.target]
inputs    = ["in"]
table     = "clients"
evolution = "evolve"
{sink}"#,
            brokers = kafka.brokers(),
            sink = target.lines()
        ));
        summary(&back).await;
        let found = target
            .rows("SELECT id, name, balance FROM clients ORDER BY id")
            .await;
        assert_eq!(texts(&found), ["2 | Mia | -2.00", "3 | - | -"], "{format}");
    }
    let subjects = server.seen();
    let is_value = |request: &Received| request.path.ends_with("-value/versions");
    assert!(
        subjects.iter().any(is_value),
        "the schema of values is registered by its subject"
    );
}
