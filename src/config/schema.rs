//! The JSON Schema of a pipeline file, generated from the Rust types that a file is read into.
//!
//! The parser checks a file against this schema, editors use it for completion, and `list` and the
//! reference are generated from it.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use regex::Regex;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use syncline_connectors::kind::Kind;
use syncline_connectors::registry::{LOOKUPS, SINKS, SOURCES};

use super::caches::CacheConfig;
use super::connection_keys::{CONNECTION, has_connection};
use super::kinds::{OPERATORS, QUARANTINES};
use super::{Batch, ByteSize, Layers, Schedule, TestCase};
use crate::operator::literal::Texts;

/// The settings of a pipeline file that belong to no component.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The pipeline's name, under which targets store its positions: after a change of the name the
    /// pipeline starts from the beginning. By default the file's name without its extension.
    #[schemars(length(min = 1))]
    pub(crate) name: Option<String>,
    /// The maximum memory for records and rows, over all queues and lanes.
    pub(crate) memory: ByteSize,
    /// The limits of a batch.
    pub(crate) batch: Batch,
    /// When the pipeline runs; all the time if this table is absent.
    pub(crate) schedule: Option<Schedule>,
    /// Caches, which lookups keep their rows in, by name.
    pub(crate) caches: BTreeMap<String, CacheConfig>,
    /// Functions for the expressions of this file, by name.
    pub(crate) functions: BTreeMap<String, FunctionConfig>,
    /// TOML files with further `[functions.NAME]`, relative to this file.
    pub(crate) function_files: Vec<String>,
    /// Tests of the pipeline, which `syncline test` runs. Further ones may stand in a file beside this one:
    /// `clients.tests.toml` for `clients.toml`.
    pub(crate) tests: Vec<TestCase>,
}

/// A function of a pipeline file: an expression over its arguments.
///
/// ```toml
/// [functions.full_name]
/// arguments = { first = "text", last = "text" }
/// sql       = "trim(first) || ' ' || trim(last)"
/// ```
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionConfig {
    /// The arguments in their order, each with its SQL type: `text`, `bigint`, `decimal(12, 2)`, `date`,
    /// `timestamptz` and so on. What a call gives is cast to it.
    #[serde(default)]
    pub(crate) arguments: Texts,
    /// The SQL expression over the arguments.
    pub(crate) sql: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            memory: ByteSize::mebibytes(256),
            batch: Batch::default(),
            schedule: None,
            caches: BTreeMap::new(),
            functions: BTreeMap::new(),
            function_files: Vec::new(),
            tests: Vec::new(),
        }
    }
}

/// The JSON Schema (draft 2020-12) of a pipeline file.
pub fn pipeline_schema() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(build)
}

/// As [`pipeline_schema`], for editors, which do not see what a connection brings: nothing is required
/// beside `connection`.
pub fn editor_schema() -> Json {
    let mut schema = pipeline_schema().clone();
    let takes_over = json!({
        "type": "object",
        "properties": { "connection": { "type": "string" } },
        "required": ["connection"],
    });
    for path in [
        "/properties/sources/additionalProperties",
        "/properties/sinks/additionalProperties",
        "/properties/lookups/additionalProperties",
        "/properties/quarantine",
    ] {
        if let Some(kinds) = schema.pointer_mut(path) {
            *kinds = json!({ "if": takes_over, "then": {}, "else": kinds.take() });
        }
    }
    schema
}

fn build() -> Json {
    let mut generator = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator();
    let mut root = Settings::json_schema(&mut generator).to_value();
    let sink_keys = sink_keys(&mut generator);
    let sections = [
        (
            "sources",
            "The sources of changes, by name.",
            kinds(&mut generator, SOURCES, &ExtraKeys::default()),
        ),
        (
            "operators",
            "The operators, which process changes between source and sink, by name.",
            kinds(&mut generator, OPERATORS, &ExtraKeys::default()),
        ),
        (
            "sinks",
            "The sinks, which write rows to a target, by name.",
            kinds(&mut generator, SINKS, &sink_keys),
        ),
        (
            "lookups",
            "The tables and queries that rows are looked up in, by name.",
            kinds(&mut generator, LOOKUPS, &ExtraKeys::default()),
        ),
    ];
    for (section, description, kinds) in sections {
        root["properties"][section] = json!({
            "type": "object",
            "description": description,
            "additionalProperties": { "oneOf": kinds },
        });
    }
    root["properties"]["quarantine"] = json!({
        "description": "The place that keeps rejected changes.",
        "oneOf": kinds(&mut generator, QUARANTINES, &ExtraKeys::default()),
    });
    root["title"] = json!("Syncline pipeline");
    root["description"] = json!(
        "One pipeline: sources, operators and sinks. Their `inputs` connect them to a graph."
    );
    root["$defs"] = Json::Object(generator.take_definitions(true));
    let mut schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema" });
    merge(&mut schema, root);
    plain_descriptions(&mut schema);
    schema
}

/// Removes from doc comments what only a reader of the code understands: rule numbers and links to
/// types.
pub(crate) fn plain_descriptions(schema: &mut Json) {
    static NOT_FOR_USERS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\s\([A-Z]\d+(?:[,–-] ?[A-Z]\d+)*\)|\[(`[^`]*`)\](?:\([^)]*\))?")
            .expect("the pattern is valid")
    });
    match schema {
        Json::Object(table) => {
            for (key, value) in table {
                match value {
                    Json::String(text) if key == "description" => {
                        *text = NOT_FOR_USERS.replace_all(text, "$1").into_owned();
                    }
                    value => plain_descriptions(value),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(plain_descriptions),
        _ => {}
    }
}

/// Keys in a component's table that the component itself does not know.
#[derive(Default)]
struct ExtraKeys {
    /// Required keys, listed before the component's own.
    before: Map<String, Json>,
    /// Optional keys, listed after the component's own.
    after: Map<String, Json>,
}

/// The schemas of a list of kinds, each with its `type`.
fn kinds<Config>(
    generator: &mut SchemaGenerator,
    kinds: &[Kind<Config>],
    extra: &ExtraKeys,
) -> Vec<Json> {
    kinds
        .iter()
        .map(|kind| {
            let mut schema = (kind.schema)(generator).to_value();
            let mut properties = Map::new();
            let mut required = vec![json!("type")];
            properties.insert("type".to_owned(), json!({ "const": kind.name }));
            let own = schema["properties"].as_object();
            if own.is_some_and(has_connection) {
                let description = "The connection of `syncline.toml` whose settings hold where this \
                                   table has none.";
                let connection = json!({ "type": "string", "description": description });
                properties.insert(CONNECTION.to_owned(), connection);
            }
            properties.extend(extra.before.clone());
            required.extend(extra.before.keys().map(|key| json!(key)));
            if let Some(own) = schema["properties"].as_object() {
                properties.extend(own.clone());
            }
            properties.extend(extra.after.clone());
            if let Some(own) = schema["required"].as_array() {
                required.extend(own.clone());
            }
            schema["properties"] = Json::Object(properties);
            schema["required"] = Json::Array(required);
            schema["additionalProperties"] = json!(false);
            schema["title"] = json!(kind.name);
            schema
        })
        .collect()
}

fn sink_keys(generator: &mut SchemaGenerator) -> ExtraKeys {
    let inputs = json!({
        "description": "The sources and operators whose changes this sink gets.",
        "type": "array",
        "items": { "type": "string" },
    });
    let layers = Layers::json_schema(generator).to_value();
    ExtraKeys {
        before: Map::from_iter([("inputs".to_owned(), inputs)]),
        after: layers["properties"]
            .as_object()
            .cloned()
            .unwrap_or_default(),
    }
}

fn merge(into: &mut Json, from: Json) {
    if let (Some(into), Json::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}
