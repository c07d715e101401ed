//! Rows of the target read under lock, in binary, straight into Arrow columns.
//!
//! A column is read in the target's own type, so that reading never fails on a value, and then
//! brought into the type of the changes. What that type cannot say is marked as foreign, never
//! rounded (R3). The format is that of PostgreSQL's documentation of `COPY` and of the types' `send`
//! functions.

mod cells;

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use futures::TryStreamExt;
use sqlx::{PgConnection, Row as _, ValueRef as _};

use self::cells::{Cells, fixed};
use super::bound::{StagedRows, rows_of};
use super::copy::HEADER;
use super::failure::{Failure, failure};
use crate::error::{Error, Result};
use crate::sql::types::split_type;

/// How a value comes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Numeric,
    Text,
    /// Text that is JSON, for values that are no text themselves.
    Json,
    Binary,
    Date,
    Time,
    Timestamp,
    TimestampTz,
}

/// A column of the target as it is read.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    /// The SQL that gives it.
    expression: String,
    wire: Wire,
    field: Arc<Field>,
}

impl Reader {
    /// Of `expression`, which is of type `sql_type`, for a column of `field`.
    pub(super) fn of(expression: &str, sql_type: &str, field: &Arc<Field>) -> Self {
        let (base, _) = split_type(sql_type);
        let wire = match base.as_str() {
            "boolean" => Wire::Boolean,
            "smallint" => Wire::Int16,
            "integer" => Wire::Int32,
            "bigint" => Wire::Int64,
            "real" => Wire::Float32,
            "double precision" => Wire::Float64,
            "numeric" => Wire::Numeric,
            "bytea" => Wire::Binary,
            "date" => Wire::Date,
            "time without time zone" => Wire::Time,
            "timestamp without time zone" => Wire::Timestamp,
            "timestamp with time zone" => Wire::TimestampTz,
            _ if matches!(
                field.data_type(),
                DataType::List(_) | DataType::LargeList(_)
            ) =>
            {
                Wire::Json
            }
            _ => Wire::Text,
        };
        let expression = match wire {
            Wire::Text if base != "text" => format!("{expression}::text"),
            Wire::Json => format!("to_json({expression})::text"),
            _ => expression.to_owned(),
        };
        Self {
            expression,
            wire,
            field: field.clone(),
        }
    }
}

/// Columns as they were read, one entry for each of `count` rows; and which of them were there.
pub(super) struct Found {
    pub(super) exists: BooleanBuffer,
    pub(super) columns: Vec<(ArrayRef, Option<BooleanBuffer>)>,
}

/// Reads `columns`; `rest` is the SQL from `FROM` on, of which `number` is a row's place among
/// `count`. Rows that do not come are absent.
pub(super) async fn read(
    connection: &mut PgConnection,
    number: &str,
    columns: &[Reader],
    (rest, staged): (&str, &StagedRows),
    count: usize,
) -> Result<Found, Failure> {
    let list: String = columns
        .iter()
        .map(|column| format!(", {}", column.expression))
        .collect();
    let sql = format!("SELECT {number}{list} {rest}");
    let mut rows = RowsRead::of(columns, count);
    match staged {
        StagedRows::InTable => {
            let bytes = copy_out(connection, &sql).await?;
            rows.parse(&bytes)?;
        }
        StagedRows::Bound(_) => {
            for row in rows_of(connection, &sql, staged, true).await? {
                let cell = |column: usize| -> Result<Option<&[u8]>, Failure> {
                    let value = row.try_get_raw(column);
                    let value = value.map_err(|error| failure(DOING, error))?;
                    match value.is_null() {
                        true => Ok(None),
                        false => value.as_bytes().map(Some).map_err(|_| unexpected().into()),
                    }
                };
                rows.push(cell(0)?, (1..=columns.len()).map(cell))?;
            }
        }
    }
    rows.finish(columns).map_err(Failure::Error)
}

const DOING: &str = "reading the target's rows";

async fn copy_out(connection: &mut PgConnection, sql: &str) -> Result<Vec<u8>, Failure> {
    let sql = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
    let fail = |error| failure(DOING, error);
    let mut bytes = Vec::new();
    let copied = connection.copy_out_raw(&sql).await;
    let mut stream = copied.map_err(fail)?;
    while let Some(chunk) = stream.try_next().await.map_err(fail)? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Rows in the order in which they come.
struct RowsRead {
    cells: Vec<Cells>,
    /// Of each row that may come, which of those that came it is.
    places: Vec<Option<u32>>,
    rows: u32,
}

impl RowsRead {
    fn of(columns: &[Reader], count: usize) -> Self {
        Self {
            cells: columns
                .iter()
                .map(|column| Cells::of(column.wire))
                .collect(),
            places: vec![None; count],
            rows: 0,
        }
    }

    /// A row: its number, and its cells.
    fn push<'b, E: From<Error>>(
        &mut self,
        number: Option<&[u8]>,
        cells: impl Iterator<Item = Result<Option<&'b [u8]>, E>>,
    ) -> Result<(), E> {
        let number = i32::from_be_bytes(fixed(number.ok_or_else(unexpected)?)?);
        let place = self.places.get_mut(number as usize);
        *place.ok_or_else(unexpected)? = Some(self.rows);
        self.rows += 1;
        for (column, cell) in self.cells.iter_mut().zip(cells) {
            column.push(cell?)?;
        }
        Ok(())
    }

    /// All rows of a binary `COPY`.
    fn parse(&mut self, bytes: &[u8]) -> Result<()> {
        let mut input = Input(bytes);
        input.skip(HEADER.len())?;
        while input.short()? >= 0 {
            let number = input.cell()?;
            let width = self.cells.len();
            self.push(number, (0..width).map(|_| input.cell()))?;
        }
        Ok(())
    }

    fn finish(self, columns: &[Reader]) -> Result<Found> {
        let Self {
            cells,
            places,
            rows,
        } = self;
        let count = places.len();
        let in_order = rows as usize == count && places.is_sorted();
        let indices = UInt32Array::from(places.clone());
        let columns = cells
            .into_iter()
            .zip(columns)
            .map(|(cells, reader)| {
                let (column, foreign) = cells.finish(&reader.field)?;
                if in_order {
                    return Ok((column, foreign));
                }
                let column = take(&column, &indices, None)
                    .map_err(|cause| Error::configuration_from("cannot order rows", cause))?;
                let foreign = foreign.map(|mask| {
                    BooleanBuffer::collect_bool(count, |row| {
                        places[row].is_some_and(|place| mask.value(place as usize))
                    })
                });
                Ok((column, foreign))
            })
            .collect::<Result<_>>()?;
        Ok(Found {
            exists: BooleanBuffer::collect_bool(count, |row| places[row].is_some()),
            columns,
        })
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn skip(&mut self, count: usize) -> Result<&'a [u8]> {
        let (skipped, rest) = self.0.split_at_checked(count).ok_or_else(unexpected)?;
        self.0 = rest;
        Ok(skipped)
    }

    fn short(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(fixed(self.skip(2)?)?))
    }

    fn cell(&mut self) -> Result<Option<&'a [u8]>> {
        let length = i32::from_be_bytes(fixed(self.skip(4)?)?);
        match usize::try_from(length) {
            Ok(length) => self.skip(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}

fn unexpected() -> Error {
    Error::configuration(
        "PostgreSQL sent rows in a form that is not its documented one: this is a defect, please report it",
    )
}
