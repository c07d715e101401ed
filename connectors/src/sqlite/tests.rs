use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::*;
use crate::change::{Changes, Operation};
use crate::conflict::Strategy;
use crate::conformance::decision_table::check_statement_decisions;
use crate::conformance::random_histories::check_statement_histories;
use crate::conformance::rows::{changes, row};
use crate::conformance::sink::TestDatabase;
use crate::error::Error;
use crate::sink::{Outcome, Write};
use crate::sql::Evolution;

struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn config(&self) -> SqliteSink {
        let path = self.folder.path().join("target.db");
        SqliteSink::new(path.to_str().unwrap())
    }

    fn open(&self) -> Connection {
        Connection::open(self.config().path).unwrap()
    }
}

fn identity() -> Identity {
    Identity {
        pipeline: "p".to_owned(),
        sink: "s".to_owned(),
        source: "t".to_owned(),
    }
}

#[async_trait]
impl TestDatabase for File {
    async fn reset(&self) {
        for name in ["target.db", "target.db-wal", "target.db-shm"] {
            let path = self.folder.path().join(name);
            assert!(std::fs::remove_file(&path).is_ok() || !path.exists());
        }
    }

    async fn connect(&self, options: &Options, identity: &Identity) -> Result<Box<dyn Sink>> {
        let options = options.clone();
        let config = SqliteSink {
            options,
            ..self.config()
        };
        connect(&config, identity, &statements_only()).await
    }

    async fn execute(&self, sql: &str) {
        self.open().execute_batch(sql).unwrap();
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let connection = self.open();
        let mut statement = connection.prepare(sql).unwrap();
        let count = statement.column_count();
        let text = |value: ValueRef<'_>| match value {
            ValueRef::Null => None,
            ValueRef::Integer(value) => Some(value.to_string()),
            ValueRef::Real(value) => Some(format!("{value:?}")),
            ValueRef::Text(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
            ValueRef::Blob(value) => Some(format!("{value:?}")),
        };
        let rows = statement
            .query_map([], |row| {
                (0..count)
                    .map(|index| Ok(text(row.get_ref(index)?)))
                    .collect()
            })
            .unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }
}

#[tokio::test]
async fn the_statement_ends_every_case_as_the_truth_table_says() {
    check_statement_decisions(&File::new()).await;
}

#[tokio::test]
async fn two_writers_through_the_statement_end_as_one_at_a_time_r8() {
    check_statement_histories(&File::new()).await;
}

/// One row with these columns besides `id`.
fn one(fields: Vec<(Field, ArrayRef)>) -> Changes {
    let mut changes = changes(&[row(Operation::Create, 1, "", 1)], true);
    let id: (Field, ArrayRef) = (
        Field::new("id", DataType::Int64, true),
        Arc::new(Int64Array::from(vec![1])),
    );
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = std::iter::once(id).chain(fields).unzip();
    changes.unset = vec![None; fields.len()];
    changes.rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    changes
}

fn column(name: &str, values: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, values.data_type().clone(), true), values)
}

async fn write(config: &SqliteSink, changes: Changes) -> Result<Outcome> {
    let mut sink = connect(config, &identity(), &statements_only()).await?;
    let write = Write {
        changes: vec![changes],
        spans: Vec::new(),
        taken: Vec::new(),
    };
    let outcome = sink.write(&write).await;
    sink.close().await?;
    outcome
}

fn decimal(value: i128) -> ArrayRef {
    let values = Decimal128Array::from(vec![value]);
    Arc::new(values.with_precision_and_scale(38, 2).unwrap())
}

#[tokio::test]
async fn every_type_is_stored_exactly_r3() {
    let file = File::new();
    let mut config = file.config();
    config.options.evolution = Evolution::Evolve;
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
    let values: [(ArrayRef, &str); 9] = [
        (Arc::new(BooleanArray::from(vec![true])), "1"),
        (
            Arc::new(Int64Array::from(vec![i64::MIN])),
            "-9223372036854775808",
        ),
        (
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            "18446744073709551615",
        ),
        (Arc::new(Float64Array::from(vec![0.1])), "0.1"),
        (decimal(12_345_678_901_234_567_890), "123456789012345678.90"),
        (Arc::new(StringArray::from(vec!["007"])), "007"),
        (Arc::new(BinaryArray::from_vec(vec![b"ab"])), "[97, 98]"),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")),
            "1970-01-01T00:00:00.000001Z",
        ),
        (Arc::new(list), "[1,null]"),
    ];
    let names: Vec<String> = (0..values.len()).map(|index| format!("c{index}")).collect();
    let columns = names
        .iter()
        .zip(&values)
        .map(|(name, (array, _))| column(name, array.clone()));
    write(&config, one(columns.collect())).await.unwrap();
    let found = file
        .query(&format!("SELECT {} FROM clients", names.join(", ")))
        .await;
    let found: Vec<&str> = found[0]
        .iter()
        .map(|value| value.as_deref().unwrap())
        .collect();
    let expect: Vec<&str> = values.iter().map(|(_, text)| *text).collect();
    assert_eq!(found, expect);
}

#[tokio::test]
async fn a_numeric_column_refuses_what_it_would_round_r3() {
    let file = File::new();
    file.execute("CREATE TABLE clients (id INTEGER PRIMARY KEY, amount DECIMAL(20, 2))")
        .await;
    write(&file.config(), one(vec![column("amount", decimal(1_250))]))
        .await
        .unwrap();
    assert_eq!(
        file.query("SELECT amount FROM clients").await,
        [[Some("12.5".to_owned())]]
    );
    let long = one(vec![column("amount", decimal(12_345_678_901_234_567_890))]);
    let Err(Error::Rejected(rejected)) = write(&file.config(), long).await else {
        panic!("digits were lost");
    };
    assert_eq!(rejected[0].field.as_deref(), Some("amount"));
}

#[tokio::test]
async fn versions_in_another_form_compare_as_instants_c5() {
    // What the target holds, and whether 2024-01-01T00:00:00.5Z is newer.
    let cases = [
        ("'2024-01-01 00:00:00'", true),
        ("'2024-01-01T00:00:00.500000Z'", false),
        ("'2024-01-01T01:00:00+00:00'", false),
        ("'2024-01-01 02:00:00+02:00'", true),
        ("1704067200", true),
        ("1704067201000", false),
        ("NULL", true),
    ];
    for (held, newer) in cases {
        let file = File::new();
        file.execute("CREATE TABLE clients (id INTEGER PRIMARY KEY, at)")
            .await;
        file.execute(&format!("INSERT INTO clients VALUES (1, {held})"))
            .await;
        let mut config = file.config();
        config.options.conflict.strategy = Strategy::NewestWins;
        config.options.conflict.version = Some("at".to_owned());
        let at = TimestampMicrosecondArray::from(vec![1_704_067_200_500_000]).with_timezone("UTC");
        let done = write(&config, one(vec![column("at", Arc::new(at))]))
            .await
            .unwrap();
        let same = held.contains(".500000Z");
        assert_eq!(done.written == 1, newer || same, "{held}");
    }
}

#[tokio::test]
async fn a_lock_is_an_outage_and_no_database_a_mistake_r16() {
    let file = File::new();
    file.execute("CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT, version INTEGER)")
        .await;
    let config = SqliteSink {
        busy_timeout_ms: 1,
        ..file.config()
    };
    let mut sink = connect(&config, &identity(), &statements_only())
        .await
        .unwrap();
    let held = file.open();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = Write {
        changes: vec![changes(&[row(Operation::Create, 1, "a", 1)], true)],
        spans: Vec::new(),
        taken: Vec::new(),
    };
    let error = sink.write(&write).await.unwrap_err();
    assert!(
        matches!(error, Error::Unavailable { .. }),
        "{}",
        error.chain()
    );
    held.execute_batch("COMMIT").unwrap();
    assert_eq!(sink.write(&write).await.unwrap().written, 1);
    sink.close().await.unwrap();

    let text = file.folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "this is no database, it only stands where one was expected".repeat(50),
    )
    .unwrap();
    let error = check(&SqliteSink::new(text.to_str().unwrap()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Configuration { .. }),
        "{}",
        error.chain()
    );
}

#[tokio::test]
async fn to_look_before_a_run_changes_nothing() {
    let file = File::new();
    let mut config = file.config();
    config.options.table = "t".to_owned();
    let error = check(&config).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    assert!(!std::path::Path::new(&config.path).exists());
    file.open()
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        .unwrap();
    let before = std::fs::read(&config.path).unwrap();
    check(&config).await.unwrap();
    assert_eq!(std::fs::read(&config.path).unwrap(), before);
}

#[tokio::test]
async fn the_key_is_looked_at_before_a_run() {
    let file = File::new();
    file.open()
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        .unwrap();
    let mut config = file.config();
    config.options.table = "t".to_owned();
    config.options.key = Some(vec!["id".to_owned()]);
    check(&config).await.unwrap();
    config.options.key = Some(vec!["name".to_owned()]);
    let error = check(&config).await.unwrap_err();
    assert!(error.to_string().contains("no unique index"), "{error}");
}

#[test]
fn the_snippet_of_the_docs_parses() {
    let config: SqliteSink =
        serde_json::from_str(r#"{"path": "state/billing.db", "table": "clients", "key": ["id"]}"#)
            .unwrap();
    assert_eq!(config.synchronous, Synchronous::Normal);
    assert!(serde_json::from_str::<SqliteSink>(r#"{"path": "x", "tabel": "y"}"#).is_err());
}

fn statements_only() -> Arc<dyn crate::conflict::Resolvers> {
    Arc::new(crate::conflict::StatementsOnly)
}
