//! `[connections.NAME]` and `[defaults]` of `syncline.toml`, and how pipeline files take them over.
//!
//! What is taken over stands, for later problems, where the pipeline file names the connection.

use std::collections::BTreeSet;
use std::ops::Range;

use schemars::SchemaGenerator;
use serde_json::{Map, Value as Json, json};
use syncline_connectors::registry::{SINKS, SOURCES};

use crate::config::connection_keys::{CONNECTION, CONNECTION_KEYS};
use crate::config::document::{Entry, Node, Text, Value};
use crate::config::secret::Secret;
use crate::function::nearest;
use crate::problem::Problem;

/// What the pipelines of one folder share.
#[derive(Default)]
pub(crate) struct Shared {
    /// The file that it comes from; empty if there is none.
    path: String,
    connections: Vec<Entry>,
    defaults: Vec<Entry>,
    secrets: Vec<Secret>,
}

/// Shows names only: the settings contain secrets.
impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.connections.iter().map(|connection| &connection.key);
        f.debug_list().entries(names).finish()
    }
}

impl Shared {
    pub(crate) fn new(path: &str, root: &Node, secrets: Vec<Secret>) -> Self {
        let table = |key| root.get(key).map(|node| node.entries().to_vec());
        Self {
            path: path.to_owned(),
            connections: table("connections").unwrap_or_default(),
            defaults: table("defaults").unwrap_or_default(),
            secrets,
        }
    }

    /// The values that came from a reference.
    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Adds to a pipeline file what it takes over. Returns the paths of the tables whose connection is
    /// wrong; `problems` says why.
    pub(crate) fn add_to(&self, root: &mut Node, problems: &mut Vec<Problem>) -> Vec<Vec<String>> {
        let mut wrong = Vec::new();
        if let Value::Table(entries) = &mut root.value {
            add_missing(entries, &self.defaults, &(0..0));
        }
        for section in ["sources", "sinks", "lookups"] {
            let tables = root.entries_mut().iter_mut();
            let of_section = tables.filter(|entry| entry.key == section);
            for entry in of_section.flat_map(|entry| entry.node.entries_mut()) {
                let path = [section, &entry.key];
                if let Err(problem) = self.connect(&path, &mut entry.node) {
                    wrong.push(problem.path.clone());
                    problems.push(problem);
                }
            }
        }
        let mut tables = root.entries_mut().iter_mut();
        if let Some(entry) = tables.find(|entry| entry.key == "quarantine")
            && let Err(problem) = self.connect(&["quarantine"], &mut entry.node)
        {
            wrong.push(problem.path.clone());
            problems.push(problem);
        }
        wrong
    }

    /// Replaces `connection = "NAME"` in one table by the settings of that connection.
    fn connect(&self, path: &[&str], node: &mut Node) -> Result<(), Problem> {
        let Value::Table(entries) = &mut node.value else {
            return Ok(());
        };
        let Some(index) = entries.iter().position(|entry| entry.key == CONNECTION) else {
            return Ok(());
        };
        let named = entries.remove(index);
        let span = named.node.span;
        let wrong = |message: String| Problem::new(path, message).in_file(Some(span.clone()));
        let Value::Text(Text { text: name, .. }) = named.node.value else {
            return Err(wrong("expected the name of a connection".to_owned()));
        };
        let found = self.connections.iter().find(|known| known.key == name);
        let Some(connection) = found else {
            let problem = wrong(format!("there is no connection `{name}`"));
            return Err(problem.help(self.remedy(&name)));
        };
        if let (Some(own), Some(theirs)) = (kind(entries), kind(connection.node.entries()))
            && own != theirs
        {
            let message = format!("the connection `{name}` is of type {theirs}, not {own}");
            return Err(wrong(message));
        }
        add_missing(entries, connection.node.entries(), &span);
        Ok(())
    }

    fn remedy(&self, name: &str) -> String {
        if self.path.is_empty() {
            return "write it into syncline.toml beside this file, as [connections.NAME]"
                .to_owned();
        }
        let names = self.connections.iter().map(|known| known.key.as_str());
        match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`? They are in {}", self.path),
            None => format!("write it into {}, as [connections.{name}]", self.path),
        }
    }
}

/// The `type` of a table.
fn kind(entries: &[Entry]) -> Option<&str> {
    let kind = entries.iter().find(|entry| entry.key == "type");
    kind.and_then(|entry| entry.node.text())
}

/// Adds the entries that are not there, in tables too. They stand at `span` from then on.
fn add_missing(entries: &mut Vec<Entry>, shared: &[Entry], span: &Range<usize>) {
    for new in shared {
        match entries.iter_mut().find(|entry| entry.key == new.key) {
            Some(Entry {
                node:
                    Node {
                        value: Value::Table(own),
                        ..
                    },
                ..
            }) => add_missing(own, new.node.entries(), span),
            Some(_) => {}
            None => {
                let mut new = new.clone();
                new.key_span = span.clone();
                stand_at(&mut new.node, span);
                entries.push(new);
            }
        }
    }
}

fn stand_at(node: &mut Node, span: &Range<usize>) {
    node.span = span.clone();
    match &mut node.value {
        Value::Table(entries) => {
            for entry in entries {
                entry.key_span = span.clone();
                stand_at(&mut entry.node, span);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| stand_at(item, span)),
        _ => {}
    }
}

/// The schemas of connections: of each source and sink the settings that say where it is.
pub(super) fn kinds(generator: &mut SchemaGenerator) -> Vec<Json> {
    let sources = SOURCES.iter().map(|kind| (kind.name, kind.schema));
    let sinks = SINKS.iter().map(|kind| (kind.name, kind.schema));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (name, schema) in sources.chain(sinks) {
        let schema = schema(generator).to_value();
        let mut properties = Map::from_iter([("type".to_owned(), json!({ "const": name }))]);
        for key in CONNECTION_KEYS {
            if let Some(property) = schema["properties"].get(key) {
                properties.insert(key.to_owned(), property.clone());
            }
        }
        if properties.len() > 1 && seen.insert(name) {
            found.push(json!({
                "type": "object",
                "title": name,
                "properties": properties,
                "required": ["type"],
                "additionalProperties": false,
            }));
        }
    }
    found
}
