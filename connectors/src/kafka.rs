//! Apache Kafka: a source of topics, a sink, and a writer for the quarantine.
//!
//! ```toml
//! [sources.crm]
//! type    = "kafka"
//! brokers = "localhost:9092"
//! topics  = ["crm.public.clients"]     # or a pattern: "^crm\\.public\\..*"
//! group   = "syncline-clients"
//! format  = "debezium-json"
//! ```
//!
//! Guarantees: the records of a partition come in order and without a gap that the broker did not
//! make; where to begin is said by each sink's position, else by `start`, and by the group's committed
//! offset only for a sink that keeps no positions; an offset that is gone is an error, never a reset,
//! and so is a position of a topic that was deleted and made again. Only committed transactions are
//! read. A duplicate is a record at an offset that was read already: it is dropped. A record
//! without a value is a tombstone and is handed over. A topic that begins to match a pattern is
//! joined within about ten seconds.
//!
//! Every lane is a consumer of its own, a member of the group (docs/decisions/0003). With `--once`
//! no member joins: the partitions are dealt out to the lanes and each is read up to the end
//! that it had at the start. The committed offsets follow for lag tools; they are not the authority
//! where the sink keeps positions.

mod avro;
mod begin;
mod client;
#[cfg(test)]
mod drive;
mod failure;
mod fetch_buffer;
mod headers;
mod message;
mod new_topic;
mod outage;
#[cfg(test)]
mod outage_tests;
mod producer;
mod properties;
mod reader;
#[cfg(test)]
#[cfg(feature = "server-tests")]
mod server_tests;
mod sink;
mod start;
mod start_offset;
mod survey;
mod task;
mod topic;
mod topic_id;
mod watermark;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use client::{LogOnly, Reports};
pub use message::MessageFormat;
pub use new_topic::CreateTopics;
pub use producer::{KafkaWriter, OutRecord, read_topic};
use properties::check_properties;
use rdkafka::consumer::{BaseConsumer, Consumer};
use reader::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use sink::KafkaSink;
pub use start::{Start, Timestamp};
use survey::survey;
use task::Task;

use crate::error::{Error, Result};
use crate::format::{Decoding, Format};
use crate::problem::Problem;
use crate::record::Partition;
use crate::source::{Description, Extent, Lane, Opening, Purpose, Source, SourceSettings, Wanted};

/// A source that reads topics of a Kafka cluster.
///
/// ```toml
/// [sources.crm]
/// type    = "kafka"
/// brokers = "localhost:9092"
/// topics  = ["crm.public.clients"]
/// group   = "syncline-clients"
/// format  = "debezium-json"
/// ```
///
/// A pattern that begins with `^` reads every topic that matches, and joins new ones while it runs.
///
/// ```toml
/// [sources.everything]
/// type    = "kafka"
/// brokers = "localhost:9092"
/// topics  = "^crm\\.public\\..*"
/// group   = "syncline-everything"
/// format  = "debezium-json"
/// ```
///
/// Messages in Avro, with their schemas in a registry:
///
/// ```toml
/// [sources.avro]
/// type    = "kafka"
/// brokers = "localhost:9092"
/// topics  = ["crm.public.clients"]
/// group   = "syncline-avro"
/// format  = "debezium-avro"
/// schema_registry = { url = "http://localhost:8081" }
/// ```
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSource {
    /// Addresses to begin with, `host:port` separated by commas.
    pub brokers: String,
    /// Topic names, or patterns that begin with `^`.
    pub topics: Topics,
    /// The consumer group. Replicas of one pipeline share it.
    pub group: String,
    /// Where a sink begins with a topic that it holds no position of: `earliest`, `latest`, or
    /// `{ timestamp = "2026-01-01T00:00:00Z" }` for the first record that is not older. A sink that
    /// keeps no positions (a file) begins at the group's committed offset, where there is one.
    #[serde(default)]
    pub start: Start,
    /// What a value is, and what every source can be told about its rows.
    #[serde(flatten)]
    pub decoding: Decoding,
    /// A name for this process that survives its restart: the group then keeps its partitions for
    /// the session timeout. Each replica needs another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Settings for the Kafka client: SASL, TLS, fetch tuning, timeouts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// Without the values of `properties`: there are secrets among them.
impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("group", &self.group)
            .field("start", &self.start)
            .field("format", &self.decoding.format)
            .field("instance", &self.instance)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

/// Which topics: one name or pattern, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Topics {
    /// One name, or one pattern that begins with `^`.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Topics {
    /// The names and patterns.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }

    fn has_pattern(&self) -> bool {
        self.names().iter().any(|name| name.starts_with('^'))
    }
}

/// How many lanes this source feeds: one for each partition, at most `cores`, at least one.
///
/// # Errors
/// `Unavailable` while no broker answers; `Configuration` where one refuses, where a topic
/// that is named does not exist, or where a pattern or a property is wrong.
pub async fn lanes(config: &KafkaSource, cores: usize) -> Result<usize> {
    let partitions = look_up(config).await?;
    Ok(partitions.len().min(cores).max(1))
}

/// The topics that are there: for `validate --connect`.
///
/// # Errors
/// As [`lanes`].
pub async fn check(config: &KafkaSource) -> Result<Vec<String>> {
    let mut topics: Vec<String> = look_up(config)
        .await?
        .iter()
        .map(|partition| partition.topic.to_string())
        .collect();
    topics.dedup();
    Ok(topics)
}

#[async_trait]
impl SourceSettings for KafkaSource {
    fn describe(&self) -> Description<'_> {
        Description {
            kind: "kafka",
            topic: self.topics.names().first().map_or("", String::as_str),
            local: false,
        }
    }

    fn decoding(&self) -> &Decoding {
        &self.decoding
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.decoding.check();
        let names = self
            .decoding
            .csv
            .as_ref()
            .and_then(|csv| csv.header.as_ref());
        if self.decoding.format == Format::Csv && names.is_none() {
            let message = "messages of csv do not name their columns".to_owned();
            let mut problem = Problem::new(&["format"], message);
            problem.help = Some("write csv.header = [\"…\"]".to_owned());
            problems.push(problem);
        }
        problems.extend(check_settings(self));
        problems
    }

    async fn lanes(&self, lanes_max: usize) -> Result<usize> {
        lanes(self, lanes_max).await
    }

    async fn connect(&self, opening: Opening) -> Result<Box<dyn Source>> {
        let Opening {
            lane,
            purpose,
            memory_bytes,
        } = opening;
        match purpose {
            Purpose::Follow => connect(self, lane, false, memory_bytes),
            Purpose::Once => connect(self, lane, true, memory_bytes),
            // Brokers may allow a group by the beginning of its name.
            Purpose::Peek => {
                let peek = Self {
                    group: format!("{}-look-{}", self.group, std::process::id()),
                    start: Start::Earliest,
                    instance: None,
                    ..self.clone()
                };
                connect(&peek, lane, true, memory_bytes)
            }
        }
    }

    async fn survey(&self, wanted: &Wanted) -> Result<Vec<Extent>> {
        survey(self, wanted).await
    }
}

/// Properties that are refused, and topics that cannot be named so; paths begin at the source's table.
pub fn check_settings(config: &KafkaSource) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, message, help) in check_properties(config) {
        let mut problem = Problem::new(&["properties", &key], message);
        problem.help = help;
        problems.push(problem);
    }
    if let Start::Timestamp(timestamp) = &config.start
        && let Err(error) = timestamp.milliseconds()
    {
        problems.push(Problem::new(&["start", "timestamp"], error.to_string()));
    }
    if config.decoding.format == Format::Parquet {
        let message = "only for files: a message is no file of columns";
        problems.push(Problem::new(&["format"], message));
    }
    let names = config.topics.names();
    if names.is_empty() {
        problems.push(Problem::new(&["topics"], "no topic is named"));
    }
    for (index, name) in names.iter().enumerate() {
        if name.starts_with('^') && topic::pattern(name).is_err() {
            let index = index.to_string();
            let path = match config.topics {
                Topics::One(_) => &["topics"][..],
                Topics::Many(_) => &["topics", &index],
            };
            problems.push(Problem::new(
                path,
                "the pattern is not a regular expression",
            ));
        }
    }
    problems
}

/// Opens the consumer of one lane. Blocks for a few round trips where `once` is set. The partitions
/// of `once` are those that exist now, each up to the end that it has now. `memory_bytes` is what
/// the client may hold ahead of the lane.
///
/// # Errors
/// As [`lanes`].
pub fn connect(
    config: &KafkaSource,
    lane: Lane,
    once: bool,
    memory_bytes: u64,
) -> Result<Box<dyn Source>> {
    refuse_properties(config)?;
    for name in config
        .topics
        .names()
        .iter()
        .filter(|name| name.starts_with('^'))
    {
        topic::pattern(name).map_err(Error::configuration)?;
    }
    let mut settings = client::settings(&config.brokers, &config.properties);
    client::consume(&mut settings, &config.group, memory_bytes);
    if let Some(instance) = config.instance.as_ref().filter(|_| !once) {
        settings.set("group.instance.id", format!("{instance}-{}", lane.number));
    }
    let consumer: BaseConsumer<Reports> =
        client::open(&settings, &config.brokers, Reports::default())?;
    let once = if once {
        Some(deal_out(&consumer, config, lane)?)
    } else {
        let names: Vec<&str> = config.topics.names().iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| {
            failure::failed(
                &format!("group {} could not be joined", config.group),
                error,
            )
        })?;
        None
    };
    let task = Task {
        brokers: config.brokers.clone(),
        topics: config.topics.clone(),
        group: config.group.clone(),
        start: config.start.clone(),
        once,
    };
    Ok(Box::new(Reader::new(consumer, task)))
}

/// This lane's partitions with the offsets at which they end now.
fn deal_out(
    consumer: &BaseConsumer<Reports>,
    config: &KafkaSource,
    lane: Lane,
) -> Result<Vec<(Partition, i64)>> {
    topic::matching(consumer, &config.brokers, config.topics.names())?
        .into_iter()
        .enumerate()
        .filter(|(index, _)| index % lane.of.max(1) == lane.number)
        .map(|(_, partition)| {
            let (_, end) = topic::watermarks(consumer, &partition)?;
            Ok((partition, end))
        })
        .collect()
}

/// How often a client is polled for what it logged about a call that failed.
const LOG_POLLS: usize = 20;

/// The partitions that match now.
async fn look_up(config: &KafkaSource) -> Result<Vec<Partition>> {
    refuse_properties(config)?;
    let settings = client::settings(&config.brokers, &config.properties);
    let (brokers, topics) = (config.brokers.clone(), config.topics.clone());
    let asking = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer<LogOnly> =
            client::open(&settings, &brokers, LogOnly::default())?;
        let found = topic::matching(&consumer, &brokers, topics.names());
        found.map_err(|error| {
            // The client hands its log over only to who polls it.
            for _ in 0..LOG_POLLS {
                let _ = consumer.poll(Duration::from_millis(1));
            }
            failure::explained(error, consumer.context().told(), &brokers)
        })
    });
    asking
        .await
        .map_err(|error| Error::unavailable("the look-up of topics was broken off", error))?
}

fn refuse_properties(config: &KafkaSource) -> Result<()> {
    match check_properties(config).into_iter().next() {
        None => Ok(()),
        Some((_, message, None)) => Err(Error::configuration(message)),
        Some((_, message, Some(help))) => Err(Error::configuration(format!("{message}; {help}"))),
    }
}

#[cfg(test)]
mod tests;
