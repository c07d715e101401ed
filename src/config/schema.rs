//! The JSON Schema of a pipeline file, put together from the types that a file is read into.
//!
//! The same document is what the parser checks a file against, what an editor completes from, and
//! what `list` and the reference are made of.

use std::sync::{LazyLock, OnceLock};

use regex::Regex;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use syncline_connectors::kind::Kind;
use syncline_connectors::registry::{SINKS, SOURCES};

use super::kinds::{OPERATORS, QUARANTINES};
use super::{Batch, ByteSize, Layers};

/// The keys of a pipeline file that belong to no component.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The pipeline's name, under which targets keep its positions: to change it is to start anew.
    /// The file's name without its extension where it is absent.
    #[schemars(length(min = 1))]
    pub(crate) name: Option<String>,
    /// How much memory records and rows may hold, over all queues and lanes.
    pub(crate) memory: ByteSize,
    /// When a batch is handed on.
    pub(crate) batch: Batch,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            memory: ByteSize::mebibytes(256),
            batch: Batch::default(),
        }
    }
}

/// The JSON Schema (draft 2020-12) of a pipeline file.
pub fn pipeline_schema() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(build)
}

fn build() -> Json {
    let mut generator = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator();
    let mut root = Settings::json_schema(&mut generator).to_value();
    let beside_sinks = beside_sinks(&mut generator);
    let sections = [
        (
            "sources",
            "Where changes come from, by name.",
            kinds(&mut generator, SOURCES, &Beside::default()),
        ),
        (
            "operators",
            "What is done to changes on their way, by name.",
            kinds(&mut generator, OPERATORS, &Beside::default()),
        ),
        (
            "sinks",
            "Where rows go, by name.",
            kinds(&mut generator, SINKS, &beside_sinks),
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
        "description": "Where rejected changes are kept.",
        "oneOf": kinds(&mut generator, QUARANTINES, &Beside::default()),
    });
    root["title"] = json!("Syncline pipeline");
    root["description"] = json!("One pipeline: sources, operators and sinks, a graph by `inputs`.");
    root["$defs"] = Json::Object(generator.take_definitions(true));
    let mut schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema" });
    merge(&mut schema, root);
    plain_descriptions(&mut schema);
    schema
}

/// Takes out of doc comments what only a reader of the code can follow: the numbers of rules, and
/// links to types.
fn plain_descriptions(schema: &mut Json) {
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

/// Keys that stand in a component's table and of which the component itself knows nothing.
#[derive(Default)]
struct Beside {
    /// Before its own keys, and required.
    before: Map<String, Json>,
    /// After them, and optional.
    after: Map<String, Json>,
}

/// The schemas of a list of kinds, each with its `type`.
fn kinds<Config>(
    generator: &mut SchemaGenerator,
    kinds: &[Kind<Config>],
    beside: &Beside,
) -> Vec<Json> {
    kinds
        .iter()
        .map(|kind| {
            let mut schema = (kind.schema)(generator).to_value();
            let mut properties = Map::new();
            let mut required = vec![json!("type")];
            properties.insert("type".to_owned(), json!({ "const": kind.name }));
            properties.extend(beside.before.clone());
            required.extend(beside.before.keys().map(|key| json!(key)));
            if let Some(own) = schema["properties"].as_object() {
                properties.extend(own.clone());
            }
            properties.extend(beside.after.clone());
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

fn beside_sinks(generator: &mut SchemaGenerator) -> Beside {
    let inputs = json!({
        "description": "The sources and operators whose changes come in.",
        "type": "array",
        "items": { "type": "string" },
    });
    let layers = Layers::json_schema(generator).to_value();
    Beside {
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
