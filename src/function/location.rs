//! Converts positions in the text: the parser counts lines and characters from one, a problem names
//! bytes.

use std::ops::Range;

use datafusion_sql::sqlparser::ast::{Expr as SqlExpr, Spanned};
use datafusion_sql::sqlparser::tokenizer::{Location, Span};

/// The byte range of a span; the whole text if the parser gives no span.
pub(super) fn bytes(text: &str, span: Span) -> Range<usize> {
    if span == Span::empty() {
        return 0..text.len();
    }
    let start = offset(text, span.start);
    start..offset(text, span.end).max(start)
}

/// The byte range between two operands, where their operator is.
pub(super) fn operator_between(text: &str, left: &SqlExpr, right: &SqlExpr) -> Range<usize> {
    let (start, end) = (
        bytes(text, left.span()).end,
        bytes(text, right.span()).start,
    );
    let between = text.get(start..end).unwrap_or_default();
    let is_around = |c: char| c.is_whitespace() || c == '(' || c == ')';
    let operator = between.trim_matches(is_around);
    if operator.is_empty() {
        return bytes(text, left.span().union(&right.span()));
    }
    let skipped = between.len() - between.trim_start_matches(is_around).len();
    start + skipped..start + skipped + operator.len()
}

/// Splits the position off a message that ends with `… at Line: 1, Column: 5`.
pub(super) fn split_location(message: &str) -> (&str, Option<Location>) {
    let split = || {
        let (before, at) = message.rsplit_once(" at Line: ")?;
        let (line, column) = at.split_once(", Column: ")?;
        Some((
            before,
            Location {
                line: line.parse().ok()?,
                column: column.parse().ok()?,
            },
        ))
    };
    match split() {
        Some((before, location)) => (before, Some(location)),
        None => (message, None),
    }
}

/// The byte offset of a line and column, which count from one in characters.
pub(super) fn offset(text: &str, location: Location) -> usize {
    let line_start = match location.line {
        0 | 1 => 0,
        line => text
            .match_indices('\n')
            .nth(line as usize - 2)
            .map_or(text.len(), |(index, _)| index + 1),
    };
    text[line_start..]
        .char_indices()
        .nth((location.column as usize).saturating_sub(1))
        .map_or(text.len(), |(index, _)| line_start + index)
}
