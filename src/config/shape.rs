//! Checks a document against a JSON Schema, gathers everything that is wrong with it at its place,
//! and gives the values as JSON for serde.
//!
//! The schemas are those that schemars derives from the types that serde then fills, so that the
//! parser, the editor's schema and the reference cannot disagree. Of JSON Schema this reads what
//! schemars writes. Beyond it: a table whose alternatives share a constant key (`type`) is read
//! by that tag first, a key that `properties` does not list is unknown unless
//! `additionalProperties` says otherwise, and a substituted string is converted where a number or
//! a boolean is wanted.

use serde_json::{Map, Value as Json};

use super::document::{Entry, Node, Text, Value};
use super::report::Flaw;
use super::size::{self, ByteSize};
use crate::function::nearest;

mod allowed;

use allowed::{
    alternatives, choices, describe, expected, expected_of_any, kinds, quoted, tag, texts,
};
pub(super) use allowed::{expected_of, first_sentence, resolve, suggest};

/// Reads `root` by `schema`, which holds its own `$defs`. The JSON is as good as it gets where
/// something is wrong.
pub(crate) fn read(root: &Node, schema: &Json) -> (Json, Vec<Flaw>) {
    let mut reader = Reader {
        definitions: schema,
        path: Vec::new(),
        flaws: Vec::new(),
    };
    let json = reader.node(root, schema);
    (json, reader.flaws)
}

struct Reader<'s> {
    definitions: &'s Json,
    path: Vec<String>,
    flaws: Vec<Flaw>,
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

    /// A value of the wrong kind: a substituted text may still give the right one.
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
            self.flaw(node, message, None);
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
            self.flaw(node, "not a size in bytes".to_owned(), Some(expected));
        }
        if let Some(length) = schema["minLength"].as_u64()
            && (text.text.chars().count() as u64) < length
        {
            let message = match text.text.is_empty() {
                true => "the text is empty".to_owned(),
                false => format!("the text is shorter than {length} characters"),
            };
            self.flaw(node, message, None);
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && regex::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(&text.text))
        {
            self.flaw(node, format!("the text does not match {pattern}"), None);
        }
    }

    fn choice(&mut self, node: &Node, text: &Text, choices: &[&str]) {
        if choices.contains(&text.text.as_str()) {
            return;
        }
        let (message, near) = if text.is_substituted() {
            (
                "the substituted value is not one that is known here".to_owned(),
                None,
            )
        } else {
            let near = nearest(&text.text, choices.iter().copied());
            (format!("unknown value `{}`", text.text), near)
        };
        self.flaw(node, message, Some(suggest(near, "one of", choices)));
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
            self.flaw(node, format!("too small: expected at least {low}"), None);
        } else if integer > high {
            self.flaw(node, format!("too large: expected at most {high}"), None);
        }
    }

    fn integer(&mut self, node: &Node, integer: i128) -> Json {
        match serde_json::Number::from_i128(integer) {
            Some(number) if u64::try_from(integer).is_ok() || i64::try_from(integer).is_ok() => {
                Json::Number(number)
            }
            _ => {
                self.flaw(node, "the integer is too large".to_owned(), None);
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
            self.flaw(node, message, None);
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
                self.flaws.push(Flaw {
                    span: Some(entry.key_span.clone()),
                    path: self.path.clone(),
                    message: format!("unknown key `{}`", entry.key),
                    help: Some(suggest(near, "the keys here are", &names)),
                });
            }
            self.path.pop();
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            // A misspelt key is one mistake, not two.
            if entries.iter().any(|entry| entry.key == name) || meant.contains(&name) {
                continue;
            }
            let wanted = &schema["properties"][name];
            let mut help = format!("expected {}", expected_of(self.definitions, wanted));
            if let Some(description) = wanted["description"].as_str() {
                help = format!("{help}: {}", first_sentence(description));
            }
            self.flaw(node, format!("missing key `{name}`"), Some(help));
        }
        Json::Object(read)
    }

    /// One of several shapes: by its tag where the shapes have one, else the one that fits best.
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
        let mut best: Option<(Json, Vec<Flaw>)> = None;
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
                flaws: Vec::new(),
            };
            let json = attempt.node(node, alternative);
            let better = best
                .as_ref()
                .is_none_or(|(_, flaws)| attempt.flaws.len() < flaws.len());
            if better {
                best = Some((json, attempt.flaws));
            }
        }
        match best {
            Some((json, mut flaws)) => {
                self.flaws.append(&mut flaws);
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
            // A misspelt tag shows as a key that no alternative has.
            let help = format!("one of {}", quoted(&names));
            self.flaw(node, format!("missing key `{tag}`"), Some(help));
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
                    true => format!("the substituted value is no known {tag}"),
                    false => format!("unknown {tag} `{}`", written.text),
                };
                self.path.push(tag.to_owned());
                self.flaw(&entry.node, message, Some(suggest(near, "one of", &names)));
                self.path.pop();
                plain(node)
            }
        }
    }

    fn wrong_kind(&mut self, node: &Node, expected: &str) {
        let message = format!("found {}, expected {expected}", node.describe());
        self.flaw(node, message, None);
    }

    fn flaw(&mut self, node: &Node, message: String, help: Option<String>) {
        self.flaws.push(Flaw {
            span: (!self.path.is_empty()).then(|| node.span.clone()),
            path: self.path.clone(),
            message,
            help,
        });
    }
}

impl Node {
    /// The JSON Schema type of this value.
    fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "string",
            Value::Integer(_) => "integer",
            Value::Float(_) => "number",
            Value::Boolean(_) => "boolean",
            Value::Datetime(_) => "datetime",
            Value::Array(_) => "array",
            Value::Table(_) => "object",
        }
    }

    /// An integer is a number, and a date may stand where a text is wanted.
    fn passes_as(&self, kinds: &[&str]) -> bool {
        match &self.value {
            Value::Integer(_) => kinds.contains(&"number"),
            Value::Datetime(_) => kinds.contains(&"string"),
            _ => false,
        }
    }

    fn describe(&self) -> &'static str {
        describe(self.kind())
    }
}

/// The value as JSON, unchecked.
fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Text(text) => Json::String(text.text.clone()),
        Value::Integer(integer) => {
            serde_json::Number::from_i128(*integer).map_or(Json::Null, Json::Number)
        }
        Value::Float(float) => Json::from(*float),
        Value::Boolean(boolean) => Json::Bool(*boolean),
        Value::Datetime(datetime) => Json::String(datetime.clone()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Table(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), plain(&entry.node)))
            .collect::<Map<_, _>>()
            .into(),
    }
}
