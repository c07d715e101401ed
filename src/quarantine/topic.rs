//! A quarantine on a Kafka topic: key and value as they came, so that a record can be produced again;
//! everything else in headers that begin with `syncline.`.
//!
//! An append is durable when the brokers acknowledged all of it. What the topic forgets by its
//! retention is gone.

use std::collections::VecDeque;
use std::fmt;

use syncline_connectors::error::Result;
use syncline_connectors::kafka::{KafkaWriter, OutRecord, read_topic};
use syncline_connectors::record::Records;

use super::Listing;
use super::entry::{Entry, Payload};
use crate::config::KafkaQuarantine;

const PREFIX: &str = "syncline.";
const ENTRY: &str = "syncline.entry";

/// An open topic.
pub struct TopicStore {
    writer: KafkaWriter,
}

impl fmt::Debug for TopicStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicStore").finish_non_exhaustive()
    }
}

impl TopicStore {
    /// Opens a producer; whether brokers answer shows with the first append.
    pub(super) fn open(config: &KafkaQuarantine) -> Result<Self> {
        let writer = KafkaWriter::connect(&config.brokers, &config.topic, &config.properties)?;
        Ok(Self { writer })
    }

    /// Appends entries and waits for the brokers.
    pub(super) async fn append(&self, entries: &[Entry]) -> Result<()> {
        self.writer
            .send_all(entries.iter().map(record).collect())
            .await
    }
}

/// Reads the whole topic and keeps the last entries of one pipeline, at most `entries_max`; where that is a
/// bound, without the bytes of their records.
pub(super) fn list(
    config: &KafkaQuarantine,
    pipeline: &str,
    entries_max: usize,
) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut last = VecDeque::new();
    read_topic(
        &config.brokers,
        &config.topic,
        &config.properties,
        |records| {
            for index in 0..records.len() {
                match parse(&records, index) {
                    Some(mut entry) if entry.pipeline == pipeline => {
                        if entries_max < usize::MAX {
                            (entry.key, entry.value) = (None, None);
                        }
                        last.push_back(entry);
                        if last.len() > entries_max {
                            last.pop_front();
                            listing.is_cut = true;
                        }
                    }
                    Some(_) => {}
                    None if listing.damaged.len() >= entries_max => {}
                    None => {
                        let place = &records.partition(index).partition;
                        let offset = records.entries[index].offset;
                        listing
                            .damaged
                            .push(format!("{place} offset {offset}: not an entry"));
                    }
                }
            }
            Ok(())
        },
    )?;
    listing.entries = last.into();
    Ok(listing)
}

/// The headers for a person and for other tools, and one that holds the whole entry but its payloads.
fn record(entry: &Entry) -> OutRecord {
    let bare = Entry {
        key: None,
        value: None,
        ..entry.clone()
    };
    let bare = serde_json::to_vec(&bare).expect("an entry is plain text and numbers");
    let text = |name: &str, value: &str| (format!("{PREFIX}{name}"), value.as_bytes().to_vec());
    OutRecord {
        key: entry.key.as_ref().and_then(Payload::bytes),
        value: entry.value.as_ref().and_then(Payload::bytes),
        headers: vec![
            text("pipeline", &entry.pipeline),
            text("stage", &entry.stage),
            text("rule", &entry.rule),
            text("reason", &entry.reason),
            text("topic", &entry.topic),
            text("partition", &entry.partition.to_string()),
            text("offset", &entry.offset.to_string()),
            text("time", &entry.time),
            (ENTRY.to_owned(), bare),
        ],
    }
}

fn parse(records: &Records, index: usize) -> Option<Entry> {
    let headers: serde_json::Value = serde_json::from_slice(records.headers(index)?).ok()?;
    let mut entry: Entry = serde_json::from_str(headers.get(ENTRY)?.as_str()?).ok()?;
    entry.key = records.key(index).map(Payload::new);
    entry.value = records.value(index).map(Payload::new);
    Some(entry)
}
