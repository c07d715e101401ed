//! Measures upserts into PostgreSQL, MariaDB and SQLite, compared with the database's own means for
//! the same rows: `psql \copy` into a temporary table and one `INSERT … SELECT … ON CONFLICT`; the
//! `mariadb` client with multi-row `INSERT … ON DUPLICATE KEY UPDATE`; bare rusqlite in one
//! transaction. Also measures the cost of exactly-once delivery: the same writes with and without
//! positions.
//!
//! PostgreSQL is the server of `SYNCLINE_TEST_POSTGRES`, MariaDB that of `SYNCLINE_TEST_MYSQL`
//! (`make bench` starts both).

mod support;

use std::fmt::Write as _;
use std::process::Command;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::json;
use support::client::{feed, psql};
use support::{Aim, compare, events, sink, time};
use syncline_connectors::record::{Partition, Span};
use syncline_connectors::sink::{Sink, Write};
use tokio::runtime::Runtime;

const ROWS: u64 = 10_000;
const BATCHES: u64 = 10;
const COLUMNS: &str = "id bigint primary key, first_name text, last_name text, email text, phone text, \
     balance numeric(12, 2), status text, notes text, created_at timestamp, updated_at timestamp";

fn main() {
    let runtime = Runtime::new().expect("a runtime starts");
    let batches: Vec<RecordBatch> = (0..BATCHES)
        .map(|batch| events::rows(batch * ROWS, ROWS))
        .collect();
    sqlite(&runtime, &batches);
    mysql(&runtime, &batches);
    postgres(&runtime, &batches);
}

/// The rows of one statement of the `mariadb` client: about 1 MiB.
const STATEMENT_ROWS: usize = 5_000;

const MYSQL_COLUMNS: &str = "id bigint primary key, first_name varchar(100), last_name varchar(100), \
     email varchar(200), phone varchar(40), balance decimal(12, 2), status varchar(20), notes text, \
     created_at datetime(6), updated_at datetime(6)";

fn mysql(runtime: &Runtime, batches: &[RecordBatch]) {
    let url = std::env::var("SYNCLINE_TEST_MYSQL").expect("SYNCLINE_TEST_MYSQL: run `make bench`");
    let recreate = format!(
        "DROP TABLE IF EXISTS bench_clients; CREATE TABLE bench_clients ({MYSQL_COLUMNS}); \
         DROP TABLE IF EXISTS _syncline_positions;"
    );
    let scripts: Vec<String> = batches.iter().map(|batch| upserts(&cells(batch))).collect();
    let total = ROWS * BATCHES;
    let connect = |conflict: serde_json::Value| {
        runtime.block_on(sink(
            "mysql",
            json!({"url": url, "table": "bench_clients", "key": ["id"], "conflict": conflict}),
        ))
    };
    compare(
        "mysql, one connection",
        "mariadb client, multi-row INSERT … ON DUPLICATE KEY UPDATE",
        Aim::RateAtLeast(0.85),
        || {
            mariadb(&url, &recreate);
            let mut sink = connect(json!({}));
            time(total, || {
                runtime.block_on(write_all(&mut *sink, batches, Some(0)))
            })
        },
        || {
            mariadb(&url, &recreate);
            let script = scripts.concat();
            time(total, || mariadb(&url, &script))
        },
    );
    compare(
        "mysql, newest_wins, all rows equal",
        "source_wins, all rows equal",
        Aim::TimeAtMost(1.25),
        || {
            let mut sink = connect(
                json!({"strategy": "newest_wins", "version": "updated_at", "tie": "source"}),
            );
            time(total, || {
                runtime.block_on(write_all(&mut *sink, batches, None))
            })
        },
        || {
            let mut sink = connect(json!({}));
            time(total, || {
                runtime.block_on(write_all(&mut *sink, batches, None))
            })
        },
    );
}

/// An SQL script that upserts these rows in one transaction.
fn upserts(rows: &[Vec<String>]) -> String {
    let mut script = String::from("START TRANSACTION;\n");
    for rows in rows.chunks(STATEMENT_ROWS) {
        let row = |row: &Vec<String>| format!("('{}')", row.join("','"));
        let values: Vec<String> = rows.iter().map(row).collect();
        writeln!(
            script,
            "INSERT INTO bench_clients VALUES {} ON DUPLICATE KEY UPDATE first_name = VALUES(first_name), \
             last_name = VALUES(last_name), email = VALUES(email), phone = VALUES(phone), \
             balance = VALUES(balance), status = VALUES(status), notes = VALUES(notes), \
             created_at = VALUES(created_at), updated_at = VALUES(updated_at);",
            values.join(",")
        )
        .expect("a String takes everything");
    }
    script.push_str("COMMIT;\n");
    script
}

/// Runs a script with the client, for a URL `mysql://user:password@host:port/database`.
fn mariadb(url: &str, script: &str) {
    let parts: Vec<&str> = url
        .trim_start_matches("mysql://")
        .split([':', '@', '/'])
        .collect();
    let [user, password, host, port, database] = parts[..] else {
        panic!("SYNCLINE_TEST_MYSQL is not mysql://user:password@host:port/database");
    };
    let mut command = Command::new("mariadb");
    command.env("MYSQL_PWD", password).args([
        "--no-defaults",
        "--default-character-set=utf8mb4",
        &format!("--user={user}"),
        &format!("--host={host}"),
        &format!("--port={port}"),
        database,
    ]);
    feed(command, script);
}

fn postgres(runtime: &Runtime, batches: &[RecordBatch]) {
    let url =
        std::env::var("SYNCLINE_TEST_POSTGRES").expect("SYNCLINE_TEST_POSTGRES: run `make bench`");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files: Vec<String> = batches
        .iter()
        .enumerate()
        .map(|(index, batch)| {
            let path = folder.path().join(format!("{index}.tsv"));
            std::fs::write(&path, tab_separated(batch)).expect("the folder takes files");
            path.display().to_string()
        })
        .collect();
    let total = ROWS * BATCHES;
    let connect = |conflict: serde_json::Value| {
        runtime.block_on(sink(
            "postgres",
            json!({"url": url, "table": "bench_clients", "key": ["id"], "conflict": conflict}),
        ))
    };
    let ceiling = || {
        psql(&url, &recreate());
        time(total, || psql(&url, &copy_script(&files)))
    };
    let name = format!("psql \\copy + INSERT … SELECT, {ROWS} rows a batch");
    let aim = Aim::RateAtLeast(0.85);
    compare(
        "postgres, one connection",
        &name,
        aim,
        || {
            psql(&url, &recreate());
            let mut sink = connect(json!({}));
            time(total, || {
                runtime.block_on(write_all(&mut *sink, batches, Some(0)))
            })
        },
        ceiling,
    );
    let (left, right) = files.split_at(files.len() / 2);
    compare(
        "postgres, two connections",
        "the same with two psql",
        aim,
        || {
            psql(&url, &recreate());
            let mut sinks = [connect(json!({})), connect(json!({}))];
            let [first, second] = &mut sinks;
            let (left, right) = batches.split_at(batches.len() / 2);
            time(total, || {
                runtime.block_on(async {
                    tokio::join!(
                        write_all(&mut **first, left, Some(0)),
                        write_all(&mut **second, right, Some(1))
                    );
                });
            })
        },
        || {
            psql(&url, &recreate());
            time(total, || {
                std::thread::scope(|scope| {
                    scope.spawn(|| psql(&url, &copy_script(left)));
                    psql(&url, &copy_script(right));
                });
            })
        },
    );
    let plain = || {
        psql(&url, &recreate());
        let mut sink = connect(json!({}));
        time(total, || {
            runtime.block_on(write_all(&mut *sink, batches, None))
        })
    };
    compare(
        "postgres, exactly once",
        "the same without positions (at least once)",
        Aim::TimeAtMost(1.03),
        || {
            psql(&url, &recreate());
            let mut sink = connect(json!({}));
            time(total, || {
                runtime.block_on(write_all(&mut *sink, batches, Some(0)))
            })
        },
        plain,
    );
}

fn sqlite(runtime: &Runtime, batches: &[RecordBatch]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        let path = folder.path().join(format!("{number}.db"));
        let connection = rusqlite::Connection::open(&path).expect("the folder takes files");
        connection
            .execute_batch(
                "PRAGMA journal_mode = wal; PRAGMA synchronous = normal;
                 CREATE TABLE clients (id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT, email TEXT,
                     phone TEXT, balance TEXT, status TEXT, notes TEXT, created_at TEXT, updated_at TEXT)",
            )
            .expect("a table can be made");
        (path.display().to_string(), connection)
    };
    let rows: Vec<Vec<Vec<String>>> = batches.iter().map(cells).collect();
    let paths = std::cell::RefCell::new(&mut fresh);
    compare(
        "sqlite",
        "rusqlite, prepared, one transaction a batch",
        Aim::RateAtLeast(0.9),
        || {
            let (path, connection) = (paths.borrow_mut())();
            drop(connection);
            let mut sink = runtime.block_on(sink(
                "sqlite",
                json!({"path": path, "table": "clients", "key": ["id"]}),
            ));
            time(ROWS * BATCHES, || {
                runtime.block_on(write_all(&mut *sink, batches, Some(0)))
            })
        },
        || {
            let (_, mut connection) = (paths.borrow_mut())();
            time(ROWS * BATCHES, || {
                for batch in &rows {
                    let transaction = connection.transaction().expect("nobody else writes");
                    let mut statement = transaction
                        .prepare_cached(
                            "INSERT INTO clients VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                             ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name,
                                 last_name = excluded.last_name, email = excluded.email,
                                 phone = excluded.phone, balance = excluded.balance, status = excluded.status,
                                 notes = excluded.notes, created_at = excluded.created_at,
                                 updated_at = excluded.updated_at",
                        )
                        .expect("the statement fits the table");
                    for row in batch {
                        statement
                            .execute(rusqlite::params_from_iter(row))
                            .expect("the row fits the table");
                    }
                    drop(statement);
                    transaction.commit().expect("the disk takes it");
                }
            })
        },
    );
}

async fn write_all(sink: &mut dyn Sink, batches: &[RecordBatch], partition: Option<i32>) {
    let mut from = None;
    for batch in batches {
        let count = batch.num_rows() as u64;
        let changes = vec![events::changes(batch.clone(), events::records(0, count))];
        let spans = partition.map(|number| {
            let next = from.unwrap_or(0) + count as i64;
            let topic = format!("bench-{}", std::process::id() as u64 + count);
            let span = Span {
                partition: Partition {
                    topic: topic.into(),
                    number,
                },
                from,
                next,
                incarnation: None,
            };
            from = Some(next);
            span
        });
        let write = Write {
            changes,
            spans: spans.into_iter().collect(),
            taken: Vec::new(),
        };
        let outcome = sink.write(&write).await.expect("the sink takes the rows");
        assert_eq!(outcome.written, count);
    }
}

fn recreate() -> String {
    format!(
        "DROP TABLE IF EXISTS bench_clients; CREATE TABLE bench_clients ({COLUMNS});
         DO $$ BEGIN DELETE FROM _syncline_positions WHERE topic LIKE 'bench-%';
         EXCEPTION WHEN undefined_table THEN NULL; END $$;"
    )
}

fn copy_script(files: &[String]) -> String {
    let mut script =
        String::from("CREATE TEMP TABLE stage (LIKE bench_clients) ON COMMIT DELETE ROWS;\n");
    for file in files {
        writeln!(
            script,
            "BEGIN;\n\\copy stage FROM '{file}'\n\
             INSERT INTO bench_clients SELECT * FROM stage ORDER BY id ON CONFLICT (id) DO UPDATE SET \
             first_name = excluded.first_name, last_name = excluded.last_name, email = excluded.email, \
             phone = excluded.phone, balance = excluded.balance, status = excluded.status, \
             notes = excluded.notes, created_at = excluded.created_at, updated_at = excluded.updated_at;\n\
             COMMIT;"
        )
        .expect("a String takes everything");
    }
    script
}

fn cells(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| {
            ArrayFormatter::try_new(column.as_ref(), &options).expect("every type is shown")
        })
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect()
        })
        .collect()
}

fn tab_separated(batch: &RecordBatch) -> String {
    assert!(
        batch
            .columns()
            .iter()
            .all(|column| column.null_count() == 0)
    );
    cells(batch)
        .iter()
        .map(|row| row.join("\t") + "\n")
        .collect()
}
