//! Staged rows that are bound to each statement as arrays, one for each column.
//!
//! A staging table costs a `COPY` of three messages, a truncate at each commit and entries in the catalogue. Of a few
//! rows that is most of the work, and of a few rows of each of many tables it is nearly all of it. The format
//! of an array is that of `array_recv`: dimensions, a flag for nulls, the element type, length and lower bound,
//! and then the elements as in a binary `COPY`.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo};
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection, Postgres, Type};

use super::failure::{Failure, failure};
use super::wire_type::bound_types;
use crate::sql::failure::describe;

/// A load of more bytes goes through the staging table, as one of more rows than the sink is told.
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// Where staged rows are.
#[derive(Debug, Clone)]
pub(super) enum StagedRows {
    InTable,
    /// With each statement about them.
    Bound(PgArguments),
}

impl StagedRows {
    pub(super) fn is_bound(&self) -> bool {
        matches!(self, Self::Bound(_))
    }
}

/// Runs a statement about staged rows and gives its rows. `cached` keeps it prepared, as it is where the rows
/// are bound, which are few.
pub(super) async fn rows_of(
    connection: &mut PgConnection,
    sql: &str,
    staged: &StagedRows,
    cached: bool,
) -> Result<Vec<PgRow>, Failure> {
    let (arguments, bound) = match staged {
        StagedRows::InTable => (PgArguments::default(), false),
        StagedRows::Bound(arguments) => (arguments.clone(), true),
    };
    sqlx::query_with(AssertSqlSafe(sql), arguments)
        .persistent(cached || bound)
        .fetch_all(connection)
        .await
        .map_err(|error| failure(&describe(sql), error))
}

/// The columns of some rows, each as the elements of an array.
pub(super) struct BoundRows {
    columns: Vec<BoundColumn>,
    rows: i32,
}

struct BoundColumn {
    element: u32,
    array: u32,
    elements: Vec<u8>,
}

impl BoundRows {
    /// Of staging columns of these types; `None` where one holds arrays.
    pub(super) fn of<'t>(types: impl Iterator<Item = &'t str>) -> Option<Self> {
        let columns = types.map(|staged| {
            let (element, array) = bound_types(staged)?;
            Some(BoundColumn {
                element,
                array,
                elements: Vec::new(),
            })
        });
        Some(Self {
            columns: columns.collect::<Option<_>>()?,
            rows: 0,
        })
    }

    /// Where the cell of a column goes.
    pub(super) fn column(&mut self, place: usize) -> &mut Vec<u8> {
        &mut self.columns[place].elements
    }

    /// A row is whole.
    pub(super) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        let columns = self.columns.iter();
        columns.map(|column| column.elements.len()).sum()
    }

    /// What is bound to a statement.
    pub(super) fn into_arguments(self) -> PgArguments {
        let mut arguments = PgArguments::default();
        for column in self.columns {
            let array = BoundArray {
                column,
                rows: self.rows,
            };
            let added = arguments.add(array);
            added.expect("bytes that are there can be copied");
        }
        arguments
    }
}

struct BoundArray {
    column: BoundColumn,
    rows: i32,
}

impl Type<Postgres> for BoundArray {
    fn type_info() -> PgTypeInfo {
        // Of a value that says its own type this is not asked.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for BoundArray {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let dimensions = i32::from(self.rows > 0);
        buffer.extend_from_slice(&dimensions.to_be_bytes());
        // Nulls may be among them.
        buffer.extend_from_slice(&1_i32.to_be_bytes());
        buffer.extend_from_slice(&self.column.element.to_be_bytes());
        if dimensions > 0 {
            buffer.extend_from_slice(&self.rows.to_be_bytes());
            buffer.extend_from_slice(&1_i32.to_be_bytes());
        }
        buffer.extend_from_slice(&self.column.elements);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.column.array)))
    }
}
