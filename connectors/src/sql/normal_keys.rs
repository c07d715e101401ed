//! The keys of a batch in the target's normal form, so that keys that the target takes for one are one
//! here too (R22), and how they were written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::equality::{Normal, answered};
use super::{DeleteMode, Options};
use crate::change::{Changes, Operation};
use crate::conflict::Strategy;
use crate::error::{Error, Result};
use crate::sql::bulk::{PreparedTable, Tables};
use crate::sql::failure::Failure;

/// How the keys of changes were written, where that is not their normal form.
#[derive(Debug, Clone)]
pub(crate) struct Spelling {
    /// The key columns that were replaced: their place, and what they held.
    columns: Vec<(usize, ArrayRef)>,
    /// For each change, the change whose spelling its row has.
    rows: Vec<u32>,
}

/// Changes with these columns in their normal form; `key` are all key columns. And how they were written,
/// where that is another way.
///
/// # Errors
/// Where Arrow cannot compare the keys.
fn normalised(
    changes: Changes,
    key: &[usize],
    normal: Vec<(usize, ArrayRef)>,
    options: &Options,
) -> Result<(Changes, Option<Spelling>)> {
    if normal.is_empty() {
        return Ok((changes, None));
    }
    let written = normal
        .iter()
        .map(|&(place, _)| (place, changes.rows.column(place).clone()))
        .collect();
    let changes = with_columns(changes, normal).map_err(broken)?;
    let rows = makers(&changes, key, options).map_err(broken)?;
    let spelling = Spelling {
        columns: written,
        rows,
    };
    Ok((changes, Some(spelling)))
}

/// Changes with their keys in the target's normal form, and how they were written.
pub(crate) async fn with_normal_keys<C: Tables>(
    connection: &mut C,
    options: &Options,
    table: &Arc<C::Table>,
    changes: Changes,
) -> Result<(Changes, Option<Spelling>), Failure> {
    let layout = table.layout();
    let (mut key, mut columns) = (Vec::new(), Vec::new());
    for &place in layout.placed_key {
        let index = layout.indices[place];
        let values = changes.rows.column(index);
        key.push(index);
        match table.equality(place).normal(values)? {
            Normal::Same => {}
            Normal::Column(normal) => columns.push((index, normal)),
            Normal::Ask(texts) => {
                let answers = connection.normal_texts(table, place, &texts).await?;
                columns.push((index, answered(values, &texts, &answers)?));
            }
        }
    }
    Ok(normalised(changes, &key, columns, options)?)
}

/// For each change the first one of its key since the row was last deleted: the one that makes the row where
/// changes fold. Where each change of a key takes a round of its own, that is the change itself.
fn makers(changes: &Changes, key: &[usize], options: &Options) -> Result<Vec<u32>, ArrowError> {
    let columns: Vec<ArrayRef> = key
        .iter()
        .map(|&place| changes.rows.column(place).clone())
        .collect();
    let fields = columns
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let keys = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
    let is_delete = |row: usize| changes.operations[row] == Operation::Delete;
    let mut apart: HashSet<&[u8]> = HashSet::new();
    if options.conflict.strategy != Strategy::SourceWins {
        let partial = |row: usize| changes.unset.iter().flatten().any(|mask| mask.value(row));
        let rows = (0..changes.len()).filter(|&row| is_delete(row) || partial(row));
        apart.extend(rows.map(|row| keys.row(row).data()));
    }
    let mut makers: HashMap<&[u8], u32> = HashMap::new();
    Ok((0..changes.len())
        .map(|row| {
            let (key, number) = (keys.row(row).data(), row as u32);
            if apart.contains(key) {
                return number;
            }
            if !is_delete(row) {
                return *makers.entry(key).or_insert(number);
            }
            if options.delete == DeleteMode::Hard {
                makers.remove(key);
            }
            number
        })
        .collect())
}

impl Spelling {
    /// For changes of which only the columns at `indices` are left, in that order.
    pub(crate) fn placed(&self, indices: &[usize]) -> Self {
        let columns = self.columns.iter().filter_map(|(place, column)| {
            let place = indices.iter().position(|index| index == place)?;
            Some((place, column.clone()))
        });
        Self {
            columns: columns.collect(),
            rows: self.rows.clone(),
        }
    }

    /// Puts the spelling of their rows into net changes; `rows` gives the change that each stands for.
    ///
    /// # Errors
    /// Where Arrow cannot take from a column.
    pub(crate) fn restore(&self, changes: &mut Changes, rows: &[u32]) -> Result<()> {
        let makers: UInt32Array = rows.iter().map(|&row| self.rows[row as usize]).collect();
        let columns = self
            .columns
            .iter()
            .map(|(place, column)| Ok((*place, arrow::compute::take(column, &makers, None)?)))
            .collect::<Result<Vec<_>, ArrowError>>()
            .map_err(broken)?;
        *changes = with_columns(changes.clone(), columns).map_err(broken)?;
        Ok(())
    }
}

fn with_columns(changes: Changes, replaced: Vec<(usize, ArrayRef)>) -> Result<Changes, ArrowError> {
    let mut columns = changes.rows.columns().to_vec();
    for (place, column) in replaced {
        columns[place] = column;
    }
    Ok(Changes {
        rows: RecordBatch::try_new(changes.rows.schema(), columns)?,
        ..changes
    })
}

fn broken(cause: ArrowError) -> Error {
    Error::configuration_from("cannot compare the keys of a batch", cause)
}
