//! One kind of component: its name in a pipeline file, its settings, and how they are read.
//!
//! Components are listed only in the lists of kinds ([`SOURCES`](crate::registry::SOURCES) and the
//! other constants of the registry). The parser, the JSON Schema, `list` and the reference use
//! these lists. The documentation of a kind is the doc comment of its settings: the first sentence
//! is the summary, a TOML block is the example.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Error, Value};

/// A kind of component whose settings become a `Config`.
pub struct Kind<Config> {
    /// The value of `type`.
    pub name: &'static str,
    /// The schema of the settings, inline: without `type`, and for sinks without `inputs`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads settings that are valid by the schema.
    pub read: fn(Value) -> Result<Config, Error>,
}
