//! The values of one column as they come over the wire, and as an Arrow column.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBufferBuilder, BooleanBuilder, Date32Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field};

use super::{Wire, unexpected};
use crate::error::Result;
use crate::format::{fit, read_cells};
use crate::postgres::instant::{EPOCH_US, days};
use crate::postgres::numeric::Numeric;
use crate::text::write_string;

/// The values of one column as they come.
pub(super) enum Cells {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Numeric(Vec<Option<Numeric>>),
    Text(StringBuilder),
    Json(Vec<Option<Vec<u8>>>),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder, bool),
}

impl Cells {
    pub(super) fn of(wire: Wire) -> Self {
        match wire {
            Wire::Boolean => Self::Boolean(BooleanBuilder::new()),
            Wire::Int16 => Self::Int16(Int16Builder::new()),
            Wire::Int32 => Self::Int32(Int32Builder::new()),
            Wire::Int64 => Self::Int64(Int64Builder::new()),
            Wire::Float32 => Self::Float32(Float32Builder::new()),
            Wire::Float64 => Self::Float64(Float64Builder::new()),
            Wire::Numeric => Self::Numeric(Vec::new()),
            Wire::Text => Self::Text(StringBuilder::new()),
            Wire::Json => Self::Json(Vec::new()),
            Wire::Binary => Self::Binary(BinaryBuilder::new()),
            Wire::Date => Self::Date(Date32Builder::new()),
            Wire::Time => Self::Time(Time64MicrosecondBuilder::new()),
            Wire::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new(), false),
            Wire::TimestampTz => Self::Timestamp(TimestampMicrosecondBuilder::new(), true),
        }
    }

    pub(super) fn push(&mut self, cell: Option<&[u8]>) -> Result<()> {
        match self {
            Self::Boolean(builder) => {
                builder.append_option(cell.map(|bytes| bytes.first() == Some(&1)));
            }
            Self::Int16(builder) => builder.append_option(number(cell, i16::from_be_bytes)?),
            Self::Int32(builder) => builder.append_option(number(cell, i32::from_be_bytes)?),
            Self::Int64(builder) => builder.append_option(number(cell, i64::from_be_bytes)?),
            Self::Float32(builder) => builder.append_option(number(cell, f32::from_be_bytes)?),
            Self::Float64(builder) => builder.append_option(number(cell, f64::from_be_bytes)?),
            Self::Numeric(values) => {
                let value = cell.map(|bytes| Numeric::parse(bytes).ok_or_else(unexpected));
                values.push(value.transpose()?);
            }
            Self::Text(builder) => match cell.map(std::str::from_utf8) {
                Some(Ok(text)) => builder.append_value(text),
                Some(Err(_)) => return Err(unexpected()),
                None => builder.append_null(),
            },
            Self::Json(values) => values.push(cell.map(<[u8]>::to_vec)),
            Self::Binary(builder) => builder.append_option(cell),
            Self::Date(builder) => {
                builder.append_option(number(cell, i32::from_be_bytes)?.map(days));
            }
            Self::Time(builder) => builder.append_option(number(cell, i64::from_be_bytes)?),
            Self::Timestamp(builder, _) => {
                let value = number(cell, i64::from_be_bytes)?;
                builder.append_option(value.map(|value| match value {
                    i64::MAX | i64::MIN => value,
                    finite => finite.saturating_add(EPOCH_US),
                }));
            }
        }
        Ok(())
    }

    /// The column in the type of `field`, and which of its values are foreign.
    pub(super) fn finish(self, field: &Field) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
        let natural: ArrayRef = match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Int16(mut builder) => Arc::new(builder.finish()),
            Self::Int32(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float32(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Numeric(values) => return numerics(&values, field),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Json(values) => {
                let values = values
                    .iter()
                    .map(|value| value.as_deref().map(Cow::Borrowed));
                return read_cells(field, values);
            }
            Self::Binary(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder, zoned) => {
                let column = builder.finish();
                if zoned {
                    Arc::new(column.with_timezone("UTC"))
                } else {
                    Arc::new(column)
                }
            }
        };
        let plain = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8);
        if natural.data_type() == &DataType::Utf8 && !plain {
            // A text in the target, of which the changes know more.
            let texts = arrow::array::AsArray::as_string::<i32>(&natural);
            let values = texts.iter().map(|text| {
                let mut quoted = Vec::new();
                write_string(text?, &mut quoted);
                Some(Cow::Owned(quoted))
            });
            return read_cells(field, values);
        }
        fit(&natural, field)
    }
}

/// Decimals straight into a decimal column; into any other through their text.
fn numerics(
    values: &[Option<Numeric>],
    field: &Field,
) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
    let DataType::Decimal128(precision, scale) = *field.data_type() else {
        let texts = values.iter().map(|value| {
            let value = value.as_ref()?;
            let whole = value
                .scaled(38, 0)
                .filter(|_| field.data_type().is_integer());
            let text = whole.map_or_else(|| value.to_string(), |whole| whole.to_string());
            if field.data_type().is_numeric() && whole_or_finite(&text) {
                return Some(Cow::Owned(text.into_bytes()));
            }
            let mut quoted = Vec::new();
            write_string(&text, &mut quoted);
            Some(Cow::Owned(quoted))
        });
        return read_cells(field, texts);
    };
    let mut builder = arrow::array::Decimal128Builder::with_capacity(values.len())
        .with_data_type(field.data_type().clone());
    let mut foreign = BooleanBufferBuilder::new(values.len());
    for value in values {
        let scaled = value.as_ref().map(|value| value.scaled(precision, scale));
        foreign.append(scaled == Some(None));
        builder.append_option(scaled.flatten());
    }
    let foreign = foreign.finish();
    Ok((
        Arc::new(builder.finish()),
        (foreign.count_set_bits() > 0).then_some(foreign),
    ))
}

/// Whether a text is a number, and not `NaN` or an infinity.
fn whole_or_finite(text: &str) -> bool {
    text.ends_with(|last: char| last.is_ascii_digit())
}

fn number<const N: usize, T>(cell: Option<&[u8]>, read: fn([u8; N]) -> T) -> Result<Option<T>> {
    cell.map(|bytes| fixed(bytes).map(read)).transpose()
}

pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| unexpected())
}
