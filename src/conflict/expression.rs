//! Expressions that decide conflicts: over `source.x`, `target.x` and `base.x`, compiled once.
//!
//! `source.x` is the row after the change; for a delete, the deleted row. A column that the source
//! did not send is unchanged (R14): it reads as the target's value, or as null for a delete.
//! `base.x` is null where it is unknown. An expression is evaluated on contested rows only. A row
//! whose evaluation fails, or whose value cannot be cast to the column's type, is rejected alone
//! (C2).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{can_cast_types, cast, filter};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use syncline_connectors::conflict::{ConflictPolicy, Strategy};

use super::mask::{Mask, filter_of, no_rows};
use super::sides::Sides;
use crate::function::{Expression, ExpressionError, Name, names, nearest, type_name};
use crate::problem::Problem;

/// The names that expressions use for the two sides of a conflict and the base.
pub(super) const SIDES: [&str; 3] = ["source", "target", "base"];

/// An expression over the sides of a conflict.
#[derive(Debug)]
pub(super) struct SidesExpression {
    expression: Expression,
    /// The number of columns of one side.
    width: usize,
}

/// An expression that gives a column its value.
#[derive(Debug)]
pub(super) struct ColumnExpression {
    value: SidesExpression,
    data_type: DataType,
}

/// Compact values, one for each requested row, and the indices of those that have no value, with
/// the reason.
pub(super) struct Values {
    pub(super) values: ArrayRef,
    pub(super) failed: Vec<(usize, &'static str)>,
}

/// An expression that says which side wins a row.
#[derive(Debug)]
pub(super) struct RowExpression(SidesExpression);

/// The result of a [`RowExpression`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Source,
    Target,
    Manual,
    /// The expression gives another value, or none.
    Nothing,
}

/// The problems in the expressions of `policy` that can be found without a schema; their paths
/// begin at `conflict`.
pub(crate) fn check_syntax(policy: &ConflictPolicy) -> Vec<Problem> {
    let of_columns = policy.columns.iter().map(|(column, strategy)| {
        let path = vec!["conflict", "columns", column.as_str(), "expression"];
        (path, strategy)
    });
    std::iter::once((vec!["conflict", "strategy", "expression"], &policy.strategy))
        .chain(of_columns)
        .filter_map(|(path, strategy)| {
            let Strategy::Expression(text) = strategy else {
                return None;
            };
            let error = match names(text) {
                Ok(names) => return wrong_name(policy, &names).map(|p| p.under(&path)),
                Err(error) => error,
            };
            Some(problem(&path, &error))
        })
        .collect()
}

/// A problem if a name belongs to no side, or to a side whose values are not stored.
fn wrong_name(policy: &ConflictPolicy, names: &[Name]) -> Option<Problem> {
    use syncline_connectors::conflict::BaseFrom;

    names.iter().find_map(|name| {
        let (side, column) = (name.parts[0].as_str(), name.parts.get(1));
        let wrong = |message: String, help: String| {
            Some(Problem::new(&[], message).at(name.span.clone()).help(help))
        };
        match (SIDES.contains(&side), column) {
            (true, None) => wrong(
                format!("{side} is a whole row"),
                format!("name a column of it, as in {side}.id"),
            ),
            (true, Some(_)) if side == "base" && policy.base == BaseFrom::ShadowHash => wrong(
                "the base is not known: base = \"shadow_hash\" keeps only hashes".to_owned(),
                "write base = \"shadow\"".to_owned(),
            ),
            (true, Some(_)) => None,
            (false, None) => wrong(
                format!("no column {side}"),
                format!("write source.{side}, target.{side} or base.{side}"),
            ),
            (false, Some(column)) => wrong(
                format!("no side {side}"),
                match nearest(side, SIDES) {
                    Some(meant) => format!("did you mean {meant}.{column}?"),
                    None => "the sides are source, target and base".to_owned(),
                },
            ),
        }
    })
}

/// Converts an expression's error, with its path in the configuration.
pub(super) fn problem(path: &[&str], error: &ExpressionError) -> Problem {
    let problem = Problem::new(path, &error.message).at(error.span.clone());
    match &error.help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// The columns of `schema`, repeated for each side.
pub(super) fn sides_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = SIDES.iter().flat_map(|side| {
        schema.fields().iter().map(move |field| {
            let name = format!("{side}.{}", field.name());
            field.as_ref().clone().with_name(name).with_nullable(true)
        })
    });
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

impl SidesExpression {
    /// Compiles `text` over the result of [`sides_schema`].
    fn compile(text: &str, sides: &SchemaRef) -> Result<Self, Box<ExpressionError>> {
        Ok(Self {
            expression: Expression::compile(text, sides)?,
            width: sides.fields().len() / SIDES.len(),
        })
    }

    /// The columns of the target that the expression reads.
    fn target_columns(&self) -> impl Iterator<Item = usize> {
        let columns = self.expression.columns().iter();
        let on_target = columns.filter(|&&index| index / self.width == 1);
        on_target.map(|index| index % self.width)
    }

    /// Compact values for `rows`, and the indices of those that failed.
    fn evaluate(&self, sides: &Sides<'_>, rows: &Mask) -> Result<Values, ArrowError> {
        let picked = filter_of(rows);
        let mut columns = Vec::new();
        for &index in self.expression.columns() {
            let column = index % self.width;
            let whole = match index / self.width {
                0 => source_column(sides, column)?,
                1 => sides.target.rows.column(column).clone(),
                _ => base_column(sides, column)?,
            };
            columns.push(filter(&whole, &picked)?);
        }
        let mut columns = columns.into_iter();
        let evaluated = self.expression.evaluate_on(rows.count_set_bits(), |_| {
            columns
                .next()
                .expect("one for each that is asked for, in order")
        });
        let failed = evaluated.failures.iter();
        Ok(Values {
            failed: failed
                .map(|failure| (failure.row, failure.reason))
                .collect(),
            values: evaluated.array,
        })
    }

    /// The rows in which the expression reads a foreign value of the target.
    fn over_foreign(&self, sides: &Sides<'_>) -> Mask {
        self.target_columns()
            .filter_map(|column| sides.target.foreign[column].as_ref())
            .fold(no_rows(sides.rows), |all, foreign| &all | foreign)
    }
}

/// The source's values; a column that the source did not send has the target's value.
fn source_column(sides: &Sides<'_>, column: usize) -> Result<ArrayRef, ArrowError> {
    let source = sides.changes.rows.column(column);
    match &sides.changes.unset[column] {
        Some(unset) => {
            let unsent = unset & &sides.upserts;
            zip(
                &filter_of(&unsent),
                sides.target.rows.column(column),
                source,
            )
        }
        None => Ok(source.clone()),
    }
}

/// The base's values; for a delete, the deleted row.
fn base_column(sides: &Sides<'_>, column: usize) -> Result<ArrayRef, ArrowError> {
    let source = sides.changes.rows.column(column);
    let base = sides.base_values(column);
    match sides.upserts.has_false() {
        true => zip(&filter_of(&sides.upserts), &base, source),
        false => Ok(base),
    }
}

impl ColumnExpression {
    pub(super) fn compile(
        text: &str,
        sides: &SchemaRef,
        field: &Field,
    ) -> Result<Self, Box<ExpressionError>> {
        let value = SidesExpression::compile(text, sides)?;
        let (from, to) = (value.expression.data_type(), field.data_type());
        if !can_cast_types(from, to) {
            return Err(Box::new(ExpressionError {
                span: 0..text.len(),
                message: format!(
                    "the expression gives {}, but the column {} is {}",
                    type_name(from),
                    field.name(),
                    type_name(to)
                ),
                help: Some("cast it, as in cast(… as bigint)".to_owned()),
            }));
        }
        Ok(Self {
            value,
            data_type: to.clone(),
        })
    }

    pub(super) fn over_foreign(&self, sides: &Sides<'_>) -> Mask {
        self.value.over_foreign(sides)
    }

    /// The column's values for `rows`, compact.
    pub(super) fn evaluate(&self, sides: &Sides<'_>, rows: &Mask) -> Result<Values, ArrowError> {
        let Values { values, mut failed } = self.value.evaluate(sides, rows)?;
        if values.data_type() == &self.data_type {
            return Ok(Values { values, failed });
        }
        let whole = cast(&values, &self.data_type)?;
        let lost = (0..whole.len()).filter(|&row| whole.is_null(row) && values.is_valid(row));
        failed.extend(lost.map(|row| (row, "the value cannot be cast to the type of the column")));
        Ok(Values {
            values: whole,
            failed,
        })
    }
}

impl RowExpression {
    pub(super) fn compile(text: &str, sides: &SchemaRef) -> Result<Self, Box<ExpressionError>> {
        let choice = SidesExpression::compile(text, sides)?;
        let data_type = choice.expression.data_type();
        if data_type != &DataType::Utf8 {
            return Err(Box::new(ExpressionError {
                span: 0..text.len(),
                message: format!("the expression gives {}, but it must give the name of the winner", type_name(data_type)),
                help: Some(
                    "give 'source', 'target' or 'manual', as in case when … then 'source' else 'target' end"
                        .to_owned(),
                ),
            }));
        }
        Ok(Self(choice))
    }

    pub(super) fn over_foreign(&self, sides: &Sides<'_>) -> Mask {
        self.0.over_foreign(sides)
    }

    /// The winner of each row of `rows`.
    pub(super) fn choose(&self, sides: &Sides<'_>, rows: &Mask) -> Result<Vec<Choice>, ArrowError> {
        let Values { values, failed } = self.0.evaluate(sides, rows)?;
        let texts = values.as_string::<i32>();
        let mut choices: Vec<Choice> = (0..texts.len())
            .map(|row| match texts.is_valid(row).then(|| texts.value(row)) {
                Some("source") => Choice::Source,
                Some("target") => Choice::Target,
                Some("manual") => Choice::Manual,
                _ => Choice::Nothing,
            })
            .collect();
        for (row, _) in failed {
            choices[row] = Choice::Nothing;
        }
        Ok(choices)
    }
}
