//! Rows that Syncline keeps as text, back into columns of a given schema.
//!
//! One JSON object a row, as [`crate::conflict::write_image`] makes it. What one process wrote another reads back
//! to the bit: texts are taken as they stand, and nothing in them means "unavailable". A field that an
//! object lacks is unset; `null` is null; a field that the schema does not know is left out; one that
//! stands twice counts the last time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, make_array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;

use super::column::Column;
use super::fault::{Fault, Parsed};
use super::keys::KeyOrder;
use super::reading::{Placeholder, Reading};
use super::scan::Cursor;
use crate::change::Logical;

/// How strictly texts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Syncline wrote them: a text is what it is.
    Own,
    /// A person wrote them: a UUID, a number or a document has to be one.
    Typed,
}

/// Columns with their rows, and for each the rows in which it is unset.
pub(crate) type Read = (Vec<ArrayRef>, Vec<Option<BooleanBuffer>>);

/// The rows of `texts`; one that is `None` is unset in every column.
///
/// # Errors
/// The column and what was found and expected, never a value: an object that is broken, a value
/// that its type does not hold, a type that no text can say.
pub(crate) fn read_rows(
    schema: &Schema,
    texts: &[Option<&str>],
    trust: Trust,
) -> Result<Read, String> {
    let readings: Vec<Reading> = schema
        .fields()
        .iter()
        .map(|field| reading(field, trust))
        .collect();
    let mut columns: Vec<Column> = readings
        .iter()
        .map(|reading| Column::new(&reading.data_type()))
        .collect();
    let mut keys = KeyOrder::new(schema.fields().iter().map(|field| field.name().as_str()));
    // An empty placeholder stands for none.
    let placeholder = Placeholder::new("");
    for (row, text) in texts.iter().enumerate() {
        if let Some(text) = text {
            read_row(
                text,
                row,
                &readings,
                &mut columns,
                &mut keys,
                &placeholder,
                schema,
            )
            .map_err(|fault| describe(&fault))?;
        }
        for column in &mut columns {
            if column.len() == row {
                column.append_not_carried();
            }
        }
    }
    let mut read = (Vec::new(), Vec::new());
    for ((column, reading), field) in columns.iter_mut().zip(&readings).zip(schema.fields()) {
        let (array, unset) = column
            .take(&reading.data_type())
            .and_then(|taken| Ok((dress(field, taken.array)?, taken.unset)))
            .map_err(|error| format!("column {:?}: {error}", field.name()))?;
        read.0.push(array);
        read.1.push(unset.filter(|mask| mask.count_set_bits() > 0));
    }
    Ok(read)
}

/// The value of one column as a person types it, as it stands in the object of a row: JSON where it
/// reads as a value of the column, else its text. `null` is null for every type.
///
/// # Errors
/// What was found and what was expected.
pub(crate) fn typed_value(field: &Field, text: &str) -> Result<String, String> {
    let quoted = serde_json::Value::from(text).to_string();
    let is_text = matches!(
        reading(field, Trust::Typed),
        Reading::Text | Reading::Xml | Reading::Binary
    );
    let forms = match text {
        "null" => [text, &quoted],
        // `--set code=42` of a text column is the text 42, and "42" in quotes is the text within.
        _ if is_text && !text.starts_with('"') => [quoted.as_str(), &quoted],
        _ => [text, &quoted],
    };
    let schema = Schema::new(vec![field.clone()]);
    let name = serde_json::Value::from(field.name().as_str());
    let mut first = None;
    for form in forms {
        match read_rows(
            &schema,
            &[Some(&format!("{{{name}:{form}}}"))],
            Trust::Typed,
        ) {
            Ok(_) => return Ok(form.to_owned()),
            Err(reason) => {
                first.get_or_insert(reason);
            }
        }
    }
    Err(first.unwrap_or_default())
}

fn read_row(
    text: &str,
    row: usize,
    readings: &[Reading],
    columns: &mut [Column],
    keys: &mut KeyOrder,
    placeholder: &Placeholder,
    schema: &Schema,
) -> Parsed<()> {
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.expect(b'{')?;
    let mut hint = 0;
    let mut more = !cursor.closed(b'}');
    while more {
        let target = keys.next(&mut cursor, &mut hint)?;
        match columns.get_mut(target) {
            Some(column) => {
                column.truncate(row);
                readings[target]
                    .read(&mut cursor, column, placeholder)
                    .map_err(|fault| fault.at_field(schema.field(target).name()))?;
            }
            None => cursor.skip_checked()?,
        }
        more = cursor.more(b'}')?;
    }
    cursor.end()
}

/// How a kept value is read: into a type of the same numbers, which [`dress`] turns into the field's.
fn reading(field: &Field, trust: Trust) -> Reading {
    match (Logical::of(field), field.data_type()) {
        (Some(Logical::Json), _) if trust == Trust::Own => Reading::KeptJson,
        (Some(_), _) if trust == Trust::Own => Reading::Text,
        (Some(_), _) => Reading::of(field),
        (None, DataType::Null) => Reading::Nothing,
        (None, DataType::Time32(TimeUnit::Second)) => Reading::Time(TimeUnit::Second),
        // What was written ends in Z, which a timestamp takes; a person may write any offset.
        (None, DataType::Timestamp(unit, Some(_)))
            if trust == Trust::Own || *unit != TimeUnit::Microsecond =>
        {
            Reading::Timestamp(*unit)
        }
        (None, DataType::Float16) => Reading::Float32,
        (None, DataType::FixedSizeBinary(_)) => Reading::Binary,
        (None, DataType::List(item) | DataType::LargeList(item)) => {
            Reading::List(Box::new(reading(item, trust)))
        }
        (None, DataType::Dictionary(_, values)) => {
            reading(&Field::new("item", values.as_ref().clone(), true), trust)
        }
        _ => match Reading::of(field) {
            Reading::Decimal {
                precision, scale, ..
            } => Reading::Decimal {
                precision,
                scale,
                base64: None,
            },
            reading => reading,
        },
    }
}

/// The array with the field's own type: no value changes.
fn dress(field: &Field, array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let data_type = field.data_type();
    if array.data_type() == data_type {
        return Ok(array);
    }
    match (array.data_type(), data_type) {
        (_, DataType::Null) => Ok(new_null_array(data_type, array.len())),
        // The same numbers under another name.
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) if from == to => {
            rename(&array, data_type)
        }
        (DataType::Time32(_), DataType::Time32(_)) => rename(&array, data_type),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let items = dress(item, list.values().clone())?;
            Ok(Arc::new(ListArray::try_new(
                item.clone(),
                list.offsets().clone(),
                items,
                list.nulls().cloned(),
            )?))
        }
        _ => {
            let exact = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(&array, data_type, &exact)
        }
    }
}

fn rename(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data().into_builder().data_type(data_type.clone());
    Ok(make_array(data.build()?))
}

fn describe(fault: &Fault) -> String {
    match &fault.field {
        Some(field) => format!("column {field:?}: {}", fault.reason),
        None => fault.reason.clone(),
    }
}
