//! What columns a row has: from a Connect schema that comes with the data (R3).
//!
//! Each schema text is parsed once; the decoder compares bytes after that. A column that may be
//! null and one that may not are both nullable in Arrow: a delete carries only its key. Structs,
//! maps and arrays of them become JSON text.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::Value;

use super::fault::{Fault, Parsed};
use super::reading::Reading;

/// One column: its name and how its values are read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) reading: Reading,
    /// The source says `NOT NULL`, or nothing says that it does not: a connector that has no value
    /// fills in a zero.
    pub(super) required: bool,
}

impl Described {
    pub(super) fn of(field: &Field) -> Self {
        Self {
            name: field.name().clone(),
            reading: Reading::of(field),
            required: true,
        }
    }

    /// Of every field of a declared schema.
    pub(super) fn all(schema: &Schema) -> Vec<Self> {
        schema
            .fields()
            .iter()
            .map(|field| Self::of(field))
            .collect()
    }
}

/// What messages with a schema hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `before`, `after`, `op`, `source`.
    Envelope,
    /// The row itself, perhaps with `__op` and the like.
    Flat,
    /// No row: a heartbeat, a transaction boundary, a schema change.
    Other,
}

/// A Connect schema.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) form: Form,
    pub(super) columns: Vec<Described>,
}

impl Connect {
    /// Parses the schema's JSON text.
    pub(super) fn parse(text: &[u8]) -> Parsed<Self> {
        let schema: Value = serde_json::from_slice(text)
            .map_err(|error| Fault::form(format!("the embedded schema is broken: {error}")))?;
        let fields = fields(&schema)
            .ok_or_else(|| Fault::form("the embedded schema is not that of a struct"))?;
        let name = schema["name"].as_str().unwrap_or_default();
        let others = ["Heartbeat", "TransactionMetadataValue", "SchemaChangeValue"];
        if name.starts_with("io.debezium.connector.")
            && others.iter().any(|end| name.ends_with(end))
        {
            return Ok(Self {
                form: Form::Other,
                columns: Vec::new(),
            });
        }
        let named = |name: &str| fields.iter().find(|field| field["field"] == name);
        let row = named("after").or_else(|| named("before"));
        match (named("op"), row.and_then(self::fields)) {
            (Some(_), Some(row)) => Ok(Self {
                form: Form::Envelope,
                columns: described(row),
            }),
            _ => Ok(Self {
                form: Form::Flat,
                columns: described(fields),
            }),
        }
    }
}

fn fields(schema: &Value) -> Option<&Vec<Value>> {
    (schema["type"] == "struct").then(|| schema["fields"].as_array())?
}

fn described(fields: &[Value]) -> Vec<Described> {
    let named = |field: &Value| Some((field["field"].as_str()?.to_owned(), reading(field)));
    fields
        .iter()
        .filter_map(|field| {
            let (name, reading) = named(field)?;
            let required = field["optional"] == false;
            Some(Described {
                name,
                reading,
                required,
            })
        })
        .collect()
}

fn parameter<T: std::str::FromStr>(schema: &Value, name: &str) -> Option<T> {
    let value = &schema["parameters"][name];
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.to_string().parse().ok(),
    }
}

/// How the values of a Connect schema are read.
fn reading(schema: &Value) -> Reading {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond};
    let kind = schema["type"].as_str().unwrap_or_default();
    match schema["name"].as_str().unwrap_or_default() {
        "io.debezium.time.Date"
        | "io.debezium.time.IsoDate"
        | "org.apache.kafka.connect.data.Date" => Reading::Date,
        "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => {
            Reading::Time(Millisecond)
        }
        "io.debezium.time.MicroTime" | "io.debezium.time.IsoTime" => Reading::Time(Microsecond),
        "io.debezium.time.NanoTime" => Reading::Time(Nanosecond),
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => {
            Reading::Timestamp(Millisecond)
        }
        "io.debezium.time.MicroTimestamp" | "io.debezium.time.IsoTimestamp" => {
            Reading::Timestamp(Microsecond)
        }
        "io.debezium.time.NanoTimestamp" => Reading::Timestamp(Nanosecond),
        "io.debezium.time.ZonedTimestamp" => Reading::Instant,
        "io.debezium.time.ZonedTime" => Reading::TimeTz,
        "io.debezium.time.MicroDuration" => Reading::Duration(Microsecond),
        "io.debezium.time.NanoDuration" => Reading::Duration(Nanosecond),
        "io.debezium.time.Interval" => Reading::Interval,
        "org.apache.kafka.connect.data.Decimal" => decimal(schema),
        "io.debezium.data.VariableScaleDecimal" => Reading::Numeric,
        "io.debezium.data.Bits" => match parameter(schema, "length") {
            Some(length) => Reading::Bits(length),
            None => Reading::Binary,
        },
        "io.debezium.data.Json" => Reading::Json,
        "io.debezium.data.Uuid" => Reading::Uuid,
        "io.debezium.data.Xml" => Reading::Xml,
        // Enum, EnumSet, Ltree and whatever else is a text, Year and whatever else is a number.
        _ => plain(kind, schema),
    }
}

fn plain(kind: &str, schema: &Value) -> Reading {
    match kind {
        "boolean" => Reading::Boolean,
        "int8" => Reading::Integer(DataType::Int8),
        "int16" => Reading::Integer(DataType::Int16),
        "int32" => Reading::Integer(DataType::Int32),
        "int64" => Reading::Integer(DataType::Int64),
        "float" | "float32" => Reading::Float32,
        "double" | "float64" => Reading::Float64,
        "string" => Reading::Text,
        "bytes" => Reading::Binary,
        "array" => match reading(&schema["items"]) {
            Reading::List(_) | Reading::RawJson => Reading::RawJson,
            item => Reading::List(Box::new(item)),
        },
        _ => Reading::RawJson,
    }
}

/// A negative scale is taken up by digits before the point; past 76 digits it is a numeric as text.
fn decimal(schema: &Value) -> Reading {
    let from: i32 = parameter(schema, "scale").unwrap_or(0);
    let precision: Option<i32> = parameter(schema, "connect.decimal.precision");
    let scale = from.max(0);
    let precision = (precision.unwrap_or(38).saturating_sub(from.min(0)))
        .max(scale)
        .max(1);
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ ..=76), Ok(scale)) => Reading::Decimal {
            precision,
            scale,
            base64: Some(from),
        },
        _ => Reading::ScaledNumeric(from),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::Logical;

    #[test]
    fn every_type_of_r3_has_its_arrow_type() {
        let check = |schema: Value, expect: DataType, logical: Option<Logical>| {
            let field = reading(&schema).field("x");
            assert_eq!(*field.data_type(), expect, "{schema}");
            assert_eq!(Logical::of(&field), logical, "{schema}");
        };
        let time = |kind: &str, name: &str| json!({"type": kind, "name": format!("io.debezium.time.{name}")});
        let data = |kind: &str, name: &str| json!({"type": kind, "name": format!("io.debezium.data.{name}")});
        let connect = |kind: &str, name: &str| json!({"type": kind, "name": format!("org.apache.kafka.connect.data.{name}")});
        use TimeUnit::{Microsecond, Millisecond, Nanosecond};
        check(time("int32", "Date"), DataType::Date32, None);
        check(time("int32", "Time"), DataType::Time32(Millisecond), None);
        check(
            time("int64", "MicroTime"),
            DataType::Time64(Microsecond),
            None,
        );
        check(
            time("int64", "NanoTime"),
            DataType::Time64(Nanosecond),
            None,
        );
        check(
            time("int64", "Timestamp"),
            DataType::Timestamp(Millisecond, None),
            None,
        );
        check(
            time("int64", "MicroTimestamp"),
            DataType::Timestamp(Microsecond, None),
            None,
        );
        check(
            time("int64", "NanoTimestamp"),
            DataType::Timestamp(Nanosecond, None),
            None,
        );
        check(
            time("string", "ZonedTimestamp"),
            DataType::Timestamp(Microsecond, Some("UTC".into())),
            None,
        );
        check(
            time("string", "ZonedTime"),
            DataType::Utf8,
            Some(Logical::TimeTz),
        );
        check(time("int32", "Year"), DataType::Int32, None);
        check(
            time("int64", "MicroDuration"),
            DataType::Duration(Microsecond),
            None,
        );
        check(
            time("int64", "NanoDuration"),
            DataType::Duration(Nanosecond),
            None,
        );
        check(
            time("string", "Interval"),
            DataType::Utf8,
            Some(Logical::Interval),
        );
        check(time("string", "IsoDate"), DataType::Date32, None);
        check(
            time("string", "IsoTime"),
            DataType::Time64(Microsecond),
            None,
        );
        check(
            time("string", "IsoTimestamp"),
            DataType::Timestamp(Microsecond, None),
            None,
        );
        check(connect("int32", "Date"), DataType::Date32, None);
        check(
            connect("int32", "Time"),
            DataType::Time32(Millisecond),
            None,
        );
        check(
            connect("int64", "Timestamp"),
            DataType::Timestamp(Millisecond, None),
            None,
        );
        check(
            data("struct", "VariableScaleDecimal"),
            DataType::Utf8,
            Some(Logical::Numeric),
        );
        check(data("string", "Json"), DataType::Utf8, Some(Logical::Json));
        check(data("string", "Uuid"), DataType::Utf8, Some(Logical::Uuid));
        check(data("string", "Xml"), DataType::Utf8, Some(Logical::Xml));
        check(data("string", "Enum"), DataType::Utf8, None);
        check(data("string", "EnumSet"), DataType::Utf8, None);
        check(data("string", "Ltree"), DataType::Utf8, None);
        check(
            data("struct", "geometry.Point"),
            DataType::Utf8,
            Some(Logical::Json),
        );
        let bits = json!({"type": "bytes", "name": "io.debezium.data.Bits", "parameters": {"length": "5"}});
        check(bits, DataType::Utf8, Some(Logical::Bits(5)));
        let list = |item: Field| DataType::List(std::sync::Arc::new(item));
        let array = |items: Value| json!({"type": "array", "items": items});
        check(
            array(time("int32", "Date")),
            list(Field::new("item", DataType::Date32, true)),
            None,
        );
        check(
            array(data("string", "Uuid")),
            list(Logical::Uuid.field("item")),
            None,
        );
        check(
            array(array(json!({"type": "int32"}))),
            DataType::Utf8,
            Some(Logical::Json),
        );
        check(json!({"type": "map"}), DataType::Utf8, Some(Logical::Json));
        for (kind, expect) in [
            ("int8", DataType::Int8),
            ("int16", DataType::Int16),
            ("int32", DataType::Int32),
            ("int64", DataType::Int64),
            ("float", DataType::Float32),
            ("double", DataType::Float64),
            ("boolean", DataType::Boolean),
            ("string", DataType::Utf8),
            ("bytes", DataType::Binary),
        ] {
            check(json!({"type": kind}), expect, None);
        }
    }

    #[test]
    fn decimals_by_precision() {
        let check = |parameters: Value, expect: DataType| {
            let schema = json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": parameters});
            assert_eq!(reading(&schema).data_type(), expect, "{schema}");
        };
        check(
            json!({"scale": "2", "connect.decimal.precision": "12"}),
            DataType::Decimal128(12, 2),
        );
        check(json!({"scale": "2"}), DataType::Decimal128(38, 2));
        check(
            json!({"scale": "2", "connect.decimal.precision": "50"}),
            DataType::Decimal256(50, 2),
        );
        check(
            json!({"scale": "2", "connect.decimal.precision": "77"}),
            DataType::Utf8,
        );
        check(
            json!({"scale": "-3", "connect.decimal.precision": "5"}),
            DataType::Decimal128(8, 0),
        );
        check(
            json!({"scale": "5", "connect.decimal.precision": "2"}),
            DataType::Decimal128(5, 5),
        );
        check(json!({"scale": "40"}), DataType::Decimal256(40, 40));
    }

    #[test]
    fn forms() {
        let check = |schema: Value, form: Form, columns: usize| {
            let parsed = Connect::parse(schema.to_string().as_bytes()).unwrap();
            assert_eq!((parsed.form, parsed.columns.len()), (form, columns));
        };
        let row = json!({"type": "struct", "field": "after", "fields": [{"field": "id", "type": "int32"}]});
        check(
            json!({"type": "struct", "fields": [row, {"field": "op", "type": "string"}]}),
            Form::Envelope,
            1,
        );
        check(
            json!({"type": "struct", "fields": [{"field": "id", "type": "int32"}]}),
            Form::Flat,
            1,
        );
        let heartbeat = "io.debezium.connector.common.Heartbeat";
        check(
            json!({"type": "struct", "name": heartbeat, "fields": []}),
            Form::Other,
            0,
        );
        assert!(Connect::parse(b"{\"type\":\"string\"}").is_err());
        assert!(Connect::parse(b"{").is_err());
    }
}
