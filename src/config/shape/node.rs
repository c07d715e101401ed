//! What a value of a file is called, and which kind of a schema it passes as.

use serde_json::{Map, Value as Json};

use super::allowed::describe;
use crate::config::document::{Node, Value};

impl Node {
    /// The JSON Schema type of this value.
    pub(super) fn kind(&self) -> &'static str {
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

    /// An integer is also a number, and a date is accepted where a text is expected.
    pub(super) fn passes_as(&self, kinds: &[&str]) -> bool {
        match &self.value {
            Value::Integer(_) => kinds.contains(&"number"),
            Value::Datetime(_) => kinds.contains(&"string"),
            _ => false,
        }
    }

    pub(super) fn describe(&self) -> &'static str {
        describe(self.kind())
    }
}

/// The value as JSON, without checks.
pub(super) fn plain(node: &Node) -> Json {
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
