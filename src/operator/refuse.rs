//! Rows whose values are of a kind that an operator cannot take, where no schema declares it (R19).
//!
//! All rows of a batch have values of the same kinds. They are rejected; a truncate has no values and
//! passes. The same operator takes rows of other kinds.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use syncline_connectors::change::{Changes, Operation, is_undeclared};

use super::{Applied, Operator, OperatorError, Rejection};
use crate::problem::Problem;

/// The schema with nothing but nulls in the undeclared columns; `None` where there is none with values.
pub(super) fn without_values(schema: &SchemaRef) -> Option<SchemaRef> {
    let has_values = |field: &Field| is_undeclared(field) && *field.data_type() != DataType::Null;
    if !schema.fields().iter().any(|field| has_values(field)) {
        return None;
    }
    let fields = schema
        .fields()
        .iter()
        .map(|field| match is_undeclared(field) {
            true => Arc::new(field.as_ref().clone().with_data_type(DataType::Null)),
            false => field.clone(),
        });
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// An operator that refuses all rows for `problems`; `inner` is the same for rows of `nothing`.
pub(super) fn refuse(
    name: &str,
    inner: Box<dyn Operator>,
    nothing: SchemaRef,
    problems: &[Problem],
) -> Box<dyn Operator> {
    let reasons: Vec<&str> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    Box::new(Refuse {
        rule: format!("operator {name}"),
        reason: format!(
            "the values of this row are of another kind than the operator takes: {}",
            reasons.join("; ")
        ),
        inner,
        nothing,
    })
}

struct Refuse {
    rule: String,
    reason: String,
    inner: Box<dyn Operator>,
    nothing: SchemaRef,
}

impl Operator for Refuse {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let stop = |error| OperatorError::Stop(format!("cannot take rows: {error}"));
        let truncates: BooleanArray = changes
            .operations
            .iter()
            .map(|operation| Some(*operation == Operation::Truncate))
            .collect();
        let rejected = changes.operations.iter().zip(&changes.origins);
        let rejected = rejected
            .filter(|(operation, _)| **operation != Operation::Truncate)
            .map(|(_, &origin)| Rejection {
                origin,
                rule: self.rule.clone(),
                field: None,
                reason: self.reason.clone(),
            })
            .collect();
        let passed = changes.filter(&truncates).map_err(stop)?;
        let columns = self.nothing.fields().iter().zip(passed.rows.columns());
        let columns = columns
            .map(|(field, column)| match is_undeclared(field) {
                true => new_null_array(field.data_type(), passed.len()),
                false => column.clone(),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(passed.len()));
        let rows = RecordBatch::try_new_with_options(self.nothing.clone(), columns, &options);
        let passed = Changes {
            rows: rows.map_err(stop)?,
            before: None,
            ..passed
        };
        let applied = self.inner.apply(passed)?;
        Ok(Applied {
            rejected,
            ..applied
        })
    }
}
