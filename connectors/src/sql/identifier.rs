//! Names into SQL: one quoting function for every dialect.
//!
//! A name from data or configuration is always quoted, never pasted. What a database would cut
//! short or cannot hold (empty, NUL, too long) is refused, so that two names never become one.

use crate::error::{Error, Result};

/// A database's way of writing SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// The longest name in bytes; `None` where there is no limit. Postgres cuts a longer one
    /// silently (`NAMEDATALEN` − 1).
    fn name_bytes_max(self) -> Option<usize> {
        match self {
            Self::Postgres => Some(63),
            Self::Sqlite => None,
        }
    }
}

/// `name` as a quoted identifier of `dialect`.
///
/// # Errors
/// `Configuration` where the name is empty, holds a NUL or is too long for the database.
pub fn quote(dialect: Dialect, name: &str) -> Result<String> {
    if name.is_empty() {
        return Err(Error::configuration(
            "a table or column name is empty: name it in the sink's options or with a map operator",
        ));
    }
    if name.contains('\0') {
        return Err(Error::configuration(format!(
            "the name {name:?} holds a NUL character: rename it with a map operator"
        )));
    }
    if let Some(bytes_max) = dialect.name_bytes_max()
        && name.len() > bytes_max
    {
        return Err(Error::configuration(format!(
            "the name {name:?} has {} bytes, the database takes {bytes_max}: rename it with a map operator",
            name.len()
        )));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// `text` as a string literal. Both dialects read a backslash as itself (Postgres with
/// `standard_conforming_strings`, its default).
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expect: Result<&str, &str>) {
        match (quote(Dialect::Postgres, name), expect) {
            (Ok(quoted), Ok(text)) => assert_eq!(quoted, text),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expect) => panic!("{name:?}: found {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn hostile_names_stay_one_identifier() {
        let long = "n".repeat(63);
        let too_long = "ü".repeat(32);
        check("id", Ok("\"id\""));
        check("Order Line", Ok("\"Order Line\""));
        check("x\"; DROP TABLE t; --", Ok("\"x\"\"; DROP TABLE t; --\""));
        check("a.b", Ok("\"a.b\""));
        check("select", Ok("\"select\""));
        check("日本", Ok("\"日本\""));
        check(&long, Ok(&format!("\"{long}\"")));
        check(&too_long, Err("has 64 bytes"));
        check("", Err("is empty"));
        check("a\0b", Err("NUL"));
    }

    #[test]
    fn sqlite_takes_long_names() {
        assert!(quote(Dialect::Sqlite, &"n".repeat(200)).is_ok());
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal("it's \\"), "'it''s \\'");
    }
}
