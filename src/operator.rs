//! Operators turn a batch of changes into a batch of changes and a list of rejected rows.
//!
//! An operator is compiled for one Arrow schema and then only evaluates; when a source's schema
//! changes, it is compiled again. A bad row is a value in the result, never an error.

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use syncline_connectors::change::Changes;

use crate::function::{Clock, ExpressionError, nearest};
use crate::problem::Problem;

pub mod filter;
pub mod literal;
pub mod map;
mod refuse;
mod scope;
#[cfg(test)]
mod testing;
pub mod validate;

pub use filter::FilterConfig;
pub use map::MapConfig;
pub use validate::ValidateConfig;

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
}

/// Every operator: its `type` and a summary in one line.
pub const LIST: [(&str, &str); 3] = [
    ("map", map::SUMMARY),
    ("filter", filter::SUMMARY),
    ("validate", validate::SUMMARY),
];

impl OperatorConfig {
    /// The names of the sources or operators whose changes the operator gets.
    pub fn inputs(&self) -> &[String] {
        match self {
            Self::Map(config) => &config.inputs,
            Self::Filter(config) => &config.inputs,
            Self::Validate(config) => &config.inputs,
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
    compile_for(name, config, schema).or_else(|problems| {
        let computed = computed_columns(config);
        let compile = |schema: &SchemaRef| compile_for(name, config, schema).ok();
        refuse::compile(name, schema, &computed, &problems, compile).ok_or(problems)
    })
}

fn compile_for(name: &str, config: &OperatorConfig, schema: &SchemaRef) -> Compiled {
    let clock = Clock::system();
    match config {
        OperatorConfig::Map(config) => map::compile(config, schema, clock),
        OperatorConfig::Filter(config) => filter::compile(config, schema, clock),
        OperatorConfig::Validate(config) => validate::compile(name, config, schema, clock),
    }
}

/// The problems that can be found without knowing the rows: syntax, functions, the shape of rules.
/// [`compile`] finds them too, with the same paths.
pub fn check_without_schema(config: &OperatorConfig) -> Vec<Problem> {
    match config {
        OperatorConfig::Map(config) => map::check_without_schema(config),
        OperatorConfig::Filter(config) => filter::check_without_schema(config),
        OperatorConfig::Validate(config) => validate::check_without_schema(config),
    }
}

/// The columns of the rows that come in of which an operator computes something: where no schema declares
/// them, each of their values keeps a type of its own.
pub fn computed_columns(config: &OperatorConfig) -> Vec<String> {
    let mut names = match config {
        OperatorConfig::Map(config) => map::computed_columns(config),
        OperatorConfig::Filter(config) => filter::computed_columns(config),
        OperatorConfig::Validate(config) => validate::computed_columns(config),
    };
    // Metadata of the change is no column, unless a row carries one of that name.
    names.retain(|name| !scope::is_metadata(name));
    names
}

/// The columns of the rows that come in which an operator names in any way: it can be compiled only for
/// rows that have them.
pub fn named_columns(config: &OperatorConfig) -> Vec<String> {
    let mut names = computed_columns(config);
    if let OperatorConfig::Map(config) = config {
        names.extend(map::passed_columns(config));
    }
    names
}

/// The input columns that the operator needs for the output columns `wanted` (`None`: all of them),
/// each once. The result can contain metadata names such as `_op`, which are columns only if the
/// rows have a column of that name. Key columns are not added, because a decoder always keeps them.
pub fn required_columns(config: &OperatorConfig, wanted: Option<&[String]>) -> Option<Vec<String>> {
    let mut required = match config {
        OperatorConfig::Map(config) => map::required_columns(config, wanted),
        OperatorConfig::Filter(config) => filter::required_columns(config, wanted),
        OperatorConfig::Validate(config) => validate::required_columns(config, wanted),
    }?;
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
mod tests {
    use super::*;

    /// The examples in the documentation of the settings must be valid, because people copy them.
    #[test]
    fn every_documented_snippet_parses() {
        let sources = [
            ("map", include_str!("operator/map.rs")),
            ("filter", include_str!("operator/filter.rs")),
            ("validate", include_str!("operator/validate.rs")),
        ];
        for (kind, source) in sources {
            let lines = source.lines().map_while(|line| match line {
                "#[cfg(test)]" => None,
                line => Some(line.strip_prefix("/// ").unwrap_or(line)),
            });
            let text: Vec<&str> = lines.collect();
            let snippets: Vec<String> = text
                .split(|line| line.starts_with("```"))
                .skip(1)
                .step_by(2)
                .map(|snippet| snippet.join("\n"))
                .collect();
            assert!(!snippets.is_empty(), "{kind} shows a snippet");
            for snippet in snippets {
                let file: toml::Table = toml::from_str(&snippet).expect(&snippet);
                let operators = file["operators"].as_table().expect("a table of operators");
                for settings in operators.values() {
                    let mut settings = settings.as_table().expect("a table").clone();
                    assert_eq!(settings.remove("type"), Some(kind.into()));
                    let config = match kind {
                        "map" => OperatorConfig::Map(settings.try_into().expect(&snippet)),
                        "filter" => OperatorConfig::Filter(settings.try_into().expect(&snippet)),
                        _ => OperatorConfig::Validate(settings.try_into().expect(&snippet)),
                    };
                    assert_eq!(check_without_schema(&config), []);
                }
            }
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(toml::from_str::<MapConfig>("field.a = 'x'").is_err());
        assert!(toml::from_str::<FilterConfig>("where = 'a'\nwhen = 'b'").is_err());
        assert!(toml::from_str::<ValidateConfig>("rules = [{ feild = 'x' }]").is_err());
    }
}
