//! SQLite's phrases.

use super::types;
use crate::sql::dialect::{Dialect, Fit, OwnTables, delete_by_id, on_conflict};
use crate::sql::identifier::literal;
use crate::sql::{POSITIONS_TABLE, TARGETS_TABLE, TOMBSTONES_TABLE};

/// How SQLite writes SQL.
pub static SQLITE: Dialect = Dialect {
    name: "SQLite",
    refuses: |_| None,
    folds_names: true,
    column_type: types::column_type,
    // A type is an affinity.
    fit: |_, _| Fit::Fits,
    field: types::field_of,
    mark: '"',
    text_type: "TEXT",
    key_types: &[],
    cast_text: "text",
    position: "instr",
    lock: "",
    lock_free: "",
    differs: |target, source| format!("{target} IS NOT {source}"),
    differs_stored: |target, source| format!("{target} IS NOT {source}"),
    once: " ON CONFLICT DO NOTHING",
    or_update: on_conflict,
    excluded: |column| format!("excluded.{column}"),
    delete_some: delete_by_id,
    alter_type: |column, sql_type| format!("ALTER COLUMN {column} TYPE {sql_type}"),
    begin: "BEGIN IMMEDIATE",
    now: "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    widens: false,
    loose_instants: &["TIMESTAMP", "DATETIME", "TIME"],
    unless_there: " ON CONFLICT DO NOTHING",
    updates_from_values: false,
    count_of_table: |_, table| {
        Ok(format!(
            "CAST((SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower({})) AS text)",
            literal(table)
        ))
    },
    count_of_column: |table, column| {
        let (table, column) = (literal(table), literal(column));
        format!(
            "CAST((SELECT count(*) FROM pragma_table_info({table}) WHERE name = {column}) AS text)"
        )
    },
    foreign_keys: |_, table| {
        Ok(format!(
            "SELECT CAST(f.id AS text), f.\"from\", NULL, f.\"table\", coalesce(f.\"to\", \
             (SELECT i.name FROM pragma_table_info(f.\"table\") AS i WHERE i.pk = f.seq + 1)) \
             FROM pragma_foreign_key_list({}) AS f ORDER BY f.id, f.seq",
            literal(table)
        ))
    },
    own_tables: OwnTables {
        primary_key: |columns| format!("PRIMARY KEY ({columns})"),
        indexes_inside: false,
        end: "",
        text: "TEXT",
        name: "TEXT",
        integer: "INTEGER",
        bigint: "INTEGER",
        serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
        partition: "partition",
        incarnation: "TEXT",
        positions,
    },
};

fn positions() -> [String; 3] {
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (pipeline TEXT, sink TEXT, source TEXT, topic TEXT, \
             partition INTEGER, position INTEGER NOT NULL, updated_at TEXT NOT NULL, \
             incarnation TEXT, \
             PRIMARY KEY (pipeline, sink, source, topic, partition)) WITHOUT ROWID"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {TARGETS_TABLE} (pipeline TEXT, sink TEXT, table_schema TEXT, \
             table_name TEXT, setting TEXT NOT NULL, held_rows INTEGER NOT NULL, \
             PRIMARY KEY (pipeline, sink, table_schema, table_name)) WITHOUT ROWID"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {TOMBSTONES_TABLE} (pipeline TEXT, sink TEXT, target TEXT, key TEXT, \
             version, PRIMARY KEY (pipeline, sink, target, key)) WITHOUT ROWID"
        ),
    ]
}
