//! What the decoder remembers of each topic and each partition.

use std::sync::Arc;

use super::Debezium;
use crate::format::record_key::RecordKey;
use crate::format::schema::Connect;
use crate::record::Partition;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    /// The table, where no message says it.
    pub(super) table: Arc<str>,
    /// Holds no rows.
    pub(super) other: bool,
    pub(super) streams: Vec<usize>,
    /// The stream of the last message.
    pub(super) last: Option<usize>,
    pub(super) key: RecordKey,
    /// Values lack columns that the record key has.
    pub(super) lacks_key_columns: bool,
    /// The bytes of the last message up to its payload, and their schema.
    pub(super) wrapper: Vec<u8>,
    pub(super) wrapper_schema: Option<Arc<Connect>>,
}

/// The last record of a partition, where it was a delete (R12).
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) topic: usize,
    pub(super) deleted_at: Option<i64>,
    pub(super) deleted_key: Vec<u8>,
}

impl Debezium {
    /// What is known of a partition.
    pub(super) fn place(&mut self, partition: &Partition) -> usize {
        if let Some(&place) = self.partition_lookup.get(partition) {
            return place;
        }
        let topic = match self.topic_lookup.get(&partition.topic) {
            Some(&topic) => topic,
            None => {
                let name = partition.topic.clone();
                let table = self.default_table.clone();
                self.topics.push(Topic {
                    table: table.unwrap_or_else(|| table_of(&name).into()),
                    other: name.starts_with("__debezium-heartbeat"),
                    name,
                    streams: Vec::new(),
                    last: None,
                    key: RecordKey::default(),
                    lacks_key_columns: false,
                    wrapper: Vec::new(),
                    wrapper_schema: None,
                });
                let topic = self.topics.len() - 1;
                self.topic_lookup.insert(partition.topic.clone(), topic);
                topic
            }
        };
        self.partitions.push(Progress {
            topic,
            deleted_at: None,
            deleted_key: Vec::new(),
        });
        let place = self.partitions.len() - 1;
        self.partition_lookup.insert(partition.clone(), place);
        place
    }
}

/// The table that a topic or file is named after.
fn table_of(topic: &str) -> &str {
    let file = topic.rsplit('/').next().unwrap_or(topic);
    let stem = file.rsplit_once('.').map_or(file, |(stem, end)| {
        let is_file = file.len() < topic.len() || ["json", "jsonl", "ndjson"].contains(&end);
        if is_file && !stem.is_empty() {
            stem
        } else {
            end
        }
    });
    if stem.is_empty() { topic } else { stem }
}
