//! What the user typed: a pipeline file, read and checked but not yet understood.
//!
//! A file is parsed, then references are substituted, then everything is held against the JSON
//! Schema that its own Rust types give, then the graph is checked, and only then are the types
//! filled. Whatever is wrong is reported at once, each at its place. What compiles expressions and
//! connects stands in the plan.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::layer::{BreakerConfig, RetryConfig, ThrottleConfig};
use syncline_connectors::sink::SinkConfig;
use syncline_connectors::source::SourceConfig;

use crate::operator::OperatorConfig;

mod document;
mod substitution;

mod report;
mod shape;

mod checks;
mod graph;
mod kinds;
mod quarantine;
mod schema;
mod size;

mod read;
mod reference;
mod rows;
mod together;

#[cfg(test)]
mod golden;

pub use document::Document;
pub(crate) use kinds::operator_kind;
pub use quarantine::{FileQuarantine, KafkaQuarantine, QuarantineConfig};
pub(crate) use read::load_with_problems;
pub use read::{load, load_text, pipeline_files};
pub use reference::{Entry, EntryKind, EntryOption, entries, reference_markdown};
pub use report::Report;
pub use rows::{KnownRows, check_rows};
pub use schema::pipeline_schema;
pub use size::ByteSize;
pub use together::check_together;

/// A pipeline file that holds to its schema and whose graph is whole.
pub struct PipelineFile {
    /// The pipeline's name: `name`, else the file's name without its extension.
    pub name: String,
    /// How much memory records and rows may hold, over all queues and lanes.
    pub memory_bytes: u64,
    /// When a batch is full.
    pub batch: Batch,
    /// The sources by name, in the order of the file.
    pub sources: Vec<(String, SourceConfig)>,
    /// The operators by name, in the order of the file.
    pub operators: Vec<(String, OperatorConfig)>,
    /// The sinks by name, in the order of the file.
    pub sinks: Vec<(String, SinkNode)>,
    /// Where rejected changes are kept.
    pub quarantine: Option<QuarantineConfig>,
    /// The file itself, to place problems that are found later.
    pub document: Document,
}

/// A sink with its place in the graph, of which the connector knows nothing.
#[derive(Clone)]
pub struct SinkNode {
    /// The sources and operators whose changes come in.
    pub inputs: Vec<String>,
    /// What is wrapped around the connector.
    pub layers: Layers,
    /// The connector's settings.
    pub config: SinkConfig,
}

/// What is wrapped around the connection of any sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Layers {
    /// How often and how soon an unavailable target is tried again.
    pub retry: RetryConfig,
    /// When an unavailable target is left alone but for a probe, by all lanes together.
    pub breaker: BreakerConfig,
    /// How fast the target may be written; without a bound where it is absent.
    pub throttle: Option<ThrottleConfig>,
}

/// When a batch is handed on: at the first of these bounds.
///
/// ```toml
/// [batch]
/// rows      = 8192
/// bytes     = "4MiB"
/// linger_ms = 20
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// The most records of a batch.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rows: usize,
    /// The most bytes of keys and values; one record may go past it.
    pub bytes: ByteSize,
    /// How long a batch may wait to fill, in milliseconds.
    #[schemars(range(max = 60_000))]
    pub linger_ms: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            rows: 8192,
            bytes: ByteSize::mebibytes(4),
            linger_ms: 20,
        }
    }
}

impl Layers {
    /// The keys of a sink's table that are layers.
    const KEYS: [&str; 3] = ["retry", "breaker", "throttle"];
}

impl Batch {
    /// How long a batch may wait to fill.
    pub fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }
}

/// Nothing but names: settings hold secrets.
impl fmt::Debug for PipelineFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineFile")
            .field("name", &self.name)
            .field("document", &self.document)
            .finish_non_exhaustive()
    }
}

impl PipelineFile {
    /// The folder that relative references start from.
    pub fn folder(&self) -> &Path {
        self.document.folder()
    }

    /// Every node of the graph by name with its inputs: sources, then operators, then sinks.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &[String])> {
        let sources = self
            .sources
            .iter()
            .map(|(name, _)| (name.as_str(), &[][..]));
        let operators = self
            .operators
            .iter()
            .map(|(name, operator)| (name.as_str(), operator.inputs()));
        let sinks = self
            .sinks
            .iter()
            .map(|(name, sink)| (name.as_str(), sink.inputs.as_slice()));
        sources.chain(operators).chain(sinks)
    }
}
