//! A database for one test on a MariaDB server; queries return text.

use sqlx::{AssertSqlSafe, Column as _, Connection, MySqlConnection, Row};
use tokio::sync::Mutex;
use url::Url;

use super::postgres::TextRow;
use super::services::unique;

pub(crate) struct Mariadb {
    url: String,
    name: String,
    connection: Mutex<MySqlConnection>,
}

impl Mariadb {
    /// Creates a database `LABEL_…` on the server at `server_url`.
    pub(super) async fn create(server_url: &str, label: &str) -> Self {
        let name = unique(label);
        let mut url = Url::parse(server_url).expect("the server's address is a URL");
        let connection = MySqlConnection::connect(url.as_str())
            .await
            .expect("MariaDB is up");
        url.set_path(&name);
        let database = Self {
            url: url.into(),
            name,
            connection: Mutex::new(connection),
        };
        database.reset().await;
        database
    }

    /// `mysql://user:password@host:port/name`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Removes all tables.
    pub(crate) async fn reset(&self) {
        let name = &self.name;
        let sql = format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; USE {name}");
        self.execute(&sql).await;
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *self.connection.lock().await)
            .await
            .unwrap_or_else(|error| panic!("{sql} failed: {error}"));
    }

    /// The rows of a query as text.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<TextRow> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut *self.connection.lock().await)
            .await
            .unwrap_or_else(|error| panic!("{sql} failed: {error}"));
        let text = |row: &sqlx::mysql::MySqlRow| {
            let columns = row.columns().iter();
            columns
                .map(|column| row.get_unchecked(column.ordinal()))
                .collect()
        };
        rows.iter().map(text).collect()
    }
}
