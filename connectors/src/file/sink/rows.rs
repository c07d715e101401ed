//! Rows as a file holds them, and which rows a format cannot say.
//!
//! - `jsonl`: a column that the change does not carry is left out (R14, R19).
//! - `csv`: null is an empty field, an empty text is `""`. Lists and documents are JSON, bytes are base64.
//! - `parquet`: the types of the columns as they are. A type that Arrow has no word for is a text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{
    DataType, Field, Schema, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit,
};

use super::{FileFormat, FileSink};
use crate::change::{Changes, Operation, take_rows};
use crate::error::{Error, RejectedRow, Result};
use crate::format::CsvSettings;
use crate::json_row::write_object;
use crate::stable_hash::hash;
use crate::text::{write_json, write_string, write_text};

/// The columns that say what happened, before those of the row.
const OPERATION: &str = "_op";
const TABLE: &str = "_table";
/// The column that names those which the change does not carry, behind those of the row.
const UNSET: &str = "_unset";

/// How rows become what a file holds.
#[derive(Debug, Clone)]
pub(super) struct Encoder {
    pub(super) format: FileFormat,
    operations: bool,
    csv: CsvSettings,
}

impl Encoder {
    pub(super) fn of(config: &FileSink) -> Self {
        Self {
            format: config.format,
            operations: config.operations,
            csv: config.csv.clone().unwrap_or_default(),
        }
    }

    /// The rows that the file cannot say.
    pub(super) fn refused(&self, changes: &Changes) -> Vec<RejectedRow> {
        let mut refused = Vec::new();
        let schema = changes.rows.schema_ref();
        for row in 0..changes.len() {
            let refuse = |rule: &str, field: Option<&str>, reason: String| RejectedRow {
                row,
                rule: rule.to_owned(),
                field: field.map(str::to_owned),
                reason,
            };
            if !self.operations {
                let what = match changes.operations[row] {
                    Operation::Delete => Some("a delete"),
                    Operation::Truncate => Some("that a table is emptied"),
                    _ => None,
                };
                if let Some(what) = what {
                    let reason = format!(
                        "without `_op` a file cannot say {what}: write operations = true, or leave such changes out with a filter"
                    );
                    refused.push(refuse("R12", None, reason));
                    continue;
                }
            }
            let full = self.format != FileFormat::Jsonl && !self.operations;
            let missing = (0..schema.fields().len()).find(|&column| changes.is_unset(column, row));
            if let Some(column) = missing.filter(|_| full) {
                let reason =
                    "the change does not carry this column, and without `_unset` the file cannot say so: write operations = true"
                        .to_owned();
                refused.push(refuse("R14", Some(schema.field(column).name()), reason));
                continue;
            }
            if self.format == FileFormat::Parquet {
                let unsayable = (0..schema.fields().len())
                    .find(|&column| is_past_the_type(changes.rows.column(column), row));
                if let Some(column) = unsayable {
                    let reason = "parquet has no `infinity` and no time of 24:00: cast the column to text in a map operator".to_owned();
                    refused.push(refuse("R23", Some(schema.field(column).name()), reason));
                }
            }
        }
        refused
    }

    /// What tells the columns of one file from those of another, as a short text.
    pub(super) fn shape(&self, changes: &Changes) -> String {
        let mut text = Vec::new();
        for field in changes.rows.schema_ref().fields() {
            match self.format {
                // An object says its own columns.
                FileFormat::Jsonl => {}
                FileFormat::Csv => write_string(field.name(), &mut text),
                FileFormat::Parquet => {
                    write_string(field.name(), &mut text);
                    write_string(&format!("{:?}", field.data_type()), &mut text);
                    // Maps have no order.
                    let mut metadata: Vec<_> = field.metadata().iter().collect();
                    metadata.sort();
                    write_string(&format!("{metadata:?}"), &mut text);
                }
            }
        }
        format!("{:016x}", hash(&text))
    }

    /// Rows as lines; a `csv` file that `begins` with them has its header first.
    pub(super) fn lines(&self, changes: &Changes, rows: &[u32], begins: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if self.format == FileFormat::Jsonl {
            for &row in rows {
                write_line(changes, row as usize, self.operations, &mut out);
            }
            return out;
        }
        if begins {
            self.write_header(changes, &mut out);
        }
        for &row in rows {
            self.write_fields(changes, row as usize, &mut out);
        }
        out
    }

    /// Rows as columns.
    ///
    /// # Errors
    /// Where Arrow cannot put them together.
    pub(super) fn batch(&self, changes: &Changes, rows: &[u32]) -> Result<RecordBatch> {
        let fail = |cause| Error::configuration_from("cannot put rows together", cause);
        let taken = take_rows(&changes.rows, rows).map_err(fail)?;
        if !self.operations {
            return Ok(taken);
        }
        let text =
            |name: &str, nullable: bool| Arc::new(Field::new(name, DataType::Utf8, nullable));
        let mut fields = vec![text(OPERATION, false), text(TABLE, false)];
        let letters = rows
            .iter()
            .map(|&row| changes.operations[row as usize].letter());
        let letters: StringArray = letters.map(Some).collect();
        let tables: StringArray = rows.iter().map(|_| Some(&*changes.table.name)).collect();
        let unset: StringArray = rows
            .iter()
            .map(|&row| unset_names(changes, row as usize))
            .collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(letters), Arc::new(tables)];
        fields.extend(taken.schema_ref().fields().iter().cloned());
        columns.extend(taken.columns().iter().cloned());
        fields.push(text(UNSET, true));
        columns.push(Arc::new(unset));
        // A row that is deleted may hold its key alone, whatever the type says.
        let fields: Vec<Field> = fields
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
            .map_err(fail)
    }

    fn write_header(&self, changes: &Changes, out: &mut Vec<u8>) {
        let fields = changes.rows.schema_ref().fields();
        let names = fields.iter().map(|field| field.name().as_str());
        let mut all: Vec<&str> = names.collect();
        if self.operations {
            all.splice(0..0, [OPERATION, TABLE]);
            all.push(UNSET);
        }
        for (index, name) in all.into_iter().enumerate() {
            self.delimit(index, out);
            self.write_field(Some(name.as_bytes()), out);
        }
        out.push(b'\n');
    }

    fn write_fields(&self, changes: &Changes, row: usize, out: &mut Vec<u8>) {
        let mut index = 0;
        let mut next = |value: Option<&[u8]>, out: &mut Vec<u8>| {
            self.delimit(index, out);
            index += 1;
            self.write_field(value, out);
        };
        if self.operations {
            let letter = changes.operations[row].letter();
            next(Some(letter.as_bytes()), out);
            next(Some(changes.table.name.as_bytes()), out);
        }
        let mut value = Vec::new();
        for (field, column) in changes
            .rows
            .schema_ref()
            .fields()
            .iter()
            .zip(changes.rows.columns())
        {
            if column.is_null(row) {
                next(None, out);
                continue;
            }
            value.clear();
            match column.data_type() {
                DataType::Binary | DataType::LargeBinary => {
                    write_json(field, column, row, &mut value);
                    // Base64 needs no quotes.
                    value.retain(|&byte| byte != b'"');
                }
                _ => write_text(field, column, row, &mut value),
            }
            next(Some(&value), out);
        }
        if self.operations {
            let unset = unset_names(changes, row);
            next(unset.as_deref().map(str::as_bytes), out);
        }
        out.push(b'\n');
    }

    fn delimit(&self, index: usize, out: &mut Vec<u8>) {
        if index > 0 {
            out.push(self.csv.delimiter as u8);
        }
    }

    fn write_field(&self, value: Option<&[u8]>, out: &mut Vec<u8>) {
        let (delimiter, quote) = (self.csv.delimiter as u8, self.csv.quote as u8);
        let null = self.csv.null.as_deref();
        let Some(value) = value else {
            out.extend_from_slice(null.unwrap_or_default().as_bytes());
            return;
        };
        let special =
            |&byte: &u8| byte == delimiter || byte == quote || byte == b'\n' || byte == b'\r';
        let quoted = value.is_empty()
            || value.iter().any(special)
            || null.is_some_and(|null| null.as_bytes() == value)
            || value.first().is_some_and(u8::is_ascii_whitespace)
            || value.last().is_some_and(u8::is_ascii_whitespace);
        if !quoted {
            out.extend_from_slice(value);
            return;
        }
        out.push(quote);
        for &byte in value {
            if byte == quote {
                out.push(quote);
            }
            out.push(byte);
        }
        out.push(quote);
    }
}

/// The names of the columns that a change does not carry, as a JSON list; `None` where it carries all.
fn unset_names(changes: &Changes, row: usize) -> Option<String> {
    let fields = changes.rows.schema_ref().fields().iter().enumerate();
    let names: Vec<&String> = fields
        .filter(|(column, _)| changes.is_unset(*column, row))
        .map(|(_, field)| field.name())
        .collect();
    let list = serde_json::to_string(&names).expect("names are JSON");
    (!names.is_empty()).then_some(list)
}

/// Whether a value is one that only we write with this type: `infinity`, or the end of a day.
fn is_past_the_type(column: &dyn Array, row: usize) -> bool {
    if column.is_null(row) {
        return false;
    }
    match column.data_type() {
        DataType::Timestamp(..) => {
            let data = column.to_data();
            matches!(data.buffer::<i64>(0)[row], i64::MAX | i64::MIN)
        }
        DataType::Time32(TimeUnit::Second) => {
            column.as_primitive::<Time32SecondType>().value(row) >= 86_400
        }
        DataType::Time32(_) => {
            column.as_primitive::<Time32MillisecondType>().value(row) >= 86_400_000
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            column.as_primitive::<Time64MicrosecondType>().value(row) >= 86_400_000_000
        }
        DataType::Time64(_) => {
            column.as_primitive::<Time64NanosecondType>().value(row) >= 86_400_000_000_000
        }
        _ => false,
    }
}

/// Appends a change as a JSON object and a line end.
pub(super) fn write_line(changes: &Changes, row: usize, operations: bool, out: &mut Vec<u8>) {
    write_object(changes, row, operations, out);
    out.push(b'\n');
}
