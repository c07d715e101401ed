//! `filter`: drops the changes whose condition is not true.
//!
//! The condition looks at changes, not at rows of the target. If an update makes the condition
//! false for a row that passed earlier, the update is dropped and the target keeps the old row.
//!
//! - False and null drop the change; it is counted as filtered.
//! - A truncate passes, because it has no row.
//! - For a delete, the condition sees the deleted row. If the result depends on a column that the
//!   source did not send (R14), the delete passes: deleting a missing row is harmless, losing a
//!   delete is not.
//! - An insert or update whose result depends on an unavailable value (R14) is rejected, and so is an
//!   update whose result depends on a column that it does not carry (R19), because neither result
//!   would be safe. A column that an insert does not carry is null. But if a part of the condition,
//!   joined by `and`, is known to be false, the change is dropped.
//! - A row for which the condition cannot be computed is rejected.

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::{DataType, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, Operation};

use super::scope::{Known, Scope, Values};
use super::{
    Applied, Compiled, Context, Operator, OperatorError, Rejection, Settings, is_set, problem,
};
use crate::function::{self, Clock, Expression, type_name};
use crate::problem::Problem;

/// Passes the changes for which a condition is true; the others are dropped and counted as
/// filtered.
///
/// ```toml
/// [operators.active]
/// type   = "filter"
/// inputs = ["crm"]
/// where  = "status <> 'draft' and _op <> 'r'"
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// The names of the sources or operators whose changes the filter gets.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The condition, an SQL expression that gives true or false.
    pub r#where: String,
}

impl Settings for FilterConfig {
    fn compile(&self, _: &str, schema: &SchemaRef, context: &Context) -> Compiled {
        compile(self, schema, context.clock.clone())
    }

    fn check(&self) -> Vec<Problem> {
        check_without_schema(self)
    }

    fn computed_columns(&self) -> Vec<String> {
        computed_columns(self)
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        required_columns(self, wanted)
    }

    fn column_behind(&self, output: &str) -> Option<String> {
        Some(output.to_owned())
    }
}

#[derive(Debug)]
struct Filter {
    scope: Scope,
    schema: SchemaRef,
    condition: Expression,
    /// The parts that the condition joins by `and`, for rows with unset columns.
    parts: Vec<Expression>,
    rule: String,
}

fn compile(config: &FilterConfig, schema: &SchemaRef, clock: Clock) -> Compiled {
    let scope = Scope::new(schema, clock);
    let at_where = |error: Box<function::ExpressionError>| vec![problem(&["where"], *error)];
    let condition = condition(&scope, &config.r#where).map_err(at_where)?;
    let parts = function::conjuncts(&config.r#where)
        .map_err(at_where)?
        .iter()
        .map(|part| scope.compile(part))
        .collect::<Result<_, _>>()
        .map_err(at_where)?;
    Ok(Box::new(Filter {
        rule: format!("where = \"{}\"", config.r#where),
        schema: schema.clone(),
        scope,
        condition,
        parts,
    }))
}

/// Compiles an expression that must give true or false.
pub(super) fn condition(
    scope: &Scope,
    text: &str,
) -> Result<Expression, Box<function::ExpressionError>> {
    let compiled = scope.compile(text)?;
    if *compiled.data_type() == DataType::Boolean {
        return Ok(compiled);
    }
    Err(Box::new(function::ExpressionError {
        span: 0..text.len(),
        message: format!(
            "expected a condition, found {}",
            type_name(compiled.data_type())
        ),
        help: Some("compare it with something, as in status = 'open'".to_owned()),
    }))
}

fn check_without_schema(config: &FilterConfig) -> Vec<Problem> {
    match function::references(&config.r#where) {
        Ok(_) => Vec::new(),
        Err(error) => vec![problem(&["where"], *error)],
    }
}

fn computed_columns(config: &FilterConfig) -> Vec<String> {
    function::references(&config.r#where).unwrap_or_default()
}

fn required_columns(config: &FilterConfig, wanted: Option<&[String]>) -> Option<Vec<String>> {
    let mut required = wanted?.to_vec();
    required.extend(function::references(&config.r#where).ok()?);
    Some(required)
}

impl Operator for Filter {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let values = self.scope.enter(&changes);
        let known = values.evaluate(&self.condition);
        let mut rejected = Vec::new();
        let mask = if known.unset.is_none() && known.failures.is_empty() {
            known.array.as_boolean().clone()
        } else {
            self.decide(&changes, &values, &known, &mut rejected)
        };
        let passed = changes
            .filter(&mask)
            .map_err(|error| OperatorError::Stop(format!("filter cannot take rows: {error}")))?;
        Ok(Applied {
            filtered: (changes.len() - passed.len() - rejected.len()) as u64,
            changes: passed,
            rejected,
            warned: 0,
            added: 0,
        })
    }
}

impl Filter {
    /// Decides row by row if something is unset or failed; returns the rows that pass.
    fn decide(
        &self,
        changes: &Changes,
        values: &Values<'_>,
        known: &Known,
        rejected: &mut Vec<Rejection>,
    ) -> BooleanArray {
        let parts: Vec<Known> = match known.unset {
            Some(_) => self
                .parts
                .iter()
                .map(|part| values.evaluate(part))
                .collect(),
            None => Vec::new(),
        };
        let holds = |known: &Known, row: usize| {
            let answers = known.array.as_boolean();
            answers.is_valid(row) && answers.value(row)
        };
        let mut failures = known.failures.iter().peekable();
        (0..changes.len())
            .map(|row| {
                let failure = failures.next_if(|failure| failure.row == row);
                let reason = match (changes.operations[row], failure) {
                    (Operation::Truncate, _) => return true,
                    (_, Some(failure)) => failure.reason,
                    (_, None) if !is_set(&known.unset, row) => return holds(known, row),
                    (operation, None) => {
                        let fails = |part: &Known| {
                            let failed = part.failures.iter().any(|failure| failure.row == row);
                            !is_set(&part.unset, row) && !failed && !holds(part, row)
                        };
                        if parts.iter().any(fails) {
                            return false;
                        }
                        if operation == Operation::Delete {
                            return true;
                        }
                        "the condition depends on a column that the source did not send"
                    }
                };
                rejected.push(Rejection {
                    origin: changes.origins[row],
                    rule: self.rule.clone(),
                    field: None,
                    reason: reason.to_owned(),
                    detail: None,
                });
                false
            })
            .map(Some)
            .collect()
    }
}

#[cfg(test)]
mod tests;
