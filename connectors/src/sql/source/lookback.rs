//! How far below the highest cursor a round looks again.
//!
//! The database's own text of the cursor is made smaller here, whatever the database: a number, or a time
//! whose text begins with `2024-02-29 01:02:03` or `2024-02-29T01:02:03`; what follows stays as it is. A
//! date without a time goes back by whole days.

use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use crate::error::{Error, Result};
use crate::sql::version::duration_us;

/// See the module docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookBack {
    /// By a time, in whole seconds.
    Time(Duration),
    /// By a number.
    Number(i128),
}

impl LookBack {
    /// Of the setting.
    ///
    /// # Errors
    /// `Configuration` where it is neither a time nor a number.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if let Ok(number) = text.trim().parse::<u64>() {
            return Ok(Self::Number(i128::from(number)));
        }
        let us = duration_us("lookback", text)?;
        let seconds = u64::try_from(us).unwrap_or(0).div_ceil(1_000_000);
        Ok(Self::Time(Duration::from_secs(seconds)))
    }

    /// The cursor so far below `cursor`.
    ///
    /// # Errors
    /// `Configuration` where the cursor is not of that kind.
    pub(super) fn below(self, column: &str, cursor: &str) -> Result<String> {
        // SQLite says its values as literals.
        let quoted = cursor
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''));
        let below = match self {
            Self::Time(time) => earlier(quoted.unwrap_or(cursor), time),
            Self::Number(number) => smaller(cursor, number),
        };
        let below = below.map(|below| match quoted {
            Some(_) => format!("'{below}'"),
            None => below,
        });
        below.ok_or_else(|| {
            let expected = match self {
                Self::Time(_) => "a time",
                Self::Number(_) => "a whole number",
            };
            Error::configuration(format!(
                "lookback does not fit the cursor {column:?}, whose values are not {expected}: write lookback = \"5m\" for a time and lookback = \"1000\" for a number"
            ))
        })
    }
}

fn earlier(text: &str, time: Duration) -> Option<String> {
    let delta = TimeDelta::from_std(time).ok()?;
    if text.len() == 10 {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        let days = time.as_secs().div_ceil(86_400);
        return Some(day.checked_sub_days(chrono::Days::new(days))?.to_string());
    }
    let (instant, rest) = text.split_at_checked(19)?;
    if rest.contains("BC") {
        return None;
    }
    let form = match instant.as_bytes()[10] {
        b'T' => "%Y-%m-%dT%H:%M:%S",
        _ => "%Y-%m-%d %H:%M:%S",
    };
    let instant = NaiveDateTime::parse_from_str(instant, form).ok()?;
    let below = instant.checked_sub_signed(delta)?;
    Some(format!("{}{rest}", below.format(form)))
}

/// A fraction is left out, which only looks further back.
fn smaller(text: &str, number: i128) -> Option<String> {
    let (whole, negative) = match text.split_once('.') {
        Some((whole, _)) => (whole, text.starts_with('-')),
        None => (text, false),
    };
    let whole: i128 = whole.parse().ok()?;
    Some((whole - number - i128::from(negative)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_cursor_is_made_smaller_in_its_own_form() {
        let check = |lookback: &str, cursor: &str, expect: Option<&str>| {
            let below = LookBack::parse(lookback).unwrap().below("at", cursor).ok();
            assert_eq!(below.as_deref(), expect, "{lookback} below {cursor}");
        };
        check(
            "5m",
            "2024-03-01 00:02:03.000004+00",
            Some("2024-02-29 23:57:03.000004+00"),
        );
        check("5m", "2024-03-01T00:02:03Z", Some("2024-02-29T23:57:03Z"));
        check(
            "5m",
            "'2024-03-01T00:02:03Z'",
            Some("'2024-02-29T23:57:03Z'"),
        );
        check("1500ms", "2024-03-01 00:00:00", Some("2024-02-29 23:59:58"));
        check("1h", "2024-03-01", Some("2024-02-29"));
        check("1000", "1500", Some("500"));
        check("1000", "-7", Some("-1007"));
        check("10", "12.9", Some("2"));
        check("10", "-12.9", Some("-23"));
        check("5m", "1500", None);
        check("5m", "infinity", None);
        check("5m", "0044-03-01 00:02:03 BC", None);
        check("1000", "2024-03-01", None);
        assert!(LookBack::parse("soon").is_err());
    }
}
