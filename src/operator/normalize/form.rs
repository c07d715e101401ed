//! The forms that values can get.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to a value that has no such form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNoForm {
    /// Its row goes to the quarantine with the reason.
    #[default]
    Quarantine,
    /// It becomes null.
    Null,
}

/// A Unicode normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnicodeForm {
    /// Canonical composition.
    Nfc,
    /// Compatibility composition.
    Nfkc,
}

/// What happens to white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// Removed at both ends.
    Trim,
    /// Removed at both ends, and one space of each inner run.
    Collapse,
}

/// The case of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// All of them in upper case.
    Upper,
    /// All of them in lower case.
    Lower,
    /// The first of each word in upper case, the others in lower case.
    Title,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// An e-mail address: in lower case, without `mailto:`.
    Email,
    /// A URL with a host, as the URL Standard writes it; `https` where it names no scheme.
    Url,
    /// A phone number, in E.164.
    Phone,
    /// A country: the two letters of ISO 3166, from its English name, codes or number.
    Country,
    /// A currency: the three letters of ISO 4217, from its English name, code or number.
    Currency,
    /// A language: its code of ISO 639, from its code or English name.
    Language,
    /// An IBAN, without spaces.
    Iban,
    /// A date: the column becomes a date.
    Date,
    /// A date and time: the column becomes a timestamp with time zone.
    Timestamp,
    /// A number: the column becomes a decimal. Nothing is rounded.
    Decimal,
}

/// Which instant a local time is that is there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AmbiguousTime {
    /// The first of the two.
    Earlier,
    /// The second of the two.
    Later,
}

impl Form {
    /// The value as it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Url => "url",
            Self::Phone => "phone",
            Self::Country => "country",
            Self::Currency => "currency",
            Self::Language => "language",
            Self::Iban => "iban",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Decimal => "decimal",
        }
    }
}
