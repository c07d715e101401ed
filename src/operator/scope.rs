//! The names that an expression in an operator can use: columns of the row, and metadata of its
//! change.
//!
//! The metadata names are `_key`, `_headers`, `_topic`, `_partition`, `_offset`, `_timestamp`,
//! `_op`, `_table`, `_source` (what an envelope says of its source, as JSON; `_source.lsn` is a member of
//! it) and `_warnings` (null where no `validate` stands before). A column of the row with such a name hides the metadata. A metadata column
//! is built once for each batch, and only if an expression uses it.
//!
//! If a value depends on a column that the source did not send, the value is unset, too (R14, R19): it
//! is null and its unset bit is set. A column that an insert does not carry is null. All values of a
//! truncate are unset.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, StringBuilder,
    TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use syncline_connectors::change::{Changes, Operation, has_no_kind};

use super::WARNINGS;
use crate::function::{Clock, Expression, ExpressionError, Failure};

/// A metadata column of a change, which is not a column of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metadata {
    Key,
    Headers,
    Topic,
    Partition,
    Offset,
    Timestamp,
    Op,
    Table,
    Source,
    Warnings,
}

impl Metadata {
    const ALL: [Self; 10] = [
        Self::Key,
        Self::Headers,
        Self::Topic,
        Self::Partition,
        Self::Offset,
        Self::Timestamp,
        Self::Op,
        Self::Table,
        Self::Source,
        Self::Warnings,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Key => "_key",
            Self::Headers => "_headers",
            Self::Topic => "_topic",
            Self::Partition => "_partition",
            Self::Offset => "_offset",
            Self::Timestamp => "_timestamp",
            Self::Op => "_op",
            Self::Table => "_table",
            Self::Source => "_source",
            Self::Warnings => WARNINGS,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Partition => DataType::Int32,
            Self::Offset => DataType::Int64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            _ => DataType::Utf8,
        }
    }

    fn column(self, changes: &Changes) -> ArrayRef {
        let records = &changes.records;
        let origins = || changes.origins.iter().map(|&origin| origin as usize);
        match self {
            Self::Key => texts(origins().map(|origin| records.key_text(origin))),
            Self::Headers => texts(origins().map(|origin| records.headers(origin).map(Cow::from))),
            Self::Topic => Arc::new(StringArray::from_iter_values(
                origins().map(|origin| &records.partition(origin).partition.topic),
            )),
            Self::Partition => Arc::new(Int32Array::from_iter_values(
                origins().map(|origin| records.partition(origin).partition.number),
            )),
            Self::Offset => Arc::new(Int64Array::from_iter_values(
                origins().map(|origin| records.entries[origin].offset),
            )),
            Self::Timestamp => {
                let times: TimestampMillisecondArray = origins()
                    .map(|origin| records.entries[origin].timestamp_ms)
                    .collect();
                Arc::new(times.with_timezone("UTC"))
            }
            Self::Op => Arc::new(StringArray::from_iter_values(
                changes
                    .operations
                    .iter()
                    .map(|operation| operation.letter()),
            )),
            Self::Table => Arc::new(StringArray::from_iter_values(
                changes.operations.iter().map(|_| &changes.table.name),
            )),
            Self::Source => Arc::new(
                origins()
                    .map(|origin| source_of(&records.value_text(origin)?))
                    .collect::<StringArray>(),
            ),
            Self::Warnings => new_null_array(&DataType::Utf8, changes.len()),
        }
    }
}

/// Whether a name is that of metadata.
pub(super) fn is_metadata(name: &str) -> bool {
    Metadata::ALL.iter().any(|metadata| metadata.name() == name)
}

/// What a Debezium envelope says of its source, as a JSON object.
fn source_of(value: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        payload: Option<Box<Envelope>>,
        source: Option<serde_json::Map<String, serde_json::Value>>,
    }
    let envelope: Envelope = serde_json::from_slice(value).ok()?;
    let source = match envelope.payload {
        Some(payload) => payload.source,
        None => envelope.source,
    };
    Some(serde_json::Value::Object(source?).to_string())
}

/// Bytes that are not valid UTF-8 become null.
fn texts<'a>(values: impl Iterator<Item = Option<Cow<'a, [u8]>>>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    for value in values {
        let text = value.as_ref();
        builder.append_option(text.and_then(|bytes| std::str::from_utf8(bytes).ok()));
    }
    Arc::new(builder.finish())
}

/// The names that expressions over one schema may use.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// The columns of the row, followed by the metadata that no column hides.
    schema: SchemaRef,
    /// The number of columns of the row.
    width: usize,
    metadata: Vec<Metadata>,
    clock: Clock,
}

impl Scope {
    pub(super) fn new(rows: &SchemaRef, clock: Clock) -> Self {
        let metadata: Vec<Metadata> = Metadata::ALL
            .into_iter()
            .filter(|metadata| rows.index_of(metadata.name()).is_err())
            .collect();
        let fields: Vec<Field> = rows
            .fields()
            .iter()
            .map(|field| match has_no_kind(field) {
                // It fits whatever an expression does with it.
                true => Field::new(field.name(), DataType::Null, true),
                false => field.as_ref().clone(),
            })
            .chain(
                metadata
                    .iter()
                    .map(|metadata| Field::new(metadata.name(), metadata.data_type(), true)),
            )
            .collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            width: rows.fields().len(),
            metadata,
            clock,
        }
    }

    pub(super) fn compile(&self, text: &str) -> Result<Expression, Box<ExpressionError>> {
        Expression::compile_at(text, &self.schema, &self.clock)
    }

    /// The index of the row's column, if the expression is a plain column name.
    pub(super) fn as_column(&self, expression: &Expression) -> Option<usize> {
        expression.as_column().filter(|&index| index < self.width)
    }

    /// Starts a batch of changes of the scope's schema, at the current time.
    pub(super) fn enter<'a>(&'a self, changes: &'a Changes) -> Values<'a> {
        self.clock.tick();
        self.enter_again(changes)
    }

    /// The same as [`Scope::enter`], but keeps the time of the last batch: for the rows before its
    /// changes.
    pub(super) fn enter_again<'a>(&'a self, changes: &'a Changes) -> Values<'a> {
        Values {
            scope: self,
            changes,
            metadata: Default::default(),
        }
    }
}

/// The input of expressions for one batch.
pub(super) struct Values<'a> {
    scope: &'a Scope,
    changes: &'a Changes,
    metadata: [OnceCell<ArrayRef>; Metadata::ALL.len()],
}

/// The values of an expression for a batch of changes.
pub(super) struct Known {
    /// One value for each row; null where it failed or is unset.
    pub(super) array: ArrayRef,
    /// The rows whose value depends on a column that the source did not send (R14, R19).
    pub(super) unset: Option<BooleanBuffer>,
    /// Those of them that depend on nothing but columns that their change does not carry.
    pub(super) not_carried: Option<BooleanBuffer>,
    /// The rows that failed although all their columns are set, ascending.
    pub(super) failures: Vec<Failure>,
}

impl Values<'_> {
    /// Evaluates `expression` for the batch.
    pub(super) fn evaluate(&self, expression: &Expression) -> Known {
        let evaluated = expression.evaluate_on(self.changes.len(), |index| self.column(index));
        let unset = self.unset(expression);
        let Some(mask) = &unset else {
            return Known {
                array: evaluated.array,
                unset,
                not_carried: None,
                failures: evaluated.failures,
            };
        };
        let array = match evaluated.array.data_type() {
            DataType::Null => evaluated.array,
            _ => nullif(&evaluated.array, &BooleanArray::new(mask.clone(), None))
                .expect("the mask is as long as the batch"),
        };
        let mut failures = evaluated.failures;
        failures.retain(|failure| !mask.value(failure.row));
        let not_carried = match self.unavailable(expression) {
            Some(unavailable) => mask & &!&unavailable,
            None => mask.clone(),
        };
        Known {
            array,
            not_carried: (not_carried.count_set_bits() > 0).then_some(not_carried),
            unset,
            failures,
        }
    }

    /// The rows in which `expression` depends on a column that the source did not send.
    pub(super) fn unset(&self, expression: &Expression) -> Option<BooleanBuffer> {
        let known = inserts(self.changes);
        let columns = expression.columns().iter();
        columns
            .filter(|&&index| index < self.scope.width)
            .filter_map(|&index| self.unknown(index, &known))
            .chain(truncates(self.changes))
            .reduce(|union, mask| &union | &mask)
            .filter(|mask| mask.count_set_bits() > 0)
    }

    /// The rows in which a column is not known; `inserts` are those in which one that is not carried is
    /// null.
    fn unknown(&self, index: usize, inserts: &BooleanBuffer) -> Option<BooleanBuffer> {
        let unset = self.changes.unset[index].as_ref()?;
        match self.changes.not_carried.get(index).and_then(Option::as_ref) {
            Some(not_carried) => Some(unset & &!&(not_carried & inserts)),
            None => Some(unset.clone()),
        }
    }

    /// The rows in which `expression` depends on an unavailable value.
    fn unavailable(&self, expression: &Expression) -> Option<BooleanBuffer> {
        let columns = expression.columns().iter().copied();
        let columns = columns.filter(|&index| index < self.scope.width);
        self.changes.incomplete(columns)
    }

    fn column(&self, index: usize) -> ArrayRef {
        match index.checked_sub(self.scope.width) {
            None if *self.scope.schema.field(index).data_type() == DataType::Null => {
                new_null_array(&DataType::Null, self.changes.len())
            }
            None => self.changes.rows.column(index).clone(),
            Some(metadata) => self.metadata[metadata]
                .get_or_init(|| self.scope.metadata[metadata].column(self.changes))
                .clone(),
        }
    }
}

/// The rows that are inserted, or read as they are.
fn inserts(changes: &Changes) -> BooleanBuffer {
    let operations = &changes.operations;
    BooleanBuffer::collect_bool(operations.len(), |row| {
        matches!(operations[row], Operation::Create | Operation::Read)
    })
}

/// The rows that are truncates; `None` if there are none.
fn truncates(changes: &Changes) -> Option<BooleanBuffer> {
    let operations = &changes.operations;
    operations.contains(&Operation::Truncate).then(|| {
        BooleanBuffer::collect_bool(operations.len(), |row| {
            operations[row] == Operation::Truncate
        })
    })
}
