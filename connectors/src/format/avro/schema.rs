//! An Avro schema, parsed once: a table of nodes that refer to each other by number.
//!
//! Only what decoding needs is kept: a record's fields in their order, the symbols of an enum, and the
//! attributes that say what a value means (`logicalType`, and those that Kafka Connect adds, `connect.name`
//! and the like). Defaults and aliases matter to who reads with a schema of its own; here each message is
//! read with the schema that it was written with.

use std::collections::HashMap;

use serde_json::Value;

/// The place of a node in its schema.
pub(super) type NodeId = usize;

/// More types than this are no schema of a table.
const NODES_MAX: usize = 100_000;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

/// One type of a schema.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The attributes of its JSON object but for names and parts; null where it is a plain name.
    pub(super) attributes: Value,
    /// The full name of a record, an enum or a fixed.
    pub(super) name: Option<String>,
}

/// How a value is encoded.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(NodeId),
    Map(NodeId),
    Record(Vec<(String, NodeId)>),
    Union(Vec<NodeId>),
}

impl Schema {
    /// Parses a schema. `referenced` are the texts of schemas whose names it uses, each after those that it
    /// uses itself.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub(super) fn parse(text: &str, referenced: &[String]) -> Result<Self, String> {
        let mut parser = Parser::default();
        let mut root = 0;
        for text in referenced.iter().map(String::as_str).chain([text]) {
            // A name alone is a schema, too, and some writers leave out its quotes.
            let value: Value = match serde_json::from_str(text) {
                Ok(value) => value,
                Err(_) if is_name(text) => Value::from(text.trim()),
                Err(error) => return Err(format!("it is no JSON: {error}")),
            };
            root = parser.node(&value, "")?;
        }
        Ok(Self {
            nodes: parser.nodes,
            root,
        })
    }

    /// The branch of a union that is not null, where there is just one; any other type is itself.
    pub(super) fn without_null(&self, id: NodeId) -> Option<NodeId> {
        let Kind::Union(branches) = &self.nodes[id].kind else {
            return Some(id);
        };
        let is_value = |id: &&NodeId| !matches!(self.nodes[**id].kind, Kind::Null);
        let mut values = branches.iter().filter(is_value);
        values.next().filter(|_| values.next().is_none()).copied()
    }

    /// Whether a value may be null.
    pub(super) fn has_null(&self, id: NodeId) -> bool {
        match &self.nodes[id].kind {
            Kind::Null => true,
            Kind::Union(branches) => branches.iter().any(|id| self.has_null(*id)),
            _ => false,
        }
    }
}

fn is_name(text: &str) -> bool {
    let text = text.trim();
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
    !text.is_empty() && text.chars().all(is_letter)
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    named: HashMap<String, NodeId>,
}

impl Parser {
    fn node(&mut self, value: &Value, namespace: &str) -> Result<NodeId, String> {
        match value {
            Value::String(name) => match primitive(name) {
                Some(kind) => self.add(kind, Value::Null, None),
                None => self.known(name, namespace),
            },
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.node(branch, namespace));
                let branches = branches.collect::<Result<Vec<NodeId>, String>>()?;
                self.add(Kind::Union(branches), Value::Null, None)
            }
            Value::Object(_) => self.object(value, namespace),
            _ => Err("found a type that is no name, no object and no union".to_owned()),
        }
    }

    fn object(&mut self, value: &Value, namespace: &str) -> Result<NodeId, String> {
        let Some(kind) = value["type"].as_str() else {
            // The type of this type stands one level deeper.
            return match &value["type"] {
                inner @ (Value::Object(_) | Value::Array(_)) => self.node(inner, namespace),
                _ => Err("found a type without `type`".to_owned()),
            };
        };
        let part = |name: &str| match &value[name] {
            Value::Null => Err(format!("found an {kind} without `{name}`")),
            part => Ok(part.clone()),
        };
        if let Some(kind) = primitive(kind) {
            return self.add(kind, value.clone(), None);
        }
        match kind {
            "array" => {
                let items = self.node(&part("items")?, namespace)?;
                self.add(Kind::Array(items), attributes(value), None)
            }
            "map" => {
                let values = self.node(&part("values")?, namespace)?;
                self.add(Kind::Map(values), attributes(value), None)
            }
            "record" | "error" => {
                let (name, inner) = full_name(value, namespace)?;
                // A field may be of the record's own type.
                let id = self.add(
                    Kind::Record(Vec::new()),
                    attributes(value),
                    Some(name.clone()),
                )?;
                self.named.insert(name, id);
                let mut fields = Vec::new();
                for field in part("fields")?.as_array().into_iter().flatten() {
                    let name = field["name"]
                        .as_str()
                        .ok_or("found a field without a name")?;
                    let id = self.node(&field["type"], &inner);
                    let id = id.map_err(|reason| format!("field {name:?}: {reason}"))?;
                    fields.push((name.to_owned(), id));
                }
                self.nodes[id].kind = Kind::Record(fields);
                Ok(id)
            }
            "enum" => {
                let (name, _) = full_name(value, namespace)?;
                let symbols = part("symbols")?;
                let symbols = symbols.as_array().into_iter().flatten();
                let symbols = symbols.map(|symbol| symbol.as_str().unwrap_or_default().to_owned());
                self.define(Kind::Enum(symbols.collect()), value, name)
            }
            "fixed" => {
                let (name, _) = full_name(value, namespace)?;
                let size = value["size"].as_u64().and_then(|n| usize::try_from(n).ok());
                let size = size.ok_or("found a fixed without a `size`")?;
                self.define(Kind::Fixed(size), value, name)
            }
            name => self.known(name, namespace),
        }
    }

    fn define(&mut self, kind: Kind, value: &Value, name: String) -> Result<NodeId, String> {
        let id = self.add(kind, attributes(value), Some(name.clone()))?;
        self.named.insert(name, id);
        Ok(id)
    }

    fn known(&self, name: &str, namespace: &str) -> Result<NodeId, String> {
        let inside = match name.contains('.') || namespace.is_empty() {
            true => name.to_owned(),
            false => format!("{namespace}.{name}"),
        };
        let found = self.named.get(&inside).or_else(|| self.named.get(name));
        found
            .copied()
            .ok_or_else(|| format!("found type {name:?}, which nothing defines"))
    }

    fn add(
        &mut self,
        kind: Kind,
        attributes: Value,
        name: Option<String>,
    ) -> Result<NodeId, String> {
        if self.nodes.len() >= NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} types"));
        }
        self.nodes.push(Node {
            kind,
            attributes,
            name,
        });
        Ok(self.nodes.len() - 1)
    }
}

/// An object without the parts that became nodes.
fn attributes(value: &Value) -> Value {
    let parts = ["fields", "items", "values", "symbols", "doc"];
    let entries = value.as_object().into_iter().flatten();
    let own = entries.filter(|(name, _)| !parts.contains(&name.as_str()));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The full name of a named type, and the namespace of what stands in it.
fn full_name(value: &Value, namespace: &str) -> Result<(String, String), String> {
    let name = value["name"]
        .as_str()
        .ok_or("found a type without a name")?;
    if let Some((namespace, _)) = name.rsplit_once('.') {
        return Ok((name.to_owned(), namespace.to_owned()));
    }
    let namespace = value["namespace"].as_str().unwrap_or(namespace);
    let full = match namespace {
        "" => name.to_owned(),
        _ => format!("{namespace}.{name}"),
    };
    Ok((full, namespace.to_owned()))
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str, referenced: &[&str]) -> Result<String, String> {
        let referenced: Vec<String> = referenced.iter().map(|&text| text.to_owned()).collect();
        let schema = Schema::parse(text, &referenced)?;
        let shown = |id: NodeId| match &schema.nodes[id].kind {
            Kind::Record(fields) => {
                let fields = fields.iter();
                let fields =
                    fields.map(|(name, id)| format!("{name}:{:?}", schema.nodes[*id].name));
                fields.collect::<Vec<_>>().join(" ")
            }
            kind => format!("{kind:?}"),
        };
        Ok(shown(schema.root))
    }

    #[test]
    fn names_are_found_in_their_namespace() {
        let check = |text: &str, referenced: &[&str], expect: Result<&str, &str>| {
            let expect = expect.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(kinds(text, referenced), expect, "{text}");
        };
        check("\"long\"", &[], Ok("Long"));
        check("long", &[], Ok("Long"));
        check(r#"{"type":{"type":"int"}}"#, &[], Ok("Int"));
        check(
            r#"{"type":"record","name":"E","namespace":"a","fields":[
                {"name":"before","type":{"type":"record","name":"V","fields":[]}},
                {"name":"after","type":"V"},{"name":"self","type":"a.E"}]}"#,
            &[],
            Ok(r#"before:Some("a.V") after:Some("a.V") self:Some("a.E")"#),
        );
        check(
            r#"{"type":"record","name":"b.R","fields":[{"name":"x","type":"a.F"}]}"#,
            &[r#"{"type":"fixed","name":"F","namespace":"a","size":2}"#],
            Ok(r#"x:Some("a.F")"#),
        );
        check(
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"F"}]}"#,
            &[],
            Err(r#"field "x": found type "F", which nothing defines"#),
        );
        check(
            r#"{"type":"array"}"#,
            &[],
            Err("found an array without `items`"),
        );
        check(
            "7",
            &[],
            Err("found a type that is no name, no object and no union"),
        );
        assert!(kinds("{", &[]).is_err());
    }
}
