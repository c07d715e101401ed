//! The phrases of MySQL and MariaDB.

use super::types;
use crate::sql::dialect::{Dialect, OwnTables};
use crate::sql::identifier::literal;
use crate::sql::{POSITIONS_TABLE, TARGETS_TABLE, TOMBSTONES_TABLE};

/// How MySQL writes SQL.
pub static MYSQL: Dialect = Dialect {
    name: "MySQL",
    refuses: refused_name,
    folds_names: true,
    column_type: types::column_type,
    fit: types::fit,
    field: types::field_of,
    mark: '`',
    text_type: "longtext",
    key_types: &[("longtext", "varchar(255)"), ("longblob", "varbinary(255)")],
    cast_text: "char",
    position: "instr",
    lock: " FOR UPDATE",
    lock_free: "",
    differs: |target, source| format!("NOT ({target} <=> {source})"),
    // Whatever collation a text has, values that differ in case or in trailing blanks differ.
    differs_stored: |target, source| {
        format!("NOT (CAST({target} AS BINARY) <=> CAST({source} AS BINARY))")
    },
    // The digest of the id is what is unique.
    once: " ON DUPLICATE KEY UPDATE `id` = VALUES(`id`)",
    or_update: |_| " ON DUPLICATE KEY UPDATE ".to_owned(),
    excluded: |column| format!("VALUES({column})"),
    delete_some: |table, _, rows| format!("DELETE FROM {table} {rows}"),
    alter_type: |column, sql_type| format!("MODIFY COLUMN {column} {sql_type}"),
    begin: "START TRANSACTION",
    now: "UTC_TIMESTAMP(6)",
    widens: true,
    loose_instants: &[],
    unless_there: "",
    updates_from_values: false,
    count_of_table: |schema, table| {
        let schema = schema.map(literal);
        Ok(format!(
            "CAST((SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}) AS char)",
            schema.as_deref().unwrap_or("DATABASE()"),
            literal(table)
        ))
    },
    count_of_column: |table, column| {
        let (table, column) = (literal(table), literal(column));
        format!(
            "CAST((SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {table} AND COLUMN_NAME = {column}) AS char)"
        )
    },
    foreign_keys: |schema, table| {
        let schema = schema.map(literal);
        Ok(format!(
            "SELECT CAST(CONSTRAINT_NAME AS char), CAST(COLUMN_NAME AS char), CAST(REFERENCED_TABLE_SCHEMA AS char), \
             CAST(REFERENCED_TABLE_NAME AS char), CAST(REFERENCED_COLUMN_NAME AS char) \
             FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
             AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION",
            schema.as_deref().unwrap_or("DATABASE()"),
            literal(table)
        ))
    },
    own_tables: OwnTables {
        // An index holds too little for so many texts: what is unique is their digest.
        primary_key: |columns| {
            format!(
                "digest char(64) CHARACTER SET ascii AS (sha2(concat_ws(char(31), {columns}), 256)) STORED, UNIQUE KEY (digest)"
            )
        },
        indexes_inside: true,
        end: " ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        text: "longtext",
        name: "text",
        integer: "integer",
        bigint: "bigint",
        serial: "bigint AUTO_INCREMENT PRIMARY KEY",
        partition: "`partition`",
        incarnation: "text",
        positions,
    },
};

/// MySQL counts characters, of which those beyond the Basic Multilingual Plane are none, and a name
/// does not end with a blank.
fn refused_name(name: &str) -> Option<String> {
    let characters = name.chars().count();
    if characters > 64 {
        Some(format!(
            "has {characters} characters, the database takes 64"
        ))
    } else if name.chars().any(|letter| letter > '\u{ffff}') {
        Some("holds a character beyond U+FFFF, which the database does not take".to_owned())
    } else if name.ends_with(' ') {
        Some("ends with a blank, which the database does not take".to_owned())
    } else {
        None
    }
}

/// A collation under which two texts are equal only where their bytes are, of MariaDB and of MySQL: each
/// reads the other's as a comment.
const COLLATION: &str =
    "/*M!100202 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */";

/// An index takes 3,072 bytes, which bounds the names.
fn positions() -> [String; 3] {
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (pipeline varchar(120) NOT NULL, sink varchar(120) NOT NULL, \
             source varchar(120) NOT NULL, topic varchar(400) NOT NULL, `partition` int NOT NULL, \
             position bigint NOT NULL, updated_at datetime(6) NOT NULL, incarnation text NULL, \
             PRIMARY KEY (pipeline, sink, source, topic, `partition`)) ENGINE = InnoDB {COLLATION}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {TARGETS_TABLE} (pipeline varchar(120) NOT NULL, sink varchar(120) NOT NULL, \
             table_schema varchar(64) NOT NULL, table_name varchar(64) NOT NULL, setting varchar(1000) NOT NULL, \
             held_rows int NOT NULL, \
             PRIMARY KEY (pipeline, sink, table_schema, table_name)) ENGINE = InnoDB {COLLATION}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {TOMBSTONES_TABLE} (pipeline varchar(120) NOT NULL, \
             sink varchar(120) NOT NULL, target varchar(140) NOT NULL, key_hash binary(32) NOT NULL, \
             instant datetime(6) NULL, number decimal(65,30) NULL, \
             PRIMARY KEY (pipeline, sink, target, key_hash)) ENGINE = InnoDB {COLLATION}"
        ),
    ]
}
