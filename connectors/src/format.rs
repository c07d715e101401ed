//! Bytes to Arrow: raw records in, batches of changes out.
//!
//! `debezium-json` accepts envelopes with and without their schema, flat rows as the unwrapping
//! transform makes them, and tombstones (R1). A schema that comes with the data is used, else the
//! declared one. Without either the columns are those that the rows carry, undeclared
//! ([`crate::change::is_undeclared`]): each has the type of the value at hand, by its JSON kind.
//!
//! Guarantees: every record ends as one change, as a delete and a create where its key changed (R10),
//! as rejected, as filtered, or as superseded (R17). A bad message costs only itself. Changes of one
//! table keep their order; where its schema changes, a new batch begins. So it does where the values of
//! an undeclared column turn to another kind (boolean, whole number, number, text, document); nulls and
//! columns that are not carried turn nothing, and whole numbers share a batch with fractions unless an
//! operator computes with the column.
//!
//! - a flat row without `__op` is an update: it says what the row is now, there or not
//! - null is null
//! - a column that a row does not carry is null, unset and not carried, in every form (R19)
//! - the placeholder of Debezium for unavailable values is null and unset (R14)
//! - delete: the image before where it holds more than the key, else all but the key is unset; of
//!   a column that is `NOT NULL` at the source, a zero says nothing
//! - the row before of an update is decoded where it is asked for: as a row after would be, but that
//!   one which cannot be read, or holds no more than the key, is as if it were not there
//! - an update that changes a key column of a sink carries its row before, asked for or not
//! - a create that a change of key made, and that leaves out unchanged values, carries its old key
//! - columns that only the record key has are added to the row ([`KeyColumns`])
//! - a tombstone is a delete by its key, or superseded where it follows that delete (R12), or where the
//!   topic has several tables and its key does not say which
//! - a change of an ignored replication origin is filtered
//! - fields that a declared schema does not name are left out

mod avro;
mod cells;
mod column;
mod csv;
mod debezium;
mod decimal;
mod declared;
mod decode;
mod decoding;
mod envelope;
mod fault;
mod head;
pub(crate) mod image;
mod images;
mod keys;
mod layout;
mod maxwell;
mod observed;
mod origin;
mod reading;
pub mod recognize;
mod record_key;
mod scan;
mod schema;
mod source;
mod stream;
mod temporal;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;
use std::fmt;

use arrow::datatypes::SchemaRef;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

#[cfg(test)]
pub(crate) use self::avro::decode_with as decode_avro;
pub(crate) use self::cells::{fit, is_document, read_cells, read_exact};
pub use self::csv::CsvSettings;
pub(crate) use self::csv::{RecordEnd, is_word, record_end};
pub use self::declared::parse_declared;
pub use self::decode::{Decode, decoder};
pub use self::decoding::Decoding;
pub(crate) use self::origin::is_origin_of;
use crate::change::Changes;
use crate::schema_registry::SchemaRegistry;

/// What the bytes of a record are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Debezium events as JSON: envelopes or flat rows, with or without their schema.
    DebeziumJson,
    /// Changes of MySQL as Maxwell's daemon writes them.
    MaxwellJson,
    /// Debezium events as Avro, with their schemas in a schema registry; only for topics.
    DebeziumAvro,
    /// One Avro record a message, which is a row, with its schema in a schema registry; only for topics.
    Avro,
    /// One JSON object a message or line, which is a row.
    Json,
    /// One row a message or line, as comma-separated values (RFC 4180).
    Csv,
    /// Files of columns with their types; only for files.
    Parquet,
}

impl Format {
    /// Whether its records name a schema that stands elsewhere, so that they are only messages of topics.
    pub fn has_registry(self) -> bool {
        matches!(self, Self::DebeziumAvro | Self::Avro)
    }

    /// The format in which a person writes such a record: what is no text has one that is.
    pub fn as_text(self) -> Self {
        match self {
            Self::DebeziumAvro => Self::DebeziumJson,
            Self::Avro => Self::Json,
            text => text,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DebeziumJson => "debezium-json",
            Self::MaxwellJson => "maxwell-json",
            Self::DebeziumAvro => "debezium-avro",
            Self::Avro => "avro",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        })
    }
}

/// Which columns of a record key become columns of the row, where the value lacks them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum KeyColumns {
    /// Those that the source's or a sink's `key` names; all of them where no `key` is written.
    #[default]
    Needed,
    /// All of them.
    Record,
    /// None: a row holds what its value holds.
    Value,
}

/// `[sources.NAME.schema]`: column names and the texts of their types, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredSchema(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for DeclaredSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = DeclaredSchema;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of column names and type names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DeclaredSchema, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(DeclaredSchema(columns))
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

impl Serialize for DeclaredSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, text) in &self.0 {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

impl JsonSchema for DeclaredSchema {
    fn schema_name() -> Cow<'static, str> {
        "DeclaredSchema".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "column names and the names of their types",
            "type": "object",
            "additionalProperties": { "type": "string" }
        })
    }
}

/// What a decoder needs to know.
#[derive(Debug, Clone)]
pub struct DecoderOptions {
    /// The schema of the TOML, for rows that come without one; see [`parse_declared`].
    pub declared: Option<SchemaRef>,
    /// Columns that rows without a schema have, whether one carries them or not: those that an operator
    /// names.
    pub expected: Vec<String>,
    /// Columns that an expression reads: where nobody declares them, each number keeps a type of its own.
    pub computed: Vec<String>,
    /// The key columns where a record key names none (R2).
    pub key: Option<Vec<String>>,
    /// Key columns of sinks, as the source calls them: an update that changes one of them carries its
    /// row before, so that its sink can tell a change of key (R10).
    pub watched: Vec<String>,
    /// Which columns of the record key become columns of the row.
    pub key_columns: KeyColumns,
    /// The columns that anyone asks for; `None` means all. Key columns are always decoded.
    pub columns: Option<Vec<String>>,
    /// Debezium's `unavailable.value.placeholder` (R14).
    pub unavailable: String,
    /// The table where no message says it; else the last part of the topic, or the file's stem.
    pub default_table: Option<String>,
    /// Whether updates are to carry their rows before; see [`Changes::before`].
    pub before: bool,
    /// The same for updates of which nothing says the key: their sink finds it in its table.
    pub before_without_key: bool,
    /// Patterns of replication origins whose changes are left out; `*` stands for any text.
    pub ignore_origins: Vec<String>,
    /// The field that marks a row of `json` or `csv` as a delete.
    pub deleted: Option<String>,
    /// How lines of `csv` are written.
    pub csv: CsvSettings,
    /// Where the schemas of `avro` and `debezium-avro` are.
    pub schema_registry: Option<SchemaRegistry>,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self {
            declared: None,
            expected: Vec::new(),
            computed: Vec::new(),
            key: None,
            watched: Vec::new(),
            key_columns: KeyColumns::default(),
            columns: None,
            unavailable: "__debezium_unavailable_value".to_owned(),
            default_table: None,
            before: false,
            before_without_key: false,
            ignore_origins: Vec::new(),
            deleted: None,
            csv: CsvSettings::default(),
            schema_registry: None,
        }
    }
}

/// What became of the records.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Changes by table and schema; those of one table in order.
    pub changes: Vec<Changes>,
    /// Records that are no changes.
    pub rejected: Vec<Undecodable>,
    /// Records that hold no row: logical messages, heartbeats, transaction boundaries; and those of
    /// an ignored origin.
    pub filtered: u64,
    /// Those of `filtered` that were left out for their origin.
    pub ignored: u64,
    /// Tombstones right after their delete (R12).
    pub superseded: u64,
}

impl Decoded {
    /// Changes and records accounted for (R17): one a record, two where a key changed.
    pub fn total(&self) -> u64 {
        let rows: usize = self.changes.iter().map(Changes::len).sum();
        (rows + self.rejected.len()) as u64 + self.filtered + self.superseded
    }
}

/// A record that is no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Index of the record.
    pub origin: u32,
    /// The rule that it breaks.
    pub rule: String,
    /// The field at fault, where one is.
    pub field: Option<String>,
    /// What was found and what was expected; never a value.
    pub reason: String,
}
