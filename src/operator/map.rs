//! `map`: builds the rows that go on, column by column, from expressions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::literal::Texts;

/// Chooses, renames and computes columns.
///
/// ```toml
/// [operators.tidy]
/// type   = "map"
/// inputs = ["crm"]
/// fields.id    = "id"
/// fields.name  = "trim(first_name) || ' ' || trim(last_name)"
/// fields.email = "normalize_email(email)"
/// ```
///
/// ```toml
/// [operators.slim]
/// type   = "map"
/// inputs = ["crm"]
/// drop   = ["internal_notes"]
/// rename = { created = "created_at" }
/// set.email = "normalize_email(email)"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MapConfig {
    /// The sources or operators whose changes come in.
    pub inputs: Vec<String>,
    /// The columns that go out, each with the SQL expression that gives its value; no other column
    /// goes out. Excludes the four settings below.
    pub fields: Texts,
    /// The columns that go on; all others are left out.
    pub keep: Vec<String>,
    /// The columns that are left out; all others go on.
    pub drop: Vec<String>,
    /// Columns that go on under a new name: `old = "new"`.
    pub rename: Texts,
    /// Columns that are added, or replaced, by the value of an SQL expression over the columns that
    /// come in; all others go on.
    pub set: Texts,
}
