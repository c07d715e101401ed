//! Reads a table from the catalogue of MySQL or MariaDB.
//!
//! `SHOW` takes the name as a name, so that its case means what it means to every other statement.

use std::collections::BTreeMap;

use sqlx::MySqlConnection;

use super::failure::Failure;
use super::session::{Server, rows, text};
use crate::error::Error;
use crate::mysql::MYSQL;
use crate::sql::catalogue::{TargetColumn, TargetTable};
use crate::sql::identifier::{literal, quote};
use crate::sql::target::Target;

/// A table with what only MySQL knows of it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) table: TargetTable,
    /// For each column its collation, where it is a text.
    pub(super) collations: Vec<Option<String>>,
    /// Names of the unique indexes, in the order of [`TargetTable::unique`].
    pub(super) indexes: Vec<String>,
    /// What tells it from other tables.
    pub(super) identity: String,
    /// The tables that its foreign keys point to.
    pub(super) references: Vec<String>,
    /// `SHOW CREATE TABLE`.
    definition: String,
}

/// Engines whose tables keep a row although its transaction is rolled back.
const WITHOUT_TRANSACTIONS: [&str; 6] =
    ["MyISAM", "Aria", "MEMORY", "CSV", "ARCHIVE", "MRG_MyISAM"];

/// The table as it is now; `None` where it does not exist.
pub(super) async fn read(
    connection: &mut MySqlConnection,
    server: &Server,
    target: &Target,
) -> Result<Option<Found>, Failure> {
    let quoted = target.quoted(&MYSQL)?;
    let created = match rows(connection, &format!("SHOW CREATE TABLE {quoted}")).await {
        Ok(created) => created,
        Err(Failure::Stale(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let definition = match created.first() {
        // A view has another name for it.
        Some(row) => text(row, "Create Table").ok().flatten().unwrap_or_default(),
        None => String::new(),
    };
    check_engine(target, &definition)?;
    let (table, collations) = columns(connection, &quoted).await?;
    let mut found = Found {
        table,
        collations,
        indexes: Vec::new(),
        identity: identity(
            target.schema.as_deref().unwrap_or(&server.database),
            &target.name,
        ),
        references: Vec::new(),
        definition,
    };
    let mut unique: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut partial: Vec<String> = Vec::new();
    for row in rows(connection, &format!("SHOW INDEX FROM {quoted}")).await? {
        let of = |column: &str| text(&row, column).map(Option::unwrap_or_default);
        if of("Non_unique")? != "0" {
            continue;
        }
        let name = of("Key_name")?;
        let column = of("Column_name")?;
        // A part of a column, an expression, a hash, which finds no row, or one that is not used.
        let whole = of("Sub_part")?.is_empty() && !column.is_empty();
        let hidden = [("Visible", "NO"), ("Ignored", "YES")]
            .iter()
            .any(|(column, hidden)| {
                text(&row, column).is_ok_and(|is| is.as_deref() == Some(*hidden))
            });
        if !whole || hidden || of("Index_type")? == "HASH" {
            partial.push(name.clone());
        }
        unique.entry(name).or_default().push(column);
    }
    found.table.other_constraints = !partial.is_empty();
    for (name, columns) in unique {
        if !partial.contains(&name) {
            if name == "PRIMARY" {
                found.table.primary = Some(found.table.unique.len());
            }
            found.indexes.push(name);
            found.table.unique.push(columns);
        }
    }
    let sql = format!(
        "SELECT DISTINCT REFERENCED_TABLE_SCHEMA AS of_schema, REFERENCED_TABLE_NAME AS of_table \
         FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
         AND REFERENCED_TABLE_NAME IS NOT NULL",
        literal(target.schema.as_deref().unwrap_or(&server.database)),
        literal(&target.name)
    );
    for row in rows(connection, &sql).await? {
        let of = |column: &str| text(&row, column).map(Option::unwrap_or_default);
        found
            .references
            .push(identity(&of("of_schema")?, &of("of_table")?));
    }
    Ok(Some(found))
}

async fn columns(
    connection: &mut MySqlConnection,
    quoted: &str,
) -> Result<(TargetTable, Vec<Option<String>>), Failure> {
    let mut table = TargetTable::default();
    let mut collations = Vec::new();
    for row in rows(connection, &format!("SHOW FULL COLUMNS FROM {quoted}")).await? {
        let of = |column: &str| text(&row, column).map(Option::unwrap_or_default);
        let extra = of("Extra")?.to_ascii_lowercase();
        table.columns.push(TargetColumn {
            name: of("Field")?,
            sql_type: of("Type")?,
            nullable: of("Null")? == "YES",
            has_default: text(&row, "Default")?.is_some()
                || extra.contains("auto_increment")
                || extra.contains("default_generated"),
            generated: extra.contains(" generated") || extra.contains("persistent"),
            identity: false,
        });
        collations.push(text(&row, "Collation")?);
    }
    Ok((table, collations))
}

/// How a table is known, whatever the case in which the server keeps names.
fn identity(database: &str, table: &str) -> String {
    format!("{database}.{table}").to_lowercase()
}

fn check_engine(target: &Target, definition: &str) -> Result<(), Failure> {
    let (_, options) = definition.rsplit_once("\n) ENGINE=").unwrap_or_default();
    let engine = options.split_whitespace().next().unwrap_or_default();
    if WITHOUT_TRANSACTIONS.contains(&engine) {
        return Err(Failure::Error(Error::configuration(format!(
            "table {:?} has the engine {engine}, which has no transactions: run ALTER TABLE … ENGINE = InnoDB",
            target.to_string()
        ))));
    }
    Ok(())
}

impl Found {
    /// A table that is in no database; its only index is over its key.
    #[cfg(test)]
    pub(super) fn of_test(table: TargetTable, collations: Vec<Option<String>>) -> Self {
        Self {
            table,
            collations,
            indexes: vec!["PRIMARY".to_owned()],
            identity: String::new(),
            references: Vec::new(),
            definition: String::new(),
        }
    }

    /// The name of an index that tells rows of `key` apart.
    pub(super) fn key_index(&self, key: &[String]) -> Option<&str> {
        let place = self.table.unique.iter().position(|unique| {
            unique.len() == key.len() && key.iter().all(|column| unique.contains(column))
        })?;
        self.indexes.get(place).map(String::as_str)
    }

    /// Everything after the type in the definition of a column, which a change of the type has to
    /// repeat: not null, the default, the comment.
    pub(super) fn attributes(&self, column: &str) -> Result<&str, Error> {
        let known = self.table.column(column).map(|column| &column.sql_type);
        let line = |sql_type: &String| {
            let start = format!("\n  {} {sql_type}", quote(&MYSQL, column).ok()?);
            let (_, rest) = self.definition.split_once(&start)?;
            let line = rest.lines().next()?;
            Some(line.trim_end_matches(','))
        };
        known.and_then(line).ok_or_else(|| {
            Error::configuration(format!(
                "the definition of column {column:?} cannot be read, and has to be widened: alter it by hand"
            ))
        })
    }
}
