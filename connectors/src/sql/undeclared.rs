//! Columns whose type no schema declares: the target lends them its types (R19).
//!
//! A step between the operators and the fold, the same for every database, so that keys and versions
//! have their types too. What it does with a value depends on the type of the target's column and on
//! the kind of the value alone, row by row: one process, a restart after every record and every size
//! of a batch end the same.
//!
//! - a column that the target has: each value is read as its type; one that does not fit costs its own
//!   row. Under `evolve` and `lenient` an integer column that meets a fraction, or a number too large for
//!   it, becomes wider first; under `lenient` a column that meets another kind is renamed, and a new one
//!   is added
//! - a column that the target lacks: the evolution policy decides at the first value that is not null;
//!   null makes no column. The first kind gives the type
//! - null: is null in any type
//! - delete: its row makes no column and is never refused for a value; one that does not fit makes the
//!   image one that says too little to be compared (C1)
//! - a column that no row of a batch carries is left out of it, but for those that the key, the version
//!   and a resolver look at

pub(crate) mod kinds;
mod lend;
mod read;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{FieldRef, Schema};

pub(crate) use self::kinds::Kinds;
use super::Options;
use super::catalogue::{Plan, TargetTable, Wanted, plan};
use super::dialect::Dialect;
use super::keys::null_key;
use super::target::Target;
use super::version::version_column;
use crate::change::{Changes, Image, Operation, is_undeclared, without_kind};
use crate::error::{Error, RejectedRow, Result};

/// Changes of which some columns are undeclared.
pub(crate) struct Undeclared {
    changes: Changes,
    key: Vec<String>,
    kinds: Vec<Kinds>,
}

/// Changes in the target's types.
#[derive(Debug)]
pub(crate) struct Lent {
    /// As many rows as before.
    pub(crate) changes: Changes,
    /// The rows with a value that its column does not hold.
    pub(crate) rejected: Vec<RejectedRow>,
    /// Values that the policy `ignore` leaves out.
    pub(crate) left_out: u64,
    /// The columns that they stand in.
    pub(crate) left_out_columns: Vec<String>,
}

impl Lent {
    /// Changes whose columns a schema declares.
    pub(crate) fn declared(changes: &Changes) -> Self {
        Self::refused(changes, Vec::new())
    }

    /// Changes of which some rows cannot be written, as they came.
    pub(crate) fn refused(changes: &Changes, rejected: Vec<RejectedRow>) -> Self {
        Self {
            changes: changes.clone(),
            rejected,
            left_out: 0,
            left_out_columns: Vec::new(),
        }
    }
}

/// What a session remembers of its targets.
#[derive(Debug, Default)]
pub(crate) struct Lender {
    /// The tables as they were when a plan was made for them last.
    tables: HashMap<Target, Arc<TargetTable>>,
    warned: HashSet<(String, String)>,
}

impl Lender {
    /// The table as far as it is known to need no change for `wanted`, with the plan for it.
    pub(crate) fn known(
        &self,
        dialect: &'static Dialect,
        target: &Target,
        wanted: &Wanted<'_>,
        options: &Options,
    ) -> Option<(Arc<TargetTable>, Plan)> {
        let table = self.tables.get(target)?;
        let planned = plan(dialect, wanted, Some(table), options.evolution).ok()?;
        let is_current = planned.actions.is_empty() && planned.left_out.is_empty();
        is_current.then(|| (table.clone(), planned))
    }

    /// Remembers what the table looks like.
    pub(crate) fn remember(&mut self, target: &Target, table: &TargetTable) -> Arc<TargetTable> {
        let table = Arc::new(table.clone());
        self.tables.insert(target.clone(), table.clone());
        table
    }

    /// Forgets what the tables look like, and not what was warned of.
    pub(crate) fn forget(&mut self) {
        self.tables.clear();
    }

    /// Warns of columns that `evolution = "ignore"` leaves out, of each once.
    pub(crate) fn warn_left_out<'a>(
        &mut self,
        target: &str,
        columns: impl IntoIterator<Item = &'a str>,
    ) {
        for column in columns {
            if self.warned.insert((target.to_owned(), column.to_owned())) {
                tracing::warn!(
                    table = target,
                    column,
                    "the changes carry a column that the table does not have: evolution = \"ignore\" leaves it out"
                );
            }
        }
    }
}

/// How many values of a column the changes would write, were it there.
pub(crate) fn count_values(changes: &Changes, column: usize) -> u64 {
    let array = changes.rows.column(column);
    let writes = |row: usize| {
        !matches!(
            changes.operations[row],
            Operation::Delete | Operation::Truncate
        )
    };
    (0..changes.len())
        .filter(|&row| array.is_valid(row) && writes(row))
        .count() as u64
}

impl Undeclared {
    /// Of changes with an undeclared column; `None` where a schema declares them all.
    ///
    /// # Errors
    /// Where Arrow cannot put the rows together.
    pub(crate) fn of(options: &Options, changes: &Changes) -> Result<Option<Self>> {
        let schema = changes.schema();
        let truncates = |operation: &Operation| *operation == Operation::Truncate;
        let is_one = schema.fields().iter().any(|field| is_undeclared(field));
        let is_bare = schema.fields().is_empty() && changes.operations.iter().all(truncates);
        if !is_one && !is_bare {
            return Ok(None);
        }
        let names = options.key.as_deref().or(changes.key.as_deref());
        let key = names.unwrap_or_default().to_vec();
        let missing = key.iter().filter(|name| schema.index_of(name).is_err());
        let fields: Vec<FieldRef> = missing.map(|name| Arc::new(without_kind(name))).collect();
        let changes = with_columns(changes, fields)?;
        let kinds = kinds(&changes, &key, &[]);
        Ok(Some(Self {
            changes,
            key,
            kinds,
        }))
    }

    /// The rows with a value that its column does not hold, where the table has to change first. A row
    /// that is refused changes nothing, so that others do not depend on it.
    ///
    /// # Errors
    /// As a plan for the table.
    pub(crate) fn refused(
        &self,
        dialect: &'static Dialect,
        options: &Options,
        target: &str,
        table: Option<&TargetTable>,
    ) -> Result<Vec<RejectedRow>> {
        let mut refused: Vec<RejectedRow> = Vec::new();
        let schema = self.changes.schema();
        loop {
            let mut is_refused = vec![false; self.changes.len()];
            refused.iter().for_each(|row| is_refused[row.row] = true);
            let given = Self {
                changes: self.changes.clone(),
                key: self.key.clone(),
                kinds: kinds(&self.changes, &self.key, &is_refused),
            };
            let wanted = given.wanted(target, &schema, options);
            if given.kinds.iter().all(|kinds| kinds.first.is_none()) {
                return Ok(refused);
            }
            let planned = plan(dialect, &wanted, table, options.evolution)?;
            if planned.actions.is_empty() && refused.is_empty() {
                // What is refused is said as the values are read.
                return Ok(refused);
            }
            let mut changed = table.cloned().unwrap_or_default();
            planned
                .actions
                .iter()
                .for_each(|action| changed.after(action));
            let planned = plan(dialect, &wanted, Some(&changed), options.evolution)?;
            let lent = given.lend(dialect, options, &changed, &planned, false)?;
            let found: Vec<RejectedRow> = (lent.rejected.into_iter())
                .filter(|row| !is_refused[row.row])
                .collect();
            let Some(first) = found.first().map(|row| row.row) else {
                return Ok(refused);
            };
            // A column that only the changes made has its type from a row that may be refused itself.
            let is_certain = |row: &RejectedRow| {
                let name = row.field.as_deref().unwrap_or_default();
                let index = schema.index_of(name).ok();
                let made_by = index.and_then(|index| given.kinds[index].first);
                let stands = table.is_some_and(|table| table.column(name).is_some());
                let is_found = |at: usize| found.iter().any(|row| row.row == at);
                row.row == first || stands || made_by.is_some_and(|(at, _)| !is_found(at))
            };
            refused.extend(found.iter().filter(|row| is_certain(row)).cloned());
        }
    }

    /// Whether every change is a truncate: it needs no table.
    pub(crate) fn is_rowless(&self) -> bool {
        let operations = &self.changes.operations;
        operations
            .iter()
            .all(|operation| *operation == Operation::Truncate)
    }

    /// The rows whose key holds no value, where others have one: no table is made for them (R2).
    pub(crate) fn keyless(&self) -> Vec<RejectedRow> {
        let schema = self.changes.schema();
        let key: Vec<usize> = self
            .key
            .iter()
            .filter_map(|name| schema.index_of(name).ok())
            .collect();
        let carried = |&column: &usize| {
            let not_carried = self
                .changes
                .not_carried
                .get(column)
                .and_then(Option::as_ref);
            not_carried.is_none_or(|mask| mask.count_set_bits() < self.changes.len())
        };
        if !key.iter().all(carried) {
            return Vec::new();
        }
        (0..self.changes.len())
            .filter(|&row| self.changes.operations[row] != Operation::Truncate)
            .filter_map(|row| null_key(&self.changes, &key, row))
            .collect()
    }

    /// What the changes need of a table.
    pub(crate) fn wanted<'a>(
        &'a self,
        target: &'a str,
        schema: &'a Schema,
        options: &'a Options,
    ) -> Wanted<'a> {
        Wanted {
            target,
            schema,
            key: &self.key,
            soft_delete_column: options.mark(),
            case: options.case,
            kinds: &self.kinds,
        }
    }

    /// The changes as they came, but that every column of the key is there.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Whether no row carries the column.
    fn is_not_carried(&self, index: usize) -> bool {
        let mask = self.changes.not_carried.get(index).and_then(Option::as_ref);
        mask.is_some_and(|mask| mask.count_set_bits() == self.changes.len())
    }

    /// The columns that have to be there, whether a row carries them or not.
    fn needed<'a>(&'a self, options: &'a Options) -> Result<Vec<&'a str>> {
        let version = version_column(&options.conflict)?;
        let key = self.key.iter().map(String::as_str);
        Ok(key.chain(version).collect())
    }
}

/// What the values of each column are, but for those of the rows for which `without` is true.
fn kinds(changes: &Changes, key: &[String], without: &[bool]) -> Vec<Kinds> {
    let schema = changes.schema();
    let columns = schema.fields().iter().enumerate();
    columns
        .map(|(index, field)| match is_undeclared(field) {
            true => Kinds::of(changes, index, key.contains(field.name()), without),
            false => Kinds::default(),
        })
        .collect()
}

/// The changes with more columns, which no row carries.
fn with_columns(changes: &Changes, fields: Vec<FieldRef>) -> Result<Changes> {
    if fields.is_empty() {
        return Ok(changes.clone());
    }
    let count = changes.len();
    let schema = changes.schema();
    let all: Vec<FieldRef> = schema
        .fields()
        .iter()
        .cloned()
        .chain(fields.clone())
        .collect();
    let schema = Arc::new(Schema::new(all));
    let nulls = || {
        fields
            .iter()
            .map(|field| new_null_array(field.data_type(), count))
    };
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let widen = |rows: &RecordBatch| {
        let columns = rows.columns().iter().cloned().chain(nulls()).collect();
        RecordBatch::try_new_with_options(schema.clone(), columns, &options)
            .map_err(Error::configuration)
    };
    let more = || fields.iter().map(|_| Some(BooleanBuffer::new_set(count)));
    let mut not_carried = changes.not_carried.clone();
    not_carried.resize(changes.unset.len(), None);
    not_carried.extend(more());
    let before = match &changes.before {
        Some(image) => Some(Image {
            rows: widen(&image.rows)?,
            unset: image.unset.iter().cloned().chain(more()).collect(),
            present: image.present.clone(),
        }),
        None => None,
    };
    Ok(Changes {
        rows: widen(&changes.rows)?,
        unset: changes.unset.iter().cloned().chain(more()).collect(),
        not_carried,
        before,
        ..changes.clone()
    })
}

/// The changes as `explain` looks at them: in the types of the table that is there, else of the one that
/// would be made.
///
/// # Errors
/// As a write.
pub(crate) fn read_only(
    dialect: &'static Dialect,
    options: &Options,
    target: &str,
    changes: &Changes,
    table: Option<&TargetTable>,
) -> Result<Changes> {
    let Some(given) = Undeclared::of(options, changes)? else {
        return Ok(changes.clone());
    };
    let schema = given.changes.schema();
    let wanted = given.wanted(target, &schema, options);
    let made;
    let table = match table {
        Some(table) => table,
        None => {
            made = super::catalogue::would_make(dialect, &wanted)?;
            &made
        }
    };
    let planned = plan(dialect, &wanted, Some(table), options.evolution)?;
    given
        .lend(dialect, options, table, &planned, true)
        .map(|lent| lent.changes)
}

#[cfg(test)]
mod tests;
