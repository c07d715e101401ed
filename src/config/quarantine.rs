//! `[quarantine]`: the settings of the place that keeps rejected changes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::format::{Decoding, Format};
use syncline_connectors::kafka::{KafkaSource, Start, Topics};

/// How many refusals by one rule stop a pipeline by default.
const STOP_AFTER: u64 = 1_000;

fn default_stop_after() -> u64 {
    STOP_AFTER
}

/// The place that keeps rejected changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineConfig {
    /// `type = "file"`
    File(FileQuarantine),
    /// `type = "kafka"`
    Kafka(KafkaQuarantine),
}

/// Keeps rejected changes in a folder of files, which `syncline quarantine` reads.
///
/// ```toml
/// [quarantine]
/// type = "file"
/// path = "state/quarantine"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileQuarantine {
    /// The folder; it is created if it does not exist.
    pub path: PathBuf,
    /// Stop the pipeline once one rule has refused this many changes of a table, or of a topic, and
    /// none of them was accepted; 0 puts them into quarantine however many they are.
    #[serde(default = "default_stop_after")]
    pub stop_after: u64,
}

impl FileQuarantine {
    /// Of a folder, with the defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            stop_after: STOP_AFTER,
        }
    }
}

impl QuarantineConfig {
    /// How many refusals by one rule stop the pipeline; 0: however many.
    pub fn stop_after(&self) -> u64 {
        match self {
            Self::File(file) => file.stop_after,
            Self::Kafka(kafka) => kafka.stop_after,
        }
    }
}

/// Keeps rejected changes in a Kafka topic, one message each.
///
/// ```toml
/// [quarantine]
/// type    = "kafka"
/// brokers = "localhost:9092"
/// topic   = "syncline.quarantine"
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaQuarantine {
    /// `host:port` of one or more brokers, separated by commas.
    #[schemars(length(min = 1))]
    pub brokers: String,
    /// The topic; it must exist.
    #[schemars(length(min = 1))]
    pub topic: String,
    /// Properties of the Kafka client, for example for SASL and TLS.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Stop the pipeline once one rule has refused this many changes of a table, or of a topic, and
    /// none of them was accepted; 0 puts them into quarantine however many they are.
    #[serde(default = "default_stop_after")]
    pub stop_after: u64,
}

impl KafkaQuarantine {
    /// A source that reads the kept changes back from the topic.
    pub fn as_source(&self) -> KafkaSource {
        KafkaSource {
            brokers: self.brokers.clone(),
            topics: Topics::One(self.topic.clone()),
            group: String::new(),
            start: Start::Earliest,
            decoding: Decoding::new(Format::DebeziumJson),
            instance: None,
            properties: self.properties.clone(),
        }
    }
}

/// Shows everything but the properties, which may contain a password.
impl fmt::Debug for KafkaQuarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaQuarantine")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
