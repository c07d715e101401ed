//! Dates, times and instants from ISO 8601 text, exactly or not at all (R3).
//!
//! Years have four digits or more, with a sign where more; the calendar is proleptic Gregorian.
//! A fraction may be of any length as long as the unit holds it. `24:00:00` is one unit past the
//! last of the day; beyond it a time is a span, as MySQL's `TIME` is, up to 839 hours either way. `infinity` and `-infinity` are the largest and smallest integers.

use arrow::datatypes::TimeUnit;

use super::fault::{Fault, Parsed};

const DAY_SECONDS: i64 = 86_400;

/// The first span that MySQL's `TIME` does not hold, which ends at 838:59:59.999999.
const SPAN_END_SECONDS: i64 = 839 * 3_600;

/// Units since midnight, or of a span, where a database has such a time.
#[inline]
pub(super) fn span(value: i64, unit: TimeUnit) -> Option<i64> {
    let end = SPAN_END_SECONDS * per_second(unit);
    (value > -end && value < end).then_some(value)
}

/// Units in a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// What the PostgreSQL driver says for infinity, in milliseconds; Debezium sends it as it is, or
/// scaled to microseconds.
const INFINITY_MS: i64 = 9_223_372_036_825_200;
const MINUS_INFINITY_MS: i64 = -9_223_372_036_832_400;

/// The first and the last day that a database has: 4713-11-24 before Christ and 5874897-12-31.
/// A day outside is what is left of an infinite date inside a connector, where it is not told apart.
const DAYS: std::ops::RangeInclusive<i64> = -2_440_588..=2_145_042_905;

/// Days since the epoch, where a database has such a day.
#[inline]
pub(super) fn day(value: i64) -> Option<i64> {
    DAYS.contains(&value).then_some(value)
}

/// An integer timestamp with Debezium's sentinels turned into `i64::MAX` and `i64::MIN`. `None` for
/// one before the first day: it went around the end of the integers inside the connector.
#[inline]
pub(super) fn with_infinity(value: i64, unit: TimeUnit) -> Option<i64> {
    // No nanosecond has such a sentinel, and the same number is a real one there.
    if matches!(unit, TimeUnit::Nanosecond) {
        return Some(value);
    }
    match value {
        i64::MAX | i64::MIN => Some(value),
        INFINITY_MS if unit == TimeUnit::Millisecond => Some(i64::MAX),
        MINUS_INFINITY_MS if unit == TimeUnit::Millisecond => Some(i64::MIN),
        9_223_372_036_825_200_000 => Some(i64::MAX),
        -9_223_372_036_832_400_000 => Some(i64::MIN),
        value if value.div_euclid(per_second(unit)) < DAYS.start() * DAY_SECONDS => None,
        value => Some(value),
    }
}

#[cold]
fn fault(expected: &str) -> Box<Fault> {
    Fault::value(format!(
        "found a string, expected {expected} that the type holds exactly; to carry the text as it is, declare the column as string in the source's schema"
    ))
}

/// Days since the epoch of an ISO date; a trailing `Z` is allowed.
pub(super) fn date(text: &[u8]) -> Parsed<i32> {
    let mut reader = Reader(text);
    let days = reader.date().filter(|_| reader.zulu_end());
    days.and_then(|days| i32::try_from(days).ok())
        .ok_or_else(|| fault("an ISO date"))
}

/// Units since midnight; a trailing `Z` is allowed. Or those of a span: `100:00:00`, `-838:59:59`.
pub(super) fn time(text: &[u8], unit: TimeUnit) -> Parsed<i64> {
    let negative = text.first() == Some(&b'-');
    let mut reader = Reader(&text[usize::from(negative)..]);
    reader
        .span()
        .filter(|_| reader.zulu_end())
        .and_then(|(seconds, nanos)| in_unit(seconds, nanos, unit))
        .and_then(|value| span(if negative { -value } else { value }, unit))
        .ok_or_else(|| fault("an ISO time"))
}

/// Units since the epoch of a local date and time; a trailing `Z` is allowed.
pub(super) fn timestamp(text: &[u8], unit: TimeUnit) -> Parsed<i64> {
    if let Some(value) = infinity(text) {
        return Ok(value);
    }
    let mut reader = Reader(text);
    reader
        .date_time()
        .filter(|_| reader.zulu_end())
        .and_then(|(seconds, nanos)| in_unit(seconds, nanos, unit))
        .ok_or_else(|| fault("an ISO date and time"))
}

/// Microseconds since the epoch of a date and time with an offset.
pub(super) fn instant(text: &[u8]) -> Parsed<i64> {
    if let Some(value) = infinity(text) {
        return Ok(value);
    }
    let mut reader = Reader(text);
    (|| {
        let (seconds, nanos) = reader.date_time()?;
        let seconds = seconds.checked_sub(reader.offset()?)?;
        reader.0.is_empty().then_some(())?;
        in_unit(seconds, nanos, TimeUnit::Microsecond)
    })()
    .ok_or_else(|| fault("an ISO date and time with an offset"))
}

/// Checks a time with an offset.
pub(super) fn check_time_with_offset(text: &[u8]) -> Parsed<()> {
    let mut reader = Reader(text);
    let good = reader.time().is_some() && reader.offset().is_some() && reader.0.is_empty();
    good.then_some(())
        .ok_or_else(|| fault("an ISO time with an offset"))
}

/// Checks an ISO 8601 duration by its letters.
pub(super) fn check_interval(text: &[u8]) -> Parsed<()> {
    let body = text.strip_prefix(b"-").unwrap_or(text).strip_prefix(b"P");
    let good = body.is_some_and(|body| {
        body.iter().any(u8::is_ascii_digit)
            && body
                .iter()
                .all(|byte| byte.is_ascii_digit() || b"YMWDTHS.+-".contains(byte))
    });
    good.then_some(())
        .ok_or_else(|| fault("an ISO 8601 duration"))
}

fn infinity(text: &[u8]) -> Option<i64> {
    match text {
        b"infinity" => Some(i64::MAX),
        b"-infinity" => Some(i64::MIN),
        _ => None,
    }
}

/// `None` where the unit cannot hold it, or where it would be read as an infinity.
fn in_unit(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let step = 1_000_000_000 / per_second(unit);
    if nanos % step != 0 {
        return None;
    }
    // Through i128: just before the epoch's lower end the product alone would overflow.
    let value = i128::from(seconds) * i128::from(per_second(unit)) + i128::from(nanos / step);
    let value = i64::try_from(value).ok()?;
    (value != i64::MAX && value != i64::MIN).then_some(value)
}

/// Days from 1970-01-01; the year begins in March so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// What is left of a text.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn two(&mut self) -> Option<i64> {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] = self.0 else {
            return None;
        };
        self.0 = rest;
        Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    }

    fn year(&mut self) -> Option<i64> {
        let negative = self.take(b'-').is_some();
        let signed = negative || self.take(b'+').is_some();
        let length = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if !(4..=9).contains(&length) || (length > 4 && !signed) {
            return None;
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let year = digits
            .iter()
            .fold(0, |year, &digit| year * 10 + i64::from(digit - b'0'));
        Some(if negative { -year } else { year })
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.year()?;
        self.take(b'-')?;
        let month = self.two().filter(|month| (1..=12).contains(month))?;
        self.take(b'-')?;
        let day = self
            .two()
            .filter(|day| (1..=month_days(year, month)).contains(day))?;
        Some(days(year, month, day))
    }

    /// Seconds and nanoseconds since midnight.
    fn time(&mut self) -> Option<(i64, i64)> {
        let hour = self.two()?;
        let (seconds, nanos) = self.after_hour(hour)?;
        (seconds < DAY_SECONDS || (seconds == DAY_SECONDS && nanos == 0))
            .then_some((seconds, nanos))
    }

    /// Seconds and nanoseconds of a time of which the hours may have three digits.
    fn span(&mut self) -> Option<(i64, i64)> {
        let hundreds = match self.0 {
            [digit @ b'0'..=b'9', _, _, b':', ..] => {
                self.0 = &self.0[1..];
                i64::from(digit - b'0') * 100
            }
            _ => 0,
        };
        let hour = hundreds + self.two()?;
        self.after_hour(hour)
    }

    fn after_hour(&mut self, hour: i64) -> Option<(i64, i64)> {
        self.take(b':')?;
        let minute = self.two().filter(|&minute| minute < 60)?;
        let (mut second, mut nanos) = (0, 0);
        if self.take(b':').is_some() {
            second = self.two().filter(|&second| second < 60)?;
            if self.take(b'.').is_some() {
                nanos = self.fraction()?;
            }
        }
        Some((hour * 3600 + minute * 60 + second, nanos))
    }

    fn fraction(&mut self) -> Option<i64> {
        let length = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        if digits.is_empty() || digits.iter().skip(9).any(|&digit| digit != b'0') {
            return None;
        }
        let padded = digits
            .iter()
            .copied()
            .chain(std::iter::repeat(b'0'))
            .take(9);
        Some(padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    fn date_time(&mut self) -> Option<(i64, i64)> {
        let days = self.date()?;
        self.take(b'T').or_else(|| self.take(b' '))?;
        let (seconds, nanos) = self.time()?;
        Some((days.checked_mul(DAY_SECONDS)?.checked_add(seconds)?, nanos))
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.take(b'Z').is_some() {
            return Some(0);
        }
        let negative = self.take(b'-').is_some();
        if !negative {
            self.take(b'+')?;
        }
        let mut seconds = self.two().filter(|&hour| hour <= 18)? * 3600;
        for unit in [60, 1] {
            if self.0.is_empty() {
                break;
            }
            let _ = self.take(b':');
            seconds += self.two().filter(|&part| part < 60)? * unit;
        }
        Some(if negative { -seconds } else { seconds })
    }

    fn zulu_end(&mut self) -> bool {
        let _ = self.take(b'Z');
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
