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
//!
//! With `mode = "replication"` it goes on with the log of the database: [`super::replication`].

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use schemars::JsonSchema;
use serde::Deserialize;

use super::PostgresSink;
use super::failure::Failure;
use super::replication::{self, ReplicationSettings};
use super::session::{Session, connect_options};
use crate::change::Logical;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::source::{Opening, Source};
use crate::sql::catalogue::TargetColumn;
use crate::sql::source::rows::{number_literal, text_literal};
use crate::sql::source::settings::TableSettings;
use crate::sql::source::{Cells, Order, ReadMode, ReadOptions, ReadRows, connect};

/// Reads tables of a PostgreSQL database: every row, those whose column has grown, or every change from the
/// log, deletes too.
///
/// ```toml
/// [sources.shop]
/// type   = "postgres"
/// url    = "postgres://syncline@localhost/shop"
/// tables = ["clients", "sales.*"]
/// mode   = "replication"
/// slot   = "syncline_shop"
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
    /// For `mode = "replication"`: the replication slot, which keeps the log until every sink has it. Made
    /// where it is not there, and never dropped: a slot that is read no more fills the disk of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// For `mode = "replication"`: the publication. Made where it is not there, and extended by tables that
    /// it lacks. Default: the name of the slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<String>,
    /// For `mode = "replication"`: whether a slot that is made is carried over to a standby (PostgreSQL 17 and
    /// later).
    #[serde(default)]
    pub failover: bool,
    /// For `mode = "replication"`: replication origins whose changes are left out, where another pipeline
    /// writes to this database: `syncline_*`, with `*` for any text. They count as filtered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_origins: Vec<String>,
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
    const HAS_LOG: bool = true;

    fn options(&self) -> &ReadOptions {
        &self.options
    }

    fn check_place(&self) -> Vec<Problem> {
        let message = "cannot be read: write postgres://user:password@host:port/database, with special characters percent-encoded";
        let mut problems = Vec::new();
        if connect_options(&self.url).is_err() {
            problems.push(Problem::new(&["url"], message));
        }
        let is_slot = |name: &str| {
            let fits =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            (1..=63).contains(&name.len()) && name.bytes().all(fits)
        };
        match (self.options.mode, &self.slot) {
            (ReadMode::Replication, None) => {
                let message =
                    "\"replication\" needs a name for its slot: write slot = \"syncline_…\"";
                problems.push(Problem::new(&["mode"], message));
            }
            (ReadMode::Replication, Some(slot)) if !is_slot(slot) => {
                let message =
                    "is no name of a slot: expected up to 63 lower-case letters, digits and `_`";
                problems.push(Problem::new(&["slot"], message));
            }
            (ReadMode::Replication, Some(_)) => {}
            (ReadMode::Snapshot | ReadMode::Cursor, _) => {
                let only = [
                    ("slot", self.slot.is_some()),
                    ("publication", self.publication.is_some()),
                    ("failover", self.failover),
                    ("ignore_origins", !self.ignore_origins.is_empty()),
                ];
                for (name, given) in only {
                    if given {
                        let message = "only for mode = \"replication\"";
                        problems.push(Problem::new(&[name], message));
                    }
                }
            }
        }
        problems
    }

    async fn open(&self, opening: &Opening) -> Result<Box<dyn Source>> {
        let mut place = PostgresSink::new(&self.url);
        place.connect_timeout_ms = self.connect_timeout_ms;
        place.write_timeout_ms = self.read_timeout_ms;
        if self.options.mode == ReadMode::Replication {
            let slot = self.slot.clone().unwrap_or_default();
            let settings = ReplicationSettings {
                place,
                options: self.options.clone(),
                publication: self.publication.clone().unwrap_or_else(|| slot.clone()),
                slot,
                failover: self.failover,
                ignore_origins: self.ignore_origins.clone(),
            };
            return replication::connect(settings, opening).await;
        }
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
