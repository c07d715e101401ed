//! The changes of one half of a round, row by row: what they set, and the statements that they need.

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::TimeUnit;
use rusqlite::CachedStatement;

use super::cell::Cells;
use super::failure::{Failure, of_row, of_statement};
use super::prepare::Prepared;
use crate::change::Changes;
use crate::error::Result;
use crate::text::write_instant;

/// Changes of one round with what their rows are called in the write.
pub(super) struct BoundRows<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) changes: &'a Changes,
    /// The batch and row of each change.
    pub(super) places: &'a [(usize, usize)],
    /// Whether the columns of the changes are those of the target, in its order.
    pub(super) placed: bool,
}

impl BoundRows<'_> {
    pub(super) fn cells(&self) -> Result<Vec<Cells>> {
        let columns = self.prepared.columns.iter().enumerate();
        columns
            .map(|(place, column)| Cells::of(self.changes, self.index(place), column))
            .collect()
    }

    /// Where the column of this place stands in the changes.
    fn index(&self, place: usize) -> usize {
        if self.placed {
            place
        } else {
            self.prepared.columns[place].index
        }
    }

    /// Which columns the change sets; `None` for all of them.
    pub(super) fn set(&self, row: usize) -> Option<Vec<bool>> {
        if self.changes.unset.iter().all(Option::is_none) {
            return None;
        }
        let places = 0..self.prepared.columns.len();
        Some(
            places
                .map(|place| !self.changes.is_unset(self.index(place), row))
                .collect(),
        )
    }

    /// The changes with an unavailable value, which need their row in the target (R14).
    pub(super) fn incomplete(&self) -> Option<BooleanBuffer> {
        let places = 0..self.prepared.columns.len();
        self.changes
            .incomplete(places.map(|place| self.index(place)))
    }

    /// The deletes that say too little to be compared with their row (C1).
    pub(super) fn blind(&self) -> Option<BooleanBuffer> {
        let columns = self.prepared.columns.iter().enumerate();
        let beside_key: Vec<usize> = columns
            .filter(|(_, column)| !column.key)
            .map(|(place, _)| self.index(place))
            .collect();
        self.changes.blind(&beside_key)
    }

    pub(super) fn event_time(&self, row: usize) -> Option<String> {
        let event_time_ms = self.changes.event_times_ms[row]?;
        let mut text = Vec::new();
        write_instant(&mut text, event_time_ms, TimeUnit::Millisecond, true);
        String::from_utf8(text).ok()
    }

    pub(super) fn version(&self, cells: &[Cells], set: &[bool], row: usize) -> Option<String> {
        let version = self.prepared.version.as_ref()?;
        set[version.column].then(|| cells[version.column].text(row))?
    }

    /// The key as text that is the same for the same key.
    pub(super) fn key(&self, cells: &[Cells], row: usize) -> String {
        let columns = self.prepared.columns.iter().zip(cells);
        let values: Vec<Option<String>> = columns
            .filter(|(column, _)| column.key)
            .map(|(column, cells)| {
                let text = cells.text(row)?;
                Some(match column.equality.text(&text) {
                    Some(normal) => normal.into_owned(),
                    None => text,
                })
            })
            .collect();
        serde_json::to_string(&values).expect("a list of texts is JSON")
    }
}

/// The statements of a round, one for each pattern of columns that are set.
#[derive(Default)]
pub(super) struct Patterns<'c> {
    known: Vec<(Vec<bool>, CachedStatement<'c>)>,
}

impl<'c> Patterns<'c> {
    pub(super) fn of(
        &mut self,
        set: Option<Vec<bool>>,
        prepare: impl FnOnce(&[bool]) -> rusqlite::Result<CachedStatement<'c>>,
        bound_rows: &BoundRows<'_>,
    ) -> Result<(&[bool], &mut CachedStatement<'c>)> {
        let found = match &set {
            // Without a mask there is one pattern in the whole round.
            None => (!self.known.is_empty()).then_some(0),
            Some(set) => self.known.iter().position(|(known, _)| known == set),
        };
        let index = match found {
            Some(index) => index,
            None => {
                let set = set.unwrap_or_else(|| vec![true; bound_rows.prepared.columns.len()]);
                let statement = prepare(&set).map_err(|error| {
                    of_statement(
                        &format!("preparing to write table {:?}", bound_rows.prepared.name),
                        error,
                    )
                })?;
                self.known.push((set, statement));
                self.known.len() - 1
            }
        };
        let (set, statement) = &mut self.known[index];
        Ok((set, statement))
    }
}

/// Binds the columns that are set, as far as the statement looks at them.
pub(super) fn bind(
    statement: &mut CachedStatement<'_>,
    set: &[bool],
    cells: &[Cells],
    row: usize,
) -> Result<(), Failure> {
    let count = statement.parameter_count();
    for (place, cells) in cells.iter().enumerate().take(count) {
        if set[place] {
            cells.bind(statement, place + 1, row)?;
        }
    }
    Ok(())
}

/// Runs the statement with what is bound.
pub(super) fn execute(
    statement: &mut CachedStatement<'_>,
    bound_rows: &BoundRows<'_>,
) -> Result<(), Failure> {
    statement
        .raw_execute()
        .map(|_| ())
        .map_err(|error| of_row(&bound_rows.prepared.name, error))
}
