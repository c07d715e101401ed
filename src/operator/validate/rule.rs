//! The settings of a rule.

use std::cmp::Ordering;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::bound;
use super::length::Bounds;
use crate::function::fingerprint;
use crate::function::normal::Region;
use crate::lookup::Question;
use crate::operator::literal::Literal;
use crate::problem::Problem;

/// One rule: a field with conditions for its values, or a condition over the whole row. A null
/// passes everything but `required`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// The column that the rule checks.
    pub field: Option<String>,
    /// The columns that the rule checks, instead of `field`: each of them must satisfy the rule.
    pub fields: Vec<String>,
    /// An SQL expression over the row; the rule applies to the rows for which it is true.
    pub r#where: Option<String>,
    /// The value must not be null.
    pub required: bool,
    /// The value must be of this type; a text must represent a value of this type.
    pub r#type: Option<ValueType>,
    /// The text must have this format.
    pub format: Option<Format>,
    /// The smallest allowed value: a number, or a text for exact decimals, dates and times.
    pub min: Option<Literal>,
    /// The largest allowed value: a number, or a text for exact decimals, dates and times.
    pub max: Option<Literal>,
    /// The number of characters of a text, or of elements of a list: an exact number, or `{ min,
    /// max }`.
    pub length: Option<Length>,
    /// A regular expression that must match somewhere in the text; use `^` and `$` to match the
    /// whole text.
    pub pattern: Option<String>,
    /// The allowed values.
    pub one_of: Option<Vec<Literal>>,
    /// For `format = "phone"`: the two letters of the country of numbers without `+`.
    pub region: Option<String>,
    /// No two rows of the stream may have the same value, among the last `unique_window` values. In memory
    /// only, and for each value by the order of its partition.
    pub unique: bool,
    /// How many values `unique` remembers. Default: 100000.
    #[schemars(range(min = 1))]
    pub unique_window: Option<usize>,
    /// The value must be in a table of `[lookups.NAME]`: `{ lookup = "clients", column = "id" }`. Without
    /// `column` the table's column has the name of the field.
    pub reference: Option<Reference>,
    /// A JSON Schema that the document in the column must satisfy, inline or as the name of a JSON file
    /// relative to the pipeline file. It may refer to its own parts only; patterns take linear time.
    #[schemars(with = "Option<TableOrFile>")]
    pub json_schema: Option<Json>,
    /// An SQL expression over the row that must not be false.
    pub check: Option<String>,
    /// A message for a person, shown instead of the built-in reason when the rule is broken.
    pub message: Option<String>,
    /// What happens to a row that breaks this rule.
    pub on_failure: Option<OnFailure>,
    /// How severe a failure is: a `warning` lets the row go on and is told in its column `_warnings`.
    pub severity: Option<Severity>,
    /// The part of rows that may break the rule, from 0 to 1, over the last `failure_window` rows of the
    /// operator: beyond it the pipeline stops, and nothing of the batch is acknowledged.
    #[schemars(range(min = 0, max = 1))]
    pub max_failure_rate: Option<f64>,
}

/// A table, or the name of a file: a pipeline file is read with the file in the place of its name.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only says the schema")]
enum TableOrFile {
    /// The name of a file.
    File(String),
    /// The table itself.
    Table(serde_json::Map<String, Json>),
}

/// A table that has the value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The name of the `[lookups.NAME]`.
    pub lookup: String,
    /// The column of its table. Default: the name of the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// How severe a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// `on_failure` says what happens.
    Error,
    /// The row goes on with a warning.
    Warning,
}

/// What happens to a row that breaks a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The row goes to the quarantine with its reason.
    #[default]
    Quarantine,
    /// The row is dropped and counted as filtered.
    Drop,
    /// The row is passed on, and a warning is counted.
    Warn,
    /// The pipeline stops; nothing of the batch is written.
    Stop,
}

impl OnFailure {
    /// The value as it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Drop => "drop",
            Self::Warn => "warn",
            Self::Stop => "stop",
        }
    }

    /// If several rules are broken, the most severe action applies.
    pub(super) fn severity(self) -> u8 {
        match self {
            Self::Warn => 0,
            Self::Drop => 1,
            Self::Quarantine => 2,
            Self::Stop => 3,
        }
    }
}

/// The type that values must have.
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

/// The format of a text.
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
    /// A time of day, `10:00:00`, with an optional fraction of a second.
    Time,
    /// An IPv4 or IPv6 address.
    Ip,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A host name of at least two labels, without a trailing dot.
    Hostname,
    /// A JSON document.
    Json,
    /// A phone number that exists in its numbering plan: with `+`, or of the country that `region` names.
    Phone,
    /// A country: its two letters of ISO 3166.
    Country,
    /// A currency: its three letters of ISO 4217.
    Currency,
    /// A language: its code of ISO 639, and perhaps a country: `de` or `de-AT`.
    Language,
    /// An IBAN without spaces, of a known country and with the right check digits.
    Iban,
}

impl Rule {
    /// What happens to a row that breaks the rule; `default` is the operator's.
    pub(super) fn action(&self, default: OnFailure) -> OnFailure {
        match self.severity {
            Some(Severity::Warning) => OnFailure::Warn,
            _ => self.on_failure.unwrap_or(default),
        }
    }

    /// Tells the rule with its settings from every other.
    pub(super) fn fingerprint(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        fingerprint(text.as_bytes())
    }

    /// The columns that the rule checks, each with its path from the rule.
    pub(super) fn columns(&self) -> Vec<(Vec<String>, &str)> {
        let field = self.field.iter();
        let one = field.map(|name| (vec!["field".to_owned()], name.as_str()));
        let many = self.fields.iter().enumerate().map(|(index, name)| {
            let path = vec!["fields".to_owned(), index.to_string()];
            (path, name.as_str())
        });
        one.chain(many).collect()
    }

    /// What the rule looks up, for each of its columns.
    pub(super) fn questions(&self) -> Vec<Question> {
        let Some(reference) = &self.reference else {
            return Vec::new();
        };
        let question = |(_, field): (Vec<String>, &str)| Question {
            lookup: reference.lookup.clone(),
            on: vec![(
                field.to_owned(),
                reference.column.as_deref().unwrap_or(field).to_owned(),
            )],
            columns: Vec::new(),
        };
        self.columns().into_iter().map(question).collect()
    }

    /// The expressions of the rule, each with the setting that holds it.
    pub(super) fn expressions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let settings = [("check", &self.check), ("where", &self.r#where)];
        settings
            .into_iter()
            .filter_map(|(setting, text)| Some((setting, text.as_deref()?)))
    }
}

/// The length that a value must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Length {
    /// Exactly this length.
    Exact(u64),
    /// A length within these bounds, both included.
    Between(LengthBounds),
}

/// Bounds of a length, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LengthBounds {
    /// The smallest length.
    pub min: Option<u64>,
    /// The largest length.
    pub max: Option<u64>,
}

/// The problems of a rule that need no schema. Their paths start at the rule.
pub(super) fn check_shape(rule: &Rule) -> Vec<Problem> {
    let mut problems = Vec::new();
    let of_field = [
        ("required", rule.required),
        ("type", rule.r#type.is_some()),
        ("format", rule.format.is_some()),
        ("min", rule.min.is_some()),
        ("max", rule.max.is_some()),
        ("length", rule.length.is_some()),
        ("pattern", rule.pattern.is_some()),
        ("one_of", rule.one_of.is_some()),
        ("unique", rule.unique),
        ("reference", rule.reference.is_some()),
        ("json_schema", rule.json_schema.is_some()),
    ];
    let mut used = of_field.iter().filter(|(_, is_used)| *is_used).peekable();
    if used.peek().is_none() && rule.check.is_none() {
        problems
            .push(Problem::new(&[], "the rule has no condition").help(
                "give it required, type, format, min, max, length, pattern, one_of, unique, reference, json_schema or check",
            ));
    }
    if rule.field.is_some() && !rule.fields.is_empty() {
        problems.push(
            Problem::new(&["fields"], "fields cannot stand beside field")
                .help("name every column in fields"),
        );
    }
    if rule.check.is_some() && !rule.fields.is_empty() {
        problems.push(
            Problem::new(&["check"], "check cannot stand beside fields")
                .help("a check concerns the whole row: give it a rule of its own"),
        );
    }
    if rule.field.is_none() && rule.fields.is_empty() {
        problems.extend(used.map(|(setting, _)| {
            Problem::new(&[setting], format!("{setting} needs a field to check"))
        }));
    }
    if rule.severity == Some(Severity::Warning)
        && rule
            .on_failure
            .is_some_and(|action| action != OnFailure::Warn)
    {
        problems.push(
            Problem::new(&["on_failure"], "a warning lets the row go on")
                .help("leave out on_failure, or write severity = \"error\""),
        );
    }
    if let Some(region) = &rule.region {
        if rule.format != Some(Format::Phone) {
            problems.push(Problem::new(
                &["region"],
                "region belongs to format = \"phone\"",
            ));
        } else if Region::of(region).is_none() {
            let message = format!("no country {region} with phone numbers");
            let help = "write its two letters, such as DE";
            problems.push(Problem::new(&["region"], message).help(help));
        }
    }
    if rule.unique_window.is_some() && !rule.unique {
        problems.push(Problem::new(
            &["unique_window"],
            "unique_window belongs to unique = true",
        ));
    }
    if let Some(schema) = &rule.json_schema
        && let Err(reason) = json_validator(schema)
    {
        problems.push(Problem::new(&["json_schema"], reason));
    }
    if let Some(pattern) = &rule.pattern
        && let Err(error) = Regex::new(pattern)
    {
        let text = error.to_string();
        let line = text.lines().last().unwrap_or_default();
        let reason = line.trim_start_matches("error: ");
        problems.push(Problem::new(
            &["pattern"],
            format!("the pattern is not a valid regular expression: {reason}"),
        ));
    }
    if rule
        .length
        .is_some_and(|length| Bounds::of(length).is_empty())
    {
        problems.push(Problem::new(&["length"], "min is greater than max"));
    }
    if let (Some(min), Some(max)) = (&rule.min, &rule.max)
        && bound::compare(&min.text(), &max.text()) == Some(Ordering::Greater)
    {
        problems.push(Problem::new(&["min"], "min is greater than max"));
    }
    if rule.one_of.as_ref().is_some_and(Vec::is_empty) {
        problems.push(Problem::new(
            &["one_of"],
            "the list of allowed values is empty",
        ));
    }
    problems
}

/// Compiles a JSON Schema; it refers to nothing outside itself, and its patterns take linear time.
pub(super) fn json_validator(schema: &Json) -> Result<jsonschema::Validator, String> {
    // The text of a file that the rule names.
    let parsed;
    let schema = match schema {
        Json::String(text) => {
            parsed = serde_json::from_str(text)
                .map_err(|error| format!("it is not a JSON document: {error}"))?;
            &parsed
        }
        table => table,
    };
    jsonschema::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(schema)
        .map_err(|error| format!("it is not a JSON Schema that can be used: {error}"))
}
