//! Every text function: its name, arguments and example, and what it does.

use std::borrow::Cow;

use super::{TextFunction, plain, total};
use crate::function::normal::{self, Ambiguous, DateFormats, Notation, Region, Zone};

const TEXT: (&str, &str) = ("text", "the text");
/// Why a function refuses its second or third argument.
const REGION: &str = "the region is not the code of a country with phone numbers, such as DE";
const FORMAT: &str = "the format is none of dates, such as %d.%m.%Y";
const ZONE: &str = "the zone is not the name of a time zone, such as Europe/Berlin";
const MARK: &str = "a separator of numbers is one character";

/// All text functions.
pub(in crate::function) const FUNCTIONS: [TextFunction; 18] = [
    TextFunction {
        name: "normalize_email",
        summary: "the address without surrounding white space, in lower case",
        arguments: &[TEXT],
        may_fail: false,
        prepare: |_| total(|text| Some(normal::lower(text.trim()))),
    },
    TextFunction {
        name: "normalize_space",
        summary: "the text without surrounding white space, with each inner run of white space replaced by one space",
        arguments: &[TEXT],
        may_fail: false,
        prepare: |_| total(|text| Some(normal::collapse(text))),
    },
    TextFunction {
        name: "normalize_unicode",
        summary: "the text in Unicode normal form NFC, in which equal-looking texts are equal",
        arguments: &[TEXT],
        may_fail: false,
        prepare: |_| total(|text| Some(normal::nfc(text))),
    },
    TextFunction {
        name: "normalize_nfkc",
        summary: "the text in Unicode normal form NFKC, in which full-width letters and ligatures are plain letters",
        arguments: &[TEXT],
        may_fail: false,
        prepare: |_| total(|text| Some(normal::nfkc(text))),
    },
    TextFunction {
        name: "title_case",
        summary: "the first letter of each word in upper case, the others in lower case",
        arguments: &[TEXT],
        may_fail: false,
        prepare: |_| total(|text| Some(normal::title(text))),
    },
    TextFunction {
        name: "null_if_blank",
        summary: "null if the text is empty or only white space, otherwise the text unchanged",
        arguments: &[TEXT],
        may_fail: false,
        prepare: |_| {
            total(|text| {
                let blank = text.chars().all(char::is_whitespace);
                (!blank).then_some(Cow::Borrowed(text))
            })
        },
    },
    TextFunction {
        name: "null_if_like",
        summary: "null if the text stands for no value (empty, n/a, null, none, nil, -), otherwise the text unchanged",
        arguments: &[TEXT],
        may_fail: false,
        prepare: |_| total(|text| (!normal::is_null_like(text)).then_some(Cow::Borrowed(text))),
    },
    TextFunction {
        name: "normalize_phone",
        summary: "the phone number in E.164; the region is the country of numbers without +",
        arguments: &[TEXT, ("region", "the two letters of a country")],
        may_fail: true,
        prepare: |parameters| {
            let region = Some(Region::of(parameters[0]).ok_or(REGION)?);
            Ok(Box::new(move |text| normal::phone(text, region).map(Some)))
        },
    },
    TextFunction {
        name: "normalize_url",
        summary: "the URL as the URL Standard writes it; https where it names no scheme",
        arguments: &[TEXT],
        may_fail: true,
        prepare: |_| plain(normal::url),
    },
    TextFunction {
        name: "normalize_iban",
        summary: "the IBAN without spaces and in upper case, if its form and its check digits are right",
        arguments: &[TEXT],
        may_fail: true,
        prepare: |_| plain(normal::iban),
    },
    TextFunction {
        name: "normalize_country",
        summary: "the two letters of a country, from its name, codes or number",
        arguments: &[TEXT],
        may_fail: true,
        prepare: |_| plain(normal::country),
    },
    TextFunction {
        name: "normalize_currency",
        summary: "the three letters of a currency, from its name, code, number or sign",
        arguments: &[TEXT],
        may_fail: true,
        prepare: |_| plain(normal::currency),
    },
    TextFunction {
        name: "normalize_language",
        summary: "the code of a language, from its code or name; a region stays",
        arguments: &[TEXT],
        may_fail: true,
        prepare: |_| plain(normal::language),
    },
    TextFunction {
        name: "normalize_number",
        summary: "the number with a point and without groups; cast it to the type that you need",
        arguments: &[
            TEXT,
            ("point", "what stands before the fraction"),
            (
                "group",
                "what stands between groups of digits; an empty text for nothing",
            ),
        ],
        may_fail: true,
        prepare: |parameters| {
            let notation = Notation {
                point: mark(parameters[0])?.ok_or(MARK)?,
                group: mark(parameters[1])?,
            };
            Ok(Box::new(move |text| {
                normal::decimal(text, &notation).map(Some)
            }))
        },
    },
    TextFunction {
        name: "normalize_date",
        summary: "the date in ISO 8601, from a text in the format",
        arguments: &[
            TEXT,
            (
                "format",
                "iso, epoch_s, epoch_ms, epoch_us, or fields such as %d.%m.%Y",
            ),
        ],
        may_fail: true,
        prepare: |parameters| {
            let formats = formats(parameters[0])?;
            Ok(Box::new(move |text| {
                Ok(Some(Cow::Owned(normal::date_text(formats.date(text)?))))
            }))
        },
    },
    TextFunction {
        name: "normalize_timestamp",
        summary: "the instant in RFC 3339 and UTC, from a text in the format; the zone is that of texts which name none",
        arguments: &[
            TEXT,
            (
                "format",
                "iso, epoch_s, epoch_ms, epoch_us, or fields such as %d.%m.%Y %H:%M",
            ),
            ("zone", "the name of a time zone"),
        ],
        may_fail: true,
        prepare: |parameters| {
            let formats = formats(parameters[0])?;
            let zone: Zone = parameters[1].parse().map_err(|_| ZONE)?;
            Ok(Box::new(move |text| {
                let instant = formats.timestamp(text, zone, Ambiguous::Refuse)?;
                Ok(Some(Cow::Owned(normal::timestamp_text(instant))))
            }))
        },
    },
    TextFunction {
        name: "json_text",
        summary: "a member of a JSON object as text, null if it is absent or null; for \
                  _headers and JSON columns",
        arguments: &[
            ("document", "a JSON object"),
            ("name", "the name of the member"),
        ],
        may_fail: false,
        prepare: |parameters| {
            let name = parameters[0].to_owned();
            Ok(Box::new(move |document| {
                Ok(member(document, &name).map(Cow::Owned))
            }))
        },
    },
    TextFunction {
        name: "fingerprint",
        summary: "the first 16 hexadecimal digits of the SHA-256 of the text: equal for equal texts; \
                  no secret is in it, so that short texts can be guessed",
        arguments: &[TEXT],
        may_fail: false,
        prepare: |_| total(|text| Some(Cow::Owned(super::fingerprint(text.as_bytes())))),
    },
];

fn formats(text: &str) -> Result<DateFormats, &'static str> {
    DateFormats::of(std::iter::once(text)).map_err(|_| FORMAT)
}

/// The separator that a text names; `None` for an empty one.
fn mark(text: &str) -> Result<Option<char>, &'static str> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (mark, None) => Ok(mark),
        _ => Err(MARK),
    }
}

/// A member of a JSON object as text; `None` if the document is not a JSON object.
fn member(document: &str, name: &str) -> Option<String> {
    let parsed: serde_json::Value = serde_json::from_str(document).ok()?;
    match parsed.get(name)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
