//! Which settings of sources and sinks a connection of `syncline.toml` can hold.

use serde_json::{Map, Value as Json};

/// The key that names a connection.
pub(crate) const CONNECTION: &str = "connection";
/// The settings that say where a system is and how to log in to it.
pub(crate) const CONNECTION_KEYS: [&str; 6] = [
    "brokers",
    "url",
    "properties",
    "auth",
    "headers",
    "connect_timeout_ms",
];

/// Whether a component with these settings can take a connection over.
pub(crate) fn has_connection(properties: &Map<String, Json>) -> bool {
    CONNECTION_KEYS
        .iter()
        .any(|key| properties.contains_key(*key))
}
