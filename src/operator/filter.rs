//! `filter`: drops the changes for which a condition does not hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lets a change pass where a condition is true.
///
/// ```toml
/// [operators.active]
/// type   = "filter"
/// inputs = ["crm"]
/// where  = "status <> 'draft' and _op <> 'r'"
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// The sources or operators whose changes come in.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The condition, an SQL expression that is true or false.
    pub r#where: String,
}
