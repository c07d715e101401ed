//! A part of a rule: something that a column is held to, or a condition over the row.

use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use syncline_connectors::change::{Changes, Operation};

use super::Rule;
use super::check::{self, Stated};
use crate::function::{Expression, Failure};
use crate::operator::filter::condition;
use crate::operator::scope::{Scope, Values};
use crate::operator::{problem, unknown};
use crate::problem::Problem;

/// A rule's part that is compiled: something that a column is held to, or a condition.
pub(super) enum Part {
    Column {
        index: usize,
        stated: Stated,
    },
    Condition {
        expression: Expression,
        rule: String,
        reason: String,
    },
}

impl Part {
    /// As it is written in the rule.
    pub(super) fn rule(&self) -> &str {
        match self {
            Self::Column { stated, .. } => &stated.rule,
            Self::Condition { rule, .. } => rule,
        }
    }

    /// What is wrong with a row that breaks it.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Column { stated, .. } => &stated.reason,
            Self::Condition { reason, .. } => reason,
        }
    }

    /// The rows that break a part, and those for which a condition cannot be computed, which are among
    /// them. A value that the source did not send breaks nothing.
    pub(super) fn broken(
        &self,
        changes: &Changes,
        values: &Values<'_>,
    ) -> (BooleanBuffer, Vec<Failure>) {
        match self {
            Self::Column { index, stated } => {
                let rows = stated.check.broken(changes.rows.column(*index));
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
            Self::Condition { expression, .. } => {
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

/// Compiles all parts of a rule. The paths of problems begin at the rule.
pub(super) fn compile(
    rule: &Rule,
    schema: &SchemaRef,
    scope: &Scope,
    problems: &mut Vec<Problem>,
) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(name) = &rule.field {
        match schema.index_of(name) {
            Ok(index) => {
                let stated = check::compile(rule, schema.field(index), problems);
                parts.extend(
                    stated
                        .into_iter()
                        .map(|stated| Part::Column { index, stated }),
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
            Ok(expression) => parts.push(Part::Condition {
                expression,
                rule: format!("check = \"{text}\""),
                reason: format!("the check {text} does not hold"),
            }),
            Err(error) => problems.push(problem(&["check"], *error)),
        }
    }
    parts
}
