//! A column in Avro: its type, in the words of Kafka Connect and of Avro, and its values.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use serde_json::{Value, json};

use crate::change::Logical;
use crate::text::write_text;

/// The type of a value that is not null.
pub(super) fn kind_of(field: &Field) -> Value {
    let logical = match Logical::of(field) {
        Some(Logical::Json) => Some("io.debezium.data.Json"),
        Some(Logical::Xml) => Some("io.debezium.data.Xml"),
        Some(Logical::TimeTz) => Some("io.debezium.time.ZonedTime"),
        Some(Logical::Interval) => Some("io.debezium.time.Interval"),
        Some(Logical::Uuid) => {
            return json!({ "type": "string", "connect.version": 1, "connect.name": "io.debezium.data.Uuid", "logicalType": "uuid" });
        }
        Some(Logical::Numeric | Logical::Bits(_)) => return json!("string"),
        None => None,
    };
    if let Some(name) = logical {
        return named("string", name);
    }
    match field.data_type() {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 => json!({ "type": "int", "connect.type": "int8" }),
        DataType::Int16 => json!({ "type": "int", "connect.type": "int16" }),
        DataType::UInt8 | DataType::UInt16 | DataType::Int32 => json!("int"),
        DataType::UInt32 | DataType::Int64 => json!("long"),
        DataType::UInt64 => decimal(20, 0),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => logical_type("int", "io.debezium.time.Date", "date"),
        DataType::Time32(TimeUnit::Millisecond) => {
            logical_type("int", "io.debezium.time.Time", "time-millis")
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            logical_type("long", "io.debezium.time.MicroTime", "time-micros")
        }
        DataType::Time64(TimeUnit::Nanosecond) => named("long", "io.debezium.time.NanoTime"),
        DataType::Timestamp(_, Some(_)) => named("string", "io.debezium.time.ZonedTimestamp"),
        DataType::Timestamp(TimeUnit::Millisecond, None) => logical_type(
            "long",
            "io.debezium.time.Timestamp",
            "local-timestamp-millis",
        ),
        DataType::Timestamp(TimeUnit::Microsecond, None) => logical_type(
            "long",
            "io.debezium.time.MicroTimestamp",
            "local-timestamp-micros",
        ),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => logical_type(
            "long",
            "io.debezium.time.NanoTimestamp",
            "local-timestamp-nanos",
        ),
        DataType::Duration(TimeUnit::Microsecond) => {
            named("long", "io.debezium.time.MicroDuration")
        }
        DataType::Duration(TimeUnit::Nanosecond) => named("long", "io.debezium.time.NanoDuration"),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            decimal(*precision, *scale)
        }
        DataType::List(item) => json!({ "type": "array", "items": ["null", kind_of(item)] }),
        // As a text whatever it is.
        _ => json!("string"),
    }
}

fn named(kind: &str, name: &str) -> Value {
    json!({ "type": kind, "connect.version": 1, "connect.name": name })
}

fn logical_type(kind: &str, name: &str, logical: &str) -> Value {
    json!({ "type": kind, "connect.version": 1, "connect.name": name, "logicalType": logical })
}

fn decimal(precision: u8, scale: i8) -> Value {
    json!({
        "type": "bytes", "scale": scale, "precision": precision, "connect.version": 1,
        "connect.parameters": { "scale": scale.to_string(), "connect.decimal.precision": precision.to_string() },
        "connect.name": "org.apache.kafka.connect.data.Decimal", "logicalType": "decimal",
    })
}

/// Appends a value that is not null, as the type of [`kind_of`].
pub(super) fn write_value(field: &Field, column: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if Logical::of(field).is_some() {
        return write_as_text(field, column, row, out);
    }
    match column.data_type() {
        DataType::Boolean => out.push(u8::from(column.as_boolean().value(row))),
        DataType::Int8 => long(column.as_primitive::<Int8Type>().value(row).into(), out),
        DataType::Int16 => long(column.as_primitive::<Int16Type>().value(row).into(), out),
        DataType::Int32 => long(column.as_primitive::<Int32Type>().value(row).into(), out),
        DataType::Int64 => long(column.as_primitive::<Int64Type>().value(row), out),
        DataType::UInt8 => long(column.as_primitive::<UInt8Type>().value(row).into(), out),
        DataType::UInt16 => long(column.as_primitive::<UInt16Type>().value(row).into(), out),
        DataType::UInt32 => long(column.as_primitive::<UInt32Type>().value(row).into(), out),
        DataType::UInt64 => {
            let value = column.as_primitive::<UInt64Type>().value(row);
            bytes(significant(&i128::from(value).to_be_bytes()), out);
        }
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            out.extend_from_slice(&value.to_le_bytes());
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            out.extend_from_slice(&value.to_le_bytes());
        }
        DataType::Binary => bytes(column.as_binary::<i32>().value(row), out),
        DataType::Date32 => long(column.as_primitive::<Date32Type>().value(row).into(), out),
        DataType::Time32(TimeUnit::Millisecond) => {
            let data = column.to_data();
            long(data.buffer::<i32>(0)[row].into(), out);
        }
        DataType::Time64(_)
        | DataType::Timestamp(
            TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond,
            None,
        )
        | DataType::Duration(TimeUnit::Microsecond | TimeUnit::Nanosecond) => {
            let data = column.to_data();
            long(data.buffer::<i64>(0)[row], out);
        }
        DataType::Decimal128(_, scale) if *scale >= 0 => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            bytes(significant(&value.to_be_bytes()), out);
        }
        DataType::Decimal256(_, scale) if *scale >= 0 => {
            let value = column.as_primitive::<Decimal256Type>().value(row);
            bytes(significant(&value.to_be_bytes()), out);
        }
        DataType::List(item) => {
            let items = column.as_list::<i32>().value(row);
            if !items.is_empty() {
                long(items.len() as i64, out);
                for index in 0..items.len() {
                    nullable(item, &items, index, out);
                }
            }
            out.push(0);
        }
        _ => write_as_text(field, column, row, out),
    }
}

/// Appends a value of a union of null and the type of [`kind_of`].
pub(super) fn nullable(field: &Field, column: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        return out.push(0);
    }
    long(1, out);
    write_value(field, column, row, out);
}

fn write_as_text(field: &Field, column: &dyn Array, row: usize, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    write_text(field, column, row, &mut text);
    bytes(&text, out);
}

/// The bytes without those that only repeat the sign.
fn significant(mut bytes: &[u8]) -> &[u8] {
    while let [first @ (0 | 0xFF), second, ..] = bytes
        && first & 0x80 == second & 0x80
    {
        bytes = &bytes[1..];
    }
    bytes
}

/// Appends bytes behind their length; also a text.
pub(super) fn bytes(value: &[u8], out: &mut Vec<u8>) {
    long(value.len() as i64, out);
    out.extend_from_slice(value);
}

/// Appends a number of variable length, zigzag coded.
pub(super) fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
