//! The column `_warnings`: what a row broke that goes on all the same, as a JSON list.
//!
//! Each warning is an object with `rule`, `field` and `reason`. The column is null where there is none; one
//! that comes in from another operator keeps its warnings. A `map` can keep it under another name, and what
//! is left of it does not reach the sink.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Schema, SchemaRef};
use serde_json::{Value as Json, json};
use syncline_connectors::change::{Changes, Image, Logical, Operation};

use super::breach::Breach;
use super::{OnFailure, Validate};
use crate::operator::{OperatorError, WARNINGS};

/// The schema with the column.
pub(super) fn with_column(schema: &SchemaRef) -> SchemaRef {
    if schema.index_of(WARNINGS).is_ok() {
        return schema.clone();
    }
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Logical::Json.field(WARNINGS)));
    Arc::new(Schema::new(fields))
}

impl Validate {
    /// The changes with what was broken by rules that only warn.
    pub(super) fn tell(
        &self,
        changes: Changes,
        breaches: &[Breach],
    ) -> Result<Changes, OperatorError> {
        let known = changes.rows.column_by_name(WARNINGS).cloned();
        let known = known.filter(|known| known.data_type().is_string());
        let mut told: Vec<Option<Vec<Json>>> = vec![None; changes.len()];
        for breach in breaches {
            let rule = &self.rules[breach.rule];
            if rule.on_failure != OnFailure::Warn || !rule.is_told {
                continue;
            }
            let condition = &rule.conditions[breach.condition];
            let reason = rule.message.as_ref().unwrap_or(&condition.reason);
            let warning = json!({
                "rule": condition.rule,
                "field": condition.field,
                "reason": reason,
            });
            for row in breach.rows.set_indices() {
                told[row].get_or_insert_default().push(warning.clone());
            }
        }
        let texts = told.into_iter().enumerate().map(|(row, new)| {
            let known = known.as_ref().map(|known| known.as_string::<i32>());
            let known = known
                .filter(|known| known.is_valid(row))
                .map(|known| known.value(row));
            match (known, new) {
                (None, None) => None,
                (Some(known), None) => Some(known.to_owned()),
                (known, Some(mut new)) => {
                    let earlier = known.and_then(|known| serde_json::from_str(known).ok());
                    let mut all: Vec<Json> = earlier.unwrap_or_default();
                    all.append(&mut new);
                    Some(Json::Array(all).to_string())
                }
            }
        });
        let column: ArrayRef = Arc::new(texts.collect::<StringArray>());
        self.with_warnings(changes, column)
            .map_err(|error| OperatorError::Stop(format!("the warnings cannot be added: {error}")))
    }

    fn with_warnings(
        &self,
        changes: Changes,
        column: ArrayRef,
    ) -> Result<Changes, arrow::error::ArrowError> {
        let mut columns = changes.rows.columns().to_vec();
        if let Ok(index) = changes.rows.schema_ref().index_of(WARNINGS) {
            columns[index] = column;
            let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
            return Ok(Changes { rows, ..changes });
        }
        let data_type = column.data_type().clone();
        columns.push(column);
        let before = match changes.before {
            None => None,
            Some(before) => {
                let mut columns = before.rows.columns().to_vec();
                columns.push(new_null_array(&data_type, before.rows.num_rows()));
                let mut unset = before.unset;
                unset.push(Some(before.present.clone()));
                Some(Image {
                    rows: RecordBatch::try_new(self.schema.clone(), columns)?,
                    unset,
                    present: before.present,
                })
            }
        };
        // A delete and a truncate write no row that could have warnings.
        let is_gone = |row: usize| {
            matches!(
                changes.operations[row],
                Operation::Delete | Operation::Truncate
            )
        };
        let gone = BooleanBuffer::collect_bool(changes.operations.len(), is_gone);
        let mut unset = changes.unset;
        unset.push((gone.count_set_bits() > 0).then_some(gone));
        let mut not_carried = changes.not_carried;
        if !not_carried.is_empty() {
            not_carried.push(None);
        }
        Ok(Changes {
            rows: RecordBatch::try_new(self.schema.clone(), columns)?,
            unset,
            not_carried,
            before,
            ..changes
        })
    }
}
