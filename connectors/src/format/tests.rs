//! The rules, end to end: bytes in, changes out.
//! Longer than 400 lines: one list of cases.

mod before;
mod keys;
mod oracle;
mod rows;
mod types;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, make_array};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;

use super::*;
use crate::change::Operation;
use crate::record::{Partition, Records};

pub(super) const TOPIC: &str = "crm.public.clients";

/// A record by key and value.
type Message<'a> = (Option<&'a str>, Option<&'a str>);

/// A record by key and value, in bytes.
pub(super) type RawMessage<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

pub(super) fn records(messages: &[RawMessage<'_>], topic: &str) -> Arc<Records> {
    let mut records = Records::default();
    let partition = Partition {
        topic: topic.into(),
        number: 0,
    };
    let partition = records.add_partition(&partition, true);
    for (offset, (key, value)) in messages.iter().enumerate() {
        records.push(partition, offset as i64, Some(99), *key, *value, None);
    }
    Arc::new(records)
}

fn of_texts(messages: &[Message<'_>]) -> Arc<Records> {
    let messages: Vec<_> = messages
        .iter()
        .map(|(key, value)| (key.map(str::as_bytes), value.map(str::as_bytes)))
        .collect();
    records(&messages, TOPIC)
}

/// One line a change: `schema.table[key] c a=1 b=null c=-`, where `-` is unset; then one a reject.
pub(super) fn show(decoded: &Decoded) -> Vec<String> {
    let mut lines = Vec::new();
    for changes in &decoded.changes {
        let schema = changes.schema();
        for row in 0..changes.len() {
            let key = changes
                .key
                .as_deref()
                .map(|key| key.join(","))
                .unwrap_or_default();
            let letter = changes.operations[row].letter();
            let mut line = format!("{}[{key}] {letter}", changes.table.name);
            for (at, column) in changes.rows.columns().iter().enumerate() {
                let value = match (changes.is_unset(at, row), column.is_null(row)) {
                    (true, true) => "-".to_owned(),
                    (true, false) => panic!("an unset value is null"),
                    (false, true) => "null".to_owned(),
                    (false, false) => text(column, row),
                };
                line.push_str(&format!(" {}={value}", schema.field(at).name()));
            }
            lines.push(line);
        }
    }
    for rejected in &decoded.rejected {
        let field = rejected.field.as_deref().unwrap_or_default();
        lines.push(format!(
            "rejected {} {} {field}",
            rejected.origin, rejected.rule
        ));
    }
    lines
}

/// A value as text; an instant without its zone, which arrow-cast writes only with a feature.
fn text(column: &ArrayRef, row: usize) -> String {
    if let DataType::Timestamp(unit, Some(_)) = column.data_type() {
        let local = DataType::Timestamp(*unit, None);
        let local = column
            .to_data()
            .into_builder()
            .data_type(local)
            .build()
            .unwrap();
        return format!(
            "{}Z",
            array_value_to_string(&make_array(local), row).unwrap()
        );
    }
    if matches!(column.data_type(), DataType::Time64(_)) && is_beyond_a_day(column, row) {
        let field = arrow::datatypes::Field::new("x", column.data_type().clone(), true);
        let mut text = Vec::new();
        crate::text::write_text(&field, column, row, &mut text);
        return String::from_utf8(text).unwrap();
    }
    array_value_to_string(column, row).unwrap()
}

/// Arrow shows no such time.
fn is_beyond_a_day(column: &ArrayRef, row: usize) -> bool {
    let units = column.to_data().buffer::<i64>(0)[row];
    let day = match column.data_type() {
        DataType::Time64(arrow::datatypes::TimeUnit::Nanosecond) => 86_400_000_000_000,
        _ => 86_400_000_000,
    };
    !(0..day).contains(&units)
}

fn options() -> DecoderOptions {
    DecoderOptions::default()
}

fn declared(columns: &[(&str, &str)]) -> Option<SchemaRef> {
    let columns = columns
        .iter()
        .map(|&(name, text)| (name.to_owned(), text.to_owned()));
    Some(parse_declared(&DeclaredSchema(columns.collect())).unwrap())
}

#[track_caller]
fn check(options: DecoderOptions, messages: &[Message<'_>], expect: &[&str]) -> Decoded {
    let records = of_texts(messages);
    let decoded = decoder(Format::DebeziumJson, options).decode(&records);
    assert_eq!(show(&decoded), expect);
    decoded
}

const ID: Option<&str> = Some(r#"{"id":1}"#);

/// A schema of an envelope around `id int32`, `name string`, and the payload.
fn wrapped(payload: &str) -> String {
    let row = |field: &str| {
        format!(
            r#"{{"type":"struct","optional":true,"field":"{field}","fields":[{{"type":"int32","optional":false,"field":"id"}},{{"type":"string","optional":true,"field":"name"}}]}}"#
        )
    };
    format!(
        r#"{{"schema":{{"type":"struct","name":"crm.public.clients.Envelope","fields":[{},{},{{"type":"string","optional":false,"field":"op"}}]}},"payload":{payload}}}"#,
        row("before"),
        row("after")
    )
}

#[test]
fn r1_accepts_envelopes_with_a_schema() {
    let source =
        r#""source":{"version":"3","ts_ms":5,"db":"crm","schema":"public","table":"people"}"#;
    let messages = [
        wrapped(&format!(
            r#"{{"before":null,"after":{{"id":1,"name":"a"}},{source},"op":"c","ts_ms":7}}"#
        )),
        wrapped(&format!(
            r#"{{"before":null,"after":{{"id":2,"name":"b"}},{source},"op":"r","ts_ms":7}}"#
        )),
        wrapped(r#"{"after":{"name":"\u00e9","id":3},"op":"u","ts_ms":7}"#),
        wrapped(r#"{"after":{"id":4},"op":"u"}"#),
    ];
    let messages: Vec<Message<'_>> = messages
        .iter()
        .map(|text| (ID, Some(text.as_str())))
        .collect();
    let decoded = check(
        options(),
        &messages,
        &[
            "people[id] c id=1 name=a",
            "people[id] r id=2 name=b",
            "clients[id] u id=3 name=é",
            "clients[id] u id=4 name=-",
        ],
    );
    let times: Vec<_> = decoded
        .changes
        .iter()
        .flat_map(|changes| &changes.event_times_ms)
        .collect();
    assert_eq!(times, [&Some(5), &Some(5), &Some(7), &Some(99)]);
    let table = &decoded.changes[0].table;
    assert_eq!(
        (
            &*table.topic,
            table.database.as_deref(),
            table.schema.as_deref()
        ),
        (TOPIC, Some("crm"), Some("public"))
    );
    assert_eq!(decoded.changes[0].origins, [0, 1]);
    assert_eq!(decoded.total(), 4);
}

#[test]
fn r1_accepts_bare_envelopes_flat_rows_and_nulls() {
    check(
        options(),
        &[
            (
                ID,
                Some(r#"{"before":null,"after":{"id":1,"x":2.5},"op":"c"}"#),
            ),
            (
                ID,
                Some(r#"{ "op" : "u" , "after" : { "x" : 3 , "id" : 1 } }"#),
            ),
        ],
        &["clients[id] c id=1 x=2.5", "clients[id] u id=1 x=3"],
    );
    check(
        options(),
        &[
            (ID, Some(r#"{"id":1,"name":"a"}"#)),
            (
                ID,
                Some(r#"{"id":1,"name":"b","__op":"c","__source_ts_ms":5,"__lsn":77}"#),
            ),
            (ID, Some(r#"{"id":1,"name":"b","__deleted":"true"}"#)),
            (
                ID,
                Some(r#"{"id":1,"name":null,"__deleted":true,"__table":"other"}"#),
            ),
            (ID, Some("null")),
            (ID, Some(r#"{"schema":null,"payload":{"id":1,"name":"c"}}"#)),
        ],
        &[
            "clients[id] u id=1 name=a",
            "clients[id] c id=1 name=b",
            "clients[id] d id=1 name=b",
            "clients[id] u id=1 name=c",
            "other[id] d id=1 name=-",
        ],
    );
    // The event's time: at the source, else the message's, else the record's.
    let timed = [
        (ID, Some(r#"{"id":1,"__source_ts_ms":5,"__ts_ms":7}"#)),
        (ID, Some(r#"{"id":1,"__ts_ms":7,"__snapshot":"false"}"#)),
        (ID, Some(r#"{"id":1}"#)),
    ];
    let decoded = check(options(), &timed, &["clients[id] u id=1"; 3]);
    let times = &decoded.changes[0].event_times_ms;
    assert_eq!(times[..], [Some(5), Some(7), Some(99)]);
    let flat = r#"{"schema":{"type":"struct","fields":[{"field":"id","type":"int32"},{"field":"__op","type":"string"}]},"payload":{"id":1,"__op":"r"}}"#;
    check(
        options(),
        &[(ID, Some(flat)), (ID, Some(flat))],
        &["clients[id] r id=1", "clients[id] r id=1"],
    );
}

#[test]
fn r1_operations() {
    let truncate = r#"{"op":"t","source":{"table":"clients"}}"#;
    let row = r#"{"after":{"id":1},"op":"r","source":{"table":"clients"}}"#;
    let decoded = check(
        options(),
        &[
            (ID, Some(row)),
            (
                None,
                Some(r#"{"op":"m","ts_ms":1,"message":{"prefix":"x"}}"#),
            ),
            (ID, Some(truncate)),
            (ID, Some(row)),
            (
                None,
                Some(r#"{"status":"BEGIN","id":"5","event_count":null,"data_collections":null}"#),
            ),
        ],
        &[
            "clients[id] r id=1",
            "clients[id] t id=-",
            "clients[id] r id=1",
        ],
    );
    assert_eq!((decoded.filtered, decoded.total()), (2, 5));
    let heartbeat = r#"{"schema":{"type":"struct","name":"io.debezium.connector.common.Heartbeat","fields":[{"field":"ts_ms","type":"int64"}]},"payload":{"ts_ms":1}}"#;
    assert_eq!(
        check(options(), &[(None, Some(heartbeat))], &[]).filtered,
        1
    );
}

#[test]
fn rows_of_a_table_called_transaction_are_rows() {
    let row = r#"{"id":1,"status":"BEGIN","ddl":"x"}"#;
    let records = records(&[(None, Some(row.as_bytes()))], "crm.public.transaction");
    let decoded = decoder(Format::DebeziumJson, options()).decode(&records);
    assert_eq!(show(&decoded), ["transaction[] u id=1 status=BEGIN ddl=x"]);
}

#[test]
fn r2_key_from_the_record_then_the_configuration_then_the_row() {
    let row = r#"{"after":{"id":1,"b":2},"op":"c"}"#;
    check(
        options(),
        &[(Some(r#"{"b":2}"#), Some(row))],
        &["clients[b] c id=1 b=2"],
    );
    let wrapped_key = r#"{"schema":{"type":"struct","fields":[{"field":"id","type":"int64"}]},"payload":{"id":1}}"#;
    check(
        options(),
        &[(Some(wrapped_key), Some(row))],
        &["clients[id] c id=1 b=2"],
    );
    let keyed = || DecoderOptions {
        key: Some(vec!["id".to_owned()]),
        ..options()
    };
    check(
        keyed(),
        &[(None, Some(row)), (Some("1"), Some(row))],
        &["clients[id] c id=1 b=2"; 2],
    );
    check(options(), &[(None, Some(row))], &["clients[] c id=1 b=2"]);
    // A delete finds its key in the record key, or in the row before.
    let delete = r#"{"before":null,"after":null,"op":"d"}"#;
    let image = r#"{"before":{"id":1,"b":2},"after":null,"op":"d"}"#;
    check(
        keyed(),
        &[
            (None, Some(row)),
            (Some("7"), Some(delete)),
            (None, Some(image)),
        ],
        &[
            "clients[id] c id=1 b=2",
            "clients[id] d id=7 b=-",
            "clients[id] d id=1 b=2",
        ],
    );
    check(options(), &[(None, Some(image))], &["clients[] d id=1 b=2"]);
    // A delete with no key and a null before is quarantined, never dropped.
    for key in [None, Some("null"), Some("Struct{id=1}"), Some("5")] {
        check(options(), &[(key, Some(delete))], &["rejected 0 R2 "]);
        check(options(), &[(key, None)], &["rejected 0 R2 "]);
    }
}

#[test]
fn deletes_hold_the_image_or_the_key_alone() {
    let delete = |before: &str| wrapped(&format!(r#"{{"before":{before},"after":null,"op":"d"}}"#));
    let expect = |before: &str, expect: &str| {
        check(options(), &[(ID, Some(&delete(before)))], &[expect]);
    };
    expect(r#"{"id":1,"name":"a"}"#, "clients[id] d id=1 name=a");
    expect(r#"{"id":1,"name":null}"#, "clients[id] d id=1 name=-");
    expect(r#"{"id":1}"#, "clients[id] d id=1 name=-");
    expect("null", "clients[id] d id=1 name=-");
    expect(r#"{"id":1,"name":""}"#, "clients[id] d id=1 name=");
    // Connectors fill NOT NULL columns with zeros: they say nothing about the row.
    let required = delete(r#"{"id":1,"name":""}"#).replace(
        r#""optional":true,"field":"name""#,
        r#""optional":false,"field":"name""#,
    );
    check(
        options(),
        &[(ID, Some(&required))],
        &["clients[id] d id=1 name=-"],
    );
    // A UUID that is no UUID, where the key says which row is meant.
    let uuid = required.replace(
        r#""optional":false,"field":"name""#,
        r#""optional":false,"name":"io.debezium.data.Uuid","field":"name""#,
    );
    check(
        options(),
        &[(ID, Some(&uuid))],
        &["clients[id] d id=1 name=-"],
    );
    check(options(), &[(None, Some(&uuid))], &["rejected 0 R3 name"]);
}

#[test]
fn without_a_schema_an_image_of_zeros_is_none() {
    let expect = |value: &str, expect: &str| {
        let delete = format!(r#"{{"before":{{"id":1,"x":{value}}},"after":null,"op":"d"}}"#);
        let row = r#"{"after":{"id":1,"x":null},"op":"c"}"#;
        check(
            options(),
            &[(ID, Some(row)), (ID, Some(&delete))],
            &[
                "clients[id] c id=1 x=null",
                &format!("clients[id] d id=1 x={expect}"),
            ],
        );
    };
    for zero in [
        "0",
        "0.0",
        "false",
        r#""""#,
        r#""0.00""#,
        r#""00:00:00Z""#,
        r#""1970-01-01T00:00:00.000000Z""#,
        r#""{}""#,
        r#"{"x":0.0,"y":0.0,"wkb":"AQ==","srid":null}"#,
    ] {
        expect(zero, "-");
    }
    expect("2", "2");
    expect(r#""PDT""#, "PDT");
    expect(r#""10:00:00Z""#, "10:00:00Z");
}

#[test]
fn r10_a_key_change_is_a_delete_and_a_create() {
    let update =
        |before: &str, after: &str| format!(r#"{{"before":{before},"after":{after},"op":"u"}}"#);
    let row = r#"{"after":{"id":1,"x":"a"},"op":"c"}"#;
    let change = update(r#"{"id":1,"x":"a"}"#, r#"{"id":2,"x":"a"}"#);
    let decoded = check(
        options(),
        &[(ID, Some(row)), (ID, Some(&change))],
        &[
            "clients[id] c id=1 x=a",
            "clients[id] d id=1 x=a",
            "clients[id] c id=2 x=a",
        ],
    );
    assert_eq!(decoded.changes[0].origins, [0, 1, 1]);
    assert_eq!(decoded.total(), 3);
    // As the first message of its table, and with the key alone before.
    let change = update(r#"{"id":1}"#, r#"{"x":"b","id":2}"#);
    check(
        options(),
        &[(ID, Some(&change))],
        &["clients[id] d x=- id=1", "clients[id] c x=b id=2"],
    );
    // The same key, written in another way, is none.
    let same = update(r#"{"id":"a","x":1}"#, r#"{"id":"\u0061","x":2}"#);
    check(
        options(),
        &[(ID, Some(&same)), (ID, Some(&same))],
        &["clients[id] u id=a x=2"; 2],
    );
    let same = update("null", r#"{"id":2,"x":1}"#);
    check(options(), &[(ID, Some(&same))], &["clients[id] u id=2 x=1"]);
}

#[test]
fn r17_what_an_ignored_origin_wrote_is_filtered_with_its_tombstone() {
    let options = || DecoderOptions {
        ignore_origins: vec!["syncline_*".to_owned()],
        ..options()
    };
    let event = |operation: &str, before: &str, after: &str, origin: &str| {
        format!(
            r#"{{"before":{before},"after":{after},"source":{{"ts_ms":5,"table":"clients","origin":{origin}}},"op":"{operation}"}}"#
        )
    };
    let (row, other) = (r#"{"id":1,"x":"a"}"#, r#"{"id":1,"x":"b"}"#);
    let (own, none) = (r#""syncline_b-to-a_a_0""#, "null");
    let echo = event("c", "null", row, own);
    let edit = event("u", row, other, none);
    let deleted = event("d", other, "null", own);
    let truncated = event("t", "null", "null", own);
    let foreign = event("u", row, other, r#""pg_16395""#);
    let moved = event("u", r#"{"id":2,"x":"a"}"#, row, own);
    let decoded = check(
        options(),
        &[
            (ID, Some(&echo)),
            (ID, Some(&edit)),
            (ID, Some(&deleted)),
            (ID, None),
            (None, Some(&truncated)),
            (ID, Some(&moved)),
            (ID, Some(&foreign)),
        ],
        &["clients[id] u id=1 x=b", "clients[id] u id=1 x=b"],
    );
    assert_eq!((decoded.filtered, decoded.ignored), (4, 4));
    assert_eq!((decoded.superseded, decoded.total()), (1, 7));
    // After a restart between a delete and its tombstone nobody knows whose it was.
    let decoded = check(options(), &[(ID, None)], &[]);
    assert_eq!((decoded.superseded, decoded.total()), (1, 1));
    // A bad row of an ignored origin is no bad row.
    let odd = event("u", "null", r#"{"id":1,"x":[]}"#, own);
    let typed = DecoderOptions {
        declared: declared(&[("id", "int64"), ("x", "string")]),
        ..options()
    };
    let rows = [(ID, Some(edit.as_str())), (ID, Some(odd.as_str()))];
    check(typed, &rows, &["clients[id] u id=1 x=b"]);
    // Flat rows carry it as a field of their own.
    let flat = |origin: &str, deleted: &str| {
        format!(r#"{{"id":1,"x":"a","__deleted":"{deleted}","__source_origin":{origin}}}"#)
    };
    let (mine, gone, theirs) = (flat(own, "false"), flat(own, "true"), flat(none, "false"));
    let decoded = check(
        options(),
        &[
            (ID, Some(&mine)),
            (ID, Some(&theirs)),
            (ID, Some(&gone)),
            (ID, None),
            (ID, None),
        ],
        &["clients[id] u id=1 x=a", "rejected 4 R2 "],
    );
    assert_eq!((decoded.ignored, decoded.superseded), (2, 1));
}

#[test]
fn r12_a_delete_with_its_tombstone_is_one_delete() {
    let delete = r#"{"before":{"id":1,"x":"a"},"after":null,"op":"d"}"#;
    let decoded = check(
        options(),
        &[(ID, Some(delete)), (ID, None), (ID, None)],
        &["clients[id] d id=1 x=a", "clients[id] d id=1 x=-"],
    );
    assert_eq!((decoded.superseded, decoded.total()), (1, 3));
    // Of another key it is a delete of its own; so it is where nothing came before.
    check(
        options(),
        &[(ID, Some(delete)), (Some(r#"{"id":2}"#), None)],
        &["clients[id] d id=1 x=a", "clients[id] d id=2 x=-"],
    );
    check(options(), &[(ID, None)], &["clients[id] d id=1"]);
    // Without record keys it is that of the delete right before it, and of nothing else.
    let keyless = check(
        options(),
        &[(None, Some(delete)), (None, None), (None, None)],
        &["clients[] d id=1 x=a", "rejected 2 R2 "],
    );
    assert_eq!(keyless.superseded, 1);
    // Also where the delete ended the batch before.
    let mut decoder = decoder(Format::DebeziumJson, options());
    let all = of_texts(&[(ID, Some(delete)), (ID, None)]);
    let part = |range: std::ops::Range<usize>| {
        Arc::new(Records {
            bytes: all.bytes.clone(),
            entries: all.entries[range].to_vec(),
            partitions: all.partitions.clone(),
            ..Records::default()
        })
    };
    assert_eq!(decoder.decode(&part(0..1)).total(), 1);
    assert_eq!(decoder.decode(&part(1..2)).superseded, 1);
    // Replayed from before the delete, it is not taken for the end of a later one.
    assert_eq!(decoder.decode(&part(0..1)).superseded, 0);
}

#[test]
fn r14_the_placeholder_is_unset() {
    let text = "__debezium_unavailable_value";
    let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
    let numbers: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    let numbers = format!("[{}]", numbers.join(","));
    let check = |unavailable: &str, kind: &str, value: &str, expect: &str| {
        let options = DecoderOptions {
            declared: declared(&[("id", "int64"), ("x", kind)]),
            unavailable: unavailable.to_owned(),
            ..options()
        };
        let row = format!(r#"{{"after":{{"id":1,"x":{value}}},"op":"u"}}"#);
        check(
            options,
            &[(ID, Some(&row))],
            &[&format!("clients[id] u id=1 x={expect}")],
        );
    };
    let quoted = format!("\"{text}\"");
    for kind in [
        "string",
        "json",
        "xml",
        "numeric",
        "uuid",
        "interval",
        "decimal(5,2)",
        "int64",
        "date",
        "timestamptz",
    ] {
        check(text, kind, &quoted, "-");
    }
    check(text, "binary", &format!("\"{base64}\""), "-");
    check(text, "list(string)", &format!("[{quoted}]"), "-");
    check(text, "list(binary)", &format!("[\"{base64}\"]"), "-");
    check(text, "list(int32)", &numbers, "-");
    check(text, "list(int64)", &numbers, "-");
    check(
        text,
        "list(uuid)",
        r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#,
        "-",
    );
    check(text, "json", &format!("{{{quoted}:{quoted}}}"), "-");
    check(
        text,
        "string",
        r#""\u005f_debezium_unavailable_value""#,
        "-",
    );
    check("gone", "string", r#""gone""#, "-");
    check("gone", "string", &quoted, text);
    check("", "string", r#""""#, "");
    check(
        text,
        "string",
        r#""__debezium_unavailable_valu""#,
        "__debezium_unavailable_valu",
    );
    check(text, "list(int32)", "[95, 95]", "[95, 95]");
}

#[test]
fn schemas_in_their_order() {
    let row = r#"{"after":{"id":1,"n":5,"extra":true},"op":"c"}"#;
    let both = DecoderOptions {
        declared: declared(&[("n", "float64"), ("id", "int32")]),
        ..options()
    };
    check(
        both.clone(),
        &[(ID, Some(row))],
        &["clients[id] c n=5.0 id=1"],
    );
    check(
        options(),
        &[(ID, Some(row))],
        &["clients[id] c id=1 n=5 extra=true"],
    );
    let embedded = wrapped(r#"{"after":{"id":1,"name":"a"},"op":"c"}"#);
    check(
        both,
        &[(ID, Some(&embedded))],
        &["clients[id] c id=1 name=a"],
    );
    // Only what is asked for, and the key.
    let asked = DecoderOptions {
        columns: Some(vec!["n".to_owned()]),
        ..options()
    };
    check(asked, &[(ID, Some(row))], &["clients[id] c id=1 n=5"]);
}

#[test]
fn r19_a_value_is_what_it_is_whatever_came_before_it() {
    let row = |fields: &str| format!(r#"{{"after":{{{fields}}},"op":"c"}}"#);
    let all = [
        r#""id":1"#,
        r#""id":2,"x":1"#,
        r#""id":3,"x":1.50,"y":null"#,
        r#""id":4,"x":7"#,
        r#""id":5,"y":true,"x":"text""#,
        r#""id":6,"x":{"a":[1]}"#,
        r#""id":7,"x":"__debezium_unavailable_value""#,
        r#""id":18446744073709551615"#,
    ];
    let expect = [
        "clients[id] c id=1",
        "clients[id] c id=2 x=1",
        "clients[id] c id=3 x=1.50 y=null",
        "clients[id] c id=4 x=7",
        "clients[id] c id=5 x=text y=true",
        r#"clients[id] c id=6 x={"a":[1]}"#,
        "clients[id] c id=7",
        "clients[id] c id=18446744073709551615",
    ];
    let rows: Vec<String> = all.iter().map(|fields| row(fields)).collect();
    let messages: Vec<Message<'_>> = rows.iter().map(|row| (ID, Some(row.as_str()))).collect();
    let carried = |decoded: &Decoded| -> Vec<String> {
        let lines = show(decoded).into_iter();
        let words = |line: String| -> Vec<String> {
            let words = line.split(' ').filter(|word| !word.ends_with("=-"));
            let mut words: Vec<String> = words.map(str::to_owned).collect();
            // Columns stand in the order in which they were seen.
            words[2..].sort();
            words
        };
        lines.map(|line| words(line).join(" ")).collect()
    };
    // In one batch, and with a restart after every record.
    let decoded = decode_all_of(&messages);
    assert_eq!(carried(&decoded), expect);
    // Whole numbers and fractions share a batch, nulls and what is not carried end none.
    let sizes: Vec<usize> = decoded.changes.iter().map(Changes::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 8, "{sizes:?}");
    assert!(sizes.contains(&2) && sizes.len() <= 6, "{sizes:?}");
    for (message, expect) in messages.iter().zip(expect) {
        assert_eq!(carried(&decode_all_of(&[*message])), [expect]);
    }
}

fn decode_all_of(messages: &[Message<'_>]) -> Decoded {
    decoder(Format::DebeziumJson, options()).decode(&of_texts(messages))
}

#[test]
fn r19_a_column_that_a_row_does_not_carry_is_not_null_in_any_form() {
    let columns = || declared(&[("id", "int64"), ("name", "string"), ("x", "string")]);
    let given = |declared| DecoderOptions {
        declared,
        expected: vec!["name".to_owned(), "x".to_owned()],
        ..options()
    };
    let flat = r#"{"id":1,"x":null}"#;
    let bare = r#"{"before":{"id":1},"after":{"id":1,"x":null},"op":"u"}"#;
    for (declared, text) in [
        (columns(), flat),
        (columns(), bare),
        (None, flat),
        (None, bare),
    ] {
        let options = DecoderOptions {
            before: true,
            ..given(declared)
        };
        let decoded = decoder(Format::DebeziumJson, options).decode(&of_texts(&[(ID, Some(text))]));
        let changes = &decoded.changes[0];
        let schema = changes.schema();
        let at = |name: &str| schema.index_of(name).unwrap();
        assert!(changes.is_unset(at("name"), 0) && !changes.is_unset(at("x"), 0));
        assert_eq!(
            changes.incomplete(0..3),
            None,
            "{text}: nothing is unavailable"
        );
    }
    let embedded = wrapped(r#"{"before":{"id":1},"after":{"id":1},"op":"u"}"#);
    let decoded = check(
        options(),
        &[(ID, Some(&embedded))],
        &["clients[id] u id=1 name=-"],
    );
    assert_eq!(decoded.changes[0].incomplete(0..2), None);
    let gone = wrapped(r#"{"after":{"id":1,"name":"__debezium_unavailable_value"},"op":"u"}"#);
    let decoded = check(
        options(),
        &[(ID, Some(&gone))],
        &["clients[id] u id=1 name=-"],
    );
    assert!(decoded.changes[0].incomplete(0..2).is_some());
}

#[test]
fn a_steady_shape_is_one_batch_r19() {
    let rows: Vec<String> = (0..500)
        .map(|id| {
            let price = if id % 2 == 0 { "10" } else { "10.5" };
            let note = if id % 3 == 0 { "null" } else { "\"n\"" };
            format!(r#"{{"id":{id},"price":{price},"note":{note}}}"#)
        })
        .collect();
    let messages: Vec<Message<'_>> = rows.iter().map(|row| (ID, Some(row.as_str()))).collect();
    let mut decoder = decoder(Format::DebeziumJson, options());
    decoder.decode(&of_texts(&messages));
    assert_eq!(decoder.decode(&of_texts(&messages)).changes.len(), 1);
}

#[test]
fn a_bad_message_costs_only_itself() {
    let good = wrapped(
        r#"{"before":null,"after":{"id":1,"name":"a"},"op":"u","source":{"table":"clients"}}"#,
    );
    let bad = [
        wrapped(
            r#"{"before":null,"after":{"id":"x","name":"a"},"op":"u","source":{"table":"clients"}}"#,
        ),
        wrapped(r#"{"before":null,"after":{"id":2147483648,"name":"a"},"op":"u"}"#),
        wrapped(r#"{"after":{"id":1,"name":"b"},"op":"x"}"#),
        wrapped(r#"{"after":{"id":1,"name":7},"op":"u"}"#),
        wrapped(r#"{"after":null,"op":"u"}"#),
        wrapped(r#"{"after":{"id":1,"name":"b"}}"#),
        good[..good.len() - 1].to_owned(),
        good[..good.len() / 2].to_owned(),
        format!("{good}}}"),
        format!("{good} {good}"),
        "7".to_owned(),
        "[]".to_owned(),
        String::new(),
        "hello".to_owned(),
        format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000)),
    ];
    for text in &bad {
        let records = of_texts(&[(ID, Some(&good)), (ID, Some(text)), (ID, Some(&good))]);
        let decoded = decoder(Format::DebeziumJson, options()).decode(&records);
        let lines = show(&decoded);
        assert_eq!(lines[..2], ["clients[id] u id=1 name=a"; 2], "{text}");
        assert!(lines[2].starts_with("rejected 1 R"), "{text}: {lines:?}");
        assert_eq!((lines.len(), decoded.total()), (3, 3), "{text}");
    }
    let mut broken = good.clone().into_bytes();
    let at = good.find("\"a\"").unwrap() + 1;
    broken[at] = 0xFF;
    let key = ID.map(str::as_bytes);
    let messages = [
        (key, Some(good.as_bytes())),
        (key, Some(&*broken)),
        (key, Some(good.as_bytes())),
    ];
    let decoded = decoder(Format::DebeziumJson, options()).decode(&records(&messages, TOPIC));
    assert_eq!(show(&decoded)[2], "rejected 1 R1 ");
    assert_eq!(decoded.total(), 3);
}

#[test]
fn reasons_name_the_field_and_never_the_value() {
    let row = wrapped(r#"{"after":{"id":"secret","name":"a"},"op":"u"}"#);
    let decoded = check(options(), &[(ID, Some(&row))], &["rejected 0 R3 id"]);
    assert_eq!(decoded.rejected[0].reason, "found a string, expected int32");
}

#[test]
fn tables_by_source_topic_and_file() {
    let check = |topic: &str, default_table: Option<&str>, expect: &str| {
        let options = DecoderOptions {
            default_table: default_table.map(str::to_owned),
            ..options()
        };
        let records = records(&[(None, Some(b"{\"id\":1}"))], topic);
        let decoded = decoder(Format::DebeziumJson, options).decode(&records);
        let table = &decoded.changes[0].table;
        assert_eq!((&*table.name, &*table.topic), (expect, topic));
    };
    check("crm.public.clients", None, "clients");
    check("clients", None, "clients");
    check("data/crm/clients.jsonl", None, "clients");
    check("clients.jsonl", None, "clients");
    check("data/clients", None, "clients");
    check("data/clients.jsonl", Some("people"), "people");
}

#[test]
fn a_schema_change_begins_a_batch_and_keeps_the_order() {
    let old = wrapped(r#"{"after":{"id":1,"name":"a"},"op":"u"}"#);
    let new = old.replace("\"int32\"", "\"int64\"");
    let decoded = check(
        options(),
        &[
            (ID, Some(&old)),
            (ID, Some(&new)),
            (ID, Some(&new)),
            (ID, Some(&old)),
        ],
        &["clients[id] u id=1 name=a"; 4],
    );
    let origins: Vec<_> = decoded
        .changes
        .iter()
        .map(|changes| changes.origins.clone())
        .collect();
    assert_eq!(origins, [vec![0], vec![1, 2], vec![3]]);
}

#[test]
fn several_tables_in_one_topic() {
    let row = |table: &str, id: i32| {
        format!(r#"{{"after":{{"id":{id}}},"op":"c","source":{{"table":"{table}"}}}}"#)
    };
    let rows = [row("a", 1), row("b", 2), row("a", 3)];
    let messages: Vec<Message<'_>> = rows.iter().map(|row| (ID, Some(row.as_str()))).collect();
    check(
        options(),
        &messages,
        &["a[id] c id=1", "a[id] c id=3", "b[id] c id=2"],
    );
}

#[test]
fn format_and_declared_schema_read_as_they_are_written() {
    assert_eq!(
        serde_json::from_str::<Format>("\"debezium-json\"").unwrap(),
        Format::DebeziumJson
    );
    let text = r#"{"b":"int64","a":"string"}"#;
    let schema: DeclaredSchema = serde_json::from_str(text).unwrap();
    assert_eq!(schema.0[0].0, "b");
    assert_eq!(serde_json::to_string(&schema).unwrap(), text);
    assert_eq!(Operation::Create.letter(), "c");
}
