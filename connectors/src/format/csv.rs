//! `csv`: one row a line, as RFC 4180 writes it. Each row becomes the JSON object that the decoder of
//! rows reads, so that keys, deletes, schemas and evolution are those of `json`.
//!
//! - The names of the columns are the setting `header`, else the first line of the file.
//! - An empty field is null, and so is one that is the text of the setting `null`; `""` is an empty text.
//! - A quoted field may hold delimiters, line ends and, doubled, quotes.
//! - A column of a declared number or boolean takes the digits or the word as they stand. A column that
//!   nobody declared is text, which the sink reads as the type of its own column ([`is_loose_text`]).
//! - A row with too few or too many fields, or with a quote that is not closed, is no row: it is
//!   rejected, and the columns of the others do not shift.
//!
//! [`is_loose_text`]: crate::change::is_loose_text

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::debezium::{Debezium, ToObject};
use super::fault::{Fault, Parsed};
use super::{Decode, Decoded, DecoderOptions};
use crate::change::{Logical, loose_text};
use crate::error::Result;
use crate::problem::Problem;
use crate::record::Records;
use crate::text::write_string;

/// How the lines are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvSettings {
    /// What stands between two fields: one ASCII character.
    pub delimiter: char,
    /// What stands around a field that holds a delimiter, a line end or a quote: one ASCII character.
    pub quote: char,
    /// The names of the columns, where no line says them. A file without it begins with its header.
    pub header: Option<Vec<String>>,
    /// A field that is null, beside the empty one, where it is not in quotes.
    pub null: Option<String>,
}

impl Default for CsvSettings {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: '"',
            header: None,
            null: None,
        }
    }
}

impl CsvSettings {
    /// Characters that do not fit; paths begin at the table that holds `csv`.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |name: &str, message: String| {
            problems.push(Problem::new(&["csv", name], message));
        };
        for (name, mark) in [("delimiter", self.delimiter), ("quote", self.quote)] {
            if !mark.is_ascii() || mark == '\n' || mark == '\r' {
                let message = format!("found {mark:?}, expected one ASCII character, no line end");
                refuse(name, message);
            }
        }
        if self.delimiter == self.quote {
            refuse("quote", "it is the delimiter, too".to_owned());
        }
        problems
    }
}

/// Rows of CSV as changes.
#[derive(Debug)]
pub(super) struct Csv {
    rows: Debezium,
    /// Schemas as the decoder made them, and with loose texts.
    loosened: HashMap<usize, (SchemaRef, SchemaRef)>,
}

impl Csv {
    pub(super) fn new(options: DecoderOptions) -> Self {
        let settings = options.csv.clone();
        let plain = options.declared.iter().flat_map(|schema| schema.fields());
        let plain = plain.filter(|field| {
            let is_word = *field.data_type() == DataType::Boolean || field.data_type().is_numeric();
            is_word || Logical::of(field) == Some(Logical::Numeric)
        });
        let plain: Vec<String> = plain.map(|field| field.name().clone()).collect();
        let lines = Lines {
            delimiter: settings.delimiter as u8,
            quote: settings.quote as u8,
            null: settings.null.map(String::into_bytes),
            given: settings.header.map(|names| Header::of(&names, &plain)),
            plain,
            header: None,
        };
        Self {
            rows: Debezium::of_rows(options, Some(Box::new(lines))),
            loosened: HashMap::new(),
        }
    }
}

#[async_trait]
impl Decode for Csv {
    async fn prepare(&mut self, _records: &Records) -> Result<()> {
        Ok(())
    }

    fn decode(&mut self, records: &Arc<Records>) -> Decoded {
        let mut decoded = self.rows.decode(records);
        for changes in &mut decoded.changes {
            let schema = changes.rows.schema();
            let known = self.loosened.entry(Arc::as_ptr(&schema) as usize);
            let (_, loose) = known.or_insert_with(|| {
                let fields = schema.fields().iter();
                let fields: Vec<_> = fields.map(loose_text).collect();
                (schema.clone(), Arc::new(Schema::new(fields)))
            });
            let columns = changes.rows.columns().to_vec();
            let options = RecordBatchOptions::new().with_row_count(Some(changes.rows.num_rows()));
            let rows = RecordBatch::try_new_with_options(loose.clone(), columns, &options);
            changes.rows = rows.expect("the types are the same");
        }
        decoded
    }
}

/// How lines become objects.
#[derive(Debug)]
struct Lines {
    delimiter: u8,
    quote: u8,
    null: Option<Vec<u8>>,
    /// Declared columns whose values stand in JSON without quotes.
    plain: Vec<String>,
    /// The header of the settings.
    given: Option<Result<Header, String>>,
    /// The header of the file that was read last, and its line.
    header: Option<KnownHeader>,
}

/// A line, and what it says.
type KnownHeader = (Arc<[u8]>, Result<Header, String>);

/// The names of the columns: `"name":`, and whether its values stand without quotes.
#[derive(Debug, Clone)]
struct Header(Vec<(Vec<u8>, bool)>);

impl Header {
    fn of(names: &[String], plain: &[String]) -> Result<Self, String> {
        let twice = |at: usize| names[..at].contains(&names[at]);
        if let Some(at) = (0..names.len()).find(|&at| names[at].is_empty() || twice(at)) {
            return Err(format!(
                "the header names column {:?}, number {}, twice or not at all: write the names as csv.header in the source",
                names[at],
                at + 1
            ));
        }
        let columns = names.iter().map(|name| {
            let mut token = Vec::new();
            write_string(name, &mut token);
            token.push(b':');
            (token, plain.contains(name))
        });
        Ok(Self(columns.collect()))
    }
}

impl Lines {
    /// The header that goes with a record.
    fn header(&mut self, records: &Records, index: usize) -> Parsed<&Header> {
        let found = if let Some(given) = &self.given {
            given
        } else {
            let Some(line) = &records.partition(index).header else {
                return Err(Fault::form(
                    "nothing names the columns: write csv.header = [\"…\"] in the source",
                ));
            };
            if self.header.as_ref().is_none_or(|(known, _)| known != line) {
                let mut names = Vec::new();
                let split = split(line, self.delimiter, self.quote, |field, _| {
                    names.push(String::from_utf8_lossy(field).trim().to_owned());
                });
                let header = match split {
                    Ok(()) => Header::of(&names, &self.plain),
                    Err(reason) => Err(format!("the header is no line of CSV: {reason}")),
                };
                self.header = Some((line.clone(), header));
            }
            let (_, header) = self.header.as_ref().expect("it was read just now");
            header
        };
        found.as_ref().map_err(|reason| Fault::form(reason.clone()))
    }
}

impl ToObject for Lines {
    fn write(&mut self, records: &Records, index: usize, out: &mut Vec<u8>) -> Parsed<()> {
        let (delimiter, quote, null) = (self.delimiter, self.quote, self.null.take());
        let header = self.header(records, index)?;
        let value = records.value(index).unwrap_or_default();
        let mut count = 0;
        let done = split(value, delimiter, quote, |field, quoted| {
            if let Some((token, is_plain)) = header.0.get(count) {
                out.push(if count == 0 { b'{' } else { b',' });
                out.extend_from_slice(token);
                let is_null = !quoted && (field.is_empty() || null.as_deref() == Some(field));
                match field {
                    _ if is_null => out.extend_from_slice(b"null"),
                    _ if *is_plain && is_word(field) => out.extend_from_slice(field),
                    _ => write_string(&String::from_utf8_lossy(field), out),
                }
            }
            count += 1;
        });
        let expected = header.0.len();
        self.null = null;
        out.push(b'}');
        match done {
            Err(reason) => Err(Fault::form(reason)),
            Ok(()) if count != expected => Err(Fault::form(format!(
                "found {count} fields, expected {expected} as in the header"
            ))),
            Ok(()) => Ok(()),
        }
    }
}

/// Whether a field is a number or a boolean of JSON.
pub(crate) fn is_word(field: &[u8]) -> bool {
    let begins = matches!(field, [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..]);
    let ends = field.last().is_some_and(u8::is_ascii_digit);
    let is_number = || serde_json::from_slice::<serde_json::Number>(field).is_ok();
    field == b"true" || field == b"false" || begins && ends && is_number()
}

/// Where a record ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RecordEnd {
    /// At this line end.
    At(usize),
    /// No line end follows it.
    Missing,
    /// Within quotes that are not closed; the end of its first line, where there is one.
    Open(Option<usize>),
}

/// The end of the record that begins the text. A quote opens at the beginning of a field only, as in
/// [`split`].
pub(crate) fn record_end(text: &[u8], delimiter: u8, quote: u8) -> RecordEnd {
    let mut at = if text.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    loop {
        if text.get(at) == Some(&quote) {
            at += 1;
            loop {
                let Some(found) = memchr::memchr(quote, &text[at..]) else {
                    return RecordEnd::Open(memchr::memchr(b'\n', text));
                };
                at += found + 1;
                if text.get(at) != Some(&quote) {
                    break;
                }
                at += 1;
            }
        }
        let Some(found) = memchr::memchr2(delimiter, b'\n', &text[at..]) else {
            return RecordEnd::Missing;
        };
        at += found;
        if text[at] == b'\n' {
            return RecordEnd::At(at);
        }
        at += 1;
    }
}

/// Hands over each field, and whether it was in quotes.
fn split(
    line: &[u8],
    delimiter: u8,
    quote: u8,
    mut each: impl FnMut(&[u8], bool),
) -> Result<(), String> {
    let mut rest = line;
    let mut unquoted = Vec::new();
    loop {
        if rest.first() != Some(&quote) {
            let end = memchr::memchr(delimiter, rest);
            each(&rest[..end.unwrap_or(rest.len())], false);
            match end {
                Some(end) => rest = &rest[end + 1..],
                None => return Ok(()),
            }
            continue;
        }
        rest = &rest[1..];
        unquoted.clear();
        loop {
            let end = memchr::memchr(quote, rest).ok_or("a quote is not closed")?;
            unquoted.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            if rest.first() != Some(&quote) {
                break;
            }
            unquoted.push(quote);
            rest = &rest[1..];
        }
        each(&unquoted, true);
        match rest.split_first() {
            None => return Ok(()),
            Some((next, after)) if *next == delimiter => rest = after,
            Some(_) => return Err("found text behind the quote that closes a field".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
