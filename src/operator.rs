//! Operators: a batch of changes in, a batch of changes out, plus the rows that were rejected.
//!
//! An operator is compiled for one Arrow schema and then only evaluates; when a source's schema
//! changes, it is compiled again. Bad rows are values that travel, never errors.

use arrow::datatypes::SchemaRef;
use syncline_connectors::change::Changes;

use crate::problem::Problem;

pub mod filter;
pub mod literal;
pub mod map;
pub mod validate;

pub use filter::FilterConfig;
pub use map::MapConfig;
pub use validate::ValidateConfig;

/// The operators that exist, each with its settings. Not tagged for serde, which would lose the
/// positions of errors: the configuration reads `type` first and then the struct that it names.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorConfig {
    /// `type = "map"`
    Map(MapConfig),
    /// `type = "filter"`
    Filter(FilterConfig),
    /// `type = "validate"`
    Validate(ValidateConfig),
}

impl OperatorConfig {
    /// The sources or operators whose changes come in.
    pub fn inputs(&self) -> &[String] {
        match self {
            Self::Map(config) => &config.inputs,
            Self::Filter(config) => &config.inputs,
            Self::Validate(config) => &config.inputs,
        }
    }
}

/// A row that a rule refused, with enough to explain it to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Index into `Changes::records`: the record that the row came from.
    pub origin: u32,
    /// The rule, for example `format = "email"`.
    pub rule: String,
    /// The column, where one is at fault.
    pub field: Option<String>,
    /// Why, for a person. Never holds the row's values.
    pub reason: String,
}

/// What an operator made of a batch: every row is in exactly one of the three (R17).
#[derive(Debug)]
pub struct Applied {
    /// The rows that go on.
    pub changes: Changes,
    /// The rows that go to the quarantine.
    pub rejected: Vec<Rejection>,
    /// How many rows a rule dropped on purpose.
    pub filtered: u64,
}

/// Why an operator stopped the pipeline.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// `on_failure = "stop"`, or an evaluation that cannot go on.
    #[error("{0}")]
    Stop(String),
}

/// Batch in, batch out.
pub trait Operator: Send {
    /// The schema of the rows that go out.
    fn schema(&self) -> SchemaRef;

    /// Applies the operator to a batch of the schema that it was compiled for.
    ///
    /// # Errors
    /// Only where the pipeline must stop.
    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError>;
}

/// What compiling an operator gives: the operator, or every problem of its configuration.
pub type Compiled = Result<Box<dyn Operator>, Vec<Problem>>;
