//! Keys that are one key for the target (R22).
//!
//! A batch is folded by its keys, so it has to know which of them the target takes for one: `a` and `A` in
//! a `citext` or under a collation that ignores case, `a` and `a ` where blanks at the end are padding,
//! `1.0` and `1.00` in a numeric column, `-0` and `0` in a float. Before the fold the keys are brought into
//! a **normal form**: two keys have the same one where they are one key for the target, and the target takes
//! the normal form for the key itself. What is known of a collation is done here; for the rest the database
//! is asked, once a batch. A key column of which neither is possible is refused, with the remedy.
//!
//! - duplicate: changes of one key fold whatever their spelling. The row keeps the spelling with which it
//!   was made, as it does where the changes come one at a time: [`Spelling`].
//! - null: has no normal form; a row without a key is rejected later (R2)
//! - delete: after it a row is made anew, in the spelling of the change that makes it

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use crate::conflict::Number;
use crate::error::{Error, Result};

/// How the target tells the values of a key column apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Equality {
    /// As the changes do.
    Values,
    /// As floats: `-0` is `0`, and `NaN` is itself.
    Floats,
    /// As UUIDs, which are written in several ways.
    Uuids,
    /// As texts of which something does not count.
    Texts(Texts),
    /// Only the target knows.
    Asked,
}

/// What does not count in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Texts {
    /// The case of ASCII letters.
    pub(crate) case: bool,
    /// Blanks at the end.
    pub(crate) padding: bool,
    /// How a number is written, where the text is one.
    pub(crate) numbers: bool,
    /// This holds for printable ASCII; of any other text only the target knows.
    pub(crate) ascii_only: bool,
}

/// How the target tells the values of a key column apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyColumn {
    /// The column's place among those of the changes.
    pub(crate) index: usize,
    pub(crate) equality: Equality,
    /// Whether the target is given texts.
    pub(crate) is_text: bool,
}

/// The normal form of a column.
#[derive(Debug)]
pub(super) enum Normal {
    /// The column as it is.
    Same,
    /// Another one of the same type.
    Column(ArrayRef),
    /// That of these texts, each once, is to be asked for.
    Ask(Vec<String>),
}

impl Equality {
    /// For a column of floats, or any other whose values the target tells apart as they are.
    pub(crate) fn of_values(data_type: &DataType) -> Self {
        match data_type {
            DataType::Float32 | DataType::Float64 => Self::Floats,
            _ => Self::Values,
        }
    }

    /// The normal form of a text, where it is known here.
    pub(crate) fn text(self, text: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Values | Self::Floats => Some(Cow::Borrowed(text)),
            Self::Uuids => Some(uuid(text)),
            Self::Texts(texts) => texts.normal(text),
            Self::Asked => None,
        }
    }

    /// The normal form of a column.
    ///
    /// # Errors
    /// Where Arrow cannot bring the column into its own type.
    pub(super) fn normal(self, column: &ArrayRef) -> Result<Normal> {
        match self {
            Self::Values => return Ok(Normal::Same),
            Self::Floats => return Ok(floats(column)),
            Self::Uuids | Self::Texts(_) | Self::Asked => {}
        }
        let Some(texts) = texts(column)? else {
            return Ok(Normal::Same);
        };
        let mut same = true;
        let mut known = Some(Vec::with_capacity(texts.len()));
        for text in &texts {
            let Some(text) = text else {
                known.iter_mut().for_each(|known| known.push(None));
                continue;
            };
            match (self.text(text), &mut known) {
                (Some(normal), Some(known)) => {
                    same &= normal == text;
                    known.push(Some(normal));
                }
                _ => {
                    known = None;
                    break;
                }
            }
        }
        match known {
            Some(_) if same => Ok(Normal::Same),
            Some(known) => {
                let normal: StringArray = known.iter().map(Option::as_deref).collect();
                back(&normal, column).map(Normal::Column)
            }
            None => {
                let mut seen = HashSet::new();
                let distinct = texts.iter().flatten().filter(|text| seen.insert(*text));
                Ok(Normal::Ask(distinct.map(str::to_owned).collect()))
            }
        }
    }
}

/// The column with the answers for the texts that were asked for.
///
/// # Errors
/// As [`Equality::normal`].
pub(super) fn answered(
    column: &ArrayRef,
    asked: &[String],
    answers: &[String],
) -> Result<ArrayRef> {
    let answers: HashMap<&str, &str> = asked
        .iter()
        .map(String::as_str)
        .zip(answers.iter().map(String::as_str))
        .collect();
    let Some(texts) = texts(column)? else {
        return Ok(column.clone());
    };
    let normal: StringArray = texts
        .iter()
        .map(|text| text.map(|text| answers.get(text).copied().unwrap_or(text)))
        .collect();
    back(&normal, column)
}

fn texts(column: &ArrayRef) -> Result<Option<StringArray>> {
    match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(column, &DataType::Utf8).map_err(Error::configuration)?;
            Ok(Some(texts.as_string::<i32>().clone()))
        }
        _ => Ok(None),
    }
}

fn back(texts: &StringArray, column: &ArrayRef) -> Result<ArrayRef> {
    cast(texts, column.data_type()).map_err(Error::configuration)
}

fn floats(column: &ArrayRef) -> Normal {
    match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            let odd = |value: &f64| value.is_nan() || (*value == 0.0 && value.is_sign_negative());
            if !values.values().iter().any(odd) {
                return Normal::Same;
            }
            let normal = |value: f64| {
                if value.is_nan() {
                    f64::NAN
                } else {
                    value + 0.0
                }
            };
            let normal: Float64Array = values.unary(normal);
            Normal::Column(Arc::new(normal))
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            let odd = |value: &f32| value.is_nan() || (*value == 0.0 && value.is_sign_negative());
            if !values.values().iter().any(odd) {
                return Normal::Same;
            }
            let normal = |value: f32| {
                if value.is_nan() {
                    f32::NAN
                } else {
                    value + 0.0
                }
            };
            let normal: Float32Array = values.unary(normal);
            Normal::Column(Arc::new(normal))
        }
        _ => Normal::Same,
    }
}

impl Texts {
    pub(super) fn normal(self, text: &str) -> Option<Cow<'_, str>> {
        let plain = |byte: u8| matches!(byte, b' '..=b'~');
        if self.ascii_only && !text.bytes().all(plain) {
            return None;
        }
        if self.numbers
            && let Some(number @ Number::Finite { .. }) =
                Number::parse(text.trim_matches(|letter: char| letter.is_ascii_whitespace()))
        {
            return Some(Cow::Owned(number.to_string()));
        }
        let text = if self.padding {
            text.trim_end_matches(' ')
        } else {
            text
        };
        Some(
            if self.case && text.bytes().any(|byte| byte.is_ascii_lowercase()) {
                Cow::Owned(text.to_ascii_uppercase())
            } else {
                Cow::Borrowed(text)
            },
        )
    }
}

/// Lower case with its four hyphens; a text that is no UUID stays, and is refused by the target.
fn uuid(text: &str) -> Cow<'_, str> {
    let inside = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .unwrap_or(text);
    let digits: String = inside.chars().filter(|letter| *letter != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Cow::Borrowed(text);
    }
    let digits = digits.to_ascii_lowercase();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    let normal = parts.join("-");
    if normal == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(normal)
    }
}

/// A key column whose equality is not known.
pub(crate) fn unknown(target: &str, column: &str, what: &str, remedy: &str) -> Error {
    Error::configuration(format!(
        "key column {column:?} of table {target:?} {what}, by which Syncline cannot tell which keys are one: {remedy}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(equality: Equality, text: &str, expect: Option<&str>) {
        assert_eq!(equality.text(text).as_deref(), expect, "{text:?}");
    }

    #[test]
    fn a_text_has_one_normal_form_for_all_that_the_target_takes_for_it_r22() {
        let ci = Equality::Texts(Texts {
            case: true,
            padding: true,
            ascii_only: true,
            ..Texts::default()
        });
        check(ci, "a  ", Some("A"));
        check(ci, "A", Some("A"));
        check(ci, " a", Some(" A"));
        check(ci, "é", None);
        check(ci, "a\t", None);
        let padded = Equality::Texts(Texts {
            padding: true,
            ..Texts::default()
        });
        check(padded, "é  ", Some("é"));
        check(padded, "A", Some("A"));
        let numbers = Equality::Texts(Texts {
            numbers: true,
            ..Texts::default()
        });
        check(numbers, "1.00", Some("1"));
        check(numbers, " 1e0 ", Some("1"));
        check(numbers, "-0", Some("0"));
        check(numbers, "abc", Some("abc"));
        check(numbers, "nan", Some("nan"));
        let id = "6f1e4a52-7b0e-4d6b-9d2c-0a1b2c3d4e5f";
        check(Equality::Uuids, id, Some(id));
        check(Equality::Uuids, &id.to_uppercase(), Some(id));
        check(
            Equality::Uuids,
            &format!("{{{}}}", id.replace('-', "")),
            Some(id),
        );
        check(Equality::Uuids, "no", Some("no"));
        check(Equality::Asked, "a", None);
    }

    #[test]
    fn floats_that_are_equal_have_the_same_bits() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, 1.5, -f64::NAN]));
        let Normal::Column(normal) = Equality::Floats.normal(&column).unwrap() else {
            panic!("a negative zero has another form");
        };
        let normal = normal.as_primitive::<Float64Type>();
        let bits: Vec<u64> = normal
            .values()
            .iter()
            .map(|value| value.to_bits())
            .collect();
        assert_eq!(bits, [0.0, 1.5, f64::NAN].map(f64::to_bits));
    }
}
