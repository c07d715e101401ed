//! Tables of PostgreSQL as a source; how they are read is [`crate::sql::source`].
//!
//! The server writes the JSON, so that each value is exactly what `to_json` says it is: every digit of a
//! `numeric`, `NaN` and `infinity`, times in ISO 8601 and UTC.
//!
//! ```toml
//! [sources.shop]
//! type   = "postgres"
//! url    = "postgres://syncline@localhost/shop"
//! tables = ["public.clients", "public.orders"]
//! ```

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use schemars::JsonSchema;
use serde::Deserialize;

use super::PostgresSink;
use super::failure::Failure;
use super::session::{Session, connect_options};
use crate::change::Logical;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::source::{Opening, Source};
use crate::sql::catalogue::TargetColumn;
use crate::sql::source::rows::{number_literal, text_literal};
use crate::sql::source::settings::TableSettings;
use crate::sql::source::{Cells, Order, ReadOptions, ReadRows, connect};

/// Reads tables of a PostgreSQL database: every row, or those whose column has grown.
///
/// ```toml
/// [sources.shop]
/// type     = "postgres"
/// url      = "postgres://syncline@localhost/shop"
/// tables   = ["clients", "sales.orders"]
/// mode     = "cursor"
/// cursor   = "updated_at"
/// lookback = "5m"
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSource {
    /// Where the database is: `postgres://user:password@host:port/database`. A secret: take it from
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
impl fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSource")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl TableSettings for PostgresSource {
    const KIND: &'static str = "postgres";

    fn options(&self) -> &ReadOptions {
        &self.options
    }

    fn check_place(&self) -> Vec<Problem> {
        let message = "cannot be read: write postgres://user:password@host:port/database, with special characters percent-encoded";
        match connect_options(&self.url) {
            Ok(_) => Vec::new(),
            Err(_) => vec![Problem::new(&["url"], message)],
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Box<dyn Source>> {
        let mut place = PostgresSink::new(&self.url);
        place.connect_timeout_ms = self.connect_timeout_ms;
        place.write_timeout_ms = self.read_timeout_ms;
        connect::<Session>(&place, &self.options, opening).await
    }
}

impl ReadRows for Session {
    /// The server makes the JSON.
    type Reader = ();

    fn reader(column: &TargetColumn, quoted: &str, field: &Arc<Field>) -> Result<(String, ())> {
        let expression = match (Logical::of(field), field.data_type()) {
            (Some(_), _) | (None, DataType::Utf8) => format!("to_json({quoted}::text)::text"),
            (None, DataType::Int16 | DataType::Int32 | DataType::Int64) => {
                format!("{quoted}::text")
            }
            (None, DataType::Binary) => {
                format!("'\"' || translate(encode({quoted}, 'base64'), E'\\n', '') || '\"'")
            }
            (None, DataType::List(item)) if *item.data_type() == DataType::Binary => {
                return Err(Error::configuration(format!(
                    "column {:?} of type {:?} cannot be read: read a view that leaves it out or encodes it",
                    column.name, column.sql_type
                )));
            }
            (None, _) => format!("to_json({quoted})::text"),
        };
        Ok((expression, ()))
    }

    fn order(_: &TargetColumn, quoted: &str, field: &Field) -> Option<Order> {
        let by_text = Order {
            text: format!("{quoted}::text"),
            literal: text_literal,
            unplaced: None,
        };
        match (Logical::of(field), field.data_type()) {
            (Some(Logical::Uuid), _) => Some(by_text),
            (Some(Logical::Numeric), _) => Some(Order {
                literal: number_literal,
                ..by_text
            }),
            (Some(_), _) | (None, DataType::Float32 | DataType::Float64 | DataType::List(_)) => {
                None
            }
            (None, DataType::Binary) => Some(Order {
                text: format!("encode({quoted}, 'hex')"),
                literal: bytes_literal,
                unplaced: None,
            }),
            (None, number) if number.is_numeric() => Some(Order {
                literal: number_literal,
                ..by_text
            }),
            (None, _) => Some(by_text),
        }
    }

    async fn rows(
        &mut self,
        sql: String,
        readers: Arc<[()]>,
        places: usize,
    ) -> Result<Cells, Failure> {
        let mut cells = Cells::default();
        for row in self.query(&sql).await? {
            debug_assert_eq!(row.len(), readers.len() + places);
            for value in row {
                cells.push_option(value.as_deref().map(str::as_bytes));
            }
        }
        Ok(cells)
    }
}

/// Hexadecimal digits as a literal.
fn bytes_literal(text: &str) -> Option<String> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| format!("'\\x{text}'::bytea"))
}
