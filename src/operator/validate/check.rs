//! A condition on one column, compiled for the column's type.

use std::cmp::Ordering;
use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Scalar};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp;
use arrow::compute::{cast, or};
use arrow::datatypes::{DataType, Field};
use regex::Regex;
use syncline_connectors::change::{Logical, has_no_kind};

use super::bound::{self, Rounding};
use super::formats::test_of;
use super::length::Bounds;
use super::rule::json_validator;
use super::{Rule, ValueType};
use crate::function::{format, type_name};
use crate::operator::literal::Literal;
use crate::problem::Problem;

/// The condition. A null passes all but `Required`.
pub(super) enum Check {
    /// The value is not null.
    Required,
    /// The text passes this test.
    Text(TextTest),
    /// The value is not less than the first and not greater than the second bound.
    Between(Option<Scalar<ArrayRef>>, Option<Scalar<ArrayRef>>),
    /// The value is one of these.
    OneOf(Vec<Scalar<ArrayRef>>),
    /// The list has this number of elements, or the bytes have this length.
    Length(Bounds),
}

type TextTest = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// A [`Check`] with the texts for a row that breaks it.
pub(super) struct ColumnCondition {
    pub(super) check: Check,
    /// The condition as it is written in the rule.
    pub(super) rule: String,
    /// The reason to report for a row that breaks it.
    pub(super) reason: String,
}

impl Check {
    /// The rows of a column that break the condition.
    pub(super) fn broken(&self, column: &ArrayRef) -> BooleanBuffer {
        let rows = column.len();
        match self {
            Self::Required => match column.nulls() {
                Some(nulls) => !nulls.inner(),
                None => BooleanBuffer::new_unset(rows),
            },
            Self::Text(holds) => {
                let texts = cast(column, &DataType::Utf8).expect("a text column is text");
                let texts = texts.as_string::<i32>();
                BooleanBuffer::collect_bool(rows, |row| {
                    texts.is_valid(row) && !holds(texts.value(row))
                })
            }
            Self::Between(min, max) => {
                let below = min.as_ref().map(|min| true_bits(cmp::lt(column, min)));
                let above = max.as_ref().map(|max| true_bits(cmp::gt(column, max)));
                match (below, above) {
                    (Some(below), Some(above)) => &below | &above,
                    (Some(bits), None) | (None, Some(bits)) => bits,
                    (None, None) => BooleanBuffer::new_unset(rows),
                }
            }
            Self::OneOf(values) => {
                let found = values
                    .iter()
                    .map(|value| cmp::eq(column, value))
                    .reduce(|left, right| or(&left?, &right?))
                    .expect("a list of allowed values is not empty");
                let allowed = true_bits(found);
                BooleanBuffer::collect_bool(rows, |row| column.is_valid(row) && !allowed.value(row))
            }
            Self::Length(bounds) => {
                let length = |row: usize| match column.data_type() {
                    DataType::List(_) => column.as_list::<i32>().value_length(row) as usize,
                    DataType::LargeList(_) => column.as_list::<i64>().value_length(row) as usize,
                    _ => column.as_binary::<i32>().value(row).len(),
                };
                BooleanBuffer::collect_bool(rows, |row| {
                    column.is_valid(row) && !bounds.hold(length(row))
                })
            }
        }
    }
}

fn true_bits(compared: Result<BooleanArray, arrow::error::ArrowError>) -> BooleanBuffer {
    let compared = compared.expect("a bound is of its column's type");
    match compared.nulls() {
        Some(nulls) => compared.values() & nulls.inner(),
        None => compared.values().clone(),
    }
}

/// Compiles all conditions of a rule about a column. The paths of problems start at the rule.
pub(super) fn compile(
    rule: &Rule,
    field: &Field,
    problems: &mut Vec<Problem>,
) -> Vec<ColumnCondition> {
    let name = field.name();
    let mut conditions = Vec::new();
    // A column that is only null passes every condition on values.
    let has_values = !has_no_kind(field);
    let mut add = |setting: &str, made: Result<Option<ColumnCondition>, String>| match made {
        Ok(made) => conditions.extend(made),
        Err(message) => problems.push(Problem::new(&[setting], message)),
    };
    if rule.required {
        add(
            "required",
            Ok(Some(ColumnCondition {
                check: Check::Required,
                rule: "required = true".to_owned(),
                reason: format!("{name} is null"),
            })),
        );
    }
    if !has_values {
        return conditions;
    }
    if let Some(value_type) = rule.r#type {
        add("type", compile_type(value_type, field));
    }
    if let Some(format) = rule.format {
        let test = test_of(format, rule);
        let reason = format!("{name} is not {}", test.noun);
        add("format", text_check(field, test.rule, reason, test.holds));
    }
    if let Some(min) = &rule.min {
        add("min", compile_bound(min, Rounding::Up, field));
    }
    if let Some(max) = &rule.max {
        add("max", compile_bound(max, Rounding::Down, field));
    }
    if let Some(length) = rule.length {
        add("length", compile_length(Bounds::of(length), field));
    }
    if let Some(pattern) = &rule.pattern
        // A wrong pattern is reported by the check of the rule's shape.
        && let Ok(regex) = Regex::new(pattern)
    {
        add("pattern", compile_pattern(regex, field));
    }
    if let Some(values) = &rule.one_of {
        add("one_of", compile_allowed(values, field));
    }
    if let Some(schema) = &rule.json_schema
        && let Ok(validator) = json_validator(schema)
    {
        let reason = format!("{name} does not satisfy its JSON Schema");
        let made = text_check(field, "json_schema".to_owned(), reason, move |text| {
            serde_json::from_str(text).is_ok_and(|document| validator.is_valid(&document))
        });
        add("json_schema", made);
    }
    conditions
}

fn is_text(field: &Field) -> bool {
    matches!(
        field.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// The name of a column's type, for a message.
fn type_words(field: &Field) -> String {
    match Logical::of(field) {
        Some(Logical::Json) => "json".to_owned(),
        Some(Logical::Uuid) => "uuid".to_owned(),
        Some(Logical::Numeric) => "numeric".to_owned(),
        Some(Logical::Bits(length)) => format!("bits({length})"),
        Some(Logical::TimeTz) => "time with time zone".to_owned(),
        Some(Logical::Interval) => "interval".to_owned(),
        Some(Logical::Xml) => "xml".to_owned(),
        None => type_name(field.data_type()),
    }
}

fn text_check(
    field: &Field,
    rule: String,
    reason: String,
    holds: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Result<Option<ColumnCondition>, String> {
    if !is_text(field) {
        return Err(format!(
            "{} is {}, but this check needs a text",
            field.name(),
            type_words(field)
        ));
    }
    Ok(Some(ColumnCondition {
        check: Check::Text(Box::new(holds)),
        rule,
        reason,
    }))
}

/// A column that has the type already needs no check; a text is checked value by value.
fn compile_type(wanted: ValueType, field: &Field) -> Result<Option<ColumnCondition>, String> {
    let data_type = field.data_type();
    let logical = Logical::of(field);
    let is_decimal = data_type.is_decimal();
    let is_whole_decimal = matches!(
        data_type,
        DataType::Decimal128(_, 0) | DataType::Decimal256(_, 0)
    );
    let (name, has_it, holds): (&str, bool, fn(&str) -> bool) = match wanted {
        ValueType::String => ("string", is_text(field) && logical.is_none(), |_| true),
        ValueType::Integer => (
            "integer",
            data_type.is_integer() || is_whole_decimal,
            bound::is_whole,
        ),
        ValueType::Number => (
            "number",
            data_type.is_numeric() || is_decimal,
            bound::is_number,
        ),
        ValueType::Boolean => ("boolean", *data_type == DataType::Boolean, |text| {
            matches!(text, "true" | "false")
        }),
        ValueType::Date => (
            "date",
            matches!(data_type, DataType::Date32 | DataType::Date64),
            format::is_date,
        ),
        ValueType::Time => (
            "time",
            matches!(data_type, DataType::Time32(_) | DataType::Time64(_)),
            format::is_time,
        ),
        ValueType::Timestamp => (
            "timestamp",
            matches!(data_type, DataType::Timestamp(..)),
            format::is_timestamp,
        ),
        ValueType::Uuid => ("uuid", logical == Some(Logical::Uuid), format::is_uuid),
        ValueType::Json => ("json", logical == Some(Logical::Json), format::is_json),
    };
    if has_it {
        return Ok(None);
    }
    if !is_text(field) {
        return Err(format!(
            "{} is {}, never {name}",
            field.name(),
            type_words(field)
        ));
    }
    let reason = format!("{} is not the text of a value of type {name}", field.name());
    text_check(field, format!("type = \"{name}\""), reason, holds)
}

fn compile_bound(
    literal: &Literal,
    rounding: Rounding,
    field: &Field,
) -> Result<Option<ColumnCondition>, String> {
    let (setting, words) = match rounding {
        Rounding::Up => ("min", "less"),
        Rounding::Down | Rounding::Refuse => ("max", "greater"),
    };
    let text = literal.text();
    let rule = format!("{setting} = {text}");
    let reason = format!("{} is {words} than {text}", field.name());
    if Logical::of(field) == Some(Logical::Numeric) {
        exact_text(literal)?;
        if bound::compare(&text, "0").is_none() {
            return Err(format!("{text} is not a number"));
        }
        let refused = match rounding {
            Rounding::Up => Ordering::Less,
            Rounding::Down | Rounding::Refuse => Ordering::Greater,
        };
        return text_check(field, rule, reason, move |value| {
            bound::compare(value, &text).is_some_and(|ordering| ordering != refused)
        });
    }
    let data_type = field.data_type();
    let is_instant = matches!(
        data_type,
        DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
    );
    if !data_type.is_numeric() && !is_instant {
        return Err(format!(
            "{} is {}, which has no order; {setting} needs a number, a date or a time",
            field.name(),
            type_words(field)
        ));
    }
    let value = Scalar::new(column_value(literal, field, rounding)?);
    let check = match rounding {
        Rounding::Up => Check::Between(Some(value), None),
        Rounding::Down | Rounding::Refuse => Check::Between(None, Some(value)),
    };
    Ok(Some(ColumnCondition {
        check,
        rule,
        reason,
    }))
}

fn column_value(literal: &Literal, field: &Field, rounding: Rounding) -> Result<ArrayRef, String> {
    if !field.data_type().is_floating() {
        exact_text(literal)?;
    }
    bound::value(&literal.text(), field.data_type(), rounding)
}

fn exact_text(literal: &Literal) -> Result<(), String> {
    if literal.exact() {
        return Ok(());
    }
    Err("a number with more than fifteen digits is not exact: write it in quotes".to_owned())
}

fn compile_length(bounds: Bounds, field: &Field) -> Result<Option<ColumnCondition>, String> {
    let words = bounds.words();
    let rule = format!("length = {words}");
    let reason = |unit: &str| format!("{} does not have {words} {unit}", field.name());
    match field.data_type() {
        DataType::List(_) | DataType::LargeList(_) => Ok(Some(ColumnCondition {
            check: Check::Length(bounds),
            rule,
            reason: reason("elements"),
        })),
        DataType::Binary => Ok(Some(ColumnCondition {
            check: Check::Length(bounds),
            rule,
            reason: reason("bytes"),
        })),
        _ if is_text(field) => text_check(field, rule, reason("characters"), move |text| {
            bounds.hold(text.chars().count())
        }),
        _ => Err(format!(
            "{} is {}, which has no length",
            field.name(),
            type_words(field)
        )),
    }
}

fn compile_pattern(regex: Regex, field: &Field) -> Result<Option<ColumnCondition>, String> {
    let rule = format!("pattern = '{regex}'");
    let reason = format!("{} does not match {regex}", field.name());
    text_check(field, rule, reason, move |text| regex.is_match(text))
}

fn compile_allowed(values: &[Literal], field: &Field) -> Result<Option<ColumnCondition>, String> {
    let texts: Vec<String> = values.iter().map(Literal::text).collect();
    let rule = format!("one_of = [{}]", texts.join(", "));
    let reason = format!("{} is not one of {}", field.name(), texts.join(", "));
    if Logical::of(field) == Some(Logical::Numeric) {
        return text_check(field, rule, reason, move |value| {
            texts
                .iter()
                .any(|text| bound::compare(value, text) == Some(Ordering::Equal))
        });
    }
    if is_text(field) {
        let allowed: HashSet<String> = texts.into_iter().collect();
        return text_check(field, rule, reason, move |value| allowed.contains(value));
    }
    let values = values
        .iter()
        .map(|literal| column_value(literal, field, Rounding::Refuse).map(Scalar::new))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((!values.is_empty()).then_some(ColumnCondition {
        check: Check::OneOf(values),
        rule,
        reason,
    }))
}
