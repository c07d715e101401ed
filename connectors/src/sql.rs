//! What the SQL sinks share: their options, names, folding, conflicts compiled to SQL, evolution.
//!
//! Nothing here opens a connection. A sink reads the target's catalogue, asks [`catalogue`] what to
//! do about a schema, [`fold`] for one net change a key, [`conflict`] for the predicates of its bulk
//! statement, and runs the result in one transaction.

pub mod dialect;
pub mod identifier;
pub mod names;
pub mod target;

pub(crate) mod bulk;
pub(crate) mod connection;
pub(crate) mod failure;
pub(crate) mod prepared;
pub(crate) mod session;
pub(crate) mod table;

pub(crate) mod check;
pub(crate) mod sink;

pub(crate) mod plan;

pub(crate) mod order;
pub(crate) mod patterns;

pub(crate) mod apply;

pub(crate) mod contested;

pub(crate) mod account;

pub(crate) mod admit;
pub(crate) mod bisect;

pub(crate) mod conflict_log;
pub(crate) mod decide;
pub(crate) mod equality;
pub mod fold;
pub(crate) mod keys;
pub mod lookup;
pub(crate) mod moves;
pub(crate) mod normal_keys;
pub(crate) mod positions;
pub(crate) mod scatter;
pub(crate) mod shadow;
pub mod source;

pub(crate) mod explain;
pub(crate) mod manual;
pub(crate) mod queue;

#[cfg(test)]
pub(crate) mod golden;

pub mod catalogue;
pub mod conflict;
pub mod metadata;
pub mod types;
pub(crate) mod undeclared;
pub mod version;
pub(crate) mod waiting_room;
pub(crate) mod writers;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::names::Case;
use crate::conflict::{ConflictPolicy, Path};

/// The table in the target that holds `(pipeline, sink, source, topic, partition) → position`.
pub const POSITIONS_TABLE: &str = "_syncline_positions";

/// The table in the target that says which `table` setting a sink's positions were written for, and
/// which tables it wrote (R24).
pub const TARGETS_TABLE: &str = "_syncline_targets";

/// The table in the target that remembers the versions of deleted keys, so that an older change
/// does not bring the row back (R12).
pub const TOMBSTONES_TABLE: &str = "_syncline_tombstones";

/// What every SQL sink can be told about its tables. Each sink's settings flatten it into their own, which
/// loses no place of an error: those come from the schema of the settings, not from serde.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Options {
    /// Target table: `name` or `schema.name` (MySQL: `database.name`), with the placeholders `{table}`, `{schema}`,
    /// `{database}` and `{topic}` of the source.
    #[serde(default = "default_table")]
    pub table: String,
    /// Columns that identify a row, in the target. Default: the key that the changes carry, else the
    /// primary key of the table, or its only unique index without nulls.
    pub key: Option<Vec<String>>,
    /// Whether `CONFIG` of the changes is `config` of the table. `"fold"`: an exact match, else the only
    /// column that differs in its case alone; `"exact"`: an exact match.
    #[serde(default)]
    pub case: Case,
    /// What a delete does.
    #[serde(default)]
    pub delete: DeleteMode,
    /// The boolean column that `delete = "soft"` sets.
    #[serde(default = "default_soft_delete_column")]
    pub soft_delete_column: String,
    /// What a difference between the columns of the changes and of the table does.
    #[serde(default)]
    pub evolution: Evolution,
    /// What a truncate does.
    #[serde(default)]
    pub truncate: TruncateMode,
    /// How many connections write the changes of one partition, each those of its share of the keys. More
    /// than one pays where a topic has fewer partitions than the machine has cores. SQLite has one writer.
    #[serde(default = "default_writers")]
    #[schemars(range(min = 1, max = 32))]
    pub writers: usize,
    /// How long a change waits for a row that a foreign key needs (R21).
    #[serde(default)]
    pub waiting: WaitingConfig,
    /// Who wins when source and target disagree.
    #[serde(default)]
    pub conflict: ConflictPolicy,
}

/// `[sinks.NAME.waiting]`: changes that come before the row that a foreign key of their table needs. They
/// wait in the target, in their order, and later changes of their keys wait behind them.
///
/// ```toml
/// [sinks.billing.waiting]
/// timeout     = "1h"
/// changes_max = 100000
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WaitingConfig {
    /// How long a change waits before it goes to the quarantine: `"10m"`, `"1h"`, `"2d"`. `"0s"`: not at
    /// all.
    pub timeout: String,
    /// How many changes of a sink may wait; more go to the quarantine at once.
    pub changes_max: u64,
}

impl Default for WaitingConfig {
    fn default() -> Self {
        Self {
            timeout: "1h".to_owned(),
            changes_max: 100_000,
        }
    }
}

impl Options {
    /// The mark of soft deletes, where they are on.
    pub(crate) fn mark(&self) -> Option<&str> {
        (self.delete == DeleteMode::Soft).then_some(self.soft_delete_column.as_str())
    }

    /// Whether the policy lets tables and columns be made.
    pub(crate) fn evolves(&self) -> bool {
        matches!(self.evolution, Evolution::Evolve | Evolution::Lenient)
    }

    /// The same, but that every change applies, whatever the target's row is.
    pub(crate) fn forced(&self) -> Self {
        Self {
            conflict: ConflictPolicy {
                path: Path::Statement,
                ..ConflictPolicy::default()
            },
            ..self.clone()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            table: default_table(),
            key: None,
            case: Case::default(),
            delete: DeleteMode::default(),
            soft_delete_column: default_soft_delete_column(),
            evolution: Evolution::default(),
            truncate: TruncateMode::default(),
            writers: default_writers(),
            waiting: WaitingConfig::default(),
            conflict: ConflictPolicy::default(),
        }
    }
}

/// What a delete does to the target's row (R12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeleteMode {
    /// The row is deleted.
    #[default]
    Hard,
    /// The row is marked in `soft_delete_column`; a re-insert clears the mark.
    Soft,
    /// The row stays as it is.
    Ignore,
}

/// What happens where the target's table and the changes differ in their columns (R15). Nothing
/// ever drops a column or narrows a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evolution {
    /// Create the table, add columns, widen types; stop at a type change that is not a widening.
    Evolve,
    /// Leave out columns that the target does not have; stop at a type that does not fit.
    Ignore,
    /// Stop, and say which column.
    #[default]
    Fail,
    /// As `evolve`; a type change renames the old column and adds a new one.
    Lenient,
}

/// What a truncate does to the target's table (R13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TruncateMode {
    /// Apply it where it came from the only partition of its topic; else it is rejected.
    #[default]
    Auto,
    /// Apply it always: the one who writes this says that its order against rows of other
    /// partitions does not matter.
    Apply,
    /// Leave the target as it is.
    Ignore,
}

/// The default of `table`: the source's name of the table.
pub fn default_table() -> String {
    "{table}".to_owned()
}

/// The default of `writers`.
pub fn default_writers() -> usize {
    1
}

/// The default of `soft_delete_column`.
pub fn default_soft_delete_column() -> String {
    "_deleted".to_owned()
}
