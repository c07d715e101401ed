//! Rows of PostgreSQL found by their keys; how is [`crate::sql::lookup`].

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::PostgresSink;
use super::session::{Session, connect_options};
use crate::error::Result;
use crate::problem::Problem;
use crate::sql::lookup::{Lookup, LookupOptions, Place, Wanted, open};

/// Finds rows of a table of PostgreSQL, or of a query, by their keys.
///
/// ```toml
/// [lookups.clients]
/// type  = "postgres"
/// url   = "postgres://syncline@localhost/crm"
/// table = "clients"
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresLookup {
    /// Where the database is: `postgres://user:password@host:port/database`. A secret: take it from
    /// the environment or a file.
    pub url: String,
    /// What every lookup can be told.
    #[serde(flatten)]
    pub options: LookupOptions,
    /// How long to wait for a connection, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
}

fn default_connect_timeout_ms() -> u64 {
    10_000
}

/// Everything but the URL, which may hold a password.
impl fmt::Debug for PostgresLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLookup")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Place for PostgresLookup {
    const KIND: &'static str = "postgres";

    fn options(&self) -> &LookupOptions {
        &self.options
    }

    fn check_place(&self) -> Vec<Problem> {
        let message = "cannot be read: write postgres://user:password@host:port/database, with special characters percent-encoded";
        match connect_options(&self.url) {
            Ok(_) => Vec::new(),
            Err(_) => vec![Problem::new(&["url"], message)],
        }
    }

    async fn open(&self, wanted: &Wanted) -> Result<Box<dyn Lookup>> {
        let mut place = PostgresSink::new(&self.url);
        place.connect_timeout_ms = self.connect_timeout_ms;
        let timeout = Duration::from_millis(self.options.query_timeout_ms);
        open::<Session>(place, timeout, &self.options, wanted).await
    }
}
