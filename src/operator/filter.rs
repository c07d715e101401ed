//! `filter`: drops the changes for which a condition does not hold.
//!
//! It looks at changes, not at rows of the target: a row that once passed and is updated so that it
//! no longer does stays in the target as it was.
//!
//! - False and null drop the change; it is counted as filtered.
//! - A truncate passes: it has no row to ask.
//! - A delete is asked about its image. Where the answer depends on what the source did not send
//!   (R14), the delete passes: deleting a missing row is harmless, losing a delete is not.
//! - An insert or update whose answer depends on a value that is unavailable (R14) is rejected, and so is
//!   an update whose answer depends on a column that it does not carry (R19): neither answer would be
//!   safe. A column that an insert does not carry is null. A part of the condition, joined by `and`, that is known not to hold drops
//!   either.
//! - A row for which the condition cannot be computed is rejected.

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::{DataType, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, Operation};

use super::scope::{Known, Scope, Values};
use super::{Applied, Compiled, Operator, OperatorError, Rejection, is_set, problem};
use crate::function::{self, Clock, Expression, type_name};
use crate::problem::Problem;

/// What it does, in one line.
pub const SUMMARY: &str = "lets a change pass where a condition is true";

/// Lets a change pass where a condition is true.
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
    /// The sources or operators whose changes come in.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The condition, an SQL expression that is true or false.
    pub r#where: String,
}

#[derive(Debug)]
struct Filter {
    scope: Scope,
    schema: SchemaRef,
    condition: Expression,
    /// The parts that the condition joins by `and`, for rows of which not all is known.
    parts: Vec<Expression>,
    rule: String,
}

pub(super) fn compile(config: &FilterConfig, schema: &SchemaRef, clock: Clock) -> Compiled {
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

/// Compiles a text that must be true or false.
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

pub(super) fn check_without_schema(config: &FilterConfig) -> Vec<Problem> {
    match function::references(&config.r#where) {
        Ok(_) => Vec::new(),
        Err(error) => vec![problem(&["where"], *error)],
    }
}

pub(super) fn computed_columns(config: &FilterConfig) -> Vec<String> {
    function::references(&config.r#where).unwrap_or_default()
}

pub(super) fn required_columns(
    config: &FilterConfig,
    wanted: Option<&[String]>,
) -> Option<Vec<String>> {
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
        })
    }
}

impl Filter {
    /// Decides row by row where something is not known or failed; gives the rows that pass.
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
                });
                false
            })
            .map(Some)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::testing::{
        changes, changes_with_before, show_applied, show_before, show_problems,
    };
    use super::super::{OperatorConfig, check_without_schema, compile, required_columns};

    fn config(condition: &str) -> OperatorConfig {
        let text = format!("where = '''{condition}'''");
        OperatorConfig::Filter(toml::from_str(&text).expect("parses"))
    }

    fn check(condition: &str, expect: Expect) {
        let changes = changes();
        let mut filter = match compile("active", &config(condition), &changes.schema()) {
            Ok(filter) => filter,
            Err(problems) => panic!("{condition}: {problems:?}"),
        };
        let count = changes.len();
        let applied = filter.apply(changes).expect("goes on");
        expect.assert_eq(&show_applied(count, &applied));
    }

    #[test]
    fn rows_before_go_with_their_changes_unseen() {
        let changes = changes_with_before();
        let mut filter = compile("only", &config("id in (2, 4)"), &changes.schema()).expect("ok");
        let applied = filter.apply(changes).expect("goes on");
        expect![[r#"
            1 u | 1 |  A@x.Org | open | 10.50 | {"a":1}
            3 d | 2 | b@y | draft | -1.00 | ?
            4 none
        "#]]
        .assert_eq(&show_before(&applied.changes));
    }

    #[test]
    fn a_change_passes_where_the_condition_is_true() {
        check(
            "balance > 5",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 2 warned 0
        "#]],
        );
        check(
            "_op in ('c', 'u')",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            t | ? | ? | ? | ? | ?
            filtered 3 warned 0
        "#]],
        );
        check(
            "true",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 0 warned 0
        "#]],
        );
        check(
            "email like '%x%'",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            filtered 2 warned 0
        "#]],
        );
    }

    #[test]
    fn r14_an_unknown_answer_passes_a_delete_and_rejects_an_update() {
        check(
            "notes is null",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 1 None where = "notes is null": the condition depends on a column that the source did not send
            filtered 2 warned 0
        "#]],
        );
        check(
            "status = 'open' and notes = '{}'",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 3 warned 0
        "#]],
        );
        check(
            "_op <> 'd' and status = 'open'",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 3 warned 0
        "#]],
        );
    }

    #[test]
    fn a_row_that_cannot_be_asked_is_rejected() {
        check(
            "10 / (id - 5) < 0",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 5 None where = "10 / (id - 5) < 0": division by zero
            filtered 0 warned 0
        "#]],
        );
    }

    #[test]
    fn a_wrong_condition_is_told() {
        let check = |condition: &str, expect: Expect| {
            let Err(problems) = compile("active", &config(condition), &changes().schema()) else {
                panic!("{condition} compiles");
            };
            expect.assert_eq(&show_problems(&problems));
        };
        check(
            "status",
            expect![[r#"
            where 0..6: expected a condition, found text (compare it with something, as in status = 'open')
        "#]],
        );
        check(
            "stauts = 'x'",
            expect![[r#"
            where 0..6: no column stauts (did you mean status?)
        "#]],
        );
        let problems = check_without_schema(&config("a = = b"));
        expect![[r#"
            where 4..5: expected an expression, found =
        "#]]
        .assert_eq(&show_problems(&problems));
    }

    #[test]
    fn what_it_asks_about_is_decoded() {
        let wanted = ["id".to_owned()];
        let required = required_columns(&config("id = 1 or status = 'x'"), Some(&wanted));
        assert_eq!(required, Some(vec!["id".to_owned(), "status".to_owned()]));
        assert_eq!(required_columns(&config("id = 1"), None), None);
    }
}
