//! A pipeline file as a tree in which every key and every value knows its bytes in the file.
//!
//! The tree is what the checks walk; a [`Problem`](crate::problem::Problem) found later, with a
//! path and perhaps a range inside a string, is led back to the same bytes, through the quoting,
//! the escapes and the substituted references of that string.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::report::{Flaw, Report, Source, redact};
use super::substitution::Secret;
use crate::problem::Problem;

/// A pipeline file that was parsed, kept to place problems that are found later.
pub struct Document {
    source: Arc<Source>,
    root: Node,
    secrets: Vec<Secret>,
}

/// Nothing but the path: the values may be secrets.
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

    /// Problems at their places in the file.
    pub fn report(&self, problems: Vec<Problem>) -> Report {
        self.report_with(Vec::new(), problems)
    }

    pub(crate) fn report_with(&self, mut flaws: Vec<Flaw>, problems: Vec<Problem>) -> Report {
        flaws.extend(problems.into_iter().map(|problem| {
            let inner = problem.span.as_ref();
            Flaw {
                span: self.root.locate(&self.source.text, &problem.path, inner),
                path: problem.path,
                message: problem.message,
                help: problem.help,
            }
        }));
        Report::new(&self.source, flaws, &self.secrets)
    }

    /// The text without the values that came through a `${…}`, for a log line or a terminal.
    pub fn redact(&self, text: &str) -> String {
        redact(text, &self.secrets)
    }

    /// The file's path as it was given.
    pub fn path(&self) -> &str {
        &self.source.path
    }

    /// The folder that relative references start from.
    pub fn folder(&self) -> &Path {
        Path::new(&self.source.path)
            .parent()
            .unwrap_or(Path::new(""))
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Node {
    /// Bytes in the file; for a table with a header, the header.
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// What stands there.
#[derive(Clone)]
pub(crate) enum Value {
    Text(Text),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A TOML date, time or date-time, as it is written.
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

/// A string; after substitution, with the references that parts of it came from.
#[derive(Clone, Default)]
pub(crate) struct Text {
    /// The value.
    pub(crate) text: String,
    /// Which bytes of `text` came from which bytes of the string as it was parsed; empty where
    /// nothing was substituted.
    pub(crate) pieces: Vec<Piece>,
}

/// A stretch of a substituted string.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Bytes of the final text.
    pub(crate) text: Range<usize>,
    /// Bytes of the parsed string before substitution.
    pub(crate) written: Range<usize>,
    /// Whether a `${…}` stands there, so that the value is not shown.
    pub(crate) reference: bool,
}

/// A syntax error: its bytes where the parser says them, and what it says.
pub(crate) type SyntaxError = (Option<Range<usize>>, String);

/// Parses TOML into a tree; every syntax error that the parser can recover from is reported.
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

impl Node {
    /// The value under `key`, where this is a table that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entries of a table; none where this is no table.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The bytes in `file` that a path leads to, as deep as it goes: the value (for a table of its
    /// own, the header), and within a string the bytes of `inner`. `None` for the whole file.
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
    /// Whether any part came from outside the file.
    pub(crate) fn is_substituted(&self) -> bool {
        self.pieces.iter().any(|piece| piece.reference)
    }

    /// The bytes of the file that bytes of the value came from; `span` is the quoted string.
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

    /// Bytes of the parsed string that `inner` came from; a reference is taken whole.
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
                // An escaped `$${` is one byte longer where it is written.
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

/// For each byte of a string's value, the bytes of the quoted string that it came from.
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
        // The newline right after the quotes is not part of the value.
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

/// How long an escape is as it is written, and how many bytes it stands for.
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
mod tests {
    use super::*;

    /// The file's bytes that `word` of the value of `key` came from.
    #[track_caller]
    fn check(file: &str, word: &str, expect: &str) {
        let root = parse(file).expect("the test's file is TOML");
        let Value::Text(text) = &root.get("key").expect("it has the key").value else {
            panic!("the value is a string")
        };
        let start = text.text.find(word).expect("the value has the word");
        let span = root
            .locate(
                file,
                &["key".to_owned()],
                Some(&(start..start + word.len())),
            )
            .expect("it has a place");
        assert_eq!(&file[span], expect, "{file}");
    }

    #[test]
    fn a_range_inside_a_string_is_led_back_through_its_quoting() {
        let cases = [
            (r#"key = "trim(nam)""#, "nam", "nam"),
            (r"key = 'trim(nam)'", "nam", "nam"),
            (r#"key = "a \"b\" nam""#, "nam", "nam"),
            (r#"key = "a \"b\" nam""#, "\"b\"", r#"\"b\""#),
            (r#"key = "\u00e9\U0001F600 nam""#, "nam", "nam"),
            (r#"key = "\u00e9\U0001F600 nam""#, "😀", r"\U0001F600"),
            ("key = \"é😀\\tnam x\"", "nam", "nam"),
            ("key = \"\"\"\nselect\n  nam\"\"\"", "nam", "nam"),
            ("key = \"\"\"\r\nselect \\\n   nam\"\"\"", "nam", "nam"),
            ("key = '''\nit's \\n nam'''", "nam", "nam"),
            ("key = '''\nit's \\n nam'''", "\\n", "\\n"),
        ];
        for (file, word, expect) in cases {
            check(file, word, expect);
        }
    }

    #[test]
    fn a_path_that_ends_early_is_placed_where_it_ends() {
        let file = "[sinks.billing]\ntype = \"x\"\nrules = [{ a = 1 }, { b = 2 }]\n";
        let root = parse(file).expect("it is TOML");
        let place = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
            root.locate(file, &path, None).map(|span| &file[span])
        };
        assert_eq!(
            place(&["sinks", "billing", "absent"]),
            Some("[sinks.billing]")
        );
        assert_eq!(place(&["sinks", "billing", "rules", "1", "b"]), Some("2"));
        assert_eq!(
            place(&["sinks", "billing", "rules", "1"]),
            Some("{ b = 2 }")
        );
        assert_eq!(place(&["nowhere"]), None);
    }

    #[test]
    fn every_syntax_error_is_reported() {
        let text = "a = \nb = 1\nb = 2\nc = 99999999999999999999999999999999999999999\n";
        let errors = parse(text).err().unwrap_or_default();
        assert_eq!(errors.len(), 2, "{errors:?}");
    }
}
