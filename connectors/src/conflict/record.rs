//! Records of conflicts: how a conflict was decided, and the entries that wait for a person.
//!
//! Every record consists of texts and numbers, the same in a table of the target, in a file and in
//! `--json`. Rows are JSON objects of [`super::write_image`]. They contain row values, so no record
//! may be logged.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{ConflictType, Winner};
use crate::record::Partition;
use crate::sink::Identity;

/// A decided conflict: an entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRecord {
    /// [`conflict_id`]: a replay of the same conflict gives the same id.
    pub id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The sink's name in the pipeline.
    pub sink: String,
    /// The source's name in the pipeline.
    pub source: String,
    /// The table in the target: `name` or `schema.name`.
    pub target: String,
    /// The key columns of the row.
    pub key: Json,
    /// The type of the conflict.
    #[serde(with = "kind_name")]
    pub kind: ConflictType,
    /// The sink's strategy.
    pub strategy: String,
    /// The winner.
    #[serde(with = "winner_name")]
    pub winner: Winner,
    /// The columns that a strategy had to decide: an object of column and strategy names.
    pub columns: Json,
    /// The reason, for a person to read.
    pub reason: String,
    /// The row on all sides.
    pub rows: Sides,
    /// Where the change came from.
    pub place: Place,
    /// The time of the decision, in milliseconds since the epoch.
    pub decided_at_ms: i64,
}

/// One row on each side; `None` if a side has no row or the row is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    /// The last state on which both sides agreed.
    pub base: Option<Json>,
    /// The row after the change; for a delete, the deleted row.
    pub source: Option<Json>,
    /// The target's row before the decision.
    pub target: Option<Json>,
    /// The target's row after the decision; `None` if it is deleted, and if no decision was made.
    pub result: Option<Json>,
}

/// Where a change came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The topic, or the path of a file.
    pub topic: String,
    /// The number of the partition.
    pub partition: i32,
    /// The offset of the record.
    pub position: i64,
    /// The time of the change at the source, in milliseconds since the epoch.
    pub event_time_ms: Option<i64>,
}

/// A conflict that waits for a person, or that a person decided (C9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// The target's number of the entry; 0 until the target assigns one.
    pub id: i64,
    /// The pipeline's name.
    pub pipeline: String,
    /// The sink's name in the pipeline.
    pub sink: String,
    /// The source's name in the pipeline.
    pub source: String,
    /// The table in the target.
    pub target: String,
    /// The key columns of the row.
    pub key: Json,
    /// The type of the conflict.
    #[serde(with = "kind_name")]
    pub kind: ConflictType,
    /// The columns that a strategy had to decide, with their strategies.
    pub columns: Json,
    /// The reason why the conflict waits, for a person to read.
    pub reason: String,
    /// The row on all sides; without a result.
    pub rows: Sides,
    /// The change, as [`super::write_change`] writes it.
    #[serde(skip)]
    pub change: String,
    /// Where the change came from.
    pub place: Place,
    /// The time when the entry was created, in milliseconds since the epoch.
    pub opened_at_ms: i64,
    /// Whether the entry waits.
    pub state: QueueState,
    /// The decision: `source`, `target`, `base` or `set`.
    pub taken: Option<String>,
    /// The name of the person who decided.
    pub resolved_by: Option<String>,
    /// The time of the decision, in milliseconds since the epoch.
    pub resolved_at_ms: Option<i64>,
    /// The number of later changes of the key that wait for this entry.
    pub waiting: u64,
}

/// The state of an entry of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// A decision is missing.
    Open,
    /// A person decided.
    Resolved,
    /// A person decided to discard the change.
    Skipped,
}

/// The dimensions by which conflicts are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountKey {
    /// `topic/number`. With it two lanes never wait for the same row of the counts.
    pub partition: String,
    /// The table in the target.
    pub target: String,
    /// The type of the conflict.
    pub kind: ConflictType,
    /// The strategy: the sink's for a row, the column's for a column.
    pub strategy: String,
    /// The column; empty for the row.
    pub column: String,
    /// The winner.
    pub winner: Winner,
}

/// The number of conflicts of one kind, over all partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictCount {
    /// The pipeline's name.
    pub pipeline: String,
    /// The sink's name in the pipeline.
    pub sink: String,
    /// The table in the target.
    pub target: String,
    /// The type of the conflict.
    #[serde(with = "kind_name")]
    pub kind: ConflictType,
    /// The strategy: the sink's for a row, the column's for a column.
    pub strategy: String,
    /// The column; empty for the row.
    pub column: String,
    /// The winner.
    #[serde(with = "winner_name")]
    pub winner: Winner,
    /// The number of conflicts.
    pub count: u64,
}

/// A JSON document, stored as text; serialized as a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json(pub String);

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<Value>(&self.0) {
            Ok(document) => document.serialize(serializer),
            Err(_) => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|document| Self(document.to_string()))
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// The id of a conflict of the change `ordinal` in the record at `offset`. A change of a key gives
/// two changes with the same record (R10). Different changes never have the same id.
pub fn conflict_id(
    identity: &Identity,
    partition: &Partition,
    offset: i64,
    ordinal: u32,
) -> String {
    let part = |text: &str| text.replace('%', "%25").replace('/', "%2F");
    format!(
        "{}/{}/{}/{}/{}/{offset}/{ordinal}",
        part(&identity.pipeline),
        part(&identity.sink),
        part(&identity.source),
        part(&partition.topic),
        partition.number
    )
}

/// `topic/number`, by which conflicts are counted.
pub fn partition_text(partition: &Partition) -> String {
    format!("{}/{}", partition.topic, partition.number)
}

impl QueueState {
    /// The name in the queue's table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Skipped => "skipped",
        }
    }

    /// The state with this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Open, Self::Resolved, Self::Skipped];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// The type with this name.
pub(crate) fn kind_named(name: &str) -> Option<ConflictType> {
    ConflictType::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
}

/// The winner with this name.
pub(crate) fn winner_named(name: &str) -> Option<Winner> {
    let all = [
        Winner::Source,
        Winner::Target,
        Winner::Merged,
        Winner::Manual,
    ];
    all.into_iter().find(|winner| winner.name() == name)
}

macro_rules! by_name {
    ($module:ident, $type:ty, $named:ident) => {
        mod $module {
            use serde::de::Error as _;
            use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

            pub(super) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                value.name().serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let name = String::deserialize(deserializer)?;
                super::$named(&name)
                    .ok_or_else(|| D::Error::custom(format!("unknown name {name:?}")))
            }
        }
    };
}

by_name!(kind_name, super::ConflictType, kind_named);
by_name!(winner_name, super::Winner, winner_named);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_places_never_share_an_id() {
        let id = |pipeline: &str, sink: &str, topic: &str| {
            let identity = Identity {
                pipeline: pipeline.to_owned(),
                sink: sink.to_owned(),
                source: "crm".to_owned(),
            };
            let partition = Partition {
                topic: topic.into(),
                number: 3,
            };
            conflict_id(&identity, &partition, 42, 1)
        };
        assert_eq!(id("p", "s", "a.b"), "p/s/crm/a.b/3/42/1");
        assert_eq!(
            id("p", "s", "in/x%.jsonl"),
            "p/s/crm/in%2Fx%25.jsonl/3/42/1"
        );
        assert_ne!(id("a/b", "c", "t"), id("a", "b/c", "t"));
    }

    #[test]
    fn names_lead_back_to_what_they_name() {
        for kind in ConflictType::ALL {
            assert_eq!(kind_named(kind.name()), Some(kind));
        }
        assert_eq!(winner_named("merged"), Some(Winner::Merged));
        assert_eq!(QueueState::named("skipped"), Some(QueueState::Skipped));
        assert_eq!(winner_named("nobody"), None);
    }
}
