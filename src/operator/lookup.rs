//! `lookup`: adds columns of a row that is found in a table or a query.
//!
//! The keys of a batch are asked for together, before the operator sees it: one request for those that the
//! cache of the lookup does not hold ([`crate::lookup`]). Rows keep their order, their key, their operation and
//! their place at the source.
//!
//! - insert, read, update: the columns are those of the row that is found when the batch goes through. A row
//!   of the table that changes later changes nothing that went through before.
//! - A null in a column of `on` asks for nothing: the added columns are null, whatever `on_missing` says.
//! - No row: `on_missing`. Several rows: the change is rejected, since none of them is meant.
//! - An update that does not bring a column of `on` (R14, R19) does not bring the added columns either: the
//!   target keeps its own.
//! - delete, truncate: pass without a request; the added columns are not carried.
//! - The row before is not looked up: its added columns are not known.
//! - A value of the table that its column's type cannot say exactly rejects the change (R3).
//! - An outage of the database rejects nothing: the lane waits and asks again.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Field, Schema, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, Image, Operation, has_no_kind, is_undeclared};
use syncline_connectors::sql::lookup::{Outcome, outcome, read_columns};

use super::literal::Texts;
use super::{
    Applied, Compiled, Context, Operator, OperatorError, Rejection, Settings, is_set, remaining,
    unknown,
};
use crate::function::type_name;
use crate::lookup::{Question, Slot, Types};
use crate::problem::Problem;

/// Adds columns of a row that is found in a table of `[lookups.NAME]` by columns of the row that comes in.
///
/// ```toml
/// [operators.enrich]
/// type       = "lookup"
/// inputs     = ["matters"]
/// lookup     = "clients"
/// on         = { client_id = "id" }
/// columns    = { client_name = "name", client_city = "city" }
/// on_missing = "reject"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupConfig {
    /// The names of the sources or operators whose changes come in.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The name of the `[lookups.NAME]`.
    pub lookup: String,
    /// The columns that the row is found by: of the row that comes in, each with the column of the table
    /// that has the same value. `{ client_id = "id" }`.
    pub on: Texts,
    /// The columns that are added, each with the column of the table that it takes its value from.
    /// `{ client_name = "name" }`.
    pub columns: Texts,
    /// What happens to a change for which there is no row.
    #[serde(default)]
    pub on_missing: OnMissing,
}

/// What happens to a change for which there is no row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// It goes on, and the added columns are null.
    #[default]
    Null,
    /// It goes to the quarantine.
    Reject,
    /// It is dropped and counted as filtered.
    Drop,
}

impl LookupConfig {
    /// What is looked up.
    pub(super) fn question(&self) -> Question {
        let pair = |(left, right): (&str, &str)| (left.to_owned(), right.to_owned());
        Question {
            lookup: self.lookup.clone(),
            on: self.on.iter().map(pair).collect(),
            columns: self
                .columns
                .iter()
                .map(|(_, column)| column.to_owned())
                .collect(),
        }
    }
}

struct Lookup {
    config: LookupConfig,
    /// The first column of the key, for what is rejected.
    field: Option<String>,
    /// The indices of the columns of `on`.
    on: Vec<usize>,
    types: Arc<Types>,
    slot: Slot,
    schema: SchemaRef,
}

impl Settings for LookupConfig {
    fn compile(&self, _: &str, schema: &SchemaRef, context: &Context) -> Compiled {
        let mut problems = self.check();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        for (new, _) in self.columns.iter() {
            if names.contains(&new) {
                let message = format!("there is a column {new} already");
                problems.push(Problem::new(&["columns", new], message).help("choose another name"));
            }
        }
        let slot = context.slots.first().cloned().unwrap_or_default();
        let types = slot.types();
        let mut on = Vec::new();
        for (place, (name, _)) in self.on.iter().enumerate() {
            let Ok(index) = schema.index_of(name) else {
                problems.push(unknown(&["on", name], name, &names));
                continue;
            };
            on.push(index);
            let field = schema.field(index);
            let key = types.as_ref().and_then(|types| types.key.get(place));
            if let Some(key) = key
                && !has_no_kind(field)
                && !is_undeclared(field)
                && !key.takes(field.data_type())
            {
                let message = format!(
                    "{name} is {}, which is never equal to {} of the table, which is {}",
                    type_name(field.data_type()),
                    key.field.name(),
                    type_name(key.field.data_type())
                );
                problems.push(Problem::new(&["on", name], message));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let types = types.unwrap_or_else(|| {
            Arc::new(Types {
                key: Vec::new(),
                columns: Vec::new(),
            })
        });
        let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        let added = self.columns.iter().zip(&types.columns);
        fields.extend(
            added.map(|((new, _), field)| field.clone().with_name(new).with_nullable(true)),
        );
        Ok(Box::new(Lookup {
            field: self.on.iter().next().map(|(name, _)| name.to_owned()),
            config: self.clone(),
            on,
            types,
            slot,
            schema: Arc::new(Schema::new(fields)),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.on.iter().next().is_none() {
            let help = "say which columns have the same value, as in on = { client_id = \"id\" }";
            problems.push(Problem::new(&["on"], "nothing says how a row is found").help(help));
        }
        if self.columns.iter().next().is_none() {
            let help = "name what is added, as in columns = { client_name = \"name\" }; whether a row \
                        is there is a rule of `validate`: reference = { lookup = \"clients\" }";
            problems.push(Problem::new(&["columns"], "no column is added").help(help));
        }
        problems
    }

    fn computed_columns(&self) -> Vec<String> {
        self.on.iter().map(|(name, _)| name.to_owned()).collect()
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        let mut required = wanted?.to_vec();
        required.retain(|name| self.columns.iter().all(|(new, _)| new != name));
        required.extend(self.computed_columns());
        Some(required)
    }

    fn column_behind(&self, output: &str) -> Option<String> {
        let added = self.columns.iter().any(|(new, _)| new == output);
        (!added).then(|| output.to_owned())
    }
}

impl Operator for Lookup {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let answers = self.slot.take();
        let found = answers.of(&changes);
        let mut rows: Vec<Option<&[u8]>> = vec![None; changes.len()];
        let mut gone = vec![false; changes.len()];
        let (mut rejected, mut filtered) = (Vec::new(), 0);
        for (row, answer) in found.iter().enumerate() {
            let Some(answer) = answer else { continue };
            let reason = match outcome(answer) {
                Outcome::Row(values) => {
                    rows[row] = Some(values);
                    continue;
                }
                Outcome::Several => {
                    "several rows have this key, so that none of them is meant: look \
                                     up by columns that tell the rows apart"
                }
                Outcome::Missing => match self.config.on_missing {
                    OnMissing::Null => continue,
                    OnMissing::Drop => {
                        gone[row] = true;
                        filtered += 1;
                        continue;
                    }
                    OnMissing::Reject => "no row has this key",
                },
            };
            gone[row] = true;
            rejected.push(self.rejection(&changes, row, self.field.clone(), reason.to_owned()));
        }
        let stop = |error: &dyn std::fmt::Display| {
            OperatorError::Stop(format!("lookup cannot build its rows: {error}"))
        };
        let read =
            read_columns(&self.types.columns, &rows).map_err(|error| stop(&error.chain()))?;
        for ((_, unfit), (new, _)) in read.iter().zip(self.config.columns.iter()) {
            for row in unfit.iter().flat_map(|unfit| unfit.set_indices()) {
                if !std::mem::replace(&mut gone[row], true) {
                    let reason = format!(
                        "the value of {new} cannot be said exactly in the type of its column"
                    );
                    rejected.push(self.rejection(&changes, row, Some(new.to_owned()), reason));
                }
            }
        }
        let width = changes.rows.num_columns();
        let mut columns = changes.rows.columns().to_vec();
        columns.extend(read.into_iter().map(|(column, _)| column));
        let added = columns.len() - width;
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| stop(&error))?;
        let [unset, not_carried] = self.masks(&changes);
        let mut enriched = Changes {
            rows: batch,
            before: None,
            ..changes.clone()
        };
        enriched.unset.extend(vec![unset; added]);
        enriched.not_carried.resize(width, None);
        enriched.not_carried.extend(vec![not_carried; added]);
        enriched.before = match &changes.before {
            Some(image) => Some(self.image(image).map_err(|error| stop(&error))?),
            None => None,
        };
        let gone_count = rejected.len() + filtered as usize;
        rejected.sort_by_key(|rejection| rejection.origin);
        Ok(Applied {
            changes: remaining(enriched, |row| gone[row], gone_count)?,
            rejected,
            filtered,
            warned: 0,
            added: 0,
        })
    }
}

impl Lookup {
    fn rejection(
        &self,
        changes: &Changes,
        row: usize,
        field: Option<String>,
        reason: String,
    ) -> Rejection {
        Rejection {
            origin: changes.origins[row],
            rule: format!("lookup = \"{}\"", self.config.lookup),
            field,
            reason,
            detail: None,
        }
    }

    /// The rows in which the added columns are not sent, and those in which they are not carried.
    fn masks(&self, changes: &Changes) -> [Option<BooleanBuffer>; 2] {
        let is_unset = |row: usize| match changes.operations[row] {
            Operation::Delete | Operation::Truncate => true,
            Operation::Update => self.on.iter().any(|&column| changes.is_unset(column, row)),
            // What an insert does not carry is null.
            Operation::Create | Operation::Read => self.is_unavailable(changes, row),
        };
        let is_not_carried = |row: usize| {
            is_unset(row)
                && (changes.operations[row] == Operation::Delete
                    || !self.is_unavailable(changes, row))
        };
        let mask = |is_in: &dyn Fn(usize) -> bool| {
            let mask = BooleanBuffer::collect_bool(changes.len(), is_in);
            (mask.count_set_bits() > 0).then_some(mask)
        };
        [mask(&is_unset), mask(&is_not_carried)]
    }

    /// Whether the source withheld a value of `on` (R14).
    fn is_unavailable(&self, changes: &Changes, row: usize) -> bool {
        self.on.iter().any(|&column| {
            let not_carried = changes.not_carried.get(column).cloned().flatten();
            changes.is_unset(column, row) && !is_set(&not_carried, row)
        })
    }

    /// The rows before, of which the added columns are not known.
    fn image(&self, image: &Image) -> Result<Image, arrow::error::ArrowError> {
        let rows = image.rows.num_rows();
        let mut columns = image.rows.columns().to_vec();
        let mut unset = image.unset.clone();
        for field in &self.schema.fields()[columns.len()..] {
            columns.push(new_null_array(field.data_type(), rows));
            unset.push(Some(BooleanBuffer::new_set(rows)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Image {
            rows: RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?,
            unset,
            present: image.present.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
