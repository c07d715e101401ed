//! The statement of one step of evolution.

use super::Action;
use crate::error::Result;
use crate::sql::dialect::Dialect;
use crate::sql::identifier::quote;

/// The statements of an action; `table` is the quoted name.
///
/// # Errors
/// As [`quote`].
pub fn statement(dialect: &'static Dialect, table: &str, action: &Action) -> Result<String> {
    let name = |column: &String| quote(dialect, column);
    Ok(match action {
        Action::Create { columns, key } => {
            let columns = columns
                .iter()
                .map(|(column, sql_type)| {
                    let not_null = if key.contains(column) {
                        " NOT NULL"
                    } else {
                        ""
                    };
                    Ok(format!("{} {sql_type}{not_null}", name(column)?))
                })
                .collect::<Result<Vec<_>>>()?;
            let key = key.iter().map(name).collect::<Result<Vec<_>>>()?;
            format!(
                "CREATE TABLE {table} ({}, PRIMARY KEY ({}))",
                columns.join(", "),
                key.join(", ")
            )
        }
        Action::Add { column, sql_type } => {
            format!(
                "ALTER TABLE {table} ADD COLUMN {} {sql_type}",
                name(column)?
            )
        }
        Action::Widen { column, sql_type } => format!(
            "ALTER TABLE {table} {}",
            (dialect.alter_type)(&name(column)?, sql_type)
        ),
        Action::Rename { column, to } => format!(
            "ALTER TABLE {table} RENAME COLUMN {} TO {}",
            name(column)?,
            name(to)?
        ),
    })
}

/// The type of the mark of soft deletes.
pub(super) const MARK_TYPE: &str = "boolean NOT NULL DEFAULT false";
