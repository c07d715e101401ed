//! What is written is read as the same changes: by the decoder of the same format.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::format::{DecoderOptions, Format, decoder};
use crate::record::{Partition, Records};

/// A key and a value.
type Message<'m> = (Option<&'m [u8]>, Option<&'m [u8]>);

fn records(values: &[Message<'_>]) -> Arc<Records> {
    let mut records = Records::default();
    let partition = Partition {
        topic: "crm.public.clients".into(),
        number: 0,
    };
    let number = records.add_partition(&partition, true);
    for (offset, (key, value)) in values.iter().enumerate() {
        records.push(number, offset as i64, None, *key, *value, None);
    }
    Arc::new(records)
}

/// Changes of these events, with rows before.
fn changes(values: &[String]) -> Vec<Changes> {
    let options = DecoderOptions {
        before: true,
        key: Some(vec!["id".to_owned()]),
        ..DecoderOptions::default()
    };
    let values: Vec<_> = values
        .iter()
        .map(|value| (None, Some(value.as_bytes())))
        .collect();
    let decoded = decoder(Format::DebeziumJson, options).decode(&records(&values));
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    decoded.changes
}

const SCHEMA: &str = r#"[
    {"field":"id","type":"int64","optional":false},
    {"field":"name","type":"string","optional":true},
    {"field":"small","type":"int16","optional":true},
    {"field":"active","type":"boolean","optional":true},
    {"field":"ratio","type":"double","optional":true},
    {"field":"photo","type":"bytes","optional":true},
    {"field":"balance","type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"12"}},
    {"field":"wide","type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"50"}},
    {"field":"born","type":"int32","optional":true,"name":"io.debezium.time.Date"},
    {"field":"opens","type":"int64","optional":true,"name":"io.debezium.time.MicroTime"},
    {"field":"made","type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp"},
    {"field":"seen","type":"string","optional":true,"name":"io.debezium.time.ZonedTimestamp"},
    {"field":"extra","type":"string","optional":true,"name":"io.debezium.data.Json"},
    {"field":"token","type":"string","optional":true,"name":"io.debezium.data.Uuid"},
    {"field":"tags","type":"array","optional":true,"items":{"type":"string","optional":true}}
]"#;

fn event(op: &str, before: &serde_json::Value, after: &serde_json::Value) -> String {
    let fields: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let row =
        |name: &str| json!({ "type": "struct", "field": name, "fields": fields, "optional": true });
    json!({
        "schema": { "type": "struct", "fields": [row("before"), row("after"),
            { "type": "string", "field": "op" }] },
        "payload": { "before": before, "after": after, "op": op, "ts_ms": 9,
            "source": { "db": "crm", "schema": "public", "table": "clients", "ts_ms": 5 } },
    })
    .to_string()
}

fn full(id: i64) -> serde_json::Value {
    json!({
        "id": id, "name": "Zoë \"Z\"", "small": -3, "active": true, "ratio": 0.1, "photo": "AAH/",
        "balance": "+w==", "wide": "AIAAAAAAAAAAAAAAAAAAAA==", "born": -1, "opens": 1, "made": -1,
        "seen": "2026-01-02T03:04:05.123456Z", "extra": "{\"a\":1}",
        "token": "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f", "tags": ["a", null],
    })
}

fn nulls(id: i64) -> serde_json::Value {
    let mut row = full(id);
    for (name, value) in row.as_object_mut().unwrap() {
        if name != "id" {
            *value = serde_json::Value::Null;
        }
    }
    row
}

fn writer(is_events: bool) -> AvroMessages {
    let settings = serde_json::from_value(json!({ "url": "http://127.0.0.1:9" })).unwrap();
    AvroMessages::new(&settings, is_events).unwrap()
}

#[test]
fn events_are_read_as_the_same_changes() {
    let null = serde_json::Value::Null;
    let given = changes(&[
        event("c", &null, &full(1)),
        event("c", &null, &nulls(2)),
        event("u", &full(1), &nulls(1)),
        event("d", &nulls(2), &null),
        event("t", &null, &null),
    ]);
    let (key, ids) = ([0], Ids { key: 1, value: 2 });
    let columns: Vec<&Field> = given[0]
        .rows
        .schema_ref()
        .fields()
        .iter()
        .map(AsRef::as_ref)
        .collect();
    let schemas = [
        (
            1,
            key_schema("crm.public.clients", &columns[..1]).to_string(),
        ),
        (2, event_schema("crm.public.clients", &columns).to_string()),
    ];
    let messages: Vec<OutRecord> = given
        .iter()
        .flat_map(|batch| (0..batch.len()).map(move |row| (batch, row)))
        .flat_map(|(batch, row)| writer(true).messages(batch, row, &key, ids).unwrap())
        .collect();
    let parts: Vec<_> = messages
        .iter()
        .map(|message| (message.key.as_deref(), message.value.as_deref()))
        .collect();
    // A truncate has no key of its own.
    let options = DecoderOptions {
        before: true,
        key: Some(vec!["id".to_owned()]),
        ..DecoderOptions::default()
    };
    let found = crate::format::decode_avro(options, &schemas, &records(&parts));
    assert!(found.rejected.is_empty(), "{:?}", found.rejected);
    assert_eq!(found.superseded, 1, "the tombstone behind its delete");
    let rows = |all: &[Changes]| -> Vec<RecordBatch> {
        all.iter().map(|batch| batch.rows.clone()).collect()
    };
    assert_eq!(rows(&found.changes), rows(&given));
    let operations = |all: &[Changes]| -> Vec<Operation> {
        all.iter()
            .flat_map(|batch| batch.operations.clone())
            .collect()
    };
    assert_eq!(operations(&found.changes), operations(&given));
    let before = |all: &[Changes]| all[0].before.as_ref().map(|before| before.rows.slice(2, 1));
    assert_eq!(before(&found.changes), before(&given));
    assert_eq!(found.changes[0].table, given[0].table);
}

#[test]
fn a_row_that_avro_cannot_say_is_refused() {
    let null = serde_json::Value::Null;
    let mut partial = full(1);
    partial["name"] = "__debezium_unavailable_value".into();
    let text = changes(&[event("u", &null, &partial)]);
    let ids = Ids { key: 1, value: 2 };
    // An event says so as Debezium does.
    assert!(writer(true).messages(&text[0], 0, &[0], ids).is_ok());
    let rule = |is_events: bool, changes: &Changes, key: &[usize]| {
        let refused = writer(is_events)
            .messages(changes, 0, key, ids)
            .unwrap_err();
        (refused.rule, refused.field)
    };
    let of = |rule: &str, field: Option<&str>| (rule.to_owned(), field.map(str::to_owned));
    assert_eq!(rule(false, &text[0], &[0]), of("R14", Some("name")));
    partial["photo"] = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==".into();
    let bytes = changes(&[event("u", &null, &partial)]);
    assert_eq!(rule(true, &bytes[0], &[0]), of("R14", Some("photo")));
    let truncate = changes(&[event("t", &null, &null)]);
    assert_eq!(rule(false, &truncate[0], &[0]), of("R13", None));
    assert_eq!(rule(true, &text[0], &[]), of("R2", None));
}

#[test]
fn names_are_those_of_avro() {
    for (topic, expect) in [
        ("crm.public.clients", "crm.public.clients"),
        ("replica-clients", "replica_clients"),
        ("1.a", "_1.a"),
        ("a..b", "a._.b"),
    ] {
        assert_eq!(namespace(topic), expect);
    }
    assert!(is_name("a_1") && !is_name("1a") && !is_name("a-b") && !is_name("") && !is_name("ü"));
}
