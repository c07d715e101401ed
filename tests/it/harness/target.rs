//! A database of any kind as a pipeline's target, so that one test covers all three.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

use super::postgres::TextRow;
use super::{Database, Mariadb, mariadb, postgres};

pub(crate) enum Target {
    Postgres(Database),
    Mariadb(Mariadb),
    Sqlite(TempDir),
}

impl Target {
    /// A fresh database of each kind.
    pub(crate) async fn each(label: &str) -> Vec<Self> {
        vec![
            Self::Sqlite(tempfile::tempdir().expect("a temporary folder")),
            Self::Postgres(postgres(label).await),
            Self::Mariadb(mariadb(label).await),
        ]
    }

    /// A fresh database of the same kind.
    pub(crate) async fn another(&self, label: &str) -> Self {
        match self {
            Self::Postgres(_) => Self::Postgres(postgres(label).await),
            Self::Mariadb(_) => Self::Mariadb(mariadb(label).await),
            Self::Sqlite(_) => Self::Sqlite(tempfile::tempdir().expect("a temporary folder")),
        }
    }

    /// For messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Mariadb(_) => "mariadb",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// The lines of a sink's table that say where the database is.
    pub(crate) fn lines(&self) -> String {
        match self {
            Self::Postgres(database) => format!("type = \"postgres\"\nurl = {:?}", database.url()),
            Self::Mariadb(database) => format!("type = \"mysql\"\nurl = {:?}", database.url()),
            Self::Sqlite(_) => format!("type = \"sqlite\"\npath = {:?}", self.path()),
        }
    }

    fn path(&self) -> String {
        let Self::Sqlite(folder) = self else {
            panic!("only a file has a path");
        };
        let path = folder.path().join("target.db");
        path.to_str()
            .expect("the folder's name is UTF-8")
            .to_owned()
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Postgres(database) => database.execute(sql).await,
            Self::Mariadb(database) => database.execute(sql).await,
            Self::Sqlite(_) => Connection::open(self.path())
                .and_then(|connection| connection.execute_batch(sql))
                .unwrap_or_else(|error| panic!("{sql} failed: {error}")),
        }
    }

    /// The rows of a query as text.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<TextRow> {
        match self {
            Self::Postgres(database) => database.rows(sql).await,
            Self::Mariadb(database) => database.rows(sql).await,
            Self::Sqlite(_) => self
                .sqlite_rows(sql)
                .unwrap_or_else(|error| panic!("{sql} failed: {error}")),
        }
    }

    fn sqlite_rows(&self, sql: &str) -> rusqlite::Result<Vec<TextRow>> {
        let connection = Connection::open(self.path())?;
        let mut statement = connection.prepare(sql)?;
        let width = statement.column_count();
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
        };
        let rows = statement.query_map([], |row| {
            (0..width)
                .map(|column| row.get_ref(column).map(text))
                .collect()
        })?;
        rows.collect()
    }

    /// The first column of a query, as whole numbers.
    pub(crate) async fn numbers(&self, sql: &str) -> Vec<i64> {
        let rows = self.rows(sql).await;
        rows.iter()
            .map(|row| {
                let text = row[0].as_deref().expect("it is not null");
                text.parse().expect("it is a whole number")
            })
            .collect()
    }
}
