//! Names into SQL: one quoting function for every dialect.
//!
//! A name from data or configuration is always quoted, never pasted. What a database would cut
//! short or cannot hold (empty, NUL, too long) is refused, so that two names never become one.

use super::dialect::Dialect;
use crate::error::{Error, Result};

/// `name` as a quoted identifier of `dialect`.
///
/// # Errors
/// `Configuration` where the name is empty, holds a NUL or is one that the database does not take.
pub fn quote(dialect: &'static Dialect, name: &str) -> Result<String> {
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
    if let Some(why) = (dialect.refuses)(name) {
        return Err(Error::configuration(format!(
            "the name {name:?} {why}: rename it with a map operator"
        )));
    }
    let mark = dialect.mark;
    let inside = name.replace(mark, &format!("{mark}{mark}"));
    Ok(format!("{mark}{inside}{mark}"))
}

/// `text` as a string literal. Every dialect reads a backslash as itself: Postgres with
/// `standard_conforming_strings`, its default; MySQL because our sessions set
/// `NO_BACKSLASH_ESCAPES`, so that one rule, and no forgotten second one, holds everywhere.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::MYSQL;
    use crate::postgres::POSTGRES;
    use crate::sqlite::SQLITE;

    fn check(name: &str, expect: Result<&str, &str>) {
        match (quote(&POSTGRES, name), expect) {
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
    fn mysql_counts_characters_and_has_its_own_marks() {
        let check = |name: &str, expect: Result<&str, &str>| match (quote(&MYSQL, name), expect) {
            (Ok(quoted), Ok(text)) => assert_eq!(quoted, text),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expect) => panic!("{name:?}: found {found:?}, expected {expect:?}"),
        };
        let longest = "ü".repeat(64);
        check("id", Ok("`id`"));
        check("x`; DROP TABLE t; --", Ok("`x``; DROP TABLE t; --`"));
        check("a\"b'\\", Ok("`a\"b'\\`"));
        check(&longest, Ok(&format!("`{longest}`")));
        check(&format!("{longest}ü"), Err("has 65 characters"));
        check("a ", Err("ends with a blank"));
        check("😀", Err("beyond U+FFFF"));
    }

    #[test]
    fn sqlite_takes_long_names() {
        assert!(quote(&SQLITE, &"n".repeat(200)).is_ok());
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal("it's \\"), "'it''s \\'");
    }
}
