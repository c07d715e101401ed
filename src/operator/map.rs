//! `map`: builds the rows that go on, column by column, from expressions.
//!
//! - A column that is only taken along or renamed keeps its array and its type, also one that Arrow
//!   cannot say ([`Logical`](syncline_connectors::change::Logical)).
//! - A value that depends on one that the source did not send is not sent either (R14, R19): an
//!   unavailable one makes it unavailable, a column that an update does not carry makes it a column that
//!   the update does not carry. A column that an insert does not carry is null.
//! - A value that is computed from columns that no schema declares is undeclared, too, unless it is cast.
//! - Deletes are mapped as well: their image is what the target's row is compared with.
//! - A row for which an expression has no value is rejected; the rest goes on.
//! - The row before of a change is mapped by the same expressions; one for which an expression has no
//!   value is not known from there on, and the change goes on all the same.
//! - The key follows its columns to their new names. Where a key column does not go out as it came
//!   in, the changes go out without a key, and the sink must state its own.

mod check;
mod image;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, has_no_kind, is_undeclared, undeclared, without_kind};

pub(super) use self::check::passed_columns;
use self::check::{check_shape, check_without_schema, computed_columns, required_columns};
use super::literal::Texts;
use super::scope::{Scope, Values};
use super::{
    Applied, Compiled, Context, Operator, OperatorError, Rejection, Settings, problem, remaining,
    unknown,
};
use crate::function::{self, Clock, Expression, Failure};
use crate::problem::Problem;

/// Chooses, renames and computes columns.
///
/// ```toml
/// [operators.tidy]
/// type   = "map"
/// inputs = ["crm"]
/// fields.id    = "id"
/// fields.name  = "trim(first_name) || ' ' || trim(last_name)"
/// fields.email = "normalize_email(email)"
/// ```
///
/// ```toml
/// [operators.slim]
/// type   = "map"
/// inputs = ["crm"]
/// drop   = ["internal_notes"]
/// rename = { created = "created_at" }
/// set.email = "normalize_email(email)"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MapConfig {
    /// The sources or operators whose changes come in.
    pub inputs: Vec<String>,
    /// The columns that go out, each with the SQL expression that gives its value; no other column
    /// goes out. Excludes the four settings below.
    pub fields: Texts,
    /// The columns that go on; all others are left out.
    pub keep: Vec<String>,
    /// The columns that are left out; all others go on.
    pub drop: Vec<String>,
    /// Columns that go on under a new name: `old = "new"`.
    pub rename: Texts,
    /// Columns that are added, or replaced, by the value of an SQL expression over the columns that
    /// come in; all others go on.
    pub set: Texts,
}

impl Settings for MapConfig {
    fn compile(&self, _: &str, schema: &SchemaRef, context: &Context) -> Compiled {
        compile(self, schema, context.clock.clone())
    }

    fn check(&self) -> Vec<Problem> {
        check_without_schema(self)
    }

    fn computed_columns(&self) -> Vec<String> {
        computed_columns(self)
    }

    fn required_columns(&self, wanted: Option<&[String]>) -> Option<Vec<String>> {
        required_columns(self, wanted)
    }

    /// The column that comes in as `output`, where it goes on as it is; `None` where `output` is
    /// computed or does not go on.
    fn column_behind(&self, output: &str) -> Option<String> {
        let computed = if self.fields.is_empty() {
            &self.set
        } else {
            &self.fields
        };
        if let Some((_, text)) = computed.iter().find(|(name, _)| *name == output) {
            let [column] = &function::references(text).ok()?[..] else {
                return None;
            };
            let plain = text.trim();
            return (plain == column || plain == format!("\"{column}\"")).then(|| column.clone());
        }
        if !self.fields.is_empty() {
            return None;
        }
        let renamed = self.rename.iter().find(|(_, new)| *new == output);
        let column = renamed.map_or(output, |(old, _)| old);
        let kept = self.keep.is_empty() || self.keep.iter().any(|name| name == column);
        let gone = self.drop.iter().any(|name| name == column)
            || (renamed.is_none() && self.rename.iter().any(|(old, _)| old == column));
        (kept && !gone).then(|| column.to_owned())
    }
}

/// What a column of the rows that go on is made of.
#[derive(Debug)]
enum Output {
    /// The column of this index, as it is.
    Column(usize),
    /// The value of an expression.
    Computed {
        expression: Expression,
        rule: String,
    },
}

/// For each column the rows of which something holds; `None` where it holds of none.
type Masks = Vec<Option<BooleanBuffer>>;

#[derive(Debug)]
struct Map {
    scope: Scope,
    outputs: Vec<Output>,
    schema: SchemaRef,
}

fn compile(config: &MapConfig, schema: &SchemaRef, clock: Clock) -> Compiled {
    let mut problems = check_shape(config);
    let scope = Scope::new(schema, clock);
    let mut outputs: Vec<(Field, Output)> = Vec::new();
    if config.fields.is_empty() {
        passed_on(config, schema, &mut outputs, &mut problems);
    }
    for (setting, texts) in [("fields", &config.fields), ("set", &config.set)] {
        for (name, text) in texts.iter() {
            match compile_output(&scope, schema, setting, name, text) {
                Ok(output) => match outputs.iter_mut().find(|(field, _)| field.name() == name) {
                    Some(replaced) => *replaced = output,
                    None => outputs.push(output),
                },
                Err(found) => problems.push(found),
            }
        }
    }
    if problems.is_empty() && outputs.is_empty() {
        problems.push(Problem::new(&[], "no column is left"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let (fields, outputs): (Vec<Field>, Vec<Output>) = outputs.into_iter().unzip();
    Ok(Box::new(Map {
        scope,
        outputs,
        schema: Arc::new(Schema::new(fields)),
    }))
}

fn compile_output(
    scope: &Scope,
    schema: &SchemaRef,
    setting: &str,
    name: &str,
    text: &str,
) -> Result<(Field, Output), Problem> {
    let expression = scope
        .compile(text)
        .map_err(|error| problem(&[setting, name], *error))?;
    Ok(match scope.as_column(&expression) {
        Some(index) => {
            let field = schema.field(index).clone().with_name(name);
            (field, Output::Column(index))
        }
        None => {
            let field = Field::new(name, expression.data_type().clone(), true);
            let field = match (follows_values(schema, &expression, text), field.data_type()) {
                (true, DataType::Null) => without_kind(name),
                (true, _) => undeclared(field),
                (false, _) => field,
            };
            let rule = format!("{setting}.{name} = \"{text}\"");
            (field, Output::Computed { expression, rule })
        }
    })
}

/// Whether the type of an expression is no more than that of the values at hand: it is computed from
/// columns that no schema declares, and not cast.
fn follows_values(schema: &SchemaRef, expression: &Expression, text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let is_cast = text.starts_with("cast(") || text.starts_with("try_cast(") || text.contains("::");
    let is_plain = matches!(
        expression.data_type(),
        DataType::Null | DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Utf8
    );
    let mut columns = expression.columns().iter();
    let fields = schema.fields();
    !is_cast
        && is_plain
        && columns.any(|&index| fields.get(index).is_some_and(|field| is_undeclared(field)))
}

/// The columns that go on by `keep`, `drop` and `rename`.
fn passed_on(
    config: &MapConfig,
    schema: &SchemaRef,
    outputs: &mut Vec<(Field, Output)>,
    problems: &mut Vec<Problem>,
) {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    for (setting, columns) in [("keep", &config.keep), ("drop", &config.drop)] {
        for (index, column) in columns.iter().enumerate() {
            if !names.contains(&column.as_str()) {
                problems.push(unknown(&[setting, &index.to_string()], column, &names));
            }
        }
    }
    for (old, _) in config.rename.iter() {
        if !names.contains(&old) {
            problems.push(unknown(&["rename", old], old, &names));
        } else if !goes_on(config, old) {
            problems.push(Problem::new(
                &["rename", old],
                format!("column {old} is renamed, but does not go on"),
            ));
        }
    }
    for (index, field) in schema.fields().iter().enumerate() {
        if !goes_on(config, field.name()) {
            continue;
        }
        let name = renamed(config, field.name());
        if outputs.iter().any(|(taken, _)| taken.name() == name) {
            problems.push(
                Problem::new(&["rename"], format!("two columns would be named {name}"))
                    .help("drop one of them, or give it another name"),
            );
            continue;
        }
        let field = field.as_ref().clone().with_name(name);
        outputs.push((field, Output::Column(index)));
    }
}

fn goes_on(config: &MapConfig, column: &str) -> bool {
    let is_in = |columns: &[String]| columns.iter().any(|name| name == column);
    (config.keep.is_empty() || is_in(&config.keep)) && !is_in(&config.drop)
}

fn renamed<'a>(config: &'a MapConfig, column: &'a str) -> &'a str {
    let new = config.rename.iter().find(|(old, _)| *old == column);
    new.map_or(column, |(_, new)| new)
}

impl Operator for Map {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let mut rejected: BTreeMap<usize, Rejection> = BTreeMap::new();
        let values = self.scope.enter(&changes);
        let (rows, [unset, not_carried]) =
            self.outputs(&changes, &values, |field, rule, failure| {
                rejected.entry(failure.row).or_insert_with(|| Rejection {
                    origin: changes.origins[failure.row],
                    rule: rule.to_owned(),
                    field: Some(field.name().clone()),
                    reason: failure.reason.to_owned(),
                    detail: None,
                });
            })?;
        let before = match &changes.before {
            Some(image) => self.image(&changes, image)?,
            None => None,
        };
        let mapped = Changes {
            key: self.key(&changes),
            rows,
            unset,
            not_carried,
            before,
            ..changes
        };
        let is_rejected = |row: usize| rejected.contains_key(&row);
        Ok(Applied {
            changes: remaining(mapped, is_rejected, rejected.len())?,
            rejected: rejected.into_values().collect(),
            filtered: 0,
            warned: 0,
            added: 0,
        })
    }
}

impl Map {
    /// The rows that go out, where they are not sent, and where they are not carried. `failed` is told of every value that an
    /// expression does not have: its column, its rule and its row.
    fn outputs(
        &self,
        changes: &Changes,
        values: &Values<'_>,
        mut failed: impl FnMut(&Field, &str, &Failure),
    ) -> Result<(RecordBatch, [Masks; 2]), OperatorError> {
        let mut columns = Vec::with_capacity(self.outputs.len());
        let mut unset = Vec::with_capacity(self.outputs.len());
        let mut not_carried = Vec::with_capacity(self.outputs.len());
        for (field, output) in self.schema.fields().iter().zip(&self.outputs) {
            match output {
                Output::Column(index) => {
                    columns.push(changes.rows.column(*index).clone());
                    unset.push(changes.unset[*index].clone());
                    not_carried.push(changes.not_carried.get(*index).cloned().flatten());
                }
                Output::Computed { expression, rule } => {
                    let known = values.evaluate(expression);
                    columns.push(match has_no_kind(field) {
                        true => new_null_array(field.data_type(), changes.len()),
                        false => known.array,
                    });
                    unset.push(known.unset);
                    not_carried.push(known.not_carried);
                    for failure in &known.failures {
                        failed(field, rule, failure);
                    }
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| OperatorError::Stop(format!("map cannot build its rows: {error}")))?;
        Ok((rows, [unset, not_carried]))
    }

    /// The names under which the key's columns go out; `None` where one of them does not.
    fn key(&self, changes: &Changes) -> Option<Arc<[String]>> {
        let key = changes.key.as_ref()?;
        let schema = changes.rows.schema_ref();
        key.iter()
            .map(|name| {
                let index = schema.index_of(name).ok()?;
                let mut outputs = self.schema.fields().iter().zip(&self.outputs);
                let is_it = |output: &Output| matches!(output, Output::Column(i) if *i == index);
                let same = outputs
                    .clone()
                    .find(|(field, output)| field.name() == name && is_it(output));
                let found = same.or_else(|| outputs.find(|(_, output)| is_it(output)));
                found.map(|(field, _)| field.name().clone())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
