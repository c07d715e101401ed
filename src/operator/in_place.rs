//! Replaces the values of columns where they stand: what `normalize` and `mask` share.
//!
//! - Operation, key names, origin and order stay. The rows before are changed by the same kernels.
//! - A value that is not sent stays so (R14, R19), and a truncate passes.
//! - A value that a kernel refuses costs its own row, or becomes null, as its rule says. A row before with
//!   such a value is not known from there on.
//! - A delete is refused for a value of its key only. Any other value of it that is refused is not sent from
//!   there on: to lose a delete is worse than to know less of its row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Field, Schema, SchemaRef};
use syncline_connectors::change::{Changes, Image, Operation};

use super::{Applied, Compiled, Operator, OperatorError, Rejection, remaining, unknown};
use crate::function::Failure;
use crate::problem::Problem;

/// A rule for one column or several.
pub(super) trait ColumnRule {
    /// The columns that it names, each with the path of its name below the rule.
    fn columns(&self) -> Vec<(Vec<String>, &str)>;

    /// The problems that need no schema. Their paths start at the rule.
    fn check_shape(&self) -> Vec<Problem>;
}

/// Compiles rules one after another, each for what those before it leave of its column; `steps` compiles
/// one for a column, `none` is the problem of an operator without rules.
pub(super) fn compile<R: ColumnRule>(
    name: &str,
    schema: &SchemaRef,
    rules: &[R],
    none: Problem,
    steps: impl Fn(&R, usize, &Field) -> Result<Vec<Step>, String>,
) -> Compiled {
    let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    let (mut compiled, mut problems) = (Vec::new(), Vec::new());
    problems.extend(rules.is_empty().then_some(none));
    for (index, rule) in rules.iter().enumerate() {
        let mut found = rule.check_shape();
        for (path, column_name) in rule.columns() {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let Ok(column) = schema.index_of(column_name) else {
                let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
                found.push(unknown(&path, column_name, &names));
                continue;
            };
            if !found.is_empty() {
                continue;
            }
            match steps(rule, column, &fields[column]) {
                Ok(steps) => {
                    for step in steps {
                        fields[column] = step.kernel.field(&fields[column]);
                        compiled.push(step);
                    }
                }
                Err(message) => found.push(Problem::new(&path, message)),
            }
        }
        let at_rule = ["rules", &index.to_string()];
        problems.extend(found.into_iter().map(|problem| problem.under(&at_rule)));
    }
    match problems.is_empty() {
        true => Ok(Box::new(InPlace::new(name, schema, compiled))),
        false => Err(problems),
    }
}

/// The problems of rules that need no schema.
pub(super) fn check<R: ColumnRule>(rules: &[R], none: Problem) -> Vec<Problem> {
    let mut problems: Vec<Problem> = rules.is_empty().then_some(none).into_iter().collect();
    for (index, rule) in rules.iter().enumerate() {
        let at_rule = ["rules", &index.to_string()];
        let found = rule.check_shape().into_iter();
        problems.extend(found.map(|problem| problem.under(&at_rule)));
    }
    problems
}

/// Computes a column from a column.
pub(super) trait Kernel: Send {
    /// The column that comes out of `field`.
    fn field(&self, field: &Field) -> Field;

    /// A value for each one; null where there is none, with the rows that are refused, ascending.
    fn apply(&self, values: &ArrayRef) -> (ArrayRef, Vec<Failure>);
}

/// A kernel for one column.
pub(super) struct Step {
    pub(super) column: usize,
    pub(super) kernel: Box<dyn Kernel>,
    /// The rule as it is written, for a row that it refuses.
    pub(super) rule: String,
    /// Whether a value that it refuses becomes null instead.
    pub(super) or_null: bool,
    /// Whether values that name different rows still do.
    pub(super) keeps_keys_apart: bool,
}

/// An operator that applies steps one after another.
pub(super) struct InPlace {
    name: String,
    steps: Vec<Step>,
    schema: SchemaRef,
}

impl InPlace {
    /// Of steps that were compiled for `schema`, each for what the steps before it leave of its column.
    pub(super) fn new(name: &str, schema: &SchemaRef, steps: Vec<Step>) -> Self {
        let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        for step in &steps {
            fields[step.column] = step.kernel.field(&fields[step.column]);
        }
        Self {
            name: name.to_owned(),
            steps,
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// The rows with their new values; `failed` is told of every value that a step refuses.
    fn rows<'s>(
        &'s self,
        rows: &RecordBatch,
        mut failed: impl FnMut(&'s Step, &Failure),
    ) -> Result<RecordBatch, OperatorError> {
        let mut columns = rows.columns().to_vec();
        for step in &self.steps {
            let (values, failures) = step.kernel.apply(&columns[step.column]);
            columns[step.column] = values;
            if !step.or_null {
                failures.iter().for_each(|failure| failed(step, failure));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| OperatorError::Stop(format!("the rows cannot be built: {error}")))
    }
}

impl Operator for InPlace {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let mut rejected: BTreeMap<usize, Rejection> = BTreeMap::new();
        // Of deletes: the column and row of each value that is not sent from here on.
        let mut not_sent: Vec<(usize, usize)> = Vec::new();
        let is_key = |column: usize| {
            let name = self.schema.field(column).name();
            changes.key.as_ref().is_some_and(|key| key.contains(name))
        };
        let mut steps = self.steps.iter();
        if let Some(step) = steps.find(|step| !step.keeps_keys_apart && is_key(step.column)) {
            return Err(OperatorError::Stop(format!(
                "operator {} makes values of the key column {} alike, so that rows would fall together: leave the column out, or mask it by hmac",
                self.name,
                self.schema.field(step.column).name(),
            )));
        }
        let rows = self.rows(&changes.rows, |step, failure| {
            let row = failure.row;
            if changes.operations[row] == Operation::Delete && !is_key(step.column) {
                not_sent.push((step.column, row));
                return;
            }
            rejected.entry(row).or_insert_with(|| Rejection {
                origin: changes.origins[row],
                rule: step.rule.clone(),
                field: Some(self.schema.field(step.column).name().clone()),
                reason: failure.reason.to_owned(),
                detail: None,
            });
        })?;
        let before = match &changes.before {
            Some(image) => self.image(image)?,
            None => None,
        };
        let mut unset = changes.unset.clone();
        for (column, row) in not_sent {
            let known = unset[column].take();
            unset[column] = Some(BooleanBuffer::collect_bool(changes.len(), |at| {
                at == row || known.as_ref().is_some_and(|mask| mask.value(at))
            }));
        }
        let changed = Changes {
            rows,
            unset,
            before,
            ..changes
        };
        let is_rejected = |row: usize| rejected.contains_key(&row);
        Ok(Applied {
            changes: remaining(changed, is_rejected, rejected.len())?,
            rejected: rejected.into_values().collect(),
            filtered: 0,
            warned: 0,
            added: 0,
        })
    }
}

impl InPlace {
    fn image(&self, image: &Image) -> Result<Option<Image>, OperatorError> {
        let mut unknown = vec![false; image.rows.num_rows()];
        let rows = self.rows(&image.rows, |_, failure| unknown[failure.row] = true)?;
        if !unknown.contains(&true) {
            return Ok(Some(Image {
                rows,
                unset: image.unset.clone(),
                present: image.present.clone(),
            }));
        }
        let known: Vec<u32> = (0..unknown.len()).map(|row| row as u32).collect();
        let present = BooleanBuffer::collect_bool(known.len(), |row| {
            image.present.value(row) && !unknown[row]
        });
        if present.count_set_bits() == 0 {
            return Ok(None);
        }
        // Where there is no image, nothing of it is known.
        let indices: arrow::array::UInt32Array = known
            .iter()
            .map(|&row| present.value(row as usize).then_some(row))
            .collect();
        let columns = rows
            .columns()
            .iter()
            .map(|column| arrow::compute::take(column, &indices, None))
            .collect::<Result<Vec<_>, _>>();
        let built = columns.and_then(|columns| RecordBatch::try_new(rows.schema(), columns));
        let rows = built.map_err(|error| {
            OperatorError::Stop(format!("the rows before cannot be built: {error}"))
        })?;
        let unset = image.unset.iter().map(|mask| {
            let mask = mask.as_ref()? & &present;
            (mask.count_set_bits() > 0).then_some(mask)
        });
        Ok(Some(Image {
            unset: unset.collect(),
            rows,
            present,
        }))
    }
}
