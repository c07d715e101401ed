//! Single JSON values read as a column, for values that come from elsewhere than a message: from a
//! database, from an image that was kept, from a command line.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::Field;

use super::column::Column;
use super::reading::{Placeholder, Reading};
use super::scan::Cursor;
use crate::error::{Error, Result};

/// Reads one JSON value a row as a column of `field`; `None` is null. A value that the field's type
/// cannot say exactly is null, and its bit is set in the mask, which is `None` where there is none.
///
/// # Errors
/// `Configuration` for a field whose type no JSON value has.
pub(crate) fn read_cells<'a>(
    field: &Field,
    values: impl Iterator<Item = Option<std::borrow::Cow<'a, [u8]>>>,
) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
    read_with(&Reading::of(field), field, values)
}

/// As [`read_cells`], but that a float takes only numbers that it holds exactly.
///
/// # Errors
/// As [`read_cells`].
pub(crate) fn read_exact<'a>(
    field: &Field,
    values: impl Iterator<Item = Option<std::borrow::Cow<'a, [u8]>>>,
) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
    let reading = match Reading::of(field) {
        Reading::Float64 => Reading::ExactFloat64,
        Reading::Float32 => Reading::ExactFloat32,
        reading => reading,
    };
    read_with(&reading, field, values)
}

/// Whether a text is one JSON document.
pub(crate) fn is_document(text: &[u8]) -> bool {
    let mut cursor = Cursor::new(text);
    cursor.skip_space();
    cursor.skip_checked().and_then(|()| cursor.end()).is_ok()
}

fn read_with<'a>(
    reading: &Reading,
    field: &Field,
    values: impl Iterator<Item = Option<std::borrow::Cow<'a, [u8]>>>,
) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
    let natural = reading.field(field.name());
    let placeholder = Placeholder::new("");
    let mut column = Column::new(natural.data_type());
    let mut unfit = Vec::new();
    for (row, value) in values.enumerate() {
        let Some(value) = value else {
            column.append_null();
            continue;
        };
        let mut cursor = Cursor::new(&value);
        let read = reading.read(&mut cursor, &mut column, &placeholder);
        if read.is_err() || cursor.end().is_err() {
            column.truncate(row);
            column.append_null();
            unfit.push(row);
        }
    }
    let len = column.len();
    let array = column
        .take(natural.data_type())
        .map_err(|cause| unreadable(field, cause))?
        .array;
    let mut bits = arrow::array::BooleanBufferBuilder::new(len);
    bits.append_n(len, false);
    for row in unfit {
        bits.set_bit(row, true);
    }
    let (array, lost) = fit(&array, field)?;
    let mut mask = bits.finish();
    if let Some(lost) = lost {
        mask = &mask | &lost;
    }
    Ok((array, (mask.count_set_bits() > 0).then_some(mask)))
}

/// A column in the type of `field`. What that type cannot say exactly is null, and its bit is set in
/// the mask, which is `None` where there is none.
///
/// # Errors
/// `Configuration` where Arrow knows no way from the one type to the other.
pub(crate) fn fit(column: &ArrayRef, field: &Field) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
    if column.data_type() == field.data_type() {
        return Ok((column.clone(), None));
    }
    let there = cast(column, field.data_type()).map_err(|cause| unreadable(field, cause))?;
    let back = cast(&there, column.data_type()).map_err(|cause| unreadable(field, cause))?;
    let same = arrow::compute::kernels::cmp::not_distinct(column, &back)
        .map_err(|cause| unreadable(field, cause))?;
    let same = same.values();
    if same.count_set_bits() == column.len() {
        return Ok((there, None));
    }
    let keep: UInt32Array = (0..column.len())
        .map(|row| same.value(row).then_some(row as u32))
        .collect();
    let there = take(&there, &keep, None).map_err(|cause| unreadable(field, cause))?;
    Ok((there, Some(!same)))
}

fn unreadable(field: &Field, cause: arrow::error::ArrowError) -> Error {
    Error::configuration_from(
        format!(
            "the target's column {:?} cannot be read as {}: cast the column in a map operator to the type that the target has",
            field.name(),
            field.data_type()
        ),
        cause,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, TimeUnit};
    use arrow::util::display::array_value_to_string;

    fn check(
        data_type: DataType,
        values: &[Option<&str>],
        expect: &[Option<&str>],
        unfit: &[usize],
    ) {
        let field = Field::new("x", data_type, true);
        let values = values
            .iter()
            .map(|value| value.map(|text| std::borrow::Cow::Borrowed(text.as_bytes())));
        let (array, mask) = read_cells(&field, values).unwrap();
        let found: Vec<Option<String>> = (0..array.len())
            .map(|row| {
                array
                    .is_valid(row)
                    .then(|| array_value_to_string(&array, row).unwrap())
            })
            .collect();
        let expect: Vec<Option<String>> =
            expect.iter().map(|text| text.map(str::to_owned)).collect();
        assert_eq!(found, expect);
        let found: Vec<usize> = mask.iter().flat_map(|mask| mask.set_indices()).collect();
        assert_eq!(found, unfit);
    }

    #[test]
    fn what_a_type_cannot_say_is_marked_and_never_rounded_r3() {
        check(
            DataType::Int32,
            &[Some("7"), None, Some("5000000000"), Some("\"x\"")],
            &[Some("7"), None, None, None],
            &[2, 3],
        );
        check(
            DataType::Decimal128(12, 2),
            &[Some("\"12.50\""), Some("12.345"), Some("\"NaN\"")],
            &[Some("12.50"), None, None],
            &[1, 2],
        );
        check(
            DataType::Timestamp(TimeUnit::Millisecond, None),
            &[
                Some("\"2024-01-01T00:00:00.5Z\""),
                Some("\"2024-01-01T00:00:00.000001Z\""),
            ],
            &[Some("2024-01-01T00:00:00.500"), None],
            &[1],
        );
        check(
            DataType::Utf8,
            &[Some("\"\""), Some("\"a\"")],
            &[Some(""), Some("a")],
            &[],
        );
    }
}
