//! Where rejected changes are kept: original bytes, place, stage, rule, reason, time.
//!
//! An entry is durable before the position of its record moves, so a crash in between stores it
//! again, never loses it. An entry is known by record and stage ([`Entry::id`]): listing shows the
//! last of those with one id, so that a replay is seen once. An outage of the store is an outage of
//! the pipeline: it waits and retries.

mod entry;
mod file;
mod topic;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::error::{Error, Result};

pub use entry::{Entry, Payload};

use file::FileStore;
use topic::TopicStore;

/// `[quarantine]`: where rejected changes are kept.
#[derive(Debug, Clone, PartialEq)]
pub enum QuarantineConfig {
    /// `type = "file"`
    File(FileQuarantine),
    /// `type = "kafka"`
    Kafka(KafkaQuarantine),
}

/// JSON lines in a folder, each with a checksum.
///
/// ```toml
/// [quarantine]
/// type = "file"
/// path = "state/quarantine"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileQuarantine {
    /// A folder, made where it is absent; relative to the working directory.
    pub path: PathBuf,
}

/// A Kafka topic: key and value as they came, everything else in headers that begin with
/// `syncline.`.
///
/// ```toml
/// [quarantine]
/// type    = "kafka"
/// brokers = "localhost:9092"
/// topic   = "clients.quarantine"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaQuarantine {
    /// Bootstrap servers, `host:port` with commas between.
    pub brokers: String,
    /// The topic; it has to exist, or the brokers have to make it.
    pub topic: String,
    /// Settings of the Kafka client, from the list that the Kafka source takes.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

/// An open quarantine, shared by the lanes of a pipeline.
#[derive(Debug)]
pub enum Quarantine {
    /// In a folder.
    File(FileStore),
    /// On a topic.
    Topic(TopicStore),
}

impl Quarantine {
    /// Opens the quarantine of a pipeline for writing.
    ///
    /// # Errors
    /// `Unavailable` where the folder or the brokers do not answer.
    pub async fn open(config: &QuarantineConfig, pipeline: &str) -> Result<Self> {
        match config {
            QuarantineConfig::File(file) => FileStore::open(&file.path, pipeline).map(Self::File),
            QuarantineConfig::Kafka(kafka) => TopicStore::open(kafka).map(Self::Topic),
        }
    }

    /// Makes entries durable, all of them or an error; blocks its thread for a file.
    ///
    /// # Errors
    /// `Unavailable`: nothing may be taken as stored; append again.
    pub async fn append(&self, entries: &[Entry]) -> Result<()> {
        match self {
            Self::File(store) => store.append(entries),
            Self::Topic(store) => store.append(entries).await,
        }
    }
}

/// What is in a quarantine, oldest first, each id once.
#[derive(Debug, Default)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Places that could not be read, each with its reason; what stands there is not served.
    pub damaged: Vec<String>,
}

/// Reads the quarantine of a pipeline.
///
/// # Errors
/// `Unavailable` where the folder or the brokers do not answer.
pub async fn list(config: &QuarantineConfig, pipeline: &str) -> Result<Listing> {
    let mut listing = match config {
        QuarantineConfig::File(config) => file::list(&config.path, pipeline)?,
        QuarantineConfig::Kafka(config) => topic::list(config, pipeline).await?,
    };
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (index, entry) in listing.entries.iter().enumerate() {
        last.insert(entry.id(), index);
    }
    let mut index = 0;
    listing.entries.retain(|entry| {
        index += 1;
        last.get(&entry.id()) == Some(&(index - 1))
    });
    Ok(listing)
}

fn unavailable(what: &str, path: &std::path::Path, cause: std::io::Error) -> Error {
    Error::unavailable(format!("cannot {what} the quarantine {}", path.display()), cause)
}
