//! Types of MySQL and MariaDB, as `SHOW COLUMNS` writes them: `int(11)`, `decimal(12,2) unsigned`.
//!
//! Instants get a `datetime(6)` in UTC, not a `timestamp`, which ends in 2038. Text gets a `longtext`,
//! since a `text` ends at 64 KiB. A decimal without a precision gets the widest one. What has no type
//! here (intervals, times with an offset) is text; lists are JSON.

use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::change::Logical;
use crate::error::Result;
use crate::sql::dialect::Fit;
use crate::sql::types::{retyped, split_type, unsupported};

/// Digits of the widest decimal, and how many of them may stand after the point.
const DIGITS_MAX: i32 = 65;
const SCALE_MAX: i32 = 30;

/// The type that a new column gets.
///
/// # Errors
/// `Configuration` for a type that no column holds, such as a struct.
pub(super) fn column_type(field: &Field) -> Result<String> {
    if let Some(logical) = Logical::of(field) {
        return Ok(match logical {
            Logical::Json => "json".to_owned(),
            Logical::Uuid => "char(36)".to_owned(),
            Logical::Numeric => format!("decimal({DIGITS_MAX},{SCALE_MAX})"),
            Logical::Bits(length @ 1..=64) => format!("bit({length})"),
            Logical::Bits(_) | Logical::TimeTz | Logical::Interval | Logical::Xml => {
                "longtext".to_owned()
            }
        });
    }
    Ok(match field.data_type() {
        DataType::Boolean => "tinyint(1)",
        DataType::Int8 => "tinyint",
        DataType::UInt8 => "tinyint unsigned",
        DataType::Int16 => "smallint",
        DataType::UInt16 => "smallint unsigned",
        DataType::Int32 => "int",
        DataType::UInt32 => "int unsigned",
        DataType::Int64 => "bigint",
        DataType::UInt64 => "bigint unsigned",
        DataType::Float16 | DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let (precision, scale) = (i32::from(*precision), i32::from(*scale));
            let (digits, scale) = (precision - scale.min(0), scale.max(0));
            if digits <= DIGITS_MAX && scale <= SCALE_MAX {
                return Ok(format!("decimal({digits},{scale})"));
            }
            "longtext"
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => "longtext",
        DataType::Duration(_) | DataType::Interval(_) => "longtext",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "longblob",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time(6)",
        DataType::Timestamp(..) => "datetime(6)",
        DataType::Dictionary(_, value) => return column_type(&retyped(field, value)),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "json",
        _ => return Err(unsupported(field)),
    }
    .to_owned())
}

/// The integer types with how many values they have below and above zero, as powers of two.
const INTEGERS: [(&str, u32, u32); 10] = [
    ("tinyint", 7, 7),
    ("tinyint unsigned", 0, 8),
    ("smallint", 15, 15),
    ("smallint unsigned", 0, 16),
    ("mediumint", 23, 23),
    ("mediumint unsigned", 0, 24),
    ("int", 31, 31),
    ("int unsigned", 0, 32),
    ("bigint", 63, 63),
    ("bigint unsigned", 0, 64),
];

fn integer(base: &str) -> Option<(u32, u32)> {
    let known = INTEGERS.iter().find(|(name, ..)| *name == base);
    known.map(|&(_, below, above)| (below, above))
}

/// Whether a type holds text, or something that is written and read as text.
pub(crate) fn is_text(base: &str) -> bool {
    matches!(
        base,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext"
    )
}

/// Whether a type holds bytes.
pub(crate) fn is_binary(base: &str) -> bool {
    matches!(
        base,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob"
    )
}

/// `decimal(12,2) unsigned zerofill` as `("decimal unsigned", [12, 2])`.
pub(crate) fn split(sql_type: &str) -> (String, Vec<i32>) {
    // What stands in their brackets are labels, which may hold brackets.
    for base in ["enum", "set"] {
        if sql_type
            .strip_prefix(base)
            .is_some_and(|rest| rest.starts_with('('))
        {
            return (base.to_owned(), Vec::new());
        }
    }
    let (base, numbers) = split_type(sql_type);
    (base.replace(" zerofill", ""), numbers)
}

/// Whether a column of the changes fits a column of `sql_type`.
pub(super) fn fit(field: &Field, sql_type: &str) -> Fit {
    use DataType as D;
    if let D::Dictionary(_, value) = field.data_type() {
        return fit(&retyped(field, value), sql_type);
    }
    let (base, numbers) = split(sql_type);
    let base = base.as_str();
    let fits_if = |fits: bool| if fits { Fit::Fits } else { Fit::Mismatch };
    let binary = matches!(
        field.data_type(),
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_)
    );
    if is_binary(base) || binary {
        return match base {
            _ if !(is_binary(base) && binary) => Fit::Mismatch,
            "longblob" => Fit::Fits,
            _ => Fit::Checked,
        };
    }
    if is_text(base) {
        // Events say no length of a text: a value that is too long is refused by itself.
        return if base == "longtext" {
            Fit::Fits
        } else {
            Fit::Checked
        };
    }
    let decimal = base == "decimal" || base == "decimal unsigned";
    match Logical::of(field) {
        Some(Logical::Json) => return fits_if(base == "json"),
        Some(Logical::Numeric) if decimal => return Fit::Checked,
        Some(Logical::Bits(_)) if base == "bit" => return Fit::Checked,
        Some(Logical::Uuid) if base == "uuid" => return Fit::Fits,
        Some(_) => return Fit::Mismatch,
        None => {}
    }
    match field.data_type() {
        D::Null => Fit::Fits,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => match base {
            _ if is_temporal(base) => Fit::Mismatch,
            _ => Fit::Checked,
        },
        // Debezium sends a bit(1) as a boolean.
        D::Boolean if base == "bit" => fits_if(numbers == [1]),
        D::Boolean => fits_if(integer(base).is_some()),
        data_type if data_type.is_integer() => integer_fit(field, base, &numbers),
        D::Float16 | D::Float32 => {
            fits_if(numbers.is_empty() && matches!(base, "float" | "double"))
        }
        D::Float64 => fits_if(numbers.is_empty() && base == "double"),
        D::Decimal32(precision, scale)
        | D::Decimal64(precision, scale)
        | D::Decimal128(precision, scale)
        | D::Decimal256(precision, scale) => {
            decimal_fit(base, &numbers, i32::from(*precision), i32::from(*scale))
        }
        D::Date32 | D::Date64 => fits_if(matches!(base, "date" | "datetime" | "timestamp")),
        D::Time32(_) | D::Time64(_) => fits_if(base == "time"),
        D::Timestamp(..) => fits_if(matches!(base, "datetime" | "timestamp")),
        D::List(_) | D::LargeList(_) | D::FixedSizeList(..) => fits_if(base == "json"),
        _ => Fit::Mismatch,
    }
}

fn is_temporal(base: &str) -> bool {
    matches!(base, "date" | "datetime" | "timestamp" | "time")
}

fn integer_fit(field: &Field, base: &str, numbers: &[i32]) -> Fit {
    let natural = column_type(field).unwrap_or_default();
    let Some((below, above)) = integer(&natural) else {
        return Fit::Mismatch;
    };
    let digits = if above == 64 || below == 63 { 20 } else { 10 };
    match base {
        // A year that is none is refused.
        "year" => Fit::Checked,
        "double" if below <= 31 && above <= 32 && numbers.is_empty() => Fit::Fits,
        "float" if below <= 15 && above <= 16 && numbers.is_empty() => Fit::Fits,
        "decimal" if whole_digits(numbers) >= digits => Fit::Fits,
        "decimal" | "decimal unsigned" => Fit::Checked,
        _ => match integer(base) {
            Some((low, high)) if low >= below && high >= above => Fit::Fits,
            // An unsigned type is a range that somebody chose: what is below it is refused.
            Some((0, _)) if below > 0 => Fit::Checked,
            Some((0, _)) => Fit::Widen(natural),
            Some(_) => Fit::Widen(signed(&natural).to_owned()),
            None => Fit::Mismatch,
        },
    }
}

/// The signed type that holds all values of an integer type.
fn signed(natural: &str) -> &str {
    match natural {
        "tinyint unsigned" => "smallint",
        "smallint unsigned" => "int",
        "int unsigned" => "bigint",
        "bigint unsigned" => "decimal(20,0)",
        signed => signed,
    }
}

fn whole_digits(numbers: &[i32]) -> i32 {
    let precision = numbers.first().copied().unwrap_or(10);
    precision - numbers.get(1).copied().unwrap_or(0)
}

/// A scale that the target does not have would be rounded: that is no fit, whatever the policy.
fn decimal_fit(base: &str, numbers: &[i32], precision: i32, scale: i32) -> Fit {
    if integer(base).is_some() && scale <= 0 {
        return Fit::Checked;
    }
    let target_scale = numbers.get(1).copied().unwrap_or(0);
    match base {
        "decimal" | "decimal unsigned" if target_scale < scale => Fit::Mismatch,
        "decimal" if whole_digits(numbers) >= precision - scale => Fit::Fits,
        "decimal" if precision - scale + target_scale <= DIGITS_MAX => Fit::Widen(format!(
            "decimal({},{target_scale})",
            precision - scale + target_scale
        )),
        "decimal" | "decimal unsigned" => Fit::Checked,
        _ => Fit::Mismatch,
    }
}

/// The column of the changes that a column of `sql_type` holds without loss.
pub(super) fn field_of(name: &str, sql_type: &str) -> Field {
    let (base, numbers) = split(sql_type);
    let plain = |data_type: DataType| Field::new(name, data_type, true);
    match base.as_str() {
        "tinyint" if numbers == [1] => plain(DataType::Boolean),
        "tinyint" => plain(DataType::Int8),
        "tinyint unsigned" => plain(DataType::UInt8),
        "smallint" => plain(DataType::Int16),
        "smallint unsigned" => plain(DataType::UInt16),
        "mediumint" | "int" | "year" => plain(DataType::Int32),
        "mediumint unsigned" | "int unsigned" => plain(DataType::UInt32),
        "bigint" => plain(DataType::Int64),
        "bigint unsigned" => plain(DataType::UInt64),
        "float" | "float unsigned" => plain(DataType::Float32),
        "double" | "double unsigned" => plain(DataType::Float64),
        "decimal" | "decimal unsigned" => match numbers.as_slice() {
            // What a decimal without a precision gets.
            [DIGITS_MAX, SCALE_MAX] => Logical::Numeric.field(name),
            [precision @ 1..=38, scale @ 0..=38] => {
                plain(DataType::Decimal128(*precision as u8, *scale as i8))
            }
            [precision @ 39..=65, scale @ 0..=65] => {
                plain(DataType::Decimal256(*precision as u8, *scale as i8))
            }
            _ => Logical::Numeric.field(name),
        },
        "bit" if numbers == [1] => plain(DataType::Boolean),
        "bit" => Logical::Bits(numbers.first().copied().unwrap_or(1) as u32).field(name),
        "date" => plain(DataType::Date32),
        "time" => plain(DataType::Time64(TimeUnit::Microsecond)),
        "datetime" => plain(DataType::Timestamp(TimeUnit::Microsecond, None)),
        "timestamp" => plain(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("UTC".into()),
        )),
        "json" => Logical::Json.field(name),
        "uuid" => Logical::Uuid.field(name),
        bytes if is_binary(bytes) => plain(DataType::Binary),
        _ => plain(DataType::Utf8),
    }
}

#[cfg(test)]
mod tests;
