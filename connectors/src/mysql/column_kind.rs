//! What a column of the target takes, and what it would change in silence (R3).
//!
//! A strict MySQL refuses most of what it cannot keep. The rest is refused here: see
//! [`ColumnKind::check`] and the places where cells are written.

use super::types::{is_binary, is_text, split};
use crate::conflict::Number;

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) rule: &'static str,
    pub(super) reason: &'static str,
}

const fn exactness(reason: &'static str) -> Unfit {
    Unfit {
        rule: "R3 exactness",
        reason,
    }
}

pub(super) const TOO_FINE: Unfit =
    exactness("the target's column keeps fewer digits of a second and would round the value");
pub(super) const INFINITE: Unfit = exactness("MySQL has no infinity, and no NaN");
pub(super) const TOO_LONG: Unfit = Unfit {
    rule: "1406 data_too_long",
    reason: "the text is longer than the target's column",
};
pub(super) const NO_NUMBER: Unfit =
    exactness("the text is no number that the target's column keeps exactly");
const TOO_MANY_DIGITS: Unfit = exactness("the text has more digits than the target's column keeps");
const NO_LABEL: Unfit = exactness("the text is no label of the target's column");
const SHORT: Unfit = exactness("the target's column would fill the value up to its own length");
const NO_YEAR: Unfit = exactness("a year is 0 or from 1901 to 2155");
const NO_BITS: Unfit = exactness("the target's column has another number of bits");
const JSON_NUMBER: Unfit = exactness("the document holds a number that MySQL's JSON would round");

/// A column of the target, by what it does to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Integers of any size.
    Integer,
    Year,
    /// Digits after the point.
    Decimal(usize),
    /// Of 4 bytes or of 8; and the digits after the point where the type says them.
    Float(bool, Option<usize>),
    /// At most this many characters.
    Characters(usize),
    /// At most this many bytes.
    Text(usize),
    Enum(Vec<String>),
    Set(Vec<String>),
    Bits(usize),
    /// Exactly this many bytes: fewer are filled up.
    Binary(usize),
    Blob,
    Date,
    /// Digits of a second.
    Time(u32),
    /// Digits of a second.
    Instant(u32),
    /// MySQL's own JSON, which keeps numbers as floats; MariaDB's is a text.
    Json,
    /// Written as text; the database knows.
    Other,
}

impl ColumnKind {
    /// The place that a column of `sql_type` is.
    pub(super) fn of(sql_type: &str) -> Self {
        let (base, numbers) = split(sql_type);
        let number = |place: usize| numbers.get(place).copied().unwrap_or(0).max(0) as usize;
        match base.trim_end_matches(" unsigned") {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Self::Integer,
            "year" => Self::Year,
            "decimal" => Self::Decimal(number(1)),
            "float" => Self::Float(true, numbers.get(1).map(|_| number(1))),
            "double" => Self::Float(false, numbers.get(1).map(|_| number(1))),
            "char" | "varchar" => Self::Characters(number(0)),
            "tinytext" => Self::Text(255),
            "text" => Self::Text(65_535),
            "mediumtext" => Self::Text(16_777_215),
            text if is_text(text) => Self::Text(u32::MAX as usize),
            "enum" => Self::Enum(labels(sql_type)),
            "set" => Self::Set(labels(sql_type)),
            "bit" => Self::Bits(number(0).max(1)),
            "binary" => Self::Binary(number(0)),
            bytes if is_binary(bytes) => Self::Blob,
            "date" => Self::Date,
            "time" => Self::Time(number(0) as u32),
            "datetime" | "timestamp" => Self::Instant(number(0) as u32),
            "json" => Self::Json,
            _ => Self::Other,
        }
    }

    /// Whether it holds text of any kind, so that values of other types are written as text.
    pub(super) fn is_text(&self) -> bool {
        matches!(
            self,
            Self::Characters(_)
                | Self::Text(_)
                | Self::Enum(_)
                | Self::Set(_)
                | Self::Json
                | Self::Other
        )
    }

    /// Whether a text keeps all that it says.
    pub(super) fn check(&self, text: &str) -> Result<(), Unfit> {
        let known = |labels: &[String], label: &str| labels.iter().any(|known| known == label);
        match self {
            // Blanks past the end would be cut even by a strict MySQL.
            Self::Characters(most) if text.len() > *most && text.chars().count() > *most => {
                Err(TOO_LONG)
            }
            Self::Text(most) if text.len() > *most && text.ends_with(' ') => Err(TOO_LONG),
            // What is no label would be taken for the number of one, or compared without case.
            Self::Enum(labels) if !known(labels, text) => Err(NO_LABEL),
            Self::Set(labels)
                if !text.is_empty() && !text.split(',').all(|label| known(labels, label)) =>
            {
                Err(NO_LABEL)
            }
            Self::Json => check_json(text),
            _ => Ok(()),
        }
    }

    /// Whether an integer keeps its meaning.
    pub(super) fn check_integer(&self, value: i128) -> Result<(), Unfit> {
        match self {
            Self::Year if value != 0 && !(1901..=2155).contains(&value) => Err(NO_YEAR),
            _ => Ok(()),
        }
    }

    /// Whether `0` and `1` fill the column.
    pub(super) fn check_bits(&self, text: &str) -> Result<(), Unfit> {
        match self {
            Self::Bits(length) if *length != text.len() => Err(NO_BITS),
            _ if text.bytes().all(|digit| matches!(digit, b'0' | b'1')) => Ok(()),
            _ => Err(NO_BITS),
        }
    }

    /// Whether bytes stay as they are.
    pub(super) fn check_bytes(&self, bytes: &[u8]) -> Result<(), Unfit> {
        match self {
            Self::Binary(length) if bytes.len() < *length => Err(SHORT),
            _ => Ok(()),
        }
    }

    /// The digits of a second that are kept; six where that is not the question.
    pub(super) fn second_digits(&self) -> u32 {
        match self {
            Self::Time(digits) | Self::Instant(digits) => *digits,
            _ => 6,
        }
    }

    /// The float that a text says, where that has all digits of the text.
    pub(super) fn float(&self, text: &str) -> Result<f64, Unfit> {
        let number = Number::parse(text).ok_or(NO_NUMBER)?;
        if !matches!(number, Number::Finite { .. }) {
            return Err(INFINITE);
        }
        let Self::Float(single, digits) = self else {
            return Err(NO_NUMBER);
        };
        let (value, shortest) = if *single {
            let value: f32 = text.parse().map_err(|_| NO_NUMBER)?;
            (f64::from(value), format!("{value:?}"))
        } else {
            let value: f64 = text.parse().map_err(|_| NO_NUMBER)?;
            (value, format!("{value:?}"))
        };
        let part = match number.to_string().split_once('.') {
            Some((_, part)) => part.len(),
            None => 0,
        };
        let kept =
            Number::parse(&shortest) == Some(number) && digits.is_none_or(|most| part <= most);
        if kept {
            Ok(value)
        } else {
            Err(TOO_MANY_DIGITS)
        }
    }

    /// A decimal number in plain digits, without the zeros at its end that the column does not keep.
    pub(super) fn number<'a>(&self, text: &'a str) -> Result<&'a str, Unfit> {
        let scale = match self {
            Self::Decimal(scale) => *scale,
            _ => 0,
        };
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && part.is_empty()) || !plain(whole) || !plain(part) {
            return Err(NO_NUMBER);
        }
        let kept = part.trim_end_matches('0').len();
        if kept > scale {
            return Err(NO_NUMBER);
        }
        let cut = part.len() - kept;
        Ok(text[..text.len() - cut].trim_end_matches('.'))
    }
}

/// The labels of `enum('a','b''c')`.
fn labels(sql_type: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut label: Option<String> = None;
    let mut letters = sql_type.chars().peekable();
    while let Some(letter) = letters.next() {
        match (&mut label, letter) {
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
            (Some(text), '\'') if letters.peek() == Some(&'\'') => {
                letters.next();
                text.push('\'');
            }
            (Some(_), '\'') => labels.extend(label.take()),
            (Some(text), letter) => text.push(letter),
        }
    }
    labels
}

/// Integers of 64 bits stay; other numbers become floats, which keep 15 digits in any case.
fn check_json(text: &str) -> Result<(), Unfit> {
    let mut in_string = false;
    let mut rest = text.bytes().enumerate();
    while let Some((start, byte)) = rest.next() {
        match byte {
            b'\\' if in_string => drop(rest.next()),
            b'"' => in_string = !in_string,
            b'-' | b'0'..=b'9' if !in_string => {
                let number: &str = text[start..]
                    .split(|letter: char| {
                        !matches!(letter, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')
                    })
                    .next()
                    .unwrap_or_default();
                for _ in 1..number.len() {
                    rest.next();
                }
                let digits = number.bytes().filter(u8::is_ascii_digit).count();
                let whole = number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
                if !whole && digits > 15 {
                    return Err(JSON_NUMBER);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql_type: &str, text: &str, expect: Result<(), Unfit>) {
        assert_eq!(
            ColumnKind::of(sql_type).check(text),
            expect,
            "{text:?} into {sql_type}"
        );
    }

    #[test]
    fn what_a_strict_mysql_changes_in_silence_is_refused_r3() {
        check("varchar(3)", "äöü", Ok(()));
        check("varchar(3)", "abc ", Err(TOO_LONG));
        check("tinytext", &format!("a{}", " ".repeat(300)), Err(TOO_LONG));
        check("longtext", "abc ", Ok(()));
        check("enum('a','b)''','2')", "b)'", Ok(()));
        check("enum('a','b')", "A", Err(NO_LABEL));
        check("enum('a','b')", "1", Err(NO_LABEL));
        check("set('a','b')", "b,a", Ok(()));
        check("set('a','b')", "", Ok(()));
        check("set('a','b')", "3", Err(NO_LABEL));
        check(
            "json",
            r#"{"a\"1": [1.50, -12345678901234567890.5]}"#,
            Err(JSON_NUMBER),
        );
        check(
            "json",
            r#"{"12345678901234567890.5": 18446744073709551615}"#,
            Ok(()),
        );
        assert_eq!(ColumnKind::of("year(4)").check_integer(70), Err(NO_YEAR));
        assert_eq!(ColumnKind::of("year(4)").check_integer(2024), Ok(()));
        assert_eq!(ColumnKind::of("binary(3)").check_bytes(b"ab"), Err(SHORT));
        assert_eq!(ColumnKind::of("varbinary(3)").check_bytes(b"ab"), Ok(()));
        assert_eq!(ColumnKind::of("bit(3)").check_bits("01"), Err(NO_BITS));
    }

    #[test]
    fn a_float_keeps_the_digits_of_a_text_or_refuses_it_r23() {
        let check = |sql_type: &str, text: &str, expect: Result<f64, Unfit>| {
            assert_eq!(
                ColumnKind::of(sql_type).float(text),
                expect,
                "{text:?} into {sql_type}"
            );
        };
        check("double", "0.1", Ok(0.1));
        check("double", "0.1234567890123456789", Err(TOO_MANY_DIGITS));
        check("double", "1e400", Err(TOO_MANY_DIGITS));
        check("double", "NaN", Err(INFINITE));
        check("double", "x", Err(NO_NUMBER));
        check("float", "0.5", Ok(0.5));
        check("float", "16777217", Err(TOO_MANY_DIGITS));
        check("float(7,2)", "1.25", Ok(1.25));
        check("float(7,2)", "1.125", Err(TOO_MANY_DIGITS));
    }

    #[test]
    fn a_number_in_a_text_is_kept_or_refused_r3() {
        let check = |sql_type: &str, text: &str, expect: Result<&str, Unfit>| {
            assert_eq!(
                ColumnKind::of(sql_type).number(text),
                expect,
                "{text:?} into {sql_type}"
            );
        };
        check("decimal(12,2)", "1234.500", Ok("1234.5"));
        check("decimal(12,2)", "-0.01", Ok("-0.01"));
        check("decimal(12,2)", "5.000", Ok("5"));
        check("decimal(12,2)", "100", Ok("100"));
        check("decimal(12,2)", "0.005", Err(NO_NUMBER));
        check("decimal(12,2)", "NaN", Err(NO_NUMBER));
        check("decimal(12,2)", "1e3", Err(NO_NUMBER));
        check("bigint(20)", "1.5", Err(NO_NUMBER));
        check("bigint(20)", " 1", Err(NO_NUMBER));
        check("bigint(20)", "", Err(NO_NUMBER));
    }
}
