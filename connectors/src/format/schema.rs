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
        Self::of(&schema)
    }

    /// Of a schema that was parsed before.
    pub(super) fn of(schema: &Value) -> Parsed<Self> {
        let fields = struct_fields(schema)?;
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
            _ => Self::of_row(schema),
        }
    }

    /// Of a schema that is known to be that of a row, whatever its fields are called.
    pub(super) fn of_row(schema: &Value) -> Parsed<Self> {
        Ok(Self {
            form: Form::Flat,
            columns: described(struct_fields(schema)?),
        })
    }
}

fn struct_fields(schema: &Value) -> Parsed<&Vec<Value>> {
    fields(schema).ok_or_else(|| Fault::form("the schema is not that of a struct"))
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
mod tests;
