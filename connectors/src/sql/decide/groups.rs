//! The changes of a stretch by their key.

use arrow::error::ArrowError;

use crate::change::{Changes, Operation};
use crate::error::{Error, RejectedRow, Result};
use crate::sql::DeleteMode;
use crate::sql::keys::{Keys, null_key};

/// Rows by ascending key; those of one key in their order.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    rows: Vec<u32>,
    /// Where each key begins in `rows`, and the end of the last.
    starts: Vec<u32>,
    /// Rows without a key (R2).
    pub(crate) rejected: Vec<RejectedRow>,
    /// Deletes that the delete mode leaves out.
    pub(crate) ignored: u64,
}

impl Groups {
    /// Of changes without truncates; `key` are indices of the key columns.
    ///
    /// # Errors
    /// `Configuration` where the key columns have a type that cannot be compared.
    pub(crate) fn of(changes: &Changes, key: &[usize], delete: DeleteMode) -> Result<Self> {
        Self::sorted(changes, key, delete).map_err(|cause| {
            Error::configuration_from(
                format!(
                    "cannot sort the changes of {} by their key",
                    changes.table.name
                ),
                cause,
            )
        })
    }

    fn sorted(changes: &Changes, key: &[usize], delete: DeleteMode) -> Result<Self, ArrowError> {
        let (mut rejected, mut ignored) = (Vec::new(), 0);
        let mut rows = Vec::with_capacity(changes.len());
        for row in 0..changes.len() {
            if let Some(found) = null_key(changes, key, row) {
                rejected.push(found);
            } else if delete == DeleteMode::Ignore && changes.operations[row] == Operation::Delete {
                ignored += 1;
            } else {
                rows.push(row as u32);
            }
        }
        let keys = Keys::of(&changes.rows, key)?;
        keys.sort(&mut rows);
        let mut starts = vec![0];
        let mut at = 0;
        for group in rows.chunk_by(|&left, &right| keys.same(left, right)) {
            at += group.len() as u32;
            starts.push(at);
        }
        Ok(Self {
            rows,
            starts,
            rejected,
            ignored,
        })
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The change of this number of a key.
    pub(crate) fn change(&self, key: usize, number: usize) -> Option<u32> {
        let at = self.starts[key] as usize + number;
        (at < self.starts[key + 1] as usize).then(|| self.rows[at])
    }

    /// The first change of every key.
    pub(crate) fn firsts(&self) -> Vec<u32> {
        let starts = &self.starts[..self.len()];
        starts.iter().map(|&at| self.rows[at as usize]).collect()
    }
}
