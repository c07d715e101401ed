//! Dates and instants as Postgres counts them: days and microseconds from 2000-01-01.
//!
//! Infinity is the largest and the smallest value on both sides. What is finer than a microsecond or
//! out of range is refused, never rounded (R3).

use arrow::datatypes::TimeUnit;

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) rule: &'static str,
    pub(super) reason: &'static str,
}

/// Microseconds and days from 1970-01-01 to 2000-01-01, where Postgres begins to count.
pub(super) const EPOCH_US: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

pub(super) const TOO_FINE: Unfit = Unfit {
    rule: "R3 exactness",
    reason: "the value is finer than a microsecond, which PostgreSQL would round",
};
/// The last time of a day, 24:00:00.
pub(super) const DAY_US: i64 = 86_400_000_000;

pub(super) const SPAN: Unfit = Unfit {
    rule: "R3 exactness",
    reason: "the value is a span below zero or of more than a day, which PostgreSQL's time does not hold: cast it to bigint, its microseconds, in a map operator",
};
const TOO_FAR: Unfit = Unfit {
    rule: "22008 datetime_field_overflow",
    reason: "the instant is out of PostgreSQL's range",
};

/// Days since 2000-01-01.
pub(super) fn date(days: i32) -> Result<i32, Unfit> {
    match days {
        i32::MAX | i32::MIN => Ok(days),
        _ => days.checked_sub(EPOCH_DAYS).ok_or(TOO_FAR),
    }
}

/// Days since 1970-01-01, of days since 2000-01-01.
pub(super) fn days(date: i32) -> i32 {
    match date {
        i32::MAX | i32::MIN => date,
        _ => date.saturating_add(EPOCH_DAYS),
    }
}

/// Exactly, or not at all.
pub(super) fn microseconds(value: i64, unit: TimeUnit) -> Result<i64, Unfit> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000).ok_or(TOO_FAR),
        TimeUnit::Millisecond => value.checked_mul(1_000).ok_or(TOO_FAR),
        TimeUnit::Microsecond => Ok(value),
        TimeUnit::Nanosecond if value % 1_000 == 0 => Ok(value / 1_000),
        TimeUnit::Nanosecond => Err(TOO_FINE),
    }
}

/// The largest and the smallest value are the infinities, here and there.
pub(super) fn timestamp(value: i64, unit: TimeUnit) -> Result<i64, Unfit> {
    match value {
        i64::MAX | i64::MIN => Ok(value),
        _ => microseconds(value, unit)?
            .checked_sub(EPOCH_US)
            .ok_or(TOO_FAR),
    }
}
