//! Changes as the cells of staged rows.

use crate::change::Changes;
use crate::error::Result;
use crate::postgres::bound::BoundRows;
use crate::postgres::copy::Cells;
use crate::postgres::instant::{EPOCH_US, Unfit};
use crate::postgres::prepare::Prepared;
use crate::sql::patterns::Tag;

/// The columns of a batch, ready to be written row by row.
pub(super) struct RowEncoder<'a> {
    /// Of each column its index in the changes.
    cells: Vec<(usize, Cells)>,
    pub(super) changes: &'a Changes,
    with_events: bool,
}

impl<'a> RowEncoder<'a> {
    pub(super) fn of(prepared: &Prepared, changes: &'a Changes) -> Result<Self> {
        let indices = prepared.columns.iter().map(|column| column.index);
        Self::of_columns(prepared, changes, indices)
    }

    /// Of changes whose columns are those of [`Prepared::placed`].
    pub(super) fn of_placed(prepared: &Prepared, changes: &'a Changes) -> Result<Self> {
        Self::of_columns(prepared, changes, 0..prepared.columns.len())
    }

    fn of_columns(
        prepared: &Prepared,
        changes: &'a Changes,
        indices: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let cells = indices
            .map(|index| Ok((index, Cells::of(changes.rows.column(index))?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            cells,
            changes,
            with_events: prepared.version.is_some(),
        })
    }

    /// Appends the cells of a row, or says which column does not fit.
    pub(super) fn put(
        &self,
        row: usize,
        number: usize,
        (operation, pattern): Tag,
        kept: Option<&[u8]>,
        out: &mut impl PutCells,
    ) -> Result<(), (usize, Unfit)> {
        put_integer(number as i32, out.cell(0));
        for (place, number) in [(1, operation), (2, pattern as i16)] {
            let out = out.cell(place);
            out.extend_from_slice(&2_i32.to_be_bytes());
            out.extend_from_slice(&number.to_be_bytes());
        }
        put_bytes(self.event(row).map(i64::to_be_bytes).as_ref(), out.cell(3));
        put_bytes(kept, out.cell(4));
        for (place, (column, cells)) in self.cells.iter().enumerate() {
            cells
                .put(row, out.cell(place + 5))
                .map_err(|unfit| (*column, unfit))?;
        }
        Ok(())
    }

    /// Microseconds since 2000-01-01, where a version may need it.
    fn event(&self, row: usize) -> Option<i64> {
        let event_ms = self.changes.event_times_ms[row].filter(|_| self.with_events)?;
        event_ms.checked_mul(1_000)?.checked_sub(EPOCH_US)
    }
}

/// Where the cells of a row go, by their place in it.
pub(super) trait PutCells {
    fn cell(&mut self, place: usize) -> &mut Vec<u8>;
}

/// One after another.
impl PutCells for Vec<u8> {
    fn cell(&mut self, _: usize) -> &mut Vec<u8> {
        self
    }
}

impl PutCells for BoundRows {
    fn cell(&mut self, place: usize) -> &mut Vec<u8> {
        self.column(place)
    }
}

fn put_bytes(bytes: Option<impl AsRef<[u8]>>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => {
            let bytes = bytes.as_ref();
            out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
    }
}

pub(in crate::postgres) fn put_integer(number: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&4_i32.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
}
