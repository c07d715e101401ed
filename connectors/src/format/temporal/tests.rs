use chrono::{DateTime, NaiveDate};
use proptest::prelude::*;

use super::*;

#[test]
fn instants() {
    let check = |text: &str, expect: Option<i64>| {
        assert_eq!(instant(text.as_bytes()).ok(), expect, "{text}");
    };
    check("1970-01-01T00:00:00Z", Some(0));
    check("1970-01-01T01:00:00.000001+01:00", Some(1));
    check("1970-01-01 00:00:00+00", Some(0));
    check("1970-01-01T00:00-00:30", Some(1_800_000_000));
    check("1969-12-31T23:59:59.999999Z", Some(-1));
    check("+12345-01-01T00:00:00Z", Some(327_403_382_400_000_000));
    check("infinity", Some(i64::MAX));
    check("-infinity", Some(i64::MIN));
    check("1970-01-01T00:00:00.1234567Z", None);
    check("1970-01-01T00:00:00.123456000Z", Some(123_456));
    check("1970-01-01T24:00:00Z", Some(86_400_000_000));
    for bad in [
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-02-29T00:00:00Z",
        "70-01-01T00:00:00Z",
        "1970-01-01T25:00:00Z",
        "1970-01-01T24:00:01Z",
        "1970-13-01T00:00:00Z",
        "1970-01-01T00:00:00Zjunk",
        "12345-01-01T00:00:00Z",
        "+999999999-01-01T00:00:00Z",
    ] {
        check(bad, None);
    }
}

#[test]
fn times_and_dates() {
    let check = |text: &str, unit, expect: Option<i64>| {
        assert_eq!(time(text.as_bytes(), unit).ok(), expect, "{text}");
    };
    check("24:00:00", TimeUnit::Microsecond, Some(86_400_000_000));
    check(
        "24:00:00.000001",
        TimeUnit::Microsecond,
        Some(86_400_000_001),
    );
    check("100:00:00", TimeUnit::Microsecond, Some(360_000_000_000));
    check(
        "-838:59:59.999999",
        TimeUnit::Microsecond,
        Some(-3_020_399_999_999),
    );
    check("-00:00:01", TimeUnit::Millisecond, Some(-1_000));
    check("839:00:00", TimeUnit::Microsecond, None);
    check("1000:00:00", TimeUnit::Microsecond, None);
    check("--1:00:00", TimeUnit::Microsecond, None);
    check("-", TimeUnit::Microsecond, None);
    check("10:00:00.5Z", TimeUnit::Millisecond, Some(36_000_500));
    check("10:00:00.0005", TimeUnit::Millisecond, None);
    assert_eq!(date(b"2017-09-15Z").ok(), Some(17_424));
    assert_eq!(date(b"-0001-01-01").ok(), Some(-719_893));
    assert!(date(b"2017-02-30").is_err());
    assert!(check_time_with_offset(b"24:00:00Z").is_ok());
    assert!(check_time_with_offset(b"10:00:00.123+02:00").is_ok());
    assert!(check_time_with_offset(b"10:00:00").is_err());
    assert!(check_interval(b"P1Y2M3DT4H5M6.78S").is_ok());
    assert!(check_interval(b"-P1D").is_ok());
    assert!(check_interval(b"one day").is_err());
}

#[test]
fn sentinels_of_infinity() {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond};
    let check = |value, unit, expect| assert_eq!(with_infinity(value, unit), expect, "R3");
    check(9_223_372_036_825_200_000, Microsecond, Some(i64::MAX));
    check(-9_223_372_036_832_400_000, Microsecond, Some(i64::MIN));
    check(i64::MAX, Microsecond, Some(i64::MAX));
    check(INFINITY_MS, Millisecond, Some(i64::MAX));
    check(MINUS_INFINITY_MS, Millisecond, Some(i64::MIN));
    check(INFINITY_MS, Microsecond, Some(INFINITY_MS));
    let nanos = 9_223_372_036_825_200_000;
    check(nanos, Nanosecond, Some(nanos));
}

#[test]
fn what_a_connector_destroyed_is_no_instant_and_no_day() {
    use TimeUnit::{Microsecond, Millisecond};
    // 4713-11-24 before Christ is the first; 294276-12-31 arrives as the second.
    let first = -210_866_803_200_000;
    assert_eq!(with_infinity(first, Millisecond), Some(first));
    assert_eq!(with_infinity(first - 1, Millisecond), None);
    assert_eq!(with_infinity(-9_223_372_036_853_775_810, Microsecond), None);
    for (value, expect) in [
        (-2_440_588, true),
        (2_145_042_905, true),
        (-2_440_589, false),
        (-622_191_234, false),
        (-625_821_272, false),
        (-2_147_472_692, false),
        (-2_147_472_691, false),
    ] {
        assert_eq!(day(value).is_some(), expect, "R3 {value}");
    }
}

proptest! {
    #[test]
    fn reads_dates_as_chrono_does(number in -2_000_000..5_000_000i32) {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let day = epoch + chrono::Duration::days(number.into());
        prop_assert_eq!(date(day.to_string().as_bytes()).unwrap(), number);
    }

    #[test]
    fn reads_instants_as_chrono_does(micros in -10_000_000_000_000_000..300_000_000_000_000_000i64, offset in -18..=18i32) {
        let zone = chrono::FixedOffset::east_opt(offset * 3600).unwrap();
        let moment = DateTime::from_timestamp_micros(micros).unwrap().with_timezone(&zone);
        prop_assert_eq!(instant(moment.to_rfc3339().as_bytes()).unwrap(), micros);
    }

    #[test]
    fn never_panics(text in "[0-9TZ:.+ -]{0,40}") {
        let _ = (date(text.as_bytes()), instant(text.as_bytes()), check_interval(text.as_bytes()));
        let _ = (time(text.as_bytes(), TimeUnit::Nanosecond), timestamp(text.as_bytes(), TimeUnit::Second));
    }
}
