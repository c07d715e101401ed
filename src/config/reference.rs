//! Lists every source, sink, operator, quarantine, format, function and strategy with its options,
//! generated from the schema of a pipeline file.

mod markdown;

use std::fmt::Write as _;

use serde_json::Value as Json;

pub use self::markdown::reference_markdown;

use super::schema::pipeline_schema;
use super::shape::{expected_of, first_sentence, resolve};
use crate::function::{self, FunctionInfo};

/// Something that a pipeline file can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The name in a pipeline file.
    pub name: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// The whole doc comment without its examples.
    pub description: String,
    /// Its settings; empty if it has none.
    pub options: Vec<EntryOption>,
    /// Examples in TOML; for a function, a call.
    pub examples: Vec<String>,
}

/// The kind of an [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A `type` of `[sources.NAME]`.
    Source,
    /// A `type` of `[operators.NAME]`.
    Operator,
    /// A `type` of `[sinks.NAME]`.
    Sink,
    /// A `type` of `[lookups.NAME]`.
    Lookup,
    /// A `type` of `[quarantine]`.
    Quarantine,
    /// A `format` of a source.
    Format,
    /// A `strategy` of `[sinks.NAME.conflict]`.
    Strategy,
    /// A function of expressions that standard SQL does not have.
    Function,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryOption {
    /// The key. For a nested table, with the outer keys before it; `[]` follows the name of an
    /// array.
    pub name: String,
    /// The expected type or values, in words.
    pub expected: String,
    /// Whether the setting is required.
    pub required: bool,
    /// The default in TOML, if there is one.
    pub default: Option<String>,
    /// What the setting means, on one line.
    pub description: String,
}

impl EntryKind {
    /// All kinds, in the order of the listing.
    pub const ALL: [Self; 8] = [
        Self::Source,
        Self::Operator,
        Self::Sink,
        Self::Lookup,
        Self::Quarantine,
        Self::Format,
        Self::Strategy,
        Self::Function,
    ];

    /// The kind as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Operator => "operator",
            Self::Sink => "sink",
            Self::Lookup => "lookup",
            Self::Quarantine => "quarantine",
            Self::Format => "format",
            Self::Strategy => "strategy",
            Self::Function => "function",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Source => "Sources",
            Self::Operator => "Operators",
            Self::Sink => "Sinks",
            Self::Lookup => "Lookups",
            Self::Quarantine => "Quarantines",
            Self::Format => "Formats",
            Self::Strategy => "Conflict strategies",
            Self::Function => "Functions",
        }
    }
}

/// Every entry, ordered by kind.
pub fn entries() -> Vec<Entry> {
    let schema = pipeline_schema();
    let mut entries = Vec::new();
    for (kind, path) in [
        (
            EntryKind::Source,
            "/properties/sources/additionalProperties/oneOf",
        ),
        (
            EntryKind::Operator,
            "/properties/operators/additionalProperties/oneOf",
        ),
        (
            EntryKind::Sink,
            "/properties/sinks/additionalProperties/oneOf",
        ),
        (
            EntryKind::Lookup,
            "/properties/lookups/additionalProperties/oneOf",
        ),
        (EntryKind::Quarantine, "/properties/quarantine/oneOf"),
    ] {
        let kinds = schema.pointer(path).and_then(Json::as_array);
        entries.extend(kinds.into_iter().flatten().map(|one| component(kind, one)));
    }
    for (kind, section, path) in [
        (EntryKind::Format, "sources", &["format"][..]),
        (EntryKind::Strategy, "sinks", &["conflict", "strategy"]),
    ] {
        let kinds = schema["properties"][section]["additionalProperties"]["oneOf"].as_array();
        for choice in kinds.into_iter().flatten().flat_map(|kind_schema| {
            let property = path.iter().fold(kind_schema, |schema_at, key| {
                resolve(schema, &schema_at["properties"][*key])
            });
            named_choices(kind, property)
        }) {
            if !entries.contains(&choice) {
                entries.push(choice);
            }
        }
    }
    entries.extend(function::list().into_iter().map(|function| {
        Entry {
            kind: EntryKind::Function,
            description: function_text(&function),
            name: function.name,
            summary: function.summary,
            options: Vec::new(),
            examples: std::iter::once(function.signature)
                .chain(
                    function
                        .example
                        .map(|(call, result)| format!("{call} → {result}")),
                )
                .collect(),
        }
    }));
    entries
}

/// What a function does, its arguments, and the types that it takes.
fn function_text(function: &FunctionInfo) -> String {
    let mut text = function.summary.clone();
    if !function.arguments.is_empty() {
        text += "\n\nArguments";
    }
    for (name, meaning) in &function.arguments {
        let _ = write!(text, "\n  {name}: {}", one_line(meaning));
    }
    if !function.types.is_empty() {
        let _ = write!(text, "\n\nTypes: {}", function.types.join(" or "));
    }
    text
}

/// The settings of the whole file, outside sources, operators and sinks.
fn file_options() -> Vec<EntryOption> {
    let mut options = options(pipeline_schema());
    options.retain(|option| {
        let top = option.name.split('.').next().unwrap_or_default();
        !["sources", "operators", "sinks", "lookups", "quarantine"].contains(&top)
    });
    options
}

fn component(kind: EntryKind, schema: &Json) -> Entry {
    let text = schema["description"].as_str().unwrap_or_default();
    let (description, examples) = split_examples(text);
    Entry {
        kind,
        name: schema["title"].as_str().unwrap_or_default().to_owned(),
        summary: first_sentence(&description),
        description,
        options: options(schema),
        examples,
    }
}

/// The values of an enumeration in the schema, one entry each.
fn named_choices(kind: EntryKind, schema: &Json) -> Vec<Entry> {
    let list = schema["oneOf"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(|choice| {
            let description = choice["description"].as_str().unwrap_or_default();
            let (description, examples) = split_examples(description);
            Some(Entry {
                kind,
                name: choice["const"].as_str()?.to_owned(),
                summary: one_line(&description).trim_end_matches('.').to_owned(),
                description,
                options: Vec::new(),
                examples,
            })
        })
        .collect()
}

/// The settings of a table and of the tables in it.
fn options(schema: &Json) -> Vec<EntryOption> {
    let mut found = Vec::new();
    collect_options(schema, "", &mut found);
    found
}

fn collect_options(schema: &Json, prefix: &str, found: &mut Vec<EntryOption>) {
    let root = pipeline_schema();
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_type = prefix.is_empty() && property["const"].is_string();
        if is_type {
            continue;
        }
        let target = resolve(root, property);
        let description = property["description"]
            .as_str()
            .or(target["description"].as_str())
            .unwrap_or_default();
        let name = format!("{prefix}{key}");
        found.push(EntryOption {
            name: name.clone(),
            expected: expected_of(root, property),
            required: required.contains(&key.as_str()),
            default: default_text(&property["default"]),
            description: one_line(&split_examples(description).0),
        });
        if let Some(table) = table_of(root, target) {
            collect_options(table, &format!("{name}."), found);
        } else if let Some(table) = table_of(root, &target["items"]) {
            collect_options(table, &format!("{name}[]."), found);
        }
    }
}

/// The table of named keys that a schema allows, alone or as one of several alternatives.
fn table_of<'s>(root: &'s Json, schema: &'s Json) -> Option<&'s Json> {
    let schema = resolve(root, schema);
    if schema["properties"].is_object() {
        return Some(schema);
    }
    let list = schema["anyOf"].as_array()?;
    list.iter().find_map(|one| table_of(root, one))
}

/// A default as TOML; `None` for null, an empty list and an empty table.
fn default_text(default: &Json) -> Option<String> {
    match default {
        Json::Null => None,
        Json::Array(items) if items.is_empty() => None,
        Json::Object(_) => None,
        other => Some(other.to_string()),
    }
}

/// Separates the text of a doc comment from its TOML examples.
fn split_examples(text: &str) -> (String, Vec<String>) {
    let mut prose = String::new();
    let mut examples = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 0 {
            prose.push_str(part);
        } else {
            let body = part.strip_prefix("toml").unwrap_or(part);
            examples.push(body.trim_matches('\n').to_owned());
        }
    }
    let paragraphs: Vec<&str> = prose
        .split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    (paragraphs.join("\n\n"), examples)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
