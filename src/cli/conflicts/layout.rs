//! Output in aligned columns, times as text, and the sides of a row next to each other.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};
use syncline_connectors::conflict::{Json, QueueEntry, QueueState, Sides};

/// Shown where a side has no value.
const NOTHING: &str = "-";

/// Formats rows as columns of equal width, two spaces apart, without spaces at the end of a line.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(known) => *known = width.max(*known),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// An instant, in milliseconds since the epoch, as text in UTC.
pub(in crate::cli) fn instant(milliseconds: i64) -> String {
    DateTime::from_timestamp_millis(milliseconds).map_or_else(
        || milliseconds.to_string(),
        |instant| instant.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

/// A text on one line: control characters are escaped, so that a value cannot move the cursor.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// A key as text: the value of its only column, otherwise the JSON object.
pub(in crate::cli) fn key(key: &Json) -> String {
    let columns = object(Some(key));
    match columns.iter().next() {
        Some((name, value)) if columns.len() == 1 => one_line(&format!("{name}={}", plain(value))),
        _ => one_line(&key.0),
    }
}

/// The state of an entry: waiting, or who decided it, how and when.
pub(super) fn state(entry: &QueueEntry) -> String {
    let mut text = entry.state.name().to_owned();
    if entry.state == QueueState::Open {
        return text;
    }
    if let Some(taken) = &entry.taken {
        text.push_str(&format!(": {}", one_line(taken)));
    }
    if let Some(who) = &entry.resolved_by {
        text.push_str(&format!(" by {}", one_line(who)));
    }
    if let Some(when) = entry.resolved_at_ms {
        text.push_str(&format!(" at {}", instant(when)));
    }
    text
}

/// Base, source and target next to each other, one column on each line; `*` marks columns that
/// differ between source and target. Values are JSON, so that null and the text "null" differ.
pub(super) fn side_by_side(sides: &Sides, columns: &Json) -> String {
    let strategies = object(Some(columns));
    let all = [&sides.base, &sides.source, &sides.target].map(|side| object(side.as_ref()));
    let [base, source, target] = &all;
    let mut names: Vec<&String> = Vec::new();
    for name in [source, target, base].into_iter().flat_map(Map::keys) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let has_strategies = !strategies.is_empty();
    let mut heads = vec!["", "column", "base", "source", "target"];
    heads.extend(has_strategies.then_some("strategy"));
    let mut rows = vec![heads.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for name in names {
        let values = [base, source, target].map(|side| {
            let value = side.get(name);
            value.map_or_else(|| NOTHING.to_owned(), |value| one_line(&value.to_string()))
        });
        // A column that the change does not set cannot be in conflict.
        let differs = source.contains_key(name) && source.get(name) != target.get(name);
        let mark = if differs { "*" } else { "" };
        let mut row = vec![mark.to_owned(), one_line(name)];
        row.extend(values);
        if has_strategies {
            row.push(strategies.get(name).map(plain).unwrap_or_default());
        }
        rows.push(row);
    }
    let mut text = aligned(&rows);
    for (side, what) in [
        (&sides.source, "the change carries no row"),
        (&sides.target, "the target has no row"),
        (&sides.base, "the base is unknown"),
    ] {
        if side.is_none() {
            text.push_str(&format!("{what}\n"));
        }
    }
    text
}

/// A value as text; a string without its quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// The columns of an image; empty if there is no image.
pub(super) fn object(image: Option<&Json>) -> Map<String, Value> {
    match image.map(|image| serde_json::from_str(&image.0)) {
        Some(Ok(Value::Object(columns))) => columns,
        _ => Map::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use expect_test::expect;
    use syncline_connectors::conflict::{ConflictType, Place};

    use super::*;

    /// An entry for tests.
    pub(in super::super) fn entry() -> QueueEntry {
        let json = |text: &str| Some(Json(text.to_owned()));
        QueueEntry {
            id: 17,
            pipeline: "crm".to_owned(),
            sink: "billing".to_owned(),
            source: "crm".to_owned(),
            target: "clients".to_owned(),
            key: Json(r#"{"id":42}"#.to_owned()),
            kind: ConflictType::UpdateOriginDiffers,
            columns: Json(r#"{"name":"manual"}"#.to_owned()),
            reason: "manual".to_owned(),
            rows: Sides {
                base: json(r#"{"id":42,"name":"Ann","notes":null}"#),
                source: json(r#"{"id":42,"name":"Anna\nB","notes":"null"}"#),
                target: json(r#"{"id":42,"name":"Anne","notes":null,"own":1.50}"#),
                result: None,
            },
            change: String::new(),
            place: Place {
                topic: "crm.clients".to_owned(),
                partition: 3,
                position: 99,
                event_time_ms: Some(1_000),
            },
            opened_at_ms: 1_700_000_000_000,
            state: QueueState::Open,
            taken: None,
            resolved_by: None,
            resolved_at_ms: None,
            waiting: 2,
        }
    }

    #[test]
    fn the_sides_of_a_row_stand_next_to_each_other() {
        let entry = entry();
        expect![[r#"
               column  base   source     target  strategy
               id      42     42         42
            *  name    "Ann"  "Anna\nB"  "Anne"  manual
            *  notes   null   "null"     null
               own     -      -          1.50
        "#]]
        .assert_eq(&side_by_side(&entry.rows, &entry.columns));
        let gone = Sides {
            source: entry.rows.source.clone(),
            ..Sides::default()
        };
        expect![[r#"
               column  base  source     target
            *  id      -     42         -
            *  name    -     "Anna\nB"  -
            *  notes   -     "null"     -
            the target has no row
            the base is unknown
        "#]]
        .assert_eq(&side_by_side(&gone, &Json("{}".to_owned())));
    }

    #[test]
    fn who_decided_and_when() {
        let decided = QueueEntry {
            state: QueueState::Resolved,
            taken: Some("source".to_owned()),
            resolved_by: Some("ann".to_owned()),
            resolved_at_ms: Some(0),
            ..entry()
        };
        assert_eq!(state(&entry()), "open");
        assert_eq!(
            state(&decided),
            "resolved: source by ann at 1970-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn no_value_moves_the_cursor() {
        assert_eq!(one_line("a\u{1b}[2J\nü"), "a\\u{1b}[2J\\nü");
        assert_eq!(key(&Json(r#"{"id":"a b"}"#.to_owned())), "id=a b");
        assert_eq!(
            key(&Json(r#"{"a":1,"b":2}"#.to_owned())),
            r#"{"a":1,"b":2}"#
        );
    }
}
