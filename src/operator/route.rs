//! `route`: sends changes to named outputs, by conditions.
//!
//! Other operators and sinks read an output as `NAME.OUTPUT`. Inside, the operator marks each row with the
//! outputs that it goes to ([`ROUTE`]), and each output is a step of its own that takes its rows.
//!
//! - With `match = "first"` a row goes to the first output whose condition is true, with `"all"` to each of
//!   them. A row that goes nowhere is counted as filtered, or goes to the output `otherwise`.
//! - **A row that moves**: where the row before of an update goes to an output that the row after does not go
//!   to, that output gets a delete with the row before, so that no target keeps it. Sources send rows before
//!   where a pipeline routes; without one, a row that moved stays where it was.
//! - A delete goes where its row goes. Where that depends on a value that it does not carry, it goes to every
//!   output: to delete a row that is not there does no harm. A truncate goes to every output.
//! - An insert or update whose way depends on a value that the source did not send (R14, R19) is rejected, and
//!   so is a row for which a condition cannot be computed.

mod branch;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, Image, Operation};

use super::filter::condition;
use super::literal::Texts;
use super::scope::{Scope, Values};
use super::{
    Applied, Compiled, Context, Operator, OperatorError, Rejection, Settings, is_set, problem,
    remaining,
};
use crate::function::{self, Expression};
use crate::problem::Problem;

/// The column that marks the outputs of a row: bit by bit, in the order of the file. The upper half marks the
/// outputs that a row leaves.
const ROUTE: &str = "_route";
/// As many as half of the bits of the mark.
const OUTPUTS_MAX: usize = 32;

/// Sends changes to named outputs, by conditions. Operators and sinks read an output as `NAME.OUTPUT`.
///
/// ```toml
/// [operators.split]
/// type      = "route"
/// inputs    = ["crm"]
/// outputs   = { companies = "kind = 'company'", people = "kind in ('person', 'spouse')" }
/// otherwise = "rest"
///
/// [sinks.companies]
/// type   = "blackhole"
/// inputs = ["split.companies"]
///
/// [sinks.people]
/// type   = "blackhole"
/// inputs = ["split.people", "split.rest"]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The names of the sources or operators whose changes come in.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The outputs, each with the SQL condition of its rows.
    pub outputs: Texts,
    /// The output of rows that go to no other. Without it they are counted as filtered.
    pub otherwise: Option<String>,
    /// Whether a row goes to the first output whose condition is true, or to all of them.
    #[serde(default)]
    pub r#match: Match,
}

/// Where a row goes that satisfies several conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// To the first output whose condition is true.
    #[default]
    First,
    /// To every output whose condition is true.
    All,
}

impl RouteConfig {
    /// The names of all outputs, in the order of their bits.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        let named = self.outputs.iter().map(|(name, _)| name);
        named.chain(self.otherwise.as_deref())
    }
}

/// One output of a `route`: takes the rows that are marked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchConfig {
    /// The number of the output.
    pub output: usize,
}

impl Settings for RouteConfig {
    fn compile(&self, _: &str, schema: &SchemaRef, context: &Context) -> Compiled {
        let mut problems = check_shape(self);
        let scope = Scope::new(schema, context.clock.clone());
        let mut conditions = Vec::new();
        for (name, text) in self.outputs.iter() {
            match condition(&scope, text) {
                Ok(compiled) => conditions.push((compiled, format!("outputs.{name} = \"{text}\""))),
                Err(error) => problems.push(problem(&["outputs", name], *error)),
            }
        }
        if schema.index_of(ROUTE).is_ok() {
            problems.push(Problem::new(
                &[],
                format!("the rows have a column {ROUTE} already"),
            ));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(Field::new(ROUTE, DataType::UInt64, true)));
        Ok(Box::new(Route {
            scope,
            schema: Arc::new(Schema::new(fields)),
            conditions,
            otherwise: self.otherwise.is_some(),
            takes: self.r#match,
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = check_shape(self);
        for (name, text) in self.outputs.iter() {
            if let Err(error) = function::references(text) {
                problems.push(problem(&["outputs", name], *error));
            }
        }
        problems
    }

    fn computed_columns(&self) -> Vec<String> {
        let references = |(_, text): (&str, &str)| function::references(text).unwrap_or_default();
        self.outputs.iter().flat_map(references).collect()
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        let mut required = wanted?.to_vec();
        for (_, text) in self.outputs.iter() {
            required.extend(function::references(text).ok()?);
        }
        Some(required)
    }

    fn column_behind(&self, output: &str) -> Option<String> {
        Some(output.to_owned())
    }
}

fn check_shape(config: &RouteConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.outputs.is_empty() {
        let help = "name at least one, as in outputs = { companies = \"kind = 'company'\" }";
        problems.push(Problem::new(&["outputs"], "there are no outputs").help(help));
    }
    let names: Vec<&str> = config.output_names().collect();
    if names.len() > OUTPUTS_MAX {
        let message = format!(
            "{} outputs, at most {OUTPUTS_MAX} are possible",
            names.len()
        );
        problems.push(Problem::new(&["outputs"], message).help("route one output again"));
    }
    for name in &names {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            let message = format!("`{name}` is not a valid name for an output");
            let help = "use letters, digits, `_` and `-` only";
            problems.push(Problem::new(&["outputs", name], message).help(help));
        }
    }
    if let Some(otherwise) = &config.otherwise
        && config.outputs.iter().any(|(name, _)| name == otherwise)
    {
        let message = format!("`{otherwise}` has a condition already");
        problems.push(Problem::new(&["otherwise"], message).help("choose another name"));
    }
    problems
}

struct Route {
    scope: Scope,
    schema: SchemaRef,
    conditions: Vec<(Expression, String)>,
    otherwise: bool,
    takes: Match,
}

/// Where the rows of a batch go.
struct Ways {
    marks: Vec<u64>,
    /// The rows whose way depends on a value that is not known.
    unknown: Option<BooleanBuffer>,
    /// The rows for which a condition cannot be computed: the condition and the reason.
    failures: Vec<(usize, usize, &'static str)>,
}

impl Route {
    fn outputs(&self) -> usize {
        self.conditions.len() + usize::from(self.otherwise)
    }

    fn ways(&self, rows: usize, values: &Values<'_>) -> Ways {
        let mut ways = Ways {
            marks: vec![0; rows],
            unknown: None,
            failures: Vec::new(),
        };
        for (number, (condition, _)) in self.conditions.iter().enumerate() {
            let known = values.evaluate(condition);
            let answers = known.array.as_boolean();
            let is_true = match answers.nulls() {
                Some(nulls) => answers.values() & nulls.inner(),
                None => answers.values().clone(),
            };
            for row in is_true.set_indices() {
                if self.takes == Match::All || ways.marks[row] == 0 {
                    ways.marks[row] |= 1 << number;
                }
            }
            if let Some(mask) = &known.unset {
                // An earlier output that takes the row decides without it.
                let open = BooleanBuffer::collect_bool(rows, |row| {
                    mask.value(row) && (self.takes == Match::All || ways.marks[row] == 0)
                });
                ways.unknown = Some(match ways.unknown.take() {
                    Some(unknown) => &unknown | &open,
                    None => open,
                });
            }
            let open = known
                .failures
                .iter()
                .filter(|failure| self.takes == Match::All || ways.marks[failure.row] == 0);
            let failed = open.map(|failure| (failure.row, number, failure.reason));
            ways.failures.extend(failed.collect::<Vec<_>>());
        }
        if self.otherwise {
            let rest = 1 << self.conditions.len();
            for mark in ways.marks.iter_mut().filter(|mark| **mark == 0) {
                *mark = rest;
            }
        }
        ways
    }

    /// The outputs of the rows before; 0 where none is known.
    fn ways_before(&self, changes: &Changes) -> Vec<u64> {
        let Some(image) = &changes.before else {
            return vec![0; changes.len()];
        };
        let before = Changes {
            rows: image.rows.clone(),
            unset: image.unset.clone(),
            not_carried: Vec::new(),
            before: None,
            ..changes.clone()
        };
        let values = self.scope.enter_again(&before);
        let ways = self.ways(changes.len(), &values);
        let mut marks = ways.marks;
        for (row, mark) in marks.iter_mut().enumerate() {
            if !image.present.value(row) || is_set(&ways.unknown, row) {
                *mark = 0;
            }
        }
        for (row, ..) in ways.failures {
            marks[row] = 0;
        }
        marks
    }
}

impl Operator for Route {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let values = self.scope.enter(&changes);
        let ways = self.ways(changes.len(), &values);
        let before = self.ways_before(&changes);
        let everywhere = (1_u64 << self.outputs()) - 1;
        let mut rejected: Vec<Rejection> = Vec::new();
        let mut is_rejected = vec![false; changes.len()];
        let mut marks = Vec::with_capacity(changes.len());
        for (row, &mark) in ways.marks.iter().enumerate() {
            let failure = ways.failures.iter().find(|(failed, ..)| *failed == row);
            let is_unknown = is_set(&ways.unknown, row);
            let wrong = match failure {
                Some((_, condition, reason)) => Some((*condition, *reason)),
                None if is_unknown => Some((
                    0,
                    "the way depends on a column that the source did not send",
                )),
                None => None,
            };
            marks.push(match (changes.operations[row], wrong) {
                (Operation::Truncate, _) | (Operation::Delete, Some(_)) => everywhere,
                (Operation::Update, None) => mark | ((before[row] & !mark) << OUTPUTS_MAX),
                (_, None) => mark,
                (_, Some((condition, reason))) => {
                    is_rejected[row] = true;
                    rejected.push(Rejection {
                        origin: changes.origins[row],
                        rule: self.conditions[condition].1.clone(),
                        field: None,
                        reason: reason.to_owned(),
                        detail: None,
                    });
                    0
                }
            });
        }
        drop(values);
        let marked = with_marks(changes, &self.schema, marks)
            .map_err(|error| OperatorError::Stop(format!("the rows cannot be marked: {error}")))?;
        Ok(Applied {
            changes: remaining(marked, |row| is_rejected[row], rejected.len())?,
            rejected,
            filtered: 0,
            warned: 0,
            added: 0,
        })
    }
}

/// The changes with the column of marks.
fn with_marks(
    changes: Changes,
    schema: &SchemaRef,
    marks: Vec<u64>,
) -> Result<Changes, ArrowError> {
    let len = marks.len();
    let marks: ArrayRef = Arc::new(UInt64Array::from(marks));
    let with = |rows: &RecordBatch, last: ArrayRef| {
        let mut columns = rows.columns().to_vec();
        columns.push(last);
        RecordBatch::try_new(schema.clone(), columns)
    };
    let before = match &changes.before {
        None => None,
        Some(image) => Some(Image {
            rows: with(&image.rows, new_null_array(&DataType::UInt64, len))?,
            unset: image.unset.iter().cloned().chain([None]).collect(),
            present: image.present.clone(),
        }),
    };
    let mut not_carried = changes.not_carried.clone();
    if !not_carried.is_empty() {
        not_carried.push(None);
    }
    Ok(Changes {
        rows: with(&changes.rows, marks)?,
        unset: changes.unset.iter().cloned().chain([None]).collect(),
        not_carried,
        before,
        ..changes
    })
}

#[cfg(test)]
mod tests;
