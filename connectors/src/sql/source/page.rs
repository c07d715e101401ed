//! Values as they come from a database as rows and records.
//!
//! A value that its column's type cannot say exactly rejects its row (R3); in the record that goes to the
//! quarantine its column is left out.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;

use super::bookmark::Place;
use super::layout::Layout;
use super::rows::Cells;
use crate::change::{Changes, Operation, take_rows};
use crate::error::{Error, Result};
use crate::format::{Decoded, Undecodable, read_cells};
use crate::record::{Partition, Records};

/// Rows of one table.
pub(super) struct Page<'a, R> {
    layout: &'a Layout<R>,
    cells: &'a Cells,
    /// What stands before and behind the row in each record.
    envelope: (&'a [u8], &'a [u8]),
}

impl<'a, R> Page<'a, R> {
    pub(super) fn new(layout: &'a Layout<R>, cells: &'a Cells) -> Self {
        Self {
            layout,
            cells,
            envelope: (b"", b""),
        }
    }

    /// The same with records that hold more than the row.
    pub(super) fn within(self, (before, behind): &'a (Vec<u8>, Vec<u8>)) -> Self {
        Self {
            envelope: (before, behind),
            ..self
        }
    }

    /// How many cells a row has.
    fn width(&self) -> usize {
        self.layout.readers.len() + self.layout.order.len()
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.cells.len() / self.width()
    }

    /// The values of a row, in order.
    pub(super) fn values(&self, row: usize) -> impl Iterator<Item = Option<&'a [u8]>> {
        let first = row * self.width();
        let cells = self.cells;
        (first..first + self.layout.readers.len()).map(move |cell| cells.get(cell))
    }

    /// Where the last row stands in the order; `None` where there are no rows.
    ///
    /// # Errors
    /// `Configuration` where it has no place.
    pub(super) fn last_place(&self) -> Result<Option<Place>> {
        let Some(row) = self.len().checked_sub(1) else {
            return Ok(None);
        };
        let first = row * self.width() + self.layout.readers.len();
        let mut place = Place::with_capacity(self.layout.order.len());
        for cell in first..first + self.layout.order.len() {
            let text = self
                .cells
                .get(cell)
                .and_then(|bytes| std::str::from_utf8(bytes).ok());
            let Some(text) = text else {
                return Err(self.layout.refused(
                    "a row without a value in the columns of its order",
                    "give it one",
                ));
            };
            place.push(text.to_owned());
        }
        Ok(Some(place))
    }

    /// The rows at `rows` as changes and records, numbered from `first` on.
    ///
    /// # Errors
    /// `Configuration` for a column whose type no value has.
    pub(super) fn changes(
        &self,
        rows: &[usize],
        partition: &Partition,
        first: i64,
        operation: Operation,
    ) -> Result<(Arc<Records>, Decoded)> {
        let layout = self.layout;
        let mut columns = Vec::with_capacity(layout.readers.len());
        let mut foreign: Vec<Option<BooleanBuffer>> = Vec::with_capacity(columns.capacity());
        for (column, field) in layout.schema.fields().iter().enumerate() {
            let values = rows.iter().map(|row| {
                let cell = self.cells.get(row * self.width() + column);
                cell.map(Cow::Borrowed)
            });
            let (array, mask) = read_cells(field, values)?;
            columns.push(array);
            foreign.push(mask);
        }
        let is_foreign = |row: usize, column: usize| {
            let mask: &Option<BooleanBuffer> = &foreign[column];
            mask.as_ref().is_some_and(|mask| mask.value(row))
        };
        let records = Arc::new(self.records(rows, partition, first, &is_foreign));
        let mut decoded = Decoded::default();
        let mut origins: Vec<u32> = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            match (0..foreign.len()).find(|&column| is_foreign(row, column)) {
                None => origins.push(row as u32),
                Some(column) => decoded.rejected.push(Undecodable {
                    origin: row as u32,
                    rule: "R3".to_owned(),
                    field: Some(layout.schema.field(column).name().clone()),
                    reason: format!(
                        "the value cannot be said exactly as {}, which the column is read as",
                        layout.schema.field(column).data_type()
                    ),
                }),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let fail = |cause| Error::configuration_from("cannot put rows together", cause);
        let mut batch = RecordBatch::try_new_with_options(layout.schema.clone(), columns, &options)
            .map_err(fail)?;
        if origins.len() < rows.len() {
            batch = take_rows(&batch, &origins).map_err(fail)?;
        }
        if !origins.is_empty() {
            decoded.changes.push(Changes {
                table: layout.table.clone(),
                key: Some(layout.key.clone()),
                unset: vec![None; batch.num_columns()],
                rows: batch,
                not_carried: Vec::new(),
                before: None,
                operations: vec![operation; origins.len()],
                event_times_ms: vec![None; origins.len()],
                origins,
                records: records.clone(),
            });
        }
        Ok((records, decoded))
    }

    /// A record for each row: a JSON object of its values.
    fn records(
        &self,
        rows: &[usize],
        partition: &Partition,
        first: i64,
        is_foreign: &impl Fn(usize, usize) -> bool,
    ) -> Records {
        let mut records = Records::default();
        let number = records.add_partition(partition, true);
        let mut object = Vec::new();
        for (index, &row) in rows.iter().enumerate() {
            object.clear();
            object.extend_from_slice(self.envelope.0);
            object.push(b'{');
            for (column, value) in self.values(row).enumerate() {
                if is_foreign(index, column) {
                    continue;
                }
                if object.last() != Some(&b'{') {
                    object.push(b',');
                }
                object.extend_from_slice(&self.layout.labels[column]);
                object.extend_from_slice(value.unwrap_or(b"null"));
            }
            object.push(b'}');
            object.extend_from_slice(self.envelope.1);
            records.push(
                number,
                first + index as i64,
                None,
                None,
                Some(&object),
                None,
            );
        }
        records
    }
}
