//! Expressions: DataFusion SQL over the columns of one row, compiled once and evaluated on columns.
//!
//! - A wrong expression is an [`ExpressionError`] with the bytes of the wrong word, before anything
//!   starts. A batch only evaluates.
//! - Names of columns are case-sensitive, as in the data; names of functions are not. A column whose
//!   name has two parts, as `source.email`, is written as that.
//! - Only what one row says can be asked: no subqueries, aggregates or window functions, and nothing
//!   that differs when a change is replayed. `now()` is the time of the batch.
//! - A null is what SQL makes of it. A value that cannot be computed (a failed cast, a division by
//!   zero, an overflow) costs its own row only: [`Evaluated::failures`] names the rows, never values.
//! - Nothing is rounded in silence (R3): numbers with a fraction are decimals, overflow fails. A cast
//!   that a person writes does what they asked: `cast(x as decimal(12, 2))` rounds half away from
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
mod location;
mod nearest;
mod planning;
mod registry;
mod syntax;
mod text;

pub use clock::Clock;
pub use nearest::nearest;
pub(crate) use planning::type_name;
pub use registry::{FunctionInfo, list};
pub use syntax::{ExpressionError, Name};

use registry::Registry;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    nullable: bool,
    /// Indices into the schema that it was compiled for, ascending.
    columns: Vec<usize>,
    /// Those columns alone, which `physical` is over.
    schema: SchemaRef,
    /// To be read anew for every batch, where nobody else does.
    own_clock: Option<Clock>,
}

/// The values of an expression for a batch.
#[derive(Debug)]
pub struct Evaluated {
    /// One value a row; null where it failed.
    pub array: ArrayRef,
    /// The rows that failed, ascending.
    pub failures: Vec<Failure>,
}

/// A row for which an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which row of the batch.
    pub row: usize,
    /// Why, without the row's values.
    pub reason: &'static str,
}

impl Expression {
    /// Compiles `text` over the columns of `schema`; `now()` follows the system's clock.
    ///
    /// # Errors
    /// Where the text is no valid expression over these columns.
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
    /// As [`Expression::compile`].
    pub fn compile_at(
        text: &str,
        schema: &SchemaRef,
        clock: &Clock,
    ) -> Result<Self, Box<ExpressionError>> {
        // Any column may be null in a delete, whatever the source's schema says.
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

    /// The type of its values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether a value may be null.
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// The columns that it depends on: indices into the schema that it was compiled for, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The column that it is, where it is nothing but one.
    pub fn as_column(&self) -> Option<usize> {
        self.physical
            .downcast_ref::<Column>()
            .map(|column| self.columns[column.index()])
    }

    /// Its values for a batch of the schema that it was compiled for.
    pub fn evaluate(&self, batch: &RecordBatch) -> Evaluated {
        self.evaluate_on(batch.num_rows(), |index| batch.column(index).clone())
    }

    /// Its values for `rows` rows, whose columns are asked for by their index into the schema that
    /// it was compiled for; only those that it depends on are asked for.
    ///
    /// # Panics
    /// Where a column is not of that schema's type or not `rows` long: the caller compiled for
    /// another schema.
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

    /// The values of a batch that failed as a whole: halves it until every culprit stands alone.
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

/// The columns that `text` names, each once, in order; no schema is needed.
///
/// # Errors
/// Where the text is no expression, or calls what does not exist.
pub fn references(text: &str) -> Result<Vec<String>, Box<ExpressionError>> {
    syntax::on_large_stack(|| {
        let registry = Registry::new(&Clock::stopped_at(0));
        syntax::parse(text, None, &registry).map(|parsed| parsed.references)
    })
}

/// Every name of a column that `text` has, part by part, in order; no schema is needed.
///
/// # Errors
/// As [`references`].
pub fn names(text: &str) -> Result<Vec<Name>, Box<ExpressionError>> {
    syntax::on_large_stack(|| {
        let registry = Registry::new(&Clock::stopped_at(0));
        syntax::parse(text, None, &registry).map(|parsed| parsed.names)
    })
}

/// The conditions that `text` joins by `and`, each as text of its own.
///
/// # Errors
/// As [`references`].
pub fn conjuncts(text: &str) -> Result<Vec<String>, Box<ExpressionError>> {
    syntax::on_large_stack(|| {
        let registry = Registry::new(&Clock::stopped_at(0));
        syntax::parse(text, None, &registry).map(|parsed| syntax::conjuncts(&parsed.tree))
    })
}

/// Why a row failed, for a person. The message of the error holds the row's value and is not shown.
fn reason(error: &DataFusionError) -> &'static str {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "division by zero",
            ArrowError::ArithmeticOverflow(_) => "the result is out of range",
            ArrowError::CastError(_) | ArrowError::ParseError(_) => {
                "a value cannot be cast to the type that was asked for"
            }
            _ => "a value is outside of what the expression can take",
        },
        _ => "a value is outside of what the expression can take",
    }
}

#[cfg(test)]
mod tests;
