//! What every lookup can be told; each database flattens [`LookupOptions`] into its settings.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lookup, Problem, TargetColumn, TargetTable, Wanted, target};
use crate::error::Result;

/// What a lookup can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct LookupOptions {
    /// The table or view whose rows are found: `name` or `schema.name` (MySQL: `database.name`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Instead of `table`: a query in the SQL of the database. It is asked for the rows of some keys, as
    /// `SELECT … FROM (query) AS t WHERE …`, so that it has to have the columns of `columns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// For `query`: its columns, each with its type as the database writes it: `{ id = "bigint", name =
    /// "text" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// The name of the `[caches.NAME]` that keeps what was found. Without it every batch asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// How long one request may take before the database counts as not answering, in milliseconds.
    #[serde(default = "query_timeout_ms")]
    #[schemars(range(min = 1))]
    pub query_timeout_ms: u64,
}

fn query_timeout_ms() -> u64 {
    30_000
}

impl LookupOptions {
    /// The table or the query, for a message.
    pub(super) fn shown(&self) -> String {
        match &self.table {
            Some(table) => format!("table {table:?}"),
            None => "the query of the lookup".to_owned(),
        }
    }

    /// The columns of a query.
    pub(super) fn declared(&self) -> TargetTable {
        let column = |(name, sql_type): (&String, &String)| TargetColumn {
            name: name.clone(),
            sql_type: sql_type.clone(),
            nullable: true,
            has_default: false,
            generated: false,
            identity: false,
        };
        TargetTable {
            columns: self.columns.iter().map(column).collect(),
            ..TargetTable::default()
        }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (&self.table, &self.query) {
            (None, None) => {
                let message = "it says neither `table` nor `query`";
                problems.push(Problem::new(&[], message).help("write table = \"clients\""));
            }
            (Some(_), Some(_)) => {
                let message = "query cannot stand beside table";
                problems.push(Problem::new(&["query"], message).help("leave one of them out"));
            }
            (Some(_), None) if !self.columns.is_empty() => {
                let message = "only for `query`: the table says its columns";
                problems.push(Problem::new(&["columns"], message));
            }
            (None, Some(_)) if self.columns.is_empty() => {
                let message = "nothing says the columns of the query";
                let help = "name each with its type, as in columns = { id = \"bigint\" }";
                problems.push(Problem::new(&["query"], message).help(help));
            }
            _ => {}
        }
        if let Some(Err(error)) = self.table.as_deref().map(target) {
            problems.push(Problem::new(&["table"], error.to_string()));
        }
        problems
    }
}

/// The settings of a lookup.
#[async_trait]
pub trait LookupSettings: fmt::Debug + Send + Sync {
    /// The value of `type`.
    fn kind(&self) -> &'static str;

    /// What every lookup can be told.
    fn options(&self) -> &LookupOptions;

    /// What is wrong with them; paths begin at the lookup's own table.
    fn check(&self) -> Vec<Problem>;

    /// Connects.
    ///
    /// # Errors
    /// `Unavailable` while the database does not answer, `Configuration` where it refuses, or where a
    /// table or a column is not there.
    async fn open(&self, wanted: &Wanted) -> Result<Box<dyn Lookup>>;
}

/// The settings of any lookup.
pub type LookupConfig = Arc<dyn LookupSettings>;

/// Where the database of a lookup is.
pub(crate) trait Place: fmt::Debug + Send + Sync {
    /// The value of `type`.
    const KIND: &'static str;

    /// What every lookup can be told.
    fn options(&self) -> &LookupOptions;

    /// What is wrong with the settings that say where the database is.
    fn check_place(&self) -> Vec<Problem>;

    /// [`open`](super::open) with the database's connection.
    ///
    /// # Errors
    /// As [`LookupSettings::open`].
    fn open(&self, wanted: &Wanted) -> impl Future<Output = Result<Box<dyn Lookup>>> + Send;
}

#[async_trait]
impl<T: Place> LookupSettings for T {
    fn kind(&self) -> &'static str {
        T::KIND
    }

    fn options(&self) -> &LookupOptions {
        Place::options(self)
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.check_place();
        problems.extend(Place::options(self).check());
        problems
    }

    async fn open(&self, wanted: &Wanted) -> Result<Box<dyn Lookup>> {
        Place::open(self, wanted).await
    }
}
