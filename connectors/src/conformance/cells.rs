//! Rows for the tests of conflicts: values written as text, sent as Arrow columns, inserted into a
//! table with SQL and read back.
//!
//! A row is the list of its cells in the order of its columns, without the key `id`. Values are
//! equal by the rules of conflicts: numbers and JSON documents by value, text by its bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::rows::partition;
use crate::change::{Changes, Image, Logical, Operation, Table};
use crate::record::Records;

/// The names of the types of [`Column`] in a database. `bigint` has the same name everywhere.
#[derive(Debug, Clone, Copy)]
pub struct Types {
    /// Text of any length.
    pub text: &'static str,
    /// A decimal with ten digits before and two after the point.
    pub decimal: &'static str,
    /// A JSON document.
    pub json: &'static str,
    /// An instant without a time zone.
    pub instant: &'static str,
    /// The query for the names and the types of the columns of table `t`.
    pub columns: &'static str,
}

impl Default for Types {
    /// Types that every database knows.
    fn default() -> Self {
        Self {
            text: "text",
            decimal: "numeric(12, 2)",
            json: "text",
            instant: "timestamp",
            columns: "SELECT name, type FROM pragma_table_info('t')",
        }
    }
}

/// A column, identified by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// `name`, text.
    Name,
    /// `amount`, a decimal.
    Amount,
    /// `tags`, a JSON array.
    Tags,
    /// `doc`, a JSON object.
    Doc,
    /// `version`, an integer.
    Version,
}

/// A value that is not null.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A value of `name`.
    Text(String),
    /// A value of `amount`, in hundredths.
    Hundredths(i64),
    /// A value of `tags` or `doc`.
    Json(serde_json::Value),
    /// A value of `version`.
    Version(i64),
}

/// The value of one column in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// The source did not send the column (R14).
    Unset,
    /// Null.
    Null,
    /// A value.
    Is(Value),
}

/// A change of a row, with the row before if an update contains it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The operation.
    pub operation: Operation,
    /// The key.
    pub id: i64,
    /// The row before; only for an update.
    pub before: Option<Vec<Cell>>,
    /// The row after; for a delete, the deleted row.
    pub row: Vec<Cell>,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 5] = [
        Self::Name,
        Self::Amount,
        Self::Tags,
        Self::Doc,
        Self::Version,
    ];

    /// The column's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Amount => "amount",
            Self::Tags => "tags",
            Self::Doc => "doc",
            Self::Version => "version",
        }
    }

    /// The column's field in the schema of the changes.
    pub fn field(self) -> Field {
        match self {
            Self::Name => Field::new(self.name(), DataType::Utf8, true),
            Self::Amount => Field::new(self.name(), DataType::Decimal128(12, 2), true),
            Self::Tags | Self::Doc => Logical::Json.field(self.name()),
            Self::Version => Field::new(self.name(), DataType::Int64, true),
        }
    }

    /// The column's type in a target.
    pub fn sql_type(self, types: Types) -> &'static str {
        match self {
            Self::Name => types.text,
            Self::Amount => types.decimal,
            Self::Tags | Self::Doc => types.json,
            Self::Version => "bigint",
        }
    }

    /// Parses a value from the decision table or from a database.
    pub fn value(self, text: &str) -> Value {
        match self {
            Self::Name => Value::Text(text.to_owned()),
            Self::Amount => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                Value::Hundredths(format!("{whole}{fraction:0<2}").parse().unwrap())
            }
            Self::Tags | Self::Doc => Value::Json(serde_json::from_str(text).unwrap()),
            Self::Version => Value::Version(text.parse().unwrap()),
        }
    }

    /// Converts cells to a column of the changes.
    fn array(self, cells: &[&Cell]) -> ArrayRef {
        let texts = || {
            cells.iter().map(|cell| match cell {
                Cell::Is(value) => Some(value.to_string()),
                Cell::Unset | Cell::Null => None,
            })
        };
        let integers = || {
            cells.iter().map(|cell| match cell {
                Cell::Is(Value::Hundredths(value) | Value::Version(value)) => Some(*value),
                _ => None,
            })
        };
        match self {
            Self::Name | Self::Tags | Self::Doc => Arc::new(StringArray::from_iter(texts())),
            Self::Version => Arc::new(Int64Array::from_iter(integers())),
            Self::Amount => Arc::new(
                Decimal128Array::from_iter(integers().map(|value| value.map(i128::from)))
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Hundredths(value) => {
                let sign = if *value < 0 { "-" } else { "" };
                let value = value.unsigned_abs();
                write!(f, "{sign}{}.{:02}", value / 100, value % 100)
            }
            Self::Json(document) => write!(f, "{document}"),
            Self::Version(value) => write!(f, "{value}"),
        }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unset => f.write_str("~"),
            Self::Null => f.write_str("-"),
            Self::Is(value) => value.fmt(f),
        }
    }
}

impl Cell {
    /// Converts a value from a table.
    pub fn of(value: Option<Value>) -> Self {
        value.map_or(Self::Null, Self::Is)
    }

    /// Whether the source did not send the column.
    pub fn is_unset(&self) -> bool {
        *self == Self::Unset
    }

    /// The value; `None` for null and for unset.
    pub fn known(&self) -> Option<&Value> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unset | Self::Null => None,
        }
    }

    /// The cell as an SQL literal. A row in the target has no unset cells.
    pub fn literal(&self) -> String {
        match self {
            Self::Unset | Self::Null => "NULL".to_owned(),
            Self::Is(value @ (Value::Hundredths(_) | Value::Version(_))) => value.to_string(),
            Self::Is(value) => format!("'{}'", value.to_string().replace('\'', "''")),
        }
    }
}

/// The cells in the notation of the decision table: `new|15.00|6`.
pub fn show(row: &[Cell]) -> String {
    let cells: Vec<String> = row.iter().map(Cell::to_string).collect();
    cells.join("|")
}

/// `CREATE TABLE clients` with these columns and a column that marks soft deletes.
pub fn create_table(columns: &[Column], types: Types) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {}", column.name(), column.sql_type(types)))
        .collect();
    format!(
        "CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, {}, _deleted boolean NOT NULL DEFAULT false)",
        columns.join(", ")
    )
}

/// The schema of changes with these columns.
pub fn schema(columns: &[Column]) -> SchemaRef {
    let id = Field::new("id", DataType::Int64, true);
    let fields = columns.iter().map(|column| column.field());
    Arc::new(Schema::new(
        std::iter::once(id).chain(fields).collect::<Vec<_>>(),
    ))
}

/// Rows as Arrow; null where there is no row or a cell is unset.
pub fn batch(columns: &[Column], ids: &[i64], rows: &[Option<&[Cell]>]) -> RecordBatch {
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.to_vec()))];
    for (place, column) in columns.iter().enumerate() {
        let cells: Vec<&Cell> = rows
            .iter()
            .map(|row| row.map_or(&Cell::Null, |row| &row[place]))
            .collect();
        arrays.push(column.array(&cells));
    }
    RecordBatch::try_new(schema(columns), arrays).unwrap()
}

/// The rows before of these events; for a delete, the deleted row if it is known.
pub fn images(columns: &[Column], events: &[Event]) -> Image {
    let rows: Vec<Option<&[Cell]>> = events.iter().map(Event::image).collect();
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    Image {
        rows: batch(columns, &ids, &rows),
        unset: unset(columns, &rows),
        present: rows.iter().map(Option::is_some).collect(),
    }
}

/// A batch of these events; with the rows before if `with_before` is set.
pub fn changes(columns: &[Column], events: &[Event], with_before: bool) -> Changes {
    let rows: Vec<Option<&[Cell]>> = events.iter().map(|event| Some(&event.row[..])).collect();
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    let mut records = Records::default();
    let number = records.add_partition(&partition(), true);
    for offset in 0..events.len() {
        records.push(number, offset as i64, None, None, Some(b"{}"), None);
    }
    Changes {
        table: Arc::new(Table {
            topic: partition().topic,
            database: None,
            schema: Some("public".into()),
            name: "clients".into(),
        }),
        key: Some(Arc::from(["id".to_owned()])),
        rows: batch(columns, &ids, &rows),
        unset: unset(columns, &rows),
        before: with_before.then(|| images(columns, events)),
        not_carried: Vec::new(),
        operations: events.iter().map(|event| event.operation).collect(),
        event_times_ms: vec![None; events.len()],
        origins: (0..events.len() as u32).collect(),
        records: Arc::new(records),
    }
}

impl Event {
    /// The row before, if the event contains it.
    pub fn image(&self) -> Option<&[Cell]> {
        match self.operation {
            Operation::Delete => {
                let blind = self.row.iter().all(Cell::is_unset);
                (!blind).then_some(&self.row[..])
            }
            _ => self.before.as_deref(),
        }
    }
}

/// For each column, starting with the key: the rows in which the cell is unset.
fn unset(columns: &[Column], rows: &[Option<&[Cell]>]) -> Vec<Option<BooleanBuffer>> {
    let masks = (0..columns.len()).map(|place| {
        let mask = BooleanBuffer::collect_bool(rows.len(), |row| {
            rows[row].is_some_and(|row| row[place].is_unset())
        });
        (mask.count_set_bits() > 0).then_some(mask)
    });
    std::iter::once(None).chain(masks).collect()
}

/// The cell of a row in a batch; `column` does not count the key.
pub fn cell(columns: &[Column], rows: &RecordBatch, column: usize, row: usize) -> Cell {
    let array = rows.column(column + 1);
    if array.is_null(row) {
        return Cell::Null;
    }
    let mut text = Vec::new();
    crate::text::write_text(&columns[column].field(), array, row, &mut text);
    Cell::Is(columns[column].value(&String::from_utf8(text).unwrap()))
}
