//! Reads and checks pipeline files. The result is what the user wrote; the plan interprets it.
//!
//! Steps: parse the file, substitute references, check the values against the JSON Schema that the
//! Rust types produce, check the graph, and fill the types. All problems are reported together,
//! each with its position. The plan compiles expressions and connects.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::cache::Options;
use syncline_connectors::layer::{BreakerConfig, RetryConfig, ThrottleConfig};
use syncline_connectors::sink::SinkConfig;
use syncline_connectors::source::SourceConfig;
use syncline_connectors::sql::lookup::LookupConfig;

use crate::function::Definitions;
use crate::operator::OperatorConfig;

mod document;
mod includes;
mod secret;
mod substitution;

mod report;
mod shape;

mod caches;
mod cases;
mod checks;
mod connection_keys;
mod graph;
mod kinds;
mod quarantine;
mod schema;
mod size;

mod addresses;
mod files;
mod read;
mod reference;
mod rows;
mod schedule;
mod service;
mod together;

#[cfg(test)]
mod golden;

pub use cases::{
    ChangeLetter, Expectation, ExpectedConflict, ExpectedRejection, InputChange, Row, TestCase,
    tests_beside,
};
pub use document::Document;
pub use files::pipeline_files;
pub use quarantine::{FileQuarantine, KafkaQuarantine, QuarantineConfig};
pub(crate) use read::load_with_problems;
pub use read::{load, load_text, load_text_with};
pub use reference::{Entry, EntryKind, EntryOption, entries, reference_markdown};
pub use report::Report;
pub use rows::{KnownRows, check_rows};
pub use schedule::{Misfire, Overlap, Schedule, Timetable};
pub use schema::{editor_schema, pipeline_schema};
pub use service::{
    Api, Defaults, Log, LogFormat, SERVICE_FILE, Service, ServiceFile, Services, service_schema,
};
pub use size::ByteSize;
pub use together::check_together;

/// A pipeline file that is valid by its schema and whose graph is complete.
pub struct PipelineFile {
    /// The pipeline's name: `name`, else the file's name without its extension.
    pub name: String,
    /// The maximum memory for records and rows, over all queues and lanes, in bytes.
    pub memory_bytes: u64,
    /// The limits of a batch.
    pub batch: Batch,
    /// The sources by name, in the order of the file.
    pub sources: Vec<(String, SourceConfig)>,
    /// The caches by name.
    pub caches: Vec<(String, Options)>,
    /// The tables and queries that rows are looked up in, by name, in the order of the file.
    pub lookups: Vec<(String, LookupConfig)>,
    /// The operators by name, in the order of the file.
    pub operators: Vec<(String, OperatorConfig)>,
    /// The sinks by name, in the order of the file.
    pub sinks: Vec<(String, SinkNode)>,
    /// Where rejected changes are kept.
    pub quarantine: Option<QuarantineConfig>,
    /// When it runs, if not all the time.
    pub schedule: Option<Timetable>,
    /// The folder for what Syncline keeps on disk.
    pub state: PathBuf,
    /// The whole file as it was understood, with all that it takes over.
    resolved: serde_json::Value,
    /// Its tests, and those of the file beside it.
    pub tests: Vec<TestCase>,
    /// The functions that the file defines or names.
    pub functions: Definitions,
    /// The parsed file, to show later problems at their positions.
    pub document: Document,
}

/// A sink with its place in the graph. The connector knows only `config`.
#[derive(Clone)]
pub struct SinkNode {
    /// The names of the sources and operators whose changes the sink gets.
    pub inputs: Vec<String>,
    /// The layers around the connector.
    pub layers: Layers,
    /// The connector's settings.
    pub config: SinkConfig,
}

/// The layers around the connection of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Layers {
    /// How often and how soon a write to an unavailable target is repeated.
    pub retry: RetryConfig,
    /// When all lanes stop writing to an unavailable target, apart from single test requests.
    pub breaker: BreakerConfig,
    /// The maximum write rate; unlimited if absent.
    pub throttle: Option<ThrottleConfig>,
}

/// A batch is complete when it reaches the first of these limits.
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
    /// The maximum number of records in a batch.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rows: usize,
    /// The maximum number of bytes of keys and values in a batch; one record may exceed it.
    pub bytes: ByteSize,
    /// The maximum time that a batch waits for more records, in milliseconds.
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
    /// The keys of a sink's table that configure layers.
    const KEYS: [&str; 3] = ["retry", "breaker", "throttle"];
}

impl Batch {
    /// The maximum time that a batch waits for more records.
    pub fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }
}

/// Shows only names: the settings contain secrets.
impl fmt::Debug for PipelineFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineFile")
            .field("name", &self.name)
            .field("document", &self.document)
            .finish_non_exhaustive()
    }
}

impl PipelineFile {
    /// The folder that relative `${file:…}` references start from.
    pub fn folder(&self) -> &Path {
        self.document.folder()
    }

    /// Whether both say the same, with the values of their references.
    pub fn same_as(&self, other: &Self) -> bool {
        (&self.name, &self.state, &self.resolved) == (&other.name, &other.state, &other.resolved)
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
