//! Arrow columns as rows of binary `COPY`, without a stop in between.
//!
//! A value that Postgres cannot hold exactly refuses its row, with the column and the reason: text
//! with a NUL character, an instant or a time finer than a microsecond, an array that is not
//! rectangular. Nothing is rounded (R3). The format is that of PostgreSQL's documentation of `COPY`
//! and of the types' `recv` functions.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array,
    Decimal256Array, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, ListArray, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, TimeUnit,
};

use super::instant::{DAY_US, SPAN, Unfit, date, microseconds, timestamp};
use super::numeric::{put_decimal, put_decimal_wide};
use super::wire_type::{Kind, canonical, element_kind};
use crate::error::{Error, Result};

/// What stands before the first row.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What stands after the last row.
pub(super) const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

const NUL: Unfit = Unfit {
    rule: "22021 character_not_in_repertoire",
    reason: "the text holds a NUL character, which PostgreSQL cannot store",
};
const RAGGED: Unfit = Unfit {
    rule: "R3 exactness",
    reason: "the array is not rectangular, which PostgreSQL requires",
};

/// One column, ready to be written cell by cell.
pub(super) struct Cells {
    values: Values,
    nulls: Option<arrow::buffer::NullBuffer>,
}

enum Values {
    Null,
    Boolean(BooleanArray),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Decimal128(Decimal128Array, i8),
    Decimal256(Decimal256Array, i8),
    Text(StringArray),
    Binary(BinaryArray),
    Date(Int32Array),
    Time(Int64Array, TimeUnit),
    Timestamp(Int64Array, TimeUnit),
    Duration(Int64Array, TimeUnit),
    Interval(IntervalMonthDayNanoArray),
    List(ListArray, Box<Cells>, Kind),
}

impl Cells {
    /// # Errors
    /// Where Arrow cannot bring the column into its canonical form.
    pub(super) fn of(column: &ArrayRef) -> Result<Self> {
        let canonical = canonical(column.data_type());
        let column = if canonical == *column.data_type() {
            column.clone()
        } else {
            cast(column, &canonical).map_err(Error::configuration)?
        };
        let nulls = column.logical_nulls();
        Ok(Self {
            values: values(&column)?,
            nulls,
        })
    }

    /// Appends the cell's length and bytes.
    pub(super) fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
        if self.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        match &self.values {
            Values::Null => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            Values::Boolean(array) => put_fixed(out, [u8::from(array.value(row))]),
            Values::Int16(array) => put_fixed(out, array.value(row).to_be_bytes()),
            Values::Int32(array) => put_fixed(out, array.value(row).to_be_bytes()),
            Values::Int64(array) => put_fixed(out, array.value(row).to_be_bytes()),
            Values::Float32(array) => put_fixed(out, array.value(row).to_be_bytes()),
            Values::Float64(array) => put_fixed(out, array.value(row).to_be_bytes()),
            Values::Decimal128(array, scale) => put_sized(out, |out| {
                put_decimal(array.value(row), *scale, out);
                Ok(())
            })?,
            Values::Decimal256(array, scale) => put_sized(out, |out| {
                put_decimal_wide(array.value(row), *scale, out);
                Ok(())
            })?,
            Values::Text(array) => {
                let text = array.value(row).as_bytes();
                if memchr::memchr(0, text).is_some() {
                    return Err(NUL);
                }
                put_bytes(out, text);
            }
            Values::Binary(array) => put_bytes(out, array.value(row)),
            Values::Date(array) => put_fixed(out, date(array.value(row))?.to_be_bytes()),
            Values::Time(array, unit) => {
                let time = microseconds(array.value(row), *unit)?;
                if !(0..=DAY_US).contains(&time) {
                    return Err(SPAN);
                }
                put_fixed(out, time.to_be_bytes());
            }
            Values::Duration(array, unit) => {
                let length = microseconds(array.value(row), *unit)?;
                put_interval(out, length, 0, 0);
            }
            Values::Timestamp(array, unit) => {
                put_fixed(out, timestamp(array.value(row), *unit)?.to_be_bytes());
            }
            Values::Interval(array) => {
                let value = array.value(row);
                let length = microseconds(value.nanoseconds, TimeUnit::Nanosecond)?;
                put_interval(out, length, value.days, value.months);
            }
            Values::List(array, items, kind) => {
                put_sized(out, |out| put_array(array, items, *kind, row, out))?;
            }
        }
        Ok(())
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

fn values(column: &ArrayRef) -> Result<Values> {
    use DataType as D;
    Ok(match column.data_type() {
        D::Null => Values::Null,
        D::Boolean => Values::Boolean(column.as_boolean().clone()),
        D::Int16 => Values::Int16(column.as_primitive::<Int16Type>().clone()),
        D::Int32 => Values::Int32(column.as_primitive::<Int32Type>().clone()),
        D::Int64 => Values::Int64(column.as_primitive::<Int64Type>().clone()),
        D::Float32 => Values::Float32(column.as_primitive::<Float32Type>().clone()),
        D::Float64 => Values::Float64(column.as_primitive::<Float64Type>().clone()),
        D::Decimal128(_, scale) => {
            Values::Decimal128(column.as_primitive::<Decimal128Type>().clone(), *scale)
        }
        D::Decimal256(_, scale) => {
            Values::Decimal256(column.as_primitive::<Decimal256Type>().clone(), *scale)
        }
        D::Utf8 => Values::Text(column.as_string::<i32>().clone()),
        D::Binary => Values::Binary(column.as_binary::<i32>().clone()),
        D::Date32 => Values::Date(reinterpret::<Date32Type, Int32Type>(column)),
        D::Time64(unit) => Values::Time(as_int64(column)?, *unit),
        D::Timestamp(unit, _) => Values::Timestamp(as_int64(column)?, *unit),
        D::Duration(unit) => Values::Duration(as_int64(column)?, *unit),
        D::Interval(_) => {
            Values::Interval(column.as_primitive::<IntervalMonthDayNanoType>().clone())
        }
        D::List(item) => {
            let list = column.as_list::<i32>();
            let element = element_kind(item.data_type()).ok_or_else(|| {
                Error::configuration(format!("there is no array of {}", item.data_type()))
            })?;
            let cells = Cells::of(list.values())?;
            Values::List(list.clone(), Box::new(cells), element)
        }
        other => {
            return Err(Error::configuration(format!(
                "PostgreSQL has no type for {other}"
            )));
        }
    })
}

fn as_int64(column: &ArrayRef) -> Result<Int64Array> {
    cast(column, &DataType::Int64)
        .map(|array| array.as_primitive::<Int64Type>().clone())
        .map_err(Error::configuration)
}

fn reinterpret<From, To>(column: &ArrayRef) -> arrow::array::PrimitiveArray<To>
where
    From: ArrowPrimitiveType,
    To: ArrowPrimitiveType<Native = From::Native>,
{
    column.as_primitive::<From>().reinterpret_cast::<To>()
}

fn put_fixed<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&(N as i32).to_be_bytes());
    out.extend_from_slice(&bytes);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Leaves room for the length and fills it in afterwards.
fn put_sized(
    out: &mut Vec<u8>,
    put: impl FnOnce(&mut Vec<u8>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    put(out)?;
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn put_interval(out: &mut Vec<u8>, microseconds: i64, days: i32, months: i32) {
    out.extend_from_slice(&16_i32.to_be_bytes());
    out.extend_from_slice(&microseconds.to_be_bytes());
    out.extend_from_slice(&days.to_be_bytes());
    out.extend_from_slice(&months.to_be_bytes());
}

/// Dimensions, a flag for nulls, the element type, then for each dimension its length and lower
/// bound, then the elements in row-major order (`array_recv`).
fn put_array(
    array: &ListArray,
    items: &Cells,
    element: Kind,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let mut lengths = Vec::new();
    let mut elements = Vec::new();
    let has_null = flatten(array, items, row, 0, &mut lengths, &mut elements)?;
    if lengths.contains(&0) {
        lengths.clear();
        elements.clear();
    }
    out.extend_from_slice(&(lengths.len() as i32).to_be_bytes());
    out.extend_from_slice(&i32::from(has_null).to_be_bytes());
    out.extend_from_slice(&element.2.to_be_bytes());
    for length in lengths {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    out.append(&mut elements);
    Ok(())
}

/// Writes the elements of one list; all lists of one depth must have the same length.
fn flatten(
    array: &ListArray,
    items: &Cells,
    row: usize,
    depth: usize,
    lengths: &mut Vec<i32>,
    out: &mut Vec<u8>,
) -> Result<bool, Unfit> {
    let offsets = array.value_offsets();
    let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
    let length = (end - start) as i32;
    match lengths.get(depth) {
        Some(known) if *known != length => return Err(RAGGED),
        Some(_) => {}
        None => lengths.push(length),
    }
    let mut has_null = false;
    for item in start..end {
        match &items.values {
            Values::List(inner, inner_items, _) => {
                if items.is_null(item) {
                    return Err(RAGGED);
                }
                has_null |= flatten(inner, inner_items, item, depth + 1, lengths, out)?;
            }
            _ => {
                has_null |= items.is_null(item);
                items.put(item, out)?;
            }
        }
    }
    Ok(has_null)
}

#[cfg(test)]
mod tests;
