//! Rows under a new key whose unchanged values the source left out (R10, R14).
//!
//! A change of key is a delete of the old key and a create of the new one. Where that create leaves out
//! values, the row under the old key has them. It carries its old key as its row before
//! ([`crate::change::Image::present`]), and here it is made whole: from its row before, else from the
//! changes of the old key that came before the delete, else from the row that the target holds. That row is
//! read under lock, in the transaction of the write and before anything of it is applied. A whole create is
//! then decided like any other.
//!
//! - the delete has to be in the same write: of one that was written before, the values are gone, and the row
//!   of that key may be another one by now. Such a create stays as it is, and is refused as incomplete.
//! - null: a value that is null under the old key is null
//! - a column that the target does not have is null
//! - duplicate: a create that is whole is left alone

mod values;

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::FieldRef;

use self::values::{Values, fill, fitted, key_texts, known_value};
use crate::change::{Changes, Operation};
use crate::conflict::{ConflictPolicy, Path, TargetRows};
use crate::error::{Error, RejectedChange, Result};
use crate::sink::{Identity, Write};
use crate::sql::Options;
use crate::sql::bulk::{Bulk, Locked, PreparedTable as _, TableWrite};
use crate::sql::decide::Groups;
use crate::sql::failure::Failure;
use crate::sql::plan::ChangeSlice;
use crate::sql::session::SqlSession;
use crate::sql::target::{Target, key_columns};

/// Debezium's header of a delete that a change of key made.
const NEW_KEY: &[u8] = b"\"__debezium.newkey\"";

/// The rows to be made whole.
struct Moves {
    batches: Vec<Batch>,
    questions: Vec<Question>,
}

/// A batch, with the keys of its rows as text.
struct Batch {
    target: Target,
    changes: Changes,
    /// `None` for a truncate.
    keys: Vec<Option<Vec<u8>>>,
}

/// What has to be asked of the target for one batch.
struct Question {
    batch: usize,
    /// Rows of the batch.
    rows: Vec<usize>,
    /// The old keys, as updates in the columns of the batch.
    keys: Changes,
}

/// What the target holds of the keys of a question.
struct Answer {
    held: TargetRows,
    /// Where each key of the question stands in `held`.
    places: Vec<Option<usize>>,
}

/// Whether a row lost values on the way to its new key.
fn is_move(changes: &Changes, row: usize) -> bool {
    let image = changes.before.as_ref();
    changes.operations[row] == Operation::Create
        && image.is_some_and(|image| image.present.value(row))
        && (0..changes.unset.len()).any(|column| changes.is_unset(column, row))
}

impl Moves {
    /// The rows of these batches that are to be made whole.
    ///
    /// # Errors
    /// As [`Target::of`] and [`key_columns`].
    fn find(options: &Options, batches: &[&Changes]) -> Result<Self> {
        let rows = |changes: &Changes| -> Vec<usize> {
            (0..changes.len())
                .filter(|&row| is_move(changes, row))
                .collect()
        };
        let moved: Vec<Vec<usize>> = batches.iter().map(|changes| rows(changes)).collect();
        let mut questions = Vec::new();
        for (batch, rows) in moved.into_iter().enumerate() {
            if let (Some(before), false) = (&batches[batch].before, rows.is_empty()) {
                let indices: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
                let mut keys = batches[batch]
                    .take(&indices)
                    .map_err(Error::configuration)?;
                let image = before.take(&indices).map_err(Error::configuration)?;
                (keys.rows, keys.unset, keys.before) = (image.rows, image.unset, None);
                keys.not_carried = Vec::new();
                keys.operations.fill(Operation::Update);
                questions.push(Question { batch, rows, keys });
            }
        }
        let batch = |changes: &&Changes| {
            Ok(Batch {
                target: Target::of(&options.table, &changes.table)?,
                keys: key_texts(options, changes)?,
                changes: (*changes).clone(),
            })
        };
        Ok(Self {
            batches: batches.iter().map(batch).collect::<Result<_>>()?,
            questions,
        })
    }

    /// The batches with their rows whole, as far as they can be; `answers` to the questions in their order.
    ///
    /// # Errors
    /// `Configuration` where a value cannot be put into its column.
    fn complete(self, options: &Options, answers: &[Answer]) -> Result<Vec<Changes>> {
        let mut whole = Values::new();
        for (question, answer) in self.questions.iter().zip(answers) {
            let old = key_texts(options, &question.keys)?;
            for (index, &row) in question.rows.iter().enumerate() {
                let place = (question.batch, row);
                let Some(old) = &old[index] else { continue };
                let held = answer.places[index].map(|at| (&answer.held, at));
                let values = self.values(&whole, place, old, held)?;
                if let Some(values) = values {
                    whole.insert(place, values);
                }
            }
        }
        let batches = self.batches.into_iter().enumerate();
        batches
            .map(|(number, batch)| fill(batch.changes, number, &whole))
            .collect()
    }

    /// The values that the row at `place` left out, by column; `None` where one of them is not known.
    fn values(
        &self,
        whole: &Values,
        place: (usize, usize),
        old: &[u8],
        held: Option<(&TargetRows, usize)>,
    ) -> Result<Option<HashMap<usize, ArrayRef>>> {
        let changes = &self.batches[place.0].changes;
        let schema = changes.schema();
        let delete = self.delete_of(place, old);
        let mut values = HashMap::new();
        for column in (0..changes.unset.len()).filter(|&column| changes.is_unset(column, place.1)) {
            let field = &schema.fields()[column];
            let image = changes.before.as_ref();
            let known = image.and_then(|image| known_value(image, column, place.1));
            let value = match (known, delete) {
                (Some(value), _) => Some(value),
                (None, Some(delete)) => {
                    self.value_before(whole, delete, place, old, field, held)?
                }
                (None, None) => None,
            };
            let Some(value) = value else { return Ok(None) };
            values.insert(column, value);
        }
        Ok(Some(values))
    }

    /// Where the old key of the row at `place` was deleted for it: the last such delete before it, else
    /// the first after it.
    fn delete_of(&self, place: (usize, usize), old: &[u8]) -> Option<(usize, usize)> {
        let target = &self.batches[place.0].target;
        let origin = self.batches[place.0].changes.origins[place.1];
        let is_it = |&(number, row): &(usize, usize)| {
            let batch = &self.batches[number];
            let changes = &batch.changes;
            let names_new_key = || {
                let headers = changes.records.headers(changes.origins[row] as usize);
                headers.is_some_and(|text| text.windows(NEW_KEY.len()).any(|part| part == NEW_KEY))
            };
            let same_record = number == place.0 && changes.origins[row] == origin;
            batch.target == *target
                && changes.operations[row] == Operation::Delete
                && batch.keys[row].as_deref() == Some(old)
                && (same_record || names_new_key())
        };
        let before = self.places().take_while(|at| at != &place).filter(is_it);
        let mut after = self.places().skip_while(|at| at != &place).filter(is_it);
        before.last().or_else(|| after.next())
    }

    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let batches = self.batches.iter().enumerate();
        batches.flat_map(|(number, batch)| (0..batch.keys.len()).map(move |row| (number, row)))
    }

    /// The value of a column of the old key's row just before its delete.
    fn value_before(
        &self,
        whole: &Values,
        delete: (usize, usize),
        place: (usize, usize),
        old: &[u8],
        field: &FieldRef,
        held: Option<(&TargetRows, usize)>,
    ) -> Result<Option<ArrayRef>> {
        let target = &self.batches[place.0].target;
        let earlier: Vec<_> = self.places().take_while(|at| *at != delete).collect();
        for (number, row) in earlier.into_iter().rev() {
            let batch = &self.batches[number];
            if batch.target != *target {
                continue;
            }
            let changes = &batch.changes;
            match &batch.keys[row] {
                Some(key) if key == old => {}
                Some(_) => continue,
                // A truncate: there was no row.
                None if changes.operations[row] == Operation::Truncate => return Ok(None),
                None => continue,
            }
            if changes.operations[row] == Operation::Delete {
                return Ok(None);
            }
            let Ok(column) = changes.schema().index_of(field.name()) else {
                continue;
            };
            if !changes.is_unset(column, row) {
                return fitted(&changes.rows.column(column).slice(row, 1), field);
            }
            if let Some(values) = whole.get(&(number, row)) {
                return values
                    .get(&column)
                    .map_or(Ok(None), |value| fitted(value, field));
            }
            if is_move(changes, row) {
                return Ok(None);
            }
        }
        let Some((held, at)) = held.filter(|(held, at)| held.exists.value(*at)) else {
            return Ok(None);
        };
        let Ok(column) = held.rows.schema().index_of(field.name()) else {
            // The target has no such column.
            return Ok(Some(new_null_array(field.data_type(), 1)));
        };
        let foreign = held.foreign[column].as_ref();
        if foreign.is_some_and(|foreign| foreign.value(at)) {
            return Ok(None);
        }
        fitted(&held.rows.column(column).slice(at, 1), field)
    }
}

impl Question {
    /// What the target holds of the keys, which were grouped to `groups`.
    fn answer(&self, groups: &Groups, held: TargetRows) -> Answer {
        let mut places = vec![None; self.rows.len()];
        for key in 0..groups.len() {
            let rows = (0..).map_while(|number| groups.change(key, number));
            rows.for_each(|row| places[row as usize] = Some(key));
        }
        Answer { held, places }
    }
}

/// Whether rows have to be made whole first. Their tables are then prepared, where that is done before
/// the transaction of a write begins.
///
/// # Errors
/// As [`SqlSession::prepare`].
pub(crate) async fn prepare<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    slices: &[ChangeSlice],
) -> Result<bool, Failure> {
    let batches: Vec<&Changes> = slices.iter().map(|slice| &slice.changes).collect();
    if !batches
        .iter()
        .any(|changes| (0..changes.len()).any(|row| is_move(changes, row)))
    {
        return Ok(false);
    }
    for changes in batches.into_iter().filter(|_| !C::PREPARES_INSIDE) {
        let target = Target::of(&options.table, &changes.table)?;
        if let Some(changes) = typed(session, options, &target, changes).await? {
            let key = key_columns(options, &changes)?;
            session.prepare(options, &target, &changes, &key).await?;
        }
    }
    Ok(true)
}

/// The changes with the target's types for columns that no schema declares (R19), those among them that
/// no change carries: a column that only ever was unavailable has no type of its own. `None` where some
/// of the changes do not fit, which the plan of the write refuses.
pub(crate) async fn typed<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    target: &Target,
    changes: &Changes,
) -> Result<Option<Changes>, Failure> {
    let whole = Options {
        conflict: ConflictPolicy {
            path: Path::Resolver,
            ..options.conflict.clone()
        },
        ..options.clone()
    };
    let lent = session.lend(&whole, target, changes).await?;
    Ok(match lent {
        None => Some(changes.clone()),
        Some(lent) if lent.rejected.is_empty() => Some(lent.changes),
        Some(_) => None,
    })
}

/// Makes rows whole, in the open transaction.
///
/// # Errors
/// As [`Bulk::lock`].
pub(crate) async fn complete<C: Bulk>(
    session: &mut SqlSession<C>,
    identity: &Identity,
    options: &Options,
    mut slices: Vec<ChangeSlice>,
) -> Result<Vec<ChangeSlice>, Failure> {
    for slice in &mut slices {
        let target = Target::of(&options.table, &slice.changes.table)?;
        match typed(session, options, &target, &slice.changes).await? {
            Some(changes) => slice.changes = changes,
            None => return Ok(slices),
        }
    }
    let batches: Vec<&Changes> = slices.iter().map(|slice| &slice.changes).collect();
    let moves = Moves::find(options, &batches)?;
    let mut answers = Vec::new();
    for question in &moves.questions {
        let target = Target::of(&options.table, &question.keys.table)?;
        let keys = &question.keys;
        let key = key_columns(options, keys)?;
        let table = session.prepare(options, &target, keys, &key).await?;
        let layout = table.layout();
        let placed = layout.place(keys)?;
        let groups = Groups::of(&placed, layout.placed_key, options.delete)?;
        let firsts = placed
            .take(&groups.firsts())
            .map_err(Error::configuration)?;
        let write = TableWrite {
            table: &table,
            options,
            identity,
            has_tombstones: false,
        };
        let Locked { held, .. } = session.connection.lock(&write, &firsts).await?;
        answers.push(question.answer(&groups, held));
    }
    let whole = moves.complete(options, &answers)?;
    for (slice, changes) in slices.iter_mut().zip(whole) {
        slice.changes = changes;
    }
    Ok(slices)
}

/// Says of rows that were refused as incomplete that it was their change of key.
pub(crate) fn explain(write: &Write, error: Error) -> Error {
    let Error::Rejected(rejected) = error else {
        return error;
    };
    let explained = |change: RejectedChange| {
        let batch = &write.changes[change.batch];
        if change.rule.starts_with("R14") && is_move(batch, change.row) {
            RejectedChange {
                reason: "the row has a new key, leaves out values that did not change, and nothing holds them any more: \
                         the target has no row under the key that it had before, or its delete was not written together with it"
                    .to_owned(),
                ..change
            }
        } else {
            change
        }
    };
    Error::Rejected(rejected.into_iter().map(explained).collect())
}
