//! The rows of a round by the columns that they set: rows of one pattern are one statement.
//!
//! Pattern 0 are the rows that set every column. A row that leaves out a column because the source did
//! not say its value (R14) is told apart from one that merely does not carry it (R19).

use std::collections::HashMap;

use crate::change::{Changes, Operation};

/// The operation of a staged row.
pub(crate) const INSERT: i16 = 0;
pub(crate) const UPDATE: i16 = 1;
/// A delete that can be compared with the row.
pub(crate) const DELETE: i16 = 2;
/// A delete that says too little to be compared with the row.
pub(crate) const BLIND_DELETE: i16 = 3;

/// Operation and pattern of a row.
pub(crate) type Tag = (i16, i32);

/// How many rows there are, by what will be done with them.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    /// Full rows by operation: inserts and snapshot rows, updates.
    pub(crate) full: [u64; 2],
    /// Partial rows. Their pattern is the index here plus one.
    pub(crate) partial: Vec<Partial>,
    /// Deletes.
    pub(crate) deletes: u64,
    /// Which columns are set in deletes that do not carry all of them. Their pattern is the index here
    /// plus one.
    pub(crate) delete_sets: Vec<Vec<bool>>,
}

/// Rows of one pattern.
#[derive(Debug)]
pub(crate) struct Partial {
    /// Which columns are set.
    pub(crate) set: Vec<bool>,
    /// A value is unavailable: the rows are incomplete where the target has none (R14). Else they merely
    /// do not carry the other columns (R19).
    pub(crate) incomplete: bool,
    /// How many, by operation.
    pub(crate) counts: [u64; 2],
}

impl Patterns {
    /// Counts upserts; `columns` are those of the table, in the changes. Gives a tag for each.
    pub(crate) fn tag_upserts(&mut self, columns: &[usize], changes: &Changes) -> Vec<Tag> {
        let all = || columns.iter().copied();
        let partial = all().any(|column| changes.unset[column].is_some());
        let incomplete = changes.incomplete(all());
        let mut patterns: HashMap<(Vec<bool>, bool), i32> = HashMap::new();
        (0..changes.len())
            .map(|row| {
                let operation = match changes.operations[row] {
                    Operation::Update => UPDATE,
                    _ => INSERT,
                };
                let set = match partial {
                    true => set_columns(changes, all(), row),
                    false => Vec::new(),
                };
                if set.iter().all(|&set| set) {
                    self.full[operation as usize] += 1;
                    return (operation, 0);
                }
                let incomplete = incomplete.as_ref().is_some_and(|mask| mask.value(row));
                let entry = patterns.entry((set, incomplete));
                let pattern = *entry.or_insert_with_key(|(set, incomplete)| {
                    self.partial.push(Partial {
                        set: set.clone(),
                        incomplete: *incomplete,
                        counts: [0; 2],
                    });
                    self.partial.len() as i32
                });
                self.partial[pattern as usize - 1].counts[operation as usize] += 1;
                (operation, pattern)
            })
            .collect()
    }

    /// Counts deletes; `columns` are those of the table, in the changes, and `beside_key` those of them
    /// that are not the key. Gives a tag for each.
    pub(crate) fn tag_deletes(
        &mut self,
        columns: &[usize],
        beside_key: &[usize],
        changes: &Changes,
    ) -> Vec<Tag> {
        self.deletes += changes.len() as u64;
        let mut partial = beside_key.iter();
        let partial = partial.any(|&column| changes.unset[column].is_some());
        let blind = changes.blind(beside_key);
        (0..changes.len())
            .map(|row| {
                if blind.as_ref().is_some_and(|blind| blind.value(row)) {
                    return (BLIND_DELETE, 0);
                }
                if !partial {
                    return (DELETE, 0);
                }
                let set = set_columns(changes, columns.iter().copied(), row);
                if set.iter().all(|&set| set) {
                    return (DELETE, 0);
                }
                let known = self.delete_sets.iter().position(|known| *known == set);
                let index = known.unwrap_or_else(|| {
                    self.delete_sets.push(set);
                    self.delete_sets.len() - 1
                });
                (DELETE, index as i32 + 1)
            })
            .collect()
    }

    /// Takes `count` upserts of a tag out.
    pub(crate) fn take_out(&mut self, (operation, pattern): Tag, count: u64) {
        let counts = match pattern {
            0 => &mut self.full,
            pattern => &mut self.partial[pattern as usize - 1].counts,
        };
        counts[operation as usize] -= count;
    }

    /// Whether there are upserts.
    pub(crate) fn has_upserts(&self) -> bool {
        self.full != [0; 2] || !self.partial.is_empty()
    }
}

/// The different sets of columns that inserts set, the whole one first; a row's pattern is the index.
pub(crate) fn insert_sets(changes: &Changes, width: usize) -> Vec<Vec<bool>> {
    let mut sets = vec![vec![true; width]];
    if changes.unset.iter().any(Option::is_some) {
        let inserts = changes.operations.iter().enumerate();
        for (row, _) in inserts.filter(|(_, operation)| **operation != Operation::Update) {
            let set = set_columns(changes, 0..width, row);
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
    }
    sets
}

/// Which of `columns` are set in a row.
pub(crate) fn set_columns(
    changes: &Changes,
    columns: impl Iterator<Item = usize>,
    row: usize,
) -> Vec<bool> {
    columns
        .map(|column| !changes.is_unset(column, row))
        .collect()
}
