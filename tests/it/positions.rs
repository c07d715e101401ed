//! Where a pipeline begins, to which target its positions belong, and the commands that move them (R24).

mod beginning;
mod commands;
mod identity;

use crate::harness::{Kafka, Message, Target, kafka};

/// One sink of a file.
struct Sink<'a> {
    name: &'a str,
    target: &'a Target,
    table: &'a str,
}

/// A pipeline file.
struct File<'a> {
    name: &'a str,
    topics: &'a str,
    /// As TOML.
    start: &'a str,
    sinks: &'a [Sink<'a>],
}

impl File<'_> {
    fn text(&self) -> String {
        let Self {
            name,
            topics,
            start,
            sinks,
        } = self;
        let brokers = kafka().brokers().to_owned();
        let mut text = format!(
            r#"name = "{name}"

[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = "{topics}"
group   = "{topics}"
format  = "debezium-json"
start   = {start}

[sources.crm.schema]
id   = "int64"
name = "string"

[sources.crm.properties]
"session.timeout.ms"                 = "6000"
"topic.metadata.refresh.interval.ms" = "300"
"#
        )
        .replace("group   = \"^", "group   = \"");
        for Sink {
            name,
            target,
            table,
        } in *sinks
        {
            text += &format!(
                "\n[sinks.{name}]\n{}\ninputs = [\"crm\"]\ntable = \"{table}\"\nkey = [\"id\"]\nevolution = \"evolve\"\n",
                target.lines()
            );
        }
        text
    }
}

/// Rows with these ids, as new.
fn messages(ids: std::ops::Range<i64>) -> Vec<Message> {
    ids.map(|id| Message {
        key: Some(format!(r#"{{"id":{id}}}"#)),
        value: Some(format!(
            r#"{{"before":null,"after":{{"id":{id},"name":"name {id}"}},"source":{{"table":"t"}},"op":"c","ts_ms":1}}"#
        )),
    })
    .collect()
}

/// As [`messages`], all to one partition.
fn produce_to(kafka: &Kafka, topic: &str, partition: i32, ids: std::ops::Range<i64>) {
    let raw: Vec<_> = messages(ids)
        .into_iter()
        .map(|message| crate::harness::RawMessage {
            partition,
            key: message.key.map(String::into_bytes),
            value: message.value.map(String::into_bytes),
        })
        .collect();
    kafka.produce_raw(topic, &raw);
}

/// The ids in a table.
async fn ids(target: &Target, table: &str) -> Vec<i64> {
    target
        .numbers(&format!("SELECT id FROM {table} ORDER BY id"))
        .await
}

fn numbers(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}
