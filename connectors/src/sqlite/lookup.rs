//! Rows of a SQLite file found by their keys; how is [`crate::sql::lookup`].

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::SqliteSink;
use super::connection::SqliteConnection;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::sql::lookup::{Lookup, LookupOptions, Place, Wanted, open};

/// Finds rows of a table of a SQLite file, or of a query, by their keys.
///
/// ```toml
/// [lookups.countries]
/// type    = "sqlite"
/// path    = "state/countries.db"
/// query   = "SELECT code, name FROM countries WHERE valid"
/// columns = { code = "TEXT", name = "TEXT" }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteLookup {
    /// The database file.
    pub path: String,
    /// What every lookup can be told.
    #[serde(flatten)]
    pub options: LookupOptions,
    /// How long to wait for a lock that another connection holds, in milliseconds.
    #[serde(default = "default_busy_timeout_ms")]
    pub busy_timeout_ms: u64,
}

fn default_busy_timeout_ms() -> u64 {
    10_000
}

impl Place for SqliteLookup {
    const KIND: &'static str = "sqlite";

    fn options(&self) -> &LookupOptions {
        &self.options
    }

    fn check_place(&self) -> Vec<Problem> {
        Vec::new()
    }

    async fn open(&self, wanted: &Wanted) -> Result<Box<dyn Lookup>> {
        if !Path::new(&self.path).is_file() {
            return Err(Error::configuration(format!(
                "there is no file {:?}: correct path = \"…\" of the lookup",
                self.path
            )));
        }
        let mut place = SqliteSink::new(&self.path);
        place.busy_timeout_ms = self.busy_timeout_ms;
        let timeout = Duration::from_millis(self.options.query_timeout_ms);
        open::<SqliteConnection>(place, timeout, &self.options, wanted).await
    }
}
