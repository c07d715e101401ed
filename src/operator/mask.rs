//! `mask`: hides values, column by column.
//!
//! - Operation, key names, origin and order stay; the rows before are masked as the rows are, so that nothing
//!   of them leaves unmasked and comparisons agree.
//! - A null stays null, a value that is not sent stays so (R14, R19), a truncate passes.
//! - A delete is masked as a row is: its key too. `hmac` keeps different keys different, so that a delete
//!   finds the row that an insert wrote. The others do not: where they hide a column of the key, the
//!   operator stops, since rows would fall together.

mod kernel;

use arrow::datatypes::{Field, SchemaRef};
use hmac::{Hmac, KeyInit as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use self::kernel::{Keyed, Partial, Redact, Round};
use super::in_place::{ColumnRule, Kernel, Step, check, compile};
use super::literal::Literal;
use super::{Compiled, Context, Settings};
use crate::function::type_name;
use crate::problem::Problem;

/// Hides values: replaces them by a keyed hash, by a part, by a text or null, or by a coarser value.
///
/// ```toml
/// [operators.hide]
/// type   = "mask"
/// inputs = ["clean"]
/// rules = [
///   { field = "tax_number", by = "hmac", key = "${env:MASK_KEY:-only for this example}" },
///   { field = "phone",      by = "partial", keep_end = 3 },
///   { field = "notes",      by = "redact", text = "[removed]" },
///   { field = "born",       by = "round", to = "year" },
///   { field = "salary",     by = "round", to = 1000 },
/// ]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// The names of the sources or operators whose changes are masked.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The rules, applied in the order of the file.
    pub rules: Vec<MaskRule>,
}

/// One rule: columns, and how their values are hidden.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskRule {
    /// The column.
    pub field: Option<String>,
    /// The columns, instead of `field`.
    #[serde(default)]
    pub fields: Vec<String>,
    /// How values are hidden.
    pub by: Hiding,
    /// For `hmac`: the secret. Write it as `${env:NAME}` or `${file:path}`.
    pub key: Option<String>,
    /// For `partial`: how many characters at the beginning stay.
    #[serde(default)]
    pub keep_start: usize,
    /// For `partial`: how many characters at the end stay.
    #[serde(default)]
    pub keep_end: usize,
    /// For `partial`: what stands for each other letter and digit. Default: `*`.
    pub mark: Option<char>,
    /// For `redact`: what stands for every value. Default: null.
    pub text: Option<String>,
    /// For `round`: of a number the unit that it is a multiple of, such as `1000` or `"0.5"`; of a date or
    /// timestamp `day`, `month` or `year`. Rounds down.
    pub to: Option<Literal>,
}

/// How values are hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hiding {
    /// The HMAC-SHA-256 of the text of the value, in hexadecimal digits: equal values stay equal, and without
    /// the key none can be guessed.
    Hmac,
    /// The first and last characters; the others become `*`. White space and marks stay. A value that is not
    /// longer than what is kept is hidden whole.
    Partial,
    /// A text, or null.
    Redact,
    /// A coarser value.
    Round,
}

impl MaskRule {
    fn columns(&self) -> Vec<(Vec<String>, &str)> {
        let one = self
            .field
            .iter()
            .map(|name| (vec!["field".to_owned()], name.as_str()));
        let many = self
            .fields
            .iter()
            .enumerate()
            .map(|(index, name)| (vec!["fields".to_owned(), index.to_string()], name.as_str()));
        one.chain(many).collect()
    }
}

impl Settings for MaskConfig {
    fn compile(&self, name: &str, schema: &SchemaRef, _: &Context) -> Compiled {
        compile(
            name,
            schema,
            &self.rules,
            no_rules(),
            |rule, column, field| {
                Ok(vec![Step {
                    column,
                    kernel: kernel(rule, field)?,
                    rule: format!("operator {name}"),
                    or_null: false,
                    keeps_keys_apart: rule.by == Hiding::Hmac,
                }])
            },
        )
    }

    fn check(&self) -> Vec<Problem> {
        check(&self.rules, no_rules())
    }

    fn computed_columns(&self) -> Vec<String> {
        let columns = self.rules.iter().flat_map(MaskRule::columns);
        columns.map(|(_, name)| name.to_owned()).collect()
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        let mut required = wanted?.to_vec();
        required.extend(self.computed_columns());
        Some(required)
    }

    /// Each masked value is made of its own value alone.
    fn column_behind(&self, output: &str) -> Option<String> {
        Some(output.to_owned())
    }
}

fn no_rules() -> Problem {
    Problem::new(&["rules"], "there are no rules")
        .help("add one, as in { field = \"notes\", by = \"redact\" }")
}

impl ColumnRule for MaskRule {
    fn columns(&self) -> Vec<(Vec<String>, &str)> {
        self.columns()
    }

    fn check_shape(&self) -> Vec<Problem> {
        check_shape(self)
    }
}

fn check_shape(rule: &MaskRule) -> Vec<Problem> {
    let mut problems = Vec::new();
    if rule.field.is_some() != rule.fields.is_empty() {
        let message = "a rule needs either field or fields";
        let help = "name one column in field, or several in fields";
        problems.push(Problem::new(&[], message).help(help));
    }
    let options = [
        ("key", rule.key.is_some(), Hiding::Hmac),
        ("keep_start", rule.keep_start > 0, Hiding::Partial),
        ("keep_end", rule.keep_end > 0, Hiding::Partial),
        ("mark", rule.mark.is_some(), Hiding::Partial),
        ("text", rule.text.is_some(), Hiding::Redact),
        ("to", rule.to.is_some(), Hiding::Round),
    ];
    for (option, is_used, hiding) in options {
        if is_used && rule.by != hiding {
            let wanted = match hiding {
                Hiding::Hmac => "hmac",
                Hiding::Partial => "partial",
                Hiding::Redact => "redact",
                Hiding::Round => "round",
            };
            problems.push(Problem::new(
                &[option],
                format!("{option} belongs to by = \"{wanted}\""),
            ));
        }
    }
    match rule.by {
        Hiding::Hmac if rule.key.as_deref().is_none_or(str::is_empty) => {
            let help = "write key = \"${env:MASK_KEY}\" or key = \"${file:mask.key}\"";
            problems.push(Problem::new(&["key"], "hmac needs a key").help(help));
        }
        Hiding::Round if rule.to.is_none() => {
            let help = "write for example to = 1000, to = \"0.5\" or to = \"month\"";
            problems.push(Problem::new(&["to"], "round needs a unit").help(help));
        }
        _ => {}
    }
    problems
}

fn kernel(rule: &MaskRule, field: &Field) -> Result<Box<dyn Kernel>, String> {
    Ok(match rule.by {
        Hiding::Hmac => {
            let key = rule.key.as_deref().unwrap_or_default();
            let keyed = Hmac::<Sha256>::new_from_slice(key.as_bytes());
            Box::new(Keyed(keyed.map_err(|error| error.to_string())?))
        }
        Hiding::Partial if field.data_type().is_string() => Box::new(Partial {
            start: rule.keep_start,
            end: rule.keep_end,
            mark: rule.mark.unwrap_or('*'),
        }),
        Hiding::Partial => {
            return Err(format!(
                "{} is {}, and only a text has parts",
                field.name(),
                type_name(field.data_type())
            ));
        }
        Hiding::Redact => match &rule.text {
            None => Box::new(Redact(None)),
            Some(text) if field.data_type().is_string() => Box::new(Redact(Some(text.clone()))),
            Some(_) => {
                let data_type = type_name(field.data_type());
                return Err(format!(
                    "{} is {data_type}: leave text out, and it becomes null",
                    field.name()
                ));
            }
        },
        Hiding::Round => {
            let unit = rule.to.as_ref().map(Literal::text).unwrap_or_default();
            Box::new(Round::of(&unit, field)?)
        }
    })
}

#[cfg(test)]
mod tests;
