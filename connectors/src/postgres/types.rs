//! PostgreSQL's types, as `format_type` writes them: `numeric(12,2)`, `integer[]`.
//!
//! Nothing is rounded in silence (R3): what would lose digits does not fit.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::change::Logical;
use crate::error::Result;
use crate::sql::dialect::Fit;
use crate::sql::types::{retyped, split_type, unsupported};

/// The type that a new column gets.
///
/// # Errors
/// `Configuration` for a type that no column holds, such as a struct.
pub(super) fn column_type(field: &Field) -> Result<String> {
    if let Some(logical) = Logical::of(field) {
        return Ok(match logical {
            Logical::Json => "jsonb",
            Logical::Uuid => "uuid",
            Logical::Numeric => "numeric",
            Logical::Bits(_) => "bit varying",
            Logical::TimeTz => "time with time zone",
            Logical::Interval => "interval",
            Logical::Xml => "xml",
        }
        .to_owned());
    }
    Ok(match field.data_type() {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "numeric(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let (digits, scale) = (i16::from(*precision), i16::from(*scale));
            format!("numeric({},{})", digits - scale.min(0), scale.max(0))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            "text".to_owned()
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytea".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone".to_owned(),
        DataType::Timestamp(_, None) => "timestamp without time zone".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Duration(_) | DataType::Interval(_) => "interval".to_owned(),
        DataType::Dictionary(_, value) => column_type(&retyped(field, value))?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let element = column_type(item)?;
            // An array of arrays is the same type: Postgres does not tell dimensions apart.
            format!("{}[]", element.trim_end_matches("[]"))
        }
        _ => return Err(unsupported(field)),
    })
}

const INTEGERS: [&str; 3] = ["smallint", "integer", "bigint"];
const TEXTS: [&str; 4] = ["text", "character varying", "character", "citext"];

/// Whether a column of the changes fits a column of `sql_type`.
pub(super) fn fit(field: &Field, sql_type: &str) -> Fit {
    use DataType as D;
    let (base, numbers) = split_type(sql_type);
    let base = match base.as_str() {
        // With fields, and where it is no array.
        fields if fields.starts_with("interval ") && !fields.ends_with("[]") => "interval",
        base => base,
    };
    if let D::Dictionary(_, value) = field.data_type() {
        return fit(&retyped(field, value), sql_type);
    }
    let binary = matches!(
        field.data_type(),
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_)
    );
    if base == "bytea" || binary {
        return if base == "bytea" && binary {
            Fit::Fits
        } else {
            Fit::Mismatch
        };
    }
    if base == "text" || base == "citext" {
        return Fit::Fits;
    }
    if TEXTS.contains(&base) {
        // Events say no length of a text: a value that is too long is refused by itself.
        return Fit::Checked;
    }
    if !is_known(base) {
        return Fit::Checked;
    }
    if base.ends_with("[]") {
        return match field.data_type() {
            D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) => {
                // Length and scale are those of the elements.
                match fit(&deepest(item), sql_type.trim_end_matches("[]")) {
                    Fit::Widen(element) => Fit::Widen(format!("{element}[]")),
                    fit => fit,
                }
            }
            D::Utf8 | D::LargeUtf8 | D::Utf8View if base != "bytea[]" => Fit::Checked,
            _ => Fit::Mismatch,
        };
    }
    let fits_if = |fits: bool| if fits { Fit::Fits } else { Fit::Mismatch };
    match Logical::of(field) {
        Some(Logical::Numeric) => {
            return match (base, numbers.as_slice()) {
                ("numeric", []) => Fit::Fits,
                ("numeric", _) => Fit::Widen("numeric".to_owned()),
                _ => Fit::Mismatch,
            };
        }
        Some(Logical::Json) => return fits_if(base == "json" || base == "jsonb"),
        Some(Logical::Uuid) => return fits_if(base == "uuid"),
        Some(Logical::Xml) => return fits_if(base == "xml"),
        Some(Logical::Interval) => return fits_if(base == "interval"),
        Some(Logical::TimeTz) => return fits_if(base == "time with time zone"),
        Some(Logical::Bits(_)) if base == "bit" || base == "bit varying" => {
            return if numbers.is_empty() {
                Fit::Fits
            } else {
                Fit::Checked
            };
        }
        Some(Logical::Bits(_)) => return Fit::Mismatch,
        None => {}
    }
    match field.data_type() {
        D::Null => Fit::Fits,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => Fit::Checked,
        // Debezium sends a bit(1) as a boolean.
        D::Boolean if base == "bit" => fits_if(numbers.iter().all(|&length| length == 1)),
        D::Boolean => fits_if(base == "boolean" || base == "bit varying"),
        D::UInt64 => match base {
            "numeric" if numbers.is_empty() => Fit::Fits,
            "numeric" if numbers.get(1).copied().unwrap_or(0) <= numbers[0] - 20 => Fit::Fits,
            "numeric" | "smallint" | "integer" | "bigint" => Fit::Widen("numeric(20,0)".to_owned()),
            _ => Fit::Mismatch,
        },
        data_type if data_type.is_integer() => {
            let natural = column_type(field).unwrap_or_default();
            let place = |name: &str| INTEGERS.iter().position(|known| *known == name);
            match (place(base), place(&natural)) {
                (Some(target), Some(source)) if target >= source => Fit::Fits,
                (Some(_), _) => Fit::Widen(natural),
                (None, _) if base == "numeric" && numbers.is_empty() => Fit::Fits,
                (None, _) if base == "numeric" => Fit::Checked,
                (None, Some(source)) if base == "double precision" => fits_if(source < 2),
                (None, Some(source)) if base == "real" => fits_if(source < 1),
                _ => Fit::Mismatch,
            }
        }
        D::Float16 | D::Float32 => fits_if(base == "real" || base == "double precision"),
        D::Float64 if base == "real" => Fit::Mismatch,
        D::Float64 => fits_if(base == "double precision"),
        D::Decimal32(precision, scale)
        | D::Decimal64(precision, scale)
        | D::Decimal128(precision, scale)
        | D::Decimal256(precision, scale) => decimal_fit(
            field,
            base,
            &numbers,
            i32::from(*precision),
            i32::from(*scale),
        ),
        D::Date32 | D::Date64 => fits_if(base == "date" || base.starts_with("timestamp")),
        D::Time32(_) | D::Time64(_) => fits_if(base == "time without time zone"),
        D::Timestamp(..) => fits_if(base.starts_with("timestamp")),
        D::Duration(_) | D::Interval(_) => fits_if(base == "interval"),
        D::List(_) | D::LargeList(_) | D::FixedSizeList(..) => {
            fits_if(base == "json" || base == "jsonb")
        }
        _ => Fit::Mismatch,
    }
}

/// A scale that the target does not have would be rounded: that is no fit, whatever the policy.
fn decimal_fit(field: &Field, base: &str, numbers: &[i32], precision: i32, scale: i32) -> Fit {
    if INTEGERS.contains(&base) {
        return if scale <= 0 {
            Fit::Checked
        } else {
            Fit::Mismatch
        };
    }
    if base != "numeric" {
        return Fit::Mismatch;
    }
    let Some(&target_precision) = numbers.first() else {
        return Fit::Fits;
    };
    let target_scale = numbers.get(1).copied().unwrap_or(0);
    if target_scale < scale {
        return Fit::Mismatch;
    }
    if target_precision - target_scale >= precision - scale {
        return Fit::Fits;
    }
    let digits = precision - scale + target_scale;
    match column_type(field) {
        Ok(_) => Fit::Widen(format!("numeric({digits},{target_scale})")),
        Err(_) => Fit::Mismatch,
    }
}

/// Types whose conversions are told apart above; any other is left to the database.
fn is_known(base: &str) -> bool {
    let element = base.trim_end_matches("[]");
    INTEGERS.contains(&element)
        || TEXTS.contains(&element)
        || matches!(
            element,
            "numeric"
                | "real"
                | "double precision"
                | "boolean"
                | "bytea"
                | "date"
                | "time without time zone"
                | "time with time zone"
                | "timestamp without time zone"
                | "timestamp with time zone"
                | "interval"
                | "json"
                | "jsonb"
                | "uuid"
                | "xml"
                | "bit"
                | "bit varying"
        )
}

fn deepest(item: &Arc<Field>) -> Field {
    match item.data_type() {
        DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => {
            deepest(inner)
        }
        _ => item.as_ref().clone(),
    }
}

/// The column of the changes that a column of `sql_type` holds without loss.
pub(super) fn field_of(name: &str, sql_type: &str) -> Field {
    let (base, numbers) = split_type(sql_type);
    let plain = |data_type: DataType| Field::new(name, data_type, true);
    match base.as_str() {
        "boolean" => plain(DataType::Boolean),
        "smallint" => plain(DataType::Int16),
        "integer" => plain(DataType::Int32),
        "bigint" => plain(DataType::Int64),
        "real" => plain(DataType::Float32),
        "double precision" => plain(DataType::Float64),
        "bytea" => plain(DataType::Binary),
        "date" => plain(DataType::Date32),
        "time without time zone" => plain(DataType::Time64(TimeUnit::Microsecond)),
        "timestamp without time zone" => plain(DataType::Timestamp(TimeUnit::Microsecond, None)),
        "timestamp with time zone" => plain(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("UTC".into()),
        )),
        "numeric" => match numbers.as_slice() {
            [precision @ 1..=38, scale @ 0..=38] if scale <= precision => {
                plain(DataType::Decimal128(*precision as u8, *scale as i8))
            }
            [precision @ 39..=76, scale @ 0..=76] if scale <= precision => {
                plain(DataType::Decimal256(*precision as u8, *scale as i8))
            }
            _ => Logical::Numeric.field(name),
        },
        "json" | "jsonb" => Logical::Json.field(name),
        "uuid" => Logical::Uuid.field(name),
        "xml" => Logical::Xml.field(name),
        "interval" => Logical::Interval.field(name),
        "time with time zone" => Logical::TimeTz.field(name),
        "bit" | "bit varying" => {
            Logical::Bits(numbers.first().copied().unwrap_or(0) as u32).field(name)
        }
        array if array.ends_with("[]") => {
            let element = field_of("item", array.trim_end_matches("[]"));
            plain(DataType::List(Arc::new(element)))
        }
        _ => plain(DataType::Utf8),
    }
}

#[cfg(test)]
mod tests;
