//! Rows with a value of a kind that an operator cannot take, where no schema declares it (R19).
//!
//! A batch has one kind of each column. Where an operator cannot be compiled for the kinds at hand, but
//! could be without some of the columns, the rows with a value in one of those are rejected. Nulls,
//! columns that are not carried, and truncates pass, as they do beside values of another kind.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use syncline_connectors::change::{Changes, Image, has_no_kind, is_undeclared, without_kind};

use super::{Applied, Operator, OperatorError, Rejection};
use crate::problem::Problem;

/// An operator that refuses rows for `problems`; `None` where it is not the kinds of the `computed`
/// columns that it fails on.
pub(super) fn compile(
    name: &str,
    schema: &SchemaRef,
    computed: &[String],
    problems: &[Problem],
    compile: impl Fn(&SchemaRef) -> Option<Box<dyn Operator>>,
) -> Option<Box<dyn Operator>> {
    let fields = schema.fields();
    let may_fail = |index: &usize| {
        let field = &fields[*index];
        is_undeclared(field) && !has_no_kind(field) && computed.contains(field.name())
    };
    let without = |columns: &[usize]| -> SchemaRef {
        let fields = fields.iter().enumerate();
        let fields = fields.map(|(index, field)| match columns.contains(&index) {
            true => Arc::new(without_kind(field.name())),
            false => field.clone(),
        });
        Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
    };
    let mut columns: Vec<usize> = (0..fields.len()).filter(may_fail).collect();
    let mut inner = compile(&without(&columns))?;
    // As few of them as it takes.
    for column in columns.clone() {
        let fewer: Vec<usize> = columns
            .iter()
            .copied()
            .filter(|&other| other != column)
            .collect();
        if let Some(compiled) = compile(&without(&fewer)) {
            (columns, inner) = (fewer, compiled);
        }
    }
    let reasons: Vec<&str> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    Some(Box::new(Refuse {
        rule: format!("operator {name}"),
        reason: format!(
            "the value is of another kind than the operator takes: {}",
            reasons.join("; ")
        ),
        schema: without(&columns),
        columns,
        inner,
    }))
}

struct Refuse {
    rule: String,
    reason: String,
    inner: Box<dyn Operator>,
    /// The columns whose values are refused.
    columns: Vec<usize>,
    /// What `inner` takes: nulls in those columns.
    schema: SchemaRef,
}

impl Refuse {
    fn without_values(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = rows.columns().iter().enumerate();
        let columns = columns
            .map(|(index, column)| match self.columns.contains(&index) {
                true => new_null_array(self.schema.field(index).data_type(), rows.num_rows()),
                false => column.clone(),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
    }
}

impl Operator for Refuse {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let stop = |error| OperatorError::Stop(format!("cannot take rows: {error}"));
        let fields = changes.schema();
        let refused = |row: usize| {
            let mut columns = self.columns.iter();
            columns.find(|&&column| changes.rows.column(column).is_valid(row))
        };
        let rejected: Vec<Rejection> = (0..changes.len())
            .filter_map(|row| Some((row, *refused(row)?)))
            .map(|(row, column)| Rejection {
                origin: changes.origins[row],
                rule: self.rule.clone(),
                field: Some(fields.field(column).name().clone()),
                reason: self.reason.clone(),
                detail: None,
            })
            .collect();
        let passes = BooleanBuffer::collect_bool(changes.len(), |row| refused(row).is_none());
        let passed = changes
            .filter(&BooleanArray::new(passes, None))
            .map_err(stop)?;
        let before = match &passed.before {
            Some(image) => {
                let mut unset = image.unset.clone();
                for &column in &self.columns {
                    unset[column] = Some(image.present.clone());
                }
                Some(Image {
                    rows: self.without_values(&image.rows).map_err(stop)?,
                    unset,
                    present: image.present.clone(),
                })
            }
            None => None,
        };
        let passed = Changes {
            rows: self.without_values(&passed.rows).map_err(stop)?,
            before,
            ..passed
        };
        let mut applied = self.inner.apply(passed)?;
        applied.rejected.extend(rejected);
        Ok(applied)
    }
}
