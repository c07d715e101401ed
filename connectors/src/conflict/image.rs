//! Converts a row to a JSON object and back without loss (R3). The conflict log and the shadow
//! tables store rows in this form.
//!
//! - null: `null`. An unset column is omitted, so that null and unset differ (R14).
//! - decimals, dates and instants: exact text, as [`crate::text`] writes it, including `infinity`.
//! - floats: numbers, the shortest text that parses to the same value; NaN and the infinities as
//!   text.
//! - durations: an integer in the column's unit. Binary: base64.
//! - JSON documents: unchanged, if the document is on one line and is neither a string nor `null`;
//!   otherwise as a string that contains it.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float16Type, Float32Type, Float64Type, Schema, SchemaRef};

use crate::change::{Image, Logical};
use crate::error::{Error, Result};
use crate::format::image::{Trust, read_rows, typed_value};
use crate::text::{write_json, write_string};

/// The set columns of one row as a JSON object. `unset` has a mask for each column.
pub fn write_image(rows: &RecordBatch, unset: &[Option<BooleanBuffer>], row: usize) -> String {
    let is_set = |column: &usize| {
        let mask = unset.get(*column).and_then(Option::as_ref);
        mask.is_none_or(|mask| !mask.value(row))
    };
    write_columns(rows, row, (0..rows.num_columns()).filter(is_set))
}

/// The columns `key` of one row as a JSON object, in that order. The same key gives the same text,
/// as long as these columns keep their types.
pub fn write_key(rows: &RecordBatch, key: &[usize], row: usize) -> String {
    write_columns(rows, row, key.iter().copied())
}

/// Parses the images `texts` into the schema of their rows. A `None` is an image that is not
/// present; a column that an image lacks is unset in it.
///
/// # Errors
/// `Configuration` if an image does not fit the schema, because a column changed its type since the
/// image was stored.
pub fn read_images(schema: &SchemaRef, texts: &[Option<&str>]) -> Result<Image> {
    let present = BooleanBuffer::collect_bool(texts.len(), |row| texts[row].is_some());
    let (columns, unset) = read_rows(schema, texts, Trust::Own).map_err(|reason| {
        Error::configuration(format!(
            "a stored row image does not fit the table's columns any more: {reason}"
        ))
    })?;
    image(schema, columns, unset, present)
}

/// One image with the columns that a person typed as `column=value`; the others are unset. A value
/// is parsed as JSON if that gives a value of the column, otherwise it is a text; `null` is null.
///
/// # Errors
/// `Configuration`: an assignment without `=`, a column that does not exist or is set twice, a
/// value that does not fit its column's type.
pub fn read_assignments(schema: &SchemaRef, assignments: &[String]) -> Result<Image> {
    let mut parts: Vec<String> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for assignment in assignments {
        let (name, text) = assignment.split_once('=').ok_or_else(|| {
            Error::configuration(format!(
                "{assignment:?} is not an assignment: write column=value"
            ))
        })?;
        let name = name.trim();
        let field = schema.field_with_name(name).map_err(|_| {
            Error::configuration(format!(
                "there is no column {name:?}: there are {}",
                names(schema)
            ))
        })?;
        if seen.contains(&name) {
            return Err(Error::configuration(format!(
                "column {name:?} is set twice: write one value"
            )));
        }
        seen.push(name);
        let value = typed_value(field, text).map_err(Error::configuration)?;
        parts.push(format!("{}:{value}", serde_json::Value::from(name)));
    }
    let object = format!("{{{}}}", parts.join(","));
    let (columns, unset) =
        read_rows(schema, &[Some(&object)], Trust::Typed).map_err(Error::configuration)?;
    image(schema, columns, unset, BooleanBuffer::new_set(1))
}

fn image(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    unset: Vec<Option<BooleanBuffer>>,
    present: BooleanBuffer,
) -> Result<Image> {
    let options = RecordBatchOptions::new().with_row_count(Some(present.len()));
    // An image may lack a value of a column that is `not null` in rows.
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let nullable = Schema::new_with_metadata(fields, schema.metadata().clone());
    let nullable = if nullable == **schema {
        schema.clone()
    } else {
        nullable.into()
    };
    let rows = RecordBatch::try_new_with_options(nullable, columns, &options).map_err(|cause| {
        Error::configuration_from("row images cannot be combined to a batch", cause)
    })?;
    Ok(Image {
        rows,
        unset,
        present,
    })
}

fn names(schema: &Schema) -> String {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    names.join(", ")
}

fn write_columns(rows: &RecordBatch, row: usize, columns: impl Iterator<Item = usize>) -> String {
    let mut out = vec![b'{'];
    for index in columns {
        if out.len() > 1 {
            out.push(b',');
        }
        let field = rows.schema_ref().field(index);
        write_string(field.name(), &mut out);
        out.push(b':');
        write_value(field, rows.column(index), row, &mut out);
    }
    out.push(b'}');
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// The same as [`write_json`], except for values that [`write_json`] cannot restore.
fn write_value(field: &Field, column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match column.data_type() {
        DataType::Float16 => {
            let value = column.as_primitive::<Float16Type>().value(row);
            write_float(f64::from(value), field, column, row, out);
        }
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            write_float(f64::from(value), field, column, row, out);
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            write_float(value, field, column, row, out);
        }
        DataType::Duration(_) => {
            let value = column.to_data().buffer::<i64>(0)[row];
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        DataType::Utf8 if Logical::of(field) == Some(Logical::Json) => {
            write_document(column.as_string::<i32>().value(row), out);
        }
        DataType::List(item) => write_list(item, &column.as_list::<i32>().value(row), out),
        DataType::LargeList(item) => write_list(item, &column.as_list::<i64>().value(row), out),
        other => match plain(other) {
            Some(plain) => {
                let value = column.slice(row, 1);
                let value = cast(&value, &plain).expect("a plainer type holds every value");
                write_value(field, &value, 0, out);
            }
            None => write_json(field, column, row, out),
        },
    }
}

/// A simpler type that contains the same values; `None` if there is none.
fn plain(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Some(DataType::Binary)
        }
        DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
        _ => None,
    }
}

fn write_float(value: f64, field: &Field, column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    match value {
        f64::INFINITY => write_string("Infinity", out),
        f64::NEG_INFINITY => write_string("-Infinity", out),
        _ if *column.data_type() == DataType::Float16 && !value.is_nan() => {
            out.extend_from_slice(format!("{value:?}").as_bytes());
        }
        _ if value.is_nan() => write_string("NaN", out),
        _ => write_json(field, column, row, out),
    }
}

fn write_list(item: &Field, values: &ArrayRef, out: &mut Vec<u8>) {
    out.push(b'[');
    for row in 0..values.len() {
        if row > 0 {
            out.push(b',');
        }
        write_value(item, values, row, out);
    }
    out.push(b']');
}

/// A document that is unchanged by a round trip is written as it is; a string or `null` would not
/// be.
fn write_document(text: &str, out: &mut Vec<u8>) {
    let first = text.as_bytes().first();
    let stands = matches!(first, Some(b'{' | b'[' | b't' | b'f' | b'-' | b'0'..=b'9'))
        && !text.ends_with([' ', '\t'])
        && !text.contains(['\n', '\r'])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if stands {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_string(text, out);
    }
}

#[cfg(test)]
mod tests;
