//! Who wins when source and target disagree, as data (C1–C7).
//!
//! Detection says whether there is a conflict; the strategy decides only conflicts; without one the
//! change applies. The types here are what a person writes under `[sinks.NAME.conflict]` and what a
//! sink compiles into its bulk statement.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[sinks.NAME.conflict]`: who wins when the target row changed independently of the source.
///
/// ```toml
/// [sinks.billing.conflict]
/// strategy = "newest_wins"
/// version  = "updated_at"
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConflictPolicy {
    /// Who wins a conflict.
    #[serde(default)]
    pub strategy: Strategy,
    /// What counts as a conflict.
    #[serde(default)]
    pub detect: Detect,
    /// The column whose instants or numbers say which side is newer (C5). Required by
    /// `newest_wins`, `oldest_wins` and `merge`.
    pub version: Option<String>,
    /// Who wins where both versions are equal (C3).
    #[serde(default)]
    pub tie: Tie,
    /// Versions closer than this are a tie (C7): a duration (`"5s"`, `"250ms"`) where the version is
    /// an instant, a number where it is a number.
    pub threshold: Option<String>,
    /// A change whose version is further in the future than this is refused and quarantined (C7);
    /// a duration, only where the version is an instant.
    pub max_skew: Option<String>,
}

/// How a conflict is decided (C2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The change applies.
    #[default]
    SourceWins,
    /// The target's row stays.
    TargetWins,
    /// The higher version wins; a null version loses (C4).
    NewestWins,
    /// The lower version wins; a null version loses (C4).
    OldestWins,
    /// Column by column: a null on one side takes the other side's value, else the newer row's value.
    Merge,
}

/// What counts as a conflict (C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detect {
    /// The row exists in the target.
    Key,
    /// The row exists and differs in a column that the change writes.
    #[default]
    Row,
}

/// Who wins a tie (C3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tie {
    /// The target's row stays.
    #[default]
    Target,
    /// The change applies.
    Source,
}

/// Postgres 18's names for what can differ (C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictType {
    /// An insert or snapshot row meets a row that exists.
    InsertExists,
    /// An update finds no row; it is applied as an insert.
    UpdateMissing,
    /// An update meets a row that differs.
    UpdateOriginDiffers,
    /// A delete finds no row.
    DeleteMissing,
    /// A delete meets a row that is not the one the source deleted.
    DeleteOriginDiffers,
    /// A delete that is older than the row.
    DeleteExists,
}

impl ConflictType {
    /// All of them, in the order of [`ConflictCounts`].
    pub const ALL: [Self; 6] = [
        Self::InsertExists,
        Self::UpdateMissing,
        Self::UpdateOriginDiffers,
        Self::DeleteMissing,
        Self::DeleteOriginDiffers,
        Self::DeleteExists,
    ];

    /// The name in TOML, metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::InsertExists => "insert_exists",
            Self::UpdateMissing => "update_missing",
            Self::UpdateOriginDiffers => "update_origin_differs",
            Self::DeleteMissing => "delete_missing",
            Self::DeleteOriginDiffers => "delete_origin_differs",
            Self::DeleteExists => "delete_exists",
        }
    }
}

/// Conflicts by type, whoever won.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConflictCounts([u64; 6]);

impl ConflictCounts {
    /// Adds `count` conflicts of one type.
    pub fn add(&mut self, kind: ConflictType, count: u64) {
        self.0[kind as usize] += count;
    }

    /// How many of one type.
    pub fn get(&self, kind: ConflictType) -> u64 {
        self.0[kind as usize]
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl std::ops::AddAssign<&ConflictCounts> for ConflictCounts {
    fn add_assign(&mut self, other: &ConflictCounts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
