//! Reading one value: by its first byte, then by what the column expects.

use arrow::datatypes::TimeUnit;
use base64::Engine as _;

use super::append::{
    append_text, push_bytes, push_integer, read_document, read_list, read_variable_scale,
};
use super::{BASE64, BITS_MAX, DEFAULT_UUID, Placeholder, Reading};
use crate::format::column::{Column, Values};
use crate::format::fault::{Fault, Parsed};
use crate::format::scan::Cursor;
use crate::format::{decimal, temporal};

impl Reading {
    /// Appends the value that stands next. After a fault the column holds a broken entry, which
    /// the caller truncates.
    #[inline]
    pub(in crate::format) fn read(
        &self,
        cursor: &mut Cursor<'_>,
        column: &mut Column,
        placeholder: &Placeholder,
    ) -> Parsed<()> {
        let next = cursor.peek();
        if next == b'n' && cursor.take_null() {
            column.append_null();
            return Ok(());
        }
        match self {
            // The common string path, without a look at anything else.
            Self::Text if next == b'"' => {
                let text = cursor.string()?;
                append_text(text, column, placeholder)
            }
            Self::Found(found) => found.read(next, cursor, column, placeholder),
            Self::RawJson => read_document(cursor, column, placeholder),
            Self::Json | Self::KeptJson if next != b'"' => {
                read_document(cursor, column, placeholder)
            }
            Self::List(item) if next == b'[' => read_list(item, cursor, column, placeholder),
            Self::Numeric if next == b'{' => read_variable_scale(cursor, column),
            _ => match next {
                b'"' => {
                    let text = cursor.string()?;
                    if !text.escaped && placeholder.is(text.raw) {
                        column.append_unset();
                        return Ok(());
                    }
                    let text = text.unescape()?;
                    if placeholder.is(&text) {
                        column.append_unset();
                        return Ok(());
                    }
                    self.read_text(&text, column)
                }
                b'-' | b'0'..=b'9' => self.read_number(cursor, column),
                b't' | b'f' => {
                    let value = next == b't';
                    match (self, &mut column.values) {
                        (Self::Boolean, Values::Boolean(bits)) => bits.append(value),
                        (Self::Bits(1), Values::Bytes { bytes, .. }) => {
                            bytes.push(if value { b'1' } else { b'0' });
                        }
                        _ => return Err(cursor.wrong_kind(&self.expected())),
                    }
                    if !cursor.take(if value { b"true" } else { b"false" }) {
                        return Err(cursor.unexpected("`true` or `false`"));
                    }
                    column.finish_value();
                    Ok(())
                }
                _ => Err(cursor.wrong_kind(&self.expected())),
            },
        }
    }

    #[inline]
    fn read_number(&self, cursor: &mut Cursor<'_>, column: &mut Column) -> Parsed<()> {
        match self {
            Self::Integer(_) => {
                let value = self.read_integer(cursor)?;
                if !push_integer(&mut column.values, value) {
                    return Err(self.out_of_range());
                }
            }
            Self::Float32 | Self::ExactFloat32 => {
                let text = cursor.number()?;
                let value: f32 = self.read_float(text)?;
                let Values::Float32(values) = &mut column.values else {
                    unreachable!("a float32 column holds float32")
                };
                let inexact = *self == Self::ExactFloat32
                    && !decimal::same(text, format!("{value:e}").as_bytes());
                if value.is_infinite() || inexact {
                    return Err(self.out_of_range());
                }
                values.push(value);
            }
            Self::Float64 | Self::ExactFloat64 => {
                let text = cursor.number()?;
                let value: f64 = self.read_float(text)?;
                let Values::Float64(values) = &mut column.values else {
                    unreachable!("a float64 column holds float64")
                };
                let inexact = *self == Self::ExactFloat64
                    && text.len() > 15
                    && !decimal::is_exact_float(text, value);
                if value.is_infinite() || inexact {
                    return Err(self.out_of_range());
                }
                values.push(value);
            }
            Self::Decimal { .. } => self.push_decimal(cursor.number()?, column)?,
            Self::Numeric | Self::ScaledNumeric(_) => {
                let text = decimal::plain(cursor.number()?)?;
                push_bytes(column, &text);
            }
            Self::Date | Self::Time(_) | Self::Timestamp(_) | Self::Instant | Self::Duration(_) => {
                let value = self.read_integer(cursor)?;
                self.push_temporal(value, column)?;
            }
            _ => return Err(cursor.wrong_kind(&self.expected())),
        }
        column.finish_value();
        Ok(())
    }

    fn read_float<T: std::str::FromStr>(&self, text: &[u8]) -> Parsed<T> {
        let text = std::str::from_utf8(text).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| self.out_of_range())
    }

    #[inline]
    fn read_integer(&self, cursor: &mut Cursor<'_>) -> Parsed<i128> {
        if let Some(value) = cursor.small_integer() {
            return Ok(value.into());
        }
        let text = cursor.number()?;
        decimal::integer(text).ok_or_else(|| self.out_of_range())
    }

    fn push_temporal(&self, value: i128, column: &mut Column) -> Parsed<()> {
        let value = i64::try_from(value).map_err(|_| self.out_of_range())?;
        let value = match self {
            Self::Timestamp(unit) => {
                temporal::with_infinity(value, *unit).ok_or_else(|| self.destroyed())?
            }
            Self::Instant => temporal::with_infinity(value, TimeUnit::Microsecond)
                .ok_or_else(|| self.destroyed())?,
            Self::Date => temporal::day(value).ok_or_else(|| self.destroyed())?,
            // The source clamps what it cannot count.
            Self::Duration(_) if value == i64::MAX || value == i64::MIN => {
                return Err(self.destroyed());
            }
            Self::Time(unit) => temporal::span(value, *unit).ok_or_else(|| {
                Fault::value(
                    "found a number that is no time and no span below 839 hours, expected time",
                )
            })?,
            _ => value,
        };
        if !push_integer(&mut column.values, i128::from(value)) {
            return Err(self.out_of_range());
        }
        Ok(())
    }

    fn push_decimal(&self, text: &[u8], column: &mut Column) -> Parsed<()> {
        let Self::Decimal {
            precision, scale, ..
        } = *self
        else {
            return Err(self.out_of_range());
        };
        match &mut column.values {
            Values::Decimal128(values) => values.push(decimal::fixed(text, precision, scale)?),
            Values::Decimal256(values) => values.push(decimal::fixed_wide(text, precision, scale)?),
            _ => unreachable!("a decimal column holds decimals"),
        }
        Ok(())
    }

    fn read_text(&self, text: &[u8], column: &mut Column) -> Parsed<()> {
        match self {
            Self::Text => push_bytes(column, text),
            Self::Json => {
                let mut cursor = Cursor::new(text);
                cursor.skip_space();
                let document = cursor.skip_checked().and_then(|()| cursor.end());
                document.map_err(|_| {
                    Fault::value("found a string that is no JSON document, expected json")
                })?;
                push_bytes(column, text);
            }
            Self::Xml | Self::KeptJson => push_bytes(column, text),
            Self::Uuid => {
                if text == DEFAULT_UUID {
                    column.append_unset();
                    return Ok(());
                }
                let hyphens = [8, 13, 18, 23];
                let good = text.len() == 36
                    && text.iter().enumerate().all(|(at, byte)| {
                        if hyphens.contains(&at) {
                            *byte == b'-'
                        } else {
                            byte.is_ascii_hexdigit()
                        }
                    });
                if !good {
                    return Err(self.unreadable());
                }
                push_bytes(column, text);
            }
            Self::Binary => {
                let Values::Bytes { bytes, .. } = &mut column.values else {
                    unreachable!("a binary column holds bytes")
                };
                BASE64
                    .decode_vec(text, bytes)
                    .map_err(|_| self.unreadable())?;
            }
            Self::Float32 | Self::ExactFloat32 | Self::Float64 | Self::ExactFloat64
                if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") =>
            {
                let value: f64 = self.read_float(text)?;
                match &mut column.values {
                    Values::Float32(values) => values.push(value as f32),
                    Values::Float64(values) => values.push(value),
                    _ => unreachable!("a float column holds floats"),
                }
            }
            Self::Date => self.push_temporal(temporal::date(text)?.into(), column)?,
            Self::Time(unit) => self.push_temporal(temporal::time(text, *unit)?.into(), column)?,
            Self::Timestamp(unit) => {
                self.push_temporal(temporal::timestamp(text, *unit)?.into(), column)?;
            }
            Self::Instant => self.push_temporal(temporal::instant(text)?.into(), column)?,
            Self::Decimal {
                precision,
                scale,
                base64: Some(from),
            } => {
                let integer = BASE64.decode(text).map_err(|_| self.unreadable())?;
                match &mut column.values {
                    Values::Decimal128(values) => {
                        values.push(decimal::unscaled(&integer, *from, *precision, *scale)?);
                    }
                    Values::Decimal256(values) => {
                        values.push(decimal::unscaled_wide(&integer, *from, *precision, *scale)?);
                    }
                    _ => unreachable!("a decimal column holds decimals"),
                }
            }
            Self::Decimal { .. } => self.push_decimal(text, column)?,
            Self::Numeric => push_bytes(column, &decimal::plain(text)?),
            Self::ScaledNumeric(scale) => {
                let integer = BASE64.decode(text).map_err(|_| self.unreadable())?;
                push_bytes(
                    column,
                    decimal::text(&integer, i64::from(*scale))?.as_bytes(),
                );
            }
            Self::Bits(length) => push_bytes(column, &self.bits(*length, text)?),
            Self::TimeTz => {
                temporal::check_time_with_offset(text)?;
                push_bytes(column, text);
            }
            Self::Interval => {
                temporal::check_interval(text)?;
                push_bytes(column, text);
            }
            _ => {
                return Err(Fault::value(format!(
                    "found a string, expected {}",
                    self.expected()
                )));
            }
        }
        column.finish_value();
        Ok(())
    }

    /// The bits of a text of `0` and `1` of just this length, else of base64, the last first.
    fn bits(&self, length: u32, text: &[u8]) -> Parsed<Vec<u8>> {
        if text.len() == length as usize && text.iter().all(|byte| matches!(byte, b'0' | b'1')) {
            return Ok(text.to_vec());
        }
        let bytes = BASE64.decode(text).map_err(|_| self.unreadable())?;
        let length = if length > BITS_MAX {
            bytes.len() * 8
        } else {
            length as usize
        };
        let bit = |at: usize| {
            bytes
                .get(at / 8)
                .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
        };
        if (length..bytes.len() * 8).any(bit) {
            return Err(self.out_of_range());
        }
        Ok((0..length)
            .rev()
            .map(|at| b'0' + u8::from(bit(at)))
            .collect())
    }

    #[cold]
    fn out_of_range(&self) -> Box<Fault> {
        Fault::value(format!(
            "found a value that {} does not hold exactly",
            self.expected()
        ))
    }

    /// Such a value is in no database: the connector made it of one that it cannot say.
    #[cold]
    fn destroyed(&self) -> Box<Fault> {
        Fault::value(format!(
            "found a value that no database has: the connector lost the true one, which was infinite or too large for {}",
            self.expected()
        ))
    }

    #[cold]
    fn unreadable(&self) -> Box<Fault> {
        Fault::value(format!(
            "found a string that is none, expected {}",
            self.expected()
        ))
    }
}
