//! Which keys are one key for SQLite (R22).
//!
//! Texts compare by the collation of their column: `BINARY` by their bytes, `NOCASE` without the case of ASCII
//! letters, `RTRIM` without blanks at the end. A column with a numeric affinity makes numbers of texts that look
//! like one, so that `1`, `1.0` and ` 01` are one key. Collations that a program adds are refused, and an index
//! that compares in another way than its column.

use arrow::datatypes::{DataType, Field};
use rusqlite::{Connection, params};

use super::failure::of_statement;
use super::types::Affinity;
use crate::error::Result;
use crate::sql::equality::{Equality, Texts, unknown};
use crate::sql::target::Target;

/// How the key column `name` of `target` tells values apart.
///
/// # Errors
/// `Configuration` where that is not known.
pub(super) fn equality(
    connection: &Connection,
    target: &Target,
    field: &Field,
    name: &str,
    affinity: Affinity,
) -> Result<Equality> {
    let collation = collation(connection, target, name)?;
    let table = target.to_string();
    for other in index_collations(connection, target, name)? {
        if !other.eq_ignore_ascii_case(&collation) {
            return Err(unknown(
                &table,
                name,
                &format!("compares by {collation}, and an index over it by {other}"),
                "give both the same collation",
            ));
        }
    }
    let text = matches!(
        field.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let texts = Texts {
        case: collation.eq_ignore_ascii_case("NOCASE"),
        padding: collation.eq_ignore_ascii_case("RTRIM"),
        numbers: matches!(affinity, Affinity::Numeric | Affinity::Real),
        ascii_only: false,
    };
    if !texts.case && !texts.padding && !collation.eq_ignore_ascii_case("BINARY") {
        return Err(unknown(
            &table,
            name,
            &format!("has the collation {collation}"),
            "give the column the collation BINARY, NOCASE or RTRIM",
        ));
    }
    Ok(match text {
        false => Equality::of_values(field.data_type()),
        true if texts == Texts::default() => Equality::Values,
        true => Equality::Texts(texts),
    })
}

fn collation(connection: &Connection, target: &Target, name: &str) -> Result<String> {
    let schema = target.schema.as_deref().unwrap_or("main");
    connection
        .column_metadata(Some(schema), target.name.as_str(), name)
        .map(|(_, collation, ..)| {
            collation.map_or("BINARY".to_owned(), |name| {
                name.to_string_lossy().into_owned()
            })
        })
        .map_err(|error| of_statement(&format!("reading the collation of column {name:?}"), error))
}

/// How unique indexes compare the column.
fn index_collations(connection: &Connection, target: &Target, name: &str) -> Result<Vec<String>> {
    let schema = target.schema.as_deref().unwrap_or("main");
    let read = || {
        connection
            .prepare_cached(
                "SELECT x.coll FROM pragma_index_list(?1, ?2) AS l, pragma_index_xinfo(l.name, ?2) AS x \
                 WHERE l.\"unique\" AND x.key AND x.name = ?3",
            )?
            .query_map(params![target.name, schema, name], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()
    };
    read().map_err(|error| of_statement(&format!("reading the indexes of column {name:?}"), error))
}
