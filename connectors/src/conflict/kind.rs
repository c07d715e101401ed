//! What can be in conflict, and how often it was (C1).

use serde::Serialize;

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
