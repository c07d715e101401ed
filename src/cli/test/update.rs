//! Writes what a test found as what it expects, and leaves everything else of the file as it is.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use crate::config::{Expectation, PipelineFile, Row, TestCase, tests_beside};
use crate::run::cases::Ran;

/// Writes the expectation of a test into the file that holds it.
pub(super) fn write(file: &PipelineFile, case: &TestCase, ran: &Ran) -> Result<(), String> {
    let inside = PathBuf::from(file.document.path());
    let beside = tests_beside(&inside);
    let mut places = [inside, beside].into_iter();
    let expect = expected(&case.expect, ran);
    let written = places.find_map(|path| replace(&path, &case.name, &expect).transpose());
    match written {
        Some(written) => written,
        None => Err(format!("no file holds the test {:?}", case.name)),
    }
}

/// What is found of what a case compares; of a case that compares nothing, all of it.
fn expected(expect: &Expectation, ran: &Ran) -> Table {
    let all = *expect == Expectation::default();
    let found = &ran.found;
    let mut table = Table::new();
    let mut target = Table::new();
    target.set_dotted(true);
    for (sink, rows) in found
        .target
        .iter()
        .filter(|(sink, _)| all || expect.target.contains_key(*sink))
    {
        target.insert(sink, rows_of(rows));
    }
    if !target.is_empty() {
        table.insert("target", Item::Table(target));
    }
    if let Some(rejected) = found
        .rejected
        .as_ref()
        .filter(|rejected| !rejected.is_empty())
    {
        table.insert("rejected", list(rejected));
    }
    if let Some(conflicts) = found
        .conflicts
        .as_ref()
        .filter(|all_of| (all || expect.conflicts.is_some()) && !all_of.is_empty())
    {
        table.insert("conflicts", list(conflicts));
    }
    let mut counts = Table::new();
    counts.set_dotted(true);
    for (sink, of) in found
        .counts
        .iter()
        .filter(|(sink, _)| all || expect.counts.contains_key(*sink))
    {
        let named = expect.counts.get(sink);
        let mut shown = InlineTable::new();
        for (name, &count) in of {
            let wanted = named.map_or(count > 0, |named| named.contains_key(name));
            if wanted {
                shown.insert(name, Value::from(i64::try_from(count).unwrap_or(i64::MAX)));
            }
        }
        counts.insert(sink, Item::Value(Value::InlineTable(shown)));
    }
    if !counts.is_empty() {
        table.insert("counts", Item::Table(counts));
    }
    table
}

/// Replaces `expect` of a test; `None` where the file does not hold it.
fn replace(path: &Path, name: &str, expect: &Table) -> Result<Option<()>, String> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(None);
    };
    let shown = path.display();
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{shown}: {error}"))?;
    let Some(tests) = document
        .get_mut("tests")
        .and_then(Item::as_array_of_tables_mut)
    else {
        return Ok(None);
    };
    let is_it = |test: &&mut Table| test.get("name").and_then(Item::as_str) == Some(name);
    let Some(test) = tests.iter_mut().find(is_it) else {
        return Ok(None);
    };
    test.insert("expect", Item::Table(expect.clone()));
    std::fs::write(path, document.to_string())
        .map(Some)
        .map_err(|error| format!("{shown} cannot be written: {error}"))
}

fn rows_of(rows: &[Row]) -> Item {
    let mut array = Array::new();
    for row in rows {
        let mut value = Value::InlineTable(table_of(row));
        value.decor_mut().set_prefix("\n  ");
        array.push_formatted(value);
    }
    if !rows.is_empty() {
        array.set_trailing_comma(true);
        array.set_trailing("\n");
    }
    Item::Value(Value::Array(array))
}

fn list<T: serde::Serialize>(entries: &[T]) -> Item {
    let rows: Vec<Row> = entries
        .iter()
        .filter_map(|entry| match serde_json::to_value(entry) {
            Ok(Json::Object(row)) => Some(row),
            _ => None,
        })
        .collect();
    rows_of(&rows)
}

fn table_of(row: &Row) -> InlineTable {
    let mut table = InlineTable::new();
    for (name, value) in row {
        table.insert(name, toml(value));
    }
    table
}

fn toml(value: &Json) -> Value {
    match value {
        Json::Null => {
            let mut table = InlineTable::new();
            table.insert("null", Value::from(true));
            Value::InlineTable(table)
        }
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::from(integer),
            (None, Some(float)) => Value::from(float),
            (None, None) => Value::from(number.to_string()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::Array(items.iter().map(toml).collect()),
        Json::Object(row) => Value::InlineTable(table_of(row)),
    }
}
