//! What the key of a sink makes of the changes that reach it (R10, R12).
//!
//! Two sinks of one source may have different keys, so that a change is a change of key to one of them and an
//! update to the other. Each sink's changes are therefore looked at by its own key, after the operators:
//!
//! - an update whose row before has another key becomes a delete of the row before and a create of the row
//!   after, from one record. A create that leaves out unchanged values keeps its row before.
//! - a row before in which the key is null, not known or missing says nothing: the update stays one.
//! - a tombstone whose table cannot be said, since it carries no more than its key, is superseded: the delete
//!   before it said which table it was.

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use syncline_connectors::change::{Changes, Image, Operation, take_bits, take_masks};
use syncline_connectors::sql::target::Target;

use crate::plan::SinkPlan;
use crate::run::account::Tally;

/// What a sink says about keys.
pub(crate) struct SinkKeys {
    /// The sink's own key.
    key: Option<Vec<String>>,
    /// The key of changes that name none.
    default_key: Option<Vec<String>>,
    /// The sink's way with conflicts looks at the rows before.
    wants_before: bool,
    /// The template of the target's name; `None` for sinks that are no database.
    table: Option<String>,
}

impl SinkKeys {
    pub(crate) fn of(plan: &SinkPlan) -> Self {
        let options = plan.config.options();
        Self {
            key: options.as_ref().and_then(|options| options.key.clone()),
            default_key: plan.default_key.clone(),
            wants_before: options
                .as_ref()
                .is_some_and(|options| options.conflict.wants_before()),
            table: options.map(|options| options.table),
        }
    }

    /// The changes as the sink takes them; `tally` counts what was added and what was left out.
    pub(crate) fn apply(&self, changes: Changes, tally: &mut Tally) -> Result<Changes, ArrowError> {
        let changes = self.placeable(changes, tally)?;
        let names = match (&self.key, &changes.key) {
            (Some(key), _) => Some(&key[..]),
            (None, Some(_)) => None,
            (None, None) => self.default_key.as_deref(),
        };
        let schema = changes.schema();
        let key: Option<Vec<usize>> = names.and_then(|names| {
            let index = |name: &String| schema.index_of(name).ok();
            names.iter().map(index).collect()
        });
        let moved = match &key {
            Some(key) => changes.changed_keys(key)?,
            None => Vec::new(),
        };
        tally.entered += moved.len() as u64;
        let mut changes = if moved.is_empty() {
            changes
        } else {
            split(&changes, &moved)?
        };
        let keyless = self.table.is_some() && names.is_none() && changes.key.is_none();
        trim_images(&mut changes, self.wants_before || keyless);
        Ok(changes)
    }

    /// Without the tombstones of which nothing says the table.
    fn placeable(&self, changes: Changes, tally: &mut Tally) -> Result<Changes, ArrowError> {
        let Some(template) = &self.table else {
            return Ok(changes);
        };
        if changes.table.schema.is_some() && changes.table.database.is_some()
            || Target::of(template, &changes.table).is_ok()
        {
            return Ok(changes);
        }
        let stays = |&row: &u32| {
            let row = row as usize;
            changes.operations[row] != Operation::Delete || !changes.is_tombstone(row)
        };
        let rows: Vec<u32> = (0..changes.len() as u32).filter(stays).collect();
        let left_out = changes.len() - rows.len();
        if left_out == 0 {
            return Ok(changes);
        }
        tally.superseded += left_out as u64;
        tracing::debug!(
            topic = &*changes.table.topic,
            count = left_out,
            "tombstones without their delete name no table"
        );
        changes.take(&rows)
    }
}

/// Updates at these rows as a delete and a create each.
fn split(changes: &Changes, moved: &[usize]) -> Result<Changes, ArrowError> {
    let Some(before) = &changes.before else {
        return Ok(changes.clone());
    };
    let mut rows: Vec<u32> = Vec::with_capacity(changes.len() + moved.len());
    // Where each row comes from: 0 is the row after, 1 the row before.
    let mut from: Vec<(usize, usize)> = Vec::with_capacity(rows.capacity());
    let mut operations = Vec::with_capacity(rows.capacity());
    let mut next = moved.iter().peekable();
    for row in 0..changes.len() {
        if next.next_if(|&&at| at == row).is_some() {
            rows.push(row as u32);
            from.push((1, row));
            operations.push(Operation::Delete);
            operations.push(Operation::Create);
        } else {
            operations.push(changes.operations[row]);
        }
        rows.push(row as u32);
        from.push((0, row));
    }
    let columns = changes
        .rows
        .columns()
        .iter()
        .zip(before.rows.columns())
        .map(|(after, before)| {
            arrow::compute::interleave(&[after.as_ref() as &dyn Array, before.as_ref()], &from)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let unset: Vec<Option<BooleanBuffer>> = changes
        .unset
        .iter()
        .zip(&before.unset)
        .map(|(after, before)| {
            let sides = [after.as_ref(), before.as_ref()];
            let is_unset =
                |&(side, row): &(usize, usize)| sides[side].is_some_and(|mask| mask.value(row));
            let mask = BooleanBuffer::collect_bool(from.len(), |at| is_unset(&from[at]));
            (mask.count_set_bits() > 0).then_some(mask)
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(from.len()));
    let mut taken = changes.take(&rows)?;
    taken.rows = RecordBatch::try_new_with_options(changes.schema(), columns, &options)?;
    let present = take_bits(&before.present, &rows);
    // The image of a delete is its row.
    let present = BooleanBuffer::collect_bool(from.len(), |at| {
        present.value(at) && operations[at] != Operation::Delete
    });
    taken.before = Some(Image {
        rows: before.take(&rows)?.rows,
        unset: take_masks(&before.unset, &rows),
        present,
    });
    // Of a row before nothing says whether a column was withheld or not carried.
    taken.not_carried = taken
        .not_carried
        .iter()
        .zip(&unset)
        .map(|(not_carried, unset)| {
            let (not_carried, unset) = (not_carried.as_ref()?, unset.as_ref()?);
            let is_after = |at: usize| from[at].0 == 0;
            Some(BooleanBuffer::collect_bool(from.len(), |at| {
                is_after(at) && not_carried.value(at) && unset.value(at)
            }))
        })
        .collect();
    taken.unset = unset;
    taken.operations = operations;
    Ok(taken)
}

/// Leaves out the rows before that nobody looks at: of creates that leave out nothing, and of the others
/// where the sink does not ask for them.
fn trim_images(changes: &mut Changes, wanted: bool) {
    let Some(before) = &mut changes.before else {
        return;
    };
    let (operations, unset) = (&changes.operations, &changes.unset);
    let partial = |row: usize| unset.iter().flatten().any(|mask| mask.value(row));
    before.present = BooleanBuffer::collect_bool(operations.len(), |row| {
        before.present.value(row)
            && match operations[row] {
                Operation::Create => partial(row),
                _ => wanted,
            }
    });
    if before.present.count_set_bits() == 0 {
        changes.before = None;
    }
}
