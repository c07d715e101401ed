//! Text that is no JSON object a line: arrays, objects over several lines, CSV, XML.

use serde::de::IgnoredAny;
use serde_json::Deserializer;
use serde_json::error::Category;

use super::{Form, VALUE_BYTES_MAX, form};

const ARRAY: Form = form(
    "a JSON array",
    "write one object a line (a message), for example with `jq -c '.[]' FILE`",
);
const PRETTY: Form = form(
    "JSON that is printed over several lines",
    "write one object a line, for example with `jq -c . FILE`",
);
const CSV: Form = form(
    "CSV",
    "write format = \"csv\" in the source, with csv.header where no line names the columns",
);
const XML: Form = form("XML", "write one JSON object a line");

/// The delimiters that are looked for.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// What the first lines of a file are.
pub(super) fn whole_file(first: &[u8], lines: &[&[u8]]) -> Option<Form> {
    let array = first.first() == Some(&b'[');
    if first.len() < VALUE_BYTES_MAX && spans_lines(first, lines) {
        return Some(if array { ARRAY } else { PRETTY });
    }
    if array {
        return Some(ARRAY);
    }
    message(first).or_else(|| is_csv(lines).then_some(CSV))
}

/// Whether the first lines of a file are an array with an element a line: its last element, without a
/// comma, can be read as a row.
pub fn array_over_lines(lines: &[&[u8]]) -> Option<Form> {
    let first = lines.first().filter(|first| first.starts_with(b"["))?;
    spans_lines(first, lines).then_some(ARRAY)
}

/// What a value by itself is.
pub(super) fn message(value: &[u8]) -> Option<Form> {
    match value {
        [b'[', ..] => Some(ARRAY),
        [b'<', second, ..] if second.is_ascii_alphabetic() || b"?!".contains(second) => Some(XML),
        _ => None,
    }
}

/// Whether a value begins in the first line and ends in a later one, or goes on past the last.
fn spans_lines(first: &[u8], lines: &[&[u8]]) -> bool {
    let begins = matches!(first.first(), Some(b'{' | b'['));
    if !begins || lines.len() < 2 || end_of_value(first) != End::Missing {
        return false;
    }
    end_of_value(&lines.join(&b'\n')) != End::Wrong
}

#[derive(PartialEq)]
enum End {
    Found,
    Missing,
    Wrong,
}

fn end_of_value(text: &[u8]) -> End {
    match Deserializer::from_slice(text)
        .into_iter::<IgnoredAny>()
        .next()
    {
        Some(Ok(_)) => End::Found,
        Some(Err(error)) if error.classify() == Category::Eof => End::Missing,
        _ => End::Wrong,
    }
}

/// A line of names, and behind it lines with as many values.
fn is_csv(lines: &[&[u8]]) -> bool {
    let Some(head) = lines
        .first()
        .and_then(|line| std::str::from_utf8(line).ok())
    else {
        return false;
    };
    let names = |delimiter: char| {
        head.split(delimiter).count() > 1
            && head.split(delimiter).all(|name| {
                let name = name.trim().trim_matches('"');
                name.starts_with(|c: char| c.is_alphabetic() || c == '_')
                    && !name.contains(['{', '}', '[', ']', ':'])
            })
    };
    DELIMITERS
        .into_iter()
        .filter(|&delimiter| names(delimiter))
        .any(|delimiter| {
            let columns = head.split(delimiter).count();
            // A quoted value may hold the delimiter.
            lines[1..].iter().all(|line| {
                std::str::from_utf8(line).is_ok_and(|line| line.split(delimiter).count() >= columns)
            })
        })
}

/// Messages that are lines of CSV, without a line of names: as many values in each, no JSON.
pub(super) fn csv_messages(values: &[&[u8]]) -> Option<Form> {
    let texts: Option<Vec<&str>> = values
        .iter()
        .map(|value| std::str::from_utf8(value).ok())
        .collect();
    let texts = texts?;
    let is_json =
        |text: &&str| text.starts_with(['{', '[', '"']) && text.ends_with(['}', ']', '"']);
    let first = texts.first()?;
    if texts.len() < 3
        || texts
            .iter()
            .any(|text| is_json(text) || text.starts_with('{'))
    {
        return None;
    }
    let csv = DELIMITERS.into_iter().any(|delimiter| {
        let columns = first.split(delimiter).count();
        columns > 1
            && texts
                .iter()
                .all(|text| text.split(delimiter).count() == columns)
    });
    csv.then_some(CSV)
}
