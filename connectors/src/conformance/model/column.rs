//! The model's decision of one column in a conflict.

use serde_json::{Map, Value as Json};

use super::{ADDED, Model, Row, Stop, known};
use crate::change::Operation;
use crate::conflict::{Strategy, Tie};
use crate::conformance::cells::{Cell, Event, Value};

impl Model {
    pub(super) fn column(
        &self,
        place: usize,
        event: &Event,
        target: &Row,
    ) -> Result<Option<Value>, Stop> {
        let strategy = self.strategy(place);
        let source = event.row[place].known().cloned();
        let theirs = target[place].clone();
        let before = event.before.as_ref().map(|before| &before[place]);
        let before = before.filter(|cell| !cell.is_unset()).map(Cell::known);
        let before = before.map(|value| value.cloned());
        if *strategy == Strategy::Sum {
            let before = match (before, event.operation) {
                (Some(before), _) => before,
                (None, Operation::Update) => return Err(Stop::Reject("C8 sum")),
                (None, _) => None,
            };
            // If the source did not change the value, nothing is added; not even zero to a null.
            if source == before {
                return Ok(theirs);
            }
            return add(before, source, theirs);
        }
        if source == theirs {
            return Ok(theirs);
        }
        if let Some(before) = &before {
            if source == *before {
                return Ok(theirs);
            }
            if theirs == *before {
                return Ok(source);
            }
        } else if *strategy == Strategy::Merge && (source.is_none() || theirs.is_none()) {
            return Ok(source.or(theirs));
        }
        let (mine_version, version) = (self.version(&known(&event.row)), self.version(target));
        let source_wins = match strategy {
            Strategy::SourceWins => true,
            Strategy::TargetWins => false,
            Strategy::OldestWins => self.behind(mine_version, version),
            Strategy::NewestWins => self.ahead(mine_version, version),
            Strategy::Merge if self.version.is_some() => self.ahead(mine_version, version),
            Strategy::Merge => self.policy.tie == Tie::Source,
            Strategy::Manual => return Err(Stop::Queue),
            Strategy::Expression(text) if text == ADDED => {
                let zero = || Some(Value::Hundredths(0));
                return add(zero(), source.or_else(zero), theirs.or_else(zero));
            }
            _ => {
                let (Some(source), Some(theirs)) = (source.clone(), theirs.clone()) else {
                    return Ok(source.or(theirs));
                };
                return self
                    .both(strategy, before.flatten(), source, theirs)
                    .map(Some);
            }
        };
        Ok(if source_wins { source } else { theirs })
    }

    /// Both sides have a value and changed it.
    fn both(
        &self,
        strategy: &Strategy,
        before: Option<Value>,
        source: Value,
        theirs: Value,
    ) -> Result<Value, Stop> {
        Ok(match (strategy, source, theirs) {
            (Strategy::Max, source, theirs) if exceeds(&source, &theirs) => source,
            (Strategy::Min, source, theirs) if exceeds(&theirs, &source) => source,
            (Strategy::Max | Strategy::Min, _, theirs) => theirs,
            (Strategy::Concat, Value::Text(source), Value::Text(theirs)) => {
                Value::Text(format!("{theirs}{}{source}", self.policy.separator))
            }
            (
                Strategy::Union,
                Value::Json(Json::Array(source)),
                Value::Json(Json::Array(mut all)),
            ) => {
                let fresh = source.into_iter().filter(|item| !all.contains(item));
                let fresh: Vec<Json> = fresh.collect();
                all.extend(fresh);
                Value::Json(Json::Array(all))
            }
            (Strategy::Union, ..) => return Err(Stop::Reject("C2 union")),
            (Strategy::JsonMerge, Value::Json(source), Value::Json(theirs)) => {
                let before = match before {
                    Some(Value::Json(before)) => Some(before),
                    _ => None,
                };
                Value::Json(merge(before.as_ref(), source, theirs))
            }
            (_, source, _) => source,
        })
    }
}

fn exceeds(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => left.as_bytes() > right.as_bytes(),
        _ => number(left) > number(right),
    }
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Hundredths(number) | Value::Version(number) => *number,
        Value::Text(_) | Value::Json(_) => 0,
    }
}

/// A value of more than twelve digits is an overflow.
fn add(
    before: Option<Value>,
    source: Option<Value>,
    target: Option<Value>,
) -> Result<Option<Value>, Stop> {
    if before.is_none() && source.is_none() && target.is_none() {
        return Ok(None);
    }
    let number = |value: &Option<Value>| value.as_ref().map_or(0, number);
    let sum = number(&target) + number(&source) - number(&before);
    if sum.abs() >= 1_000_000_000_000 {
        return Err(Stop::Reject("C8 sum"));
    }
    Ok(Some(Value::Hundredths(sum)))
}

/// Merges two documents; three-way if the base is an object.
fn merge(before: Option<&Json>, source: Json, target: Json) -> Json {
    let (Json::Object(source), Json::Object(target)) = (&source, &target) else {
        return source;
    };
    let before = before.and_then(Json::as_object);
    let mut merged = Map::new();
    let keys = target.keys().chain(source.keys());
    for key in keys {
        let (mine, theirs) = (source.get(key), target.get(key));
        let was = before.map(|before| before.get(key));
        let value = match (was, mine, theirs) {
            (Some(was), mine, theirs) if theirs == was => mine.cloned(),
            (Some(was), mine, theirs) if mine == was => theirs.cloned(),
            (was, Some(mine), Some(theirs)) => {
                Some(merge(was.flatten(), mine.clone(), theirs.clone()))
            }
            // One side removed the key, the other changed it: the source wins.
            (Some(_), mine, _) => mine.cloned(),
            (None, mine, theirs) => mine.or(theirs).cloned(),
        };
        if let Some(value) = value {
            merged.insert(key.clone(), value);
        }
    }
    Json::Object(merged)
}
