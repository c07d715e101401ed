//! When two texts are one value of a type.

use super::Carrier;
use crate::conflict::{Number, canonical_json};

/// What the values of a type mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The text itself; of another carrier, what that means.
    Text,
    /// A text whose blanks at the end do not count.
    Padded,
    /// A number, however it is written; true and false are 1 and 0.
    Number,
    /// A float of 4 bytes, which is read with the digits of 8.
    Single,
    /// An amount with a currency.
    Money,
    /// A date with or without a time, in UTC.
    Instant,
    /// A time of day.
    Time,
    /// A length of time, read as seconds.
    Span,
    /// Bytes, read as hexadecimal digits.
    Bytes,
    /// A JSON document.
    Json,
    /// A UUID.
    Uuid,
    /// Labels in any order.
    Set,
    /// Numbers and words, however they are put together: points, ranges, addresses.
    Loose,
    /// A list of such values.
    List(Box<Meaning>),
}

impl Meaning {
    /// What a column of this meaning makes of values of `carrier`: a text means what it was.
    pub(super) fn of(&self, carrier: &Carrier) -> Self {
        match self {
            Self::Text => carrier.meaning.clone(),
            Self::Padded if carrier.meaning != Self::Text => carrier.meaning.clone(),
            Self::Json if matches!(carrier.meaning, Self::List(_)) => carrier.meaning.clone(),
            Self::List(inner) if **inner == Self::Text => match &carrier.meaning {
                list @ Self::List(_) => list.clone(),
                _ => self.clone(),
            },
            meaning => meaning.clone(),
        }
    }

    pub(super) fn same(&self, sent: &str, found: &str) -> bool {
        let single = |text: &str| Some(format!("{:?}", text.parse::<f64>().ok()? as f32));
        sent == found
            || self.plain(sent) == self.plain(found)
            || (*self == Self::Single
                && single(found).is_some_and(|found| number(sent) == number(&found)))
    }

    /// One text for a value.
    fn plain(&self, text: &str) -> String {
        match self {
            Self::Text => text.to_owned(),
            Self::Padded => text.trim_end_matches(' ').to_owned(),
            Self::Number | Self::Single => number(text),
            Self::Money => number(&text.replace(['$', ','], "")),
            Self::Instant => instant(text).unwrap_or_else(|| text.to_owned()),
            Self::Time => time(text).unwrap_or_else(|| text.to_owned()),
            Self::Span => span(text).unwrap_or_else(|| text.to_owned()),
            Self::Bytes => text.trim_start_matches("\\x").to_lowercase(),
            Self::Json => canonical_json(text).unwrap_or_else(|| text.to_owned()),
            Self::Uuid => text.to_lowercase(),
            Self::Set => {
                let mut labels: Vec<&str> = text.split(',').collect();
                labels.sort_unstable();
                labels.dedup();
                labels.join(",")
            }
            Self::Loose => loose(text),
            Self::List(inner) => list(text)
                .iter()
                .map(|element| match element {
                    Some(element) => format!("<{}>", inner.plain(element)),
                    None => "null".to_owned(),
                })
                .collect(),
        }
    }
}

fn number(text: &str) -> String {
    match text.trim() {
        "true" | "t" => "1".to_owned(),
        "false" | "f" => "0".to_owned(),
        text => Number::parse(text).map_or_else(|| text.to_owned(), |number| number.to_string()),
    }
}

fn time(text: &str) -> Option<String> {
    let text = text.trim_end_matches('Z');
    let text = text.strip_suffix("+00").unwrap_or(text);
    let text = text.strip_suffix("+00:00").unwrap_or(text);
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next().unwrap_or("00"));
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let part = part.trim_end_matches('0');
    Some(format!("{hours}:{minutes}:{whole}.{part}"))
}

fn instant(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked(10)?;
    let date = chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let rest = rest.trim_start_matches(['T', ' ']);
    if rest.is_empty() {
        return Some(format!("{date} 00:00:00."));
    }
    let (rest, hours) = match rest.strip_suffix('Z') {
        Some(rest) => (rest, 0),
        None => match rest.rsplit_once('+') {
            Some((rest, zone)) => (rest, zone.split(':').next()?.parse().ok()?),
            None => (rest, 0),
        },
    };
    let (clock, part) = rest.split_once('.').unwrap_or((rest, ""));
    let clock = chrono::NaiveTime::parse_from_str(clock, "%H:%M:%S").ok()?;
    let at = date.and_time(clock) - chrono::TimeDelta::hours(hours);
    Some(format!("{at}.{}", part.trim_end_matches('0')))
}

/// Seconds, of an ISO duration, a time of day or as a number, which PostgreSQL finds in brackets, too.
fn span(text: &str) -> Option<String> {
    let text = text.trim_matches(['{', '}']);
    if let [hours, minutes, seconds] = text.split(':').collect::<Vec<_>>()[..] {
        let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
        let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
        let whole: i64 = whole.parse().ok()?;
        let whole = hours * 3_600 + minutes * 60 + whole;
        return Some(Number::parse(&format!("{whole}.{part}"))?.to_string());
    }
    if let Some(number) = Number::parse(text) {
        return Some(number.to_string());
    }
    let rest = text.strip_prefix('P')?;
    let (days, clock) = rest.split_once('T').unwrap_or((rest, ""));
    let days: f64 = match days.strip_suffix('D') {
        Some(days) => days.parse().ok()?,
        None if days.is_empty() => 0.0,
        None => return None,
    };
    let mut seconds = days * 86_400.0;
    let mut digits = String::new();
    for letter in clock.chars() {
        let unit = match letter {
            'H' => 3_600.0,
            'M' => 60.0,
            'S' if seconds == 0.0 => return Some(Number::parse(&digits)?.to_string()),
            'S' => 1.0,
            digit => {
                digits.push(digit);
                continue;
            }
        };
        seconds += digits.parse::<f64>().ok()? * unit;
        digits.clear();
    }
    Some(Number::parse(&seconds.to_string())?.to_string())
}

/// The elements of `{a,"b"}` or of a JSON array.
fn list(text: &str) -> Vec<Option<String>> {
    if let Ok(serde_json::Value::Array(items)) = serde_json::from_str(text) {
        let items = items.iter().map(|item| match item {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        });
        return items.collect();
    }
    let inside = text.trim_start_matches('{').trim_end_matches('}');
    if inside.is_empty() {
        return Vec::new();
    }
    let mut elements = Vec::new();
    let (mut element, mut quoted, mut was_quoted) = (String::new(), false, false);
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => element.extend(letters.next()),
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => {
                elements.push((
                    std::mem::take(&mut element),
                    std::mem::take(&mut was_quoted),
                ));
            }
            other => element.push(other),
        }
    }
    elements.push((element, was_quoted));
    elements
        .into_iter()
        .map(|(element, quoted)| (quoted || element != "NULL").then_some(element))
        .collect()
}

/// Numbers in one form, letters in lower case, nothing else.
fn loose(text: &str) -> String {
    let mut plain = String::new();
    let mut digits = String::new();
    let flush = |digits: &mut String, plain: &mut String| {
        if !digits.is_empty() {
            plain.push('<');
            plain.push_str(&number(digits));
            plain.push('>');
            digits.clear();
        }
    };
    for letter in text.chars() {
        if letter.is_ascii_digit() || letter == '.' {
            digits.push(letter);
            continue;
        }
        flush(&mut digits, &mut plain);
        if letter.is_alphabetic() {
            plain.extend(letter.to_lowercase());
        }
    }
    flush(&mut digits, &mut plain);
    plain
}
