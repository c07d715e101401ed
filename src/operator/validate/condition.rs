//! One condition of a rule: a check of a column, or an expression over the row.

use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use syncline_connectors::change::{Changes, Operation};

use super::Rule;
use super::check::{self, ColumnCondition};
use crate::function::{Expression, Failure};
use crate::operator::filter::condition;
use crate::operator::scope::{Scope, Values};
use crate::operator::{problem, unknown};
use crate::problem::Problem;

/// A compiled condition of a rule.
pub(super) enum Condition {
    Column {
        index: usize,
        condition: ColumnCondition,
    },
    Expression {
        expression: Expression,
        rule: String,
        reason: String,
    },
}

impl Condition {
    /// The condition as it is written in the rule.
    pub(super) fn rule(&self) -> &str {
        match self {
            Self::Column { condition, .. } => &condition.rule,
            Self::Expression { rule, .. } => rule,
        }
    }

    /// The reason to report for a row that breaks it.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Column { condition, .. } => &condition.reason,
            Self::Expression { reason, .. } => reason,
        }
    }

    /// The rows that break the condition, and those of them for which an expression cannot be
    /// computed. An unset value breaks nothing.
    pub(super) fn broken(
        &self,
        changes: &Changes,
        values: &Values<'_>,
    ) -> (BooleanBuffer, Vec<Failure>) {
        match self {
            Self::Column { index, condition } => {
                let rows = condition.check.broken(changes.rows.column(*index));
                // What an insert does not carry is null.
                let unknown = match (&changes.unset[*index], changes.not_carried.get(*index)) {
                    (Some(unset), Some(Some(not_carried))) => {
                        let is_insert = |row: usize| {
                            let operation = changes.operations[row];
                            not_carried.value(row)
                                && matches!(operation, Operation::Create | Operation::Read)
                        };
                        let nulls = BooleanBuffer::collect_bool(changes.len(), is_insert);
                        Some(unset & &!&nulls)
                    }
                    (unset, _) => unset.clone(),
                };
                match unknown {
                    Some(unknown) => (&rows & &!&unknown, Vec::new()),
                    None => (rows, Vec::new()),
                }
            }
            Self::Expression { expression, .. } => {
                let known = values.evaluate(expression);
                let answers = known.array.as_boolean();
                let mut failures = known.failures.iter().map(|failure| failure.row).peekable();
                let rows = BooleanBuffer::collect_bool(changes.len(), |row| {
                    let failed = failures.next_if_eq(&row).is_some();
                    failed || (answers.is_valid(row) && !answers.value(row))
                });
                (rows, known.failures)
            }
        }
    }
}

/// Compiles all conditions of a rule. The paths of problems start at the rule.
pub(super) fn compile(
    rule: &Rule,
    schema: &SchemaRef,
    scope: &Scope,
    problems: &mut Vec<Problem>,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if let Some(name) = &rule.field {
        match schema.index_of(name) {
            Ok(index) => {
                let of_column = check::compile(rule, schema.field(index), problems);
                conditions.extend(
                    of_column
                        .into_iter()
                        .map(|condition| Condition::Column { index, condition }),
                );
            }
            Err(_) => {
                let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                problems.push(unknown(&["field"], name, &names));
            }
        }
    }
    if let Some(text) = &rule.check {
        match condition(scope, text) {
            Ok(expression) => conditions.push(Condition::Expression {
                expression,
                rule: format!("check = \"{text}\""),
                reason: format!("the check {text} is false"),
            }),
            Err(error) => problems.push(problem(&["check"], *error)),
        }
    }
    conditions
}
