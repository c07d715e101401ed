//! Messages that a real client wrote (`tests/fixtures/avro`), and the types of both formats side by side.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use expect_test::{Expect, expect};
use serde_json::Value;

mod types;

use super::*;
use crate::format::tests::{TOPIC, records, show};
use crate::record::Partition;

const MESSAGES: &str = include_str!("../../../../tests/fixtures/avro/messages.jsonl");
const SCHEMAS: &str = include_str!("../../../../tests/fixtures/avro/schemas.json");

/// The schemas of the fixture, as the registry gives them.
fn fixture_schemas() -> HashMap<u32, FoundSchema> {
    let answers: Value = serde_json::from_str(SCHEMAS).unwrap();
    let text = |answer: &Value| answer["schema"].as_str().unwrap().to_owned();
    let mut schemas = HashMap::new();
    for (path, answer) in answers.as_object().unwrap() {
        let Some(id) = path.strip_prefix("/schemas/ids/") else {
            continue;
        };
        let references = answer["references"].as_array().into_iter().flatten();
        let referenced = references.map(|reference| {
            let subject = reference["subject"].as_str().unwrap();
            text(&answers[format!("/subjects/{subject}/versions/1")])
        });
        let found = FoundSchema {
            kind: "AVRO".to_owned(),
            text: text(answer),
            referenced: referenced.collect(),
        };
        schemas.insert(id.parse().unwrap(), found);
    }
    schemas
}

/// The messages of one topic of the fixture.
fn fixture(topic: &str) -> Arc<Records> {
    let mut records = Records::default();
    let partition = Partition {
        topic: topic.into(),
        number: 0,
    };
    let partition = records.add_partition(&partition, true);
    for (offset, line) in MESSAGES.lines().enumerate() {
        let message: Value = serde_json::from_str(line).unwrap();
        let part = |name: &str| Some(BASE64.decode(message[name].as_str()?).unwrap());
        let (key, value) = (part("key"), part("value"));
        if message["topic"] == topic {
            records.push(
                partition,
                offset as i64,
                Some(99),
                key.as_deref(),
                value.as_deref(),
                None,
            );
        }
    }
    Arc::new(records)
}

fn learnt(mut decoder: Avro, schemas: &HashMap<u32, FoundSchema>) -> Avro {
    for (id, schema) in schemas {
        decoder.learn(*id, schema);
    }
    decoder
}

fn check(decoded: &Decoded, count: usize, expect: &Expect) {
    assert_eq!(decoded.total(), count as u64);
    expect.assert_eq(&show(decoded).join("\n"));
}

#[test]
fn events_of_a_real_client() {
    let records = fixture("crm.public.clients");
    let mut decoder = learnt(
        Avro::of_events(DecoderOptions::default()),
        &fixture_schemas(),
    );
    let decoded = decoder.decode(&records);
    check(
        &decoded,
        records.len(),
        &expect![[r#"
        clients[id] r id=1 name=Ann 1 balance=12.51 created_at=2023-11-14T22:13:20.000001 updated_at=2026-01-02T03:04:05.123456Z born=1997-05-20 opens=09:30:00 small=-1 active=true score=0.1 photo=0001ff extra={"a": [1, "x"]} token=0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f mood=ok tags=[a, , quote"d] amount=1.251
        clients[id] c id=2 name=Ann 2 balance=12.52 created_at=2023-11-14T22:13:20.000002 updated_at=2026-01-02T03:04:05.123456Z born=1997-05-21 opens=09:30:00 small=-2 active=true score=0.1 photo=0001ff extra={"a": [1, "x"]} token=0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f mood=ok tags=[a, , quote"d] amount=1.252
        clients[id] c id=3 name=null balance=null created_at=null updated_at=null born=null opens=null small=null active=null score=null photo=null extra=null token=null mood=null tags=null amount=null
        clients[id] u id=2 name=Zoë \ "Z" balance=-0.05 created_at=2023-11-14T22:13:20.000002 updated_at=2026-01-02T03:04:05.123456Z born=1997-05-21 opens=09:30:00 small=-2 active=true score=0.1 photo=0001ff extra=- token=0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f mood=ok tags=[a, , quote"d] amount=1.252
        clients[id] c id=4 name=Lev city=Bern small=5000000000
        clients[id] d id=1 name=Ann 1 balance=12.51 created_at=2023-11-14T22:13:20.000001 updated_at=2026-01-02T03:04:05.123456Z born=1997-05-20 opens=09:30:00 small=-1 active=true score=0.1 photo=0001ff extra={"a": [1, "x"]} token=0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f mood=ok tags=[a, , quote"d] amount=1.251"#]],
    );
    assert_eq!(decoded.superseded, 1);
    assert!(
        decoded
            .changes
            .iter()
            .all(|changes| Arc::ptr_eq(&changes.records, &records))
    );
    // What an expression asks for beside the row (`_key`, `_source`) is whole.
    let key = records.key_text(0).unwrap();
    assert!(key.ends_with(b"\"payload\":{\"id\":1}}"), "{key:?}");
    let value: Value = serde_json::from_slice(&records.value_text(0).unwrap()).unwrap();
    assert_eq!(value["payload"]["source"]["lsn"], 7);
    assert_eq!(value["payload"]["transaction"], Value::Null);
    let table = &decoded.changes[0].table;
    assert_eq!(table.schema.as_deref(), Some("public"));
    assert_eq!(table.database.as_deref(), Some("crm"));
    assert_eq!(
        decoded.changes[0].event_times_ms[0],
        Some(1_700_000_000_123)
    );
}

#[test]
fn rows_of_a_real_client() {
    let records = fixture("orders");
    let options = DecoderOptions {
        key: Some(vec!["id".to_owned()]),
        ..DecoderOptions::default()
    };
    let decoded = learnt(Avro::of_rows(options), &fixture_schemas()).decode(&records);
    check(
        &decoded,
        records.len(),
        &expect![[r#"
        orders[id] u id=00000000-0000-0000-0000-000000000001 status=NEW total=0.25 placed_at=2026-01-02T03:04:05.678Z due=2026-02-01 local=2026-01-01T12:30:01 note="call" lines=[{"sku":"a","count":1}] labels={"colour":"red"}
        orders[id] u id=00000000-0000-0000-0000-000000000002 status=PAID total=0.50 placed_at=2026-01-02T03:04:05.678Z due=2026-02-02 local=2026-01-01T12:30:02 note=7 lines=[{"sku":"a","count":2}] labels={"colour":"red"}
        orders[id] u id=00000000-0000-0000-0000-000000000003 status=PAID total=0.75 placed_at=2026-01-02T03:04:05.678Z due=2026-02-03 local=2026-01-01T12:30:03 note=null lines=[{"sku":"a","count":3}] labels={"colour":"red"}
        orders[id] d id=00000000-0000-0000-0000-000000000003 status=- total=- placed_at=- due=- local=- note=- lines=- labels=-"#]],
    );
}

/// A decoder that knows schema 7.
fn with_schema(decoder: Avro, text: &str) -> Avro {
    let found = FoundSchema {
        kind: "AVRO".to_owned(),
        text: text.to_owned(),
        referenced: Vec::new(),
    };
    learnt(decoder, &HashMap::from([(7, found)]))
}

fn message(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), body].concat()
}

#[test]
fn a_bad_message_costs_only_itself() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"}]}"#;
    let mut decoder = with_schema(Avro::of_rows(DecoderOptions::default()), schema);
    let protobuf = FoundSchema {
        kind: "PROTOBUF".to_owned(),
        text: String::new(),
        referenced: Vec::new(),
    };
    decoder.learn(8, &protobuf);
    decoder.learn(
        9,
        &FoundSchema {
            kind: "AVRO".to_owned(),
            ..protobuf
        },
    );
    let values: Vec<Vec<u8>> = vec![
        message(7, &[2]),
        b"{\"id\":2}".to_vec(),
        message(7, &[4]),
        message(7, &[0x80]),
        message(7, &[2, 2]),
        message(8, &[2]),
        message(9, &[2]),
        message(0, &[2]),
        vec![0, 0],
        vec![],
        message(7, &[6]),
    ];
    let messages: Vec<_> = values
        .iter()
        .map(|value| (None, Some(value.as_slice())))
        .collect();
    let decoded = decoder.decode(&records(&messages, TOPIC));
    assert_eq!(decoded.total(), values.len() as u64);
    let ids: Vec<u32> = decoded
        .changes
        .iter()
        .flat_map(|c| c.origins.clone())
        .collect();
    assert_eq!(ids, [0, 2, 10]);
    let reasons: Vec<String> = decoded
        .rejected
        .iter()
        .map(|bad| format!("{} {} {}", bad.origin, bad.rule, bad.reason))
        .collect();
    expect![[r#"
        1 R1 found the byte 0x7b, expected the byte 0 and a schema id in four bytes, as a serializer with a schema registry writes them
        3 R1 the message ends before its schema does
        4 R1 the message goes on behind what its schema says
        5 R1 schema 8 of the registry is PROTOBUF, expected AVRO
        6 R1 schema 9 of the registry is no schema of Avro: it is no JSON: EOF while parsing a value at line 1 column 0
        7 R1 found a schema id of 0 (ids of eight bytes begin so: set apicurio.registry.as-confluent = true in the connector), expected the byte 0 and a schema id in four bytes, as a serializer with a schema registry writes them
        8 R1 found a message of 2 bytes, expected the byte 0 and a schema id in four bytes, as a serializer with a schema registry writes them
        9 R1 found an empty message, expected the byte 0 and a schema id in four bytes, as a serializer with a schema registry writes them"#]].assert_eq(&reasons.join("\n"));
}

#[test]
fn keys_of_other_serializers_are_keys_still() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"}]}"#;
    let check = |key: &[u8], expect: &[&str]| {
        let options = DecoderOptions {
            key: Some(vec!["id".to_owned()]),
            ..DecoderOptions::default()
        };
        let mut decoder = with_schema(Avro::of_rows(options), schema);
        let value = message(7, &[2]);
        let decoded = decoder.decode(&records(
            &[(Some(key), Some(&value)), (Some(key), None)],
            TOPIC,
        ));
        assert_eq!(show(&decoded), expect, "{key:?}");
    };
    let lines = ["clients[id] u n=1 id=1", "clients[id] d n=- id=1"];
    check(b"{\"id\":1}", &lines);
    check(b"1", &lines);
    // A key of Avro whose schema is that of the row: it cannot name `id`.
    check(&message(7, &[0x80]), &["rejected 0 R1 ", "rejected 1 R1 "]);
}

#[test]
fn a_key_of_avro_deletes_and_completes_rows() {
    let key_schema = r#"{"type":"record","name":"Key","namespace":"crm.public.clients",
        "fields":[{"name":"id","type":"long"}],"connect.name":"crm.public.clients.Key"}"#;
    let row = r#"{"type":"record","name":"R","fields":[{"name":"n","type":["null","long"]}]}"#;
    let found = |text: &str| FoundSchema {
        kind: "AVRO".to_owned(),
        text: text.to_owned(),
        referenced: Vec::new(),
    };
    let mut decoder = Avro::of_events(DecoderOptions::default());
    decoder.learn(1, &found(key_schema));
    decoder.learn(2, &found(row));
    let keys = [message(1, &[2]), message(1, &[4])];
    let values = [message(2, &[2, 14]), message(2, &[0])];
    let messages = [
        (Some(keys[0].as_slice()), Some(values[0].as_slice())),
        (Some(&keys[1]), Some(&values[1])),
        (Some(&keys[0]), None),
    ];
    let decoded = decoder.decode(&records(&messages, TOPIC));
    let lines = [
        "clients[id] u n=7 id=1",
        "clients[id] u n=null id=2",
        "clients[id] d n=- id=1",
    ];
    assert_eq!(show(&decoded), lines);
    // A topic that begins with a tombstone: what its key says is enough.
    let mut fresh = Avro::of_events(DecoderOptions::default());
    fresh.learn(1, &found(key_schema));
    let decoded = fresh.decode(&records(&[(Some(&keys[0]), None)], TOPIC));
    assert_eq!(show(&decoded), ["clients[id] d id=1"]);
}

/// Bytes of the fixture with a few of them changed, or cut: each message is accounted for.
#[test]
fn broken_bytes_break_only_their_message() {
    let schemas = fixture_schemas();
    let (good, mut state) = (fixture("crm.public.clients"), 7u64);
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for _ in 0..2_000 {
        let mut broken = Records::default();
        let partition = broken.add_partition(&good.partitions[0].partition, true);
        for index in 0..good.len() {
            let mut value = good.value(index).map(<[u8]>::to_vec);
            if let Some(value) = &mut value {
                let at = 5 + random(value.len() - 5);
                value[at] = random(256) as u8;
                if random(8) == 0 {
                    value.truncate(at);
                }
            }
            let (offset, key) = (index as i64, good.key(index));
            broken.push(partition, offset, None, key, value.as_deref(), None);
        }
        let mut decoder = learnt(Avro::of_events(DecoderOptions::default()), &schemas);
        let decoded = decoder.decode(&Arc::new(broken));
        assert!(decoded.total() >= good.len() as u64);
        let counted =
            decoded.rejected.len() + decoded.changes.iter().map(|c| c.len()).sum::<usize>();
        assert!(counted > 0);
    }
}

#[test]
fn ids_of_the_same_columns_share_a_batch() {
    let of = |doc: &str| FoundSchema {
        kind: "AVRO".to_owned(),
        text: format!(
            r#"{{"type":"record","name":"R","doc":"{doc}","fields":[{{"name":"id","type":"long"}}]}}"#
        ),
        referenced: Vec::new(),
    };
    let mut decoder = Avro::of_rows(DecoderOptions::default());
    decoder.learn(7, &of("one"));
    decoder.learn(8, &of("two"));
    let values: Vec<Vec<u8>> = [7, 8, 7].iter().map(|&id| message(id, &[2])).collect();
    let messages: Vec<_> = values
        .iter()
        .map(|value| (None, Some(value.as_slice())))
        .collect();
    let decoded = decoder.decode(&records(&messages, TOPIC));
    assert_eq!(decoded.changes.len(), 1);
    assert_eq!(decoded.changes[0].len(), 3);
}
