//! The control API, the metrics and what a running process is told: seen from outside, with a real Kafka
//! and a real PostgreSQL.

mod answers;
mod drain;
mod reload;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use syncline::daemon::view;

use crate::harness::{
    Api, DEADLINE, Database, Pipeline, Process, Proxy, Workload, eventually, kafka, metric,
    postgres,
};

/// From a topic to a table.
fn from_kafka(topic: &str) -> String {
    format!(
        r#"
[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"
[sources.crm.schema]
{schema}
[operators.some]
type   = "filter"
inputs = ["crm"]
where  = "id % 7 <> 3"
[sinks.billing]
connection = "billing"
inputs = ["some"]
table  = "clients"
key    = ["id"]
[sinks.billing.conflict]
strategy = "source_wins"
"#,
        brokers = kafka().brokers(),
        schema = Workload::SCHEMA,
    )
}

fn service(api: &Api, url: &str) -> String {
    format!(
        "{}[connections.billing]\ntype = \"postgres\"\nurl = \"{url}\"\nconnect_timeout_ms = 2000\n",
        api.toml()
    )
}

/// From a file to a SQLite table of this name.
fn from_file(table: &str) -> String {
    format!(
        r#"
[sources.crm]
type   = "file"
path   = "in.jsonl"
format = "json"
[sinks.out]
type      = "sqlite"
path      = "{table}.db"
inputs    = ["crm"]
table     = "{table}"
key       = ["id"]
evolution = "evolve"
"#
    )
}

/// A folder with `syncline.toml` and the pipelines `a` and `b`, each from a file to SQLite.
fn two_files(api: &Api) -> Pipeline {
    let pipeline = Pipeline::new(&from_file("a"));
    let folder = pipeline.folder();
    fs::remove_file(pipeline.file()).expect("it is there");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("it is written");
    write("a.toml", &from_file("a"));
    write("b.toml", &from_file("b"));
    write("in.jsonl", "{\"id\":1,\"name\":\"x\"}\n");
    write("syncline.toml", &api.toml());
    pipeline
}

fn start_folder(pipeline: &Pipeline) -> Process {
    let folder = pipeline.folder().to_str().expect("UTF-8");
    pipeline.start_command("syncline", &["run", folder])
}

async fn in_state(api: &Api, process: &mut Process, name: &str, states: &[&str]) -> view::Pipeline {
    eventually(&format!("{name} {states:?}"), DEADLINE, async || {
        process.expect_running();
        let answer = api.get(&format!("/v1/pipelines/{name}"));
        let answer = answer.map_err(|error| error.to_string())?;
        let pipeline: view::Pipeline = answer.read();
        match states.contains(&pipeline.state.as_str()) {
            true => Ok(pipeline),
            false => Err(format!("{pipeline:?}: {}", process.stderr())),
        }
    })
    .await
}

async fn arrive(target: &Database, process: &mut Process, count: usize) {
    eventually("every record", DEADLINE, async || {
        process.expect_running();
        match target.positions_sum().await {
            Ok(found) if found == count as i64 => Ok(()),
            found => Err(format!("{found:?} of {count}: {}", process.stderr())),
        }
    })
    .await;
}
