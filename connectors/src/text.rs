//! Arrow values as exact text and as JSON: no digit is lost, no instant is rounded (R3).
//!
//! Dates and instants are ISO 8601 with as many fractional digits as their unit has, so the texts
//! of one column have the order of the values (years 0 to 9999). `i64::MAX` and `i64::MIN` are
//! `infinity` and `-infinity`. The end of a day is `24:00:00`; beyond it, and below zero, a time is a span. Binary values are base64 in JSON.

use std::io::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Field, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::util::display::array_value_to_string;
use base64::Engine as _;

use crate::change::Logical;

/// Appends a value that is not null as text; a list or struct as JSON.
pub(crate) fn write_text(field: &Field, column: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match column.data_type() {
        DataType::Utf8 => out.extend_from_slice(column.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => {
            out.extend_from_slice(column.as_string::<i64>().value(row).as_bytes());
        }
        DataType::Binary => out.extend_from_slice(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => out.extend_from_slice(column.as_binary::<i64>().value(row)),
        DataType::Boolean => write(out, column.as_boolean().value(row)),
        DataType::Int8 => write(out, column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => write(out, column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => write(out, column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write_integer(out, column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => write(out, column.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => write(out, column.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => write(out, column.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => write_integer(out, column.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => write_float(out, column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => write_float(out, column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            write_decimal(out, value, i32::from(*scale));
        }
        DataType::Decimal256(_, _) => {
            write(
                out,
                column.as_primitive::<Decimal256Type>().value_as_string(row),
            );
        }
        DataType::Date32 => {
            write_date(out, column.as_primitive::<Date32Type>().value(row).into());
        }
        DataType::Date64 => {
            let milliseconds = column.as_primitive::<Date64Type>().value(row);
            write_date(out, milliseconds.div_euclid(86_400_000));
        }
        DataType::Time32(TimeUnit::Second) => {
            write_time(
                out,
                column.as_primitive::<Time32SecondType>().value(row).into(),
                0,
            );
        }
        DataType::Time32(_) => {
            let value = column.as_primitive::<Time32MillisecondType>().value(row);
            write_time(out, value.into(), 3);
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            write_time(
                out,
                column.as_primitive::<Time64MicrosecondType>().value(row),
                6,
            );
        }
        DataType::Time64(_) => {
            write_time(
                out,
                column.as_primitive::<Time64NanosecondType>().value(row),
                9,
            );
        }
        DataType::Timestamp(unit, zone) => {
            let data = column.to_data();
            let value = data.buffer::<i64>(0)[row];
            write_instant(out, value, *unit, zone.is_some());
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_) => {
            write_json(field, column, row, out);
        }
        _ => write(
            out,
            array_value_to_string(column, row)
                .expect("the display of Arrow covers every type of a row that exists"),
        ),
    }
}

/// Appends a value as JSON. Integers and floats are JSON numbers, which JSON readers keep exactly;
/// decimals and all others are strings.
pub(crate) fn write_json(field: &Field, column: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match column.data_type() {
        DataType::Float32 if !column.as_primitive::<Float32Type>().value(row).is_finite() => {
            write_quoted(field, column, row, out);
        }
        DataType::Float64 if !column.as_primitive::<Float64Type>().value(row).is_finite() => {
            write_quoted(field, column, row, out);
        }
        data_type if data_type.is_integer() || data_type.is_floating() => {
            write_text(field, column, row, out);
        }
        DataType::Boolean => write_text(field, column, row, out),
        DataType::Binary | DataType::LargeBinary => {
            let mut bytes = Vec::new();
            write_text(field, column, row, &mut bytes);
            write_string(
                &base64::engine::general_purpose::STANDARD.encode(bytes),
                out,
            );
        }
        DataType::Utf8 => {
            let text = column.as_string::<i32>().value(row);
            let document = (Logical::of(field) == Some(Logical::Json))
                .then(|| serde_json::from_str::<serde_json::Value>(text).ok())
                .flatten();
            match document {
                Some(document) => write(out, document),
                None => write_string(text, out),
            }
        }
        DataType::List(item) => write_list(item, &column.as_list::<i32>().value(row), out),
        DataType::LargeList(item) => write_list(item, &column.as_list::<i64>().value(row), out),
        DataType::FixedSizeList(item, _) => {
            write_list(item, &column.as_fixed_size_list().value(row), out);
        }
        DataType::Struct(fields) => {
            out.push(b'{');
            for (index, (field, column)) in
                fields.iter().zip(column.as_struct().columns()).enumerate()
            {
                if index > 0 {
                    out.push(b',');
                }
                write_string(field.name(), out);
                out.push(b':');
                write_json(field, column, row, out);
            }
            out.push(b'}');
        }
        _ => write_quoted(field, column, row, out),
    }
}

/// Appends a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text is JSON and memory takes it");
}

/// Appends an instant, with a `Z` at the end if it is in UTC.
pub(crate) fn write_instant(out: &mut Vec<u8>, value: i64, unit: TimeUnit, utc: bool) {
    match value {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let (digits, in_a_second) = match unit {
        TimeUnit::Second => (0, 1),
        TimeUnit::Millisecond => (3, 1_000),
        TimeUnit::Microsecond => (6, 1_000_000),
        TimeUnit::Nanosecond => (9, 1_000_000_000),
    };
    let in_a_day = 86_400 * in_a_second;
    write_date(out, value.div_euclid(in_a_day));
    out.push(b'T');
    write_time(out, value.rem_euclid(in_a_day), digits);
    if utc {
        out.push(b'Z');
    }
}

fn write(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("memory takes every byte");
}

fn write_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the shortest text that parses to the same float.
fn write_float(out: &mut Vec<u8>, value: impl std::fmt::Debug) {
    write!(out, "{value:?}").expect("memory takes every byte");
}

fn write_quoted(field: &Field, column: &dyn Array, row: usize, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    write_text(field, column, row, &mut text);
    write_string(&String::from_utf8_lossy(&text), out);
}

fn write_list(item: &Field, values: &dyn Array, out: &mut Vec<u8>) {
    out.push(b'[');
    for row in 0..values.len() {
        if row > 0 {
            out.push(b',');
        }
        write_json(item, values, row, out);
    }
    out.push(b']');
}

fn write_decimal(out: &mut Vec<u8>, value: i128, scale: i32) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs());
    if value < 0 {
        out.push(b'-');
    }
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        if value != 0 {
            out.resize(out.len() + scale.unsigned_abs() as usize, b'0');
        }
        return;
    }
    let scale = scale as usize;
    let whole = digits.len().saturating_sub(scale);
    if whole == 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits.as_bytes());
    } else {
        out.extend_from_slice(&digits.as_bytes()[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits.as_bytes()[whole..]);
    }
}

/// Days since the epoch as a date of the proleptic Gregorian calendar; after `civil_from_days` in
/// Howard Hinnant, "chrono-compatible low-level date algorithms".
fn write_date(out: &mut Vec<u8>, days: i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9_999).contains(&year) {
        write_padded(out, year, 4);
    } else {
        write!(out, "{year:+06}").expect("memory takes every byte");
    }
    out.push(b'-');
    write_padded(out, month, 2);
    out.push(b'-');
    write_padded(out, day, 2);
}

/// A time of day, or a span, in units of `10^-digits` seconds.
fn write_time(out: &mut Vec<u8>, value: i64, digits: u32) {
    if value < 0 {
        out.push(b'-');
    }
    let value = value.saturating_abs();
    let in_a_second = 10_i64.pow(digits);
    let seconds = value / in_a_second;
    let hours = seconds / 3_600;
    write_padded(
        out,
        hours,
        if hours < 100 {
            2
        } else {
            hours.ilog10() as usize + 1
        },
    );
    out.push(b':');
    write_padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    write_padded(out, seconds % 60, 2);
    if digits > 0 {
        out.push(b'.');
        write_padded(out, value % in_a_second, digits as usize);
    }
}

fn write_padded(out: &mut Vec<u8>, mut value: i64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for byte in out[start..].iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests;
