//! Operators turn a batch of changes into a batch of changes and a list of rejected rows.
//!
//! An operator is compiled for one Arrow schema and then only evaluates; when a source's schema
//! changes, it is compiled again. A bad row is a value in the result, never an error.

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use syncline_connectors::change::Changes;

use crate::function::{ExpressionError, nearest};
use crate::lookup::Question;
use crate::problem::Problem;

mod context;
pub mod dedupe;
pub mod explode;
pub mod filter;
mod in_place;
pub mod literal;
pub mod lookup;
pub mod map;
pub mod mask;
mod memory;
pub mod normalize;
mod refuse;
pub mod route;
mod scope;
#[cfg(test)]
mod testing;
pub mod validate;

pub use context::Context;
pub use dedupe::DedupeConfig;
pub use explode::ExplodeConfig;
pub use filter::FilterConfig;
pub use lookup::LookupConfig;
pub use map::MapConfig;
pub use mask::MaskConfig;
pub use memory::{Memory, RuleCount};
pub use normalize::NormalizeConfig;
pub use route::{BranchConfig, RouteConfig};
pub use validate::ValidateConfig;
pub(crate) use validate::encoded;

/// The column of warnings that `validate` adds. It goes with its row as far as the sink, which does not get
/// it.
pub const WARNINGS: &str = "_warnings";

/// The settings of an operator. Serde does not read the tag, because that would lose the positions
/// of errors: the configuration reads `type` first and then the matching struct.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorConfig {
    /// `type = "map"`
    Map(MapConfig),
    /// `type = "filter"`
    Filter(FilterConfig),
    /// `type = "validate"`
    Validate(ValidateConfig),
    /// `type = "normalize"`
    Normalize(NormalizeConfig),
    /// `type = "mask"`
    Mask(MaskConfig),
    /// `type = "dedupe"`
    Dedupe(DedupeConfig),
    /// `type = "explode"`
    Explode(ExplodeConfig),
    /// `type = "route"`
    Route(RouteConfig),
    /// `type = "lookup"`
    Lookup(LookupConfig),
    /// One output of a `route`; a plan makes it.
    Branch(BranchConfig),
}

/// What the settings of every operator answer.
trait Settings {
    /// The operator for rows of `schema`, or every problem; see [`compile`].
    fn compile(&self, name: &str, schema: &SchemaRef, context: &Context) -> Compiled;

    /// See [`check_without_schema`].
    fn check(&self) -> Vec<Problem>;

    /// See [`computed_columns`].
    fn computed_columns(&self) -> Vec<String>;

    /// See [`required_columns`].
    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>>;

    /// See [`OperatorConfig::column_behind`].
    fn column_behind(&self, output: &str) -> Option<String>;
}

impl OperatorConfig {
    /// The names of the sources or operators whose changes the operator gets.
    pub fn inputs(&self) -> &[String] {
        match self {
            Self::Map(config) => &config.inputs,
            Self::Filter(config) => &config.inputs,
            Self::Validate(config) => &config.inputs,
            Self::Normalize(config) => &config.inputs,
            Self::Mask(config) => &config.inputs,
            Self::Dedupe(config) => &config.inputs,
            Self::Explode(config) => &config.inputs,
            Self::Route(config) => &config.inputs,
            Self::Lookup(config) => &config.inputs,
            Self::Branch(_) => &[],
        }
    }

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Map(_) => "map",
            Self::Filter(_) => "filter",
            Self::Validate(_) => "validate",
            Self::Normalize(_) => "normalize",
            Self::Mask(_) => "mask",
            Self::Dedupe(_) => "dedupe",
            Self::Explode(_) => "explode",
            Self::Route(_) | Self::Branch(_) => "route",
            Self::Lookup(_) => "lookup",
        }
    }

    /// The column of the rows that come in which stands behind the column `output` of those that go out:
    /// the same value, or one that only it decides. `None` where `output` is made of others.
    pub fn column_behind(&self, output: &str) -> Option<String> {
        self.settings().column_behind(output)
    }

    /// The names under which others read the operator: its own, and for a `route` those of its outputs.
    pub fn output_names(&self, name: &str) -> Vec<String> {
        match self {
            Self::Route(config) => {
                let outputs = config.output_names();
                outputs.map(|output| format!("{name}.{output}")).collect()
            }
            _ => vec![name.to_owned()],
        }
    }

    /// Whether the operator needs the rows before, so that their sources send them.
    pub fn wants_before(&self) -> bool {
        matches!(self, Self::Route(_) | Self::Explode(_))
    }

    /// What the operator looks up, in the order of its [`Context::slots`].
    pub fn questions(&self) -> Vec<Question> {
        match self {
            Self::Lookup(config) => vec![config.question()],
            Self::Validate(config) => config.questions(),
            _ => Vec::new(),
        }
    }

    fn settings(&self) -> &dyn Settings {
        match self {
            Self::Map(config) => config,
            Self::Filter(config) => config,
            Self::Validate(config) => config,
            Self::Normalize(config) => config,
            Self::Mask(config) => config,
            Self::Dedupe(config) => config,
            Self::Explode(config) => config,
            Self::Route(config) => config,
            Self::Lookup(config) => config,
            Self::Branch(config) => config,
        }
    }
}

/// A row that a rule rejected, with an explanation for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Index into `Changes::records`: the record that the row came from.
    pub origin: u32,
    /// The rule, for example `format = "email"`.
    pub rule: String,
    /// The column, if one column is the reason.
    pub field: Option<String>,
    /// The reason, for a person to read. Never contains the row's values.
    pub reason: String,
    /// What else is known of it.
    pub detail: Option<Box<Detail>>,
}

/// What stands beside the reason of a rejection. It can contain the row's values, so that it is kept in the
/// quarantine and never logged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// The value that was found, as text; of a sensitive column only its length.
    pub found: Option<String>,
    /// An expression that would mend it.
    pub suggestion: Option<String>,
    /// Tells the rule with its settings from every other.
    pub fingerprint: String,
}

/// The result of an operator for a batch: every row is in exactly one of `changes`, `rejected` and
/// `filtered` (R17).
#[derive(Debug)]
pub struct Applied {
    /// The rows for the next operator or the sink.
    pub changes: Changes,
    /// The rows for the quarantine.
    pub rejected: Vec<Rejection>,
    /// The number of rows that a rule dropped on purpose.
    pub filtered: u64,
    /// The number of rows in `changes` that broke a rule which only warns.
    pub warned: u64,
    /// The number of rows in `changes` that there were not before: each counts as a change of its own.
    pub added: u64,
}

/// The reason why an operator stopped the pipeline.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// `on_failure = "stop"`, or an evaluation that cannot continue.
    #[error("{0}")]
    Stop(String),
}

/// Transforms batches of changes of one schema.
pub trait Operator: Send {
    /// The schema of the resulting rows.
    fn schema(&self) -> SchemaRef;

    /// Applies the operator to a batch of the schema that it was compiled for.
    ///
    /// # Errors
    /// Only if the pipeline must stop.
    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError>;
}

/// The result of compiling an operator: the operator, or all problems of its configuration.
pub type Compiled = Result<Box<dyn Operator>, Vec<Problem>>;

/// Compiles the operator `name` for rows of `schema`.
///
/// Where no schema declares a column and the values at hand are of a kind that an expression or a rule
/// cannot take, their rows are refused and not the configuration: other rows have other kinds.
///
/// # Errors
/// All problems of its configuration, each with a path that starts in the operator's own table
/// (`["fields", "email"]`).
pub fn compile(name: &str, config: &OperatorConfig, schema: &SchemaRef) -> Compiled {
    compile_in(name, config, schema, &Context::default())
}

/// The same as [`compile`], with a clock and a memory.
///
/// # Errors
/// The same as [`compile`].
pub fn compile_in(
    name: &str,
    config: &OperatorConfig,
    schema: &SchemaRef,
    context: &Context,
) -> Compiled {
    let compile = |schema: &SchemaRef| config.settings().compile(name, schema, context);
    compile(schema).or_else(|problems| {
        let computed = computed_columns(config);
        let compile = |schema: &SchemaRef| compile(schema).ok();
        refuse::compile(name, schema, &computed, &problems, compile).ok_or(problems)
    })
}

/// The problems that can be found without knowing the rows: syntax, functions, the shape of rules.
/// [`compile`] finds them too, with the same paths.
pub fn check_without_schema(config: &OperatorConfig) -> Vec<Problem> {
    config.settings().check()
}

/// The columns of the rows that come in of which an operator computes something: where no schema declares
/// them, each of their values keeps a type of its own.
pub fn computed_columns(config: &OperatorConfig) -> Vec<String> {
    let mut names = config.settings().computed_columns();
    // Metadata of the change is no column, unless a row carries one of that name.
    names.retain(|name| !scope::is_metadata(name));
    names
}

/// The columns of the rows that come in which an operator names in any way: it can be compiled only for
/// rows that have them.
pub fn named_columns(config: &OperatorConfig) -> Vec<String> {
    let mut names = computed_columns(config);
    if let OperatorConfig::Map(config) = config {
        let passed = map::passed_columns(config);
        names.extend(passed.into_iter().filter(|name| !scope::is_metadata(name)));
    }
    names
}

/// The input columns that the operator needs for the output columns `wanted` (`None`: all of them),
/// each once. The result can contain metadata names such as `_op`, which are columns only if the
/// rows have a column of that name. Key columns are not added, because a decoder always keeps them.
pub fn required_columns(config: &OperatorConfig, wanted: Option<&[String]>) -> Option<Vec<String>> {
    let mut required = config.settings().required_columns(wanted)?;
    let mut seen = std::collections::HashSet::new();
    required.retain(|name| seen.insert(name.clone()));
    Some(required)
}

/// Converts an expression's error to a problem at `path`.
fn problem(path: &[&str], error: ExpressionError) -> Problem {
    let mut problem = Problem::new(path, error.message).at(error.span);
    problem.help = error.help;
    problem
}

/// The problem of an unknown column, with the nearest known name.
fn unknown(path: &[&str], name: &str, columns: &[&str]) -> Problem {
    let problem = Problem::new(path, format!("no column {name}"));
    match nearest(name, columns.iter().copied()) {
        Some(meant) => problem.help(format!("did you mean {meant}?")),
        None => problem.help(format!("the columns are {}", columns.join(", "))),
    }
}

/// The changes without the rows in `gone`.
fn remaining(
    changes: Changes,
    is_gone: impl Fn(usize) -> bool,
    gone_count: usize,
) -> Result<Changes, OperatorError> {
    if gone_count == 0 {
        return Ok(changes);
    }
    let kept: Vec<u32> = (0..changes.len())
        .filter(|&row| !is_gone(row))
        .map(|row| row as u32)
        .collect();
    changes
        .take(&kept)
        .map_err(|error| OperatorError::Stop(format!("cannot take rows: {error}")))
}

fn is_set(mask: &Option<BooleanBuffer>, row: usize) -> bool {
    mask.as_ref().is_some_and(|mask| mask.value(row))
}

#[cfg(test)]
mod tests;
