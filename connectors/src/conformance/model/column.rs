//! What one column of a row becomes where source and target are in conflict.

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
            return Ok(add(before, source, theirs));
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
                return Ok(add(zero(), source.or_else(zero), theirs.or_else(zero)));
            }
            _ => {
                let (Some(source), Some(theirs)) = (source.clone(), theirs.clone()) else {
                    return Ok(source.or(theirs));
                };
                return Ok(Some(self.both(strategy, before.flatten(), source, theirs)));
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
    ) -> Value {
        match (strategy, source, theirs) {
            (Strategy::Max, source, theirs) if number(&source) > number(&theirs) => source,
            (Strategy::Max, _, theirs) => theirs,
            (Strategy::Min, source, theirs) if number(&source) < number(&theirs) => source,
            (Strategy::Min, _, theirs) => theirs,
            (Strategy::Concat, Value::Text(source), Value::Text(theirs)) => {
                Value::Text(format!("{theirs}{}{source}", self.policy.separator))
            }
            (
                Strategy::Union,
                Value::Json(Json::Array(source)),
                Value::Json(Json::Array(mut all)),
            ) => {
                let fresh: Vec<Json> = source
                    .into_iter()
                    .filter(|item| !all.contains(item))
                    .collect();
                all.extend(fresh);
                Value::Json(Json::Array(all))
            }
            (Strategy::JsonMerge, Value::Json(source), Value::Json(theirs)) => {
                let before = match before {
                    Some(Value::Json(before)) => Some(before),
                    _ => None,
                };
                Value::Json(merge(before.as_ref(), source, theirs))
            }
            (_, source, _) => source,
        }
    }
}

/// What `max` and `min` compare of the columns that histories give them.
fn number(value: &Value) -> i64 {
    match value {
        Value::Hundredths(number) | Value::Version(number) => *number,
        Value::Text(_) | Value::Json(_) => 0,
    }
}

fn add(before: Option<Value>, source: Option<Value>, target: Option<Value>) -> Option<Value> {
    if before.is_none() && source.is_none() && target.is_none() {
        return None;
    }
    let number = |value: &Option<Value>| value.as_ref().map_or(0, number);
    Some(Value::Hundredths(
        number(&target) + number(&source) - number(&before),
    ))
}

/// Two documents, three-way where an object was before.
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
            // Removed here and changed there: the source wins.
            (Some(_), mine, _) => mine.cloned(),
            (None, mine, theirs) => mine.or(theirs).cloned(),
        };
        if let Some(value) = value {
            merged.insert(key.clone(), value);
        }
    }
    Json::Object(merged)
}
