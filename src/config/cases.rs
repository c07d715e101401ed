//! Test cases of a pipeline: what comes in, what stands in the targets, and what is expected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use syncline_connectors::format::DeclaredSchema;

/// One test of the whole pipeline, from the record to the row in the target.
///
/// ```toml
/// [[tests]]
/// name  = "a client that is edited in both systems keeps the newer edit"
/// input = [
///   { op = "c", row = { id = 1, email = " Ada@Example.org" } },
///   { op = "c", row = { id = 2, email = "nonsense" } },
/// ]
/// target.billing  = [{ id = 3, email = "c@example.org" }]
///
/// [tests.expect]
/// target.billing  = [{ id = 1, email = "ada@example.org" }, { id = 3, email = "c@example.org" }]
/// rejected        = [{ rule = 'format = "email"', field = "email" }]
/// counts.billing  = { written = 1, quarantined = 1 }
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What the test shows.
    pub name: String,
    /// The time of `now()`, RFC 3339. Default: `2026-01-01T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// The types of columns, where the pipeline leaves them to what the source sends: `id = "int64"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<DeclaredSchema>,
    /// The rows of the tables that are looked into, by the name of the lookup. No database is asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lookups: BTreeMap<String, Vec<Row>>,
    /// The changes that come in, in their order.
    pub input: Vec<InputChange>,
    /// The rows that stand in the target before, by sink. Each row names the same columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target: BTreeMap<String, Vec<Row>>,
    /// The key of a sink's table, where the pipeline leaves it to the table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Vec<String>>,
    /// What is expected. What it does not name is not compared; of rejections all have to be named.
    #[serde(default)]
    pub expect: Expectation,
}

/// A row: its columns by name. A column that is to be null is `{ null = true }`.
pub type Row = Map<String, Json>;

/// A change that comes in: a row with its operation, or a raw record.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InputChange {
    /// The source, where the pipeline has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The operation: `c` insert, `u` update, `d` delete, `r` read by a snapshot, `t` truncate. Default: `c`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<ChangeLetter>,
    /// The row after; for a delete, the row before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<Row>,
    /// The row before of an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Row>,
    /// The table at the source. Default: the last part of the topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// When it happened, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Instead of `row`: the value of the record as it comes from the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The key of the record as it comes from the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The operation of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeLetter {
    /// Inserted.
    C,
    /// Updated.
    U,
    /// Deleted.
    D,
    /// Read by a snapshot.
    R,
    /// The table was emptied.
    T,
}

impl ChangeLetter {
    /// The letter.
    pub fn letter(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::U => "u",
            Self::D => "d",
            Self::R => "r",
            Self::T => "t",
        }
    }
}

/// What a test expects.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// The rows that stand in the target after, by sink: all rows in any order, of each the columns that are
    /// named. For a sink that is no database, the changes that reach it, each with `_op`, in their order.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub target: BTreeMap<String, Vec<Row>>,
    /// What is rejected, in the order of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Vec<ExpectedRejection>>,
    /// The conflicts, in the order in which they were decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<Vec<ExpectedConflict>>,
    /// What became of the changes, by sink: `written`, `superseded`, `filtered`, `kept`, `quarantined`,
    /// `waiting` and `warned`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A rejection. What it does not name is not compared.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedRejection {
    /// The number of the change in `input`, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<usize>,
    /// `decode`, or the operator or sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The rule, or a part of it.
    pub rule: String,
    /// The column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The reason, or a part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A conflict. What it does not name is not compared.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedConflict {
    /// The sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// The key of the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Row>,
    /// The type, for example `update_origin_differs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The winner: `source`, `target`, `merged` and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
}

/// The file beside a pipeline file that holds further tests: `clients.tests.toml` for `clients.toml`.
pub fn tests_beside(pipeline: &Path) -> PathBuf {
    pipeline.with_extension("tests.toml")
}

/// Whether a file is one of tests.
pub(crate) fn is_tests(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().ends_with(".tests.toml"))
}
