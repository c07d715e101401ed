//! The kernels of `normalize`: texts to texts, and texts to dates, timestamps and decimals.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};

use super::{Case, Form, FormRule, Space, UnicodeForm};
use crate::function::normal::{self, Ambiguous, DateFormats, Normal, Notation, Region, Zone};
use crate::function::{Failure, type_name};
use crate::operator::in_place::Kernel;

pub(super) fn is_text(field: &Field) -> bool {
    field.data_type().is_string()
}

/// One step of a text.
enum Word {
    /// A text to a text that always has one.
    Total(fn(&str) -> Cow<'_, str>),
    /// Null where the text stands for nothing.
    NullLike,
    /// Null where the text is one of these.
    NullIf(Vec<String>),
    /// A text to its form.
    Form(fn(&str) -> Normal<'_>),
    /// A phone number.
    Phone(Option<Region>),
}

/// Texts to texts, all steps in one pass.
pub(super) struct Words(Vec<Word>);

impl Words {
    /// The steps of a rule before `to`.
    pub(super) fn of(rule: &FormRule, field: &Field) -> Result<Self, String> {
        needs_text(field)?;
        let mut words = Vec::new();
        let mut total = |function| words.push(Word::Total(function));
        match rule.unicode {
            Some(UnicodeForm::Nfc) => total(normal::nfc),
            Some(UnicodeForm::Nfkc) => total(normal::nfkc),
            None => {}
        }
        match rule.space {
            Some(Space::Trim) => total(normal::trim),
            Some(Space::Collapse) => total(normal::collapse),
            None => {}
        }
        if rule.null_like {
            words.push(Word::NullLike);
        }
        if !rule.null_if.is_empty() {
            words.push(Word::NullIf(rule.null_if.clone()));
        }
        match rule.case {
            Some(Case::Upper) => words.push(Word::Total(normal::upper)),
            Some(Case::Lower) => words.push(Word::Total(normal::lower)),
            Some(Case::Title) => words.push(Word::Total(normal::title)),
            None => {}
        }
        Ok(Self(words))
    }

    /// `to` of a form that is a text.
    pub(super) fn to(rule: &FormRule, form: Form, field: &Field) -> Result<Self, String> {
        needs_text(field)?;
        let word = match form {
            Form::Email => Word::Form(normal::email),
            Form::Url => Word::Form(normal::url),
            Form::Country => Word::Form(normal::country),
            Form::Currency => Word::Form(normal::currency),
            Form::Language => Word::Form(normal::language),
            Form::Iban => Word::Form(normal::iban),
            Form::Phone => Word::Phone(rule.region.as_deref().and_then(Region::of)),
            Form::Date | Form::Timestamp | Form::Decimal => {
                return Err(format!("{} is no text", form.name()));
            }
        };
        Ok(Self(vec![word]))
    }

    fn value<'t>(&self, text: &'t str) -> Result<Option<Cow<'t, str>>, &'static str> {
        let mut value = Cow::Borrowed(text);
        for word in &self.0 {
            value = match word {
                Word::Total(function) => then(value, |text| Ok(function(text)))?,
                Word::Form(function) => then(value, *function)?,
                Word::Phone(region) => then(value, |text| normal::phone(text, *region))?,
                Word::NullLike if normal::is_null_like(&value) => return Ok(None),
                Word::NullIf(texts) if texts.iter().any(|text| *text == *value) => return Ok(None),
                Word::NullLike | Word::NullIf(_) => value,
            };
        }
        Ok(Some(value))
    }
}

/// Applies a function to a text that may be borrowed; what it leaves as it is stays borrowed.
fn then<'t>(value: Cow<'t, str>, function: impl for<'a> Fn(&'a str) -> Normal<'a>) -> Normal<'t> {
    match value {
        Cow::Borrowed(text) => function(text),
        Cow::Owned(text) => Ok(Cow::Owned(function(&text)?.into_owned())),
    }
}

fn needs_text(field: &Field) -> Result<(), String> {
    match is_text(field) {
        true => Ok(()),
        false => Err(format!(
            "{} is {}, and only a text has this form",
            field.name(),
            type_name(field.data_type())
        )),
    }
}

impl Kernel for Words {
    fn field(&self, field: &Field) -> Field {
        let field = field.clone().with_nullable(true);
        match field.data_type() {
            DataType::Utf8 => field,
            _ => field.with_data_type(DataType::Utf8),
        }
    }

    fn apply(&self, values: &ArrayRef) -> (ArrayRef, Vec<Failure>) {
        let values = cast(values, &DataType::Utf8).expect("a text column is text");
        let texts = values.as_string::<i32>();
        let mut failures = Vec::new();
        // Begins at the first value that changes: a batch of normal values is passed on as it is.
        let mut changed: Option<StringBuilder> = None;
        for row in 0..texts.len() {
            if texts.is_null(row) {
                if let Some(builder) = &mut changed {
                    builder.append_null();
                }
                continue;
            }
            let text = texts.value(row);
            let value = self.value(text).unwrap_or_else(|reason| {
                failures.push(Failure { row, reason });
                None
            });
            match (&mut changed, value) {
                (Some(builder), value) => builder.append_option(value),
                (None, Some(value)) if *value == *text => {}
                (None, value) => {
                    let builder = changed.insert(copied(texts, row));
                    builder.append_option(value);
                }
            }
        }
        match changed {
            Some(mut builder) => (Arc::new(builder.finish()), failures),
            None => (values, failures),
        }
    }
}

/// A builder with the first values of a column.
fn copied(texts: &StringArray, rows: usize) -> StringBuilder {
    let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for row in 0..rows {
        match texts.is_valid(row) {
            true => builder.append_value(texts.value(row)),
            false => builder.append_null(),
        }
    }
    builder
}

/// Texts to values of another type.
pub(super) enum Typed {
    Date(DateFormats),
    Timestamp {
        formats: DateFormats,
        zone: Zone,
        ambiguous: Ambiguous,
    },
    Decimal {
        notation: Notation,
        precision: u8,
        scale: i8,
    },
}

impl Typed {
    /// For this column; `None` where it has the type already.
    pub(super) fn of(self, field: &Field) -> Result<Option<Box<dyn Kernel>>, String> {
        let data_type = field.data_type();
        let has_it = match self {
            Self::Date(_) => *data_type == DataType::Date32,
            Self::Timestamp { .. } => matches!(data_type, DataType::Timestamp(_, Some(_))),
            Self::Decimal { .. } => *data_type == self.data_type(),
        };
        if has_it {
            return Ok(None);
        }
        let by_text = match self {
            Self::Date(_) | Self::Timestamp { .. } => data_type.is_integer(),
            Self::Decimal { .. } => data_type.is_integer() || data_type.is_decimal(),
        };
        if !is_text(field) && !by_text {
            return Err(format!(
                "{} is {}, and only a text can be read as {}",
                field.name(),
                type_name(data_type),
                type_name(&self.data_type())
            ));
        }
        Ok(Some(Box::new(self)))
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Date(_) => DataType::Date32,
            Self::Timestamp { .. } => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            Self::Decimal {
                precision, scale, ..
            } => DataType::Decimal128(*precision, *scale),
        }
    }
}

impl Kernel for Typed {
    fn field(&self, field: &Field) -> Field {
        Field::new(field.name(), self.data_type(), true)
    }

    fn apply(&self, values: &ArrayRef) -> (ArrayRef, Vec<Failure>) {
        let texts = cast(values, &DataType::Utf8).expect("texts and numbers are texts");
        let texts = texts.as_string::<i32>();
        let mut failures = Vec::new();
        let array: ArrayRef = match self {
            Self::Date(formats) => {
                let epoch = chrono::NaiveDate::default();
                let days = read(texts, &mut failures, |text| {
                    let date = formats.date(text)?;
                    Ok(date.signed_duration_since(epoch).num_days() as i32)
                });
                Arc::new(Date32Array::from(days))
            }
            Self::Timestamp {
                formats,
                zone,
                ambiguous,
            } => {
                let micros = read(texts, &mut failures, |text| {
                    Ok(formats
                        .timestamp(text, *zone, *ambiguous)?
                        .timestamp_micros())
                });
                Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
            }
            Self::Decimal {
                notation,
                precision,
                scale,
            } => {
                let unscaled = read(texts, &mut failures, |text| {
                    normal::scaled(&normal::decimal(text, notation)?, *precision, *scale)
                });
                let decimals = Decimal128Array::from(unscaled);
                let decimals = decimals.with_precision_and_scale(*precision, *scale);
                Arc::new(decimals.expect("precision and scale were checked"))
            }
        };
        (array, failures)
    }
}

/// The value of each text; null where there is none.
fn read<T>(
    texts: &StringArray,
    failures: &mut Vec<Failure>,
    value: impl Fn(&str) -> Result<T, &'static str>,
) -> Vec<Option<T>> {
    let values = texts.iter().enumerate().map(|(row, text)| {
        let read = value(text?);
        read.map_err(|reason| failures.push(Failure { row, reason }))
            .ok()
    });
    values.collect()
}
