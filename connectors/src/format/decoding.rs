//! What a source can be told about its rows, whatever the source: every source flattens [`Decoding`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CsvSettings, DeclaredSchema, DecoderOptions, Format, KeyColumns, parse_declared};
use crate::problem::Problem;
use crate::schema_registry::SchemaRegistry;

/// What the settings of a source say of its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decoding {
    /// What a record is: a message of a topic, a line of a file.
    pub format: Format,
    /// Column types, where the rows do not say them: `id = "int64"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<DeclaredSchema>,
    /// The columns that identify a row, where records have no key, or one of a single plain value.
    /// Default: those of the sinks, where they agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    /// Which columns of the record key become columns of the row, where the value lacks them:
    /// `needed`, those that the `key` of this source or of a sink names, and all where none is
    /// written; `record`, all; `value`, none. A line of a file has no record key.
    #[serde(default)]
    pub key_columns: KeyColumns,
    /// The text that stands for a value the source did not send (R14), where it is not Debezium's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// Replication origins whose changes are left out, where another pipeline writes to this
    /// source: `syncline_*`, with `*` for any text. They count as filtered. Needs Debezium's
    /// `source.origin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_origins: Vec<String>,
    /// For `json` and `csv`: the field that marks a row as a delete where it is `true`, `t`, `1`, `yes`
    /// or `y`. It is no column. In a topic a null value deletes by the record key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// For `csv`: how values are written. Without `header` each file begins with the names of its
    /// columns; messages need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvSettings>,
    /// For `avro` and `debezium-avro`: where the schemas of the messages are.
    #[serde(default, skip_serializing)]
    pub schema_registry: Option<SchemaRegistry>,
}

impl Decoding {
    /// Records of `format`, with every other setting at its default.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            schema: None,
            key: None,
            key_columns: KeyColumns::default(),
            unavailable: None,
            ignore_origins: Vec::new(),
            deleted: None,
            csv: None,
            schema_registry: None,
        }
    }

    /// Settings of a format that do not fit it; paths begin at the source's table.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |path: &[&str], message: String| {
            problems.push(Problem::new(path, message));
        };
        let says_deletes = matches!(
            self.format,
            Format::DebeziumJson | Format::DebeziumAvro | Format::MaxwellJson
        );
        if self.deleted.is_some() && says_deletes {
            refuse(
                &["deleted"],
                format!("{} says by itself what a delete is", self.format),
            );
        }
        if self.csv.is_some() && self.format != Format::Csv {
            refuse(&["csv"], format!("the format is {}", self.format));
        }
        match (&self.schema_registry, self.format.has_registry()) {
            (Some(_), false) => {
                let message = format!("the format is {}", self.format);
                refuse(&["schema_registry"], message);
            }
            (None, true) => {
                let message = format!("messages of {} do not carry their schemas", self.format);
                let mut problem = Problem::new(&["format"], message);
                problem.help =
                    Some("write schema_registry = { url = \"http://host:8081\" }".to_owned());
                problems.push(problem);
            }
            _ => {}
        }
        problems.extend(self.csv.iter().flat_map(CsvSettings::check));
        problems.extend(self.schema_registry.iter().flat_map(SchemaRegistry::check));
        problems
    }

    /// What a decoder is told. A declared schema that is wrong is left out: it was refused when the
    /// settings were checked.
    pub fn options(&self) -> DecoderOptions {
        let mut options = DecoderOptions {
            declared: self
                .schema
                .as_ref()
                .and_then(|schema| parse_declared(schema).ok()),
            key: self.key.clone(),
            key_columns: self.key_columns,
            ignore_origins: self.ignore_origins.clone(),
            deleted: self.deleted.clone(),
            csv: self.csv.clone().unwrap_or_default(),
            schema_registry: self.schema_registry.clone(),
            ..DecoderOptions::default()
        };
        if let Some(unavailable) = &self.unavailable {
            unavailable.clone_into(&mut options.unavailable);
        }
        options
    }
}
