//! Values of a column that nobody declared, read as what they are (R19).
//!
//! A value of another kind than the column has at the moment is a fault: the column then takes on the
//! kind of that value, in a batch of its own. An unavailable value fits every kind (R14).

use arrow::datatypes::{DataType, Field};

use super::append::{append_text, push_bytes, push_integer, read_document};
use super::{Placeholder, Reading};
use crate::change::{Logical, undeclared, without_kind};
use crate::format::column::{Column, Values};
use crate::format::decimal;
use crate::format::fault::{Fault, Parsed};
use crate::format::scan::Cursor;

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) enum Kind {
    /// Null, or nothing was seen.
    Nothing,
    Boolean,
    /// A whole number of 64 bits, written without a point: Int64.
    Integer,
    /// A fraction that a double holds exactly, where an expression computes with it: Float64.
    Float,
    /// Any number: its digits as text. Where an expression computes with it, only what neither Int64
    /// nor a double holds exactly.
    Number,
    Text,
    /// An object or an array: its JSON text.
    Document,
}

/// How a column of a kind is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct Found {
    pub(in crate::format) kind: Kind,
    /// An expression computes with the column, so that each number keeps a type of its own: what
    /// `price / 2` gives must not depend on the other rows of its batch.
    pub(in crate::format) computed: bool,
}

impl Kind {
    /// Of the value that stands next, which is passed.
    pub(in crate::format) fn of(cursor: &mut Cursor<'_>, computed: bool) -> Parsed<Self> {
        let kind = match cursor.peek() {
            b'n' => Self::Nothing,
            b't' | b'f' => Self::Boolean,
            b'"' => Self::Text,
            b'{' | b'[' => Self::Document,
            _ => return Ok(Self::of_number(cursor.number()?, computed)),
        };
        cursor.skip_checked()?;
        Ok(kind)
    }

    fn of_number(text: &[u8], computed: bool) -> Self {
        if whole(text).is_some() {
            return Self::Integer;
        }
        let value = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<f64>().ok());
        match value {
            Some(value)
                if computed && value.is_finite() && decimal::is_exact_float(text, value) =>
            {
                Self::Float
            }
            _ => Self::Number,
        }
    }
}

/// A whole number of 64 bits that is written without a point, also as `1e2`.
fn whole(text: &[u8]) -> Option<i64> {
    let plain = decimal::plain(text).ok()?;
    std::str::from_utf8(&plain).ok()?.parse().ok()
}

impl Found {
    /// Whether a value of this kind goes into the column as it is.
    pub(in crate::format) fn holds(self, value: Kind) -> bool {
        match value {
            Kind::Nothing => true,
            Kind::Integer if self.kind == Kind::Number => !self.computed,
            value => value == self.kind,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self.kind {
            Kind::Boolean => DataType::Boolean,
            Kind::Integer => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Nothing | Kind::Number | Kind::Text | Kind::Document => DataType::Utf8,
        }
    }

    /// The field, marked as undeclared.
    pub(super) fn field(self, name: &str) -> Field {
        if self.kind == Kind::Nothing {
            return without_kind(name);
        }
        undeclared(match self.kind {
            Kind::Number => Logical::Numeric.field(name),
            Kind::Document => Logical::Json.field(name),
            _ => Field::new(name, self.data_type(), true),
        })
    }

    /// As [`Reading::read`]; null is passed already.
    #[inline]
    pub(super) fn read(
        self,
        next: u8,
        cursor: &mut Cursor<'_>,
        column: &mut Column,
        placeholder: &Placeholder,
    ) -> Parsed<()> {
        match (self.kind, next) {
            (Kind::Text, b'"') => return append_text(cursor.string()?, column, placeholder),
            (Kind::Integer, b'-' | b'0'..=b'9') => {
                let value = match cursor.small_integer() {
                    Some(value) => value,
                    None => whole(cursor.number()?).ok_or_else(another_kind)?,
                };
                push_integer(&mut column.values, value.into());
                column.finish_value();
                return Ok(());
            }
            (Kind::Boolean, b't' | b'f') => {
                return Reading::Boolean.read(cursor, column, placeholder);
            }
            (Kind::Document, b'{' | b'[') => return read_document(cursor, column, placeholder),
            (Kind::Float | Kind::Number, b'-' | b'0'..=b'9') => {
                return self.read_number(cursor.number()?, column);
            }
            _ => {}
        }
        if placeholder.take(cursor)? {
            column.append_unset();
            return Ok(());
        }
        Err(another_kind())
    }

    fn read_number(self, text: &[u8], column: &mut Column) -> Parsed<()> {
        if self.computed && Kind::of_number(text, true) != self.kind {
            return Err(another_kind());
        }
        if let Values::Float64(values) = &mut column.values {
            let value = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok());
            values.push(value.ok_or_else(another_kind)?);
        } else {
            let text = decimal::plain(text)?;
            push_bytes(column, &text);
        }
        column.finish_value();
        Ok(())
    }
}

/// Seen by a person only where the value is broken, too.
#[cold]
fn another_kind() -> Box<Fault> {
    Fault::value("found a value of another kind than the rows before")
}
