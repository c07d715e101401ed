//! Checks a document against a JSON Schema, collects all problems with their positions, and returns
//! the values as JSON for serde.
//!
//! schemars generates the schemas from the types that serde fills, so the parser, the editor's
//! schema and the reference cannot disagree. Only the parts of JSON Schema that schemars writes are
//! supported. Three rules go beyond JSON Schema: a table whose alternatives share a constant key
//! (`type`) is read by that tag; a key that `properties` does not list is unknown, unless
//! `additionalProperties` allows it; and a substituted string is converted where a number or a
//! boolean is expected.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use self::node::plain;
use super::document::{Entry, Node, Text, Value};
use super::size::{self, ByteSize};
use crate::function::nearest;
use crate::problem::Problem;

mod allowed;
mod node;

use allowed::{alternatives, choices, expected, expected_of_any, kinds, quoted, tag, texts};
pub(super) use allowed::{expected_of, first_sentence, resolve, suggest};

/// Reads `root` by `schema`, which contains its own `$defs`. If there are problems, the JSON is
/// incomplete.
pub(crate) fn read(root: &Node, schema: &Json) -> (Json, Vec<Problem>) {
    let mut reader = Reader {
        definitions: schema,
        path: Vec::new(),
        problems: Vec::new(),
    };
    let json = reader.node(root, schema);
    (json, reader.problems)
}

struct Reader<'s> {
    definitions: &'s Json,
    path: Vec<String>,
    problems: Vec<Problem>,
}

impl<'s> Reader<'s> {
    fn node(&mut self, node: &Node, schema: &'s Json) -> Json {
        let schema = resolve(self.definitions, schema);
        if let Some(alternatives) = alternatives(self.definitions, schema) {
            return self.alternative(node, &alternatives);
        }
        if !kinds(schema).is_none_or(|kinds| kinds.contains(&node.kind()) || node.passes_as(&kinds))
        {
            return self.convert(node, schema);
        }
        match &node.value {
            Value::Text(text) => {
                self.text(node, text, schema);
                Json::String(text.text.clone())
            }
            Value::Integer(integer) => {
                self.range(node, *integer, schema);
                self.integer(node, *integer)
            }
            Value::Array(items) => self.array(node, items, schema),
            Value::Table(entries) => self.table(node, entries, schema),
            Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => plain(node),
        }
    }

    /// A value of the wrong type. A substituted text can be converted to the right one.
    fn convert(&mut self, node: &Node, schema: &'s Json) -> Json {
        let kinds = kinds(schema).unwrap_or_default();
        if let Value::Text(text) = &node.value
            && text.is_substituted()
        {
            let value = text.text.trim();
            if kinds.contains(&"integer")
                && let Ok(integer) = value.parse::<i128>()
            {
                self.range(node, integer, schema);
                return self.integer(node, integer);
            }
            if kinds.contains(&"number")
                && let Ok(number) = value.parse::<f64>()
                && let Some(number) = serde_json::Number::from_f64(number)
            {
                return Json::Number(number);
            }
            if kinds.contains(&"boolean")
                && let Ok(boolean) = value.parse::<bool>()
            {
                return Json::Bool(boolean);
            }
            let message = format!("the substituted value is not {}", expected(&kinds));
            self.problem(node, message, None);
            return Json::Null;
        }
        self.wrong_kind(node, &expected_of(self.definitions, schema));
        plain(node)
    }

    fn text(&mut self, node: &Node, text: &Text, schema: &'s Json) {
        if let Some(choices) = choices(schema) {
            self.choice(node, text, &choices);
            return;
        }
        if schema["format"] == size::FORMAT
            && let Err(expected) = text.text.parse::<ByteSize>()
        {
            self.problem(node, "not a size in bytes".to_owned(), Some(expected));
        }
        if let Some(length) = schema["minLength"].as_u64()
            && (text.text.chars().count() as u64) < length
        {
            let message = match text.text.is_empty() {
                true => "the text is empty".to_owned(),
                false => format!("the text is shorter than {length} characters"),
            };
            self.problem(node, message, None);
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && regex::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(&text.text))
        {
            self.problem(node, format!("the text does not match {pattern}"), None);
        }
    }

    fn choice(&mut self, node: &Node, text: &Text, choices: &[&str]) {
        if choices.contains(&text.text.as_str()) {
            return;
        }
        let (message, near) = if text.is_substituted() {
            (
                "the substituted value is not one of the allowed values".to_owned(),
                None,
            )
        } else {
            let near = nearest(&text.text, choices.iter().copied());
            (format!("unknown value `{}`", text.text), near)
        };
        self.problem(node, message, Some(suggest(near, "one of", choices)));
    }

    fn range(&mut self, node: &Node, integer: i128, schema: &'s Json) {
        let (low, high) = match schema["format"].as_str() {
            Some("int8") => (i128::from(i8::MIN), i128::from(i8::MAX)),
            Some("int16") => (i128::from(i16::MIN), i128::from(i16::MAX)),
            Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Some("int" | "int64") => (i128::from(i64::MIN), i128::from(i64::MAX)),
            Some("uint8") => (0, i128::from(u8::MAX)),
            Some("uint16") => (0, i128::from(u16::MAX)),
            Some("uint32") => (0, i128::from(u32::MAX)),
            Some("uint" | "uint64") => (0, i128::from(u64::MAX)),
            _ => (i128::MIN, i128::MAX),
        };
        let bound = |name: &str| schema[name].as_i64().map(i128::from);
        let low = bound("minimum").unwrap_or(low).max(low);
        let high = bound("maximum").unwrap_or(high).min(high);
        if integer < low {
            self.problem(node, format!("too small: expected at least {low}"), None);
        } else if integer > high {
            self.problem(node, format!("too large: expected at most {high}"), None);
        }
    }

    fn integer(&mut self, node: &Node, integer: i128) -> Json {
        match serde_json::Number::from_i128(integer) {
            Some(number) if u64::try_from(integer).is_ok() || i64::try_from(integer).is_ok() => {
                Json::Number(number)
            }
            _ => {
                self.problem(node, "the integer is too large".to_owned(), None);
                Json::Null
            }
        }
    }

    fn array(&mut self, node: &Node, items: &[Node], schema: &'s Json) -> Json {
        if let Some(length) = schema["minItems"].as_u64()
            && (items.len() as u64) < length
        {
            let message = match items.len() {
                0 => "the array is empty".to_owned(),
                found => format!("found {found} items, expected at least {length}"),
            };
            self.problem(node, message, None);
        }
        let mut read = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push(index.to_string());
            read.push(self.node(item, &schema["items"]));
            self.path.pop();
        }
        Json::Array(read)
    }

    fn table(&mut self, node: &Node, entries: &[Entry], schema: &'s Json) -> Json {
        let none = Map::new();
        let properties = schema["properties"].as_object();
        let names: Vec<&str> = properties
            .unwrap_or(&none)
            .keys()
            .map(String::as_str)
            .collect();
        let open = match &schema["additionalProperties"] {
            Json::Bool(open) => *open,
            Json::Null => properties.is_none(),
            _ => true,
        };
        let mut read = Map::new();
        let mut meant = Vec::new();
        for entry in entries {
            self.path.push(entry.key.clone());
            let known = properties.and_then(|properties| properties.get(&entry.key));
            if let Some(known) = known {
                let value = self.node(&entry.node, known);
                read.insert(entry.key.clone(), value);
            } else if open {
                let value = self.node(&entry.node, &schema["additionalProperties"]);
                read.insert(entry.key.clone(), value);
            } else {
                let absent = |name: &&str| entries.iter().all(|other| other.key != **name);
                let near = nearest(&entry.key, names.iter().copied().filter(absent));
                meant.extend(near);
                let message = format!("unknown key `{}`", entry.key);
                let help = suggest(near, "the keys here are", &names);
                let problem = self.problem_at(entry.key_span.clone(), message);
                self.problems.push(problem.help(help));
            }
            self.path.pop();
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            // A misspelt key is reported as unknown, not also as missing.
            if entries.iter().any(|entry| entry.key == name) || meant.contains(&name) {
                continue;
            }
            let wanted = &schema["properties"][name];
            let mut help = format!("expected {}", expected_of(self.definitions, wanted));
            if let Some(description) = wanted["description"].as_str() {
                help = format!("{help}: {}", first_sentence(description));
            }
            self.problem(node, format!("missing key `{name}`"), Some(help));
        }
        Json::Object(read)
    }

    /// One of several alternatives: chosen by its tag if they have one, otherwise the one with the
    /// fewest problems.
    fn alternative(&mut self, node: &Node, alternatives: &[&'s Json]) -> Json {
        if let Value::Table(entries) = &node.value
            && let Some(tag) = tag(alternatives)
        {
            return self.tagged(node, entries, tag, alternatives);
        }
        if let Value::Text(text) = &node.value
            && let Some(texts) = texts(alternatives)
        {
            self.choice(node, text, &texts);
            return Json::String(text.text.clone());
        }
        let mut best: Option<(Json, Vec<Problem>)> = None;
        for alternative in alternatives {
            let accepts = kinds(alternative).is_none_or(|kinds| {
                kinds.contains(&node.kind())
                    || node.passes_as(&kinds)
                    || matches!(&node.value, Value::Text(text) if text.is_substituted())
            });
            if !accepts {
                continue;
            }
            let mut attempt = Reader {
                definitions: self.definitions,
                path: self.path.clone(),
                problems: Vec::new(),
            };
            let json = attempt.node(node, alternative);
            let better = best
                .as_ref()
                .is_none_or(|(_, problems)| attempt.problems.len() < problems.len());
            if better {
                best = Some((json, attempt.problems));
            }
        }
        match best {
            Some((json, mut problems)) => {
                self.problems.append(&mut problems);
                json
            }
            None => {
                self.wrong_kind(node, &expected_of_any(self.definitions, alternatives));
                plain(node)
            }
        }
    }

    fn tagged(
        &mut self,
        node: &Node,
        entries: &[Entry],
        tag: &str,
        alternatives: &[&'s Json],
    ) -> Json {
        let names: Vec<&str> = alternatives
            .iter()
            .filter_map(|alternative| alternative["properties"][tag]["const"].as_str())
            .collect();
        let Some(entry) = entries.iter().find(|entry| entry.key == tag) else {
            // A misspelt tag is reported as an unknown key.
            let help = format!("one of {}", quoted(&names));
            self.problem(node, format!("missing key `{tag}`"), Some(help));
            return plain(node);
        };
        let written = match &entry.node.value {
            Value::Text(text) => text,
            _ => {
                self.path.push(tag.to_owned());
                self.wrong_kind(&entry.node, "a string");
                self.path.pop();
                return plain(node);
            }
        };
        let chosen = alternatives
            .iter()
            .find(|alternative| alternative["properties"][tag]["const"] == written.text.as_str());
        match chosen {
            Some(chosen) => self.table(node, entries, chosen),
            None => {
                let near = match written.is_substituted() {
                    true => None,
                    false => nearest(&written.text, names.iter().copied()),
                };
                let message = match written.is_substituted() {
                    true => format!("the substituted value is not a known {tag}"),
                    false => format!("unknown {tag} `{}`", written.text),
                };
                self.path.push(tag.to_owned());
                self.problem(&entry.node, message, Some(suggest(near, "one of", &names)));
                self.path.pop();
                plain(node)
            }
        }
    }

    fn wrong_kind(&mut self, node: &Node, expected: &str) {
        let message = format!("found {}, expected {expected}", node.describe());
        let help = match &node.value {
            Value::Text(text) if expected.starts_with("an array") => {
                Some(format!("write [{:?}]", text.text))
            }
            _ => None,
        };
        self.problem(node, message, help);
    }

    fn problem(&mut self, node: &Node, message: String, help: Option<String>) {
        let mut problem = self.problem_at(node.span.clone(), message);
        if self.path.is_empty() {
            problem.file_span = None;
        }
        problem.help = help;
        self.problems.push(problem);
    }

    fn problem_at(&self, span: Range<usize>, message: String) -> Problem {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        Problem::new(&path, message).in_file(Some(span))
    }
}
