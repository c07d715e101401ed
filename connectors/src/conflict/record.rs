//! What is kept of a conflict: how it was decided, and what waits for a person.
//!
//! Everything is plain text and numbers, the same in every place that keeps it: a table of the target,
//! a file, `--json`. Rows are JSON objects as [`super::write_image`] makes them; they hold row values,
//! so none of this goes to a log.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{ConflictType, Winner};
use crate::record::Partition;
use crate::sink::Identity;

/// One conflict that was decided: an entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRecord {
    /// [`conflict_id`]: the same for the same conflict after a replay.
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
    /// What differed.
    #[serde(with = "kind_name")]
    pub kind: ConflictType,
    /// The sink's strategy.
    pub strategy: String,
    /// Who won.
    #[serde(with = "winner_name")]
    pub winner: Winner,
    /// The columns that a strategy had to decide, and which: an object of names.
    pub columns: Json,
    /// Why, for a person.
    pub reason: String,
    /// The row on all sides.
    pub rows: Sides,
    /// Where the change came from.
    pub place: Place,
    /// When it was decided, milliseconds since the epoch.
    pub decided_at_ms: i64,
}

/// One row as each side has it; `None` where a side has none, or where it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    /// What both sides agreed on last.
    pub base: Option<Json>,
    /// The change; of a delete the row that it deletes.
    pub source: Option<Json>,
    /// What the target held.
    pub target: Option<Json>,
    /// What it holds now; `None` where the row is gone, and where nothing is decided yet.
    pub result: Option<Json>,
}

/// Where a change came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Topic, or the path of a file.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset of the record.
    pub position: i64,
    /// When it happened at the source, milliseconds since the epoch.
    pub event_time_ms: Option<i64>,
}

/// A conflict that waits for a person, or that a person has decided (C9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// The target's number of it; 0 before the target has given one.
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
    /// What differs.
    #[serde(with = "kind_name")]
    pub kind: ConflictType,
    /// The columns that a strategy had to decide, and which.
    pub columns: Json,
    /// Why it waits, for a person.
    pub reason: String,
    /// The row on all sides; there is no result yet.
    pub rows: Sides,
    /// The change itself, as [`super::write_change`] makes it.
    #[serde(skip)]
    pub change: String,
    /// Where the change came from.
    pub place: Place,
    /// When it was put here, milliseconds since the epoch.
    pub opened_at_ms: i64,
    /// Whether it still waits.
    pub state: QueueState,
    /// What was taken: `source`, `target`, `base` or `set`.
    pub taken: Option<String>,
    /// Who decided.
    pub resolved_by: Option<String>,
    /// When, milliseconds since the epoch.
    pub resolved_at_ms: Option<i64>,
    /// How many later changes of the key wait behind it.
    pub waiting: u64,
}

/// Whether an entry of the queue still waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// Nobody has decided.
    Open,
    /// Somebody has decided.
    Resolved,
    /// Somebody has decided to leave the target as it is.
    Skipped,
}

/// What conflicts are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountKey {
    /// `topic/number`, so that two lanes never wait for one row.
    pub partition: String,
    /// The table in the target.
    pub target: String,
    /// What differed.
    pub kind: ConflictType,
    /// The strategy: the sink's for a row, the column's own for a column.
    pub strategy: String,
    /// The column; empty for the row.
    pub column: String,
    /// Who won.
    pub winner: Winner,
}

/// How many conflicts of one kind there were, over all partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictCount {
    /// The pipeline's name.
    pub pipeline: String,
    /// The sink's name in the pipeline.
    pub sink: String,
    /// The table in the target.
    pub target: String,
    /// What differed.
    #[serde(with = "kind_name")]
    pub kind: ConflictType,
    /// The strategy: the sink's for a row, the column's own for a column.
    pub strategy: String,
    /// The column; empty for the row.
    pub column: String,
    /// Who won.
    #[serde(with = "winner_name")]
    pub winner: Winner,
    /// How many.
    pub count: u64,
}

/// A JSON document in the text in which it is kept; in JSON it is a document.
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

/// The id of the conflict of change `ordinal` of the record at `offset`: two changes share a record
/// where a key changed (R10). Different places never share an id.
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
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Skipped => "skipped",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Open, Self::Resolved, Self::Skipped];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// The type of this name.
pub(crate) fn kind_named(name: &str) -> Option<ConflictType> {
    ConflictType::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
}

/// The winner of this name.
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
