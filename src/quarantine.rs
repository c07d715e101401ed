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

use syncline_connectors::error::{Error, Result};

pub(crate) use entry::Verdict;
pub use entry::{Entry, Payload};

use crate::config::QuarantineConfig;
use file::FileStore;
use topic::TopicStore;

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
pub fn list(config: &QuarantineConfig, pipeline: &str) -> Result<Listing> {
    let mut listing = match config {
        QuarantineConfig::File(config) => file::list(&config.path, pipeline)?,
        QuarantineConfig::Kafka(config) => topic::list(config, pipeline)?,
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
    Error::unavailable(
        format!("cannot {what} the quarantine {}", path.display()),
        cause,
    )
}
