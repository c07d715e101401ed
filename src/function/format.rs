//! Tests of text formats. Only `url` allocates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An e-mail address: before the `@` the dot-atom of RFC 5321 (no quoted strings, no comments),
/// after it a host name of at least two labels. Letters outside ASCII are accepted in both.
pub(crate) fn is_email(text: &str) -> bool {
    const LOCAL_BYTES_MAX: usize = 64;
    const BYTES_MAX: usize = 254;
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_atom_character =
        |c: char| c.is_alphanumeric() || (c.is_ascii_graphic() && !r#"()<>[]:;@\,.""#.contains(c));
    let is_atom = |atom: &str| !atom.is_empty() && atom.chars().all(is_atom_character);
    text.len() <= BYTES_MAX
        && local.len() <= LOCAL_BYTES_MAX
        && local.split('.').all(is_atom)
        && is_host_name(domain)
}

/// A host name of at least two labels whose last label is not a number.
pub(crate) fn is_host_name(text: &str) -> bool {
    const BYTES_MAX: usize = 253;
    const LABEL_BYTES_MAX: usize = 63;
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let Some((_, last)) = text.rsplit_once('.') else {
        return false;
    };
    text.len() <= BYTES_MAX
        && text.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// An absolute URL with a host.
pub(crate) fn is_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.has_host())
}

/// A UUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// An IPv4 or IPv6 address.
pub(crate) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// An IPv4 address.
pub(crate) fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// An IPv6 address.
pub(crate) fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// A JSON document.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// `YYYY-MM-DD`, a valid calendar date (ISO 8601).
pub(crate) fn is_date(text: &str) -> bool {
    is_date_bytes(text.as_bytes())
}

/// A date, a time and an offset as in RFC 3339; a space is accepted instead of the `T`.
pub(crate) fn is_datetime(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((date, rest)) = bytes.split_at_checked(10) else {
        return false;
    };
    let Some((b'T' | b't' | b' ', rest)) = rest.split_first() else {
        return false;
    };
    is_date_bytes(date) && time_length(rest).is_some_and(|length| is_offset(&rest[length..]))
}

/// `hh:mm:ss` with an optional fraction; 24:00:00 is valid (R3).
pub(crate) fn is_time(text: &str) -> bool {
    text == "24:00:00" || time_length(text.as_bytes()) == Some(text.len())
}

/// A date with a time, with or without an offset.
pub(crate) fn is_timestamp(text: &str) -> bool {
    let without_offset = || {
        let (date, time) = text.split_at_checked(10)?;
        let time = time.strip_prefix(['T', 't', ' '])?;
        Some(is_date(date) && is_time(time))
    };
    is_datetime(text) || without_offset().unwrap_or(false)
}

fn is_date_bytes(bytes: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else {
        return false;
    };
    let Some(year) = number(&[*y1, *y2, *y3, *y4]) else {
        return false;
    };
    let (Some(month), Some(day)) = (number(&[*m1, *m2]), number(&[*d1, *d2])) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// The length of the time of day at the start of `bytes`; second 60 is a leap second.
fn time_length(bytes: &[u8]) -> Option<usize> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = bytes else {
        return None;
    };
    let in_range = |digits: [u8; 2], max: u32| number(&digits).is_some_and(|value| value <= max);
    if !in_range([*h1, *h2], 23) || !in_range([*m1, *m2], 59) || !in_range([*s1, *s2], 60) {
        return None;
    }
    let Some((b'.', fraction)) = rest.split_first() else {
        return Some(8);
    };
    let digits = fraction
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (digits > 0).then_some(9 + digits)
}

fn is_offset(bytes: &[u8]) -> bool {
    match bytes {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            number(&[*h1, *h2]).is_some_and(|hours| hours <= 23)
                && number(&[*m1, *m2]).is_some_and(|minutes| minutes <= 59)
        }
        _ => false,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(holds: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(holds(text), "{text:?} is good");
        }
        for text in bad {
            assert!(!holds(text), "{text:?} is bad");
        }
    }

    #[test]
    fn email() {
        let long = format!("{}@example.org", "a".repeat(65));
        check(
            is_email,
            &[
                "a@b.org",
                "first.last+tag@sub.example.co.uk",
                "o'neil@x-y.de",
                "jörg@müller.de",
            ],
            &[
                "",
                "a",
                "a@",
                "@b.org",
                "a@b",
                "a b@c.org",
                ".a@b.org",
                "a.@b.org",
                "a..b@c.org",
                "a@b..org",
                "a@-b.org",
                "a@b-.org",
                "a@b@c.org",
                "a@1.2.3.4",
                "<a@b.org>",
                "a@b.org ",
                "a@b_c.org",
                &long,
            ],
        );
    }

    #[test]
    fn url() {
        check(
            is_url,
            &[
                "https://example.org",
                "ftp://h/x?y#z",
                "postgres://u:p@h:5432/d",
                "http://[::1]/",
            ],
            &[
                "",
                "example.org",
                "/x",
                "mailto:a@b.org",
                "http://",
                "https://a b.org",
            ],
        );
    }

    #[test]
    fn uuid_and_ip() {
        check(
            is_uuid,
            &[
                "123e4567-e89b-12d3-a456-426614174000",
                "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            ],
            &[
                "",
                "123e4567e89b12d3a456426614174000",
                "123e4567-e89b-12d3-a456-42661417400g",
            ],
        );
        check(
            is_ip,
            &["127.0.0.1", "::1", "2001:db8::ff00:42:8329"],
            &["", "1.2.3", "1.2.3.256", "01.2.3.4", "::1::", "1.2.3.4/8"],
        );
    }

    #[test]
    fn addresses_of_one_version() {
        check(
            is_ipv4,
            &["127.0.0.1", "255.255.255.255"],
            &["", "::1", "256.0.0.1", "127.0.0.1 "],
        );
        check(
            is_ipv6,
            &["::1", "::ffff:1.2.3.4"],
            &["", "127.0.0.1", "[::1]", "fe80::1%eth0"],
        );
    }

    #[test]
    fn host_name() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        let too_long = format!("{longest}a");
        check(
            is_host_name,
            &["example.org", "x-y.example.co.uk", "müller.de", &longest],
            &[
                "",
                "localhost",
                "example.org.",
                "a..b",
                "-a.org",
                "a_b.org",
                "1.2.3.4",
                "a.org:80",
                &too_long,
            ],
        );
    }

    #[test]
    fn json() {
        check(
            is_json,
            &["{}", "[1, 2]", "null", "\"x\"", " 1.50 "],
            &["", "{", "{a: 1}", "[1,]", "x", "{} {}", "NaN"],
        );
    }

    #[test]
    fn dates_and_times() {
        check(
            is_date,
            &[
                "2026-02-28",
                "2024-02-29",
                "2000-02-29",
                "0001-01-01",
                "2026-12-31",
            ],
            &[
                "",
                "2026-02-29",
                "1900-02-29",
                "2026-13-01",
                "2026-00-01",
                "2026-01-00",
                "2026-04-31",
                "2026-1-1",
                "20260101",
                "2026-01-01T00:00:00Z",
                "2026-01-0x",
            ],
        );
        check(
            is_datetime,
            &[
                "2026-02-28T10:00:00Z",
                "2026-02-28 10:00:00.123456+02:00",
                "2016-12-31t23:59:60z",
                "2026-02-28T10:00:00-23:59",
            ],
            &[
                "",
                "2026-02-28",
                "2026-02-28T10:00:00",
                "2026-02-30T10:00:00Z",
                "2026-02-28T24:00:00Z",
                "2026-02-28T10:60:00Z",
                "2026-02-28T10:00:00.Z",
                "2026-02-28T10:00:00+2",
                "2026-02-28T10:00:00Z ",
            ],
        );
        check(
            is_timestamp,
            &[
                "2026-02-28T10:00:00",
                "2026-02-28 10:00:00.5",
                "2026-02-28T10:00:00Z",
            ],
            &["2026-02-28", "2026-02-28T10:00", "é026-02-2810:00:00"],
        );
        check(
            is_time,
            &["10:00:00", "23:59:59.999", "24:00:00"],
            &["", "24:00:01", "10:00"],
        );
    }
}
