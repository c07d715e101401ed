//! The columns that rows are found by, and their values as text and as SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::change::Logical;
use crate::error::{Error, Result};
use crate::format::fit;
use crate::sql::catalogue::TargetColumn;
use crate::sql::source::ReadRows;
use crate::sql::source::rows::{number_literal, text_literal};

/// Types whose columns are compared with a text as they are; others are cast, so that a text which is none
/// of their values, such as an unknown label of an enum, is no error.
const TEXTS: [&str; 8] = [
    "text",
    "varchar",
    "character",
    "char",
    "tinytext",
    "mediumtext",
    "longtext",
    "bpchar",
];

/// A column that rows are found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// The column as the database has it.
    pub field: Field,
    /// The SQL that is compared with literals.
    expression: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Uuid,
}

/// How a column is compared.
pub(super) type KeyText<'a> = (&'a str, fn(&str) -> Option<String>);

impl KeyColumn {
    /// Refuses a type whose values a text does not say exactly.
    pub(super) fn new<C: ReadRows>(
        column: &TargetColumn,
        field: Field,
        quoted: &str,
    ) -> Result<Self> {
        let kind = match (Logical::of(&field), field.data_type()) {
            (Some(Logical::Uuid), _) => Kind::Uuid,
            (None, DataType::Utf8) => Kind::Text,
            (None, DataType::Decimal128(..) | DataType::Decimal256(..)) => Kind::Number,
            (None, data_type) if data_type.is_integer() => Kind::Number,
            _ => {
                return Err(Error::configuration(format!(
                    "rows cannot be found by column {:?}, which is of type {:?}: take a column of whole numbers, decimals, texts or UUIDs",
                    column.name, column.sql_type
                )));
            }
        };
        let sql_type = column.sql_type.to_ascii_lowercase();
        let base = sql_type.split(['(', ' ']).next().unwrap_or_default();
        let expression = match kind {
            Kind::Text if !TEXTS.contains(&base) => {
                format!("CAST({quoted} AS {})", C::DIALECT.cast_text)
            }
            _ => quoted.to_owned(),
        };
        Ok(Self {
            field,
            expression,
            kind,
        })
    }

    /// A column that stands in no database, for rows that a test names.
    pub fn of_rows(field: Field) -> Self {
        let kind = match field.data_type() {
            DataType::Utf8 => Kind::Text,
            _ => Kind::Number,
        };
        Self {
            expression: String::new(),
            field,
            kind,
        }
    }

    /// Whether values of a column of this type can be such a key.
    pub fn takes(&self, data_type: &DataType) -> bool {
        can_cast_types(data_type, self.field.data_type())
            && can_cast_types(self.field.data_type(), data_type)
    }

    /// The values of a column as texts of this one; `None` for a null, and for a value that this column's
    /// type does not have.
    ///
    /// # Errors
    /// `Configuration` where the types have nothing in common; see [`KeyColumn::takes`].
    pub fn texts(&self, column: &ArrayRef) -> Result<Vec<Option<String>>> {
        if !self.takes(column.data_type()) {
            return Err(Error::configuration(format!(
                "a column of type {} cannot be compared with {:?}, which is {}",
                column.data_type(),
                self.field.name(),
                self.field.data_type()
            )));
        }
        let plain: Arc<Field> = Arc::new(Field::new(
            self.field.name(),
            self.field.data_type().clone(),
            true,
        ));
        let (values, _) = fit(column, &plain)?;
        let options = FormatOptions::default();
        let shown = ArrayFormatter::try_new(&values, &options).map_err(|cause| {
            Error::configuration_from(
                format!(
                    "values of {:?} cannot be written as text",
                    self.field.name()
                ),
                cause,
            )
        })?;
        let text = |row: usize| {
            let text = values.is_valid(row).then(|| shown.value(row).to_string())?;
            match self.kind {
                Kind::Number | Kind::Text => Some(text),
                Kind::Uuid => is_uuid(&text).then(|| text.to_ascii_lowercase()),
            }
        };
        Ok((0..values.len()).map(text).collect())
    }

    pub(super) fn text(&self) -> KeyText<'_> {
        let literal: fn(&str) -> Option<String> = match self.kind {
            Kind::Number => number_literal,
            Kind::Text | Kind::Uuid => text_literal,
        };
        (&self.expression, literal)
    }
}

fn is_uuid(text: &str) -> bool {
    let dash = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(place, byte)| match dash(place) {
                true => byte == b'-',
                false => byte.is_ascii_hexdigit(),
            })
}

/// The condition that finds the rows of these keys; `None` where no row can have any of them.
pub(super) fn condition(columns: &[KeyText<'_>], keys: &[Vec<String>]) -> Option<String> {
    if let [(column, literal)] = columns {
        let literals: Vec<String> = keys.iter().filter_map(|key| literal(&key[0])).collect();
        return (!literals.is_empty()).then(|| format!("{column} IN ({})", literals.join(", ")));
    }
    let of_key = |key: &Vec<String>| {
        let parts: Option<Vec<String>> = columns
            .iter()
            .zip(key)
            .map(|((column, literal), text)| Some(format!("{column} = {}", literal(text)?)))
            .collect();
        Some(format!("({})", parts?.join(" AND ")))
    };
    let conditions: Vec<String> = keys.iter().filter_map(of_key).collect();
    any(&conditions)
}

/// One of the conditions, as a tree that is no deeper than it has to be: databases bound the depth.
fn any(conditions: &[String]) -> Option<String> {
    match conditions {
        [] => None,
        [one] => Some(one.clone()),
        several => {
            let (left, right) = several.split_at(several.len() / 2);
            Some(format!("({} OR {})", any(left)?, any(right)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray};

    fn check(kind: Kind, data_type: DataType, column: ArrayRef, expect: &[Option<&str>]) {
        let key = KeyColumn {
            field: Field::new("id", data_type, true),
            expression: String::new(),
            kind,
        };
        let found = key.texts(&column).unwrap();
        let found: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn a_key_is_a_value_of_the_column_or_none() {
        let texts = StringArray::from(vec![Some("7"), Some("07"), Some("x"), None]);
        let numbers = [Some("7"), None, None, None];
        check(Kind::Number, DataType::Int32, Arc::new(texts), &numbers);
        let large = Int64Array::from(vec![1, i64::MAX]);
        check(
            Kind::Number,
            DataType::Int32,
            Arc::new(large),
            &[Some("1"), None],
        );
        let floats = Float64Array::from(vec![1.0, 1.5]);
        check(
            Kind::Number,
            DataType::Int64,
            Arc::new(floats),
            &[Some("1"), None],
        );
        let decimals = Decimal128Array::from(vec![150, 100]);
        let decimals = decimals.with_precision_and_scale(10, 2).unwrap();
        let as_they_are = [Some("1.5"), Some("1.0")];
        check(
            Kind::Number,
            DataType::Decimal128(10, 1),
            Arc::new(decimals),
            &as_they_are,
        );
        let ids = Int64Array::from(vec![12]);
        check(Kind::Text, DataType::Utf8, Arc::new(ids), &[Some("12")]);
        let upper = "0190A2B4-0000-7000-8000-00000000000A";
        let lower = upper.to_lowercase();
        let uuids = StringArray::from(vec![upper, "nonsense"]);
        check(
            Kind::Uuid,
            DataType::Utf8,
            Arc::new(uuids),
            &[Some(&lower), None],
        );
    }

    #[test]
    fn one_condition_finds_many_keys() {
        let number: KeyText<'_> = ("t.id", number_literal);
        let text: KeyText<'_> = ("t.name", text_literal);
        let check = |columns: &[KeyText<'_>], keys: &[&[&str]], expect: Option<&str>| {
            let keys: Vec<Vec<String>> = keys
                .iter()
                .map(|key| key.iter().map(|text| (*text).to_owned()).collect())
                .collect();
            assert_eq!(condition(columns, &keys).as_deref(), expect);
        };
        check(&[number], &[&["1"], &["-2"]], Some("t.id IN ((1), (-2))"));
        check(&[text], &[&["O'Hara"]], Some("t.name IN ('O''Hara')"));
        check(&[text], &[&["a\0b"]], None);
        check(
            &[number, text],
            &[&["1", "a"], &["2", "b"], &["3", "c"]],
            Some(
                "((t.id = (1) AND t.name = 'a') OR ((t.id = (2) AND t.name = 'b') OR (t.id = (3) AND t.name = 'c')))",
            ),
        );
    }
}
