//! A database for one test on a PostgreSQL server; queries return text as `psql` shows it, so that
//! every type can be compared cell by cell.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, Row, ValueRef};
use url::Url;

use super::services::unique;

/// The maximum time that a query waits for a server that is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Database {
    url: String,
    pool: PgPool,
}

/// A row as text; `None` is null.
pub(crate) type TextRow = Vec<Option<String>>;

impl Database {
    /// Creates a database `LABEL_…` on the server at `server_url`.
    pub(crate) async fn create(server_url: &str, label: &str) -> Self {
        let name = unique(label);
        let mut server = Url::parse(server_url).expect("the server's address is a URL");
        server.set_path("postgres");
        let mut connection = sqlx::PgConnection::connect(server.as_str())
            .await
            .expect("PostgreSQL is up");
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(create)))
            .await
            .expect("a database can be made");
        server.set_path(&name);
        let options: PgConnectOptions = server.as_str().parse().expect("the URL is valid");
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(options.options([("timezone", "UTC"), ("extra_float_digits", "1")]));
        Self {
            url: server.into(),
            pool,
        }
    }

    /// `postgres://user:password@host:port/name`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The URL of the same database with another port, that of a proxy.
    pub(crate) fn url_through(&self, port: u16) -> String {
        let mut url = self.parsed_url();
        url.set_port(Some(port)).expect("the URL has a host");
        url.into()
    }

    pub(super) fn parsed_url(&self) -> Url {
        Url::parse(&self.url).expect("the URL was made here")
    }

    /// Runs statements, separated by semicolons.
    pub(crate) async fn execute(&self, sql: &str) {
        self.pool
            .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await
            .unwrap_or_else(|error| panic!("{sql} failed: {error}"));
    }

    /// The rows of a query as text.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<TextRow> {
        self.try_rows(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql} failed: {error}"))
    }

    /// The rows of a query as text, or the error of PostgreSQL.
    pub(crate) async fn try_rows(&self, sql: &str) -> Result<Vec<TextRow>, sqlx::Error> {
        // The simple protocol returns text for every type.
        let rows = self
            .pool
            .fetch_all(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await?;
        let text = |row: &sqlx::postgres::PgRow, column: usize| {
            let value = row.try_get_raw(column).expect("the column is there");
            (!value.is_null()).then(|| value.as_str().expect("text is UTF-8").to_owned())
        };
        Ok(rows
            .iter()
            .map(|row| (0..row.len()).map(|column| text(row, column)).collect())
            .collect())
    }

    /// The number that a query returns; 0 if its tables do not exist.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64, sqlx::Error> {
        let rows = match self.try_rows(sql).await {
            Ok(rows) => rows,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let cell = rows[0][0].as_deref().unwrap_or("0");
        Ok(cell.parse().expect("the query gives a whole number"))
    }

    /// The sum of all positions of the pipelines that write to this database.
    pub(crate) async fn positions_sum(&self) -> Result<i64, sqlx::Error> {
        self.number("SELECT sum(position) FROM _syncline_positions")
            .await
    }
}
