//! The kernels of `mask`: how each way to hide computes its values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use chrono::{Datelike, NaiveDate};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::function::{Failure, type_name};
use crate::operator::in_place::Kernel;

/// A keyed hash of each value's text.
pub(super) struct Keyed(pub(super) Hmac<Sha256>);

impl Kernel for Keyed {
    fn field(&self, field: &Field) -> Field {
        Field::new(field.name(), DataType::Utf8, true)
    }

    fn apply(&self, values: &ArrayRef) -> (ArrayRef, Vec<Failure>) {
        let Ok(texts) = cast(values, &DataType::Utf8) else {
            return all_refused(values, &DataType::Utf8);
        };
        let texts = texts.as_string::<i32>();
        let mut builder = StringBuilder::with_capacity(texts.len(), 64 * texts.len());
        let mut digits = String::with_capacity(64);
        for text in texts {
            let Some(text) = text else {
                builder.append_null();
                continue;
            };
            let mut keyed = self.0.clone();
            keyed.update(text.as_bytes());
            digits.clear();
            for byte in keyed.finalize().into_bytes() {
                for half in [byte >> 4, byte & 15] {
                    digits.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
                }
            }
            builder.append_value(&digits);
        }
        (Arc::new(builder.finish()), Vec::new())
    }
}

/// Every value as one that is refused.
fn all_refused(values: &ArrayRef, data_type: &DataType) -> (ArrayRef, Vec<Failure>) {
    let rows = (0..values.len()).filter(|&row| values.is_valid(row));
    let failures = rows.map(|row| Failure {
        row,
        reason: "a value of this type cannot be masked",
    });
    (new_null_array(data_type, values.len()), failures.collect())
}

/// The beginning and the end of each text.
pub(super) struct Partial {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) mark: char,
}

impl Kernel for Partial {
    fn field(&self, field: &Field) -> Field {
        field
            .clone()
            .with_data_type(DataType::Utf8)
            .with_nullable(true)
    }

    fn apply(&self, values: &ArrayRef) -> (ArrayRef, Vec<Failure>) {
        let texts = cast(values, &DataType::Utf8).expect("a text column is text");
        let hidden: StringArray = texts
            .as_string::<i32>()
            .iter()
            .map(|text| {
                let text = text?;
                let length = text.chars().count();
                let all = length <= self.start + self.end;
                let letters = text.chars().enumerate().map(|(at, letter)| {
                    let kept = !all && (at < self.start || at >= length - self.end);
                    match kept || !letter.is_alphanumeric() {
                        true => letter,
                        false => self.mark,
                    }
                });
                Some(letters.collect::<String>())
            })
            .collect();
        (Arc::new(hidden), Vec::new())
    }
}

/// One text, or null, for all values.
pub(super) struct Redact(pub(super) Option<String>);

impl Kernel for Redact {
    fn field(&self, field: &Field) -> Field {
        let field = field.clone().with_nullable(true);
        match &self.0 {
            Some(_) => field.with_data_type(DataType::Utf8),
            None => field,
        }
    }

    fn apply(&self, values: &ArrayRef) -> (ArrayRef, Vec<Failure>) {
        let redacted: ArrayRef = match &self.0 {
            None => new_null_array(values.data_type(), values.len()),
            Some(text) => {
                let rows = 0..values.len();
                let texts = rows.map(|row| values.is_valid(row).then_some(text.as_str()));
                Arc::new(texts.collect::<StringArray>())
            }
        };
        (redacted, Vec::new())
    }
}

/// Coarser numbers, dates and instants.
pub(super) enum Round {
    Integer(i64),
    Float(f64),
    Decimal(i128),
    Date(Calendar),
    Instant(Calendar),
}

#[derive(Clone, Copy)]
pub(super) enum Calendar {
    Day,
    Month,
    Year,
}

impl Round {
    pub(super) fn of(unit: &str, field: &Field) -> Result<Self, String> {
        let data_type = field.data_type();
        let calendar = || match unit {
            "day" => Ok(Calendar::Day),
            "month" => Ok(Calendar::Month),
            "year" => Ok(Calendar::Year),
            _ => Err(format!("{unit} is not day, month or year")),
        };
        let positive = |is_positive: bool| match is_positive {
            true => Ok(()),
            false => Err(format!("{unit} is no unit for {}", type_name(data_type))),
        };
        match data_type {
            DataType::Date32 => Ok(Self::Date(calendar()?)),
            DataType::Timestamp(..) => Ok(Self::Instant(calendar()?)),
            DataType::Decimal128(precision, scale) => {
                let scaled = crate::function::normal::scaled(unit, *precision, *scale)?;
                positive(scaled > 0)?;
                Ok(Self::Decimal(scaled))
            }
            data_type if data_type.is_floating() => {
                let value: f64 = unit.parse().unwrap_or(0.0);
                positive(value > 0.0)?;
                Ok(Self::Float(value))
            }
            data_type if data_type.is_integer() => {
                let value: i64 = unit.parse().unwrap_or(0);
                positive(value > 0)?;
                Ok(Self::Integer(value))
            }
            _ => Err(format!(
                "{} is {}, which cannot be rounded",
                field.name(),
                type_name(data_type)
            )),
        }
    }
}

impl Kernel for Round {
    fn field(&self, field: &Field) -> Field {
        field.clone().with_nullable(true)
    }

    fn apply(&self, values: &ArrayRef) -> (ArrayRef, Vec<Failure>) {
        let data_type = values.data_type();
        let rounded: Result<ArrayRef, arrow::error::ArrowError> = match self {
            Self::Integer(unit) => cast(values, &DataType::Int64).and_then(|values| {
                let values = values.as_primitive::<Int64Type>();
                let down: Int64Array =
                    values.unary(|value| value.saturating_sub(value.rem_euclid(*unit)));
                cast(&(Arc::new(down) as ArrayRef), data_type)
            }),
            Self::Float(unit) => cast(values, &DataType::Float64).and_then(|values| {
                let values = values.as_primitive::<Float64Type>();
                let down: Float64Array = values.unary(|value| (value / unit).floor() * unit);
                cast(&(Arc::new(down) as ArrayRef), data_type)
            }),
            Self::Decimal(unit) => {
                let values = values.as_primitive::<Decimal128Type>();
                let down: Decimal128Array =
                    values.unary(|value| value.saturating_sub(value.rem_euclid(*unit)));
                Ok(Arc::new(down.with_data_type(data_type.clone())))
            }
            Self::Date(calendar) => {
                let epoch = NaiveDate::default();
                let down: Date32Array = values.as_primitive::<Date32Type>().unary_opt(|days| {
                    let date =
                        epoch.checked_add_signed(chrono::TimeDelta::days(i64::from(days)))?;
                    let down = calendar.down(date)?;
                    i32::try_from(down.signed_duration_since(epoch).num_days()).ok()
                });
                Ok(Arc::new(down))
            }
            Self::Instant(calendar) => {
                let micros = match data_type {
                    DataType::Timestamp(_, zone) => {
                        DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
                    }
                    other => other.clone(),
                };
                cast(values, &micros).and_then(|values| {
                    let values = values.as_primitive::<TimestampMicrosecondType>();
                    let down: TimestampMicrosecondArray = values.unary_opt(|micros| {
                        let instant = chrono::DateTime::from_timestamp_micros(micros)?;
                        let midnight = instant.date_naive();
                        let down = calendar.down(midnight)?.and_hms_opt(0, 0, 0)?;
                        Some(down.and_utc().timestamp_micros())
                    });
                    cast(
                        &(Arc::new(down.with_data_type(micros)) as ArrayRef),
                        data_type,
                    )
                })
            }
        };
        let Ok(rounded) = rounded else {
            return all_refused(values, data_type);
        };
        let lost = (0..values.len()).filter(|&row| values.is_valid(row) && rounded.is_null(row));
        let failures = lost.map(|row| Failure {
            row,
            reason: "the value is outside the calendar, and cannot be rounded",
        });
        let failures = failures.collect();
        (rounded, failures)
    }
}

impl Calendar {
    fn down(self, date: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => Some(date),
            Self::Month => date.with_day(1),
            Self::Year => date.with_day(1)?.with_month(1),
        }
    }
}
