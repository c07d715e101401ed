//! Dates and times in stated formats, with a time zone for those that name none.

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};

use crate::function::format::is_timestamp;

/// A time zone by its IANA name.
pub(crate) type Zone = chrono_tz::Tz;

/// What a local time means that is there twice, as the clock is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ambiguous {
    #[default]
    Refuse,
    Earlier,
    Later,
}

const NO_DATE: &str = "the text is not a date in one of the formats that were given";
const NO_TIMESTAMP: &str = "the text is not a date and time in one of the formats that were given";

/// The formats that a text may have; the first that fits it counts.
#[derive(Debug, Clone)]
pub(crate) struct DateFormats(Vec<DateFormat>);

#[derive(Debug, Clone)]
enum DateFormat {
    /// `iso`: ISO 8601, with a time and an offset or without.
    Iso,
    /// `epoch_s`, `epoch_ms`, `epoch_us`: so many units of so many microseconds since 1970.
    Epoch(i64),
    /// Fields as `strftime` writes them.
    Fields(Vec<Item<'static>>),
}

impl DateFormats {
    /// The formats of these texts.
    ///
    /// # Errors
    /// The index of the first that is none, and why.
    pub(crate) fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Self, (usize, String)> {
        let format = |(index, text): (usize, &str)| {
            Ok(match text {
                "iso" => DateFormat::Iso,
                "epoch_s" => DateFormat::Epoch(1_000_000),
                "epoch_ms" => DateFormat::Epoch(1_000),
                "epoch_us" => DateFormat::Epoch(1),
                text => {
                    let items = StrftimeItems::new(text).parse_to_owned();
                    let items = items.map_err(|_| {
                        let help =
                            "expected iso, epoch_s, epoch_ms, epoch_us or fields such as %d.%m.%Y";
                        (index, format!("{text:?} is not a format of dates: {help}"))
                    })?;
                    if !items
                        .iter()
                        .any(|item| matches!(item, Item::Numeric(..) | Item::Fixed(_)))
                    {
                        return Err((index, format!("{text:?} names no part of a date")));
                    }
                    DateFormat::Fields(items)
                }
            })
        };
        let formats: Vec<DateFormat> = texts.enumerate().map(format).collect::<Result<_, _>>()?;
        match formats.is_empty() {
            true => Ok(Self(vec![DateFormat::Iso])),
            false => Ok(Self(formats)),
        }
    }

    /// The date of a text.
    pub(crate) fn date(&self, text: &str) -> Result<NaiveDate, &'static str> {
        let text = text.trim();
        let mut formats = self.0.iter();
        formats
            .find_map(|format| match format {
                DateFormat::Iso => match is_timestamp(text) {
                    true => text.get(..10)?.parse().ok(),
                    false => text.parse().ok(),
                },
                DateFormat::Epoch(micros) => Some(epoch(text, *micros)?.date_naive()),
                DateFormat::Fields(items) => fields(text, items)?.to_naive_date().ok(),
            })
            .ok_or(NO_DATE)
    }

    /// The instant of a text; `zone` is that of a text which names none. A date alone is its midnight.
    pub(crate) fn timestamp(
        &self,
        text: &str,
        zone: Zone,
        ambiguous: Ambiguous,
    ) -> Result<DateTime<Utc>, &'static str> {
        let text = text.trim();
        let mut reason = NO_TIMESTAMP;
        for format in &self.0 {
            let found = match format {
                DateFormat::Iso => iso(text),
                DateFormat::Epoch(micros) => epoch(text, *micros).map(Read::Instant),
                DateFormat::Fields(items) => fields(text, items).and_then(|parsed| read(&parsed)),
            };
            match found {
                Some(Read::Instant(instant)) => return Ok(instant),
                Some(Read::Local(local)) => match in_zone(local, zone, ambiguous) {
                    Ok(instant) => return Ok(instant),
                    Err(why) => reason = why,
                },
                None => {}
            }
        }
        Err(reason)
    }
}

/// What a text says.
enum Read {
    Instant(DateTime<Utc>),
    Local(NaiveDateTime),
}

fn fields(text: &str, items: &[Item<'static>]) -> Option<Parsed> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, items.iter()).ok()?;
    Some(parsed)
}

fn read(parsed: &Parsed) -> Option<Read> {
    if parsed.offset().is_some() || parsed.timestamp().is_some() {
        return Some(Read::Instant(parsed.to_datetime().ok()?.to_utc()));
    }
    let date = parsed.to_naive_date().ok()?;
    let has_time = parsed.hour_mod_12().is_some() || parsed.minute().is_some();
    let time = match has_time {
        true => parsed.to_naive_time().ok()?,
        false => NaiveTime::MIN,
    };
    Some(Read::Local(date.and_time(time)))
}

fn iso(text: &str) -> Option<Read> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(Read::Instant(instant.to_utc()));
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(Read::Local(date.and_time(NaiveTime::MIN)));
    }
    let formats = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ];
    let mut locals = formats.iter();
    locals
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(Read::Local)
}

fn epoch(text: &str, micros: i64) -> Option<DateTime<Utc>> {
    let units: i64 = text.parse().ok()?;
    DateTime::from_timestamp_micros(units.checked_mul(micros)?)
}

fn in_zone(
    local: NaiveDateTime,
    zone: Zone,
    ambiguous: Ambiguous,
) -> Result<DateTime<Utc>, &'static str> {
    match (zone.from_local_datetime(&local), ambiguous) {
        (LocalResult::Single(instant), _) => Ok(instant.to_utc()),
        (LocalResult::None, _) => {
            Err("the time does not exist in its zone: the clock was put forward")
        }
        (LocalResult::Ambiguous(earlier, _), Ambiguous::Earlier) => Ok(earlier.to_utc()),
        (LocalResult::Ambiguous(_, later), Ambiguous::Later) => Ok(later.to_utc()),
        (LocalResult::Ambiguous(..), Ambiguous::Refuse) => {
            Err("the time is there twice in its zone: the clock was put back")
        }
    }
}

/// A date in ISO 8601.
pub(crate) fn date_text(date: NaiveDate) -> String {
    date.format("%Y-%m-%d").to_string()
}

/// An instant in RFC 3339, in UTC, with as many digits of the second as it has.
pub(crate) fn timestamp_text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
