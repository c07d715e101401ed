//! What every source of tables can be told; each flattens [`ReadOptions`] into its settings.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lookback::LookBack;
use crate::change::Table;
use crate::error::Result;
use crate::problem::Problem;
use crate::sql::target::Target;
use crate::sql::version::duration_us;

/// How often a cursor is asked for new rows where `every` does not say it.
const CURSOR_EVERY: Duration = Duration::from_secs(10);

/// How a table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadMode {
    /// Every row, in the order of the key: once, or again `every` so often.
    #[default]
    Snapshot,
    /// Every row, and then those whose `cursor` has grown.
    Cursor,
    /// Every row, and then every change, deletes too, from the log of the database; only `postgres`.
    Replication,
}

/// What a source of tables can be told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ReadOptions {
    /// The tables or views that are read: `name` or `schema.name` (MySQL: `database.name`). A query is
    /// read as a view. For `mode = "replication"` tables, also as patterns: `sales.*`.
    pub tables: Vec<String>,
    /// How they are read.
    #[serde(default)]
    pub mode: ReadMode,
    /// The columns that tell the rows apart, none of them null. Default: the primary key, else the only
    /// unique index without nulls; a view needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    /// For `mode = "cursor"`: the column that grows with every change of a row, never null: a time of the
    /// last change, a version, an id of rows that are only added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// For `mode = "cursor"`: how far below the highest cursor each round looks again, since a
    /// transaction can commit after one with a higher cursor: a time such as `"5m"`, or a number such as
    /// `"1000"` where the cursor is a number. Longer than the longest transaction is enough. Default: not
    /// at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookback: Option<String>,
    /// How long after one round the next begins: `"30s"`, `"1h"`. Default: `"10s"` for a cursor, and one
    /// round for a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// A condition in the SQL of the database: other rows are not read.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

impl ReadOptions {
    /// `tables` with every other setting at its default.
    pub fn new(tables: &[&str]) -> Self {
        Self {
            tables: tables.iter().map(|&table| table.to_owned()).collect(),
            mode: ReadMode::default(),
            key: None,
            cursor: None,
            lookback: None,
            every: None,
            condition: None,
        }
    }

    /// Settings that are wrong by themselves or together; paths begin at the source's table.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |path: &[&str], message: &str| problems.push(Problem::new(path, message));
        if self.tables.is_empty() {
            refuse(&["tables"], "no table is named");
        }
        for (index, table) in self.tables.iter().enumerate() {
            if target(table).is_err() {
                let message = "names no table: write \"name\" or \"schema.name\"";
                refuse(&["tables", &index.to_string()], message);
            }
            if self.tables[..index].contains(table) {
                refuse(&["tables", &index.to_string()], "named twice");
            }
        }
        if self.key.as_ref().is_some_and(Vec::is_empty) {
            refuse(&["key"], "no column is named");
        }
        match (self.mode, &self.cursor, &self.lookback) {
            (ReadMode::Cursor, None, _) => {
                refuse(
                    &["mode"],
                    "\"cursor\" needs the column: write cursor = \"…\"",
                );
            }
            (ReadMode::Snapshot | ReadMode::Replication, Some(_), _) => {
                refuse(&["cursor"], "only for mode = \"cursor\"");
            }
            (ReadMode::Snapshot | ReadMode::Replication, None, Some(_)) => {
                refuse(&["lookback"], "only for mode = \"cursor\"");
            }
            _ => {}
        }
        if self.mode == ReadMode::Replication {
            if self.every.is_some() {
                refuse(&["every"], "changes of a log come when they are made");
            }
            if self.condition.is_some() {
                refuse(
                    &["where"],
                    "the log tells every change: leave rows out with a filter operator",
                );
            }
        }
        if self.look_back().is_err() {
            let message = "write a time such as \"5m\", or a number such as \"1000\"";
            refuse(&["lookback"], message);
        }
        if self.interval().is_err() {
            refuse(&["every"], "write for example \"30s\", \"10m\" or \"1h\"");
        }
        problems
    }

    /// How far each round looks back.
    ///
    /// # Errors
    /// `Configuration` where it is neither a time nor a number.
    pub(super) fn look_back(&self) -> Result<Option<LookBack>> {
        self.lookback.as_deref().map(LookBack::parse).transpose()
    }

    /// How long after one round the next begins; `None` for one round.
    ///
    /// # Errors
    /// `Configuration` where it is no duration.
    pub(super) fn interval(&self) -> Result<Option<Duration>> {
        let given = self.every.as_deref();
        let given = given.map(|text| duration_us("every", text)).transpose()?;
        let given = given.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
        Ok(match self.mode {
            ReadMode::Cursor => Some(given.unwrap_or(CURSOR_EVERY)),
            ReadMode::Snapshot | ReadMode::Replication => given,
        })
    }
}

/// The table that a name of the settings means.
///
/// # Errors
/// `Configuration` where it means none.
pub(super) fn target(name: &str) -> Result<Target> {
    Target::of(name, &Table::nowhere())
}
