//! A database for the tests of a pipeline: a file that is removed with it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};
use serde_json::{Map, Value as Json};

use crate::error::{Error, Result};

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A SQLite database in a folder of its own.
pub struct ScratchDatabase {
    folder: PathBuf,
    path: PathBuf,
}

impl ScratchDatabase {
    /// An empty one.
    ///
    /// # Errors
    /// `Unavailable` where the folder for temporary files cannot be written.
    pub fn new() -> Result<Self> {
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("syncline-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)
            .map_err(|cause| Error::unavailable("cannot make a folder for a test", cause))?;
        Ok(Self {
            path: folder.join("target.db"),
            folder,
        })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a table of columns that keep each value as it is, and puts rows into it. Without a key any
    /// rows may be equal.
    ///
    /// # Errors
    /// `Configuration` where SQLite refuses.
    pub fn fill(
        &self,
        table: &str,
        columns: &[String],
        key: &[String],
        rows: &[Map<String, Json>],
    ) -> Result<()> {
        let quoted = |names: &[String]| {
            let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
            names.join(", ")
        };
        let primary = match key.is_empty() {
            true => String::new(),
            false => format!(", PRIMARY KEY ({})", quoted(key)),
        };
        let connection = self.open()?;
        let create = format!(
            "CREATE TABLE {} ({}{primary})",
            quote(table),
            quoted(columns)
        );
        connection.execute(&create, []).map_err(refused)?;
        for row in rows {
            let names: Vec<String> = row.keys().cloned().collect();
            let marks = vec!["?"; names.len()].join(", ");
            let insert = format!(
                "INSERT INTO {} ({}) VALUES ({marks})",
                quote(table),
                quoted(&names)
            );
            let values = rusqlite::params_from_iter(row.values().map(value));
            connection.execute(&insert, values).map_err(refused)?;
        }
        Ok(())
    }

    /// Every row of a table; `None` where there is no such table.
    ///
    /// # Errors
    /// `Configuration` where SQLite refuses.
    pub fn rows(&self, table: &str) -> Result<Option<Vec<Map<String, Json>>>> {
        let connection = self.open()?;
        let found: i64 = connection
            .query_row(
                "SELECT count(*) FROM sqlite_master WHERE name = ?1",
                [table],
                |row| row.get(0),
            )
            .map_err(refused)?;
        if found == 0 {
            return Ok(None);
        }
        let select = format!("SELECT * FROM {}", quote(table));
        let mut statement = connection.prepare(&select).map_err(refused)?;
        let names: Vec<String> = statement
            .column_names()
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        let mut rows = statement.query([]).map_err(refused)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(refused)? {
            let mut object = Map::new();
            for (index, name) in names.iter().enumerate() {
                object.insert(name.clone(), json(row.get_ref(index).map_err(refused)?));
            }
            all.push(object);
        }
        Ok(Some(all))
    }

    fn open(&self) -> Result<Connection> {
        Connection::open(&self.path)
            .map_err(|cause| Error::unavailable("cannot open the database of a test", cause))
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        // It is in the folder for temporary files: whoever cleans that removes what is left.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn refused(error: rusqlite::Error) -> Error {
    Error::configuration(format!("SQLite refuses the rows of the test: {error}"))
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Integer(i64::from(*value)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(real)) => Value::Real(real),
            (None, None) => Value::Text(number.to_string()),
        },
        Json::String(text) => Value::Text(text.clone()),
        document => Value::Text(document.to_string()),
    }
}

fn json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(integer) => Json::from(integer),
        ValueRef::Real(real) => Json::from(real),
        ValueRef::Text(text) => Json::from(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Json::from(format!("\\x{digits}"))
        }
    }
}
