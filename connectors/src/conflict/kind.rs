//! Types of conflicts (C1), and counts of them.

use serde::Serialize;

/// The type of a conflict, with the name that PostgreSQL 18 gives it (C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictType {
    /// An insert or snapshot row meets an existing row.
    InsertExists,
    /// An update finds no row; it is applied as an insert.
    UpdateMissing,
    /// An update meets a row that differs.
    UpdateOriginDiffers,
    /// A delete finds no row.
    DeleteMissing,
    /// A delete meets a row that differs from the deleted one.
    DeleteOriginDiffers,
    /// A delete meets a row that is newer than the delete.
    DeleteExists,
}

impl ConflictType {
    /// All types, in the order of [`ConflictCounts`].
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

/// The number of conflicts of each type, with any winner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConflictCounts([u64; 6]);

impl ConflictCounts {
    /// Adds `count` conflicts of one type.
    pub fn add(&mut self, kind: ConflictType, count: u64) {
        self.0[kind as usize] += count;
    }

    /// The number of conflicts of one type.
    pub fn get(&self, kind: ConflictType) -> u64 {
        self.0[kind as usize]
    }

    /// The number of all conflicts.
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
