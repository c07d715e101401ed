//! Values that only one row of the stream may have.
//!
//! The last rows that brought a value are remembered, at most so many of them. An update frees the value that
//! its row had, a delete frees it, a truncate frees all. A change that is read again meets only what came
//! before it, so that a restart or a fence refuses nothing that was accepted. The memory begins empty at each
//! start: uniqueness in the target is the target's to keep.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use arrow::row::{RowConverter, SortField};
use syncline_connectors::change::{Changes, Operation};

use crate::operator::Memory;
use crate::operator::memory::{Place, Seen, Window};

/// A column whose values are unique.
pub(super) struct Unique {
    column: usize,
    memory: Memory,
    /// Where its values are remembered, and where the value of each row is.
    windows: [usize; 2],
    entries_max: usize,
}

impl Unique {
    /// `rule` and `condition` tell it from others of the same operator.
    pub(super) fn new(
        column: usize,
        rule: usize,
        condition: usize,
        entries_max: usize,
        memory: &Memory,
    ) -> Self {
        const CONDITIONS_MAX: usize = 1_000;
        let first = 2 * (rule * CONDITIONS_MAX + condition);
        Self {
            column,
            memory: memory.clone(),
            windows: [first, first + 1],
            entries_max,
        }
    }

    /// The rows whose value another row has; `holds` are the rows that may hold one.
    pub(super) fn repeated(
        &self,
        changes: &Changes,
        holds: impl Fn(usize) -> bool,
    ) -> BooleanBuffer {
        let values = encoded(std::slice::from_ref(changes.rows.column(self.column)));
        let keys = row_keys(changes);
        let mut kept = self.memory.lock();
        let mut take = |index: usize| {
            let known = kept.windows.remove(&index);
            known.unwrap_or_else(|| Window::new(self.entries_max))
        };
        let [mut by_value, mut by_row] = self.windows.map(&mut take);
        let mut repeated = vec![false; changes.len()];
        for (row, repeated) in repeated.iter_mut().enumerate() {
            let key = &keys[row];
            let place = Place::of(changes, row);
            match changes.operations[row] {
                Operation::Truncate => {
                    by_value.clear();
                    by_row.clear();
                }
                Operation::Delete => {
                    if let Some(known) = by_row
                        .get(key)
                        .filter(|known| !place.is_at_or_behind(&known.place))
                    {
                        let value = known.key.clone();
                        by_value.forget(&value);
                        by_row.forget(key);
                    }
                }
                Operation::Create | Operation::Update | Operation::Read => {
                    if !holds(row) || changes.is_unset(self.column, row) {
                        continue;
                    }
                    let value = changes
                        .rows
                        .column(self.column)
                        .is_valid(row)
                        .then(|| &values[row]);
                    let known = value.and_then(|value| by_value.get(value));
                    if let Some(known) = known {
                        if place.is_at_or_behind(&known.place) {
                            // It is read again, or stands in the order of another partition.
                            continue;
                        }
                        if *known.key != **key {
                            *repeated = true;
                            continue;
                        }
                    }
                    let seen = |of: &[u8]| Seen {
                        key: of.into(),
                        place: place.clone(),
                        time_ms: None,
                    };
                    if let Some(old) = by_row.get(key).map(|known| known.key.clone())
                        && value.is_none_or(|value| **value != *old)
                    {
                        by_value.forget(&old);
                    }
                    match value {
                        Some(value) => {
                            by_value.put(value, seen(key));
                            by_row.put(key, seen(value));
                        }
                        None => by_row.forget(key),
                    }
                }
            }
        }
        let [first, second] = self.windows;
        kept.windows.insert(first, by_value);
        kept.windows.insert(second, by_row);
        BooleanBuffer::from(repeated)
    }
}

/// Columns as bytes that are equal where the values are; empty where their type has no such form.
pub(crate) fn encoded(columns: &[ArrayRef]) -> Vec<Box<[u8]>> {
    let rows = columns.first().map_or(0, |column| column.len());
    let fields = columns
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let converted = RowConverter::new(fields.collect())
        .and_then(|converter| converter.convert_columns(columns));
    match converted {
        Ok(encoded) => encoded.iter().map(|row| row.as_ref().into()).collect(),
        Err(_) => vec![Box::default(); rows],
    }
}

/// The key of each row: its key columns, else the key of its record, else its place.
fn row_keys(changes: &Changes) -> Vec<Box<[u8]>> {
    let columns: Option<Vec<ArrayRef>> = changes.key.as_ref().and_then(|key| {
        key.iter()
            .map(|name| changes.column(name).cloned())
            .collect()
    });
    match columns {
        Some(columns) if !columns.is_empty() => encoded(&columns),
        _ => (0..changes.len())
            .map(|row| {
                let origin = changes.origins[row] as usize;
                match changes.records.key(origin) {
                    Some(key) => key.into(),
                    None => format!("{:?}", Place::of(changes, row)).into_bytes().into(),
                }
            })
            .collect(),
    }
}
