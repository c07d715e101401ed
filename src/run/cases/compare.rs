//! What differs between what a case expects and what it came to, for a person.
//!
//! A value is compared as what it says: `1.50` is `1.5`, whether it is a number or a text, and a document is
//! the same in any order of its members. A column that is not named is not compared.

use serde_json::{Map, Value as Json};

use super::{Ran, with_nulls};
use crate::config::{Expectation, ExpectedConflict, ExpectedRejection, Row};

/// The differences, one line each; empty where the case holds.
pub(crate) fn differences(expect: &Expectation, ran: &Ran) -> Vec<String> {
    let mut lines = Vec::new();
    for (sink, rows) in &expect.target {
        let none = Vec::new();
        let found = ran.found.target.get(sink).unwrap_or(&none);
        let expected: Vec<Row> = rows.iter().map(with_nulls).collect();
        let key = ran.keys.get(sink).map(Vec::as_slice).unwrap_or_default();
        rows_differ(sink, key, &expected, found, &mut lines);
    }
    let found = ran.found.rejected.as_deref().unwrap_or_default();
    // What nobody expects is told, too: a test that says nothing of refusals expects none.
    let expected = expect.rejected.as_deref().unwrap_or_default();
    list_differs(
        "rejected",
        expected,
        found,
        rejection_fits,
        rejection_text,
        &mut lines,
    );
    if let Some(expected) = &expect.conflicts {
        let found = ran.found.conflicts.as_deref().unwrap_or_default();
        list_differs(
            "conflicts",
            expected,
            found,
            conflict_fits,
            conflict_text,
            &mut lines,
        );
    }
    for (sink, counts) in &expect.counts {
        for (name, &expected) in counts {
            let found = ran
                .found
                .counts
                .get(sink)
                .and_then(|counts| counts.get(name));
            match found {
                Some(&found) if found == expected => {}
                Some(found) => {
                    lines.push(format!("{sink}: {name} expected {expected}, found {found}"))
                }
                None => lines.push(format!("{sink}: there is no count {name}")),
            }
        }
    }
    lines
}

fn rows_differ(
    sink: &str,
    key: &[String],
    expected: &[Row],
    found: &[Row],
    lines: &mut Vec<String>,
) {
    let fits = |expected: &Row, found: &Row| {
        let mut columns = expected.iter();
        columns.all(|(name, value)| same(value, found.get(name).unwrap_or(&Json::Null)))
    };
    let mut left: Vec<&Row> = found.iter().collect();
    let mut missing: Vec<&Row> = Vec::new();
    for row in expected {
        match left.iter().position(|found| fits(row, found)) {
            Some(place) => {
                left.remove(place);
            }
            None => missing.push(row),
        }
    }
    for row in missing {
        let same_key = |found: &&Row| {
            !key.is_empty()
                && key.iter().all(|name| {
                    let found = found.get(name).unwrap_or(&Json::Null);
                    row.get(name).is_some_and(|value| same(value, found))
                })
        };
        let Some(place) = left.iter().position(same_key) else {
            lines.push(format!("{sink}: - {}", row_text(row)));
            continue;
        };
        let other = left.remove(place);
        let shown_key = key.iter().map(|name| format!("{name} = {}", row[name]));
        let shown_key = shown_key.collect::<Vec<_>>().join(", ");
        for (name, value) in row {
            let found = other.get(name).unwrap_or(&Json::Null);
            if !same(value, found) {
                lines.push(format!(
                    "{sink}: {shown_key}: {name} expected {value}, found {found}"
                ));
            }
        }
    }
    lines.extend(
        left.iter()
            .map(|row| format!("{sink}: + {}", row_text(row))),
    );
}

fn row_text(row: &Row) -> String {
    let cells = row.iter().map(|(name, value)| format!("{name} = {value}"));
    cells.collect::<Vec<_>>().join(", ")
}

/// Compares lists in their order.
fn list_differs<T>(
    what: &str,
    expected: &[T],
    found: &[T],
    fits: fn(&T, &T) -> bool,
    text: fn(&T) -> String,
    lines: &mut Vec<String>,
) {
    for index in 0..expected.len().max(found.len()) {
        match (expected.get(index), found.get(index)) {
            (Some(expected), Some(found)) if fits(expected, found) => {}
            (Some(expected), Some(found)) => {
                lines.push(format!(
                    "{what}: expected {}, found {}",
                    text(expected),
                    text(found)
                ));
            }
            (Some(expected), None) => lines.push(format!("{what}: - {}", text(expected))),
            (None, Some(found)) => lines.push(format!("{what}: + {}", text(found))),
            (None, None) => {}
        }
    }
}

fn rejection_fits(expected: &ExpectedRejection, found: &ExpectedRejection) -> bool {
    let part = |expected: &Option<String>, found: &Option<String>| {
        let found = found.as_deref().unwrap_or_default();
        expected
            .as_ref()
            .is_none_or(|expected| found.contains(expected.as_str()))
    };
    (expected.change.is_none() || expected.change == found.change)
        && (expected.stage.is_none() || expected.stage == found.stage)
        && (expected.field.is_none() || expected.field == found.field)
        && found.rule.contains(&expected.rule)
        && part(&expected.reason, &found.reason)
}

fn rejection_text(one: &ExpectedRejection) -> String {
    let change = one
        .change
        .map_or(String::new(), |change| format!("change {change}, "));
    let stage = one
        .stage
        .as_ref()
        .map_or(String::new(), |stage| format!("{stage}: "));
    let field = one
        .field
        .as_ref()
        .map_or(String::new(), |field| format!(" of {field}"));
    let reason = one
        .reason
        .as_ref()
        .map_or(String::new(), |reason| format!(" ({reason})"));
    format!("{change}{stage}{}{field}{reason}", one.rule)
}

fn conflict_fits(expected: &ExpectedConflict, found: &ExpectedConflict) -> bool {
    let key = |expected: &Row, found: &Row| {
        let mut columns = expected.iter();
        columns.all(|(name, value)| same(value, found.get(name).unwrap_or(&Json::Null)))
    };
    let key = match (&expected.key, &found.key) {
        (None, _) => true,
        (Some(expected), Some(found)) => key(expected, found),
        (Some(_), None) => false,
    };
    key && (expected.sink.is_none() || expected.sink == found.sink)
        && (expected.kind.is_none() || expected.kind == found.kind)
        && (expected.winner.is_none() || expected.winner == found.winner)
}

fn conflict_text(one: &ExpectedConflict) -> String {
    let parts = [
        one.sink.clone(),
        one.key.as_ref().map(row_text),
        one.kind.clone(),
        one.winner.as_ref().map(|winner| format!("won by {winner}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Whether two values say the same.
fn same(expected: &Json, found: &Json) -> bool {
    if expected == found {
        return true;
    }
    match (expected, found) {
        (Json::Null, _) | (_, Json::Null) => false,
        (Json::Bool(expected), found) => {
            let text = plain(found);
            text == expected.to_string() || text == u8::from(*expected).to_string()
        }
        (Json::Array(_) | Json::Object(_), Json::String(text)) => {
            let document = serde_json::from_str::<Json>(text);
            document.is_ok_and(|document| same(expected, &document))
        }
        (Json::Array(expected), Json::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(a, b)| same(a, b))
        }
        (Json::Object(expected), Json::Object(found)) => {
            let both = |a: &Map<String, Json>, b: &Map<String, Json>| {
                a.iter()
                    .all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
            };
            expected.len() == found.len() && both(expected, found)
        }
        (expected, found) => {
            let (expected, found) = (plain(expected), plain(found));
            expected == found || number(&expected).is_some_and(|one| number(&found) == Some(one))
        }
    }
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A plain decimal number without zeros that say nothing; `None` for any other text.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    match whole.is_empty() && fraction.is_empty() {
        true => Some("0".to_owned()),
        false => Some(format!("{sign}{whole}.{fraction}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_as_what_they_say() {
        for (expected, found) in [
            (json!(1), json!("1")),
            (json!(1.5), json!("1.50")),
            (json!("0.00"), json!(0)),
            (json!(true), json!(1)),
            (json!({"a": [1, 2]}), json!("{\"a\":[1,2]}")),
            (json!(null), json!(null)),
        ] {
            assert!(same(&expected, &found), "{expected} {found}");
        }
        for (expected, found) in [
            (json!(1), json!(2)),
            (json!("1.5"), json!("1.5.0")),
            (json!(""), json!(null)),
            (json!(null), json!("")),
            (json!("a"), json!("A")),
            (json!({"a": 1}), json!("{\"a\":1,\"b\":2}")),
        ] {
            assert!(!same(&expected, &found), "{expected} {found}");
        }
    }

    #[test]
    fn rows_are_told_by_their_key() {
        let row = |value: Json| value.as_object().cloned().unwrap_or_default();
        let expected = [
            row(json!({"id": 1, "a": "x"})),
            row(json!({"id": 2, "a": "y"})),
        ];
        let found = [
            row(json!({"id": 1, "a": "z", "b": 5})),
            row(json!({"id": 3, "a": "y"})),
        ];
        let mut lines = Vec::new();
        rows_differ("s", &["id".to_owned()], &expected, &found, &mut lines);
        assert_eq!(
            lines,
            [
                "s: id = 1: a expected \"x\", found \"z\"",
                "s: - id = 2, a = \"y\"",
                "s: + id = 3, a = \"y\""
            ]
        );
    }
}
