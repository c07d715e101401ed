//! `dedupe`: drops changes whose key was seen a short while before.
//!
//! - The key says what is one event, for example the id of an event, not what is one row: a later change of a
//!   row that has the same key within the window is dropped.
//! - The first change of a key passes; a later one is dropped and counted as filtered. The window begins at
//!   the change that passed and is measured by the time of the changes, never by the clock.
//! - A delete passes and its key is forgotten, so that a row which comes again is no duplicate. Where its key
//!   is made of values that it does not carry, nothing is forgotten. A truncate passes, and all is forgotten.
//! - A change whose key has a null, or depends on a value that is not sent (R14, R19), passes.
//! - A change that is read again after a restart or a fence meets only what came before it: nothing that
//!   passed once is dropped then. The memory begins empty at each start, so a duplicate of something before
//!   may pass once more.
//! - A row for which the key cannot be computed is rejected.

use std::collections::BTreeMap;

use arrow::array::{Array, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, Operation};
use syncline_connectors::sql::version::duration_us;

use super::memory::{Place, Seen, Window};
use super::scope::{Known, Scope};
use super::validate::encoded;
use super::{
    Applied, Compiled, Context, Memory, Operator, OperatorError, Rejection, Settings, is_set,
    problem,
};
use crate::function::{self, Expression};
use crate::problem::Problem;

/// Drops changes whose key was seen before within a window.
///
/// ```toml
/// [operators.once]
/// type   = "dedupe"
/// inputs = ["crm"]
/// key    = ["event_id"]
/// window = "10m"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DedupeConfig {
    /// The names of the sources or operators whose changes come in.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The SQL expressions whose values together say what is one event.
    pub key: Vec<String>,
    /// How long after a change that passed another one of its key is a duplicate, by the time of the
    /// changes: `"30s"`, `"10m"`, `"1d"`. Default: as long as it is remembered.
    pub window: Option<String>,
    /// How many keys are remembered; the oldest is forgotten first.
    #[serde(default = "entries")]
    #[schemars(range(min = 1))]
    pub entries: usize,
}

fn entries() -> usize {
    100_000
}

struct Dedupe {
    scope: Scope,
    schema: SchemaRef,
    key: Vec<Expression>,
    rule: String,
    window_ms: Option<i64>,
    entries_max: usize,
    memory: Memory,
}

impl Settings for DedupeConfig {
    fn compile(&self, _: &str, schema: &SchemaRef, context: &Context) -> Compiled {
        let mut problems = check_shape(self);
        let scope = Scope::new(schema, context.clock.clone());
        let mut key = Vec::new();
        for (index, text) in self.key.iter().enumerate() {
            match scope.compile(text) {
                Ok(expression) => key.push(expression),
                Err(error) => problems.push(problem(&["key", &index.to_string()], *error)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Box::new(Dedupe {
            scope,
            schema: schema.clone(),
            key,
            rule: format!("key = {:?}", self.key),
            window_ms: self.window_ms(),
            entries_max: self.entries,
            memory: context.memory.clone(),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = check_shape(self);
        for (index, text) in self.key.iter().enumerate() {
            if let Err(error) = function::references(text) {
                problems.push(problem(&["key", &index.to_string()], *error));
            }
        }
        problems
    }

    fn computed_columns(&self) -> Vec<String> {
        let references = |text: &String| function::references(text).unwrap_or_default();
        self.key.iter().flat_map(references).collect()
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        let mut required = wanted?.to_vec();
        for text in &self.key {
            required.extend(function::references(text).ok()?);
        }
        Some(required)
    }

    fn column_behind(&self, output: &str) -> Option<String> {
        Some(output.to_owned())
    }
}

impl DedupeConfig {
    fn window_ms(&self) -> Option<i64> {
        let micros = duration_us("window", self.window.as_ref()?).ok()?;
        Some(micros / 1_000)
    }
}

fn check_shape(config: &DedupeConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.key.is_empty() {
        let help = "name what tells one event from another, as in key = [\"event_id\"]";
        problems.push(Problem::new(&["key"], "the key is empty").help(help));
    }
    if let Some(window) = &config.window
        && duration_us("window", window).is_err()
    {
        let help = "write for example \"30s\", \"10m\" or \"1d\"";
        problems.push(Problem::new(&["window"], "not a duration").help(help));
    }
    problems
}

impl Operator for Dedupe {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let values = self.scope.enter(&changes);
        let parts: Vec<Known> = self.key.iter().map(|part| values.evaluate(part)).collect();
        let arrays: Vec<_> = parts.iter().map(|part| part.array.clone()).collect();
        let keys = encoded(&arrays);
        let mut failed: BTreeMap<usize, &'static str> = BTreeMap::new();
        for failure in parts.iter().flat_map(|part| &part.failures) {
            failed.entry(failure.row).or_insert(failure.reason);
        }
        let is_known = |row: usize| {
            let known = |part: &Known| part.array.is_valid(row) && !is_set(&part.unset, row);
            parts.iter().all(known)
        };
        let mut rejected = Vec::new();
        let mut kept = self.memory.lock();
        let window = kept.windows.entry(0);
        let window = window.or_insert_with(|| Window::new(self.entries_max));
        let passes = BooleanBuffer::collect_bool(changes.len(), |row| {
            let operation = changes.operations[row];
            match (operation, failed.get(&row)) {
                (Operation::Truncate, _) => {
                    window.clear();
                    true
                }
                (Operation::Delete, _) if !is_known(row) => true,
                (Operation::Delete, _) => {
                    let place = Place::of(&changes, row);
                    let known = window.get(&keys[row]);
                    if known.is_some_and(|known| !place.is_at_or_behind(&known.place)) {
                        window.forget(&keys[row]);
                    }
                    true
                }
                (_, Some(reason)) => {
                    rejected.push(Rejection {
                        origin: changes.origins[row],
                        rule: self.rule.clone(),
                        field: None,
                        reason: (*reason).to_owned(),
                        detail: None,
                    });
                    false
                }
                (_, None) if !is_known(row) => true,
                (_, None) => self.is_new(window, &changes, row, &keys[row]),
            }
        });
        drop(kept);
        let passed = changes
            .filter(&BooleanArray::new(passes, None))
            .map_err(|error| OperatorError::Stop(format!("dedupe cannot take rows: {error}")))?;
        Ok(Applied {
            filtered: (changes.len() - passed.len() - rejected.len()) as u64,
            changes: passed,
            rejected,
            warned: 0,
            added: 0,
        })
    }
}

impl Dedupe {
    /// Whether no change of this key passed within the window; remembers it then.
    fn is_new(&self, window: &mut Window, changes: &Changes, row: usize, key: &[u8]) -> bool {
        let place = Place::of(changes, row);
        let origin = changes.origins[row] as usize;
        let time_ms = changes.event_times_ms[row].or(changes.records.entries[origin].timestamp_ms);
        if let Some(known) = window.get(key) {
            if place.is_at_or_behind(&known.place) {
                // It is read again.
                return true;
            }
            let within = match (self.window_ms, known.time_ms, time_ms) {
                (Some(window_ms), Some(known), Some(time)) => {
                    time.saturating_sub(known) < window_ms
                }
                _ => true,
            };
            if within {
                return false;
            }
        }
        let seen = Seen {
            key: Box::default(),
            place,
            time_ms,
        };
        window.put(key, seen);
        true
    }
}

#[cfg(test)]
mod tests;
