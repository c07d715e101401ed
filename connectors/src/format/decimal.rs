//! Exact numbers: JSON text and Debezium's big-endian integers, never through a float (R3).
//!
//! A value that has more digits than its type holds is a fault, never rounded. Trailing zeros
//! behind the point are no digits: `1.50` fits one digit after the point.

use arrow::datatypes::i256;

use super::fault::{Fault, Parsed};

/// The longest unscaled integer, in bytes: more digits than any database's numeric holds.
const INTEGER_BYTES_MAX: usize = 62 * 1024;

/// The largest scale, either way, of a number that is written out as text.
const SCALE_MAX: i64 = 131_072;

/// A decimal number taken apart; no part holds a sign.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    /// Without trailing zeros.
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Parts<'a> {
    /// Of `-12.50e3`; `None` where the text is no decimal number.
    fn of(text: &'a [u8]) -> Option<Self> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &mantissa[..0]),
        };
        let digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
        if whole.is_empty() || !digits(whole) || !digits(fraction) || mantissa.ends_with(b".") {
            return None;
        }
        let zeros = fraction.iter().rev().take_while(|&&b| b == b'0').count();
        Some(Self {
            negative,
            whole,
            fraction: &fraction[..fraction.len() - zeros],
            exponent,
        })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// By which power of ten the digits must be multiplied to get an integer of this scale.
    fn shift(&self, scale: i64) -> i64 {
        scale
            .saturating_add(self.exponent)
            .saturating_sub(self.fraction.len() as i64)
    }

    /// The digits of the number times ten to `scale`, without leading zeros; `None` where that is
    /// no integer or has more than `digits_max` digits.
    fn scaled(&self, scale: i64, digits_max: usize) -> Option<Vec<u8>> {
        let mut digits: Vec<u8> = self.digits().skip_while(|&digit| digit == b'0').collect();
        if digits.is_empty() {
            return Some(digits);
        }
        let shift = self.shift(scale);
        if shift >= 0 {
            let length = digits.len().checked_add(usize::try_from(shift).ok()?)?;
            if length > digits_max {
                return None;
            }
            digits.resize(length, b'0');
        } else {
            for _ in 0..shift.unsigned_abs() {
                digits.pop_if(|digit| *digit == b'0')?;
            }
        }
        (digits.len() <= digits_max).then_some(digits)
    }
}

fn exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.trim_start_matches(['+', '-']);
    if digits.is_empty()
        || text.len() - digits.len() > 1
        || !digits.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    // Past any bound is as good as the bound: nothing but zero fits it.
    let size = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cold]
fn no_number() -> Box<Fault> {
    Fault::value("found a string, expected a decimal number")
}

#[cold]
fn unfit(precision: u8, scale: i8) -> Box<Fault> {
    Fault::value(format!(
        "found a number that does not fit decimal({precision},{scale}) exactly"
    ))
}

/// An integer, also where it is written `1e2` or `5.0`; `None` where it is not one or does not fit.
pub(super) fn integer(text: &[u8]) -> Option<i128> {
    fixed(text, 38, 0).ok()
}

/// The number times ten to `scale`.
pub(super) fn fixed(text: &[u8], precision: u8, scale: i8) -> Parsed<i128> {
    let parts = Parts::of(text).ok_or_else(no_number)?;
    let value = (|| {
        let mut value: i128 = 0;
        for digit in parts.digits() {
            value = value
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        }
        if value == 0 {
            return Some(0);
        }
        let shift = parts.shift(i64::from(scale));
        let power = 10i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
        if shift >= 0 {
            value.checked_mul(power)
        } else {
            (value % power == 0).then_some(value / power)
        }
    })();
    match value {
        Some(value) if value < 10i128.pow(u32::from(precision)) => {
            Ok(if parts.negative { -value } else { value })
        }
        _ => Err(unfit(precision, scale)),
    }
}

/// As [`fixed`], for up to 76 digits.
pub(super) fn fixed_wide(text: &[u8], precision: u8, scale: i8) -> Parsed<i256> {
    let parts = Parts::of(text).ok_or_else(no_number)?;
    let digits = parts
        .scaled(i64::from(scale), usize::from(precision))
        .ok_or_else(|| unfit(precision, scale))?;
    let text = std::str::from_utf8(&digits).expect("digits are ASCII");
    let value = if text.is_empty() {
        i256::ZERO
    } else {
        i256::from_string(text).expect("76 digits fit 256 bits")
    };
    Ok(if parts.negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// A big-endian two's-complement integer of scale `from`, as the integer of scale `scale`.
pub(super) fn unscaled(bytes: &[u8], from: i32, precision: u8, scale: i8) -> Parsed<i128> {
    let bytes = significant(bytes);
    let fault = || unfit(precision, scale);
    if bytes.is_empty() || bytes.len() > 16 {
        return Err(fault());
    }
    let fill = if bytes[0] & 0x80 == 0 { 0 } else { 0xFF };
    let mut wide = [fill; 16];
    wide[16 - bytes.len()..].copy_from_slice(bytes);
    let up = u32::try_from(i32::from(scale) - from).map_err(|_| fault())?;
    let value = 10i128
        .checked_pow(up)
        .and_then(|power| i128::from_be_bytes(wide).checked_mul(power))
        .ok_or_else(fault)?;
    if value.unsigned_abs() >= 10u128.pow(u32::from(precision)) {
        return Err(fault());
    }
    Ok(value)
}

/// As [`unscaled`], for up to 76 digits.
pub(super) fn unscaled_wide(bytes: &[u8], from: i32, precision: u8, scale: i8) -> Parsed<i256> {
    if significant(bytes).len() > 33 {
        return Err(unfit(precision, scale));
    }
    fixed_wide(text(bytes, i64::from(from))?.as_bytes(), precision, scale)
}

/// The bytes without those that only repeat the sign.
fn significant(mut bytes: &[u8]) -> &[u8] {
    while let [first @ (0 | 0xFF), second, ..] = bytes
        && first & 0x80 == second & 0x80
    {
        bytes = &bytes[1..];
    }
    bytes
}

/// A big-endian two's-complement integer of this scale, written out.
pub(super) fn text(bytes: &[u8], scale: i64) -> Parsed<String> {
    let bytes = significant(bytes);
    if bytes.is_empty() || bytes.len() > INTEGER_BYTES_MAX || scale.abs() > SCALE_MAX {
        return Err(Fault::value(
            "found a decimal of no or of too many digits, expected at most what a numeric holds",
        ));
    }
    let negative = bytes[0] & 0x80 != 0;
    let magnitude = if negative {
        negate(bytes)
    } else {
        bytes.to_vec()
    };
    Ok(point(negative, &digits(&magnitude), scale))
}

fn negate(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    let carried = out.iter_mut().rev().all(|byte| {
        *byte = byte.wrapping_add(1);
        *byte == 0
    });
    if carried {
        out.insert(0, 1);
    }
    out
}

/// Decimal digits of an unsigned big-endian integer, four bytes at a time into limbs of nine digits.
fn digits(bytes: &[u8]) -> String {
    const LIMB: u64 = 1_000_000_000;
    let mut limbs: Vec<u64> = vec![0];
    let head = bytes.len() % 4;
    let (first, rest) = bytes.split_at(head);
    for chunk in std::iter::once(first).chain(rest.chunks(4)) {
        let mut carry = chunk
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte));
        for limb in &mut limbs {
            let value = (*limb << (8 * chunk.len())) + carry;
            *limb = value % LIMB;
            carry = value / LIMB;
        }
        while carry > 0 {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
    }
    let mut out = limbs.pop().unwrap_or(0).to_string();
    for limb in limbs.iter().rev() {
        out.push_str(&format!("{limb:09}"));
    }
    out
}

/// Puts the point `scale` digits from the right.
fn point(negative: bool, digits: &str, scale: i64) -> String {
    let mut out = String::with_capacity(digits.len() + 2);
    if negative {
        out.push('-');
    }
    let places = scale.unsigned_abs() as usize;
    if scale <= 0 {
        out.push_str(digits);
        if digits != "0" {
            out.extend(std::iter::repeat_n('0', places));
        }
    } else if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    } else {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', places - digits.len()));
        out.push_str(digits);
    }
    out
}

/// A decimal number without an exponent, or `NaN` and the infinities, also as Debezium names them.
pub(super) fn plain(text: &[u8]) -> Parsed<std::borrow::Cow<'_, [u8]>> {
    let special: Option<&[u8]> = match text {
        b"NaN" | b"NAN" => Some(b"NaN"),
        b"Infinity" | b"POSITIVE_INFINITY" => Some(b"Infinity"),
        b"-Infinity" | b"NEGATIVE_INFINITY" => Some(b"-Infinity"),
        _ => None,
    };
    if let Some(special) = special {
        return Ok(special.into());
    }
    let parts = Parts::of(text).ok_or_else(no_number)?;
    if !text.iter().any(|byte| matches!(byte, b'e' | b'E' | b'+')) {
        return Ok(text.into());
    }
    if parts.exponent.abs() > SCALE_MAX {
        return Err(Fault::value("found a number with an exponent out of range"));
    }
    let all: Vec<u8> = parts.digits().skip_while(|&digit| digit == b'0').collect();
    let all = if all.is_empty() { vec![b'0'] } else { all };
    let digits = std::str::from_utf8(&all).expect("digits are ASCII");
    Ok(point(parts.negative, digits, -parts.shift(0))
        .into_bytes()
        .into())
}

/// Whether the nearest double, written out again, is this number.
pub(super) fn is_exact_float(text: &[u8], value: f64) -> bool {
    same(text, format!("{value:e}").as_bytes())
}

/// Whether two texts are one number; false where one is none.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    let significant = |parts: &Parts<'_>| -> (Vec<u8>, i64) {
        let mut digits: Vec<u8> = parts.digits().skip_while(|&digit| digit == b'0').collect();
        let mut shift = parts.shift(0);
        while digits.pop_if(|digit| *digit == b'0').is_some() {
            shift += 1;
        }
        let shift = if digits.is_empty() { 0 } else { shift };
        (digits, shift)
    };
    match (Parts::of(left), Parts::of(right)) {
        (Some(left), Some(right)) => {
            let (left_value, right_value) = (significant(&left), significant(&right));
            let signs = left.negative == right.negative || left_value.0.is_empty();
            signs && left_value == right_value
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
