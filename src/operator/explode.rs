//! `explode`: one row for each element of an array.
//!
//! The rows have the columns of their parent, the element, and its position from 1 on; the position joins the
//! key. The array is a list, or a JSON column that holds an array.
//!
//! - insert: one insert an element. A null or an empty array gives no row, and is counted as filtered.
//! - update: with its row before, an element at a position that was there is an update, a further one is an
//!   insert, and a position that is no longer there is a delete. An update that brings no row before cannot
//!   say which positions went: it is rejected, or its elements are written and nothing is deleted
//!   (`without_before = "keep"`). Sources send rows before where a pipeline explodes.
//! - an update that does not carry the array (R14, R19) takes it from its row before, else it is rejected.
//! - delete: one delete an element of the row that it carries. A delete that carries only its key is rejected:
//!   it cannot say which rows there were.
//! - truncate: passes.
//! - A value that is no array costs its own row.
//!
//! Each element counts as a change of its own (R17).

mod rows;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{
    Changes, Logical, Operation, has_no_kind, is_undeclared, undeclared,
};

use self::rows::{Elements, Out};
use super::{
    Applied, Compiled, Context, Operator, OperatorError, Rejection, Settings, is_set, unknown,
};
use crate::function::type_name;
use crate::problem::Problem;

/// Makes one row of each element of an array.
///
/// ```toml
/// [operators.lines]
/// type     = "explode"
/// inputs   = ["invoices"]
/// field    = "lines"
/// into     = "line"
/// position = "line_number"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplodeConfig {
    /// The names of the sources or operators whose changes come in.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The column with the array: a list, or a JSON array.
    pub field: String,
    /// The column of the element. Default: the name of `field`, which it replaces in any case.
    pub into: Option<String>,
    /// The column of the element's position, from 1 on. It joins the key.
    #[serde(default = "position")]
    pub position: String,
    /// What happens to an update that brings no row before, so that nobody knows which elements went.
    #[serde(default)]
    pub without_before: WithoutBefore,
}

fn position() -> String {
    "position".to_owned()
}

/// What happens to an update that brings no row before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithoutBefore {
    /// It goes to the quarantine.
    #[default]
    Quarantine,
    /// Its elements are written, and rows of elements that went stay.
    Keep,
}

impl Settings for ExplodeConfig {
    fn compile(&self, name: &str, schema: &SchemaRef, _: &Context) -> Compiled {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let Ok(column) = schema.index_of(&self.field) else {
            return Err(vec![unknown(&["field"], &self.field, &names)]);
        };
        let mut problems = Vec::new();
        let into = self.into.as_ref().unwrap_or(&self.field);
        for (setting, new) in [("into", into), ("position", &self.position)] {
            if *new != self.field && names.contains(&new.as_str())
                || setting == "position" && new == into
            {
                let message = format!("there is a column {new} already");
                problems.push(Problem::new(&[setting], message).help("choose another name"));
            }
        }
        let field = schema.field(column);
        let is_text = field.data_type().is_string();
        let element = match field.data_type() {
            DataType::List(element) => Field::new(into, element.data_type().clone(), true),
            _ if is_text && (Logical::of(field) == Some(Logical::Json) || is_undeclared(field)) => {
                match is_undeclared(field) {
                    true => undeclared(Field::new(into, DataType::Utf8, true)),
                    false => Logical::Json.field(into),
                }
            }
            data_type => {
                let message = format!("{} is {}, not an array", self.field, type_name(data_type));
                problems.push(Problem::new(&["field"], message));
                return Err(problems);
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        fields[column] = element;
        fields.push(Field::new(&self.position, DataType::Int32, true));
        Ok(Box::new(Explode {
            rule: format!("operator {name}"),
            field: self.field.clone(),
            column,
            no_kind: has_no_kind(field),
            position: self.position.clone(),
            without_before: self.without_before,
            schema: Arc::new(Schema::new(fields)),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn computed_columns(&self) -> Vec<String> {
        vec![self.field.clone()]
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        let into = self.into.as_ref().unwrap_or(&self.field);
        let mut required = wanted?.to_vec();
        required.retain(|name| *name != self.position && name != into);
        required.push(self.field.clone());
        Some(required)
    }

    fn column_behind(&self, output: &str) -> Option<String> {
        let into = self.into.as_ref().unwrap_or(&self.field);
        (output != self.position && output != into).then(|| output.to_owned())
    }
}

struct Explode {
    rule: String,
    field: String,
    column: usize,
    /// Whether no value of the column is at hand.
    no_kind: bool,
    position: String,
    without_before: WithoutBefore,
    schema: SchemaRef,
}

impl Explode {
    /// What becomes of a change; an error is the reason why it is refused.
    fn explode(
        &self,
        changes: &Changes,
        row: usize,
        after: &Elements,
        before: Option<&Elements>,
        outs: &mut Vec<Out>,
    ) -> Result<(), &'static str> {
        let operation = changes.operations[row];
        let push = |outs: &mut Vec<Out>, operation, from_before, element, before, index: usize| {
            outs.push(Out {
                row,
                operation,
                from_before,
                element,
                before,
                position: i32::try_from(index + 1).unwrap_or(i32::MAX),
            });
        };
        let is_unset = changes.is_unset(self.column, row);
        let image = changes
            .before
            .as_ref()
            .filter(|image| image.present.value(row) && !is_set(&image.unset[self.column], row));
        let known_before = match (image, before) {
            (Some(_), Some(before)) => Some(before.of[row].clone()?),
            _ => None,
        };
        match operation {
            Operation::Truncate => {
                push(outs, operation, false, None, None, 0);
                Ok(())
            }
            Operation::Create | Operation::Read => {
                let elements = if is_unset {
                    0..0
                } else {
                    after.of[row].clone()?
                };
                for (index, element) in elements.enumerate() {
                    push(outs, operation, false, Some((false, element)), None, index);
                }
                Ok(())
            }
            Operation::Delete => {
                let (elements, from_before) = match (is_unset, &known_before) {
                    (false, _) => (after.of[row].clone()?, false),
                    (true, Some(elements)) => (elements.clone(), true),
                    (true, None) => {
                        return Err(
                            "the delete carries only its key, so that nobody knows which rows it means: let the source send whole rows before (REPLICA IDENTITY FULL)",
                        );
                    }
                };
                let mut old = known_before.into_iter().flatten();
                for (index, element) in elements.enumerate() {
                    push(
                        outs,
                        operation,
                        false,
                        Some((from_before, element)),
                        old.next(),
                        index,
                    );
                }
                Ok(())
            }
            Operation::Update => {
                let elements: Vec<(bool, usize)> = match (is_unset, &known_before) {
                    (false, _) => after.of[row]
                        .clone()?
                        .map(|element| (false, element))
                        .collect(),
                    (true, Some(elements)) => {
                        elements.clone().map(|element| (true, element)).collect()
                    }
                    (true, None) => return Err("the update does not carry the array"),
                };
                let old: Vec<usize> = match (known_before, self.without_before) {
                    (Some(elements), _) => elements.collect(),
                    (None, WithoutBefore::Keep) => Vec::new(),
                    (None, WithoutBefore::Quarantine) => {
                        return Err(
                            "the update brings no row before, so that nobody knows which elements went: let the source send whole rows before (REPLICA IDENTITY FULL), or write without_before = \"keep\"",
                        );
                    }
                };
                let keeps = self.without_before == WithoutBefore::Keep;
                for (index, &element) in elements.iter().enumerate() {
                    let was = old.get(index).copied();
                    let operation = match was.is_some() || (keeps && image.is_none()) {
                        true => Operation::Update,
                        false => Operation::Create,
                    };
                    push(outs, operation, false, Some(element), was, index);
                }
                for (index, &element) in old.iter().enumerate().skip(elements.len()) {
                    push(
                        outs,
                        Operation::Delete,
                        true,
                        Some((true, element)),
                        Some(element),
                        index,
                    );
                }
                Ok(())
            }
        }
    }
}

impl Operator for Explode {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let stop = |error| OperatorError::Stop(format!("explode cannot build its rows: {error}"));
        let after = Elements::of(changes.rows.column(self.column), self.no_kind).map_err(stop)?;
        let before = match &changes.before {
            Some(image) => {
                let elements = Elements::of(image.rows.column(self.column), self.no_kind);
                Some(elements.map_err(stop)?)
            }
            None => None,
        };
        let mut outs = Vec::with_capacity(changes.len());
        let mut rejected = Vec::new();
        let (mut filtered, mut added) = (0, 0);
        for row in 0..changes.len() {
            let first = outs.len();
            match self.explode(&changes, row, &after, before.as_ref(), &mut outs) {
                Ok(()) if outs.len() == first => filtered += 1,
                Ok(()) => added += (outs.len() - first - 1) as u64,
                Err(reason) => {
                    outs.truncate(first);
                    rejected.push(Rejection {
                        origin: changes.origins[row],
                        rule: self.rule.clone(),
                        field: Some(self.field.clone()),
                        reason: reason.to_owned(),
                        detail: None,
                    });
                }
            }
        }
        let exploded = self
            .build(&changes, &outs, &after, before.as_ref())
            .map_err(stop)?;
        Ok(Applied {
            changes: exploded,
            rejected,
            filtered,
            added,
            warned: 0,
        })
    }
}

#[cfg(test)]
mod tests;
