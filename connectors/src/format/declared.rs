//! Types that a person names in `[sources.NAME.schema]`.
//!
//! ```toml
//! [sources.crm.schema]
//! id      = "int64"
//! balance = "decimal(12, 2)"
//! tags    = "list(string)"
//! ```
//!
//! A declared schema describes rows that come without one; fields that it does not name are left
//! out. A column that is named twice is refused by TOML itself.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::DeclaredSchema;
use super::reading::{ENCODING, Reading};

/// What may stand behind a column's name.
const NAMES: &str = "boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, \
string, binary, date, time(ms|us|ns), timestamp(ms|us|ns), timestamptz, decimal(p,s), \
decimal(p,s,base64), numeric, json, uuid, interval, timetz, xml, bits(n), list(type)";

/// The Arrow schema of a declared one.
///
/// # Errors
/// Every column whose type is not one of the valid names, with a message that lists them.
pub fn parse_declared(declared: &DeclaredSchema) -> Result<SchemaRef, Vec<(String, String)>> {
    let (mut fields, mut errors) = (Vec::new(), Vec::new());
    for (name, text) in &declared.0 {
        match reading(text) {
            Some(reading) => fields.push(field(name, &reading)),
            None => errors.push((
                name.clone(),
                match meant(text) {
                    Some(name) => format!("unknown type `{text}`: write `{name}`"),
                    None => format!("unknown type `{text}`, expected one of {NAMES}"),
                },
            )),
        }
    }
    if errors.is_empty() {
        Ok(Arc::new(Schema::new(fields)))
    } else {
        Err(errors)
    }
}

/// The type that is meant by a name of SQL's or of another language's.
fn meant(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_lowercase();
    let name = text.split('(').next().unwrap_or(&text).trim_end();
    Some(match name {
        "tinyint" => "int8",
        "smallint" | "int2" | "short" => "int16",
        "int" | "integer" | "int4" | "serial" | "mediumint" => "int32",
        "bigint" | "long" | "bigserial" => "int64",
        "bool" => "boolean",
        "real" | "float4" => "float32",
        "double" | "double precision" | "float" | "float8" => "float64",
        "text" | "varchar" | "char" | "character" | "character varying" | "str" | "clob"
        | "enum" => "string",
        "bytea" | "blob" | "bytes" | "varbinary" => "binary",
        "jsonb" => "json",
        "timestamp with time zone" => "timestamptz",
        "datetime" | "timestamp" | "timestamp without time zone" => "timestamp(us)",
        "time" => "time(us)",
        "dec" | "decimal" | "number" | "money" => "decimal(12,2)",
        "bit" => "bits(1)",
        _ => return None,
    })
}

fn field(name: &str, reading: &Reading) -> Field {
    let field = reading.field(name);
    if let Reading::Decimal {
        base64: Some(_), ..
    } = reading
    {
        let metadata = [(ENCODING.to_owned(), "base64".to_owned())];
        return field.with_metadata(metadata.into());
    }
    field
}

fn reading(text: &str) -> Option<Reading> {
    let text = text.trim().to_ascii_lowercase();
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => (name.trim_end(), Some(rest.strip_suffix(')')?.trim())),
        None => (text.as_str(), None),
    };
    Some(match (name, arguments) {
        ("boolean", None) => Reading::Boolean,
        ("int8", None) => Reading::Integer(DataType::Int8),
        ("int16", None) => Reading::Integer(DataType::Int16),
        ("int32", None) => Reading::Integer(DataType::Int32),
        ("int64", None) => Reading::Integer(DataType::Int64),
        ("uint8", None) => Reading::Integer(DataType::UInt8),
        ("uint16", None) => Reading::Integer(DataType::UInt16),
        ("uint32", None) => Reading::Integer(DataType::UInt32),
        ("uint64", None) => Reading::Integer(DataType::UInt64),
        ("float32", None) => Reading::Float32,
        ("float64", None) => Reading::Float64,
        ("string", None) => Reading::Text,
        ("binary", None) => Reading::Binary,
        ("date", None) => Reading::Date,
        ("time", Some(unit)) => Reading::Time(self::unit(unit)?),
        ("timestamp", Some(unit)) => Reading::Timestamp(self::unit(unit)?),
        ("timestamptz", None) => Reading::Instant,
        ("decimal", Some(arguments)) => decimal(arguments)?,
        ("numeric", None) => Reading::Numeric,
        ("json", None) => Reading::Json,
        ("uuid", None) => Reading::Uuid,
        ("interval", None) => Reading::Interval,
        ("timetz", None) => Reading::TimeTz,
        ("xml", None) => Reading::Xml,
        ("bits", Some(length)) => Reading::Bits(length.parse().ok().filter(|&bits| bits > 0)?),
        ("list", Some(item)) => match reading(item)? {
            // The encoding stands on a column, and there is none for an item.
            Reading::Decimal {
                base64: Some(_), ..
            } => return None,
            item => Reading::List(Box::new(item)),
        },
        _ => return None,
    })
}

fn unit(text: &str) -> Option<TimeUnit> {
    match text {
        "ms" => Some(TimeUnit::Millisecond),
        "us" => Some(TimeUnit::Microsecond),
        "ns" => Some(TimeUnit::Nanosecond),
        _ => None,
    }
}

fn decimal(arguments: &str) -> Option<Reading> {
    let mut parts = arguments.split(',').map(str::trim);
    let precision = parts
        .next()?
        .parse()
        .ok()
        .filter(|p| (1..=76).contains(p))?;
    let scale: i8 = parts.next()?.parse().ok()?;
    let base64 = match parts.next() {
        None => None,
        Some("base64") => Some(i32::from(scale)),
        Some(_) => return None,
    };
    let good = (0..=precision as i8).contains(&scale) && parts.next().is_none();
    good.then_some(Reading::Decimal {
        precision,
        scale,
        base64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<Reading>) {
        let declared = DeclaredSchema(vec![("x".to_owned(), text.to_owned())]);
        match (parse_declared(&declared), expect) {
            // The way through Arrow and back gives the same reading.
            (Ok(schema), Some(reading)) => {
                assert_eq!(Reading::of(schema.field(0)), reading, "{text}")
            }
            (Err(errors), None) => {
                assert!(errors[0].0 == "x" && errors[0].1.starts_with("unknown type"));
            }
            (found, expect) => panic!("{text}: found {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn names_of_sql_say_which_type_is_meant() {
        for name in [
            "BIGINT",
            "varchar(20)",
            "double precision",
            "timestamp",
            "number(10,2)",
        ] {
            let declared = DeclaredSchema(vec![("x".to_owned(), name.to_owned())]);
            let errors = parse_declared(&declared).unwrap_err();
            let meant = meant(name).expect("a known name");
            assert_eq!(
                errors[0].1,
                format!("unknown type `{name}`: write `{meant}`")
            );
            assert!(reading(meant).is_some(), "{meant}");
        }
        let declared = DeclaredSchema(vec![("x".to_owned(), "thing".to_owned())]);
        let errors = parse_declared(&declared).unwrap_err();
        assert!(errors[0].1.contains("bits(n)"), "{errors:?}");
    }

    #[test]
    fn every_type_name() {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond};
        let decimal = |precision, scale, base64| Reading::Decimal {
            precision,
            scale,
            base64,
        };
        for (text, integer) in [
            ("int8", DataType::Int8),
            ("int16", DataType::Int16),
            ("int32", DataType::Int32),
            ("int64", DataType::Int64),
            ("uint8", DataType::UInt8),
            ("uint16", DataType::UInt16),
            ("uint32", DataType::UInt32),
            ("uint64", DataType::UInt64),
        ] {
            check(text, Some(Reading::Integer(integer)));
        }
        for (text, reading) in [
            ("boolean", Reading::Boolean),
            ("float32", Reading::Float32),
            ("float64", Reading::Float64),
            ("string", Reading::Text),
            ("binary", Reading::Binary),
            ("date", Reading::Date),
            ("time(ms)", Reading::Time(Millisecond)),
            ("time(us)", Reading::Time(Microsecond)),
            ("time(ns)", Reading::Time(Nanosecond)),
            ("timestamp(ms)", Reading::Timestamp(Millisecond)),
            ("timestamp(us)", Reading::Timestamp(Microsecond)),
            ("timestamp(ns)", Reading::Timestamp(Nanosecond)),
            ("timestamptz", Reading::Instant),
            ("numeric", Reading::Numeric),
            ("json", Reading::Json),
            ("uuid", Reading::Uuid),
            ("interval", Reading::Interval),
            ("timetz", Reading::TimeTz),
            ("xml", Reading::Xml),
            ("bits(5)", Reading::Bits(5)),
            (" Decimal( 12 , 2 ) ", decimal(12, 2, None)),
            ("decimal(50,2)", decimal(50, 2, None)),
            ("decimal(12,2,base64)", decimal(12, 2, Some(2))),
            ("list(uuid)", Reading::List(Box::new(Reading::Uuid))),
            (
                "list(decimal(5,2))",
                Reading::List(Box::new(decimal(5, 2, None))),
            ),
        ] {
            check(text, Some(reading));
        }
        for text in [
            "",
            "int",
            "time",
            "time(s)",
            "decimal",
            "decimal(77,2)",
            "decimal(2,5)",
            "decimal(5,2,hex)",
            "bits",
            "bits(0)",
            "list",
            "list(int)",
            "list(int8",
            "int8(4)",
            "list(decimal(5,2,base64))",
        ] {
            check(text, None);
        }
    }
}
