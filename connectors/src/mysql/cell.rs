//! Arrow columns as SQL literals, for a session with `NO_BACKSLASH_ESCAPES` in utf8mb4.
//!
//! A value that the target's column cannot hold exactly refuses its row, with the column and the
//! reason (R3). Instants are written in UTC, which is the session's time zone.

use std::io::Write as _;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type, TimeUnit, UInt64Type};

use super::column_kind::{ColumnKind, INFINITE, NO_NUMBER, TOO_FINE, Unfit};
use crate::error::{Error, Result};
use crate::text::{write_instant, write_text};

/// One column, ready to be written cell by cell.
pub(super) struct Cells<'a> {
    field: FieldRef,
    place: &'a ColumnKind,
    column: ArrayRef,
    values: Values,
    nulls: Option<NullBuffer>,
}

enum Values {
    Boolean(BooleanArray),
    Signed(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
    Decimal,
    Text(StringArray),
    Binary(BinaryArray),
    Date,
    Time(Int64Array, TimeUnit),
    Instant(Int64Array, TimeUnit),
    /// Lists, durations and the like: their text.
    Other,
}

impl<'a> Cells<'a> {
    /// # Errors
    /// Where Arrow cannot bring the column into its canonical form.
    pub(super) fn of(field: &FieldRef, column: &ArrayRef, place: &'a ColumnKind) -> Result<Self> {
        let column = match column.data_type() {
            DataType::Dictionary(_, value) => cast(column, value).map_err(Error::configuration)?,
            _ => column.clone(),
        };
        let field = field
            .as_ref()
            .clone()
            .with_data_type(column.data_type().clone());
        Ok(Self {
            field: field.into(),
            place,
            values: values(&column)?,
            nulls: column.logical_nulls(),
            column,
        })
    }

    /// Whether the cell is null.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the cell.
    pub(super) fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
        if self.is_null(row) {
            out.extend_from_slice(b"NULL");
            return Ok(());
        }
        match &self.values {
            Values::Boolean(_) | Values::Signed(_) | Values::Unsigned(_) | Values::Decimal
                if self.place.is_text() =>
            {
                self.put_as_text(row, out)
            }
            Values::Boolean(values) => {
                out.push(if values.value(row) { b'1' } else { b'0' });
                Ok(())
            }
            Values::Signed(values) => {
                let value = values.value(row);
                self.place.check_integer(value.into())?;
                out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
                Ok(())
            }
            Values::Unsigned(values) => {
                let value = values.value(row);
                self.place.check_integer(value.into())?;
                out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
                Ok(())
            }
            Values::Decimal => {
                write_text(&self.field, &self.column, row, out);
                Ok(())
            }
            Values::Float(_) if self.place.is_text() => self.put_as_text(row, out),
            // An exponent makes it a float and no decimal; the shortest digits read back the same.
            Values::Float(values) if values.value(row).is_finite() => {
                write!(out, "{:e}", values.value(row)).expect("memory takes every byte");
                Ok(())
            }
            Values::Float(_) => Err(INFINITE),
            Values::Text(values) => self.put_text(values.value(row), out),
            Values::Binary(values) => {
                let bytes = values.value(row);
                self.place.check_bytes(bytes)?;
                put_hex(bytes, out);
                Ok(())
            }
            Values::Date if self.place.is_text() => self.put_as_text(row, out),
            Values::Date => {
                let start = out.len();
                out.push(b'\'');
                write_text(&self.field, &self.column, row, out);
                out.push(b'\'');
                // A longer year; the largest and the smallest number of days stand for infinity.
                if out.len() - start == "'2024-01-01'".len() {
                    Ok(())
                } else {
                    Err(INFINITE)
                }
            }
            Values::Time(..) | Values::Instant(..) if self.place.is_text() => {
                self.put_as_text(row, out)
            }
            Values::Time(values, unit) => {
                let value = self.microseconds(values.value(row), *unit)?;
                let sign = if value < 0 { "-" } else { "" };
                let value = value.saturating_abs();
                let (seconds, part) = (value / 1_000_000, value % 1_000_000);
                write!(
                    out,
                    "'{sign}{:02}:{:02}:{:02}.{part:06}'",
                    seconds / 3_600,
                    seconds / 60 % 60,
                    seconds % 60
                )
                .expect("memory takes every byte");
                Ok(())
            }
            Values::Instant(values, unit) => {
                let value = values.value(row);
                if value == i64::MAX || value == i64::MIN {
                    return Err(INFINITE);
                }
                let value = self.microseconds(value, *unit)?;
                out.push(b'\'');
                write_instant(out, value, TimeUnit::Microsecond, false);
                out.push(b'\'');
                Ok(())
            }
            Values::Other => self.put_as_text(row, out),
        }
    }

    /// A text, by what the column makes of it.
    fn put_text(&self, text: &str, out: &mut Vec<u8>) -> Result<(), Unfit> {
        match self.place {
            ColumnKind::Integer | ColumnKind::Decimal(_) | ColumnKind::Year => {
                let number = self.place.number(text)?;
                if *self.place == ColumnKind::Year {
                    let year = number.parse().map_err(|_| NO_NUMBER)?;
                    self.place.check_integer(year)?;
                }
                out.extend_from_slice(number.as_bytes());
            }
            ColumnKind::Float(..) => {
                let value = self.place.float(text)?;
                write!(out, "{value:e}").expect("memory takes every byte");
            }
            ColumnKind::Bits(_) => {
                self.place.check_bits(text)?;
                out.extend_from_slice(b"b'");
                out.extend_from_slice(text.as_bytes());
                out.push(b'\'');
            }
            place => {
                place.check(text)?;
                put_string(text.as_bytes(), out);
            }
        }
        Ok(())
    }

    /// Whatever it is, as the text of the connectors.
    fn put_as_text(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let mut bytes = Vec::with_capacity(32);
        write_text(&self.field, &self.column, row, &mut bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            self.place.check(text)?;
        }
        put_string(&bytes, out);
        Ok(())
    }

    /// Microseconds with no more digits than the column keeps.
    fn microseconds(&self, value: i64, unit: TimeUnit) -> Result<i64, Unfit> {
        let scaled = match unit {
            TimeUnit::Second => value.checked_mul(1_000_000),
            TimeUnit::Millisecond => value.checked_mul(1_000),
            TimeUnit::Microsecond => Some(value),
            TimeUnit::Nanosecond => (value % 1_000 == 0).then_some(value / 1_000),
        };
        let step = 10_i64.pow(6_u32.saturating_sub(self.place.second_digits()));
        scaled.filter(|value| value % step == 0).ok_or(TOO_FINE)
    }
}

fn values(column: &ArrayRef) -> Result<Values> {
    use DataType as D;
    let converted = |data_type: &D| cast(column, data_type).map_err(Error::configuration);
    Ok(match column.data_type() {
        D::Boolean => Values::Boolean(column.as_boolean().clone()),
        D::UInt64 => Values::Unsigned(column.as_primitive::<UInt64Type>().clone()),
        data_type if data_type.is_integer() => {
            Values::Signed(converted(&D::Int64)?.as_primitive::<Int64Type>().clone())
        }
        D::Float16 | D::Float32 | D::Float64 => Values::Float(
            converted(&D::Float64)?
                .as_primitive::<Float64Type>()
                .clone(),
        ),
        data_type if data_type.is_decimal() => Values::Decimal,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => {
            Values::Text(converted(&D::Utf8)?.as_string().clone())
        }
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => {
            Values::Binary(converted(&D::Binary)?.as_binary().clone())
        }
        D::Date32 | D::Date64 => Values::Date,
        D::Time32(unit) => {
            let array = converted(&D::Int32)?;
            let wide = cast(&array, &D::Int64).map_err(Error::configuration)?;
            Values::Time(wide.as_primitive::<Int64Type>().clone(), *unit)
        }
        D::Time64(unit) => Values::Time(
            converted(&D::Int64)?.as_primitive::<Int64Type>().clone(),
            *unit,
        ),
        D::Timestamp(unit, _) => Values::Instant(
            converted(&D::Int64)?.as_primitive::<Int64Type>().clone(),
            *unit,
        ),
        _ => Values::Other,
    })
}

/// Appends a string literal.
pub(super) fn put_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    let mut start = 0;
    for quote in memchr::memchr_iter(b'\'', text) {
        out.extend_from_slice(&text[start..=quote]);
        out.push(b'\'');
        start = quote + 1;
    }
    out.extend_from_slice(&text[start..]);
    out.push(b'\'');
}

fn put_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2 + 3);
    out.extend_from_slice(b"x'");
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.push(b'\'');
}
