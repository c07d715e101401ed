//! Decimal numbers with local separators.

use std::borrow::Cow;

use super::Normal;

/// How a decimal number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notation {
    /// What stands before the fraction.
    pub(crate) point: char,
    /// What stands between groups of digits, if anything may.
    pub(crate) group: Option<char>,
}

impl Default for Notation {
    fn default() -> Self {
        Self {
            point: '.',
            group: None,
        }
    }
}

const REFUSED: &str = "the text is not a number in the notation that was asked for";

/// A decimal number with a point and without groups: `1.234,50` becomes `1234.50`. The digits stay as they
/// are. A group has two or three digits and the last one three, as in `12,34,567` and `1'234'567`. A space
/// as the group stands for every kind of space.
pub(crate) fn decimal<'a>(text: &'a str, notation: &Notation) -> Normal<'a> {
    let trimmed = text.trim();
    let (sign, digits) = match trimmed.strip_prefix(['-', '−']) {
        Some(rest) => ("-", rest.trim_start()),
        None => ("", trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let (whole, fraction) = match digits.split_once(notation.point) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(fraction.unwrap_or_default()) || fraction == Some("") {
        return Err(REFUSED);
    }
    let is_group = |letter: char| match notation.group {
        Some(' ') => letter.is_whitespace(),
        Some(group) => letter == group,
        None => false,
    };
    let mut groups = whole.split(is_group);
    let first = groups.next().unwrap_or_default();
    let others: Vec<&str> = groups.collect();
    let grouped = match others.split_last() {
        None => true,
        Some((last, middle)) => {
            (1..=3).contains(&first.len())
                && last.len() == 3
                && middle.iter().all(|group| (2..=3).contains(&group.len()))
        }
    };
    let no_digit = first.is_empty() && fraction.is_none();
    if !grouped || no_digit || !are_digits(first) || !others.iter().all(|group| are_digits(group)) {
        return Err(REFUSED);
    }
    if others.is_empty()
        && notation.point == '.'
        && !first.is_empty()
        && sign.len() + digits.len() == text.len()
    {
        return Ok(Cow::Borrowed(text));
    }
    let mut normal = String::with_capacity(trimmed.len());
    normal.push_str(sign);
    normal.push_str(if first.is_empty() { "0" } else { first });
    others.iter().for_each(|group| normal.push_str(group));
    if let Some(fraction) = fraction {
        normal.push('.');
        normal.push_str(fraction);
    }
    Ok(Cow::Owned(normal))
}

/// The unscaled value of a number as [`decimal`] writes it, for `decimal(precision, scale)`. Nothing is
/// rounded: digits that do not fit refuse the value.
pub(crate) fn scaled(number: &str, precision: u8, scale: i8) -> Result<i128, &'static str> {
    const TOO_LONG: &str = "the number has more digits than the type that was asked for";
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::try_from(scale).map_err(|_| TOO_LONG)?;
    let whole = whole.trim_start_matches('0');
    if fraction.len() > scale || whole.len() + scale > usize::from(precision) {
        return Err(TOO_LONG);
    }
    let padding = std::iter::repeat_n(b'0', scale - fraction.len());
    let all = whole.bytes().chain(fraction.bytes()).chain(padding);
    let value = all.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    Ok(sign * value)
}
