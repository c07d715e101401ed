//! Compiles a policy for the columns of a table. Every error of a policy is found here, once.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use syncline_connectors::change::Logical;
use syncline_connectors::conflict::{BaseFrom, ConflictPolicy, Detect, Strategy, Tie};

use super::column::Rule;
use super::compare::Equality;
use super::expression::{ColumnExpression, RowExpression, check_syntax, problem, sides_schema};
use super::version::Version;
use crate::function::{nearest, type_name};
use crate::problem::Problem;

/// A compiled policy.
#[derive(Debug)]
pub(super) struct Rules {
    /// The schema of the changes; any value may be null.
    pub(super) schema: SchemaRef,
    /// One entry for each column.
    pub(super) columns: Vec<ColumnRules>,
    pub(super) row: RowRule,
    pub(super) detect: Detect,
    pub(super) version: Option<Version>,
    pub(super) tie: Tie,
    pub(super) separator: String,
    /// Whether the base is needed.
    pub(super) with_base: bool,
    /// Whether a recorded delete refuses older changes after it (R12).
    pub(super) uses_tombstones: bool,
}

/// How one column compares and what decides it.
#[derive(Debug)]
pub(super) struct ColumnRules {
    pub(super) equality: Equality,
    /// The column is part of the key and takes part in no comparison.
    pub(super) is_key: bool,
    /// The column's own strategy.
    pub(super) own: Option<Rule>,
}

/// The strategy that decides a row.
#[derive(Debug)]
pub(super) enum RowRule {
    Source,
    Target,
    Newest,
    Oldest,
    Manual,
    Expression(RowExpression),
    /// Column by column; a column without a strategy of its own uses this one.
    Columns(Rule),
}

impl Rules {
    /// Compiles `policy`.
    ///
    /// # Errors
    /// All problems of the policy; their paths begin at `conflict`.
    pub(super) fn compile(
        policy: &ConflictPolicy,
        schema: &SchemaRef,
        key: &[usize],
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = check_syntax(policy);
        if !problems.is_empty() {
            return Err(problems);
        }
        let sides = sides_schema(schema);
        let version = version(policy, schema, &mut problems);
        let row = row_rule(policy, &sides, &mut problems);
        let mut columns: Vec<ColumnRules> = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| ColumnRules {
                equality: Equality::of(field),
                is_key: key.contains(&index),
                own: None,
            })
            .collect();
        for (name, strategy) in &policy.columns {
            let path = ["conflict", "columns", name.as_str()];
            let Ok(index) = schema.index_of(name) else {
                problems.push(absent(&path, name, schema));
                continue;
            };
            let field = schema.field(index);
            if columns[index].is_key {
                let message = format!(
                    "column {name} is part of the key, which is the same on both sides of a conflict"
                );
                problems.push(Problem::new(&path, message).help("take this strategy out"));
                continue;
            }
            match column_rule(policy, strategy, &sides, field) {
                Ok(rule) => {
                    if let Some(wanted) = rule.accepted_types(field) {
                        let help = format!("write another one, as in columns.{name} = \"merge\"");
                        problems
                            .push(unsuitable_strategy(&path, strategy, field, wanted).help(help));
                    }
                    columns[index].own = Some(rule);
                }
                Err(wrong) => problems.push(wrong.under(&path)),
            }
        }
        if let RowRule::Columns(rule) = &row {
            for (column, field) in columns.iter().zip(schema.fields()) {
                if !column.is_key
                    && column.own.is_none()
                    && !policy.columns.contains_key(field.name())
                    && let Some(wanted) = rule.accepted_types(field)
                {
                    let name = field.name();
                    let help = format!(
                        "give column {name} a strategy of its own: columns.{name} = \"merge\""
                    );
                    let path = ["conflict", "strategy"];
                    problems.push(
                        unsuitable_strategy(&path, &policy.strategy, field, wanted).help(help),
                    );
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let detect = policy.detection();
        let by_column = matches!(row, RowRule::Columns(_)) || !policy.columns.is_empty();
        let nullable = schema
            .fields()
            .iter()
            .map(|field| match field.is_nullable() {
                true => field.clone(),
                false => Arc::new(field.as_ref().clone().with_nullable(true)),
            });
        Ok(Self {
            schema: Arc::new(Schema::new_with_metadata(
                nullable.collect::<Vec<_>>(),
                schema.metadata().clone(),
            )),
            with_base: detect == Detect::Before || by_column,
            uses_tombstones: version.is_some()
                && matches!(row, RowRule::Newest | RowRule::Columns(_)),
            columns,
            row,
            detect,
            version,
            tie: policy.tie,
            separator: policy.separator.clone(),
        })
    }

    /// The columns that can be in conflict: all that are not part of the key.
    pub(super) fn compared(&self) -> impl Iterator<Item = usize> {
        let columns = self.columns.iter().enumerate();
        columns
            .filter(|(_, column)| !column.is_key)
            .map(|(index, _)| index)
    }

    /// The rule of a column; `None` if the whole row goes to one side.
    pub(super) fn of_column(&self, column: usize) -> Option<&Rule> {
        let own = self.columns[column].own.as_ref();
        own.or(match &self.row {
            RowRule::Columns(rule) => Some(rule),
            _ => None,
        })
    }
}

/// Compiles the version column, if the policy needs versions.
fn version(
    policy: &ConflictPolicy,
    schema: &SchemaRef,
    problems: &mut Vec<Problem>,
) -> Option<Version> {
    let name = policy.version.as_ref()?;
    let path = ["conflict", "version"];
    let Ok(column) = schema.index_of(name) else {
        problems.push(absent(&path, name, schema));
        return None;
    };
    match Version::compile(policy, column, schema.field(column)) {
        Ok(version) => {
            let asked = policy.detect == Some(Detect::Version)
                || !policy.strategy.takes_whole_rows()
                || policy
                    .strategies()
                    .any(|strategy| strategy.compares_versions() || *strategy == Strategy::Merge);
            asked.then_some(version)
        }
        Err(error) => {
            problems.push(Problem::new(&path, error.to_string()));
            None
        }
    }
}

fn row_rule(policy: &ConflictPolicy, sides: &SchemaRef, problems: &mut Vec<Problem>) -> RowRule {
    let path = ["conflict", "strategy"];
    match &policy.strategy {
        Strategy::SourceWins => RowRule::Source,
        Strategy::TargetWins => RowRule::Target,
        Strategy::NewestWins => RowRule::Newest,
        Strategy::OldestWins => RowRule::Oldest,
        Strategy::Manual => RowRule::Manual,
        Strategy::Expression(text) => match RowExpression::compile(text, sides) {
            Ok(expression) => RowRule::Expression(expression),
            Err(error) => {
                problems.push(problem(&["conflict", "strategy", "expression"], &error));
                RowRule::Manual
            }
        },
        by_column => match plain_rule(policy, by_column) {
            Ok(rule) => RowRule::Columns(rule),
            Err(wrong) => {
                problems.push(wrong.under(&path));
                RowRule::Manual
            }
        },
    }
}

fn column_rule(
    policy: &ConflictPolicy,
    strategy: &Strategy,
    sides: &SchemaRef,
    field: &Field,
) -> Result<Rule, Problem> {
    match strategy {
        Strategy::Expression(text) => ColumnExpression::compile(text, sides, field)
            .map(Rule::Expression)
            .map_err(|error| problem(&["expression"], &error)),
        plain => plain_rule(policy, plain),
    }
}

fn plain_rule(policy: &ConflictPolicy, strategy: &Strategy) -> Result<Rule, Problem> {
    let rule = match strategy {
        Strategy::SourceWins => Rule::Source,
        Strategy::TargetWins => Rule::Target,
        Strategy::NewestWins => Rule::Newest,
        Strategy::OldestWins => Rule::Oldest,
        Strategy::Merge => Rule::Merge,
        Strategy::Max => Rule::Max,
        Strategy::Min => Rule::Min,
        Strategy::Sum => Rule::Sum,
        Strategy::Union => Rule::Union,
        Strategy::Concat => Rule::Concat,
        Strategy::Coalesce => Rule::Coalesce,
        Strategy::JsonMerge => Rule::JsonMerge,
        Strategy::Manual => Rule::Manual,
        Strategy::Expression(_) => unreachable!("an expression is compiled for its column"),
    };
    if matches!(rule, Rule::Sum | Rule::JsonMerge) && policy.base == BaseFrom::ShadowHash {
        let message = format!(
            "`{}` needs the value before, of which base = \"shadow_hash\" keeps only a hash",
            strategy.name()
        );
        return Err(Problem::new(&[], message).help("write base = \"shadow\""));
    }
    Ok(rule)
}

fn unsuitable_strategy(path: &[&str], strategy: &Strategy, field: &Field, wanted: &str) -> Problem {
    let found = match Logical::of(field) {
        Some(Logical::Json) => "a JSON document".to_owned(),
        Some(Logical::Numeric) => "a number of any precision, as text".to_owned(),
        Some(logical) => format!("{logical:?} as text").to_lowercase(),
        None => type_name(field.data_type()),
    };
    let message = format!(
        "`{}` takes {wanted}, and column {} is {found}",
        strategy.name(),
        field.name()
    );
    Problem::new(path, message)
}

/// The problem of a column name that `schema` lacks.
pub(crate) fn absent(path: &[&str], column: &str, schema: &SchemaRef) -> Problem {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let help = match nearest(column, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the columns are {}", names.join(", ")),
    };
    Problem::new(path, format!("no column `{column}` comes in")).help(help)
}
