//! SQL functions that the sink adds to its connection.
//!
//! - `syncline_instant(x)`: microseconds since the epoch of whatever a target holds as an instant
//! - `syncline_number(x, scale)`: a number times `10^scale`, exact where that is a 64-bit integer
//! - `syncline_upsert(differs, conflicts, wins, marked)` and `syncline_delete(marked, conflicts, wins)`: stand in
//!   the condition of a write, are called only where the row exists, say whether the change applies,
//!   and remember what they saw

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Result};

/// What the condition of the last statement saw.
#[derive(Default, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// The row exists.
    pub(super) met: bool,
    /// It is in conflict with the change.
    pub(super) conflict: bool,
    /// And the change lost.
    pub(super) lost: bool,
}

/// Shared by the functions and the one who runs the statements.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<AtomicU8>);

const MET: u8 = 1;
const CONFLICT: u8 = 2;
const LOST: u8 = 4;

impl Memory {
    /// What was seen since the last call.
    pub(super) fn take(&self) -> Seen {
        let bits = self.0.swap(0, Ordering::Relaxed);
        Seen {
            met: bits & MET > 0,
            conflict: bits & CONFLICT > 0,
            lost: bits & LOST > 0,
        }
    }

    /// Whether the change applies.
    fn decide(&self, conflict: bool, wins: bool) -> bool {
        let lost = conflict && !wins;
        let bits = MET | if conflict { CONFLICT } else { 0 } | if lost { LOST } else { 0 };
        self.0.store(bits, Ordering::Relaxed);
        !lost
    }
}

/// Adds the functions.
pub(super) fn register(connection: &Connection) -> Result<Memory> {
    let memory = Memory::default();
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("syncline_instant", 1, pure, |context| {
        Ok(instant_us(context.get_raw(0)))
    })?;
    connection.create_scalar_function("syncline_number", 2, pure, |context| {
        Ok(scaled(context.get_raw(0), context.get(1)?))
    })?;
    let flag = |context: &Context<'_>, index: usize| context.get::<bool>(index);
    let upserts = memory.clone();
    let direct = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("syncline_upsert", 4, direct, move |context| {
        // A row that is marked as deleted counts as absent.
        if flag(context, 3)? {
            return Ok(true);
        }
        let applies = upserts.decide(flag(context, 1)?, flag(context, 2)?);
        // A row that is the same already is not written again.
        Ok(applies && flag(context, 0)?)
    })?;
    let deletes = memory.clone();
    connection.create_scalar_function("syncline_delete", 3, direct, move |context| {
        if flag(context, 0)? {
            return Ok(false);
        }
        Ok(deletes.decide(flag(context, 1)?, flag(context, 2)?))
    })?;
    Ok(memory)
}

/// An instant as microseconds; `None` for what is none. A number is taken as seconds, milliseconds,
/// microseconds or nanoseconds by its size (each range ends past the year 5000 of its unit's next
/// smaller neighbour's beginning, so that all instants after 1973 are told apart).
pub(super) fn instant_us(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(match number.unsigned_abs() {
            0..=99_999_999_999 => number.saturating_mul(1_000_000),
            100_000_000_000..=99_999_999_999_999 => number.saturating_mul(1_000),
            100_000_000_000_000..=99_999_999_999_999_999 => number,
            _ => number.div_euclid(1_000),
        }),
        ValueRef::Real(number) if number.is_finite() => {
            instant_us(ValueRef::Integer(number as i64)).map(|us| {
                let is_seconds = number.abs() < 1e11;
                us.saturating_add(if is_seconds {
                    (number.fract() * 1e6) as i64
                } else {
                    0
                })
            })
        }
        ValueRef::Text(text) => parse_instant(std::str::from_utf8(text).ok()?.trim()),
        ValueRef::Real(_) | ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

fn parse_instant(text: &str) -> Option<i64> {
    if let Some(us) = parse_own(text.as_bytes()) {
        return Some(us);
    }
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    if let Ok(number) = text.parse() {
        return instant_us(ValueRef::Integer(number));
    }
    let joined = text.replacen(' ', "T", 1);
    if let Ok(instant) = DateTime::parse_from_rfc3339(&joined) {
        return Some(instant.timestamp_micros());
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"];
    if let Some(instant) = formats
        .iter()
        .find_map(|format| DateTime::parse_from_str(&joined, format).ok())
    {
        return Some(instant.timestamp_micros());
    }
    let joined = joined.trim_end_matches('Z');
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(joined, format).ok())
        .or_else(|| {
            let date = NaiveDate::parse_from_str(joined, "%Y-%m-%d").ok()?;
            Some(date.and_time(NaiveTime::MIN))
        })
        .map(|instant| instant.and_utc().timestamp_micros())
}

/// The form in which the sink itself writes: `2024-01-01T00:00:00`, up to nine further digits, `Z`.
fn parse_own(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let digits = |range: std::ops::Range<usize>| {
        text.get(range)?.iter().try_fold(0_i64, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators
        .iter()
        .all(|&(at, byte)| text.get(at) == Some(&byte))
    {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let fraction_us = match text.get(19) {
        None => 0,
        Some(b'.') if (21..=29).contains(&text.len()) => {
            let count = (text.len() - 20).min(6);
            digits(20..text.len())?;
            digits(20..20 + count)? * 10_i64.pow(6 - count as u32)
        }
        Some(_) => return None,
    };
    // Days from a civil date, after Howard Hinnant, "chrono-compatible low-level date algorithms".
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + fraction_us)
}

/// A number times `10^scale`; null for what is none, NaN among it.
fn scaled(value: ValueRef<'_>, scale: u32) -> Value {
    let factor = 10_i64.checked_pow(scale);
    match value {
        ValueRef::Integer(number) => match factor.and_then(|factor| number.checked_mul(factor)) {
            Some(product) => Value::Integer(product),
            None => real(number as f64, scale),
        },
        ValueRef::Real(number) => real(number, scale),
        ValueRef::Text(text) => std::str::from_utf8(text)
            .ok()
            .map_or(Value::Null, |text| scaled_text(text.trim(), scale)),
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
    }
}

fn scaled_text(text: &str, scale: u32) -> Value {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let exact = fraction.len() <= scale as usize && fraction.bytes().all(|b| b.is_ascii_digit());
    if exact {
        let missing = "0".repeat(scale as usize - fraction.len());
        if let Ok(number) = format!("{whole}{fraction}{missing}").parse() {
            return Value::Integer(number);
        }
    }
    text.parse()
        .map_or(Value::Null, |number| real(number, scale))
}

fn real(number: f64, scale: u32) -> Value {
    if number.is_nan() {
        return Value::Null;
    }
    Value::Real(number * 10_f64.powi(scale as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_compare_in_whatever_form_c5() {
        let new_year = 1_704_067_200_000_000;
        let cases = [
            ("2024-01-01T00:00:00Z", Some(new_year)),
            ("2024-01-01T00:00:00.000000Z", Some(new_year)),
            ("2024-01-01T00:00:00.123456789Z", Some(new_year + 123_456)),
            ("2024-01-01T00:00:00.5", Some(new_year + 500_000)),
            ("2024-01-01 00:00:00", Some(new_year)),
            ("2024-01-01 00:00", Some(new_year)),
            ("2024-01-01", Some(new_year)),
            ("2024-01-01T01:00:00+01:00", Some(new_year)),
            ("2024-01-01 01:00:00+01", Some(new_year)),
            ("1704067200", Some(new_year)),
            ("1704067200000", Some(new_year)),
            ("1704067200000000", Some(new_year)),
            ("1704067200000000000", Some(new_year)),
            ("2000-02-29T12:00:00Z", Some(951_825_600_000_000)),
            ("1969-12-31T23:59:59.999999Z", Some(-1)),
            ("infinity", Some(i64::MAX)),
            ("-infinity", Some(i64::MIN)),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expect) in cases {
            assert_eq!(
                instant_us(ValueRef::Text(text.as_bytes())),
                expect,
                "{text:?}"
            );
        }
        assert_eq!(instant_us(ValueRef::Integer(1_704_067_200)), Some(new_year));
        assert_eq!(
            instant_us(ValueRef::Real(1_704_067_200.5)),
            Some(new_year + 500_000)
        );
    }

    #[test]
    fn numbers_compare_in_whatever_form_c5() {
        let text = |text: &'static str, scale| scaled(ValueRef::Text(text.as_bytes()), scale);
        assert_eq!(text("9", 0), Value::Integer(9));
        assert_eq!(text("10.50", 2), Value::Integer(1_050));
        assert_eq!(text("-0.05", 2), Value::Integer(-5));
        assert_eq!(text("1.005", 2), Value::Real(100.499_999_999_999_99));
        assert_eq!(text("NaN", 2), Value::Null);
        assert_eq!(text("x", 2), Value::Null);
        assert_eq!(scaled(ValueRef::Integer(7), 3), Value::Integer(7_000));
        assert_eq!(scaled(ValueRef::Real(1.5), 1), Value::Real(15.0));
    }
}
