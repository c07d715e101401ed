//! Generates random histories from a seed.
//!
//! The source is a table of its own: a change contains the source's row before it, updates existing
//! rows and deletes existing rows. There are few different values, so both writers often write the
//! same one. Some changes leave columns unset, some deletes are blind, and some changes are for
//! rows that the other writer deleted.

use std::collections::BTreeMap;

use super::{Cell, Column, Event, show};
use crate::change::Operation::{Create, Delete, Read, Update};
use crate::sql::DeleteMode;

/// Changes, and the edits of the other writer after them.
pub(super) struct Round {
    pub(super) changes: Vec<Event>,
    pub(super) edits: Vec<Edit>,
}

/// An edit of an existing row: new values of some columns, or a delete.
pub(super) struct Edit {
    pub(super) id: i64,
    pub(super) row: Option<Vec<Cell>>,
}

const ROUNDS: usize = 3;
const CHANGES: usize = 60;
const EDITS: usize = 8;
const KEYS: u64 = 7;

pub(super) fn script(
    seed: u64,
    columns: &[Column],
    with_before: bool,
    delete: DeleteMode,
) -> Vec<Round> {
    let soft = u64::from(delete == DeleteMode::Soft);
    let mut writer = Writer {
        state: seed * 4 + 2 * soft + u64::from(with_before),
        columns,
        with_before,
        rows: BTreeMap::new(),
    };
    (0..ROUNDS)
        .map(|_| Round {
            changes: (0..CHANGES).map(|_| writer.change()).collect(),
            edits: (0..EDITS).map(|_| writer.edit()).collect(),
        })
        .collect()
}

struct Writer<'a> {
    state: u64,
    columns: &'a [Column],
    with_before: bool,
    /// The rows of the source.
    rows: BTreeMap<i64, Vec<Cell>>,
}

impl Writer<'_> {
    fn next(&mut self, bound: u64) -> u64 {
        // The constants of Knuth's MMIX.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % bound
    }

    fn cell(&mut self, column: Column) -> Cell {
        let choice = self.next(6) as usize;
        let texts = match column {
            Column::Name => ["ann", "bob", "cid", "dan", "eve", "-"],
            Column::Amount => ["1.00", "2.50", "7.00", "10.00", "-3.25", "-"],
            Column::Tags => [
                "[]",
                "[\"a\"]",
                "[\"b\",\"a\"]",
                "[\"c\"]",
                "[\"a\",\"d\"]",
                "-",
            ],
            Column::Doc => [
                "{}",
                "{\"a\":1}",
                "{\"a\":2,\"b\":3}",
                "{\"c\":{\"x\":1}}",
                "{\"a\":1,\"c\":{\"y\":2}}",
                "-",
            ],
            Column::Version => ["1", "2", "3", "4", "5", "-"],
        };
        match texts[choice] {
            "-" => Cell::Null,
            text => Cell::Is(column.value(text)),
        }
    }

    fn row(&mut self) -> Vec<Cell> {
        let columns = self.columns;
        columns.iter().map(|&column| self.cell(column)).collect()
    }

    fn change(&mut self) -> Event {
        let id = self.next(KEYS) as i64;
        let held = self.rows.get(&id).cloned();
        let choice = self.next(10);
        let event = |operation, before, row| Event {
            operation,
            id,
            before,
            row,
        };
        let Some(held) = held else {
            if choice == 0 {
                let row = self.row();
                return event(Delete, None, row);
            }
            let row = self.row();
            self.rows.insert(id, row.clone());
            let operation = [Create, Read, Create][self.next(3) as usize];
            return event(operation, None, row);
        };
        match choice {
            0 | 1 => {
                self.rows.remove(&id);
                let blind = self.next(4) == 0;
                let row = if blind {
                    vec![Cell::Unset; held.len()]
                } else {
                    held
                };
                event(Delete, None, row)
            }
            2 => {
                let row = self.row();
                self.rows.insert(id, row.clone());
                event(Create, None, row)
            }
            _ => {
                let mut after = held.clone();
                for (place, &column) in self.columns.iter().enumerate() {
                    if self.next(2) == 0 {
                        after[place] = self.cell(column);
                    }
                }
                self.rows.insert(id, after.clone());
                let mut before = (self.with_before && self.next(8) > 0).then_some(held);
                let place = self.next(self.columns.len() as u64) as usize;
                match (self.next(8), &mut before) {
                    (0, _) => after[place] = Cell::Unset,
                    (1, Some(before)) => before[place] = Cell::Unset,
                    _ => {}
                }
                event(Update, before, after)
            }
        }
    }

    fn edit(&mut self) -> Edit {
        let id = self.next(KEYS) as i64;
        if self.next(6) == 0 {
            return Edit { id, row: None };
        }
        let mut row = self.row();
        for cell in &mut row {
            if self.next(3) == 0 {
                *cell = Cell::Unset;
            }
        }
        let place = self.next(row.len() as u64) as usize;
        row[place] = self.cell(self.columns[place]);
        Edit { id, row: Some(row) }
    }
}

impl Round {
    /// The changes as text, one on each line.
    pub(super) fn text(&self) -> String {
        let lines = self.changes.iter().map(|event| {
            let before = event.before.as_deref().map_or("none".to_owned(), show);
            format!(
                "{} {} {before} -> {}",
                event.operation.letter(),
                event.id,
                show(&event.row)
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
