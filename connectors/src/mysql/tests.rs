//! The sink against a real MariaDB, named by `SYNCLINE_TEST_MYSQL` (a URL of a user who may do
//! everything). Every test works in a database of its own.

mod evolution;
mod faults;
mod rows;
mod types;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use sqlx::{AssertSqlSafe, Column as _, Connection, MySqlConnection, Row};
use tokio::sync::Mutex;

use super::{MysqlSink, connect};
use crate::change::{Changes, Operation, Table};
use crate::conformance::rows::{changes, partition, row};
use crate::error::{Error, RejectedChange, Result};
use crate::record::Span;
use crate::sink::{Identity, Outcome, Sink, Write};
use crate::sql::Evolution;

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
        config.options.table = "clients".to_owned();
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

    async fn writer(&self) -> Writer {
        let identity = Identity {
            pipeline: self.database.clone(),
            sink: "target".to_owned(),
            source: "source".to_owned(),
        };
        let sink = connect(&self.config, &identity, &statements_only()).await;
        Writer {
            sink: sink.unwrap_or_else(|error| panic!("{}", error.chain())),
            position: None,
        }
    }

    /// The rows of a query, their values joined by `|`, `-` for null.
    async fn found(&self, sql: &str) -> Vec<String> {
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let rows = self.query(sql).await.into_iter();
        rows.map(|row| row.into_iter().map(text).collect::<Vec<_>>().join("|"))
            .collect()
    }
}

/// A sink that keeps its own position.
struct Writer {
    sink: Box<dyn Sink>,
    position: Option<i64>,
}

impl Writer {
    async fn try_write(&mut self, changes: Vec<Changes>) -> Result<Outcome> {
        let count: usize = changes.iter().map(Changes::len).sum();
        let next = self.position.unwrap_or(0) + 1;
        let write = Write {
            changes,
            spans: vec![Span {
                partition: partition(),
                from: self.position,
                next,
                incarnation: None,
            }],
            taken: Vec::new(),
        };
        let outcome = self.sink.write(&write).await?;
        self.position = Some(next);
        assert_eq!(
            outcome.written + outcome.superseded + outcome.kept,
            count as u64,
            "R17: {outcome:?}"
        );
        Ok(outcome)
    }

    async fn write(&mut self, changes: Vec<Changes>) -> Outcome {
        let done = self.try_write(changes).await;
        done.unwrap_or_else(|error| panic!("{error:?}"))
    }

    async fn rejected(&mut self, changes: Vec<Changes>) -> Vec<RejectedChange> {
        match self.try_write(changes).await {
            Err(Error::Rejected(rejected)) => rejected,
            other => panic!("expected a rejection, found {other:?}"),
        }
    }

    async fn configuration_error(&mut self, changes: Vec<Changes>) -> String {
        match self.try_write(changes).await {
            Err(Error::Configuration { message, .. }) => message,
            other => panic!("expected a configuration error, found {other:?}"),
        }
    }
}

/// Changes of a table with these columns, of which `id` is the key; one letter of `operations` a row.
fn table(name: &str, columns: Vec<(Field, ArrayRef)>, operations: &str) -> Changes {
    let operations: Vec<Operation> = operations
        .chars()
        .map(|letter| match letter {
            'c' => Operation::Create,
            'u' => Operation::Update,
            'd' => Operation::Delete,
            other => panic!("no operation {other}"),
        })
        .collect();
    let like: Vec<_> = operations
        .iter()
        .map(|&operation| row(operation, 1, "", 1))
        .collect();
    let mut changes = changes(&like, true);
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    changes.unset = vec![None; fields.len()];
    changes.rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    changes.table = Arc::new(Table {
        name: name.into(),
        ..changes.table.as_ref().clone()
    });
    changes
}

fn column(name: &str, values: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, values.data_type().clone(), true), values)
}

impl Fixture {
    async fn reset(&self) {
        let name = &self.database;
        let sql = format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; USE {name}");
        self.execute(&sql).await;
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

fn statements_only() -> Arc<dyn crate::conflict::Resolvers> {
    Arc::new(crate::conflict::StatementsOnly)
}
