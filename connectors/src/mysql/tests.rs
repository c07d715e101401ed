//! The sink against a real MariaDB, named by `SYNCLINE_TEST_MYSQL` (a URL of a user who may do
//! everything). Every test works in a database of its own.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Column as _, Connection, MySqlConnection, Row};
use tokio::sync::Mutex;

use super::{MysqlSink, connect};
use crate::conformance::sink::{Bench, check_sink};
use crate::error::Result;
use crate::sink::{Identity, Sink};
use crate::sql::Options;

/// A database of its own on the test server, and a way to look into it.
struct Fixture {
    config: MysqlSink,
    database: String,
    admin: Mutex<MySqlConnection>,
}

impl Fixture {
    /// An empty database in which `sql` was run.
    async fn new(name: &str, sql: &str) -> Self {
        let url = std::env::var("SYNCLINE_TEST_MYSQL").expect(
            "SYNCLINE_TEST_MYSQL must name a MariaDB for tests, for example mysql://syncline:syncline@127.0.0.1:3306/test",
        );
        let mut url = url::Url::parse(&url).expect("SYNCLINE_TEST_MYSQL is a URL");
        let admin = MySqlConnection::connect(url.as_str()).await.unwrap();
        let database = format!("syncline_{name}");
        url.set_path(&database);
        let mut config = MysqlSink::new(url);
        config.key = Some(vec!["id".to_owned()]);
        let fixture = Self {
            config,
            database,
            admin: Mutex::new(admin),
        };
        fixture.reset().await;
        if !sql.is_empty() {
            fixture.execute(sql).await;
        }
        fixture
    }
}

#[async_trait]
impl Bench for Fixture {
    async fn reset(&self) {
        let name = &self.database;
        let sql = format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; USE {name}");
        self.execute(&sql).await;
    }

    async fn connect(&self, options: &Options, identity: &Identity) -> Result<Box<dyn Sink>> {
        let options = options.clone();
        let config = MysqlSink {
            table: options.table,
            key: options.key,
            delete: options.delete,
            soft_delete_column: options.soft_delete_column,
            evolution: options.evolution,
            truncate: options.truncate,
            conflict: options.conflict,
            ..self.config.clone()
        };
        connect(&config, identity, &statements_only()).await
    }

    async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *self.admin.lock().await)
            .await
            .unwrap();
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut *self.admin.lock().await)
            .await
            .unwrap();
        let value = |row: &sqlx::mysql::MySqlRow, column: usize| row.get_unchecked(column);
        rows.iter()
            .map(|row| {
                row.columns()
                    .iter()
                    .map(|column| value(row, column.ordinal()))
                    .collect()
            })
            .collect()
    }
}

#[tokio::test]
async fn the_sink_conforms() {
    check_sink(&Fixture::new("conformance", "").await).await;
}

fn statements_only() -> Arc<dyn crate::conflict::Resolvers> {
    Arc::new(crate::conflict::StatementsOnly)
}
