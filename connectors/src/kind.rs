//! One kind of component: how it is called in a pipeline file, its settings, and how they are read.
//!
//! The lists of kinds ([`SOURCES`](crate::registry::SOURCES) and its likes)
//! are the only place where components are listed: the parser, the JSON Schema, `list` and the
//! reference all go through them. What a person reads about a kind is the doc comment of its
//! settings, by way of their schema: the first sentence says what it is, a TOML block shows it.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Error, Value};

/// A kind of component whose settings become a `Config`.
pub struct Kind<Config> {
    /// The value of `type`.
    pub name: &'static str,
    /// The schema of the settings, inline: without `type`, and for sinks without `inputs`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads settings that hold to the schema.
    pub read: fn(Value) -> Result<Config, Error>,
}
