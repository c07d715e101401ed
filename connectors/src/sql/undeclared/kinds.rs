//! What the values of an undeclared column are, and which columns of a target hold them.

use arrow::array::{Array, AsArray};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Field, Int64Type};

use crate::change::{Changes, Logical, Operation, has_no_kind, is_loose_text};
use crate::sql::dialect::Dialect;
use crate::sql::dialect::Fit;
use crate::sql::types::{arrow_field, default_type, fit};

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    /// A whole number of 64 bits.
    Integer,
    /// Any other number.
    Number,
    Text,
    /// A text of a format that has nothing else, as CSV.
    LooseText,
    /// An object or an array.
    Document,
}

impl Kind {
    /// The kind of the values of a column: of one of numbers as text, that of the number `text`.
    fn of(field: &Field, text: impl FnOnce() -> Kind) -> Option<Self> {
        if has_no_kind(field) {
            return None;
        }
        if is_loose_text(field) {
            return Some(Self::LooseText);
        }
        Some(match (Logical::of(field), field.data_type()) {
            (Some(Logical::Numeric), _) => text(),
            (Some(Logical::Json), _) => Self::Document,
            (_, DataType::Boolean) => Self::Boolean,
            (_, data_type) if data_type.is_integer() => Self::Integer,
            (_, data_type) if data_type.is_floating() => Self::Number,
            _ => Self::Text,
        })
    }

    fn of_number(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(_) => Self::Integer,
            Err(_) => Self::Number,
        }
    }

    /// The column that a table gets for such values.
    pub(crate) fn field(self, name: &str) -> Field {
        match self {
            Self::Boolean => Field::new(name, DataType::Boolean, true),
            Self::Integer => Field::new(name, DataType::Int64, true),
            Self::Number => Logical::Numeric.field(name),
            Self::Text | Self::LooseText => Field::new(name, DataType::Utf8, true),
            Self::Document => Logical::Json.field(name),
        }
    }
}

/// What the values of one column are, as far as they can make or change a column of the target: those
/// of a key, and of the others those that are not of a delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// The first row with a value, and its kind.
    pub(crate) first: Option<(usize, Kind)>,
    /// A number has digits after its point.
    fraction: bool,
    /// A whole number is larger than 64 bits.
    large: bool,
    /// The least and the greatest whole number of 64 bits.
    range: Option<(i64, i64)>,
}

impl Kinds {
    /// Of a column, but for the rows for which `without` is true.
    pub(super) fn of(changes: &Changes, column: usize, is_key: bool, without: &[bool]) -> Self {
        let array = changes.rows.column(column);
        let schema = changes.schema();
        let field = schema.field(column);
        let counts = |row: usize| match changes.operations[row] {
            Operation::Truncate => false,
            Operation::Delete => is_key,
            _ => true,
        };
        let rows = (0..changes.len())
            .filter(|&row| array.is_valid(row) && counts(row))
            .filter(|&row| !without.get(row).copied().unwrap_or_default());
        let Some(first) = rows.clone().next() else {
            return Self::default();
        };
        let mut kinds = Self::default();
        let is_numeric = Logical::of(field) == Some(Logical::Numeric);
        let kind = Kind::of(field, || {
            Kind::of_number(array.as_string::<i32>().value(first))
        });
        kinds.first = kind.map(|kind| (first, kind));
        if is_numeric {
            let texts = array.as_string::<i32>();
            for row in rows {
                let text = texts.value(row);
                match text.parse::<i64>() {
                    Ok(value) => kinds.widen(value, value),
                    Err(_) if text.contains('.') => kinds.fraction = true,
                    Err(_) => kinds.large = true,
                }
            }
        } else if field.data_type().is_floating() {
            kinds.fraction = true;
        } else if *field.data_type() == DataType::Int64 {
            let values = array.as_primitive::<Int64Type>();
            if !without.is_empty() || changes.operations.contains(&Operation::Delete) {
                rows.for_each(|row| kinds.widen(values.value(row), values.value(row)));
            } else if let (Some(least), Some(most)) = (min(values), max(values)) {
                kinds.widen(least, most);
            }
        }
        kinds
    }

    fn widen(&mut self, least: i64, most: i64) {
        let (low, high) = self.range.unwrap_or((least, most));
        self.range = Some((low.min(least), high.max(most)));
    }

    /// Whether a number is not a whole one of 64 bits.
    fn needs_digits(&self) -> bool {
        self.fraction || self.large
    }

    /// The column that a table without it gets: for all values where a database can widen a column,
    /// which then ends as if they had come one by one; else for the first.
    pub(crate) fn made(&self, dialect: &'static Dialect, name: &str) -> Option<Field> {
        let (_, kind) = self.first?;
        let widens = dialect.widens && self.needs_digits();
        Some(match kind {
            Kind::Integer if widens => Kind::Number.field(name),
            kind => kind.field(name),
        })
    }
}

/// Whether a column of the target holds values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Suit {
    /// Each value is read by itself; one that does not fit is refused.
    Reads,
    /// With this type every value would be read.
    Widen(String),
    /// None of that kind ever is.
    Never,
}

/// Whether a column of `sql_type` holds the values.
pub(crate) fn suit(dialect: &'static Dialect, kinds: &Kinds, sql_type: &str) -> Suit {
    use DataType as D;
    let Some((_, kind)) = kinds.first else {
        return Suit::Reads;
    };
    let target = arrow_field(dialect, "column", sql_type);
    let logical = Logical::of(&target);
    let data_type = target.data_type();
    let plain_text = logical.is_none() && *data_type == D::Utf8;
    let reads_if = |reads: bool| if reads { Suit::Reads } else { Suit::Never };
    if plain_text || logical == Some(Logical::Json) {
        return Suit::Reads;
    }
    match kind {
        Kind::Integer | Kind::Number if logical.is_none() && data_type.is_integer() => {
            integer_suit(dialect, kinds, sql_type, data_type)
        }
        Kind::Integer | Kind::Number => match logical {
            // A unit is missing there: the value says so, and what to do.
            Some(Logical::Numeric | Logical::TimeTz | Logical::Interval) => Suit::Reads,
            Some(_) => Suit::Never,
            None => reads_if(!matches!(
                data_type,
                D::Boolean | D::Binary | D::List(_) | D::Utf8
            )),
        },
        Kind::LooseText => Suit::Reads,
        Kind::Boolean => reads_if(*data_type == D::Boolean || logical == Some(Logical::Bits(1))),
        Kind::Text => {
            reads_if(logical.is_some() || !(data_type.is_integer() || *data_type == D::Boolean))
        }
        Kind::Document => {
            reads_if(matches!(data_type, D::List(_)) || logical == Some(Logical::Numeric))
        }
    }
}

fn integer_suit(
    dialect: &'static Dialect,
    kinds: &Kinds,
    sql_type: &str,
    target: &DataType,
) -> Suit {
    let unsigned = *target == DataType::UInt64;
    if kinds.fraction || (kinds.large && !unsigned) {
        // SQLite cannot change a type; its columns hold any number.
        return match default_type(dialect, &Kind::Number.field("column")) {
            Ok(sql_type) if dialect.widens => Suit::Widen(sql_type),
            _ => Suit::Reads,
        };
    }
    let Some((least, most)) = kinds.range else {
        return Suit::Reads;
    };
    let (low, high): (i128, i128) = match target {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return Suit::Reads,
    };
    if i128::from(least) >= low && i128::from(most) <= high {
        return Suit::Reads;
    }
    match fit(dialect, &Kind::Integer.field("column"), sql_type) {
        Fit::Widen(sql_type) => Suit::Widen(sql_type),
        _ => Suit::Reads,
    }
}

/// The field metadata that says that a column has the type of the target's.
const LENT: &str = "syncline.lent";

/// Whether a column has the type of the target's: it fits, and its changes may carry others.
pub(crate) fn is_lent(field: &Field) -> bool {
    field.metadata().contains_key(LENT)
}

pub(super) fn lent_field(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(LENT.to_owned(), "true".to_owned());
    field.with_metadata(metadata)
}
