//! Rows of the target read under lock, in binary, straight into Arrow columns.
//!
//! A column is read in the target's own type, so that reading never fails on a value, and then
//! brought into the type of the changes. What that type cannot say is marked as foreign, never
//! rounded (R3). The format is that of PostgreSQL's documentation of `COPY` and of the types' `send`
//! functions.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBufferBuilder, BooleanBuilder, Date32Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, UInt32Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use futures::TryStreamExt;
use sqlx::{Row as _, ValueRef as _};

use super::copy::HEADER;
use super::failure::{Failure, failure};
use super::instant::{EPOCH_US, days};
use super::numeric::Numeric;
use super::session::Session;
use super::stage::StagedRows;
use crate::error::{Error, Result};
use crate::format::{fit, read_cells};
use crate::sql::types::split_type;
use crate::text::write_string;

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
    session: &mut Session,
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
            let bytes = copy_out(session, &sql).await?;
            rows.parse(&bytes)?;
        }
        StagedRows::Bound(_) => {
            for row in session.rows_of(&sql, staged, true).await? {
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

async fn copy_out(session: &mut Session, sql: &str) -> Result<Vec<u8>, Failure> {
    let sql = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
    let fail = |error| failure(DOING, error);
    let mut bytes = Vec::new();
    let copied = session.connection.copy_out_raw(&sql).await;
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

/// The values of one column as they come.
enum Cells {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Numeric(Vec<Option<Numeric>>),
    Text(StringBuilder),
    Json(Vec<Option<Vec<u8>>>),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder, bool),
}

impl Cells {
    fn of(wire: Wire) -> Self {
        match wire {
            Wire::Boolean => Self::Boolean(BooleanBuilder::new()),
            Wire::Int16 => Self::Int16(Int16Builder::new()),
            Wire::Int32 => Self::Int32(Int32Builder::new()),
            Wire::Int64 => Self::Int64(Int64Builder::new()),
            Wire::Float32 => Self::Float32(Float32Builder::new()),
            Wire::Float64 => Self::Float64(Float64Builder::new()),
            Wire::Numeric => Self::Numeric(Vec::new()),
            Wire::Text => Self::Text(StringBuilder::new()),
            Wire::Json => Self::Json(Vec::new()),
            Wire::Binary => Self::Binary(BinaryBuilder::new()),
            Wire::Date => Self::Date(Date32Builder::new()),
            Wire::Time => Self::Time(Time64MicrosecondBuilder::new()),
            Wire::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new(), false),
            Wire::TimestampTz => Self::Timestamp(TimestampMicrosecondBuilder::new(), true),
        }
    }

    fn push(&mut self, cell: Option<&[u8]>) -> Result<()> {
        match self {
            Self::Boolean(builder) => {
                builder.append_option(cell.map(|bytes| bytes.first() == Some(&1)));
            }
            Self::Int16(builder) => builder.append_option(number(cell, i16::from_be_bytes)?),
            Self::Int32(builder) => builder.append_option(number(cell, i32::from_be_bytes)?),
            Self::Int64(builder) => builder.append_option(number(cell, i64::from_be_bytes)?),
            Self::Float32(builder) => builder.append_option(number(cell, f32::from_be_bytes)?),
            Self::Float64(builder) => builder.append_option(number(cell, f64::from_be_bytes)?),
            Self::Numeric(values) => {
                let value = cell.map(|bytes| Numeric::parse(bytes).ok_or_else(unexpected));
                values.push(value.transpose()?);
            }
            Self::Text(builder) => match cell.map(std::str::from_utf8) {
                Some(Ok(text)) => builder.append_value(text),
                Some(Err(_)) => return Err(unexpected()),
                None => builder.append_null(),
            },
            Self::Json(values) => values.push(cell.map(<[u8]>::to_vec)),
            Self::Binary(builder) => builder.append_option(cell),
            Self::Date(builder) => {
                builder.append_option(number(cell, i32::from_be_bytes)?.map(days));
            }
            Self::Time(builder) => builder.append_option(number(cell, i64::from_be_bytes)?),
            Self::Timestamp(builder, _) => {
                let value = number(cell, i64::from_be_bytes)?;
                builder.append_option(value.map(|value| match value {
                    i64::MAX | i64::MIN => value,
                    finite => finite.saturating_add(EPOCH_US),
                }));
            }
        }
        Ok(())
    }

    /// The column in the type of `field`, and which of its values are foreign.
    fn finish(self, field: &Field) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
        let natural: ArrayRef = match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Int16(mut builder) => Arc::new(builder.finish()),
            Self::Int32(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float32(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Numeric(values) => return numerics(&values, field),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Json(values) => {
                let values = values
                    .iter()
                    .map(|value| value.as_deref().map(Cow::Borrowed));
                return read_cells(field, values);
            }
            Self::Binary(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder, zoned) => {
                let column = builder.finish();
                if zoned {
                    Arc::new(column.with_timezone("UTC"))
                } else {
                    Arc::new(column)
                }
            }
        };
        let plain = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8);
        if natural.data_type() == &DataType::Utf8 && !plain {
            // A text in the target, of which the changes know more.
            let texts = arrow::array::AsArray::as_string::<i32>(&natural);
            let values = texts.iter().map(|text| {
                let mut quoted = Vec::new();
                write_string(text?, &mut quoted);
                Some(Cow::Owned(quoted))
            });
            return read_cells(field, values);
        }
        fit(&natural, field)
    }
}

/// Decimals straight into a decimal column; into any other through their text.
fn numerics(
    values: &[Option<Numeric>],
    field: &Field,
) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
    let DataType::Decimal128(precision, scale) = *field.data_type() else {
        let texts = values.iter().map(|value| {
            let value = value.as_ref()?;
            let whole = value
                .scaled(38, 0)
                .filter(|_| field.data_type().is_integer());
            let text = whole.map_or_else(|| value.to_string(), |whole| whole.to_string());
            if field.data_type().is_numeric() && whole_or_finite(&text) {
                return Some(Cow::Owned(text.into_bytes()));
            }
            let mut quoted = Vec::new();
            write_string(&text, &mut quoted);
            Some(Cow::Owned(quoted))
        });
        return read_cells(field, texts);
    };
    let mut builder = arrow::array::Decimal128Builder::with_capacity(values.len())
        .with_data_type(field.data_type().clone());
    let mut foreign = BooleanBufferBuilder::new(values.len());
    for value in values {
        let scaled = value.as_ref().map(|value| value.scaled(precision, scale));
        foreign.append(scaled == Some(None));
        builder.append_option(scaled.flatten());
    }
    let foreign = foreign.finish();
    Ok((
        Arc::new(builder.finish()),
        (foreign.count_set_bits() > 0).then_some(foreign),
    ))
}

/// Whether a text is a number, and not `NaN` or an infinity.
fn whole_or_finite(text: &str) -> bool {
    text.ends_with(|last: char| last.is_ascii_digit())
}

fn number<const N: usize, T>(cell: Option<&[u8]>, read: fn([u8; N]) -> T) -> Result<Option<T>> {
    cell.map(|bytes| fixed(bytes).map(read)).transpose()
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| unexpected())
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
