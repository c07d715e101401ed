//! Versions: what kind of value they are, and how far apart they must be (C5, C7).
//!
//! A version is an instant or a number and is compared as that, never as text (C5): a text column is
//! a configuration error. Nulls are the business of the predicates (C4). A version past
//! `now + max_skew` is refused; `infinity` is always past it, a null never.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit, TimestampMicrosecondType};

use crate::change::{Changes, Logical};
use crate::conflict::{ConflictPolicy, Detect, Strategy};
use crate::error::{Error, RejectedRow, Result};

/// What a version column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKind {
    /// A timestamp or a date.
    Instant,
    /// An integer, a decimal or a float.
    Number,
}

impl VersionKind {
    /// What a column of the changes holds.
    ///
    /// # Errors
    /// `Configuration` for anything but instants and numbers (C5).
    pub fn of(field: &Field) -> Result<Self> {
        match (field.data_type(), Logical::of(field)) {
            (DataType::Timestamp(..) | DataType::Date32 | DataType::Date64, _) => Ok(Self::Instant),
            (_, Some(Logical::Numeric)) => Ok(Self::Number),
            (data_type, None) if data_type.is_numeric() => Ok(Self::Number),
            (data_type, _) => Err(Error::configuration(format!(
                "the version column {:?} is {data_type}, which does not order as versions do: cast it to a timestamp or a number in a map operator",
                field.name()
            ))),
        }
    }
}

/// The version column that `policy` names, where its strategy needs one.
///
/// # Errors
/// `Configuration` where the strategy needs a version and none is named, or where `threshold` or
/// `max_skew` stands without one.
pub fn version_column(policy: &ConflictPolicy) -> Result<Option<&str>> {
    let needed = policy.strategies().any(Strategy::compares_versions)
        || policy.detect == Some(Detect::Version);
    let used = needed || !policy.strategies().all(Strategy::takes_whole_rows);
    match &policy.version {
        Some(name) if used => Ok(Some(name)),
        None if needed => Err(Error::configuration(
            "this conflict strategy compares versions: write version = \"…\" with the column that holds them",
        )),
        None if policy.max_skew.is_some() || policy.threshold.is_some() => {
            Err(Error::configuration(
                "threshold and max_skew concern versions: write version = \"…\" with the column that holds them",
            ))
        }
        _ => Ok(None),
    }
}

/// The threshold of `policy` as SQL can add it: microseconds for instants.
///
/// # Errors
/// `Configuration` where it is not a duration for an instant or not a number for a number.
pub fn threshold(policy: &ConflictPolicy, kind: VersionKind) -> Result<Option<String>> {
    let Some(text) = &policy.threshold else {
        return Ok(None);
    };
    match kind {
        VersionKind::Instant => Ok(Some(duration_us("threshold", text)?.to_string())),
        VersionKind::Number => {
            let digits = text.trim();
            let plain = digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
            if plain && digits.parse::<f64>().is_ok() {
                Ok(Some(digits.to_owned()))
            } else {
                Err(Error::configuration(format!(
                    "threshold = {text:?} is not a number, as the version column is: write for example \"10\""
                )))
            }
        }
    }
}

/// A duration such as `"250ms"`, `"5s"`, `"10m"`, `"2h"`, `"1d"`, in microseconds.
///
/// # Errors
/// `Configuration` naming `option` where it is none.
pub fn duration_us(option: &str, text: &str) -> Result<i64> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let unit_us: Option<i64> = match trimmed[digits..].trim() {
        "us" => Some(1),
        "ms" => Some(1_000),
        "s" => Some(1_000_000),
        "m" => Some(60_000_000),
        "h" => Some(3_600_000_000),
        "d" => Some(86_400_000_000),
        _ => None,
    };
    let count: Option<i64> = trimmed[..digits].parse().ok();
    unit_us
        .zip(count)
        .and_then(|(unit, count)| unit.checked_mul(count))
        .ok_or_else(|| {
            Error::configuration(format!(
                "{option} = {text:?} is not a duration: write for example \"250ms\", \"5s\", \"10m\", \"2h\" or \"1d\""
            ))
        })
}

/// The rows whose version is further in the future than `max_skew` allows (C7).
///
/// # Errors
/// `Configuration` where the version column is absent or holds no instants.
pub fn refuse_skewed(
    changes: &Changes,
    policy: &ConflictPolicy,
    now_ms: i64,
) -> Result<Vec<RejectedRow>> {
    let (Some(skew), Some(name)) = (&policy.max_skew, &policy.version) else {
        return Ok(Vec::new());
    };
    let latest_us = now_ms
        .saturating_mul(1_000)
        .saturating_add(duration_us("max_skew", skew)?);
    let schema = changes.schema();
    let column = schema.index_of(name).map_err(|_| absent(name))?;
    if VersionKind::of(schema.field(column))? != VersionKind::Instant {
        return Err(Error::configuration(format!(
            "max_skew needs a version that is an instant, {name:?} is {}: take max_skew out",
            schema.field(column).data_type()
        )));
    }
    let instants = instants_us(changes.rows.column(column))?;
    Ok((0..changes.len())
        .filter(|&row| instants.is_valid(row) && instants.value(row) > latest_us)
        .map(|row| RejectedRow {
            row,
            rule: "C7 max_skew".to_owned(),
            field: Some(name.clone()),
            reason: format!("the version is more than {skew} in the future"),
        })
        .collect())
}

/// The error for a version column that the changes do not have.
pub fn absent(name: &str) -> Error {
    Error::configuration(format!(
        "the version column {name:?} is not among the columns of the changes: correct version = \"…\" or keep the column in the map operator"
    ))
}

/// Instants as microseconds since the epoch; what does not fit is the largest or the smallest value.
fn instants_us(column: &dyn Array) -> Result<arrow::array::Int64Array> {
    let factor = match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 0,
        _ => {
            let target = DataType::Timestamp(TimeUnit::Microsecond, None);
            let cast = arrow::compute::cast(column, &target).map_err(Error::configuration)?;
            return Ok(cast
                .as_primitive::<TimestampMicrosecondType>()
                .reinterpret_cast::<Int64Type>());
        }
    };
    let cast = arrow::compute::cast(column, &DataType::Int64).map_err(Error::configuration)?;
    Ok(cast
        .as_primitive::<Int64Type>()
        .unary(|value| match factor {
            _ if value == i64::MAX || value == i64::MIN => value,
            0 => value.div_euclid(1_000),
            factor => value.saturating_mul(factor),
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: VersionKind, text: &str, expect: Option<&str>) {
        let policy = ConflictPolicy {
            threshold: Some(text.to_owned()),
            ..ConflictPolicy::default()
        };
        match (threshold(&policy, kind), expect) {
            (Ok(found), Some(expect)) => assert_eq!(found.as_deref(), Some(expect)),
            (Err(_), None) => {}
            (found, expect) => panic!("{text:?}: found {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn a_threshold_is_a_duration_or_a_number_by_the_version() {
        check(VersionKind::Instant, "5s", Some("5000000"));
        check(VersionKind::Instant, "250 ms", Some("250000"));
        check(VersionKind::Instant, "1d", Some("86400000000"));
        check(VersionKind::Instant, "5", None);
        check(VersionKind::Instant, "", None);
        check(VersionKind::Instant, "9999999999999d", None);
        check(VersionKind::Number, "10", Some("10"));
        check(VersionKind::Number, "0.5", Some("0.5"));
        check(VersionKind::Number, "5s", None);
        check(VersionKind::Number, "1; drop table t", None);
        check(VersionKind::Number, "nan", None);
    }

    #[test]
    fn text_is_no_version_c5() {
        let text = Field::new("updated_at", DataType::Utf8, true);
        assert!(
            VersionKind::of(&text)
                .unwrap_err()
                .to_string()
                .contains("cast it to a timestamp")
        );
        assert!(VersionKind::of(&Logical::Json.field("v")).is_err());
        assert!(VersionKind::of(&Field::new("v", DataType::Boolean, true)).is_err());
        assert_eq!(
            VersionKind::of(&Logical::Numeric.field("v")).unwrap(),
            VersionKind::Number
        );
    }

    #[test]
    fn a_strategy_that_compares_needs_a_version() {
        for strategy in [Strategy::NewestWins, Strategy::OldestWins] {
            let policy = ConflictPolicy {
                strategy,
                ..ConflictPolicy::default()
            };
            assert!(version_column(&policy).is_err());
        }
        assert_eq!(version_column(&ConflictPolicy::default()).unwrap(), None);
    }
}
