//! Values of a column, bound to a statement without looking at their type for every row.
//!
//! What the target's column would change by its affinity is refused, never rounded in silence (R3):
//! a column with a numeric affinity keeps text that looks like a number as a number, of which it
//! keeps only 15 digits unless it is a 64-bit integer.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, UInt64Type};
use rusqlite::Statement;
use rusqlite::types::Null;

use super::failure::{Failure, Refused, of_row};
use super::prepare::Column;
use super::types::Affinity;
use crate::change::{Changes, Logical};
use crate::conflict::Number;
use crate::error::{Error, Result};
use crate::text::write_text;

/// The values of one column of a batch.
pub(super) struct Cells {
    field: FieldRef,
    affinity: Affinity,
    /// Text that the column would make a number of is refused, unless the number reads as the text.
    keeps_text: bool,
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Integers(ScalarBuffer<i64>),
    Unsigned(ScalarBuffer<u64>),
    Reals(ScalarBuffer<f64>),
    Texts(StringArray),
    Blobs(BinaryArray),
    /// Anything else, as text.
    Formatted(ArrayRef),
}

/// A value as SQLite takes it.
enum Cell<'a> {
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
    Blob(&'a [u8]),
}

impl Cells {
    /// The cells of column `index` of `changes`, for the target's `column`.
    pub(super) fn of(changes: &Changes, index: usize, column: &Column) -> Result<Self> {
        let array = changes.rows.column(index);
        let field = changes.rows.schema_ref().fields()[index].clone();
        let converted = |data_type: &DataType| {
            cast(array, data_type).map_err(|cause| unsupported(&field, cause))
        };
        let values = match array.data_type() {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => {
                let array = converted(&DataType::Int64)?;
                Values::Integers(array.as_primitive::<Int64Type>().values().clone())
            }
            DataType::UInt64 => {
                Values::Unsigned(array.as_primitive::<UInt64Type>().values().clone())
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let array = converted(&DataType::Float64)?;
                Values::Reals(array.as_primitive::<Float64Type>().values().clone())
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Values::Texts(converted(&DataType::Utf8)?.as_string().clone())
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                Values::Blobs(converted(&DataType::Binary)?.as_binary().clone())
            }
            _ => Values::Formatted(array.clone()),
        };
        Ok(Self {
            affinity: column.affinity,
            keeps_text: !column.numeric && Logical::of(&field).is_none(),
            nulls: array.logical_nulls(),
            values,
            field,
        })
    }

    /// Binds the value of `row` to parameter `number`.
    pub(super) fn bind(
        &self,
        statement: &mut Statement<'_>,
        number: usize,
        row: usize,
    ) -> Result<(), Failure> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return bound(statement.raw_bind_parameter(number, Null));
        }
        match self.cell(row).map_err(|reason| self.refused(reason))? {
            Cell::Integer(value) => bound(statement.raw_bind_parameter(number, value)),
            Cell::Real(value) => bound(statement.raw_bind_parameter(number, value)),
            Cell::Text(value) => bound(statement.raw_bind_parameter(number, &*value)),
            Cell::Blob(value) => bound(statement.raw_bind_parameter(number, value)),
        }
    }

    /// The value as text, for the key of a tombstone; `None` for null.
    pub(super) fn text(&self, row: usize) -> Option<String> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        Some(match self.cell(row).ok()? {
            Cell::Integer(value) => value.to_string(),
            Cell::Real(value) => format!("{value:?}"),
            Cell::Text(value) => value.into_owned(),
            Cell::Blob(value) => value.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    fn cell(&self, row: usize) -> Result<Cell<'_>, &'static str> {
        let numeric = self.affinity == Affinity::Numeric || self.affinity == Affinity::Real;
        match &self.values {
            Values::Integers(values) => self.integer_cell(values[row]),
            Values::Unsigned(values) => match i64::try_from(values[row]) {
                Ok(value) if self.affinity != Affinity::Text => self.integer_cell(value),
                _ => self.text_cell(Cow::Owned(values[row].to_string()), numeric),
            },
            // A column of text would keep 15 digits of a float.
            Values::Reals(values) => {
                let value = values[row];
                Ok(if value.is_nan() || self.affinity == Affinity::Text {
                    Cell::Text(Cow::Owned(format!("{value:?}")))
                } else {
                    Cell::Real(value)
                })
            }
            Values::Texts(values) => {
                let text = values.value(row);
                if numeric && self.keeps_text && becomes_another(text) {
                    return Err(
                        "the column's numeric affinity would make another text of it: declare it as TEXT",
                    );
                }
                self.text_cell(Cow::Borrowed(text), numeric)
            }
            Values::Blobs(values) => Ok(Cell::Blob(values.value(row))),
            Values::Formatted(array) => {
                let mut text = Vec::with_capacity(32);
                write_text(&self.field, array, row, &mut text);
                let text = String::from_utf8(text).map_err(|_| "the value is no text")?;
                self.text_cell(Cow::Owned(text), numeric)
            }
        }
    }

    fn integer_cell(&self, value: i64) -> Result<Cell<'_>, &'static str> {
        if self.affinity == Affinity::Real && (value as f64) as i128 != i128::from(value) {
            return Err("the column holds floats, which would round the integer");
        }
        Ok(Cell::Integer(value))
    }

    fn text_cell<'a>(&self, text: Cow<'a, str>, numeric: bool) -> Result<Cell<'a>, &'static str> {
        if numeric && loses_digits(&text, self.affinity) {
            return Err("the column's numeric affinity would round the value: declare it as TEXT");
        }
        Ok(Cell::Text(text))
    }

    fn refused(&self, reason: &str) -> Failure {
        Failure::Data(Refused::new(
            "R3 exact",
            Some(self.field.name().clone()),
            reason,
        ))
    }
}

fn bound(result: rusqlite::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| of_row("", error))
}

fn unsupported(field: &Field, cause: arrow::error::ArrowError) -> Error {
    Error::configuration_from(
        format!(
            "column {:?} is {}, which SQLite cannot hold: cast it in a map operator",
            field.name(),
            field.data_type()
        ),
        cause,
    )
}

/// The number that SQLite would make of a text, where it looks like one.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches(|letter: char| letter.is_ascii_whitespace());
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits
        .starts_with(|first: char| first.is_ascii_digit() || first == '.')
        .then(|| text.parse().ok())
        .flatten()
}

/// Whether text that looks like a number has more digits than a number of SQLite keeps, or is beyond the
/// range of its floats.
fn loses_digits(text: &str, affinity: Affinity) -> bool {
    let Some(value) = number(text) else {
        return false;
    };
    let text = text.trim_matches(|letter: char| letter.is_ascii_whitespace());
    if affinity == Affinity::Numeric && text.parse::<i64>().is_ok() {
        return false;
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_start_matches('0');
    let significant = if mantissa.contains('.') {
        significant.trim_end_matches('0')
    } else {
        significant
    };
    significant.len() > 15 || Number::parse(text) != Number::parse(&format!("{value:?}"))
}

/// Whether a text looks like a number that reads in another way.
fn becomes_another(text: &str) -> bool {
    let Some(value) = number(text) else {
        return false;
    };
    let whole = value.fract() == 0.0 && value.abs() < 9.2e18;
    let read = match text.parse::<i64>() {
        Ok(integer) => integer.to_string(),
        Err(_) if whole => format!("{}", value as i64),
        Err(_) => format!("{value:?}"),
    };
    read != text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_column_refuses_what_it_would_round_r3() {
        let cases = [
            ("12.50", false),
            ("123456789012345.6", true),
            ("0.000123456789012345", false),
            ("9223372036854775807", false),
            ("9223372036854775808", true),
            ("-1234567890.123456", true),
            ("100000000000000000000.5", true),
            ("1e400", true),
            ("1e-400", true),
            ("1.5e300", false),
            ("hello", false),
            ("2024-01-01T00:00:00.000000Z", false),
            ("", false),
        ];
        for (text, expect) in cases {
            assert_eq!(loses_digits(text, Affinity::Numeric), expect, "{text}");
        }
        assert!(loses_digits("9223372036854775807", Affinity::Real));
    }

    #[test]
    fn a_text_stays_the_text_that_it_is_in_a_column_of_no_numbers_r23() {
        let cases = [
            ("007", true),
            ("1.50", true),
            ("1.0", true),
            ("1e5", true),
            (" 12", true),
            ("+5", true),
            ("12", false),
            ("-12", false),
            ("1.5", false),
            ("2024-01-01", false),
            ("", false),
            ("inf", false),
        ];
        for (text, expect) in cases {
            assert_eq!(becomes_another(text), expect, "{text}");
        }
    }
}
