//! The sink against a real PostgreSQL, named by `SYNCLINE_TEST_POSTGRES` (a URL of a superuser).
//! Every test works in a schema of its own.

mod conflicts;
mod evolution;
mod faults;
mod rows;
mod together;
mod two_way;
mod types;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::{PostgresSink, connect};
use crate::change::{Changes, Operation, Table};
use crate::error::{Error, RejectedChange, Result};
use crate::record::{Partition, Records, Span};
use crate::sink::{Identity, Outcome, Sink, Write};
use crate::sql::Evolution;

/// A schema of its own in the test database, and a way to look into it.
struct Fixture {
    config: PostgresSink,
    identity: Identity,
    admin: PgConnection,
}

impl Fixture {
    /// `table` is created by `sql`, which may be empty.
    async fn new(schema: &str, sql: &str) -> Self {
        let url = std::env::var("SYNCLINE_TEST_POSTGRES").expect(
            "SYNCLINE_TEST_POSTGRES must name a PostgreSQL for tests, for example postgres://postgres@localhost/postgres",
        );
        let schema = format!("syncline_{schema}");
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}options[search_path]={schema}");
        let mut admin = PgConnection::connect(&url).await.unwrap();
        let fresh = format!(
            "SET client_min_messages = warning; DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; {sql}"
        );
        sqlx::raw_sql(AssertSqlSafe(fresh))
            .execute(&mut admin)
            .await
            .unwrap();
        let mut config = PostgresSink::new(url);
        config.options.key = Some(vec!["id".to_owned()]);
        let identity = Identity {
            pipeline: schema,
            sink: "target".to_owned(),
            source: "source".to_owned(),
        };
        Self {
            config,
            identity,
            admin,
        }
    }

    async fn execute(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.admin)
            .await
            .unwrap();
    }

    /// Every row of a query, its columns as text.
    async fn rows(&mut self, sql: &str) -> Vec<String> {
        let sql = format!("SELECT q::text FROM ({sql}) AS q");
        sqlx::query(AssertSqlSafe(sql))
            .fetch_all(&mut self.admin)
            .await
            .unwrap()
            .iter()
            .map(|row| row.get::<String, _>(0))
            .collect()
    }

    async fn writer(&self) -> Writer {
        let sink = connect(&self.config, &self.identity, &statements_only())
            .await
            .unwrap();
        Writer {
            sink,
            position: None,
        }
    }
}

/// A sink that keeps its own position.
struct Writer {
    sink: Box<dyn Sink>,
    position: Option<i64>,
}

impl Writer {
    async fn try_write(&mut self, changes: Vec<Changes>) -> Result<Outcome> {
        let write = write(changes, self.position, self.position.unwrap_or(0) + 1);
        let count = write.len() as u64;
        let outcome = self.sink.write(&write).await?;
        self.position = Some(write.spans[0].next);
        assert_eq!(
            outcome.written + outcome.superseded + outcome.kept,
            count,
            "R17: {outcome:?}"
        );
        Ok(outcome)
    }

    async fn write(&mut self, changes: Vec<Changes>) -> Outcome {
        self.try_write(changes)
            .await
            .unwrap_or_else(|error| panic!("{}", error.chain()))
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

fn partition() -> Partition {
    Partition {
        topic: "topic".into(),
        number: 0,
    }
}

fn write(changes: Vec<Changes>, from: Option<i64>, next: i64) -> Write {
    Write {
        changes,
        spans: vec![Span {
            partition: partition(),
            from,
            next,
            incarnation: None,
        }],
        taken: Vec::new(),
    }
}

/// One row of a table `(id bigint, name text, v bigint)`.
#[derive(Debug, Clone, Copy)]
struct Change {
    operation: char,
    id: i64,
    /// `None` where the source did not send it (R14).
    name: Option<Option<&'static str>>,
    version: Option<Option<i64>>,
}

/// A full row.
fn full(operation: char, id: i64, name: &'static str, version: impl Into<Option<i64>>) -> Change {
    Change {
        operation,
        id,
        name: Some(Some(name)),
        version: Some(version.into()),
    }
}

/// A row of which only the key and the version are known.
fn partial(operation: char, id: i64, version: Option<i64>) -> Change {
    Change {
        operation,
        id,
        name: None,
        version: version.map(Some),
    }
}

fn batch(rows: &[Change]) -> Changes {
    let unset = |is_unset: &dyn Fn(&Change) -> bool| {
        let mask: BooleanBuffer = rows.iter().map(is_unset).collect();
        (mask.count_set_bits() > 0).then_some(mask)
    };
    let columns: Vec<(Field, ArrayRef)> = vec![
        (
            Field::new("id", DataType::Int64, true),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.id))),
        ),
        (
            Field::new("name", DataType::Utf8, true),
            Arc::new(StringArray::from_iter(
                rows.iter().map(|row| row.name.flatten()),
            )),
        ),
        (
            Field::new("v", DataType::Int64, true),
            Arc::new(Int64Array::from_iter(
                rows.iter().map(|row| row.version.flatten()),
            )),
        ),
    ];
    let letters: String = rows.iter().map(|row| row.operation).collect();
    let mut changes = table("t", columns, &letters);
    changes.unset = vec![
        None,
        unset(&|row| row.name.is_none()),
        unset(&|row| row.version.is_none()),
    ];
    changes
}

/// Changes of a table; one letter of `operations` a row.
fn table(name: &str, columns: Vec<(Field, ArrayRef)>, operations: &str) -> Changes {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let operations: Vec<Operation> = operations
        .chars()
        .map(|letter| match letter {
            'c' => Operation::Create,
            'u' => Operation::Update,
            'd' => Operation::Delete,
            'r' => Operation::Read,
            't' => Operation::Truncate,
            other => panic!("no operation {other}"),
        })
        .collect();
    let mut records = Records::default();
    let number = records.add_partition(&partition(), true);
    for offset in 0..operations.len() as i64 {
        records.push(number, offset, None, None, None, None);
    }
    Changes {
        table: Arc::new(Table {
            topic: "topic".into(),
            database: None,
            schema: None,
            name: name.into(),
        }),
        key: None,
        unset: vec![None; fields.len()],
        rows: RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap(),
        event_times_ms: vec![None; operations.len()],
        origins: (0..operations.len() as u32).collect(),
        before: None,
        not_carried: Vec::new(),
        operations,
        records: Arc::new(records),
    }
}

const PLAIN: &str = "CREATE TABLE t (id bigint PRIMARY KEY, name text, v bigint)";

fn statements_only() -> Arc<dyn crate::conflict::Resolvers> {
    Arc::new(crate::conflict::StatementsOnly)
}
