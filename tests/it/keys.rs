//! Where a key comes from and what a change of it does, on PostgreSQL, MariaDB and SQLite, through
//! the real `syncline` (R2, R10, R12, R14; `docs/keys.md`).

mod changed;
mod databases;
mod default;
mod record;
mod tombstones;

use serde_json::{Value, json};

/// An update without the schema, as a file or a topic without schemas carries it.
fn bare_update(before: &Value, after: &Value) -> String {
    json!({ "before": before, "after": after, "op": "u" }).to_string()
}

/// An event around `id int32`, `name string` and `mail string`, with its schema.
fn wrapped(operation: &str, before: &Value, after: &Value) -> String {
    let row = |field: &str| {
        json!({ "type": "struct", "optional": true, "field": field, "fields": [
            { "type": "int32", "optional": false, "field": "id" },
            { "type": "string", "optional": true, "field": "name" },
            { "type": "string", "optional": true, "field": "mail" },
        ] })
    };
    json!({
        "schema": { "type": "struct", "fields": [
            row("before"), row("after"), { "type": "string", "field": "op" },
        ] },
        "payload": { "before": before, "after": after, "op": operation },
    })
    .to_string()
}
