//! SQLite's types, which are affinities: any value goes into any column.

use arrow::datatypes::{DataType, Field};

use crate::error::Result;
use crate::sql::types::unsupported;

/// The type that a new column gets.
///
/// # Errors
/// `Configuration` for a type that no column holds, such as a struct.
pub(super) fn column_type(field: &Field) -> Result<String> {
    Ok(match field.data_type() {
        DataType::Boolean => "BOOLEAN",
        data_type if data_type.is_integer() && *data_type != DataType::UInt64 => "INTEGER",
        data_type if data_type.is_floating() => "REAL",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "BLOB",
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => {
            return Err(unsupported(field));
        }
        // Decimals, instants and lists as text: an affinity of NUMERIC would make floats of them.
        _ => "TEXT",
    }
    .to_owned())
}

/// By SQLite's own rules of affinity, in their order.
pub(super) fn field_of(name: &str, sql_type: &str) -> Field {
    let upper = sql_type.to_ascii_uppercase();
    let has = |bound_rows: &str| upper.contains(bound_rows);
    let data_type = if has("BOOL") {
        DataType::Boolean
    } else if has("INT") {
        DataType::Int64
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        DataType::Utf8
    } else if has("BLOB") {
        DataType::Binary
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        DataType::Float64
    } else {
        DataType::Utf8
    };
    Field::new(name, data_type, true)
}

/// What a declared type makes of values: SQLite, "Datatypes In SQLite", 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinity {
    /// Numbers become text.
    Text,
    /// Text that looks like a number becomes one; INTEGER does the same.
    Numeric,
    /// As numeric, and integers become floats.
    Real,
    /// Everything stays what it is.
    Blob,
}

/// The rules of SQLite, "Datatypes In SQLite", 3.1, in their order.
pub(super) fn affinity(sql_type: &str, strict: bool) -> Affinity {
    let upper = sql_type.to_ascii_uppercase();
    let has = |bound_rows: &str| upper.contains(bound_rows);
    if strict && upper == "ANY" {
        // In a strict table it keeps everything as it is.
        Affinity::Blob
    } else if has("INT") {
        Affinity::Numeric
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") || upper.is_empty() {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}
