//! Canonical forms of numbers and JSON documents: equal values have equal canonical texts.
//!
//! `1.50` and `1.5`, or `{"a":1,"b":2}` and `{ "b": 2, "a": 1.0 }`, are the same value. Numbers can
//! have any size and lose no digit (R3). A text that is not a number or not a document has no
//! canonical form and equals only itself. If an object contains a key twice, the last value counts.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// The largest exponent of a number that is written without an exponent.
const PLAIN_EXPONENT_MAX: i64 = 80;

/// A decimal number of any size, or `NaN`, `Infinity` or `-Infinity` of PostgreSQL. Equal numbers
/// compare as equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Number {
    /// Smaller than every other number.
    NegativeInfinity,
    /// `0.digits × 10^exponent`.
    Finite {
        /// Whether the number is below zero.
        negative: bool,
        /// The digits without zeros at the start or end; empty for zero.
        digits: String,
        /// 0 for zero.
        exponent: i64,
    },
    /// Larger than every finite number.
    Infinity,
    /// Equal to itself and larger than every other number, as in PostgreSQL.
    NaN,
}

impl Number {
    /// Parses texts such as `-12.50`, `1e-7`, `NaN` and `Infinity`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, magnitude) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        match magnitude.to_ascii_lowercase().as_str() {
            "nan" => return Some(Self::NaN),
            "inf" | "infinity" if negative => return Some(Self::NegativeInfinity),
            "inf" | "infinity" => return Some(Self::Infinity),
            _ => {}
        }
        let (mantissa, shift) = match magnitude.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (magnitude, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let leading = i64::try_from(all.len() - significant.len()).ok()?;
        let digits = significant.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self::Finite {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        let exponent = i64::try_from(whole.len())
            .ok()?
            .checked_sub(leading)?
            .checked_add(shift)?;
        Some(Self::Finite {
            negative,
            digits,
            exponent,
        })
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |number: &Self| match number {
            Self::NegativeInfinity => 0,
            Self::Finite { .. } => 1,
            Self::Infinity => 2,
            Self::NaN => 3,
        };
        let signed = |negative: bool, magnitude: Ordering| {
            if negative {
                magnitude.reverse()
            } else {
                magnitude
            }
        };
        match (self, other) {
            (
                Self::Finite {
                    negative,
                    digits,
                    exponent,
                },
                Self::Finite {
                    negative: other_negative,
                    digits: other_digits,
                    exponent: other_exponent,
                },
            ) => match (digits.is_empty(), other_digits.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => signed(*other_negative, Ordering::Less),
                (false, true) => signed(*negative, Ordering::Greater),
                (false, false) if negative != other_negative => other_negative.cmp(negative),
                // Digits without trailing zeros have the order of text.
                (false, false) => signed(
                    *negative,
                    exponent
                        .cmp(other_exponent)
                        .then_with(|| digits.cmp(other_digits)),
                ),
            },
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (negative, digits, exponent) = match self {
            Self::NegativeInfinity => return f.write_str("-Infinity"),
            Self::Infinity => return f.write_str("Infinity"),
            Self::NaN => return f.write_str("NaN"),
            Self::Finite { digits, .. } if digits.is_empty() => return f.write_str("0"),
            Self::Finite {
                negative,
                digits,
                exponent,
            } => (negative, digits, *exponent),
        };
        if *negative {
            f.write_str("-")?;
        }
        if exponent.abs() > PLAIN_EXPONENT_MAX {
            return write!(f, "0.{digits}e{exponent}");
        }
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        if exponent <= 0 {
            write!(f, "0.{}{digits}", zeros(-exponent))
        } else if exponent >= length {
            write!(f, "{digits}{}", zeros(exponent - length))
        } else {
            let (whole, fraction) = digits.split_at(usize::try_from(exponent).unwrap_or(0));
            write!(f, "{whole}.{fraction}")
        }
    }
}

/// The document with ordered keys, canonical numbers and no white space; `None` if the text is not
/// JSON.
pub fn canonical_json(text: &str) -> Option<String> {
    let document: Value = serde_json::from_str(text).ok()?;
    let mut out = String::with_capacity(text.len());
    write_canonical(&document, &mut out);
    Some(out)
}

/// Whether two JSON values are equal.
pub fn same_json(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.to_string(), right.to_string());
            left == right || Number::parse(&left).is_some_and(|n| Number::parse(&right) == Some(n))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same_json(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, l)| right.get(key).is_some_and(|r| same_json(l, r)))
        }
        _ => left == right,
    }
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            match Number::parse(&text) {
                Some(number) => out.push_str(&number.to_string()),
                None => out.push_str(&text),
            }
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_text() {
        let check = |text: &str, expect: Option<&str>| {
            let found = Number::parse(text).map(|number| number.to_string());
            assert_eq!(found.as_deref(), expect, "{text}");
        };
        check("1.50", Some("1.5"));
        check("-0.00", Some("0"));
        check("+007", Some("7"));
        check("1e2", Some("100"));
        check("12.5E-3", Some("0.0125"));
        check(".5", Some("0.5"));
        check("5.", Some("5"));
        check("1e100", Some("0.1e101"));
        check("nan", Some("NaN"));
        check("-Infinity", Some("-Infinity"));
        check("", None);
        check("-", None);
        check(".", None);
        check("1x", None);
        check("1e", None);
        check("1e99999999999999999999", None);
    }

    #[test]
    fn numbers_order_as_numbers_c5() {
        let ascending = [
            "-Infinity",
            "-10",
            "-9.5",
            "-9",
            "-0.01",
            "0",
            "0.009",
            "0.01",
            "9",
            "9.05",
            "9.5",
            "10",
            "1e30",
            "Infinity",
            "NaN",
        ];
        let numbers: Vec<Number> = ascending
            .iter()
            .map(|text| Number::parse(text).unwrap())
            .collect();
        for (i, left) in numbers.iter().enumerate() {
            for (j, right) in numbers.iter().enumerate() {
                let found = left.cmp(right);
                assert_eq!(found, i.cmp(&j), "{} {}", ascending[i], ascending[j]);
            }
        }
    }

    #[test]
    fn a_document_has_one_text() {
        let check = |left: &str, right: &str, same: bool| {
            let (left, right) = (canonical_json(left), canonical_json(right));
            assert_eq!(left == right, same, "{left:?} {right:?}");
            let parse = |text: &Option<String>| {
                serde_json::from_str::<Value>(text.as_deref().unwrap()).unwrap()
            };
            assert_eq!(same_json(&parse(&left), &parse(&right)), same);
        };
        check(r#"{"a":1,"b":[2.50]}"#, r#"{ "b": [2.5], "a": 1.0 }"#, true);
        check(r#"{"a":1}"#, r#"{"a":"1"}"#, false);
        check("[1,2]", "[2,1]", false);
        check(r#"{"a":null}"#, "{}", false);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#, true);
        check("12345678901234567890.1", "12345678901234567890.2", false);
        assert_eq!(canonical_json("{"), None);
    }
}
