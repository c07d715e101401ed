//! Unions of JSON arrays and merges of JSON objects, stored as text.
//!
//! Values compare by value: `1.0` equals `1`, and the order of keys does not matter. A document
//! that is not an object, and a text that is not JSON, count as one value: the source's wins. The
//! result keeps every digit (R3) and the target's order of keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use serde_json::{Map, Value};
use syncline_connectors::conflict::same_json;

use super::Values;

/// The unions for the selected rows; no side is null.
pub(super) fn union(source: &ArrayRef, target: &ArrayRef) -> Values {
    let (source, target) = (source.as_string::<i32>(), target.as_string::<i32>());
    let mut texts = StringBuilder::new();
    let mut failed = Vec::new();
    for row in 0..source.len() {
        match (items(source.value(row)), items(target.value(row))) {
            (Some(source), Some(mut united)) => {
                let mut missing: Vec<Value> = source
                    .into_iter()
                    .filter(|item| !united.iter().any(|known| same_json(known, item)))
                    .collect();
                united.append(&mut missing);
                texts.append_value(Value::Array(united).to_string());
            }
            _ => {
                texts.append_null();
                failed.push((row, "union needs a JSON array on both sides"));
            }
        }
    }
    Values {
        values: Arc::new(texts.finish()),
        failed,
    }
}

fn items(text: &str) -> Option<Vec<Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) => Some(items),
        _ => None,
    }
}

/// The merged documents for the selected rows; a base may be null, the sides are not.
pub(super) fn merge(source: &ArrayRef, target: &ArrayRef, base: &ArrayRef) -> Values {
    let (source, target) = (source.as_string::<i32>(), target.as_string::<i32>());
    let base = base.as_string::<i32>();
    let mut texts = StringBuilder::new();
    for row in 0..source.len() {
        match (object(source.value(row)), object(target.value(row))) {
            (Some(source), Some(target)) => {
                let base = base
                    .is_valid(row)
                    .then(|| object(base.value(row)))
                    .flatten();
                let merged = merge_objects(source, target, base.unwrap_or_default());
                texts.append_value(Value::Object(merged).to_string());
            }
            _ => texts.append_value(source.value(row)),
        }
    }
    Values {
        values: Arc::new(texts.finish()),
        failed: Vec::new(),
    }
}

fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

/// Merges key by key. Without a base, the base is empty, which gives the union of the keys.
fn merge_objects(
    mut source: Map<String, Value>,
    target: Map<String, Value>,
    mut base: Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = Map::new();
    for (key, target) in target {
        let (source, base) = (source.shift_remove(&key), base.shift_remove(&key));
        if let Some(value) = merge_values(source, Some(target), base) {
            merged.insert(key, value);
        }
    }
    for (key, source) in source {
        let base = base.shift_remove(&key);
        if let Some(value) = merge_values(Some(source), None, base) {
            merged.insert(key, value);
        }
    }
    merged
}

/// The merged value of one key; `None` if the key is removed.
fn merge_values(
    source: Option<Value>,
    target: Option<Value>,
    base: Option<Value>,
) -> Option<Value> {
    let same = |left: &Option<Value>, right: &Option<Value>| match (left, right) {
        (Some(left), Some(right)) => same_json(left, right),
        (None, None) => true,
        _ => false,
    };
    if same(&source, &base) || same(&source, &target) {
        return target;
    }
    if same(&target, &base) {
        return source;
    }
    match (source, target) {
        (Some(Value::Object(source)), Some(Value::Object(target))) => {
            let base = match base {
                Some(Value::Object(base)) => base,
                _ => Map::new(),
            };
            Some(Value::Object(merge_objects(source, target, base)))
        }
        (source, _) => source,
    }
}
