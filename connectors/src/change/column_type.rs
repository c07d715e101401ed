//! What the type of a column says beyond Arrow: SQL types that Arrow has no type for, and columns whose type
//! nobody declared.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

/// A type that Arrow cannot say, carried as text or bytes with this name in the field's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logical {
    /// Utf8: a JSON document.
    Json,
    /// Utf8: a UUID.
    Uuid,
    /// Utf8: a decimal of any precision and scale, or `NaN`, `Infinity`, `-Infinity`.
    Numeric,
    /// Utf8 of `0` and `1`, most significant first, of this many bits.
    Bits(u32),
    /// Utf8: a time of day with an offset.
    TimeTz,
    /// Utf8: an ISO 8601 duration, which may hold months.
    Interval,
    /// Utf8: an XML document.
    Xml,
}

/// The metadata key that marks a column as undeclared.
pub(super) const UNDECLARED: &str = "syncline.undeclared";

pub(super) const LOOSE: &str = "loose";

/// Its value where no value is at hand.
pub(super) const NO_KIND: &str = "nothing";

/// The field as one whose type no schema declares.
pub fn undeclared(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(UNDECLARED.to_owned(), "values".to_owned());
    field.with_metadata(metadata)
}

/// Whether no schema declares the type of the column: it is that of the values at hand.
pub fn is_undeclared(field: &Field) -> bool {
    field.metadata().contains_key(UNDECLARED)
}

/// An undeclared column of which no value is at hand: nothing but nulls, as text.
pub fn without_kind(name: impl Into<String>) -> Field {
    let metadata = HashMap::from([(UNDECLARED.to_owned(), NO_KIND.to_owned())]);
    Field::new(name, DataType::Utf8, true).with_metadata(metadata)
}

/// An undeclared column of texts as one of a format that has nothing but texts: the sink reads each as
/// the value that it spells. Any other column as it is.
pub(crate) fn loose_text(field: &Arc<Field>) -> Arc<Field> {
    if !is_undeclared(field) || has_no_kind(field) || *field.data_type() != DataType::Utf8 {
        return field.clone();
    }
    let mut metadata = field.metadata().clone();
    metadata.insert(UNDECLARED.to_owned(), LOOSE.to_owned());
    Arc::new(field.as_ref().clone().with_metadata(metadata))
}

/// Whether the texts of an undeclared column may spell values of any type, as in CSV.
pub(crate) fn is_loose_text(field: &Field) -> bool {
    field.metadata().get(UNDECLARED).map(String::as_str) == Some(LOOSE)
}

/// Whether no value of an undeclared column is at hand.
pub fn has_no_kind(field: &Field) -> bool {
    field.metadata().get(UNDECLARED).map(String::as_str) == Some(NO_KIND)
}

/// The metadata key of [`Logical`].
pub(super) const LOGICAL: &str = "syncline.logical";

impl Logical {
    /// The logical type of a field.
    pub fn of(field: &Field) -> Option<Self> {
        let text = field.metadata().get(LOGICAL)?;
        Some(match text.as_str() {
            "json" => Self::Json,
            "uuid" => Self::Uuid,
            "numeric" => Self::Numeric,
            "timetz" => Self::TimeTz,
            "interval" => Self::Interval,
            "xml" => Self::Xml,
            bits => Self::Bits(bits.strip_prefix("bits:")?.parse().ok()?),
        })
    }

    /// A nullable text field of this logical type.
    pub fn field(&self, name: impl Into<String>) -> Field {
        Field::new(name, DataType::Utf8, true).with_metadata(self.metadata())
    }

    /// The metadata that says so.
    pub fn metadata(&self) -> HashMap<String, String> {
        let text = match self {
            Self::Json => "json".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Numeric => "numeric".to_owned(),
            Self::Bits(length) => format!("bits:{length}"),
            Self::TimeTz => "timetz".to_owned(),
            Self::Interval => "interval".to_owned(),
            Self::Xml => "xml".to_owned(),
        };
        HashMap::from([(LOGICAL.to_owned(), text)])
    }
}
