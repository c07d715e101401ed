//! Which SQL type an Arrow column becomes, and whether it fits one that is there.
//!
//! Nothing is rounded in silence (R3): a conversion is taken only where it keeps every value, or
//! where the database refuses the values that it cannot keep. What would lose digits (a float into a
//! numeric, a timestamp into a date) does not fit, and the error says to cast it on purpose.

use arrow::datatypes::{DataType, Field};

use crate::error::{Error, Result};
use crate::sql::dialect::{Dialect, Fit};

/// The type that a new column gets.
///
/// # Errors
/// `Configuration` for a type that no column holds, such as a struct.
pub fn default_type(dialect: &'static Dialect, field: &Field) -> Result<String> {
    (dialect.column_type)(field)
}

/// Whether a column of the changes fits a column of `sql_type` (with its length and scale).
pub fn fit(dialect: &'static Dialect, field: &Field, sql_type: &str) -> Fit {
    (dialect.fit)(field, sql_type)
}

/// The column of the changes that a target's column holds without loss; text for a type that is not
/// known.
pub fn arrow_field(dialect: &'static Dialect, name: &str, sql_type: &str) -> Field {
    (dialect.field)(name, sql_type)
}

/// The type that a new key column gets: MySQL has no unique index over a whole text without bounds.
///
/// # Errors
/// As [`default_type`].
pub fn key_type(dialect: &'static Dialect, field: &Field) -> Result<String> {
    let sql_type = default_type(dialect, field)?;
    let bounded = dialect.key_types.iter();
    let bounded = bounded
        .clone()
        .find(|(unbounded, _)| *unbounded == sql_type);
    Ok(bounded.map_or(sql_type.clone(), |(_, bounded)| (*bounded).to_owned()))
}

/// The type of a text without bounds.
pub(crate) fn text_type(dialect: &'static Dialect) -> &'static str {
    dialect.text_type
}

/// No column holds the type of `field`.
pub(crate) fn unsupported(field: &Field) -> Error {
    Error::configuration(format!(
        "column {:?} is {}, which no SQL column holds: turn it into text or take it apart in a map operator",
        field.name(),
        field.data_type()
    ))
}

/// `numeric(12,2)` as `("numeric", [12, 2])`; `timestamp(3) with time zone` loses its number too.
pub fn split_type(sql_type: &str) -> (String, Vec<i32>) {
    let Some((head, rest)) = sql_type.split_once('(') else {
        return (sql_type.to_owned(), Vec::new());
    };
    let Some((numbers, tail)) = rest.split_once(')') else {
        return (sql_type.to_owned(), Vec::new());
    };
    let numbers = numbers
        .split(',')
        .filter_map(|number| number.trim().parse().ok())
        .collect();
    (format!("{}{tail}", head.trim_end()), numbers)
}

/// `field` with another type.
pub(crate) fn retyped(field: &Field, data_type: &DataType) -> Field {
    field.clone().with_data_type(data_type.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_split_from_its_numbers() {
        assert_eq!(
            split_type("numeric(12,2)"),
            ("numeric".to_owned(), vec![12, 2])
        );
        assert_eq!(
            split_type("timestamp(3) with time zone"),
            ("timestamp with time zone".to_owned(), vec![3])
        );
        assert_eq!(
            split_type("character varying(9)[]"),
            ("character varying[]".to_owned(), vec![9])
        );
    }
}
