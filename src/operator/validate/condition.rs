//! One condition of a rule: a check of a column, or an expression over the row.

use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use syncline_connectors::change::{Changes, Operation};

use super::Rule;
use super::check::{self, Check};
use super::reference::{self, Reference};
use super::suggestion::{Suggestion, suggest};
use super::unique::Unique;
use crate::function::{Expression, Failure};
use crate::lookup::Slot;
use crate::operator::filter::condition;
use crate::operator::scope::{Scope, Values};
use crate::operator::{Memory, problem, unknown};
use crate::problem::Problem;

/// A compiled condition of a rule.
pub(super) struct Condition {
    /// The column that the rule names.
    pub(super) field: Option<String>,
    /// The condition as it is written in the rule.
    pub(super) rule: String,
    /// The reason to report for a row that breaks it.
    pub(super) reason: String,
    test: Test,
}

enum Test {
    Column {
        index: usize,
        check: Check,
    },
    Expression(Expression),
    /// Looks into another table.
    Reference(Reference),
    /// Looks at other rows, too, after all others.
    Unique(Unique),
}

impl Condition {
    /// The rows that break the condition, and those of them for which an expression cannot be
    /// computed. An unset value breaks nothing. `None` where other rows decide ([`Condition::unique`]).
    pub(super) fn broken(
        &self,
        changes: &Changes,
        values: &Values<'_>,
    ) -> Option<(BooleanBuffer, Vec<Failure>)> {
        Some(match &self.test {
            Test::Unique(_) => return None,
            Test::Reference(reference) => (reference.missing(changes), Vec::new()),
            Test::Column { index, check } => {
                let rows = check.broken(changes.rows.column(*index));
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
            Test::Expression(expression) => {
                let known = values.evaluate(expression);
                let answers = known.array.as_boolean();
                let mut failures = known.failures.iter().map(|failure| failure.row).peekable();
                let rows = BooleanBuffer::collect_bool(changes.len(), |row| {
                    let failed = failures.next_if_eq(&row).is_some();
                    failed || (answers.is_valid(row) && !answers.value(row))
                });
                (rows, known.failures)
            }
        })
    }

    /// The test that looks at other rows.
    pub(super) fn unique(&self) -> Option<&Unique> {
        match &self.test {
            Test::Unique(unique) => Some(unique),
            Test::Column { .. } | Test::Expression(_) | Test::Reference(_) => None,
        }
    }

    /// What would mend a value that breaks it.
    pub(super) fn suggestion(&self, column: &str, value: &str) -> Option<Suggestion> {
        match &self.test {
            Test::Column {
                check: Check::Text(holds),
                ..
            } => suggest(column, value, holds),
            _ => None,
        }
    }
}

/// The rows to which a rule with `where` applies.
pub(super) struct Applies {
    expression: Expression,
}

impl Applies {
    /// The rows for which the expression is true, and those for which it cannot be computed.
    pub(super) fn rows(
        &self,
        changes: &Changes,
        values: &Values<'_>,
    ) -> (BooleanBuffer, Vec<Failure>) {
        let known = values.evaluate(&self.expression);
        let answers = known.array.as_boolean();
        let is_true = |row: usize| answers.is_valid(row) && answers.value(row);
        let rows = BooleanBuffer::collect_bool(changes.len(), is_true);
        (rows, known.failures)
    }
}

/// Compiles the `where` of a rule, if it has one. The paths of problems start at the rule.
pub(super) fn compile_where(
    rule: &Rule,
    scope: &Scope,
    problems: &mut Vec<Problem>,
) -> Option<Applies> {
    match condition(scope, rule.r#where.as_deref()?) {
        Ok(expression) => Some(Applies { expression }),
        Err(error) => {
            problems.push(problem(&["where"], *error));
            None
        }
    }
}

/// The conditions of a rule that looks into other tables; each finds its answers in the next of `slots`.
pub(super) fn compile_reference<'s>(
    rule: &Rule,
    schema: &SchemaRef,
    slots: &mut impl Iterator<Item = &'s Slot>,
) -> Vec<Condition> {
    let made = reference::compile(rule, schema, slots).into_iter();
    made.map(|made| Condition {
        field: Some(made.field),
        rule: made.rule,
        reason: made.reason,
        test: Test::Reference(made.reference),
    })
    .collect()
}

/// How many values a rule remembers.
const UNIQUE_WINDOW: usize = 100_000;

/// Compiles all conditions of a rule, which is number so and so. The paths of problems start at the rule.
pub(super) fn compile(
    rule: &Rule,
    schema: &SchemaRef,
    scope: &Scope,
    (number, memory): (usize, &Memory),
    problems: &mut Vec<Problem>,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (path, name) in rule.columns() {
        let Ok(index) = schema.index_of(name) else {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            problems.push(unknown(&path, name, &names));
            continue;
        };
        let of_column = check::compile(rule, schema.field(index), problems);
        conditions.extend(of_column.into_iter().map(|made| Condition {
            field: Some(name.to_owned()),
            rule: made.rule,
            reason: made.reason,
            test: Test::Column {
                index,
                check: made.check,
            },
        }));
        if rule.unique {
            let entries_max = rule.unique_window.unwrap_or(UNIQUE_WINDOW);
            let unique = Unique::new(index, number, conditions.len(), entries_max, memory);
            conditions.push(Condition {
                field: Some(name.to_owned()),
                rule: "unique = true".to_owned(),
                reason: format!("another row has this value of {name}"),
                test: Test::Unique(unique),
            });
        }
    }
    if let Some(text) = &rule.check {
        match condition(scope, text) {
            Ok(expression) => conditions.push(Condition {
                field: rule.field.clone(),
                rule: format!("check = \"{text}\""),
                reason: format!("the check {text} is false"),
                test: Test::Expression(expression),
            }),
            Err(error) => problems.push(problem(&["check"], *error)),
        }
    }
    if let Some(text) = &rule.r#where {
        for condition in &mut conditions {
            condition.rule = format!("{} where {text}", condition.rule);
        }
    }
    conditions
}
