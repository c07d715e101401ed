//! The formats that a text can be checked for.

use super::{Format, Rule};
use crate::function::format;
use crate::function::normal::{self, Region};

/// A test of texts with its words.
pub(super) struct FormatTest {
    /// The condition as it is written in the rule.
    pub(super) rule: String,
    /// What a text is that passes: `an e-mail address`.
    pub(super) noun: &'static str,
    pub(super) holds: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

/// Whether a text is its own normal form.
fn is_normal(text: &str, normal: fn(&str) -> normal::Normal<'_>) -> bool {
    normal(text).is_ok_and(|normal| normal == text)
}

/// The test of a format; `rule` says the region of phone numbers.
pub(super) fn test_of(wanted: Format, rule: &Rule) -> FormatTest {
    let (name, noun, holds): (&str, &str, fn(&str) -> bool) = match wanted {
        Format::Email => ("email", "an e-mail address", format::is_email),
        Format::Url => ("url", "an absolute URL", format::is_url),
        Format::Uuid => ("uuid", "a UUID", format::is_uuid),
        Format::Date => ("date", "an ISO 8601 date", format::is_date),
        Format::Datetime => ("datetime", "an RFC 3339 date and time", format::is_datetime),
        Format::Time => ("time", "a time of day", format::is_time),
        Format::Ip => ("ip", "an IP address", format::is_ip),
        Format::Ipv4 => ("ipv4", "an IPv4 address", format::is_ipv4),
        Format::Ipv6 => ("ipv6", "an IPv6 address", format::is_ipv6),
        Format::Hostname => ("hostname", "a host name", format::is_host_name),
        Format::Json => ("json", "a JSON document", format::is_json),
        Format::Country => ("country", "the two letters of a country", |text| {
            is_normal(text, normal::country)
        }),
        Format::Currency => ("currency", "the three letters of a currency", |text| {
            is_normal(text, normal::currency)
        }),
        Format::Language => ("language", "the code of a language", |text| {
            is_normal(text, normal::language)
        }),
        Format::Iban => ("iban", "an IBAN", |text| is_normal(text, normal::iban)),
        Format::Phone => {
            let region = rule.region.as_deref().and_then(Region::of);
            return FormatTest {
                rule: match &rule.region {
                    Some(region) => format!("format = \"phone\", region = \"{region}\""),
                    None => "format = \"phone\"".to_owned(),
                },
                noun: "a valid phone number",
                holds: Box::new(move |text| normal::phone(text, region).is_ok()),
            };
        }
    };
    FormatTest {
        rule: format!("format = \"{name}\""),
        noun,
        holds: Box::new(holds),
    }
}
