//! Apache Kafka as a sink: one message for every change, in its order.
//!
//! ```toml
//! [sinks.out]
//! type    = "kafka"
//! inputs  = ["tidy"]
//! brokers = "localhost:9092"
//! topic   = "replica.{table}"
//! key     = ["id"]
//! ```
//!
//! **Guarantees.** At-least-once: it keeps no positions, so after a crash or an outage messages may come
//! again, from the first that was not acknowledged on. None is lost: a write ends when every replica in
//! sync holds its messages. The producer is idempotent, so the client's own retries neither repeat nor
//! reorder. Messages of one key are in one partition, in the order of the changes, as far as changes of a
//! key come from one lane: keep the key of the source.
//!
//! - duplicate: nothing is folded, no conflict is decided. A message that comes again has its key.
//! - null: null; a key without a value rejects its change (R2).
//! - delete: a message without a value (a tombstone), after the event in `debezium-json`.
//! - truncate: an event in `debezium-json`; `json` cannot say it and rejects it (R13).
//! - an unset value (R14, R19) is left out. `avro` and `debezium-avro` cannot leave a column out: see
//!   `kafka/avro.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::avro::{AvroMessages, Ids};
use super::message::{MessageFormat, key_columns, messages};
use super::new_topic::{CreateTopics, ensure};
use super::producer::{KafkaWriter, OutRecord};
use super::{KafkaSource, Start, Topics, check_settings};
use crate::change::Changes;
use crate::conflict::Resolvers;
use crate::conflict_queue::ConflictQueue;
use crate::error::{Error, RejectedChange, Result};
use crate::format::{Decoding, Format};
use crate::positions::PositionStore;
use crate::problem::Problem;
use crate::record::HeldPositions;
use crate::schema_registry::{RegistryClient, SchemaRegistry};
use crate::sink::{Identity, Outcome, Sink, SinkConfig, SinkSettings, Write};
use crate::sql::Options;

/// Writes changes to topics of a Kafka cluster, at least once.
///
/// ```toml
/// [sinks.out]
/// type    = "kafka"
/// inputs  = ["crm"]
/// brokers = "localhost:9092"
/// topic   = "replica.{table}"
/// format  = "debezium-json"
/// key     = ["id"]
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSink {
    /// Addresses to begin with, `host:port` separated by commas.
    pub brokers: String,
    /// The topic; it must exist, unless `create` makes it. `{table}` is the table's name.
    pub topic: String,
    /// What the value of a message is.
    #[serde(default)]
    pub format: MessageFormat,
    /// The columns that make the key of a message. Default: the key that the changes carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    /// For `avro` and `debezium-avro`: where schemas are registered, under `TOPIC-key` and `TOPIC-value`.
    #[serde(default, skip_serializing)]
    pub schema_registry: Option<SchemaRegistry>,
    /// How topics are made that are not there. Default: they are not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<CreateTopics>,
    /// Headers of every message.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A change whose message is larger, in bytes, goes to the quarantine. Not more than
    /// `max.message.bytes` of the topic.
    #[serde(default = "default_message_bytes_max")]
    pub message_bytes_max: usize,
    /// Settings for the Kafka client: SASL, TLS, timeouts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// What a broker takes by default, less the frame of a message.
fn default_message_bytes_max() -> usize {
    1_000_000
}

/// Everything but the properties, which may contain a password.
impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("format", &self.format)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl KafkaSink {
    /// A source of the same brokers, which checks what both have.
    fn as_source(&self) -> KafkaSource {
        // The topics of a pattern are not known before there are changes, nor is there one that is made
        // then: any answer will do.
        let topic = match self.topic.contains("{table}") || self.create.is_some() {
            true => "^$".to_owned(),
            false => self.topic.clone(),
        };
        KafkaSource {
            brokers: self.brokers.clone(),
            topics: Topics::One(topic),
            group: String::new(),
            start: Start::Earliest,
            decoding: Decoding::new(Format::Json),
            instance: None,
            properties: self.properties.clone(),
        }
    }
}

#[async_trait]
impl SinkSettings for KafkaSink {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    fn options(&self) -> Option<Options> {
        None
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = check_settings(&self.as_source());
        problems.retain(|problem| problem.path.first().is_some_and(|key| key == "properties"));
        if !is_topic(&self.topic.replace("{table}", "t")) {
            let message =
                "is no name of a topic: expected letters, digits, `.`, `_`, `-` and {table}";
            problems.push(Problem::new(&["topic"], message));
        }
        match (&self.schema_registry, self.format.has_registry()) {
            (Some(_), false) => {
                let message = "only for avro and debezium-avro";
                problems.push(Problem::new(&["schema_registry"], message));
            }
            (None, true) => {
                let message = "messages of avro do not carry their schemas";
                let mut problem = Problem::new(&["format"], message);
                problem.help =
                    Some("write schema_registry = { url = \"http://host:8081\" }".to_owned());
                problems.push(problem);
            }
            _ => {}
        }
        problems.extend(self.schema_registry.iter().flat_map(SchemaRegistry::check));
        if let Some(create) = &self.create {
            for (name, count) in [
                ("partitions", create.partitions),
                ("replication", create.replication),
            ] {
                if count == 0 {
                    problems.push(Problem::new(&["create", name], "a topic has at least one"));
                }
            }
        }
        if self.key.as_ref().is_some_and(Vec::is_empty) {
            let message =
                "no column is named: leave `key` out to take the key that the changes carry";
            problems.push(Problem::new(&["key"], message));
        }
        problems
    }

    async fn probe(&self) -> Result<()> {
        if let Some(registry) = &self.schema_registry {
            RegistryClient::new(registry)?.probe().await?;
        }
        super::check(&self.as_source()).await.map(drop)
    }

    async fn default_key(&self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    async fn connect(
        &self,
        _identity: &Identity,
        _resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Box<dyn Sink>> {
        self.probe().await?;
        let is_events = self.format == MessageFormat::DebeziumAvro;
        let registry = self.schema_registry.as_ref();
        let avro = registry.map(|registry| AvroMessages::new(registry, is_events));
        Ok(Box::new(Messages {
            avro: avro.transpose()?,
            writer: KafkaWriter::connect(&self.brokers, &self.topic, &self.properties)?,
            config: self.clone(),
            known: BTreeSet::new(),
        }))
    }

    fn guarded(&self) -> Option<SinkConfig> {
        None
    }

    async fn open_queue(
        &self,
        _pipeline: &str,
        _sink: &str,
    ) -> Result<Option<Box<dyn ConflictQueue>>> {
        Ok(None)
    }

    async fn open_positions(
        &self,
        _pipeline: &str,
        _sink: &str,
    ) -> Result<Option<Box<dyn PositionStore>>> {
        Ok(None)
    }
}

/// Whether Kafka takes it as the name of a topic.
fn is_topic(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(fits)
}

struct Messages {
    /// Where the format has schemas.
    avro: Option<AvroMessages>,
    writer: KafkaWriter,
    config: KafkaSink,
    /// Topics that are there, where it is our part to make them.
    known: BTreeSet<String>,
}

impl Messages {
    fn topic_of(&self, changes: &Changes) -> Result<String> {
        let topic = self.config.topic.replace("{table}", &changes.table.name);
        if is_topic(&topic) {
            return Ok(topic);
        }
        Err(Error::configuration(format!(
            "table {:?} cannot be part of the name of a topic: write a topic without {{table}}",
            changes.table.name
        )))
    }

    /// The messages of a batch, in order; what cannot be one is added to `rejected`.
    async fn encode(
        &mut self,
        batch: usize,
        topic: &str,
        changes: &Changes,
        rejected: &mut Vec<RejectedChange>,
    ) -> Result<Vec<OutRecord>> {
        let key = key_columns(changes, self.config.key.as_deref()).map_err(Error::configuration)?;
        let mut ids = Ids { key: 0, value: 0 };
        if let Some(avro) = &mut self.avro {
            ids = avro.register(topic, changes, &key).await?;
        }
        let mut out = Vec::with_capacity(changes.len());
        for row in 0..changes.len() {
            let mut refuse = |rule: String, field: Option<String>, reason: String| {
                rejected.push(RejectedChange {
                    batch,
                    row,
                    rule,
                    field,
                    reason,
                });
            };
            let made = match &self.avro {
                Some(avro) => avro.messages(changes, row, &key, ids),
                None => messages(changes, row, &key, self.config.format),
            };
            match made {
                Err(refused) => refuse(refused.rule, refused.field, refused.reason),
                Ok(mut records) => {
                    for record in &mut records {
                        let headers = self.config.headers.iter();
                        let headers =
                            headers.map(|(name, value)| (name.clone(), value.clone().into_bytes()));
                        record.headers.extend(headers);
                    }
                    let size = |record: &OutRecord| {
                        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
                        length(&record.key) + length(&record.value)
                    };
                    let largest = records.iter().map(size).max().unwrap_or(0);
                    if largest > self.config.message_bytes_max {
                        refuse(
                            "kafka message size".to_owned(),
                            None,
                            format!(
                                "the message has {largest} bytes, more than message_bytes_max = {}",
                                self.config.message_bytes_max
                            ),
                        );
                    } else {
                        out.extend(records);
                    }
                }
            }
        }
        Ok(out)
    }
}

#[async_trait]
impl Sink for Messages {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        Ok(None)
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        let mut batches: Vec<(String, Vec<OutRecord>)> = Vec::new();
        let mut rejected = Vec::new();
        for (index, changes) in write.changes.iter().enumerate() {
            let topic = self.topic_of(changes)?;
            let records = self.encode(index, &topic, changes, &mut rejected).await?;
            batches.push((topic, records));
        }
        // Nothing is sent of a write of which something is refused: the rest comes again.
        if !rejected.is_empty() {
            return Err(Error::Rejected(rejected));
        }
        for (topic, records) in batches {
            if let Some(create) = self
                .config
                .create
                .as_ref()
                .filter(|_| !self.known.contains(&topic))
            {
                ensure(
                    &self.config.brokers,
                    &self.config.properties,
                    &topic,
                    create,
                )
                .await?;
                self.known.insert(topic.clone());
            }
            self.writer.send_all_to(&topic, records).await?;
        }
        Ok(Outcome {
            written: write.len() as u64,
            ..Outcome::default()
        })
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_settings_is_said() {
        let check = |text: &str, expect: &[&str]| {
            let config: KafkaSink = serde_json::from_str(text).unwrap();
            let paths = config
                .check()
                .into_iter()
                .map(|problem| problem.path.join("."));
            assert_eq!(paths.collect::<Vec<_>>(), expect, "{text}");
        };
        check(r#"{"brokers": "h:1", "topic": "a.{table}_b-1"}"#, &[]);
        check(r#"{"brokers": "h:1", "topic": "a b"}"#, &["topic"]);
        check(r#"{"brokers": "h:1", "topic": "^a"}"#, &["topic"]);
        check(r#"{"brokers": "h:1", "topic": "a", "key": []}"#, &["key"]);
        let properties = r#"{"brokers": "h:1", "topic": "a", "properties": {"group.id": "x"}}"#;
        check(properties, &["properties.group.id"]);
        check(
            r#"{"brokers": "h:1", "topic": "a", "format": "avro"}"#,
            &["format"],
        );
        let registry =
            r#"{"brokers": "h:1", "topic": "a", "schema_registry": {"url": "http://h:8081"}}"#;
        check(registry, &["schema_registry"]);
        let both = r#"{"brokers": "h:1", "topic": "a", "format": "debezium-avro", "schema_registry": {"url": "h"}}"#;
        check(both, &["schema_registry.url"]);
    }
}
