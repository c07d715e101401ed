//! A pipeline file as a tree in which every key and value has its byte range in the file.
//!
//! The checks walk this tree. A later [`Problem`](crate::problem::Problem) has a path and perhaps a
//! range inside a string; the tree converts them to bytes of the file, through the quoting, escapes
//! and substituted references of the string.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::report::{Report, Source};
use super::secret::{Secret, redact};
use crate::problem::Problem;

/// A parsed pipeline file, kept to show later problems at their positions.
pub struct Document {
    source: Arc<Source>,
    root: Node,
    secrets: Vec<Secret>,
}

/// Shows only the path: the values can be secrets.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&self.path()).finish()
    }
}

impl Document {
    pub(crate) fn new(source: Arc<Source>, root: Node, secrets: Vec<Secret>) -> Self {
        Self {
            source,
            root,
            secrets,
        }
    }

    /// Creates a report that shows the problems at their positions in the file.
    pub fn report(&self, mut problems: Vec<Problem>) -> Report {
        for problem in &mut problems {
            let inner = problem.span.take();
            if problem.file_span.is_none() {
                let text = &self.source.text;
                problem.file_span = self.root.locate(text, &problem.path, inner.as_ref());
            }
        }
        Report::new(&self.source, problems, &self.secrets)
    }

    /// Replaces values that came from a `${…}` by the reference, for a log line or a terminal.
    pub fn redact(&self, text: &str) -> String {
        redact(text, &self.secrets)
    }

    /// The file's path as the user gave it.
    pub fn path(&self) -> &str {
        &self.source.path
    }

    /// The folder that relative `${file:…}` references start from.
    pub fn folder(&self) -> &Path {
        Path::new(&self.source.path)
            .parent()
            .unwrap_or(Path::new(""))
    }
}

/// A value with its position.
#[derive(Clone)]
pub(crate) struct Node {
    /// The byte range in the file; for a table with a header, the header's range.
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// A TOML value.
#[derive(Clone)]
pub(crate) enum Value {
    Text(Text),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A TOML date, time or date-time, as text.
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

/// A string. After substitution it knows which parts came from references.
#[derive(Clone, Default)]
pub(crate) struct Text {
    /// The value after substitution.
    pub(crate) text: String,
    /// Maps byte ranges of `text` to byte ranges of the parsed string; empty if nothing was
    /// substituted.
    pub(crate) pieces: Vec<Piece>,
}

/// A part of a substituted string.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// The byte range in the final text.
    pub(crate) text: Range<usize>,
    /// The byte range in the parsed string before substitution.
    pub(crate) written: Range<usize>,
    /// Whether the part is a `${…}`, whose value must not be shown.
    pub(crate) reference: bool,
}

/// A syntax error: its byte range if the parser gives one, and its message.
pub(crate) type SyntaxError = (Option<Range<usize>>, String);

/// Parses TOML into a tree, or returns every syntax error that the parser finds.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors
            .into_iter()
            .map(|error| (error.span(), error.message().to_owned()))
            .collect());
    }
    let mut too_large = Vec::new();
    let root = Node {
        span: 0..0,
        value: Value::Table(table_entries(table.into_inner(), &mut too_large)),
    };
    if too_large.is_empty() {
        Ok(root)
    } else {
        Err(too_large)
    }
}

/// Parses a file, or reports every syntax error.
pub(crate) fn parse_source(source: &Arc<Source>) -> Result<Node, Report> {
    parse(&source.text).map_err(|errors| {
        let problems = errors
            .into_iter()
            .map(|(span, message)| Problem::new(&[], message).in_file(span))
            .collect();
        Report::new(source, problems, &[])
    })
}

impl Node {
    /// The value of `key`, if this is a table that contains it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entries of a table; empty if this is not a table.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// As [`Node::entries`], to change them.
    pub(crate) fn entries_mut(&mut self) -> &mut [Entry] {
        match &mut self.value {
            Value::Table(entries) => entries,
            _ => &mut [],
        }
    }

    /// The value, if this is a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// The byte range in `file` of the deepest value on `path` that exists; for a table with a
    /// header, the header. If the value is a string, the bytes of `inner` within it. `None` for the
    /// whole file.
    pub(crate) fn locate(
        &self,
        file: &str,
        path: &[String],
        inner: Option<&Range<usize>>,
    ) -> Option<Range<usize>> {
        let mut node = self;
        let mut depth = 0;
        for part in path {
            let next = match &node.value {
                Value::Table(_) => node.get(part),
                Value::Array(items) => part.parse().ok().and_then(|i: usize| items.get(i)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
            depth += 1;
        }
        if depth == 0 {
            return None;
        }
        match (&node.value, inner) {
            (Value::Text(text), Some(inner)) if depth == path.len() => {
                Some(text.locate(file, &node.span, inner))
            }
            _ => Some(node.span.clone()),
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }
}

impl Text {
    /// Whether a part of the text came from outside the file.
    pub(crate) fn is_substituted(&self) -> bool {
        self.pieces.iter().any(|piece| piece.reference)
    }

    /// Converts a byte range of the value to one of the file; `span` is the quoted string.
    fn locate(&self, file: &str, span: &Range<usize>, inner: &Range<usize>) -> Range<usize> {
        let written = self.before_substitution(inner);
        let Some(raw) = file.get(span.clone()) else {
            return span.clone();
        };
        let places = unquote(raw);
        let last = places.last().map_or(raw.len(), |place| place.end);
        let start = places.get(written.start).map_or(last, |place| place.start);
        let end = match written.end {
            end if end > written.start => places.get(end - 1).map_or(last, |place| place.end),
            _ => start,
        };
        span.start + start..span.start + end.max(start)
    }

    /// Converts a byte range of the value to one of the parsed string; a reference is included as a
    /// whole.
    fn before_substitution(&self, inner: &Range<usize>) -> Range<usize> {
        if self.pieces.is_empty() {
            return inner.clone();
        }
        let touched = self.pieces.iter().filter(|piece| {
            piece.text.start < inner.end.max(inner.start + 1) && inner.start < piece.text.end
        });
        let mut found: Option<Range<usize>> = None;
        for piece in touched {
            let part = if piece.reference {
                piece.written.clone()
            } else {
                let start = inner.start.max(piece.text.start) - piece.text.start;
                let end = inner.end.min(piece.text.end) - piece.text.start;
                // `$${` in the parsed string is one byte longer than `${` in the value.
                let escape = piece.written.len() - piece.text.len();
                let skip = if start > 0 { escape } else { 0 };
                piece.written.start + start + skip..piece.written.start + end + escape
            };
            found = Some(match found {
                None => part,
                Some(before) => before.start..part.end.max(before.end),
            });
        }
        let end = self.pieces.last().map_or(0, |piece| piece.written.end);
        found.unwrap_or(end..end)
    }
}

fn table_entries(table: DeTable<'_>, too_large: &mut Vec<SyntaxError>) -> Vec<Entry> {
    table
        .into_iter()
        .map(|(key, value)| Entry {
            key_span: key.span(),
            key: key.into_inner().into_owned(),
            node: to_node(value, too_large),
        })
        .collect()
}

fn to_node(value: toml::Spanned<DeValue<'_>>, too_large: &mut Vec<SyntaxError>) -> Node {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(Text {
            text: text.into_owned(),
            pieces: Vec::new(),
        }),
        DeValue::Integer(integer) => {
            match i128::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => Value::Integer(integer),
                Err(_) => {
                    too_large.push((Some(span.clone()), "the integer is too large".to_owned()));
                    Value::Integer(0)
                }
            }
        }
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| to_node(item, too_large))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(table_entries(table, too_large)),
    };
    Node { span, value }
}

/// For each byte of a string's value, its byte range in the quoted string.
fn unquote(raw: &str) -> Vec<Range<usize>> {
    let (open, escapes, multiline) = if raw.starts_with("\"\"\"") {
        (3, true, true)
    } else if raw.starts_with("'''") {
        (3, false, true)
    } else {
        (1, raw.starts_with('"'), false)
    };
    let end = raw.len().saturating_sub(open);
    let mut at = open;
    if multiline {
        // A newline directly after the opening quotes is not part of the value.
        for newline in ["\r\n", "\n"] {
            if raw[at..end].starts_with(newline) {
                at += newline.len();
                break;
            }
        }
    }
    let mut places = Vec::with_capacity(end.saturating_sub(at));
    while let Some(letter) = raw.get(at..end).and_then(|rest| rest.chars().next()) {
        let (written, bytes) = if letter == '\\' && escapes {
            escape(&raw[at..end])
        } else {
            (letter.len_utf8(), letter.len_utf8())
        };
        places.extend(std::iter::repeat_n(at..at + written, bytes));
        at += written;
    }
    places
}

/// The length of an escape sequence as written, and the number of bytes that it represents.
fn escape(rest: &str) -> (usize, usize) {
    let digits = match rest.as_bytes().get(1) {
        Some(b'x') => 2,
        Some(b'u') => 4,
        Some(b'U') => 8,
        Some(b' ' | b'\t' | b'\r' | b'\n') => {
            let blank = rest[1..].len() - rest[1..].trim_start().len();
            return (1 + blank, 0);
        }
        _ => return (2.min(rest.len()), 1),
    };
    let bytes = rest
        .get(2..2 + digits)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .and_then(char::from_u32)
        .map_or(0, char::len_utf8);
    ((2 + digits).min(rest.len()), bytes)
}

#[cfg(test)]
mod tests;
