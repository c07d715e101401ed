//! Random messages against arrow-json and serde_json, and damaged ones against nothing but sense.

use arrow::array::{AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// One row of the table below; an outer `None` is a field that is missing.
pub(super) type Row = (
    i64,
    Option<Option<i32>>,
    Option<Option<f64>>,
    Option<Option<bool>>,
    Option<Option<String>>,
    Option<Option<Vec<Option<i32>>>>,
);

pub(super) fn row() -> impl Strategy<Value = Row> {
    let text = prop_oneof!["[a-z]{0,20}", "\\PC{0,12}", "[\\x00-\\x7f]{0,12}"];
    let list = proptest::collection::vec(proptest::option::of(any::<i32>()), 0..4);
    (
        any::<i64>(),
        proptest::option::of(proptest::option::of(any::<i32>())),
        proptest::option::of(proptest::option::of(-1e300..1e300)),
        proptest::option::of(proptest::option::of(any::<bool>())),
        proptest::option::of(proptest::option::of(text)),
        proptest::option::of(proptest::option::of(list)),
    )
}

pub(super) fn schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("number", DataType::Int32, true),
        Field::new("float", DataType::Float64, true),
        Field::new("truth", DataType::Boolean, true),
        Field::new("text", DataType::Utf8, true),
        Field::new_list("list", Field::new("item", DataType::Int32, true), true),
    ])
}

pub(super) fn fields(row: &Row) -> Vec<(&'static str, Value)> {
    let mut fields = vec![("id", json!(row.0))];
    fields.extend(row.1.as_ref().map(|value| ("number", json!(value))));
    fields.extend(row.2.as_ref().map(|value| ("float", json!(value))));
    fields.extend(row.3.as_ref().map(|value| ("truth", json!(value))));
    fields.extend(row.4.as_ref().map(|value| ("text", json!(value))));
    fields.extend(row.5.as_ref().map(|value| ("list", json!(value))));
    fields
}

/// An object with its fields turned round by `turn`, with white space, and with a field too many.
pub(super) fn write(fields: &[(&str, Value)], turn: usize, space: &str) -> String {
    let mut fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{space}\"{name}\"{space}:{space}{value}{space}"))
        .collect();
    if turn.is_multiple_of(3) {
        fields.push(format!(
            "\"stranger\":{space}{{\"a\":[\"}}\\\"\",{space}1]}}"
        ));
    }
    let length = fields.len();
    fields.rotate_left(turn % length);
    format!("{{{}}}", fields.join(","))
}

pub(super) fn decode_all(options: DecoderOptions, messages: &[String]) -> Decoded {
    let messages: Vec<Message<'_>> = messages
        .iter()
        .map(|text| (ID, Some(text.as_str())))
        .collect();
    decoder(Format::DebeziumJson, options).decode(&of_texts(&messages))
}

proptest! {
    #[test]
    fn reads_what_arrow_json_reads(
        rows in proptest::collection::vec((row(), 0..7usize, "[ \n\t]{0,2}"), 1..20),
        envelope: bool,
    ) {
        let bodies: Vec<String> = rows.iter().map(|(row, turn, space)| write(&fields(row), *turn, space)).collect();
        let schema = Arc::new(schema());
        let mut oracle = arrow_json::ReaderBuilder::new(schema.clone()).build_decoder().unwrap();
        oracle.decode(bodies.join("\n").as_bytes()).unwrap();
        let expect = oracle.flush().unwrap().unwrap();
        let messages: Vec<String> = bodies
            .iter()
            .map(|body| if envelope { format!("{{\"before\":null,\"after\":{body},\"op\":\"u\"}}") } else { body.clone() })
            .collect();
        let decoded = decode_all(DecoderOptions { declared: Some(schema), ..options() }, &messages);
        prop_assert_eq!(decoded.changes.len(), 1);
        let found: &RecordBatch = &decoded.changes[0].rows;
        prop_assert_eq!(found, &expect);
    }

    #[test]
    fn samples_what_serde_json_reads(
        rows in proptest::collection::vec((row(), 0..7usize, "[ \n\t]{0,2}"), 1..20),
    ) {
        let messages: Vec<String> = rows.iter().map(|(row, turn, space)| write(&fields(row), *turn, space)).collect();
        let decoded = decode_all(options(), &messages);
        prop_assert_eq!(&decoded.rejected, &[]);
        prop_assert_eq!(decoded.total(), messages.len() as u64);
        for changes in &decoded.changes {
            for (at, &origin) in changes.origins.iter().enumerate() {
                let oracle: Value = serde_json::from_str(&messages[origin as usize]).unwrap();
                for (column, field) in changes.rows.columns().iter().zip(changes.schema().fields()) {
                    let expect = &oracle[field.name().as_str()];
                    if column.is_null(at) {
                        prop_assert!(expect.is_null());
                        continue;
                    }
                    let found = array_value_to_string(column, at).unwrap();
                    match expect {
                        Value::String(text) => prop_assert_eq!(&found, text),
                        Value::Number(number) if *column.data_type() == DataType::Float64 => {
                            prop_assert_eq!(found.parse::<f64>().unwrap(), number.as_f64().unwrap());
                        }
                        Value::Number(number) if number.is_f64() => {
                            prop_assert_eq!(found.parse::<f64>().unwrap(), number.as_f64().unwrap());
                        }
                        Value::Array(_) | Value::Object(_) => {
                            prop_assert_eq!(&serde_json::from_str::<Value>(&found).unwrap(), expect);
                        }
                        other => prop_assert_eq!(found, other.to_string()),
                    }
                }
            }
        }
    }

    #[test]
    fn never_panics_and_always_adds_up(
        damages in proptest::collection::vec((0..8usize, any::<prop::sample::Index>(), any::<u8>(), 0..5u8), 1..30),
        declare: bool,
        before: bool,
    ) {
        let base = [
            wrapped(r#"{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"source":{"ts_ms":1,"db":"c","table":"t"},"op":"u"}"#),
            wrapped(r#"{"before":{"id":1,"name":"a"},"after":null,"op":"d"}"#),
            wrapped(r#"{"before":{"id":1},"after":{"id":2,"name":"é"},"op":"u"}"#),
            r#"{"before":null,"after":{"id":1,"x":[1,{"y":null}],"z":1.5e3},"op":"c","ts_ms":5}"#.to_owned(),
            r#"{"id":1,"name":"a\u00e9","__op":"c","__deleted":"false"}"#.to_owned(),
            r#"{"op":"t","source":{"table":"t"}}"#.to_owned(),
            r#"{"schema":null,"payload":{"id":1,"when":"2024-01-01T00:00:00Z"}}"#.to_owned(),
            "null".to_owned(),
        ];
        let messages: Vec<Vec<u8>> = damages
            .iter()
            .map(|(which, place, byte, kind)| {
                let mut message = base[*which].clone().into_bytes();
                let at = place.index(message.len());
                match kind {
                    0 => message[at] = *byte,
                    1 => message.truncate(at),
                    2 => { message.remove(at); }
                    3 => message.insert(at, b"\"{}[],:0-\\en "[*byte as usize % 13]),
                    _ => {}
                }
                message
            })
            .collect();
        let key = ID.map(str::as_bytes);
        let records = records(&messages.iter().map(|message| (key, Some(message.as_slice()))).collect::<Vec<_>>(), TOPIC);
        let declared = declare.then(|| declared(&[("id", "int64"), ("when", "timestamptz"), ("z", "decimal(9,2)")])).flatten();
        let mut unasked = decoder(Format::DebeziumJson, DecoderOptions { declared: declared.clone(), ..options() });
        let mut decoder = decoder(Format::DebeziumJson, DecoderOptions { declared, before, ..options() });
        for _ in 0..2 {
            let decoded = decoder.decode(&records);
            let mut origins: Vec<u32> = decoded.changes.iter().flat_map(|changes| changes.origins.clone()).collect();
            let all = origins.len();
            origins.sort_unstable();
            origins.dedup();
            let splits = all - origins.len();
            prop_assert_eq!(decoded.total(), (messages.len() + splits) as u64);
            for changes in &decoded.changes {
                prop_assert_eq!(changes.rows.num_rows(), changes.len());
                if let Some(image) = &changes.before {
                    prop_assert_eq!((image.rows.num_rows(), image.present.len()), (changes.len(), changes.len()));
                }
            }
            // A row before never costs its change.
            prop_assert_eq!(decoded.rejected, unasked.decode(&records).rejected);
        }
    }

    #[test]
    fn never_panics_on_any_bytes(
        messages in proptest::collection::vec((proptest::option::of(any::<Vec<u8>>()), proptest::option::of(any::<Vec<u8>>())), 0..20),
    ) {
        let borrowed: Vec<_> = messages.iter().map(|(key, value)| (key.as_deref(), value.as_deref())).collect();
        let decoded = decoder(Format::DebeziumJson, options()).decode(&records(&borrowed, TOPIC));
        prop_assert_eq!(decoded.total(), messages.len() as u64);
    }
}

/// Messages as a connector writes them, and the schema of their rows.
fn events(count: usize, with_schema: bool) -> (Arc<Records>, Arc<Schema>) {
    let columns = json!([
        {"type": "int64", "optional": false, "field": "id"},
        {"type": "string", "optional": true, "field": "first_name"},
        {"type": "string", "optional": true, "field": "last_name"},
        {"type": "string", "optional": true, "field": "email"},
        {"type": "string", "optional": true, "field": "balance"},
        {"type": "int64", "optional": true, "name": "io.debezium.time.MicroTimestamp", "field": "updated_at"},
        {"type": "boolean", "optional": true, "field": "active"},
        {"type": "double", "optional": true, "field": "score"},
        {"type": "int32", "optional": true, "name": "io.debezium.time.Date", "field": "born"},
        {"type": "string", "optional": true, "field": "notes"}
    ]);
    let field =
        |name: &str| json!({"type": "struct", "field": name, "optional": true, "fields": columns});
    let envelope = json!({"type": "struct", "name": "crm.public.clients.Envelope", "fields": [
        field("before"), field("after"), {"type": "string", "field": "op"}
    ]});
    let mut messages = Vec::new();
    for id in 0..count {
        let after = format!(
            r#"{{"id":{id},"first_name":"Anna{id}","last_name":"Karenina","email":"anna.{id}@example.com","balance":"{id}.50","updated_at":{},"active":true,"score":{}.25,"born":{},"notes":"a note of some length that a person wrote"}}"#,
            1_700_000_000_000_000u64 + id as u64,
            id % 100,
            id % 20_000
        );
        let payload = format!(
            r#"{{"before":null,"after":{after},"source":{{"version":"3.0.0.Final","connector":"postgresql","name":"crm","ts_ms":{},"snapshot":"false","db":"crm","sequence":"[\"24023128\",\"24023128\"]","ts_us":1700000000000000,"ts_ns":1700000000000000000,"schema":"public","table":"clients","txId":{},"lsn":{},"xmin":null}},"transaction":null,"op":"c","ts_ms":1700000000001,"ts_us":1700000000001000,"ts_ns":1700000000001000000}}"#,
            1_700_000_000_000u64 + id as u64,
            1000 + id,
            24_023_128 + id
        );
        messages.push(if with_schema {
            format!("{{\"schema\":{envelope},\"payload\":{payload}}}")
        } else {
            payload
        });
    }
    let row = Connect::parse(
        &json!({"type": "struct", "fields": columns})
            .to_string()
            .into_bytes(),
    )
    .unwrap();
    let fields: Vec<Field> = row
        .columns
        .iter()
        .map(|column| column.reading.field(&column.name))
        .collect();
    let messages: Vec<Message<'_>> = messages
        .iter()
        .map(|text| (ID, Some(text.as_str())))
        .collect();
    (of_texts(&messages), Arc::new(Schema::new(fields)))
}

use crate::format::schema::Connect;

/// The oracle's schema of an envelope around these rows.
fn nested(row: &Schema) -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = Field::new("ts_ms", DataType::Int64, true);
    let source = vec![number.clone(), text("db"), text("schema"), text("table")];
    let row = DataType::Struct(row.fields().clone());
    Schema::new(vec![
        Field::new("before", row.clone(), true),
        Field::new("after", row, true),
        Field::new("source", DataType::Struct(source.into()), true),
        text("op"),
        number,
    ])
}

#[test]
fn a_connectors_messages_read_as_arrow_json_reads_them() {
    let count = 500;
    for with_schema in [false, true] {
        let (records, schema) = events(count, with_schema);
        let mut nested = nested(&schema);
        if with_schema {
            let payload = DataType::Struct(nested.fields().clone());
            nested = Schema::new(vec![Field::new("payload", payload, true)]);
        }
        let mut oracle = arrow_json::ReaderBuilder::new(Arc::new(nested))
            .with_batch_size(count)
            .build_decoder()
            .unwrap();
        for index in 0..count {
            oracle.decode(records.value(index).unwrap()).unwrap();
        }
        let batch = oracle.flush().unwrap().unwrap();
        let mut rows = StructArray::from(batch);
        if with_schema {
            rows = rows.column(0).as_struct().clone();
        }
        let expect = rows.column_by_name("after").unwrap().as_struct().clone();
        let declared = (!with_schema).then_some(schema);
        let mut decoder = decoder(
            Format::DebeziumJson,
            DecoderOptions {
                declared,
                ..options()
            },
        );
        let decoded = decoder.decode(&records);
        let changes = &decoded.changes[0];
        assert_eq!(changes.rows.columns(), expect.columns());
        assert_eq!(changes.event_times_ms[7], Some(1_700_000_000_007));
        assert_eq!(
            (decoded.changes.len(), &*changes.table.name),
            (1, "clients")
        );
    }
}
