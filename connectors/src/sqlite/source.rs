//! Tables of a SQLite file as a source; how they are read is [`crate::sql::source`].
//!
//! SQLite holds any value in any column. A value that is none of its column's declared type, such as a
//! text in an `INTEGER` column, rejects its row (R3). Columns of other types than integer, real, text,
//! blob and boolean are texts: the sink reads a date or a decimal as the type of its own column.
//!
//! ```toml
//! [sources.shop]
//! type   = "sqlite"
//! path   = "shop.db"
//! tables = ["clients", "orders"]
//! ```

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Field;
use rusqlite::types::ValueRef;
use schemars::JsonSchema;
use serde::Deserialize;

use super::SqliteSink;
use super::connection::SqliteConnection;
use super::failure::{Failure, of_statement};
use super::read::token;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::source::{Opening, Source};
use crate::sql::catalogue::TargetColumn;
use crate::sql::source::settings::TableSettings;
use crate::sql::source::{Cells, Order, ReadOptions, ReadRows, connect};

/// Reads tables of a SQLite file: every row, or those whose column has grown.
///
/// ```toml
/// [sources.shop]
/// type   = "sqlite"
/// path   = "state/shop.db"
/// tables = ["clients"]
/// mode   = "cursor"
/// cursor = "version"
/// every  = "30s"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSource {
    /// The database file.
    pub path: String,
    /// What every source of tables can be told.
    #[serde(flatten)]
    pub options: ReadOptions,
    /// How long to wait for a lock that another connection holds, in milliseconds.
    #[serde(default = "default_busy_timeout_ms")]
    pub busy_timeout_ms: u64,
}

fn default_busy_timeout_ms() -> u64 {
    10_000
}

impl TableSettings for SqliteSource {
    const KIND: &'static str = "sqlite";
    const HAS_LOG: bool = false;

    fn options(&self) -> &ReadOptions {
        &self.options
    }

    fn check_place(&self) -> Vec<Problem> {
        Vec::new()
    }

    async fn open(&self, opening: &Opening) -> Result<Box<dyn Source>> {
        if !Path::new(&self.path).is_file() {
            return Err(Error::configuration(format!(
                "there is no file {:?}: correct path = \"…\"",
                self.path
            )));
        }
        let mut place = SqliteSink::new(&self.path);
        place.busy_timeout_ms = self.busy_timeout_ms;
        connect::<SqliteConnection>(&place, &self.options, opening).await
    }
}

impl ReadRows for SqliteConnection {
    type Reader = Arc<Field>;

    fn reader(_: &TargetColumn, quoted: &str, field: &Arc<Field>) -> Result<(String, Arc<Field>)> {
        Ok((quoted.to_owned(), field.clone()))
    }

    /// The text is the literal itself, since only that says of which class a value is. A text with a NUL
    /// in it has none.
    fn order(_: &TargetColumn, quoted: &str, _: &Field) -> Option<Order> {
        Some(Order {
            text: format!(
                "CASE WHEN typeof({quoted}) = 'text' AND instr({quoted}, char(0)) > 0 THEN NULL ELSE quote({quoted}) END"
            ),
            literal: own_literal,
            unplaced: None,
        })
    }

    async fn rows(
        &mut self,
        sql: String,
        readers: Arc<[Arc<Field>]>,
        places: usize,
    ) -> Result<Cells, Failure> {
        let read = self.call(move |session| {
            let read = || -> rusqlite::Result<Cells> {
                let mut statement = session.connection.prepare(&sql)?;
                let mut rows = statement.raw_query();
                let mut cells = Cells::default();
                while let Some(row) = rows.next()? {
                    for column in 0..readers.len() + places {
                        match (row.get_ref(column)?, readers.get(column)) {
                            (ValueRef::Text(text) | ValueRef::Blob(text), None) => cells.push(text),
                            (_, None) => cells.push_null(),
                            (value, Some(field)) => {
                                cells.push_option(json(value, field).as_deref());
                            }
                        }
                    }
                }
                Ok(cells)
            };
            read().map_err(|error| of_statement("reading rows", error))
        });
        Ok(read.await??)
    }
}

/// A value as JSON; `{}`, which no column holds, for a text that is none.
fn json(value: ValueRef<'_>, field: &Field) -> Option<Vec<u8>> {
    match value {
        ValueRef::Text(text) if std::str::from_utf8(text).is_err() => Some(b"{}".to_vec()),
        value => token(value, field),
    }
}

/// What `quote` of SQLite writes, if that is what it is.
fn own_literal(text: &str) -> Option<String> {
    let inside = |mark: &str| {
        let rest = text.strip_prefix(mark)?.strip_suffix('\'')?;
        Some(rest.to_owned())
    };
    let is_literal = if let Some(hex) = inside("X'") {
        hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    } else if let Some(quoted) = inside("'") {
        !quoted.replace("''", "").contains('\'') && !quoted.contains('\0')
    } else {
        text.parse::<f64>().is_ok_and(f64::is_finite)
    };
    is_literal.then(|| format!("({text})"))
}
