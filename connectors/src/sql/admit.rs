//! What a write has to know of its tables before it is planned: a key that nothing but the table names,
//! and whether there is a table at all for deletes that may have named it wrongly.
//!
//! - key: the sink's, else that of the changes (R2), else the primary key of the table or its only unique
//!   index that takes no null. Without any of them the write is refused, with what to write.
//! - an update whose row before has another key than the row, where only the table names the key, is
//!   refused: the source did not know that it was a change of key (R10).
//! - tombstones alone make no table: where there is none, they found nothing to delete (R12).

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use crate::change::{Changes, Operation};
use crate::conflict::ConflictType;
use crate::error::{Error, RejectedChange, Result};
use crate::sink::{Outcome, Write};
use crate::sql::catalogue::TargetTable;
use crate::sql::target::{Target, key_columns};
use crate::sql::{DeleteMode, Options};

/// Tables that one session looked up.
#[derive(Debug, Default)]
pub(crate) struct KnownTables {
    known: HashMap<Target, Known>,
}

#[derive(Debug)]
enum Known {
    Absent,
    /// The columns that identify a row, where the table names any.
    Present(Option<Arc<[String]>>),
}

/// A write as it can be planned.
pub(crate) struct Admitted<'w> {
    pub(crate) write: Cow<'w, Write>,
    /// What is counted already.
    pub(crate) outcome: Outcome,
}

impl KnownTables {
    /// The tables that have to be looked up for these changes.
    ///
    /// # Errors
    /// As [`Target::of`].
    pub(crate) fn unknown(
        &mut self,
        options: &Options,
        changes: &[Changes],
    ) -> Result<Vec<Target>> {
        // A table that was not there may be there now.
        self.known
            .retain(|_, known| matches!(known, Known::Present(_)));
        let mut unknown = BTreeSet::new();
        for changes in changes {
            if lacks_key(options, changes) || only_tombstones(changes) {
                let target = Target::of(&options.table, &changes.table)?;
                if !self.known.contains_key(&target) {
                    unknown.insert(target);
                }
            }
        }
        Ok(unknown.into_iter().collect())
    }

    /// Takes note of a table that was looked up.
    pub(crate) fn learn(&mut self, target: Target, table: Option<&TargetTable>) {
        let known = match table {
            Some(table) => Known::Present(table.default_key().map(Into::into)),
            None => Known::Absent,
        };
        self.known.insert(target, known);
    }

    /// The write with what the tables say; see the module docs.
    ///
    /// # Errors
    /// `Configuration` where nothing names a key, `Rejected` for changes of a key that only the table
    /// names.
    pub(crate) fn admit<'w>(&self, options: &Options, write: &'w Write) -> Result<Admitted<'w>> {
        let mut admitted = Admitted {
            write: Cow::Borrowed(write),
            outcome: Outcome::default(),
        };
        let mut rejected = Vec::new();
        for (batch, changes) in write.changes.iter().enumerate() {
            if !lacks_key(options, changes) && !only_tombstones(changes) {
                continue;
            }
            let target = Target::of(&options.table, &changes.table)?;
            let known = self.known.get(&target);
            if only_tombstones(changes) && matches!(known, Some(Known::Absent)) {
                admitted.outcome += &nothing_to_delete(options, changes.len() as u64);
                admitted.write.to_mut().changes[batch] =
                    changes.take(&[]).map_err(Error::configuration)?;
            } else if lacks_key(options, changes) {
                let keyed = keyed(options, &target, known, changes)?;
                rejected.extend(moved(options, batch, &keyed)?);
                admitted.write.to_mut().changes[batch] = strip(options, keyed);
            }
        }
        if rejected.is_empty() {
            Ok(admitted)
        } else {
            Err(Error::Rejected(rejected))
        }
    }
}

/// `changes` with the key of the table where they and the sink name none; for who looks at one change.
///
/// # Errors
/// As [`KnownTables::admit`].
pub(crate) fn with_default_key(
    options: &Options,
    target: &Target,
    table: Option<&TargetTable>,
    changes: &Changes,
) -> Result<Changes> {
    if !lacks_key(options, changes) {
        return Ok(changes.clone());
    }
    let mut tables = KnownTables::default();
    tables.learn(target.clone(), table);
    keyed(options, target, tables.known.get(target), changes)
}

fn lacks_key(options: &Options, changes: &Changes) -> bool {
    options.key.is_none() && changes.key.is_none() && !changes.is_empty()
}

fn only_tombstones(changes: &Changes) -> bool {
    let is_tombstone =
        |row| changes.operations[row] == Operation::Delete && changes.is_tombstone(row);
    !changes.is_empty() && (0..changes.len()).all(is_tombstone)
}

fn nothing_to_delete(options: &Options, count: u64) -> Outcome {
    let mut outcome = Outcome::default();
    if options.delete == DeleteMode::Ignore {
        outcome.kept = count;
    } else {
        outcome.written = count;
        outcome.conflicts.add(ConflictType::DeleteMissing, count);
    }
    outcome
}

fn keyed(
    options: &Options,
    target: &Target,
    known: Option<&Known>,
    changes: &Changes,
) -> Result<Changes> {
    let why = match known {
        Some(Known::Present(Some(key))) => {
            say_once(target, key);
            let keyed = Changes {
                key: Some(key.clone()),
                ..changes.clone()
            };
            key_columns(options, &keyed)?;
            return Ok(keyed);
        }
        Some(Known::Present(None)) => {
            "has no primary key and no single unique index over columns that take no null"
        }
        Some(Known::Absent) | None => "does not exist",
    };
    Err(Error::configuration(format!(
        "nothing says what identifies a row of table {:?}: its changes carry no key, and the table {why}: \
         write key = [\"…\"] with the key columns in the source or in the sink",
        target.to_string()
    )))
}

/// Says which key is the default, once in a process and table.
fn say_once(target: &Target, key: &[String]) {
    static SAID: Mutex<BTreeSet<Target>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if said.insert(target.clone()) {
        tracing::info!(
            table = target.to_string(),
            key = key.join(", "),
            "neither the source nor the sink names a key: the table's own is taken"
        );
    }
}

/// Updates that change the key, which nobody could split (R10).
fn moved(options: &Options, batch: usize, changes: &Changes) -> Result<Vec<RejectedChange>> {
    let key = key_columns(options, changes)?;
    let names = changes.key.as_deref().unwrap_or_default();
    let rows = changes.changed_keys(&key).map_err(Error::configuration)?;
    let rejected = rows.into_iter().map(|row| RejectedChange {
        batch,
        row,
        rule: "R10 key change".to_owned(),
        field: None,
        reason: format!(
            "the row before has another key, and only the table says that ({}) is the key: write key = [{}] in the source or in the sink",
            names.join(", "),
            names
                .iter()
                .map(|name| format!("{name:?}"))
                .collect::<Vec<_>>()
                .join(", "),
        ),
    });
    Ok(rejected.collect())
}

/// Without the rows before, where nobody but [`moved`] asked for them.
fn strip(options: &Options, mut changes: Changes) -> Changes {
    if !options.conflict.wants_before() {
        changes.before = None;
    }
    changes
}
