//! Tables of MySQL and MariaDB as a source; how they are read is [`crate::sql::source`].
//!
//! Values come as the server's text, in UTC, and are read by the rules of the sink. A time of day below
//! zero or of 24 hours and more, and a date with a zero in it, are none for their type: such rows are
//! rejected (R3).
//!
//! ```toml
//! [sources.shop]
//! type   = "mysql"
//! url    = "mysql://syncline@localhost/shop"
//! tables = ["clients", "orders"]
//! ```

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use schemars::JsonSchema;
use serde::Deserialize;

use super::MysqlSink;
use super::failure::{Failure, failure};
use super::read::Reader;
use super::session::{Session, connect_options};
use super::types::split;
use crate::change::Logical;
use crate::error::Result;
use crate::problem::Problem;
use crate::source::{Opening, Source};
use crate::sql::catalogue::TargetColumn;
use crate::sql::source::rows::{hex_literal, number_literal, text_literal};
use crate::sql::source::settings::TableSettings;
use crate::sql::source::{Cells, Order, ReadOptions, ReadRows, connect};

/// Reads tables of a MySQL or MariaDB database: every row, or those whose column has grown.
///
/// ```toml
/// [sources.shop]
/// type     = "mysql"
/// url      = "mysql://syncline@localhost/shop"
/// tables   = ["clients", "orders"]
/// mode     = "cursor"
/// cursor   = "updated_at"
/// lookback = "5m"
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MysqlSource {
    /// Where the database is: `mysql://user:password@host:port/database`. A secret: take it from
    /// the environment or a file.
    pub url: String,
    /// What every source of tables can be told.
    #[serde(flatten)]
    pub options: ReadOptions,
    /// How long to wait for a connection, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long one query may take before the database counts as not answering, in milliseconds.
    #[serde(default = "default_read_timeout_ms")]
    pub read_timeout_ms: u64,
}

fn default_connect_timeout_ms() -> u64 {
    10_000
}

fn default_read_timeout_ms() -> u64 {
    300_000
}

/// Everything but the URL, which may hold a password.
impl fmt::Debug for MysqlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlSource")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl TableSettings for MysqlSource {
    const KIND: &'static str = "mysql";
    const HAS_LOG: bool = false;

    fn options(&self) -> &ReadOptions {
        &self.options
    }

    fn check_place(&self) -> Vec<Problem> {
        let message = "cannot be read: write mysql://user:password@host:port/database, with special characters percent-encoded";
        match connect_options(&self.url) {
            Ok(_) => Vec::new(),
            Err(_) => vec![Problem::new(&["url"], message)],
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Box<dyn Source>> {
        let mut place = MysqlSink::new(&self.url);
        place.connect_timeout_ms = self.connect_timeout_ms;
        place.write_timeout_ms = self.read_timeout_ms;
        connect::<Session>(&place, &self.options, opening).await
    }
}

impl ReadRows for Session {
    type Reader = Reader;

    fn reader(column: &TargetColumn, quoted: &str, field: &Arc<Field>) -> Result<(String, Reader)> {
        let reader = Reader::of(quoted, &column.sql_type, field);
        Ok((reader.expression().to_owned(), reader))
    }

    fn order(column: &TargetColumn, quoted: &str, field: &Field) -> Option<Order> {
        let (base, _) = split(&column.sql_type);
        // Their order is not that of their texts, or their texts are not exact.
        let without = ["float", "double", "bit", "enum", "set", "json"];
        if without.iter().any(|kind| base.starts_with(kind)) {
            return None;
        }
        let by_text = Order {
            text: format!("CAST({quoted} AS char)"),
            literal: text_literal,
            unplaced: None,
        };
        // A text beside a number would compare the two as floats.
        let is_number = field.data_type().is_numeric()
            || *field.data_type() == DataType::Boolean
            || Logical::of(field) == Some(Logical::Numeric);
        Some(match field.data_type() {
            DataType::Binary => Order {
                text: format!("HEX({quoted})"),
                literal: hex_literal,
                ..by_text
            },
            _ if is_number => Order {
                literal: number_literal,
                ..by_text
            },
            _ => by_text,
        })
    }

    async fn rows(
        &mut self,
        sql: String,
        readers: Arc<[Reader]>,
        places: usize,
    ) -> Result<Cells, Failure> {
        let mut cells = Cells::default();
        let unreadable = |error| failure("reading rows", error);
        for row in self.rows(&sql).await? {
            for column in 0..readers.len() + places {
                let value: Option<&[u8]> =
                    sqlx::Row::try_get_unchecked(&row, column).map_err(unreadable)?;
                match (value, readers.get(column)) {
                    (None, _) => cells.push_null(),
                    (Some(value), Some(reader)) => cells.push(&reader.token(value)),
                    (Some(text), None) => cells.push(text),
                }
            }
        }
        Ok(cells)
    }
}
