//! Expressions: DataFusion SQL over the columns of one row, compiled once and evaluated on columns.
//!
//! - A wrong expression gives an [`ExpressionError`] with the byte range of the wrong word when it
//!   is compiled. Evaluating a batch reports no such error.
//! - Names of columns are case-sensitive, as in the data; names of functions are not. A two-part
//!   column name such as `source.email` is written with its dot.
//! - An expression sees one row: no subqueries, aggregates or window functions, and no function
//!   whose result changes when a change is replayed. `now()` is the time of the batch.
//! - Nulls follow the rules of SQL. A row whose value cannot be computed (a failed cast, a division
//!   by zero, an overflow) fails alone: [`Evaluated::failures`] gives the index of the row, never
//!   its values.
//! - Nothing is rounded in silence (R3): numbers with a fraction are decimals, and an overflow
//!   fails. An explicit cast rounds as it says: `cast(x as decimal(12, 2))` rounds half away from
//!   zero.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::{collect_columns, reassign_expr_columns};

mod clock;
mod definition;
pub(crate) mod format;
mod json;
mod location;
mod nearest;
pub(crate) mod normal;
mod planning;
mod registry;
mod syntax;
mod text;

pub use clock::Clock;
pub use definition::{Definition, DefinitionError, Definitions, Expanded};
pub use nearest::nearest;
pub(crate) use planning::type_name;
pub use registry::{FunctionInfo, list};
pub use syntax::{ExpressionError, Name};
pub(crate) use text::fingerprint;

use registry::Registry;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    nullable: bool,
    /// Indices into the schema that it was compiled for, ascending.
    columns: Vec<usize>,
    /// The schema of these columns only; `physical` is compiled for it.
    schema: SchemaRef,
    /// Set where the expression has a clock of its own, which it moves at every batch.
    own_clock: Option<Clock>,
}

/// The values of an expression for a batch.
#[derive(Debug)]
pub struct Evaluated {
    /// One value for each row; null where the evaluation failed.
    pub array: ArrayRef,
    /// The rows that failed, ascending.
    pub failures: Vec<Failure>,
}

/// A row for which an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The index of the row in the batch.
    pub row: usize,
    /// The reason, without the row's values.
    pub reason: &'static str,
}

impl Expression {
    /// Compiles `text` over the columns of `schema`; `now()` follows the system's clock.
    ///
    /// # Errors
    /// If the text is not a valid expression over these columns.
    pub fn compile(text: &str, schema: &SchemaRef) -> Result<Self, Box<ExpressionError>> {
        let clock = Clock::system();
        let mut expression = Self::compile_at(text, schema, &clock)?;
        expression.own_clock = Some(clock);
        Ok(expression)
    }

    /// Compiles `text` over the columns of `schema`; `now()` gives the time of `clock`, which the
    /// caller moves between batches.
    ///
    /// # Errors
    /// The same as [`Expression::compile`].
    pub fn compile_at(
        text: &str,
        schema: &SchemaRef,
        clock: &Clock,
    ) -> Result<Self, Box<ExpressionError>> {
        // A column can be null in a delete, even where the source's schema says `not null`.
        let nullable: Vec<Field> = schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        let schema = Arc::new(Schema::new(nullable));
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();

        let planned = syntax::on_large_stack(|| {
            let registry = Registry::new(clock);
            let parsed = syntax::parse(text, Some(&names), &registry)?;
            planning::plan(text, &parsed.tree, &schema, &registry)
        })?;
        let whole = |error: String| ExpressionError::new(0..text.len(), error);
        let mut columns: Vec<usize> = collect_columns(&planned.physical)
            .iter()
            .map(Column::index)
            .collect();
        columns.sort_unstable();
        let projected = schema
            .project(&columns)
            .map_err(|error| whole(error.to_string()))?;
        let physical = reassign_expr_columns(planned.physical, &projected)
            .map_err(|error| whole(error.strip_backtrace()))?;
        Ok(Self {
            physical,
            data_type: planned.data_type,
            nullable: planned.nullable,
            columns,
            schema: Arc::new(projected),
            own_clock: None,
        })
    }

    /// The type of the values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether a value may be null.
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// The columns that the expression reads: indices into the schema that it was compiled for,
    /// ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The index of the column, if the expression is a plain column name.
    pub fn as_column(&self) -> Option<usize> {
        self.physical
            .downcast_ref::<Column>()
            .map(|column| self.columns[column.index()])
    }

    /// Evaluates the expression for a batch of the schema that it was compiled for.
    pub fn evaluate(&self, batch: &RecordBatch) -> Evaluated {
        self.evaluate_on(batch.num_rows(), |index| batch.column(index).clone())
    }

    /// Evaluates the expression for `rows` rows. Calls `column` with an index into the schema that
    /// the expression was compiled for, and only for the columns that the expression reads.
    ///
    /// # Panics
    /// If a column does not have the type of that schema or is not `rows` long: then the caller
    /// compiled the expression for another schema.
    pub fn evaluate_on(&self, rows: usize, column: impl FnMut(usize) -> ArrayRef) -> Evaluated {
        let columns: Vec<ArrayRef> = self.columns.iter().copied().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .expect("an expression is evaluated on the schema that it was compiled for");
        if let Some(clock) = &self.own_clock {
            clock.tick();
        }
        if rows == 0 {
            return Evaluated {
                array: new_empty_array(&self.data_type),
                failures: Vec::new(),
            };
        }
        match self.values(&batch) {
            Ok(array) => Evaluated {
                array,
                failures: Vec::new(),
            },
            Err(error) => self.bisect(&batch, &error),
        }
    }

    fn values(&self, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        self.physical.evaluate(batch)?.into_array(batch.num_rows())
    }

    /// The values of a batch that failed as a whole: halves it until each failing row stands alone.
    fn bisect(&self, batch: &RecordBatch, error: &DataFusionError) -> Evaluated {
        let mut pieces = Vec::new();
        let mut failures = Vec::new();
        self.halve(batch, 0, error, &mut pieces, &mut failures);
        let arrays: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        let array = arrow::compute::concat(&arrays)
            .expect("the pieces of one expression's values are of one type");
        Evaluated { array, failures }
    }

    fn halve(
        &self,
        batch: &RecordBatch,
        first: usize,
        error: &DataFusionError,
        pieces: &mut Vec<ArrayRef>,
        failures: &mut Vec<Failure>,
    ) {
        let rows = batch.num_rows();
        if rows == 1 {
            pieces.push(new_null_array(&self.data_type, 1));
            failures.push(Failure {
                row: first,
                reason: reason(error),
            });
            return;
        }
        let half = rows / 2;
        for (start, length) in [(0, half), (half, rows - half)] {
            let part = batch.slice(start, length);
            match self.values(&part) {
                Ok(array) => pieces.push(array),
                Err(error) => self.halve(&part, first + start, &error, pieces, failures),
            }
        }
    }
}

/// The columns that `text` names, each once, in order. Needs no schema.
///
/// # Errors
/// If the text is not an expression, or calls a function that does not exist.
pub fn references(text: &str) -> Result<Vec<String>, Box<ExpressionError>> {
    syntax::on_large_stack(|| {
        let registry = Registry::new(&Clock::stopped_at(0));
        syntax::parse(text, None, &registry).map(|parsed| parsed.references)
    })
}

/// Every column name in `text`, split into its parts, in order. Needs no schema.
///
/// # Errors
/// The same as [`references`].
pub fn names(text: &str) -> Result<Vec<Name>, Box<ExpressionError>> {
    syntax::on_large_stack(|| {
        let registry = Registry::new(&Clock::stopped_at(0));
        syntax::parse(text, None, &registry).map(|parsed| parsed.names)
    })
}

/// Splits a condition at its top-level `and`s, each part as text.
///
/// # Errors
/// The same as [`references`].
pub fn conjuncts(text: &str) -> Result<Vec<String>, Box<ExpressionError>> {
    syntax::on_large_stack(|| {
        let registry = Registry::new(&Clock::stopped_at(0));
        syntax::parse(text, None, &registry).map(|parsed| syntax::conjuncts(&parsed.tree))
    })
}

/// The reason why a row failed. DataFusion's own message is not used because it contains the row's
/// value.
fn reason(error: &DataFusionError) -> &'static str {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "division by zero",
            ArrowError::ArithmeticOverflow(_) => "the result is out of range",
            ArrowError::CastError(_) | ArrowError::ParseError(_) => {
                "a value cannot be cast to the type that was asked for"
            }
            _ => "a value is outside the range that the expression accepts",
        },
        DataFusionError::External(error) => match error.downcast_ref::<text::Refused>() {
            Some(text::Refused(reason)) => reason,
            None => "a value is outside the range that the expression accepts",
        },
        _ => "a value is outside the range that the expression accepts",
    }
}

#[cfg(test)]
mod tests;
