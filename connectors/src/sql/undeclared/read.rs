//! Values of an undeclared column as those of the target's: by the code that reads JSON values, and
//! without looking at them where the types are the same already.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};

use crate::change::{Logical, has_no_kind, is_loose_text};
use crate::error::{Error, Result};
use crate::format::{fit, is_document, is_word, read_exact};
use crate::sql::catalogue::TargetColumn;
use crate::sql::dialect::Dialect;
use crate::sql::types::arrow_field;

/// One JSON value a row; `None` is null.
type Cells<'a> = Box<dyn Iterator<Item = Option<Cow<'a, [u8]>>> + 'a>;

/// What was read.
pub(super) struct Read {
    pub(super) array: ArrayRef,
    /// The rows with a value that does not fit, which are null; `None` where there are none.
    pub(super) unfit: Option<BooleanBuffer>,
    /// Why it does not fit.
    pub(super) reason: String,
}

/// The type in which a column of the target takes the values; `widens`: its policy lets it grow.
pub(super) fn target_field(
    dialect: &'static Dialect,
    name: &str,
    column: &TargetColumn,
    values: &Field,
    widens: bool,
) -> Field {
    let field = arrow_field(dialect, name, &column.sql_type);
    let fractions =
        Logical::of(values) == Some(Logical::Numeric) || values.data_type().is_floating();
    // SQLite keeps a fraction in a column of integers, which it cannot make wider.
    if !dialect.widens && widens && fractions && field.data_type().is_integer() {
        return Logical::Numeric.field(name);
    }
    field
}

/// Reads the values of `field` as those of `target`, the type of `column`.
///
/// # Errors
/// `Configuration` where Arrow knows no way from the one type to the other.
pub(super) fn read_as(
    dialect: &'static Dialect,
    field: &Field,
    values: &ArrayRef,
    target: &Field,
    column: &TargetColumn,
) -> Result<Read> {
    let found = (Logical::of(field), values.data_type());
    let wanted = (Logical::of(target), target.data_type());
    let done = |array: ArrayRef| {
        Ok(Read {
            array,
            unfit: None,
            reason: String::new(),
        })
    };
    let is_number = values.data_type().is_numeric() || found.0 == Some(Logical::Numeric);
    let reason = |unfit: &Option<BooleanBuffer>| match unfit {
        None => String::new(),
        Some(_) if is_number && is_instant(dialect, target, column) => format!(
            "found a number for {}, whose unit nobody declares: write {} = \"timestamp(ms)\" (or us, ns; time(ms) for a time of day) in [sources.NAME.schema] with the source's other columns",
            column.sql_type,
            field.name()
        ),
        Some(_) => format!(
            "found {}, which {} does not hold exactly",
            name_of(field),
            column.sql_type
        ),
    };
    if is_number && is_instant(dialect, target, column) {
        let array = new_null_array(target.data_type(), values.len());
        let unfit = BooleanBuffer::collect_bool(values.len(), |row| values.is_valid(row));
        let unfit = (unfit.count_set_bits() > 0).then_some(unfit);
        let reason = reason(&unfit);
        return Ok(Read {
            array,
            unfit,
            reason,
        });
    }
    if has_no_kind(field) {
        return done(new_null_array(target.data_type(), values.len()));
    }
    match (found, wanted) {
        (found, wanted) if found == wanted => done(values.clone()),
        // A text keeps a document as its JSON, a number as its digits.
        ((Some(_), DataType::Utf8), (None, DataType::Utf8)) => done(values.clone()),
        ((Some(Logical::Numeric), _), (Some(Logical::Json), _)) => done(values.clone()),
        ((None, DataType::Utf8), (Some(Logical::Json), _)) => done(documents(values)),
        (
            (None, DataType::Boolean | DataType::Int64),
            (None | Some(Logical::Json), DataType::Utf8),
        )
        | ((None, DataType::Int64), (Some(Logical::Numeric), _)) => {
            done(cast(values, &DataType::Utf8).map_err(Error::configuration)?)
        }
        ((None, DataType::Int64), (None, integer)) if integer.is_integer() => {
            let (array, unfit) = fit(values, target)?;
            let reason = reason(&unfit);
            Ok(Read {
                array,
                unfit,
                reason,
            })
        }
        _ => {
            let cells = match is_loose_text(field) && !is_instant(dialect, target, column) {
                true => words(values),
                false => cells(field, values)?,
            };
            let (array, unfit) = read_exact(target, cells)?;
            let reason = reason(&unfit);
            Ok(Read {
                array,
                unfit,
                reason,
            })
        }
    }
}

/// Whether a column holds instants or times, of which a number says no unit. A number of days is a date.
fn is_instant(dialect: &'static Dialect, target: &Field, column: &TargetColumn) -> bool {
    if !dialect.loose_instants.is_empty() {
        let sql_type = column.sql_type.to_ascii_uppercase();
        return dialect.loose_instants.contains(&sql_type.as_str());
    }
    matches!(
        Logical::of(target),
        Some(Logical::TimeTz | Logical::Interval)
    ) || matches!(
        target.data_type(),
        DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_)
    )
}

/// A string that holds a document is that document, as a connector sends a column of JSON; any other is
/// a document of its own.
fn documents(values: &ArrayRef) -> ArrayRef {
    let texts = values.as_string::<i32>();
    let documents = texts.iter().map(|text| {
        let text = text?;
        Some(match is_document(text.as_bytes()) {
            true => Cow::Borrowed(text),
            false => Cow::Owned(serde_json::Value::from(text).to_string()),
        })
    });
    std::sync::Arc::new(documents.collect::<StringArray>())
}

/// Texts as the JSON that they spell: a number, a boolean, else a string.
fn words(values: &ArrayRef) -> Cells<'_> {
    let texts = values.as_string::<i32>().iter();
    Box::new(texts.map(|text| {
        let text = text?;
        Some(match is_word(text.as_bytes()) {
            true => Cow::Borrowed(text.as_bytes()),
            false => Cow::Owned(serde_json::Value::from(text).to_string().into_bytes()),
        })
    }))
}

/// The values as the JSON that they came as.
fn cells<'a>(field: &Field, values: &'a ArrayRef) -> Result<Cells<'a>> {
    let owned = |text: String| Some(Cow::Owned(text.into_bytes()));
    Ok(match (Logical::of(field), values.data_type()) {
        (Some(_), DataType::Utf8) => {
            let texts = values.as_string::<i32>().iter();
            Box::new(texts.map(|text| text.map(|text| Cow::Borrowed(text.as_bytes()))))
        }
        (None, DataType::Utf8) => {
            let texts = values.as_string::<i32>().iter();
            Box::new(texts.map(move |text| owned(serde_json::Value::from(text?).to_string())))
        }
        (_, DataType::Int64) => {
            let numbers = values.as_primitive::<Int64Type>().iter();
            Box::new(numbers.map(move |number| owned(number?.to_string())))
        }
        (_, DataType::Float64) => {
            let numbers = values.as_primitive::<Float64Type>().iter();
            Box::new(numbers.map(move |number| owned(number?.to_string())))
        }
        (_, DataType::Boolean) => {
            let bits = values.as_boolean().iter();
            Box::new(bits.map(move |bit| owned(bit?.to_string())))
        }
        (_, other) => {
            return Err(Error::configuration(format!(
                "column {:?} is {other}, which no JSON value is: this is a defect, please report it",
                field.name()
            )));
        }
    })
}

/// A kind of value, for messages.
fn name_of(field: &Field) -> &'static str {
    match (Logical::of(field), field.data_type()) {
        (Some(Logical::Json), _) => "an object or an array",
        (Some(_), _) | (_, DataType::Float64) => "a number",
        (_, DataType::Boolean) => "true or false",
        (_, DataType::Int64) => "a whole number",
        _ => "a string",
    }
}
