//! The decision table and the random histories of two writers on every sink that stores positions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use syncline_connectors::conflict::Resolvers;
use syncline_connectors::conformance::cells::Types;
use syncline_connectors::conformance::decision_table::check_decision_table;
use syncline_connectors::conformance::random_histories::check_random_histories;
use syncline_connectors::conformance::shadow::check_shadow;
use syncline_connectors::conformance::shape::{check_shape, check_streams};
use syncline_connectors::conformance::sink::{TestDatabase, check_sink};
use syncline_connectors::error::Result;
use syncline_connectors::mysql::{self, MysqlSink};
use syncline_connectors::postgres::{self, PostgresSink};
use syncline_connectors::sink::{Identity, Sink};
use syncline_connectors::sql::Options;
use syncline_connectors::sqlite::{self, SqliteSink};

use crate::harness::{Database, Mariadb, mariadb, postgres as server};

/// The resolver for what no statement can decide.
fn resolvers() -> Arc<dyn Resolvers> {
    syncline::conflict::resolvers()
}

#[tokio::test]
async fn postgresql_keeps_the_contract_of_a_sink() {
    check_sink(&Postgres::new("contract").await).await;
}

#[tokio::test]
async fn staging_tables_of_postgresql_keep_the_contract_of_a_sink() {
    check_sink(&Postgres::staged("contract_staged").await).await;
    check_shape(&Postgres::staged("shape_staged").await).await;
    check_decision_table(&Postgres::staged("decisions_staged").await).await;
}

#[tokio::test]
async fn mariadb_keeps_the_contract_of_a_sink() {
    check_sink(&mariadb("contract").await).await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract_of_a_sink() {
    check_sink(&Sqlite::new()).await;
}

#[tokio::test]
async fn sqlite_takes_the_shape_of_a_row_from_the_row_r19() {
    check_shape(&Sqlite::new()).await;
}

#[tokio::test]
async fn postgresql_takes_the_shape_of_a_row_from_the_row_r19() {
    check_shape(&Postgres::new("shape").await).await;
}

#[tokio::test]
async fn mariadb_takes_the_shape_of_a_row_from_the_row_r19() {
    check_shape(&mariadb("shape").await).await;
}

#[tokio::test]
async fn streams_end_the_same_in_one_process_and_after_every_restart_r19() {
    check_streams(&Sqlite::new(), 12).await;
}

#[tokio::test]
async fn streams_of_postgresql_end_the_same_in_one_process_and_after_every_restart_r19() {
    check_streams(&Postgres::new("streams").await, 1).await;
}

#[tokio::test]
async fn streams_of_mariadb_end_the_same_in_one_process_and_after_every_restart_r19() {
    check_streams(&mariadb("streams").await, 1).await;
}

#[tokio::test]
async fn a_shadow_tells_the_edits_of_both_sides_apart_on_every_database() {
    check_shadow(&Sqlite::new()).await;
    check_shadow(&Postgres::new("shadow").await).await;
    check_shadow(&Postgres::staged("shadow_staged").await).await;
    check_shadow(&mariadb("shadow").await).await;
}

#[tokio::test]
async fn postgresql_ends_every_case_as_the_decision_table_says() {
    check_decision_table(&Postgres::new("decisions").await).await;
}

#[tokio::test]
async fn two_writers_of_postgresql_end_as_one_at_a_time_r8() {
    check_random_histories(&Postgres::new("histories").await, 7).await;
    check_random_histories(&Postgres::staged("histories_staged").await, 14).await;
}

#[tokio::test]
async fn sqlite_ends_every_case_as_the_decision_table_says() {
    check_decision_table(&Sqlite::new()).await;
}

#[tokio::test]
async fn two_writers_of_sqlite_end_as_one_at_a_time_r8() {
    check_random_histories(&Sqlite::new(), 3).await;
}

#[tokio::test]
async fn mariadb_ends_every_case_as_the_decision_table_says() {
    check_decision_table(&mariadb("decisions").await).await;
}

#[tokio::test]
async fn two_writers_of_mariadb_end_as_one_at_a_time_r8() {
    check_random_histories(&mariadb("histories").await, 7).await;
}

/// A database of its own on the server of the tests.
pub(crate) struct Postgres {
    pub(crate) database: Database,
    bound_rows_max: Option<usize>,
}

impl Postgres {
    pub(crate) async fn new(label: &str) -> Self {
        Self {
            database: server(label).await,
            bound_rows_max: None,
        }
    }

    /// Whose rows go through staging tables, however few they are.
    async fn staged(label: &str) -> Self {
        Self {
            bound_rows_max: Some(0),
            ..Self::new(label).await
        }
    }
}

#[async_trait]
impl TestDatabase for Postgres {
    async fn reset(&self) {
        self.database
            .execute("SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await;
    }

    async fn connect(&self, options: &Options, identity: &Identity) -> Result<Box<dyn Sink>> {
        let options = options.clone();
        let mut config = PostgresSink {
            options,
            ..PostgresSink::new(self.database.url())
        };
        if let Some(bound_rows_max) = self.bound_rows_max {
            config.bound_rows_max = bound_rows_max;
        }
        postgres::connect(&config, identity, &resolvers()).await
    }

    async fn execute(&self, sql: &str) {
        self.database.execute(sql).await;
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.database.rows(sql).await
    }

    fn types(&self) -> Types {
        Types {
            json: "jsonb",
            columns: "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute AS a \
                      JOIN pg_class AS c ON c.oid = a.attrelid WHERE c.relname = 't' AND a.attnum > 0 \
                      AND NOT a.attisdropped AND pg_table_is_visible(c.oid)",
            ..Types::default()
        }
    }
}

#[async_trait]
impl TestDatabase for Mariadb {
    async fn reset(&self) {
        self.reset().await;
    }

    async fn connect(&self, options: &Options, identity: &Identity) -> Result<Box<dyn Sink>> {
        let options = options.clone();
        let config = MysqlSink {
            options,
            ..MysqlSink::new(self.url())
        };
        mysql::connect(&config, identity, &resolvers()).await
    }

    async fn execute(&self, sql: &str) {
        self.execute(sql).await;
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.rows(sql).await
    }

    fn types(&self) -> Types {
        Types {
            json: "json",
            instant: "datetime(6)",
            columns: "SELECT column_name, column_type FROM information_schema.columns \
                      WHERE table_schema = database() AND table_name = 't'",
            ..Types::default()
        }
    }
}

/// A SQLite file in a folder of its own.
pub(crate) struct Sqlite {
    folder: tempfile::TempDir,
    /// How often it was reset: each time with a new file, since a sink may still close the old one.
    resets: AtomicU32,
}

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            resets: AtomicU32::new(0),
        }
    }

    pub(crate) fn path(&self) -> String {
        let number = self.resets.load(Ordering::Relaxed);
        let path = self.folder.path().join(format!("target-{number}.db"));
        path.to_str().expect("the path is text").to_owned()
    }

    fn open(&self) -> Connection {
        Connection::open(self.path()).expect("the file opens")
    }
}

#[async_trait]
impl TestDatabase for Sqlite {
    async fn reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    async fn connect(&self, options: &Options, identity: &Identity) -> Result<Box<dyn Sink>> {
        let options = options.clone();
        let config = SqliteSink {
            options,
            ..SqliteSink::new(self.path())
        };
        sqlite::connect(&config, identity, &resolvers()).await
    }

    async fn execute(&self, sql: &str) {
        self.open()
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{sql} failed: {error}"));
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let connection = self.open();
        let mut statement = connection.prepare(sql).expect("the query is SQL");
        let count = statement.column_count();
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Null => None,
            ValueRef::Integer(value) => Some(value.to_string()),
            ValueRef::Real(value) => Some(format!("{value:?}")),
            ValueRef::Text(value) | ValueRef::Blob(value) => {
                Some(String::from_utf8(value.to_vec()).expect("text is UTF-8"))
            }
        };
        let rows = statement
            .query_map([], |row| {
                (0..count)
                    .map(|column| Ok(text(row.get_ref(column)?)))
                    .collect()
            })
            .expect("the query runs");
        rows.collect::<rusqlite::Result<_>>()
            .expect("rows are read")
    }
}
