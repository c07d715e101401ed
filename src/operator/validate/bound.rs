//! Bounds and allowed values, compared exactly: without a float, unless the column is one.
//!
//! A bound with more decimals than the column is moved to the nearest value that the column can
//! hold and that satisfies the bound: `min = "0.005"` on a `decimal(12, 2)` passes 0.01 and not
//! 0.00.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Decimal256Array, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, i256};

use crate::function::type_name;

/// What to do with a value between two values that the column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Takes the greater one.
    Up,
    /// Takes the smaller one.
    Down,
    /// Refuses the value.
    Refuse,
}

/// Converts `text` to the type of a column, as an array of length one.
pub(super) fn value(
    text: &str,
    data_type: &DataType,
    rounding: Rounding,
) -> Result<ArrayRef, String> {
    let refused = || format!("{text} is not a value of type {}", type_name(data_type));
    let array: ArrayRef = match data_type {
        DataType::Decimal128(precision, scale) => {
            let unscaled = scaled(text, *scale, rounding).ok_or_else(refused)?;
            let unscaled = unscaled.to_i128().ok_or_else(refused)?;
            let array = Decimal128Array::from(vec![unscaled])
                .with_precision_and_scale(*precision, *scale)
                .map_err(|_| refused())?;
            array
                .validate_decimal_precision(*precision)
                .map_err(|_| refused())?;
            Arc::new(array)
        }
        DataType::Decimal256(precision, scale) => {
            let unscaled = scaled(text, *scale, rounding).ok_or_else(refused)?;
            let array = Decimal256Array::from(vec![unscaled])
                .with_precision_and_scale(*precision, *scale)
                .map_err(|_| refused())?;
            array
                .validate_decimal_precision(*precision)
                .map_err(|_| refused())?;
            Arc::new(array)
        }
        whole if whole.is_integer() => {
            let unscaled = scaled(text, 0, rounding).ok_or_else(refused)?;
            cast_text(&unscaled.to_string(), whole).ok_or_else(refused)?
        }
        other => cast_text(text, other).ok_or_else(refused)?,
    };
    Ok(array)
}

fn cast_text(text: &str, data_type: &DataType) -> Option<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let array = StringArray::from(vec![text]);
    cast_with_options(&array, data_type, &options).ok()
}

/// `text` times ten to the power of `scale`, as an integer.
fn scaled(text: &str, scale: i8, rounding: Rounding) -> Option<i256> {
    let scale = usize::try_from(scale).ok()?;
    let decimal = Decimal::parse(text)?;
    let (kept, cut) = match decimal.fraction.split_at_checked(scale) {
        Some(parts) => parts,
        None => (decimal.fraction, ""),
    };
    let digits = format!("0{}{kept}{}", decimal.whole, "0".repeat(scale - kept.len()));
    let magnitude = i256::from_string(&digits)?;
    let toward_zero = if decimal.is_negative {
        magnitude.checked_neg()?
    } else {
        magnitude
    };
    let is_exact = cut.bytes().all(|digit| digit == b'0');
    match (is_exact, rounding, decimal.is_negative) {
        (false, Rounding::Refuse, _) => None,
        (false, Rounding::Up, false) => toward_zero.checked_add(i256::ONE),
        (false, Rounding::Down, true) => toward_zero.checked_sub(i256::ONE),
        _ => Some(toward_zero),
    }
}

/// Compares two decimals of any length as text; `None` if one is not a number (also `NaN`).
pub(super) fn compare(left: &str, right: &str) -> Option<Ordering> {
    let rank = |text: &str| match text {
        "Infinity" => 1,
        "-Infinity" => -1,
        _ => 0,
    };
    if rank(left) != 0 || rank(right) != 0 {
        let is_number = |text: &str| rank(text) != 0 || Decimal::parse(text).is_some();
        return (is_number(left) && is_number(right)).then(|| rank(left).cmp(&rank(right)));
    }
    let (left, right) = (Decimal::parse(left)?, Decimal::parse(right)?);
    Some(match (left.is_negative, right.is_negative) {
        (false, false) => left.compare_magnitude(&right),
        (true, true) => right.compare_magnitude(&left),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    })
}

/// A decimal as text: without leading zeros in the integer part and trailing zeros in the fraction.
struct Decimal<'a> {
    /// Never set for zero.
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        Some(Self {
            is_negative: text.starts_with('-') && whole.len() + fraction.len() > 0,
            whole,
            fraction,
        })
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        (self.whole.len(), self.whole, self.fraction).cmp(&(
            other.whole.len(),
            other.whole,
            other.fraction,
        ))
    }
}

/// Whether a text is a number: a decimal, with or without an exponent.
pub(super) fn is_number(text: &str) -> bool {
    Decimal::parse(text).is_some()
        || (text.bytes().any(|byte| byte == b'e' || byte == b'E')
            && text.parse::<f64>().is_ok_and(f64::is_finite))
}

/// Whether a text is an integer.
pub(super) fn is_whole(text: &str) -> bool {
    !text.contains('.') && Decimal::parse(text).is_some()
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::*;

    #[test]
    fn a_bound_is_taken_exactly() {
        let check = |text: &str, data_type: DataType, rounding: Rounding, expect: Option<&str>| {
            let found = value(text, &data_type, rounding).ok();
            let shown = found.map(|array| array_value_to_string(&array, 0).expect("one value"));
            assert_eq!(shown.as_deref(), expect, "{text} {data_type} {rounding:?}");
        };
        use Rounding::{Down, Refuse, Up};
        let money = || DataType::Decimal128(12, 2);
        check("0", money(), Up, Some("0.00"));
        check("0.005", money(), Up, Some("0.01"));
        check("0.005", money(), Down, Some("0.00"));
        check("-0.005", money(), Up, Some("0.00"));
        check("-0.005", money(), Down, Some("-0.01"));
        check("0.005", money(), Refuse, None);
        check("0.0100", money(), Refuse, Some("0.01"));
        check("9999999999.99", money(), Up, Some("9999999999.99"));
        check("99999999999", money(), Up, None);
        check(
            "9007199254740993",
            DataType::Int64,
            Up,
            Some("9007199254740993"),
        );
        check("1.5", DataType::Int32, Up, Some("2"));
        check("1.5", DataType::Int32, Refuse, None);
        check("3000000000", DataType::Int32, Up, None);
        check(
            "18446744073709551615",
            DataType::UInt64,
            Up,
            Some("18446744073709551615"),
        );
        check("-1", DataType::UInt64, Up, None);
        check("0.1", DataType::Float64, Up, Some("0.1"));
        check("2026-02-28", DataType::Date32, Up, Some("2026-02-28"));
        check("2026-02-30", DataType::Date32, Up, None);
        check("5", DataType::Date32, Up, None);
        check("true", DataType::Boolean, Refuse, Some("true"));
        check("x", money(), Up, None);
        check(
            "123456789012345678901234567890123456789.5",
            DataType::Decimal256(50, 1),
            Refuse,
            Some("123456789012345678901234567890123456789.5"),
        );
    }

    #[test]
    fn texts_of_numbers_compare_as_numbers() {
        let check = |left: &str, right: &str, expect: Option<Ordering>| {
            assert_eq!(compare(left, right), expect, "{left} {right}");
            let reversed = expect.map(Ordering::reverse);
            assert_eq!(compare(right, left), reversed, "{right} {left}");
        };
        check("9", "10", Some(Ordering::Less));
        check("-9", "-10", Some(Ordering::Greater));
        check("1.10", "1.1", Some(Ordering::Equal));
        check("0.09", "0.1", Some(Ordering::Less));
        check("-0", "0.00", Some(Ordering::Equal));
        check("007", "+7.", Some(Ordering::Equal));
        check(
            "99999999999999999999999999.01",
            "99999999999999999999999999",
            Some(Ordering::Greater),
        );
        check("Infinity", "5", Some(Ordering::Greater));
        check("-Infinity", "Infinity", Some(Ordering::Less));
        check("NaN", "5", None);
        check("NaN", "Infinity", None);
    }

    #[test]
    fn numbers_are_told_from_texts() {
        let check = |text: &str, number: bool, whole: bool| {
            assert_eq!((is_number(text), is_whole(text)), (number, whole), "{text}");
        };
        check("12", true, true);
        check("-12", true, true);
        check("1.5", true, false);
        check("1e5", true, false);
        check("inf", false, false);
        check("", false, false);
        check("-", false, false);
        check("1 2", false, false);
    }
}
