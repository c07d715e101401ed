//! `validate`: holds rows against rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::literal::Literal;

/// Checks rows against rules; a row that breaks one goes to the quarantine, or what `on_failure` says.
///
/// ```toml
/// [operators.check]
/// type       = "validate"
/// inputs     = ["tidy"]
/// on_failure = "quarantine"
/// rules = [
///   { field = "email",   format = "email" },
///   { field = "balance", min = 0 },
///   { check = "balance < 1000000", message = "balance over the firm's limit" },
/// ]
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateConfig {
    /// The sources or operators whose changes come in.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// What becomes of a row that breaks a rule, where the rule does not say it.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The rules; a row is checked against all of them.
    pub rules: Vec<Rule>,
}

/// What becomes of a row that breaks a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It goes to the quarantine with its reason.
    #[default]
    Quarantine,
    /// It is left out and counted as filtered.
    Drop,
    /// It goes on, and a warning is counted.
    Warn,
    /// The pipeline stops; nothing of the batch is written.
    Stop,
}

/// One rule: a field with what must hold for its values, or a condition over the whole row. A null
/// passes everything but `required`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// The column that the rule is about.
    pub field: Option<String>,
    /// The value must not be null.
    pub required: bool,
    /// The value must be of this type; a text must be the text of one.
    pub r#type: Option<ValueType>,
    /// The text must have this form.
    pub format: Option<Format>,
    /// The least value: a number, or a text for exact decimals, dates and times.
    pub min: Option<Literal>,
    /// The greatest value: a number, or a text for exact decimals, dates and times.
    pub max: Option<Literal>,
    /// The number of characters of a text, or of elements of a list: exact, or `{ min, max }`.
    pub length: Option<Length>,
    /// A regular expression that must be found in the text; `^` and `$` hold it to the whole.
    pub pattern: Option<String>,
    /// The values that are allowed.
    pub one_of: Option<Vec<Literal>>,
    /// An SQL expression over the row that must not be false.
    pub check: Option<String>,
    /// What a person reads when the rule is broken, in place of the built-in reason.
    pub message: Option<String>,
    /// What becomes of a row that breaks this rule.
    pub on_failure: Option<OnFailure>,
}

/// A type that values must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Any text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A calendar date.
    Date,
    /// A time of day.
    Time,
    /// A date with a time.
    Timestamp,
    /// A UUID.
    Uuid,
    /// A JSON document.
    Json,
}

/// The form of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// An e-mail address: a dot-atom before the `@`, a host name after it.
    Email,
    /// An absolute URL with a host.
    Url,
    /// A UUID in its hyphenated form.
    Uuid,
    /// An ISO 8601 calendar date, `2026-02-28`.
    Date,
    /// An RFC 3339 date and time with an offset.
    Datetime,
    /// An IPv4 or IPv6 address.
    Ip,
}

/// A length that must be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Length {
    /// Exactly this long.
    Exact(u64),
    /// Within these bounds, both included.
    Between(LengthBounds),
}

/// Bounds of a length, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LengthBounds {
    /// The least length.
    pub min: Option<u64>,
    /// The greatest length.
    pub max: Option<u64>,
}
