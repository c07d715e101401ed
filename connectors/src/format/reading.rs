//! How a JSON value becomes a value of a column (R3), and when it means "unchanged" (R14).
//!
//! One [`Reading`] serves columns that a Connect schema describes, columns that the TOML describes, and
//! values that the sink reads as the target's type: a number of days and an ISO date are both read as
//! a date. A column that nothing describes is read as what its values are ([`Found`]).
//! What cannot be represented exactly is a fault. `null` is null. The placeholder for unavailable
//! values, as text, as base64, or as the items of an array, is unset.

mod append;
mod found;
mod value;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub(super) use self::found::{Found, Kind};
use super::fault::Parsed;
use super::scan::Cursor;
use crate::change::Logical;

/// The field metadata that says that a declared decimal comes as base64.
pub(super) const ENCODING: &str = "syncline.encoding";

/// The largest `bits(n)` whose leading zeros are written out; a source without a bound says more.
const BITS_MAX: u32 = 1 << 16;

/// See the module docs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing but nulls: any value is a fault.
    Nothing,
    /// Of a column that nobody declared.
    Found(Found),
    Boolean,
    /// One of the eight integer types.
    Integer(DataType),
    Float32,
    Float64,
    /// A number that a double cannot hold exactly is a fault.
    ExactFloat64,
    /// The same of a float of 32 bits.
    ExactFloat32,
    Text,
    Binary,
    /// Days since the epoch, or ISO text.
    Date,
    /// Units since midnight, or ISO text.
    Time(TimeUnit),
    /// Units since the epoch, or ISO text.
    Timestamp(TimeUnit),
    /// ISO text with an offset, or microseconds since the epoch.
    Instant,
    /// Units.
    Duration(TimeUnit),
    /// A number or its text; base64 only where `base64` says the scale of its integers.
    Decimal {
        precision: u8,
        scale: i8,
        base64: Option<i32>,
    },
    /// A number, its text, or `{scale, value}`.
    Numeric,
    /// A number, or base64 of an integer of this scale: a decimal of more than 76 digits.
    ScaledNumeric(i32),
    /// base64 of little-endian bytes, a text of `0` and `1`, or a boolean for one bit.
    Bits(u32),
    Uuid,
    TimeTz,
    Interval,
    Xml,
    /// A string holds a document; anything else is one.
    Json,
    /// Any value, strings with their quotes, is a document.
    RawJson,
    /// A string holds a document, whatever it holds; anything else is one. As Syncline keeps it.
    KeptJson,
    List(Box<Reading>),
}

/// The placeholder for unavailable values in the forms that it comes in (R14).
#[derive(Debug)]
pub(super) struct Placeholder {
    text: Vec<u8>,
    base64: Vec<u8>,
    map: Vec<u8>,
}

/// What Debezium puts into an array of UUIDs: the name-based UUID of its default placeholder.
const DEFAULT_UUID: &[u8] = b"b68a35a7-17ad-35b3-af2a-ae46edb4545a";

impl Placeholder {
    pub(super) fn new(text: &str) -> Self {
        let quoted = serde_json::Value::from(text).to_string();
        Self {
            text: text.as_bytes().to_vec(),
            base64: BASE64.encode(text).into_bytes(),
            map: format!("{{{quoted}:{quoted}}}").into_bytes(),
        }
    }

    /// An empty placeholder would make every empty string unavailable: it stands for none.
    #[inline]
    fn is(&self, text: &[u8]) -> bool {
        let forms = [&self.text, &self.base64, &self.map];
        !self.text.is_empty() && forms.iter().any(|form| text == form.as_slice())
    }

    /// Whether a JSON text is it: in quotes, as an object, or as the only item of an array.
    fn is_document(&self, text: &[u8]) -> bool {
        let between = |open: &[u8], close: &[u8]| text.strip_prefix(open)?.strip_suffix(close);
        let forms = [Some(text), between(b"\"", b"\""), between(b"[\"", b"\"]")];
        forms.into_iter().flatten().any(|text| self.is(text))
    }

    /// Passes the value that stands next where it is the placeholder, and says whether it was.
    pub(super) fn take(&self, cursor: &mut Cursor<'_>) -> Parsed<bool> {
        if self.text.is_empty() || !matches!(cursor.peek(), b'"' | b'[' | b'{') {
            return Ok(false);
        }
        let mut ahead = cursor.clone();
        let is_it = if ahead.peek() == b'"' {
            self.is(&ahead.string()?.unescape()?)
        } else {
            ahead.skip_checked()?;
            self.is_document(ahead.since(cursor.at()))
        };
        if is_it {
            *cursor = ahead;
        }
        Ok(is_it)
    }
}

impl Reading {
    /// Of a declared field, or one of the target's. Types that no JSON value fits are read as JSON text.
    pub(super) fn of(field: &Field) -> Self {
        match (Logical::of(field), field.data_type()) {
            (Some(Logical::Json), _) => Self::Json,
            (Some(Logical::Uuid), _) => Self::Uuid,
            (Some(Logical::Numeric), _) => Self::Numeric,
            (Some(Logical::Bits(length)), _) => Self::Bits(length),
            (Some(Logical::TimeTz), _) => Self::TimeTz,
            (Some(Logical::Interval), _) => Self::Interval,
            (Some(Logical::Xml), _) => Self::Xml,
            (None, DataType::Boolean) => Self::Boolean,
            (None, integer) if integer.is_integer() => Self::Integer(integer.clone()),
            (None, DataType::Float32) => Self::Float32,
            (None, DataType::Float64) => Self::Float64,
            (None, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => Self::Text,
            (None, DataType::Binary | DataType::LargeBinary | DataType::BinaryView) => Self::Binary,
            (None, DataType::Date32 | DataType::Date64) => Self::Date,
            (None, DataType::Time32(_)) => Self::Time(TimeUnit::Millisecond),
            (None, DataType::Time64(unit)) => Self::Time(*unit),
            (None, DataType::Timestamp(unit, None)) => Self::Timestamp(*unit),
            (None, DataType::Timestamp(_, Some(_))) => Self::Instant,
            (None, DataType::Duration(unit)) => Self::Duration(*unit),
            (
                None,
                DataType::Decimal32(precision, scale)
                | DataType::Decimal64(precision, scale)
                | DataType::Decimal128(precision, scale)
                | DataType::Decimal256(precision, scale),
            ) => Self::Decimal {
                precision: *precision,
                scale: *scale,
                base64: (field.metadata().get(ENCODING).map(String::as_str) == Some("base64"))
                    .then_some(i32::from(*scale)),
            },
            (None, DataType::List(item) | DataType::LargeList(item)) => {
                Self::List(Box::new(Self::of(item)))
            }
            (None, _) => Self::Json,
        }
    }

    /// Whether values of an embedded schema that are read so are JSON strings.
    pub(super) fn comes_as_text(&self) -> bool {
        matches!(self, Self::Instant | Self::TimeTz | Self::Interval)
    }

    /// The nullable field that holds what is read.
    pub(super) fn field(&self, name: &str) -> Field {
        let logical = match self {
            Self::Numeric | Self::ScaledNumeric(_) => Logical::Numeric,
            Self::Bits(length) => Logical::Bits(*length),
            Self::Uuid => Logical::Uuid,
            Self::TimeTz => Logical::TimeTz,
            Self::Interval => Logical::Interval,
            Self::Xml => Logical::Xml,
            Self::Json | Self::RawJson | Self::KeptJson => Logical::Json,
            Self::Found(found) => return found.field(name),
            _ => return Field::new(name, self.data_type(), true),
        };
        logical.field(name)
    }

    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer(data_type) => data_type.clone(),
            Self::Float32 | Self::ExactFloat32 => DataType::Float32,
            Self::Float64 | Self::ExactFloat64 => DataType::Float64,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time(TimeUnit::Second | TimeUnit::Millisecond) => {
                DataType::Time32(TimeUnit::Millisecond)
            }
            Self::Time(unit) => DataType::Time64(*unit),
            Self::Timestamp(unit) => DataType::Timestamp(*unit, None),
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Duration(unit) => DataType::Duration(*unit),
            Self::Decimal {
                precision, scale, ..
            } if *precision <= 38 => DataType::Decimal128(*precision, *scale),
            Self::Decimal {
                precision, scale, ..
            } => DataType::Decimal256(*precision, *scale),
            Self::List(item) => DataType::List(Arc::new(item.field("item"))),
            Self::Found(found) => found.data_type(),
            _ => DataType::Utf8,
        }
    }

    /// For messages, in the words of a declared schema.
    fn expected(&self) -> String {
        match self {
            Self::Nothing => "null".to_owned(),
            Self::Found(_) => "a value".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Integer(data_type) => data_type.to_string().to_lowercase(),
            Self::Float32 | Self::ExactFloat32 => "float32".to_owned(),
            Self::Float64 | Self::ExactFloat64 => "float64".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Binary => "base64 of binary".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time(_) => "time".to_owned(),
            Self::Timestamp(_) => "timestamp".to_owned(),
            Self::Instant => "timestamptz".to_owned(),
            Self::Duration(_) => "a duration".to_owned(),
            Self::Decimal {
                precision, scale, ..
            } => format!("decimal({precision},{scale})"),
            Self::Numeric | Self::ScaledNumeric(_) => "numeric".to_owned(),
            Self::Bits(length) => format!("bits({length})"),
            Self::Uuid => "uuid".to_owned(),
            Self::TimeTz => "timetz".to_owned(),
            Self::Interval => "interval".to_owned(),
            Self::Xml => "xml".to_owned(),
            Self::Json | Self::RawJson | Self::KeptJson => "json".to_owned(),
            Self::List(item) => format!("list({})", item.expected()),
        }
    }
}
