//! A change that waits in the target for a row that a foreign key of its table needs (R21).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::conflict::Json;

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingChange {
    /// The target's number of it; 0 until the target gives one.
    pub id: i64,
    /// The source's name.
    pub source: String,
    /// The table in the target.
    pub target: String,
    /// The key of its row.
    pub key: Json,
    /// The row that it waits for, as JSON; empty where it waits behind another change of its key, and
    /// `None` where the database did not say.
    pub awaits: Option<String>,
    /// Why the target refused it.
    pub rule: String,
    /// The column, where the database says it.
    pub field: Option<String>,
    /// The reason, for a person.
    pub reason: String,
    /// Since when it waits, in milliseconds since the epoch.
    pub since_ms: i64,
    /// The change with its record.
    pub change: String,
}

/// A row that a foreign key needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Awaited {
    /// Schema and name of its table.
    pub schema: Option<String>,
    /// The table's name.
    pub table: String,
    /// The referenced columns.
    pub columns: Vec<String>,
    /// Their values as text, in the same order.
    pub values: Vec<String>,
}

impl Awaited {
    /// As it is kept.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("texts are valid JSON")
    }

    /// `None` where it is not known.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// `the row of table "client" with "id" = 9`.
impl fmt::Display for Awaited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the row of table {:?} with ", self.table)?;
        for (index, (column, value)) in self.columns.iter().zip(&self.values).enumerate() {
            let and = if index == 0 { "" } else { " and " };
            write!(formatter, "{and}{column:?} = {value}")?;
        }
        Ok(())
    }
}
