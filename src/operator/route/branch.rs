//! One output of a `route`: takes the rows that are marked for it, and deletes those that moved away.

use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use syncline_connectors::change::{Changes, Operation};

use super::{BranchConfig, OUTPUTS_MAX, ROUTE};
use crate::operator::{Applied, Compiled, Context, Operator, OperatorError, Settings, is_set};
use crate::problem::Problem;

impl Settings for BranchConfig {
    fn compile(&self, name: &str, schema: &SchemaRef, _: &Context) -> Compiled {
        let Ok(marks) = schema.index_of(ROUTE) else {
            return Err(vec![Problem::new(
                &[],
                format!("{name} reads rows that no route marked"),
            )]);
        };
        let kept: Vec<usize> = (0..schema.fields().len())
            .filter(|&index| index != marks)
            .collect();
        match schema.project(&kept) {
            Ok(schema) => Ok(Box::new(Branch {
                schema: Arc::new(schema),
                marks,
                kept,
                output: self.output,
            })),
            Err(error) => Err(vec![Problem::new(&[], error.to_string())]),
        }
    }

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn computed_columns(&self) -> Vec<String> {
        Vec::new()
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        wanted.map(<[String]>::to_vec)
    }

    fn column_behind(&self, output: &str) -> Option<String> {
        Some(output.to_owned())
    }
}

struct Branch {
    schema: SchemaRef,
    marks: usize,
    kept: Vec<usize>,
    output: usize,
}

impl Operator for Branch {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let stop = |error| OperatorError::Stop(format!("cannot take rows: {error}"));
        let marks = changes.rows.column(self.marks).as_primitive::<UInt64Type>();
        let bit = |row: usize, shift: usize| marks.value(row) >> (self.output + shift) & 1 == 1;
        let comes =
            BooleanBuffer::collect_bool(changes.len(), |row| bit(row, 0) || bit(row, OUTPUTS_MAX));
        let leaves: Vec<bool> = comes.set_indices().map(|row| !bit(row, 0)).collect();
        let passed = changes
            .filter(&BooleanArray::new(comes, None))
            .and_then(|passed| passed.project(&self.kept))
            .map_err(stop)?;
        let filtered = (changes.len() - passed.len()) as u64;
        let passed = match leaves.contains(&true) {
            true => with_deletes(passed, &leaves).map_err(stop)?,
            false => passed,
        };
        Ok(Applied {
            changes: passed,
            rejected: Vec::new(),
            filtered,
            warned: 0,
            added: 0,
        })
    }
}

/// The changes with the rows that leave as deletes of their rows before.
fn with_deletes(changes: Changes, leaves: &[bool]) -> Result<Changes, ArrowError> {
    let Some(image) = &changes.before else {
        return Ok(changes);
    };
    let indices: Vec<(usize, usize)> = leaves
        .iter()
        .enumerate()
        .map(|(row, &leaves)| (usize::from(leaves), row))
        .collect();
    let columns = changes.rows.columns().iter().zip(image.rows.columns());
    let columns = columns
        .map(|(after, before)| {
            arrow::compute::interleave(&[after.as_ref(), before.as_ref()], &indices)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let masks = |masks: &[Option<BooleanBuffer>], images: &[Option<BooleanBuffer>]| {
        let columns = 0..changes.rows.num_columns();
        let mask = |column: usize| {
            let (after, before) = (masks.get(column)?, images.get(column)?);
            if after.is_none() && before.is_none() {
                return None;
            }
            Some(BooleanBuffer::collect_bool(leaves.len(), |row| {
                is_set(if leaves[row] { before } else { after }, row)
            }))
        };
        columns.map(mask).collect::<Vec<_>>()
    };
    let none = vec![None; changes.rows.num_columns()];
    let operations = changes.operations.iter().zip(leaves);
    let operations = operations.map(|(&operation, &leaves)| match leaves {
        true => Operation::Delete,
        false => operation,
    });
    Ok(Changes {
        rows: RecordBatch::try_new(changes.rows.schema(), columns)?,
        unset: masks(&changes.unset, &image.unset),
        not_carried: match changes.not_carried.is_empty() {
            true => Vec::new(),
            false => masks(&changes.not_carried, &none),
        },
        operations: operations.collect(),
        ..changes
    })
}
