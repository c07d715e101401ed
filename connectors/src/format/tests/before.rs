//! The rows before of updates: what they hold, and when there are none.
//! Longer than 400 lines: one list of cases.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::oracle::{decode_all, fields, row, schema, write};
use super::*;
use crate::change::Changes;

fn asked() -> DecoderOptions {
    DecoderOptions {
        before: true,
        ..options()
    }
}

/// A line a change: its letter, and its row before as [`show`] writes rows; `none` where there is
/// none. A batch without any is `-`.
fn images(decoded: &Decoded) -> Vec<String> {
    let mut lines = Vec::new();
    for changes in &decoded.changes {
        let Some(before) = &changes.before else {
            lines.push("-".to_owned());
            continue;
        };
        assert_eq!(before.rows.schema(), changes.rows.schema());
        for row in 0..changes.len() {
            let cells = before
                .rows
                .columns()
                .iter()
                .enumerate()
                .map(|(at, column)| {
                    let unset = before.unset[at]
                        .as_ref()
                        .is_some_and(|mask| mask.value(row));
                    assert!(before.present.value(row) || column.is_null(row) && !unset);
                    let value = match (unset, column.is_null(row)) {
                        (true, true) => "-".to_owned(),
                        (true, false) => panic!("an unset value is null"),
                        (false, true) => "null".to_owned(),
                        (false, false) => text(column, row),
                    };
                    format!(" {}={value}", changes.schema().field(at).name())
                });
            let cells: String = cells.collect();
            let cells = if before.present.value(row) {
                &cells
            } else {
                " none"
            };
            lines.push(format!("{}{cells}", changes.operations[row].letter()));
        }
    }
    lines
}

#[track_caller]
fn check_images(options: DecoderOptions, values: &[&str], expect: &[&str]) -> Decoded {
    let messages: Vec<Message<'_>> = values.iter().map(|&value| (ID, Some(value))).collect();
    let decoded = decoder(Format::DebeziumJson, options.clone()).decode(&of_texts(&messages));
    assert_eq!(images(&decoded), expect, "{values:?}");
    // Asked or not, the changes are the same (R17).
    let unasked = DecoderOptions {
        before: false,
        ..options
    };
    let unasked = decoder(Format::DebeziumJson, unasked).decode(&of_texts(&messages));
    assert_eq!(show(&decoded), show(&unasked), "{values:?}");
    assert!(
        unasked
            .changes
            .iter()
            .all(|changes| changes.before.is_none())
    );
    decoded
}

fn update(before: &str, after: &str) -> String {
    wrapped(&format!(
        r#"{{"before":{before},"after":{after},"op":"u"}}"#
    ))
}

#[test]
fn an_update_carries_its_row_before() {
    let a = r#"{"id":1,"name":"a"}"#;
    let b = r#"{"id":1,"name":"b"}"#;
    let check = |before: &str, expect: &str| {
        check_images(asked(), &[&update(before, b)], &[expect]);
        // The same where the stream knows its columns already.
        let known = [&*update(a, b), &update(before, b), &update(a, b)];
        let expect = if expect == "-" { "u none" } else { expect };
        let full = "u id=1 name=a";
        check_images(asked(), &known, &[full, expect, full]);
    };
    check(a, "u id=1 name=a");
    check(r#"{"name":"a","id":1}"#, "u id=1 name=a");
    check(r#"{"id":1,"name":"x","name":"a"}"#, "u id=1 name=a");
    check(r#"{"name":"a","left_out":[{}]}"#, "u id=- name=a");
    // Nothing, or nothing but the key: the source did not send the row.
    check("null", "-");
    check("{}", "-");
    check(r#"{"id":1}"#, "-");
    check(r#"{"id":1,"name":null}"#, "-");
    check(r#"{"id":1,"name":"__debezium_unavailable_value"}"#, "-");
    // R3: what cannot be read costs only itself.
    check(r#"{"id":1,"name":7}"#, "-");
    check(r#"{"id":1,"name":[1,"]"]}"#, "-");
}

#[test]
fn zeros_of_columns_that_are_not_null_are_no_row() {
    let change = update(r#"{"id":1,"name":""}"#, r#"{"id":1,"name":"b"}"#);
    check_images(asked(), &[&change], &["u id=1 name="]);
    let required = change.replace(
        r#""optional":true,"field":"name""#,
        r#""optional":false,"field":"name""#,
    );
    check_images(asked(), &[&required], &["-"]);
}

#[test]
fn only_an_update_has_an_image() {
    let change = |operation: &str, after: &str| {
        let before = r#"{"id":1,"name":"a"}"#;
        wrapped(&format!(
            r#"{{"before":{before},"after":{after},"op":"{operation}"}}"#
        ))
    };
    let row = r#"{"id":1,"name":"b"}"#;
    let expect = [
        "c none",
        "u id=1 name=a",
        "d none",
        "r none",
        "t none",
        "u id=1 name=a",
    ];
    let changes = [
        &*change("c", row),
        &change("u", row),
        &change("d", "null"),
        &change("r", row),
        &change("t", "null"),
        &change("u", row),
    ];
    check_images(asked(), &changes, &expect);
    check_images(asked(), &[&change("d", "null"), &change("c", row)], &["-"]);
    // A flat row says nothing of what was there before.
    check_images(
        asked(),
        &[r#"{"id":1,"name":"b"}"#, r#"{"id":1,"before":{"id":2}}"#],
        &["-", "-"],
    );
    // After the row after, and twice: the last counts.
    let turned = wrapped(&format!(
        r#"{{"op":"u","after":{row},"before":{{"id":9,"name":"x"}},"before":{{"id":1,"name":"a"}}}}"#
    ));
    let null = wrapped(&format!(
        r#"{{"op":"u","before":{row},"before":null,"after":{row}}}"#
    ));
    check_images(
        asked(),
        &[&turned, &turned, &null],
        &["u id=1 name=a", "u id=1 name=a", "u none"],
    );
}

#[test]
fn r10_a_key_change_has_no_image() {
    let change = update(r#"{"id":1,"name":"a"}"#, r#"{"id":2,"name":"b"}"#);
    let plain = update(r#"{"id":1,"name":"a"}"#, r#"{"id":1,"name":"b"}"#);
    check_images(
        asked(),
        &[&plain, &change, &plain],
        &["u id=1 name=a", "d none", "c none", "u id=1 name=a"],
    );
    check_images(asked(), &[&change], &["-"]);
    // The same key, written in another way, is an update like any other.
    let same =
        |before: &str| format!(r#"{{"before":{before},"after":{{"id":"a","x":2}},"op":"u"}}"#);
    let same = same(r#"{"id":"\u0061","x":1}"#);
    check_images(asked(), &[&same, &same], &["u id=a x=1"; 2]);
}

#[test]
fn r10_a_key_change_is_seen_where_its_rows_have_other_kinds() {
    let row = r#"{"after":{"id":1,"x":1},"op":"c"}"#;
    let change = r#"{"before":{"id":1,"x":1},"after":{"id":2,"x":"text"},"op":"u"}"#;
    let same = r#"{"before":{"id":2,"x":1},"after":{"id":2.0,"x":"text"},"op":"u"}"#;
    let mut decoder = decoder(Format::DebeziumJson, options());
    decoder.decode(&of_texts(&[(ID, Some(row))]));
    let decoded = decoder.decode(&of_texts(&[(ID, Some(change)), (ID, Some(same))]));
    assert_eq!(
        show(&decoded),
        [
            "clients[id] d id=1 x=1",
            "clients[id] c id=2 x=text",
            "clients[id] u id=2.0 x=text"
        ]
    );
}

#[test]
fn nothing_of_a_refused_message_is_left() {
    let row =
        |before: &str| format!(r#"{{"before":{before},"after":{{"id":1,"name":"b"}},"op":"u"}}"#);
    let (good, full) = (row("null"), row(r#"{"id":1,"name":"a"}"#));
    let options = DecoderOptions {
        declared: declared(&[("id", "int64"), ("name", "string")]),
        ..asked()
    };
    let refused = [
        full.replace(r#""op":"u""#, r#""op":"x""#),
        full.replace(r#""op":"u""#, r#""op":"m""#),
        full.replace(r#""name":"b""#, r#""name":7"#),
        full.replace(r#""op":"u""#, r#""op":"u","#),
        full.replace(
            r#""op":"u""#,
            r#""status":1,"event_count":1,"data_collections":1"#,
        ),
        full.replace(r#""op":"u""#, r#""op":"u","source":{"table":"other"}"#),
    ];
    for refused in &refused {
        let mut expect = vec!["u id=1 name=a", "u none", "u id=1 name=a"];
        // A change of another table has a batch of its own.
        expect.extend(refused.contains("other").then_some("u id=1 name=a"));
        check_images(options.clone(), &[&full, refused, &good, &full], &expect);
    }
}

#[test]
fn a_row_before_of_other_kinds_is_none_r19() {
    let change = |before: &str, after: &str| {
        format!(r#"{{"before":{{"id":1,"x":{before}}},"after":{{"id":1,"x":{after}}},"op":"u"}}"#)
    };
    let mut decoder = decoder(Format::DebeziumJson, asked());
    let mut check = |before: &str, after: &str, expect: [&str; 2]| {
        let decoded = decoder.decode(&of_texts(&[(ID, Some(&change(before, after)))]));
        assert_eq!(
            (show(&decoded), images(&decoded)),
            (vec![expect[0].to_owned()], vec![expect[1].to_owned()])
        );
    };
    check("5", "null", ["clients[id] u id=1 x=null", "u id=1 x=5"]);
    check("5", "6", ["clients[id] u id=1 x=6", "u id=1 x=5"]);
    check("1.5", "6", ["clients[id] u id=1 x=6", "u id=1 x=1.5"]);
    check("\"a\"", "6", ["clients[id] u id=1 x=6", "-"]);
    check("6", "\"a\"", ["clients[id] u id=1 x=a", "-"]);
}

#[test]
fn r14_what_is_not_available_is_unset() {
    let options = DecoderOptions {
        declared: declared(&[
            ("id", "int64"),
            ("x", "string"),
            ("y", "int32"),
            ("z", "json"),
        ]),
        ..asked()
    };
    let gone = "\"__debezium_unavailable_value\"";
    let change = |x: &str, z: &str| {
        format!(
            r#"{{"before":{{"id":1,"x":{x},"y":7,"z":{z}}},"after":{{"id":1,"x":{gone},"y":8,"z":null}},"op":"u"}}"#
        )
    };
    let changes = [
        change("\"a\"", "{}"),
        change(gone, "[1]"),
        change("null", gone),
    ];
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    let expect = [
        "u id=1 x=a y=7 z={}",
        "u id=1 x=- y=7 z=[1]",
        "u id=1 x=null y=7 z=-",
    ];
    check_images(options, &changes, &expect);
}

#[test]
fn only_the_columns_asked_for() {
    let options = DecoderOptions {
        columns: Some(vec!["x".to_owned()]),
        ..asked()
    };
    let change = r#"{"before":{"id":1,"x":2,"y":3},"after":{"id":1,"x":4,"y":5},"op":"u"}"#;
    check_images(options, &[change, change], &["u id=1 x=2"; 2]);
}

/// What connectors really sent: the image is what its object is as a row after.
#[test]
fn real_rows_before_are_read_as_rows_after_are() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let lines = |path: &str| {
        let text = std::fs::read_to_string(format!("{folder}/{path}")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    let check = |messages: &[Value], full: usize| {
        let turned = messages.iter().map(|message| {
            let mut message = message.clone();
            let envelope = match message.get_mut("payload") {
                Some(payload) => payload,
                None => &mut message,
            };
            envelope["after"] = envelope["before"].take();
            message
        });
        let texts = |messages: &mut dyn Iterator<Item = Value>| -> Vec<String> {
            messages.map(|message| message.to_string()).collect()
        };
        let options = DecoderOptions {
            key: Some(vec!["id".to_owned()]),
            ..asked()
        };
        let decoded = decode_keyless(options.clone(), &texts(&mut messages.iter().cloned()));
        let oracle = decode_keyless(options, &texts(&mut turned.clone()));
        let mut seen = 0;
        for (changes, row) in rows(&decoded) {
            let before = changes
                .before
                .as_ref()
                .filter(|before| before.present.value(row));
            let Some(before) = before else { continue };
            let found = rows(&oracle)
                .find(|(other, at)| other.origins[*at] == changes.origins[row])
                .unwrap();
            for (at, field) in changes.schema().fields().iter().enumerate() {
                let place = found.0.schema().index_of(field.name()).unwrap();
                let cell =
                    |column: &ArrayRef, row| (!column.is_null(row)).then(|| text(column, row));
                assert_eq!(
                    (
                        cell(before.rows.column(at), row),
                        before.unset[at]
                            .as_ref()
                            .is_some_and(|mask| mask.value(row))
                    ),
                    (
                        cell(found.0.rows.column(place), found.1),
                        found.0.is_unset(place, found.1)
                    ),
                    "{}",
                    field.name()
                );
            }
            seen += 1;
        }
        assert_eq!(seen, full);
    };
    let updates = |values: Vec<Value>| -> Vec<Value> {
        let payload = |value: &Value| value.get("payload").unwrap_or(value)["op"] == "u";
        values.into_iter().filter(payload).collect()
    };
    let clients = updates(lines("pipelines/quickstart/clients.jsonl"));
    check(&clients[..500], 500);
    for name in ["debezium-postgres-types", "debezium-postgres-types-text"] {
        let records = lines(&format!("tests/fixtures/{name}.jsonl"));
        let values = records.into_iter().map(|record| record["value"].clone());
        check(&updates(values.collect()), 1);
    }
}

fn decode_keyless(options: DecoderOptions, messages: &[String]) -> Decoded {
    let messages: Vec<Message<'_>> = messages
        .iter()
        .map(|text| (None, Some(text.as_str())))
        .collect();
    decoder(Format::DebeziumJson, options).decode(&of_texts(&messages))
}

/// Every row with its batch.
fn rows(decoded: &Decoded) -> impl Iterator<Item = (&Changes, usize)> {
    let batches = decoded.changes.iter();
    batches.flat_map(|changes| (0..changes.len()).map(move |row| (changes, row)))
}

proptest! {
    /// The image is what the object is as a row after, where it holds more than the key; the rest of
    /// the batch is what it is without.
    #[test]
    fn the_image_is_what_the_object_is_as_a_row_after(
        updates in proptest::collection::vec((proptest::option::of(row()), row(), 0..7usize, "[ \n\t]{0,2}"), 1..20),
    ) {
        let mut befores = Vec::new();
        let mut messages = Vec::new();
        for (before, after, turn, space) in &updates {
            let mut fields_before = before.as_ref().map(fields);
            if let Some(fields) = &mut fields_before {
                // The key stays.
                fields[0].1 = json!(after.0);
            }
            let before = fields_before.map_or("null".to_owned(), |fields| write(&fields, *turn, space));
            messages.push(format!("{{\"before\":{before},\"after\":{},\"op\":\"u\"}}", write(&fields(after), *turn, space)));
            befores.push(before);
        }
        let declared = |before| DecoderOptions { declared: Some(Arc::new(schema())), before, ..options() };
        let decoded = decode_all(declared(true), &messages);
        let without = decode_all(declared(false), &messages);
        prop_assert_eq!(&decoded.changes[0].rows, &without.changes[0].rows);
        let as_rows = |start: &str, operation: &str| -> Vec<String> {
            let row = |before: &String| if before == "null" { "{\"id\":1}" } else { before }.to_owned();
            befores.iter().map(|before| format!("{{\"{start}\":{},\"op\":\"{operation}\"}}", row(before))).collect()
        };
        let after = decode_all(declared(false), &as_rows("after", "c"));
        // A delete of the same row says whether it holds more than the key.
        let deletes = decode_all(declared(false), &as_rows("before", "d"));
        let is_full = |row: usize| (1..6).any(|column| !deletes.changes[0].is_unset(column, row));
        match &decoded.changes[0].before {
            None => prop_assert!(!(0..updates.len()).any(is_full)),
            Some(image) => {
                prop_assert_eq!(image.rows.num_rows(), updates.len());
                for (row, message) in messages.iter().enumerate().take(updates.len()) {
                    prop_assert_eq!(image.present.value(row), is_full(row), "{}", message);
                    for (column, expect) in image.rows.columns().iter().zip(after.changes[0].rows.columns()) {
                        if is_full(row) {
                            prop_assert_eq!(&column.slice(row, 1), &expect.slice(row, 1));
                        } else {
                            prop_assert!(column.is_null(row));
                        }
                    }
                }
            }
        }
    }
}
