//! `normalize`: values as people write them become values of one form, column by column.
//!
//! - The steps of a rule have a fixed order: `unicode`, `space`, `null_like` and `null_if`, `case`, `to`.
//!   Rules of one column apply in the order of the file.
//! - A value that cannot be brought into its form costs its own row, with the column, the rule and the reason
//!   and never the value; with `on_failure = "null"` it becomes null.
//! - A null stays null, a value that is not sent stays so (R14, R19), a truncate passes.
//! - A delete, and the row before of a change, are normalised as rows are, so that keys and comparisons
//!   agree. A delete is refused for a value of its key only; any other value of it that has no form is not
//!   sent from there on. A row before with such a value is not known from there on.
//! - Normalising twice gives the same as once.

mod form;
mod kernel;

use arrow::datatypes::{Field, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::form::{AmbiguousTime, Case, Form, OnNoForm, Space, UnicodeForm};
use self::kernel::{Typed, Words};
use super::in_place::{ColumnRule, Kernel, Step, check, compile};
use super::{Compiled, Context, Settings};
use crate::function::normal::{Ambiguous, DateFormats, Notation, Region, Zone};
use crate::problem::Problem;

/// Brings values into one form: white space, case, Unicode, texts that stand for nothing, e-mail addresses,
/// phone numbers, countries, currencies, dates, decimals.
///
/// ```toml
/// [operators.clean]
/// type   = "normalize"
/// inputs = ["crm"]
/// rules = [
///   { fields = ["first_name", "last_name"], unicode = "nfc", space = "collapse", case = "title" },
///   { field = "email",   null_like = true, to = "email" },
///   { field = "phone",   null_like = true, to = "phone", region = "DE", on_failure = "null" },
///   { field = "country", to = "country" },
///   { field = "born",    to = "date", formats = ["%d.%m.%Y", "iso"] },
///   { field = "signed",  to = "timestamp", formats = ["%d.%m.%Y %H:%M"], zone = "Europe/Berlin" },
///   { field = "fee",     to = "decimal", precision = 12, scale = 2, point = ",", group = "." },
/// ]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalizeConfig {
    /// The names of the sources or operators whose changes are normalised.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// What happens to a row with a value that has no such form, if the rule has no `on_failure` of its own.
    #[serde(default)]
    pub on_failure: OnNoForm,
    /// The rules, applied in the order of the file.
    pub rules: Vec<FormRule>,
}

/// One rule: columns, and the form that their values get.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FormRule {
    /// The column.
    pub field: Option<String>,
    /// The columns, instead of `field`.
    pub fields: Vec<String>,
    /// The Unicode normal form: `nfc` makes equal-looking texts equal, `nfkc` also full-width letters and
    /// ligatures.
    pub unicode: Option<UnicodeForm>,
    /// What happens to white space: `trim` removes it at both ends, `collapse` also leaves one space of each
    /// inner run.
    pub space: Option<Space>,
    /// Whether texts that stand for nothing become null: empty, `n/a`, `null`, `none`, `nil`, `-`, in any case.
    pub null_like: bool,
    /// Texts that become null, compared after the steps before.
    pub null_if: Vec<String>,
    /// The case of the letters.
    pub case: Option<Case>,
    /// What the text is; it becomes its normal form, or a value of that type.
    pub to: Option<Form>,
    /// For `phone`: the two letters of the country of numbers without `+`.
    pub region: Option<String>,
    /// For `date` and `timestamp`: the formats that a text may have, `iso`, `epoch_s`, `epoch_ms`, `epoch_us`
    /// or fields such as `%d.%m.%Y`; the first that fits counts. Default: `iso`.
    pub formats: Vec<String>,
    /// For `timestamp`: the time zone of texts that name none. Default: `UTC`.
    pub zone: Option<String>,
    /// For `timestamp`: which instant a local time is that is there twice, as the clock is put back. Default:
    /// it is refused.
    pub ambiguous: Option<AmbiguousTime>,
    /// For `decimal`: the number of digits. Default: 38.
    #[schemars(range(min = 1, max = 38))]
    pub precision: Option<u8>,
    /// For `decimal`: the number of digits after the point. Default: 0.
    #[schemars(range(min = 0, max = 38))]
    pub scale: Option<u8>,
    /// For `decimal`: what stands before the fraction. Default: `.`.
    pub point: Option<char>,
    /// For `decimal`: what may stand between groups of digits; a space stands for every kind of space.
    pub group: Option<char>,
    /// What happens to a row with a value that has no such form.
    pub on_failure: Option<OnNoForm>,
}

impl FormRule {
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

    /// Whether it does anything to texts before `to`.
    fn has_words(&self) -> bool {
        self.unicode.is_some()
            || self.space.is_some()
            || self.null_like
            || !self.null_if.is_empty()
            || self.case.is_some()
    }

    /// The rule as it is written, for a row that it refuses.
    fn text(&self) -> String {
        let form = self.to.map(Form::name).unwrap_or_default();
        let region = self.region.as_ref();
        let region = region.map_or(String::new(), |region| format!(", region = \"{region}\""));
        let formats = match self.formats.is_empty() {
            true => String::new(),
            false => format!(", formats = {:?}", self.formats),
        };
        format!("to = \"{form}\"{region}{formats}")
    }
}

impl Settings for NormalizeConfig {
    fn compile(&self, name: &str, schema: &SchemaRef, _: &Context) -> Compiled {
        compile(
            name,
            schema,
            &self.rules,
            no_rules(),
            |rule, column, field| {
                let or_null = rule.on_failure.unwrap_or(self.on_failure) == OnNoForm::Null;
                let steps = kernels(rule, field)?.into_iter().map(|kernel| Step {
                    column,
                    kernel,
                    rule: rule.text(),
                    or_null,
                    keeps_keys_apart: true,
                });
                Ok(steps.collect())
            },
        )
    }

    fn check(&self) -> Vec<Problem> {
        check(&self.rules, no_rules())
    }

    fn computed_columns(&self) -> Vec<String> {
        let columns = self.rules.iter().flat_map(FormRule::columns);
        columns.map(|(_, name)| name.to_owned()).collect()
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        let mut required = wanted?.to_vec();
        required.extend(self.computed_columns());
        Some(required)
    }

    /// A normal form depends on nothing but its value.
    fn column_behind(&self, output: &str) -> Option<String> {
        Some(output.to_owned())
    }
}

fn no_rules() -> Problem {
    Problem::new(&["rules"], "there are no rules")
        .help("add one, as in { field = \"email\", to = \"email\" }")
}

impl ColumnRule for FormRule {
    fn columns(&self) -> Vec<(Vec<String>, &str)> {
        self.columns()
    }

    fn check_shape(&self) -> Vec<Problem> {
        check_shape(self)
    }
}

fn check_shape(rule: &FormRule) -> Vec<Problem> {
    let mut problems = Vec::new();
    if rule.field.is_some() != rule.fields.is_empty() {
        let message = "a rule needs either field or fields";
        problems.push(
            Problem::new(&[], message).help("name one column in field, or several in fields"),
        );
    }
    if !rule.has_words() && rule.to.is_none() {
        problems.push(
            Problem::new(&[], "the rule changes nothing")
                .help("give it unicode, space, null_like, null_if, case or to"),
        );
    }
    let dates = [Form::Date, Form::Timestamp];
    let options: [(&str, bool, &[Form]); 8] = [
        ("region", rule.region.is_some(), &[Form::Phone]),
        ("formats", !rule.formats.is_empty(), &dates),
        ("zone", rule.zone.is_some(), &[Form::Timestamp]),
        ("ambiguous", rule.ambiguous.is_some(), &[Form::Timestamp]),
        ("precision", rule.precision.is_some(), &[Form::Decimal]),
        ("scale", rule.scale.is_some(), &[Form::Decimal]),
        ("point", rule.point.is_some(), &[Form::Decimal]),
        ("group", rule.group.is_some(), &[Form::Decimal]),
    ];
    for (option, is_used, forms) in options {
        if is_used && !rule.to.is_some_and(|form| forms.contains(&form)) {
            let names: Vec<&str> = forms.iter().map(|form| form.name()).collect();
            let message = format!("{option} belongs to to = \"{}\"", names.join("\" or \""));
            problems.push(Problem::new(&[option], message));
        }
    }
    if let Some(region) = &rule.region
        && Region::of(region).is_none()
    {
        let message = format!("no country {region} with phone numbers");
        problems.push(Problem::new(&["region"], message).help("write its two letters, such as DE"));
    }
    if let Err((index, message)) = DateFormats::of(rule.formats.iter().map(String::as_str)) {
        problems.push(Problem::new(&["formats", &index.to_string()], message));
    }
    if let Some(zone) = &rule.zone
        && zone.parse::<Zone>().is_err()
    {
        let message = format!("no time zone {zone}");
        problems
            .push(Problem::new(&["zone"], message).help("write its name, such as Europe/Berlin"));
    }
    if rule.scale.unwrap_or(0) > rule.precision.unwrap_or(38) {
        problems.push(Problem::new(&["scale"], "scale is greater than precision"));
    }
    if rule.point.unwrap_or('.') == rule.group.unwrap_or('\0') {
        problems.push(Problem::new(
            &["group"],
            "the point and the group are the same",
        ));
    }
    problems
}

/// What a rule does to a column, in order.
fn kernels(rule: &FormRule, field: &Field) -> Result<Vec<Box<dyn Kernel>>, String> {
    let mut kernels: Vec<Box<dyn Kernel>> = Vec::new();
    // What is not text needs no tidying before it is read as a number or a time.
    let reads_text = !matches!(rule.to, Some(Form::Decimal | Form::Date | Form::Timestamp));
    if rule.has_words() && (reads_text || kernel::is_text(field)) {
        kernels.push(Box::new(Words::of(rule, field)?));
    }
    if let Some(form) = rule.to {
        kernels.extend(to_kernel(rule, form, field)?);
    }
    Ok(kernels)
}

/// The kernel of `to`; `None` for a column that has the type already.
fn to_kernel(
    rule: &FormRule,
    form: Form,
    field: &Field,
) -> Result<Option<Box<dyn Kernel>>, String> {
    let formats = DateFormats::of(rule.formats.iter().map(String::as_str));
    let formats = formats.map_err(|(_, message)| message);
    let kernel = match form {
        Form::Date => Typed::Date(formats?),
        Form::Timestamp => Typed::Timestamp {
            formats: formats?,
            zone: match &rule.zone {
                Some(zone) => zone.parse().map_err(|_| format!("no time zone {zone}"))?,
                None => Zone::UTC,
            },
            ambiguous: match rule.ambiguous {
                None => Ambiguous::Refuse,
                Some(AmbiguousTime::Earlier) => Ambiguous::Earlier,
                Some(AmbiguousTime::Later) => Ambiguous::Later,
            },
        },
        Form::Decimal => Typed::Decimal {
            notation: Notation {
                point: rule.point.unwrap_or('.'),
                group: rule.group,
            },
            precision: rule.precision.unwrap_or(38),
            scale: rule.scale.unwrap_or(0) as i8,
        },
        form => return Ok(Some(Box::new(Words::to(rule, form, field)?))),
    };
    kernel.of(field)
}

#[cfg(test)]
mod tests;
