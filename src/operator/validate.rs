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

use arrow::datatypes::SchemaRef;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use syncline_connectors::change::Changes;

use super::scope::Scope;
use super::{
    Applied, Compiled, Context, Memory, Operator, OperatorError, Settings, WARNINGS, problem,
    remaining,
};
use crate::function;
use crate::lookup::Question;
use crate::problem::Problem;

mod bound;
mod breach;
mod check;
mod condition;
mod formats;
mod length;
mod reference;
mod rule;
mod suggestion;
mod unique;
mod warnings;

use condition::{Applies, Condition};
pub use rule::{Format, Length, LengthBounds, OnFailure, Reference, Rule, Severity, ValueType};
pub(crate) use unique::encoded;

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
/// A row that breaks a rule of `severity = "warning"` goes on, and the warning is in the column `_warnings`,
/// a JSON list, which goes as far as the sink and which a `map` behind it can keep.
///
/// ```toml
/// [operators.complete]
/// type   = "validate"
/// inputs = ["check"]
/// rules = [
///   { fields = ["name", "city", "country"], required = true, where = "status <> 'draft'" },
///   { field = "website", format = "hostname", on_failure = "warn" },
///   { field = "phone", format = "phone", region = "DE", severity = "warning" },
///   { field = "email", unique = true, max_failure_rate = 0.1 },
///   { field = "address", json_schema = { type = "object", required = ["city"] } },
/// ]
/// sensitive = ["email", "phone"]
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
    /// The rules; a row is checked against all of them. A text names a file with further `rules`, relative
    /// to the pipeline file: `["rules/clients.toml", { field = "email", format = "email" }]`.
    #[schemars(schema_with = "rules_or_files")]
    pub rules: Vec<Rule>,
    /// Columns whose values are not kept beside the reason of a failure.
    #[serde(default)]
    pub sensitive: Vec<String>,
    /// The part of rows that may break a rule, from 0 to 1, over the last `failure_window` rows: beyond it
    /// the pipeline stops with the rule that failed most often, and nothing of the batch is acknowledged.
    #[schemars(range(min = 0, max = 1))]
    pub max_failure_rate: Option<f64>,
    /// How many rows `max_failure_rate` looks at, here and in rules. Default: 1000.
    #[schemars(range(min = 1))]
    pub failure_window: Option<u64>,
}

/// How many rows `max_failure_rate` looks at.
const FAILURE_WINDOW: u64 = 1_000;

/// Rules, or files with rules: a pipeline file is read with the files in the place of their names.
fn rules_or_files(generator: &mut SchemaGenerator) -> Schema {
    let rules = generator.subschema_for::<Rule>();
    json_schema!({ "type": ["array", "string"], "items": { "anyOf": [rules, { "type": "string" }] } })
}

impl Settings for ValidateConfig {
    fn compile(&self, name: &str, schema: &SchemaRef, context: &Context) -> Compiled {
        compile(name, self, schema, context)
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

impl ValidateConfig {
    /// What its rules look up: a question for each column of a rule with `reference`.
    pub(super) fn questions(&self) -> Vec<Question> {
        self.rules.iter().flat_map(Rule::questions).collect()
    }
}

struct CompiledRule {
    conditions: Vec<Condition>,
    /// The rows that the rule is about; all of them if absent.
    applies: Option<Applies>,
    message: Option<String>,
    on_failure: OnFailure,
    /// Whether a failure is told in [`WARNINGS`].
    is_told: bool,
    max_failure_rate: Option<f64>,
    /// Tells the rule with its settings from others.
    fingerprint: String,
    /// Whether a warning of the rule was already logged; later warnings are only counted.
    logged: bool,
}

struct Validate {
    name: String,
    scope: Scope,
    /// Of the rows that go out.
    schema: SchemaRef,
    rules: Vec<CompiledRule>,
    memory: Memory,
    sensitive: Vec<String>,
    max_failure_rate: Option<f64>,
    failure_window: u64,
}

fn compile(name: &str, config: &ValidateConfig, schema: &SchemaRef, context: &Context) -> Compiled {
    let scope = Scope::new(schema, context.clock.clone());
    let mut problems = check_shape(config);
    let mut rules = Vec::new();
    let mut slots = context.slots.iter();
    for (index, rule) in config.rules.iter().enumerate() {
        let mut found = Vec::new();
        let memory = (index, &context.memory);
        let mut conditions = condition::compile(rule, schema, &scope, memory, &mut found);
        conditions.extend(condition::compile_reference(rule, schema, &mut slots));
        let applies = condition::compile_where(rule, &scope, &mut found);
        let at_rule = ["rules", &index.to_string()];
        problems.extend(found.into_iter().map(|problem| problem.under(&at_rule)));
        rules.push(CompiledRule {
            conditions,
            applies,
            message: rule.message.clone(),
            on_failure: rule.action(config.on_failure),
            is_told: rule.severity == Some(Severity::Warning),
            max_failure_rate: rule.max_failure_rate,
            fingerprint: rule.fingerprint(),
            logged: false,
        });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Box::new(Validate {
        name: name.to_owned(),
        scope,
        schema: match rules.iter().any(|rule| rule.is_told) {
            true => warnings::with_column(schema),
            false => schema.clone(),
        },
        rules,
        memory: context.memory.clone(),
        sensitive: config.sensitive.clone(),
        max_failure_rate: config.max_failure_rate,
        failure_window: config.failure_window.unwrap_or(FAILURE_WINDOW),
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

fn check_without_schema(config: &ValidateConfig) -> Vec<Problem> {
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

fn computed_columns(config: &ValidateConfig) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for rule in &config.rules {
        names.extend(rule.columns().into_iter().map(|(_, name)| name.to_owned()));
        for (_, text) in rule.expressions() {
            names.extend(function::references(text).unwrap_or_default());
        }
    }
    names
}

fn required_columns(config: &ValidateConfig, wanted: Option<&[String]>) -> Option<Vec<String>> {
    let mut required = wanted?.to_vec();
    required.retain(|name| name != WARNINGS);
    for rule in &config.rules {
        required.extend(rule.columns().into_iter().map(|(_, name)| name.to_owned()));
        for (_, text) in rule.expressions() {
            required.extend(function::references(text).ok()?);
        }
    }
    Some(required)
}

impl Operator for Validate {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let breaches = self.breaches(&changes);
        let verdicts = self.verdicts(&breaches);
        self.count(&changes, &breaches, &verdicts)?;
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
                    let left = breach::SUGGESTIONS_MAX.saturating_sub(rejected.len());
                    rejected.push(self.rejection(row, &changes, verdict, &breaches, left));
                }
                OnFailure::Stop => {
                    let rejection = self.rejection(row, &changes, verdict, &breaches, 0);
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
        let told = match self.rules.iter().any(|rule| rule.is_told) {
            true => self.tell(changes, &breaches)?,
            false => changes,
        };
        let is_gone = |row: usize| {
            verdicts
                .get(&row)
                .is_some_and(|verdict| verdict.on_failure != OnFailure::Warn)
        };
        let gone = rejected.len() + filtered as usize;
        Ok(Applied {
            changes: remaining(told, is_gone, gone)?,
            rejected,
            filtered,
            warned,
            added: 0,
        })
    }
}

#[cfg(test)]
mod further_tests;
#[cfg(test)]
mod tests;
