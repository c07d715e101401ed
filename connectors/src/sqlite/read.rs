//! Rows of the target as Arrow columns, in the types of the changes.
//!
//! SQLite holds what it was given: a value is read in whatever form it stands there, as JSON would
//! say it, by the rules that read messages. What the changes' type cannot say is foreign, never
//! rounded (R3). Instants are read in any of their forms (C5).

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};
use base64::Engine as _;
use rusqlite::types::ValueRef;

use super::function::instant_us;
use crate::change::Logical;
use crate::error::{Error, Result};
use crate::format::{fit, read_cells};
use crate::text::write_string;

/// The values of one column, one a row.
pub(super) enum Values {
    /// Microseconds, or nothing that is an instant: the second is whether there is a value.
    Instants(Vec<(Option<i64>, bool)>),
    /// JSON.
    Tokens(Vec<Option<Vec<u8>>>),
}

impl Values {
    pub(super) fn of(field: &Field) -> Self {
        match field.data_type() {
            DataType::Timestamp(..) => Self::Instants(Vec::new()),
            _ => Self::Tokens(Vec::new()),
        }
    }

    /// A row that is not there.
    pub(super) fn push_absent(&mut self) {
        match self {
            Self::Instants(values) => values.push((None, false)),
            Self::Tokens(values) => values.push(None),
        }
    }

    pub(super) fn push(&mut self, value: ValueRef<'_>, field: &Field) {
        match self {
            Self::Instants(values) => {
                values.push((instant_us(value), value != ValueRef::Null));
            }
            Self::Tokens(values) => values.push(token(value, field)),
        }
    }

    /// The column, and which of its values are foreign.
    pub(super) fn finish(self, field: &Field) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
        match self {
            Self::Tokens(values) => {
                let values = values
                    .iter()
                    .map(|value| value.as_deref().map(Cow::Borrowed));
                read_cells(field, values)
            }
            Self::Instants(values) => {
                let instants: Int64Array = values.iter().map(|(instant, _)| *instant).collect();
                let zone = match field.data_type() {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    _ => None,
                };
                let instants: ArrayRef = Arc::new(instants);
                let micros = DataType::Timestamp(TimeUnit::Microsecond, zone);
                let instants = cast(&instants, &micros).map_err(Error::configuration)?;
                let (column, lost) = fit(&instants, field)?;
                let none = BooleanBuffer::collect_bool(values.len(), |row| {
                    values[row].1 && values[row].0.is_none()
                });
                let foreign = match lost {
                    Some(lost) => &none | &lost,
                    None => none,
                };
                Ok((column, (foreign.count_set_bits() > 0).then_some(foreign)))
            }
        }
    }
}

/// A value as JSON of what `field` expects; `null` within the JSON for nothing that fits.
pub(super) fn token(value: ValueRef<'_>, field: &Field) -> Option<Vec<u8>> {
    let texts = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8)
        && Logical::of(field).is_none();
    let quoted = |text: &str| {
        let mut out = Vec::with_capacity(text.len() + 2);
        write_string(text, &mut out);
        out
    };
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(number) => match field.data_type() {
            DataType::Boolean => match number {
                0 => b"false".to_vec(),
                1 => b"true".to_vec(),
                _ => b"{}".to_vec(),
            },
            _ if texts => quoted(&number.to_string()),
            _ => number.to_string().into_bytes(),
        },
        ValueRef::Real(number) => {
            let whole = number.fract() == 0.0 && number.abs() < 9e15;
            let text = if whole && !field.data_type().is_floating() {
                format!("{}", number as i64)
            } else {
                format!("{number:?}")
            };
            if texts || !number.is_finite() {
                quoted(&text)
            } else {
                text.into_bytes()
            }
        }
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).unwrap_or("\0");
            match field.data_type() {
                DataType::List(_) | DataType::LargeList(_) => text.as_bytes().to_vec(),
                DataType::Binary | DataType::LargeBinary => b"{}".to_vec(),
                number if number.is_numeric() && is_number(text) => text.trim().as_bytes().to_vec(),
                _ => quoted(text),
            }
        }
        ValueRef::Blob(_) if texts => {
            // Bytes are no text: nothing that a text column says.
            b"{}".to_vec()
        }
        ValueRef::Blob(bytes) => quoted(&base64::engine::general_purpose::STANDARD.encode(bytes)),
    })
}

/// Whether a text is a number as JSON writes them.
fn is_number(text: &str) -> bool {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit()) && text.parse::<f64>().is_ok()
}
