//! `validate`: checks rows against rules.
//!
//! - Every rule checks every row. A row that breaks several rules is reported once, with all
//!   reasons. The most severe action of these rules applies: stop, then quarantine, drop, warn.
//! - A null passes every rule but `required`; a `check` that gives null passes.
//! - Deletes and truncates are not validated, because they write no row.
//! - An unset value (R14) passes, because the target keeps its own value.
//! - A rule with `where` applies to the rows for which that expression is true. Where it depends on an
//!   unset value, the rule does not apply; where it cannot be computed, the row breaks the rule.
//! - Bounds are compared exactly, in the column's own type.

use std::collections::BTreeMap;

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, Operation};

use super::scope::Scope;
use super::{Applied, Compiled, Operator, OperatorError, Rejection, problem, remaining};
use crate::function::{self, Clock, Failure};
use crate::problem::Problem;

mod bound;
mod check;
mod condition;
mod format;
mod length;
mod rule;

use condition::{Applies, Condition};
pub use rule::{Format, Length, LengthBounds, OnFailure, Rule, ValueType};

/// The summary for `syncline list`.
pub const SUMMARY: &str = "checks rows against rules; a row that breaks one is quarantined";

/// Checks rows against rules; a row that breaks one is quarantined, or treated as `on_failure`
/// says.
///
/// ```toml
/// [operators.check]
/// type       = "validate"
/// inputs     = ["tidy"]
/// on_failure = "quarantine"
/// rules = [
///   { field = "email",   format = "email" },
///   { field = "balance", min = 0 },
///   { check = "balance < 1000000", message = "balance over the firm's limit" },
/// ]
/// ```
///
/// ```toml
/// [operators.complete]
/// type   = "validate"
/// inputs = ["check"]
/// rules = [
///   { fields = ["name", "city", "country"], required = true, where = "status <> 'draft'" },
///   { field = "website", format = "hostname", on_failure = "warn" },
/// ]
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateConfig {
    /// The names of the sources or operators whose changes are validated.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// What happens to a row that breaks a rule, if the rule has no `on_failure` of its own.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The rules; a row is checked against all of them.
    pub rules: Vec<Rule>,
}

struct CompiledRule {
    conditions: Vec<Condition>,
    /// The rows that the rule is about; all of them if absent.
    applies: Option<Applies>,
    message: Option<String>,
    on_failure: OnFailure,
    /// Whether a warning of the rule was already logged; later warnings are only counted.
    logged: bool,
}

struct Validate {
    name: String,
    scope: Scope,
    schema: SchemaRef,
    rules: Vec<CompiledRule>,
}

pub(super) fn compile(
    name: &str,
    config: &ValidateConfig,
    schema: &SchemaRef,
    clock: Clock,
) -> Compiled {
    let scope = Scope::new(schema, clock);
    let mut problems = check_shape(config);
    let mut rules = Vec::new();
    for (index, rule) in config.rules.iter().enumerate() {
        let mut found = Vec::new();
        let conditions = condition::compile(rule, schema, &scope, &mut found);
        let applies = condition::compile_where(rule, &scope, &mut found);
        let at_rule = ["rules", &index.to_string()];
        problems.extend(found.into_iter().map(|problem| problem.under(&at_rule)));
        rules.push(CompiledRule {
            conditions,
            applies,
            message: rule.message.clone(),
            on_failure: rule.on_failure.unwrap_or(config.on_failure),
            logged: false,
        });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Box::new(Validate {
        name: name.to_owned(),
        scope,
        schema: schema.clone(),
        rules,
    }))
}

/// The problems that need no schema, without those of expressions.
fn check_shape(config: &ValidateConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.rules.is_empty() {
        problems.push(
            Problem::new(&["rules"], "there are no rules")
                .help("add one, as in { field = \"email\", format = \"email\" }"),
        );
    }
    for (index, rule) in config.rules.iter().enumerate() {
        let found = rule::check_shape(rule);
        let at_rule = ["rules", &index.to_string()];
        problems.extend(found.into_iter().map(|problem| problem.under(&at_rule)));
    }
    problems
}

pub(super) fn check_without_schema(config: &ValidateConfig) -> Vec<Problem> {
    let mut problems = check_shape(config);
    for (index, rule) in config.rules.iter().enumerate() {
        for (setting, text) in rule.expressions() {
            if let Err(error) = function::references(text) {
                problems.push(problem(&["rules", &index.to_string(), setting], *error));
            }
        }
    }
    problems
}

pub(super) fn computed_columns(config: &ValidateConfig) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for rule in &config.rules {
        names.extend(rule.columns().into_iter().map(|(_, name)| name.to_owned()));
        for (_, text) in rule.expressions() {
            names.extend(function::references(text).unwrap_or_default());
        }
    }
    names
}

pub(super) fn required_columns(
    config: &ValidateConfig,
    wanted: Option<&[String]>,
) -> Option<Vec<String>> {
    let mut required = wanted?.to_vec();
    for rule in &config.rules {
        required.extend(rule.columns().into_iter().map(|(_, name)| name.to_owned()));
        for (_, text) in rule.expressions() {
            required.extend(function::references(text).ok()?);
        }
    }
    Some(required)
}

/// A condition of a rule, with the rows that break it.
struct Breach {
    /// The index of the rule, and of the condition within it.
    rule: usize,
    condition: usize,
    rows: BooleanBuffer,
    /// The rows for which an expression cannot be computed.
    failures: Vec<Failure>,
    /// Whether it is the `where` of the rule that cannot be computed.
    of_where: bool,
}

/// The action for a row, and the breaches that lead to it.
struct Verdict {
    on_failure: OnFailure,
    breaches: Vec<usize>,
}

impl Operator for Validate {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let breaches = self.breaches(&changes);
        let verdicts = self.verdicts(&breaches);
        let mut rejected = Vec::new();
        let (mut filtered, mut warned) = (0, 0);
        for (&row, verdict) in &verdicts {
            match verdict.on_failure {
                OnFailure::Warn => {
                    warned += 1;
                    self.log_once(verdict, &breaches);
                }
                OnFailure::Drop => filtered += 1,
                OnFailure::Quarantine => {
                    rejected.push(self.rejection(row, &changes, verdict, &breaches));
                }
                OnFailure::Stop => {
                    let rejection = self.rejection(row, &changes, verdict, &breaches);
                    let origin = rejection.origin as usize;
                    return Err(OperatorError::Stop(format!(
                        "operator {} stops at {} offset {}: {} ({}): correct the row at its source, or \
                         set another on_failure",
                        self.name,
                        changes.records.partition(origin).partition,
                        changes.records.entries[origin].offset,
                        rejection.reason,
                        rejection.rule,
                    )));
                }
            }
        }
        let is_gone = |row: usize| {
            verdicts
                .get(&row)
                .is_some_and(|verdict| verdict.on_failure != OnFailure::Warn)
        };
        let gone = rejected.len() + filtered as usize;
        Ok(Applied {
            changes: remaining(changes, is_gone, gone)?,
            rejected,
            filtered,
            warned,
        })
    }
}

impl Validate {
    /// Every condition that a row breaks, in the order of the rules.
    fn breaches(&self, changes: &Changes) -> Vec<Breach> {
        let values = self.scope.enter(changes);
        let has_row_after = |row: usize| {
            !matches!(
                changes.operations[row],
                Operation::Delete | Operation::Truncate
            )
        };
        let all_have = (0..changes.len()).all(has_row_after);
        let validated =
            (!all_have).then(|| BooleanBuffer::collect_bool(changes.len(), has_row_after));

        let mut breaches = Vec::new();
        for (rule_index, rule) in self.rules.iter().enumerate() {
            let mut checked = validated.clone();
            if let Some(applies) = &rule.applies {
                let (rows, mut failures) = applies.rows(changes, &values);
                failures.retain(|failure| has_row_after(failure.row));
                if !failures.is_empty() && !rule.conditions.is_empty() {
                    let mut failed = failures.iter().map(|failure| failure.row).peekable();
                    breaches.push(Breach {
                        rule: rule_index,
                        condition: 0,
                        rows: BooleanBuffer::collect_bool(changes.len(), |row| {
                            failed.next_if_eq(&row).is_some()
                        }),
                        failures,
                        of_where: true,
                    });
                }
                checked = Some(match checked {
                    Some(checked) => &checked & &rows,
                    None => rows,
                });
            }
            for (condition_index, condition) in rule.conditions.iter().enumerate() {
                let (mut rows, failures) = condition.broken(changes, &values);
                if let Some(checked) = &checked {
                    rows = &rows & checked;
                }
                if rows.count_set_bits() > 0 {
                    breaches.push(Breach {
                        rule: rule_index,
                        condition: condition_index,
                        rows,
                        failures,
                        of_where: false,
                    });
                }
            }
        }
        breaches
    }

    fn verdicts(&self, breaches: &[Breach]) -> BTreeMap<usize, Verdict> {
        let mut verdicts: BTreeMap<usize, Verdict> = BTreeMap::new();
        for (index, breach) in breaches.iter().enumerate() {
            let on_failure = self.rules[breach.rule].on_failure;
            for row in breach.rows.set_indices() {
                let verdict = verdicts.entry(row).or_insert(Verdict {
                    on_failure,
                    breaches: Vec::new(),
                });
                verdict.breaches.push(index);
                if on_failure.severity() > verdict.on_failure.severity() {
                    verdict.on_failure = on_failure;
                }
            }
        }
        verdicts
    }

    /// The first rule that decides about the row, and every reason against the row.
    fn rejection(
        &self,
        row: usize,
        changes: &Changes,
        verdict: &Verdict,
        breaches: &[Breach],
    ) -> Rejection {
        let of_row = || verdict.breaches.iter().map(|&index| &breaches[index]);
        let first = of_row()
            .find(|breach| self.rules[breach.rule].on_failure == verdict.on_failure)
            .expect("a verdict is that of one of its breaches");
        let mut reasons: Vec<String> = Vec::new();
        for breach in of_row() {
            let rule = &self.rules[breach.rule];
            let failure = breach.failures.iter().find(|failure| failure.row == row);
            let reason = match (&rule.message, failure) {
                (_, Some(failure)) if breach.of_where => {
                    format!(
                        "the where of the rule cannot be computed: {}",
                        failure.reason
                    )
                }
                (Some(message), _) => message.clone(),
                (None, Some(failure)) => {
                    format!("the check cannot be computed: {}", failure.reason)
                }
                (None, None) => rule.conditions[breach.condition].reason.clone(),
            };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let condition = &self.rules[first.rule].conditions[first.condition];
        Rejection {
            origin: changes.origins[row],
            rule: condition.rule.clone(),
            field: condition.field.clone(),
            reason: reasons.join("; "),
        }
    }

    /// Logs once that a rule is broken; a line for every batch would fill the log.
    fn log_once(&mut self, verdict: &Verdict, breaches: &[Breach]) {
        for &index in &verdict.breaches {
            let rule = &mut self.rules[breaches[index].rule];
            if !rule.logged {
                rule.logged = true;
                tracing::warn!(
                    operator = self.name,
                    rule = rule.conditions[breaches[index].condition].rule,
                    "a row broke a rule that only warns; further rows are counted without a log line"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
