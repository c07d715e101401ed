//! What a database must be able to do to be read, and the values as they come.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::Field;

use crate::error::Result;
use crate::sql::catalogue::TargetColumn;
use crate::sql::connection::Connection;
use crate::sql::failure::Failure;

/// A database that is read. Every value comes as JSON of what the column's field expects, whatever the
/// database sends, so that one set of rules reads them all.
pub(crate) trait ReadRows: Connection {
    /// What makes JSON of the values of one column.
    type Reader: Clone + Send + Sync + 'static;

    /// The SQL that gives the values of a column, and what makes JSON of them. `quoted` is its name.
    ///
    /// # Errors
    /// `Configuration` for a column that cannot be read without loss.
    fn reader(
        column: &TargetColumn,
        quoted: &str,
        field: &Arc<Field>,
    ) -> Result<(String, Self::Reader)>;

    /// How rows are ordered by a column; `None` where a text cannot say the place of each of its values.
    fn order(column: &TargetColumn, quoted: &str, field: &Field) -> Option<Order>;

    /// Runs a `SELECT` whose columns are those of `readers` and, behind them, `places` texts.
    fn rows(
        &mut self,
        sql: String,
        readers: Arc<[Self::Reader]>,
        places: usize,
    ) -> impl Future<Output = Result<Cells, Failure>> + Send;
}

/// How rows are ordered by a column.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// SQL that gives the value as a text.
    pub(crate) text: String,
    /// Such a text as a SQL literal that is that value for the column; `None` where it is none.
    pub(crate) literal: fn(&str) -> Option<String>,
    /// A condition for values that have no place, besides null: of another class than the column's type.
    pub(crate) unplaced: Option<String>,
}

/// The values of rows, row after row: JSON or, at the end of a row, texts that say its place.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    bytes: Vec<u8>,
    cells: Vec<Option<Range<usize>>>,
}

impl Cells {
    /// Appends a null.
    pub(crate) fn push_null(&mut self) {
        self.cells.push(None);
    }

    /// Appends a value.
    pub(crate) fn push(&mut self, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.cells.push(Some(start..self.bytes.len()));
    }

    /// Appends a value or a null.
    pub(crate) fn push_option(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }

    /// How many values there are, nulls among them.
    pub(in crate::sql) fn len(&self) -> usize {
        self.cells.len()
    }

    /// How many bytes the values have.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The value at `index`.
    pub(in crate::sql) fn get(&self, index: usize) -> Option<&[u8]> {
        self.cells[index]
            .as_ref()
            .map(|range| &self.bytes[range.clone()])
    }
}

/// A number as a literal.
pub(crate) fn number_literal(text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    // In brackets, so that two signs are no comment.
    is_number.then(|| format!("({text})"))
}

/// Hexadecimal digits as a literal of bytes, as MySQL and SQLite write it.
pub(crate) fn hex_literal(text: &str) -> Option<String> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| format!("x'{text}'"))
}

/// A text as a literal.
pub(crate) fn text_literal(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| crate::sql::identifier::literal(text))
}
