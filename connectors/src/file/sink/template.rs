//! Which folder a row goes to: the path of the settings with the table and the time of the change.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::error::{Error, Result};

/// A path with places for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    /// Texts, and the values between them.
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Table,
    Date,
    Hour,
}

impl Template {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = path;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or("a { is not closed")? + open;
            if open > 0 {
                pieces.push(Piece::Text(rest[..open].to_owned()));
            }
            pieces.push(match &rest[open + 1..close] {
                "table" => Piece::Table,
                "date" => Piece::Date,
                "hour" => Piece::Hour,
                other => {
                    return Err(format!(
                        "{{{other}}} is not known: expected {{table}}, {{date}} or {{hour}}"
                    ));
                }
            });
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The folder that all files are in: what stands before the first value.
    pub(super) fn root(&self) -> PathBuf {
        let text = match self.pieces.first() {
            Some(Piece::Text(text)) => text.as_str(),
            _ => "",
        };
        let folder = text.rfind('/').map_or("", |slash| &text[..=slash]);
        match folder {
            "" => PathBuf::from("."),
            folder => PathBuf::from(folder),
        }
    }

    /// The folder of a change of `table` that happened at `time_ms`.
    ///
    /// # Errors
    /// `Configuration` where the table's name cannot be part of a path.
    pub(super) fn folder(&self, table: &str, time_ms: i64) -> Result<PathBuf> {
        let mut path = String::new();
        let time = DateTime::<Utc>::from_timestamp_millis(time_ms).unwrap_or_default();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Table => {
                    part_of_a_path(table)?;
                    path.push_str(table);
                }
                Piece::Date => path.push_str(&time.format("%Y-%m-%d").to_string()),
                Piece::Hour => path.push_str(&time.format("%H").to_string()),
            }
        }
        Ok(Path::new(&path).to_path_buf())
    }

    /// How far apart two changes of a table can be and always be in one folder: the length of the
    /// stretch of time that the path names, in milliseconds; `None` where it names none.
    pub(super) fn stretch_ms(&self) -> Option<i64> {
        const HOUR_MS: i64 = 3_600_000;
        if self.pieces.contains(&Piece::Hour) {
            return Some(HOUR_MS);
        }
        self.pieces.contains(&Piece::Date).then_some(24 * HOUR_MS)
    }
}

/// Refuses a name that would lead out of the folder.
///
/// # Errors
/// `Configuration`, with the remedy.
pub(super) fn part_of_a_path(name: &str) -> Result<()> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(Error::configuration(format!(
            "table {name:?} cannot be part of a file name: write a path without {{table}}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_table_and_the_time() {
        let check = |path: &str, root: &str, folder: &str| {
            let template = Template::parse(path).unwrap();
            assert_eq!(template.root(), PathBuf::from(root), "{path}");
            let found = template.folder("clients", 1_709_191_800_000).unwrap();
            assert_eq!(found, PathBuf::from(folder), "{path}");
        };
        check("out/", "out/", "out/");
        check("{table}/", ".", "clients/");
        check(
            "a/b-{table}/dt={date}/h={hour}/",
            "a/",
            "a/b-clients/dt=2024-02-29/h=07/",
        );
        for (path, part) in [("a/{tabel}/", "{tabel}"), ("a/{table/", "not closed")] {
            let error = Template::parse(path).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
