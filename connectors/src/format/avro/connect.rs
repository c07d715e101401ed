//! What an Avro schema says in the words of Kafka Connect, whose schemas `debezium-json` reads: a column
//! has the same type in both formats, because one place decides it (`format/schema.rs`).
//!
//! What Connect's converter wrote into the schema (`connect.name`, `connect.type`, `connect.parameters`)
//! counts before Avro's own `logicalType`: `org.apache.kafka.connect.data.Timestamp` is a timestamp without
//! a zone, although Avro calls it `timestamp-millis`. Without such a name Avro's word holds: its timestamps
//! are instants, its local timestamps are not.

use serde_json::{Map, Value, json};

use super::schema::{Kind, NodeId, Schema};

/// How deep rows stand in an event: the event, its row, the row's columns.
const LEVELS: usize = 3;

/// A logical type of Avro itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Decimal,
    Uuid,
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
    LocalMillis,
    LocalMicros,
    LocalNanos,
    Duration,
}

/// The logical type of a node, where nothing of Connect says more and its encoding fits.
pub(super) fn logical(schema: &Schema, id: NodeId) -> Option<Logical> {
    let node = &schema.nodes[id];
    if node.attributes["connect.name"].is_string() {
        return None;
    }
    let name = node.attributes["logicalType"].as_str()?;
    Some(match (name, &node.kind) {
        ("decimal", Kind::Bytes | Kind::Fixed(_)) => {
            // Without a precision it is no decimal: then it is what it is encoded as.
            node.attributes["precision"].as_u64()?;
            Logical::Decimal
        }
        ("uuid", Kind::String | Kind::Fixed(16)) => Logical::Uuid,
        ("date", Kind::Int) => Logical::Date,
        ("time-millis", Kind::Int) => Logical::TimeMillis,
        ("time-micros", Kind::Long) => Logical::TimeMicros,
        ("timestamp-millis", Kind::Long) => Logical::TimestampMillis,
        ("timestamp-micros", Kind::Long) => Logical::TimestampMicros,
        ("timestamp-nanos", Kind::Long) => Logical::TimestampNanos,
        ("local-timestamp-millis", Kind::Long) => Logical::LocalMillis,
        ("local-timestamp-micros", Kind::Long) => Logical::LocalMicros,
        ("local-timestamp-nanos", Kind::Long) => Logical::LocalNanos,
        ("duration", Kind::Fixed(12)) => Logical::Duration,
        _ => return None,
    })
}

/// The schema as Connect would write it.
pub(super) fn connect(schema: &Schema) -> Value {
    described(schema, schema.root, LEVELS)
}

fn described(schema: &Schema, id: NodeId, levels: usize) -> Value {
    let optional = schema.has_null(id);
    let Some(value) = schema.without_null(id) else {
        // A union of several types, or of null alone: a document.
        return json!({ "type": "struct", "optional": optional });
    };
    let node = &schema.nodes[value];
    let mut out = Map::new();
    let kind = match &node.kind {
        Kind::Null | Kind::Union(_) => "struct",
        Kind::Boolean => "boolean",
        Kind::Int => "int32",
        Kind::Long => "int64",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Bytes | Kind::Fixed(_) => "bytes",
        Kind::String | Kind::Enum(_) => "string",
        Kind::Map(_) => "map",
        Kind::Array(items) => {
            out.insert("items".to_owned(), described(schema, *items, 0));
            "array"
        }
        Kind::Record(fields) => {
            if levels > 0 {
                let fields = fields.iter().map(|(name, id)| {
                    let mut field = described(schema, *id, levels - 1);
                    field["field"] = name.as_str().into();
                    field
                });
                out.insert("fields".to_owned(), fields.collect());
            }
            "struct"
        }
    };
    // An `int` may stand for one of Connect's smaller types.
    let narrower = node.attributes["connect.type"].as_str();
    let narrower = narrower.filter(|name| kind == "int32" && matches!(*name, "int8" | "int16"));
    out.insert("type".to_owned(), narrower.unwrap_or(kind).into());
    out.insert("optional".to_owned(), optional.into());
    let name = node.attributes["connect.name"].as_str();
    if let Some(name) = name.or(node.name.as_deref()) {
        out.insert("name".to_owned(), name.into());
    }
    if node.attributes["connect.parameters"].is_object() {
        let parameters = node.attributes["connect.parameters"].clone();
        out.insert("parameters".to_owned(), parameters);
    }
    if let Some(logical) = logical(schema, value) {
        out.insert("name".to_owned(), name_of(logical).into());
        if logical == Logical::Decimal {
            let parameters = json!({
                "scale": node.attributes["scale"].as_i64().unwrap_or(0).to_string(),
                "connect.decimal.precision": node.attributes["precision"].to_string(),
            });
            out.insert("parameters".to_owned(), parameters);
        }
    }
    Value::Object(out)
}

/// The name in Connect or Debezium of what is the same.
fn name_of(logical: Logical) -> &'static str {
    match logical {
        Logical::Decimal => "org.apache.kafka.connect.data.Decimal",
        Logical::Uuid => "io.debezium.data.Uuid",
        Logical::Date => "io.debezium.time.Date",
        Logical::TimeMillis => "io.debezium.time.Time",
        Logical::TimeMicros => "io.debezium.time.MicroTime",
        Logical::TimestampMillis | Logical::TimestampMicros | Logical::TimestampNanos => {
            "io.debezium.time.ZonedTimestamp"
        }
        Logical::LocalMillis => "io.debezium.time.Timestamp",
        Logical::LocalMicros => "io.debezium.time.MicroTimestamp",
        Logical::LocalNanos => "io.debezium.time.NanoTimestamp",
        Logical::Duration => "io.debezium.time.Interval",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(avro: &str, expect: &str) {
        let text =
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":{avro}}}]}}"#);
        let connect = connect(&Schema::parse(&text, &[]).unwrap());
        let expect: Value = serde_json::from_str(expect).unwrap();
        let mut field = connect["fields"][0].clone();
        field.as_object_mut().unwrap().remove("field");
        assert_eq!(field, expect, "{avro}");
    }

    #[test]
    fn types_in_the_words_of_connect() {
        check(r#""int""#, r#"{"type":"int32","optional":false}"#);
        check(
            r#"["null","string"]"#,
            r#"{"type":"string","optional":true}"#,
        );
        check(
            r#"["int","string"]"#,
            r#"{"type":"struct","optional":false}"#,
        );
        check(
            r#"["null","int","string"]"#,
            r#"{"type":"struct","optional":true}"#,
        );
        check(r#""null""#, r#"{"type":"struct","optional":true}"#);
        check(
            r#"{"type":"int","connect.type":"int16"}"#,
            r#"{"type":"int16","optional":false}"#,
        );
        check(
            r#"{"type":"array","items":["null","long"]}"#,
            r#"{"type":"array","optional":false,"items":{"type":"int64","optional":true}}"#,
        );
        check(
            r#"{"type":"enum","name":"mood","symbols":["sad"]}"#,
            r#"{"type":"string","optional":false,"name":"mood"}"#,
        );
        check(
            r#"["null",{"type":"int","connect.version":1,"connect.name":"io.debezium.time.Date"}]"#,
            r#"{"type":"int32","optional":true,"name":"io.debezium.time.Date"}"#,
        );
    }

    #[test]
    fn connect_names_count_before_logical_types() {
        check(
            r#"{"type":"long","connect.name":"org.apache.kafka.connect.data.Timestamp","logicalType":"timestamp-millis"}"#,
            r#"{"type":"int64","optional":false,"name":"org.apache.kafka.connect.data.Timestamp"}"#,
        );
        check(
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            r#"{"type":"int64","optional":false,"name":"io.debezium.time.ZonedTimestamp"}"#,
        );
        check(
            r#"{"type":"bytes","scale":2,"precision":64,"connect.parameters":{"scale":"2"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}"#,
            r#"{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}"#,
        );
        check(
            r#"{"type":"fixed","name":"money","size":8,"logicalType":"decimal","precision":12,"scale":2}"#,
            r#"{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"12"}}"#,
        );
        // A logical type that does not fit its encoding is none.
        check(
            r#"{"type":"string","logicalType":"date"}"#,
            r#"{"type":"string","optional":false}"#,
        );
    }
}
