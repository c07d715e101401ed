//! What PostgreSQL calls the type in which a column is written, before it is converted to the target's.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::error::{Error, Result};

/// The type of the staging column that takes `field`: what its values are in binary, before they are
/// converted to the target's type.
///
/// # Errors
/// `Configuration` for a type that no column holds.
pub(super) fn staged_type(field: &Field) -> Result<&'static str> {
    kind(field.data_type()).map(Kind::name).ok_or_else(|| {
        Error::configuration(format!(
            "column {:?} is {}, which PostgreSQL has no type for: turn it into text or take it apart in a map operator",
            field.name(),
            field.data_type()
        ))
    })
}

/// The numbers of the types of a staging column and of an array of its values; `None` for a column of arrays,
/// of which the server makes no rows.
pub(super) fn bound_types(staged: &str) -> Option<(u32, u32)> {
    let kind = KINDS.iter().find(|kind| kind.0 == staged)?;
    Some((kind.2, kind.3))
}

/// What Postgres calls a canonical type and an array of it, and the numbers of both types.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind(&'static str, &'static str, pub(super) u32, u32);

impl Kind {
    fn name(self) -> &'static str {
        self.0
    }
}

/// Element types of arrays, with the names of the arrays. Object identifiers from `pg_type.dat`.
const KINDS: [Kind; 14] = [
    Kind("boolean", "boolean[]", 16, 1000),
    Kind("bytea", "bytea[]", 17, 1001),
    Kind("bigint", "bigint[]", 20, 1016),
    Kind("smallint", "smallint[]", 21, 1005),
    Kind("integer", "integer[]", 23, 1007),
    Kind("text", "text[]", 25, 1009),
    Kind("real", "real[]", 700, 1021),
    Kind("double precision", "double precision[]", 701, 1022),
    Kind("date", "date[]", 1082, 1182),
    Kind(
        "time without time zone",
        "time without time zone[]",
        1083,
        1183,
    ),
    Kind(
        "timestamp without time zone",
        "timestamp without time zone[]",
        1114,
        1115,
    ),
    Kind(
        "timestamp with time zone",
        "timestamp with time zone[]",
        1184,
        1185,
    ),
    Kind("interval", "interval[]", 1186, 1187),
    Kind("numeric", "numeric[]", 1700, 1231),
];

fn kind(data_type: &DataType) -> Option<Kind> {
    let name = match canonical(data_type) {
        DataType::Boolean => "boolean",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric",
        DataType::Utf8 | DataType::Null => "text",
        DataType::Binary => "bytea",
        DataType::Date32 => "date",
        DataType::Time64(_) => "time without time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Duration(_) | DataType::Interval(IntervalUnit::MonthDayNano) => "interval",
        DataType::List(item) => {
            let element = element_kind(item.data_type())?;
            return Some(Kind(element.1, element.1, element.2, element.3));
        }
        _ => return None,
    };
    KINDS.iter().find(|kind| kind.0 == name).copied()
}

/// Postgres has one array type for all numbers of dimensions.
pub(super) fn element_kind(data_type: &DataType) -> Option<Kind> {
    match canonical(data_type) {
        DataType::List(item) => element_kind(item.data_type()),
        plain => kind(&plain),
    }
}

/// The type in which a column is written.
pub(super) fn canonical(data_type: &DataType) -> DataType {
    use DataType as D;
    match data_type {
        D::Int8 | D::UInt8 => D::Int16,
        D::UInt16 => D::Int32,
        D::UInt32 => D::Int64,
        D::UInt64 => D::Decimal128(20, 0),
        D::Float16 => D::Float32,
        D::Decimal32(precision, scale) | D::Decimal64(precision, scale) => {
            D::Decimal128(*precision, *scale)
        }
        D::LargeUtf8 | D::Utf8View => D::Utf8,
        D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::Binary,
        D::Date64 => D::Date32,
        D::Time32(unit) => D::Time64(match unit {
            TimeUnit::Second | TimeUnit::Millisecond => TimeUnit::Microsecond,
            finer => *finer,
        }),
        D::Interval(_) => D::Interval(IntervalUnit::MonthDayNano),
        D::Dictionary(_, value) => canonical(value),
        D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) => {
            let inner = canonical(item.data_type());
            D::List(std::sync::Arc::new(Field::new("item", inner, true)))
        }
        other => other.clone(),
    }
}
