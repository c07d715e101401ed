//! Where rejected changes are kept: original bytes, place, stage, rule, reason, time.
//!
//! An entry is durable before the position of its record moves, so a crash in between stores it
//! again, never loses it. An entry is known by record and stage ([`Entry::id`]): listing shows the
//! last of those with one id, so that a replay is seen once. A run can take its own entries back
//! ([`Quarantine::withdraw`]); those that another stored under the same id stay. An outage of the store is an outage of
//! the pipeline: it waits and retries.

mod entry;
mod file;
mod topic;

use std::collections::BTreeMap;

pub(crate) use entry::Verdict;
pub use entry::{Entry, Payload};
use file::FileStore;
use syncline_connectors::error::{Error, Result};
use topic::TopicStore;

use crate::config::QuarantineConfig;

/// How much of the end of a file [`newest`] reads.
const NEWEST_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How many entries of a topic [`newest`] keeps.
const NEWEST_ENTRIES_MAX: usize = 50_000;

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

    /// Takes back entries whose changes were not acknowledged and come again: they are listed no
    /// more.
    ///
    /// # Errors
    /// `Unavailable`: they may still be listed.
    pub(crate) async fn withdraw(&self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let withdrawals: Vec<Entry> = entries.iter().map(Entry::withdrawal).collect();
        self.append(&withdrawals).await
    }
}

/// What is in a quarantine, oldest first, each id once.
#[derive(Debug, Default)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Places that could not be read, each with its reason; what stands there is not served.
    pub damaged: Vec<String>,
    /// Whether there are older entries that were not read.
    pub is_cut: bool,
}

/// Reads the quarantine of a pipeline.
///
/// # Errors
/// `Unavailable` where the folder or the brokers do not answer.
pub fn list(config: &QuarantineConfig, pipeline: &str) -> Result<Listing> {
    let mut listing = match config {
        QuarantineConfig::File(config) => file::list(&config.path, pipeline, u64::MAX)?,
        QuarantineConfig::Kafka(config) => topic::list(config, pipeline, usize::MAX)?,
    };
    listing.keep_last();
    Ok(listing)
}

/// Reads the end of the quarantine of a pipeline, in bounded memory: the last [`NEWEST_BYTES_MAX`] of each of
/// its files, or the last [`NEWEST_ENTRIES_MAX`] entries of its topic. Entries are without the bytes of their
/// records.
///
/// # Errors
/// `Unavailable` where the folder or the brokers do not answer.
pub fn newest(config: &QuarantineConfig, pipeline: &str) -> Result<Listing> {
    let mut listing = match config {
        QuarantineConfig::File(config) => file::list(&config.path, pipeline, NEWEST_BYTES_MAX)?,
        QuarantineConfig::Kafka(config) => topic::list(config, pipeline, NEWEST_ENTRIES_MAX)?,
    };
    listing.keep_last();
    for entry in &mut listing.entries {
        (entry.key, entry.value) = (None, None);
    }
    Ok(listing)
}

impl Listing {
    /// Keeps the last entry of each id that was not taken back.
    fn keep_last(&mut self) {
        let mut of_runs: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            of_runs.insert((entry.id(), entry.run.clone()), index);
        }
        let mut last: BTreeMap<String, usize> = BTreeMap::new();
        for ((id, _), index) in of_runs {
            if !self.entries[index].withdrawn {
                let newest = last.entry(id).or_insert(index);
                *newest = index.max(*newest);
            }
        }
        let mut index = 0;
        self.entries.retain(|entry| {
            index += 1;
            last.get(&entry.id()) == Some(&(index - 1))
        });
    }
}

fn unavailable(what: &str, path: &std::path::Path, cause: std::io::Error) -> Error {
    Error::unavailable(
        format!("cannot {what} the quarantine {}", path.display()),
        cause,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FileQuarantine;

    fn entry(run: Option<&str>) -> Entry {
        Entry {
            time: "2026-01-01T00:00:00.000Z".into(),
            pipeline: "p".into(),
            stage: "billing".into(),
            rule: "23502".into(),
            field: None,
            reason: "null".into(),
            topic: "t".into(),
            partition: 0,
            offset: 1,
            timestamp_ms: None,
            key: None,
            headers: None,
            value: None,
            run: run.map(str::to_owned),
            found: None,
            suggestion: None,
            fingerprint: None,
            withdrawn: false,
        }
    }

    /// What two runs did with an entry of one id: `+` stored it, `-` took it back.
    #[tokio::test]
    async fn a_run_takes_back_its_own_entries_only() {
        let cases: [(&[(&str, char)], usize); 6] = [
            (&[("a", '+')], 1),
            (&[("a", '+'), ("a", '-')], 0),
            (&[("a", '+'), ("a", '-'), ("a", '+')], 1),
            (&[("a", '+'), ("b", '+'), ("a", '-')], 1),
            (&[("b", '+'), ("a", '+'), ("a", '-')], 1),
            (&[("b", '+'), ("a", '+'), ("a", '-'), ("b", '-')], 0),
        ];
        for (steps, expect) in cases {
            let folder = tempfile::tempdir().unwrap();
            let config = QuarantineConfig::File(FileQuarantine::new(folder.path()));
            let quarantine = Quarantine::open(&config, "p").await.unwrap();
            for (run, step) in steps {
                let entries = [entry(Some(run))];
                match step {
                    '+' => quarantine.append(&entries).await.unwrap(),
                    _ => quarantine.withdraw(&entries).await.unwrap(),
                }
            }
            let listed = list(&config, "p").unwrap().entries;
            assert_eq!(listed.len(), expect, "{steps:?}");
        }
    }
}
