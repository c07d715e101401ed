//! Changes of the log as rows and records, table by table.
//!
//! - an unchanged large value (`TOAST`) is taken from the row before where that is whole, else it is unset (R14)
//! - the row before is known where the replica identity is `FULL`, and by its identity where an update changes that
//! - a change of the key is a delete and a create, from one record (R10); a create that leaves out unchanged values carries
//!   its old key as its row before
//! - a delete holds the row before where that is whole, else the identity alone
//! - a value that its column's type cannot say exactly rejects its row (R3)

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;

use super::json;
use super::pgoutput::{Old, Value};
use super::relation::Relation;
use crate::change::{Changes, Image, Operation};
use crate::error::{Error, Result};
use crate::format::{Decoded, Undecodable, read_cells};
use crate::record::{Partition, Records};

/// What stands for an unchanged value in a record, as Debezium writes it.
const UNAVAILABLE: &[u8] = b"\"__debezium_unavailable_value\"";

/// A value of a row as JSON, in the bytes of its batch.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    /// Not known.
    Unset,
    Json(Range<usize>),
}

/// Changes of one table with one shape.
struct Batch {
    relation: Arc<Relation>,
    bytes: Vec<u8>,
    /// Row after row.
    after: Vec<Cell>,
    before: Vec<Cell>,
    /// Whether there is a row before.
    present: Vec<bool>,
    operations: Vec<Operation>,
    times: Vec<Option<i64>>,
    origins: Vec<u32>,
}

/// Changes that were not handed over yet.
pub(super) struct Gathered {
    partition: Partition,
    records: Records,
    batches: Vec<Batch>,
    bytes: usize,
    /// Changes that were left out for their origin.
    pub(super) ignored: u64,
}

impl Gathered {
    pub(super) fn new(partition: Partition) -> Self {
        Self {
            partition,
            records: Records::default(),
            batches: Vec::new(),
            bytes: 0,
            ignored: 0,
        }
    }

    /// How many changes there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// How many bytes they have.
    pub(super) fn size(&self) -> usize {
        self.bytes
    }

    /// Adds a change that has this number.
    pub(super) fn push(
        &mut self,
        relation: &Arc<Relation>,
        number: i64,
        time_ms: Option<i64>,
        operation: Operation,
        (old, new): (Option<&Old<'_>>, Option<&[Value<'_>]>),
    ) {
        let width = relation.schema.fields().len();
        let origin = self.records.len() as u32;
        let is_same = |batch: &Batch| Arc::ptr_eq(&batch.relation, relation);
        // A table whose shape changes begins a new batch, and so does one that is emptied.
        let index = self
            .batches
            .iter()
            .rposition(|batch| is_same(batch) || batch.relation.name == relation.name);
        let index = match index.filter(|&index| is_same(&self.batches[index])) {
            Some(index) => index,
            None => {
                self.batches.push(Batch::new(relation));
                self.batches.len() - 1
            }
        };
        let batch = &mut self.batches[index];
        let held = batch.bytes.len();
        let before = batch.cells(old.map_or(&[], |old| old.values.as_slice()), width);
        let identity_alone = old.is_some_and(|old| !old.whole);
        let before: Vec<Cell> = match identity_alone {
            // The other columns are null in the message, and not known.
            true => before
                .into_iter()
                .zip(&relation.identity)
                .map(|(cell, identity)| if *identity { cell } else { Cell::Unset })
                .collect(),
            false => before,
        };
        let mut after = match operation {
            Operation::Delete => before.clone(),
            _ => batch.cells(new.unwrap_or_default(), width),
        };
        for (after, before) in after.iter_mut().zip(&before) {
            if matches!(after, Cell::Unset) {
                *after = before.clone();
            }
        }
        let value = batch.event(operation, &before, &after, old.is_some());
        let key = batch.key(&after);
        self.bytes += batch.bytes.len() - held + value.len();
        match (operation, old, new) {
            (Operation::Update, Some(old), Some(new)) if relation.moves(old, new) => {
                let image = (!identity_alone).then(|| before.clone());
                batch.row(before.clone(), image, Operation::Delete, time_ms, origin);
                // A row that is whole needs nothing of the one under the old key.
                let partial = after.iter().any(|cell| matches!(cell, Cell::Unset));
                batch.row(
                    after,
                    partial.then_some(before),
                    Operation::Create,
                    time_ms,
                    origin,
                );
            }
            _ => {
                let known = match operation {
                    Operation::Delete => !identity_alone,
                    _ => old.is_some(),
                };
                batch.row(after, known.then_some(before), operation, time_ms, origin);
            }
        }
        let partition = self.records.add_partition(&self.partition, true);
        self.records.push(
            partition,
            number,
            time_ms,
            key.as_deref(),
            Some(&value),
            None,
        );
    }

    /// All of it, and begins anew.
    ///
    /// # Errors
    /// `Configuration` for a column whose type no value has.
    pub(super) fn take(&mut self) -> Result<(Arc<Records>, Decoded)> {
        let records = Arc::new(std::mem::take(&mut self.records));
        let mut decoded = Decoded {
            filtered: self.ignored,
            ignored: self.ignored,
            ..Decoded::default()
        };
        self.ignored = 0;
        self.bytes = 0;
        for batch in std::mem::take(&mut self.batches) {
            batch.finish(&records, &mut decoded)?;
        }
        Ok((records, decoded))
    }
}

impl Batch {
    fn new(relation: &Arc<Relation>) -> Self {
        Self {
            relation: relation.clone(),
            bytes: Vec::new(),
            after: Vec::new(),
            before: Vec::new(),
            present: Vec::new(),
            operations: Vec::new(),
            times: Vec::new(),
            origins: Vec::new(),
        }
    }

    /// Appends a change.
    fn row(
        &mut self,
        after: Vec<Cell>,
        before: Option<Vec<Cell>>,
        operation: Operation,
        time_ms: Option<i64>,
        origin: u32,
    ) {
        self.present.push(before.is_some());
        let width = after.len();
        self.before
            .extend(before.unwrap_or_else(|| vec![Cell::Null; width]));
        self.after.extend(after);
        self.operations.push(operation);
        self.times.push(time_ms);
        self.origins.push(origin);
    }

    /// The cells of a row; those that it does not say are unset.
    fn cells(&mut self, values: &[Value<'_>], width: usize) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(width);
        for column in 0..width {
            cells.push(match values.get(column) {
                None | Some(Value::Unchanged) => Cell::Unset,
                Some(Value::Null) => Cell::Null,
                Some(Value::Text(text)) => {
                    let start = self.bytes.len();
                    json::write(self.relation.schema.field(column), text, &mut self.bytes);
                    Cell::Json(start..self.bytes.len())
                }
            });
        }
        cells
    }

    /// The change as an event of Debezium.
    fn event(
        &self,
        operation: Operation,
        before: &[Cell],
        after: &[Cell],
        has_old: bool,
    ) -> Vec<u8> {
        let mut out = b"{\"op\":\"".to_vec();
        out.extend_from_slice(operation.letter().as_bytes());
        out.extend_from_slice(&self.relation.envelope);
        if has_old {
            out.extend_from_slice(b",\"before\":");
            self.write_row(before, false, &mut out);
        }
        match operation {
            Operation::Truncate => {}
            Operation::Delete => out.extend_from_slice(b",\"after\":null"),
            _ => {
                out.extend_from_slice(b",\"after\":");
                self.write_row(after, true, &mut out);
            }
        }
        out.push(b'}');
        out
    }

    fn write_row(&self, cells: &[Cell], marks_unset: bool, out: &mut Vec<u8>) {
        out.push(b'{');
        for (cell, label) in cells.iter().zip(&self.relation.labels) {
            let value: &[u8] = match cell {
                Cell::Null => b"null",
                Cell::Unset if marks_unset => UNAVAILABLE,
                Cell::Unset => continue,
                Cell::Json(range) => &self.bytes[range.clone()],
            };
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            out.extend_from_slice(label);
            out.extend_from_slice(value);
        }
        out.push(b'}');
    }

    /// The key as a JSON object; `None` where a column of it is not known.
    fn key(&self, cells: &[Cell]) -> Option<Vec<u8>> {
        let mut out = vec![b'{'];
        for &column in &self.relation.key_places {
            let Some(Cell::Json(range)) = cells.get(column) else {
                return None;
            };
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(&self.relation.labels[column]);
            out.extend_from_slice(&self.bytes[range.clone()]);
        }
        out.push(b'}');
        (out.len() > 2).then_some(out)
    }

    fn finish(self, records: &Arc<Records>, decoded: &mut Decoded) -> Result<()> {
        let (rows, unset, foreign) = self.columns(&self.after)?;
        let has_before = self.present.contains(&true);
        let before = match has_before {
            true => {
                // A value that cannot be read is as one that is not known.
                let (rows, unset, foreign) = self.columns(&self.before)?;
                let unset =
                    unset
                        .into_iter()
                        .zip(foreign)
                        .map(|(left, right)| match (left, right) {
                            (Some(left), Some(right)) => Some(&left | &right),
                            (left, right) => left.or(right),
                        });
                Some(Image {
                    rows,
                    unset: unset.collect(),
                    present: BooleanBuffer::from(self.present.clone()),
                })
            }
            false => None,
        };
        let is_foreign = |row: usize, column: usize| {
            let mask: &Option<BooleanBuffer> = &foreign[column];
            mask.as_ref().is_some_and(|mask| mask.value(row))
        };
        let mut kept: Vec<u32> = Vec::with_capacity(self.operations.len());
        for row in 0..self.operations.len() {
            match (0..foreign.len()).find(|&column| is_foreign(row, column)) {
                None => kept.push(row as u32),
                Some(column) => {
                    let field = self.relation.schema.field(column);
                    decoded.rejected.push(Undecodable {
                        origin: self.origins[row],
                        rule: "R3".to_owned(),
                        field: Some(field.name().clone()),
                        reason: format!(
                            "the value cannot be said exactly as {}, which the column is read as",
                            field.data_type()
                        ),
                    });
                }
            }
        }
        let fail = |cause| Error::configuration_from("cannot put rows together", cause);
        let mut changes = Changes {
            table: self.relation.table.clone(),
            key: (!self.relation.key.is_empty()).then(|| self.relation.key.clone()),
            rows,
            unset,
            not_carried: Vec::new(),
            before,
            operations: self.operations,
            event_times_ms: self.times,
            origins: self.origins,
            records: records.clone(),
        };
        if kept.len() < changes.len() {
            changes = changes.take(&kept).map_err(fail)?;
        }
        if !changes.is_empty() {
            decoded.changes.push(changes);
        }
        Ok(())
    }

    /// Cells as columns; the masks say which are unset, and which the type cannot say.
    #[expect(clippy::type_complexity, reason = "three columns of one table")]
    fn columns(
        &self,
        cells: &[Cell],
    ) -> Result<(
        RecordBatch,
        Vec<Option<BooleanBuffer>>,
        Vec<Option<BooleanBuffer>>,
    )> {
        let schema = &self.relation.schema;
        let (width, height) = (schema.fields().len(), self.operations.len());
        let (mut columns, mut unset, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        for (column, field) in schema.fields().iter().enumerate() {
            let cell = |row: usize| &cells[row * width + column];
            let values = (0..height).map(|row| match cell(row) {
                Cell::Json(range) => Some(Cow::Borrowed(&self.bytes[range.clone()])),
                Cell::Null | Cell::Unset => None,
            });
            let (array, mask) = read_cells(field, values)?;
            columns.push(array);
            foreign.push(mask);
            let missing =
                BooleanBuffer::collect_bool(height, |row| matches!(cell(row), Cell::Unset));
            unset.push((missing.count_set_bits() > 0).then_some(missing));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(height));
        let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
            .map_err(|cause| Error::configuration_from("cannot put rows together", cause))?;
        Ok((rows, unset, foreign))
    }
}
