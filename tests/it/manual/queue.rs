//! A pipeline into a table whose conflicts wait for a person, and the commands to decide them.

use std::fs::File;
use std::io::Write as _;

use serde_json::Value;
use syncline_connectors::conformance::sink::TestDatabase;

use crate::conflicts::{Postgres, Sqlite};
use crate::harness::{DEADLINE, Finished, Pipeline, unique};

/// The tables that a failed resolution must not change.
const TABLES: [&str; 5] = [
    "clients",
    "_syncline_conflict_queue",
    "_syncline_conflict_waiting",
    "_syncline_conflict_counts",
    "_syncline_positions",
];

/// A pipeline from a file of changes into a table, and the conflict queue of its sink.
pub(super) struct Queue {
    pub(super) name: &'static str,
    pub(super) database: Box<dyn TestDatabase>,
    pub(super) pipeline: Pipeline,
}

impl Queue {
    /// One for each target, with an empty table.
    pub(super) async fn all(conflict: &str) -> [Self; 2] {
        let sqlite = Sqlite::new();
        let path = format!("path = {:?}", sqlite.path());
        let postgres = Postgres::new("manual").await;
        let url = format!("url = {:?}", postgres.database.url());
        [
            Self::new("sqlite", &path, Box::new(sqlite), conflict).await,
            Self::new("postgres", &url, Box::new(postgres), conflict).await,
        ]
    }

    async fn new(
        name: &'static str,
        place: &str,
        database: Box<dyn TestDatabase>,
        conflict: &str,
    ) -> Self {
        let mut pipeline = Pipeline::new(&format!(
            r#"[sources.export]
type   = "file"
path   = "export.jsonl"
format = "debezium-json"
schema = {{ id = "int64", name = "string", amount = "int64", version = "int64" }}
key    = ["id"]

[sinks.billing]
type   = "{name}"
inputs = ["export"]
{place}
table  = "clients"
key    = ["id"]

[sinks.billing.conflict]
{conflict}
"#
        ));
        pipeline.set("SUDO_USER", "ben");
        database
            .execute(
                "CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name text, \
                 amount bigint CHECK (amount >= 0), version bigint)",
            )
            .await;
        Self {
            name,
            database,
            pipeline,
        }
    }

    /// Inserts a row with version 5 into the target.
    pub(super) async fn hold(&self, id: i64, name: &str, amount: i64) {
        let insert = format!("INSERT INTO clients VALUES ({id}, '{name}', {amount}, 5)");
        self.database.execute(&insert).await;
    }

    /// Adds changes to the file and runs the pipeline to the end; returns its account.
    pub(super) async fn run(&self, events: &[Value]) -> Value {
        self.append(events);
        let process = self
            .pipeline
            .start_as(&unique("run"), &["--once", "--json"]);
        let finished = self.pipeline.finish(process, DEADLINE).await;
        finished.expect_success();
        let summary = json_of(&finished);
        find(&summary, "queued").expect("a balance").clone()
    }

    /// Adds changes to the file.
    pub(super) fn append(&self, events: &[Value]) {
        let path = self.pipeline.folder().join("export.jsonl");
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .expect("the folder can be written");
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        file.write_all(lines.as_bytes())
            .expect("the file can be written");
    }

    pub(super) async fn conflicts(&self, arguments: &[&str]) -> Finished {
        let arguments = [&["conflicts"], arguments, &[self.pipeline.file()]].concat();
        self.pipeline.command(&arguments).await
    }

    /// The open conflicts, the oldest first.
    pub(super) async fn open(&self) -> Vec<Value> {
        let list = self.conflicts(&["list", "--json"]).await;
        let open = json_of(&list).as_array().expect("a list").clone();
        let number = |entry: &Value| -> Option<i64> {
            let (_, number) = entry["id"].as_str()?.rsplit_once('/')?;
            number.parse().ok()
        };
        assert!(open.is_sorted_by_key(number), "{}: {open:?}", self.name);
        open
    }

    /// The id of the open conflict of a key.
    pub(super) async fn entry_of(&self, id: i64) -> String {
        let open = self.open().await;
        let entry = open.iter().find(|entry| entry["key"]["id"] == id);
        let entry = entry.unwrap_or_else(|| panic!("{}: no entry of {id}: {open:?}", self.name));
        entry["id"].as_str().expect("an id").to_owned()
    }

    /// The row as `name|amount`; empty if it does not exist.
    pub(super) async fn row(&self, id: i64) -> String {
        let query = format!("SELECT name, amount FROM clients WHERE id = {id}");
        let rows = self.database.query(&query).await;
        let cells = rows.first().into_iter().flatten();
        let cells: Vec<&str> = cells.map(|cell| cell.as_deref().unwrap_or("-")).collect();
        cells.join("|")
    }

    pub(super) async fn count(&self, table: &str) -> String {
        let rows = self
            .database
            .query(&format!("SELECT count(*) FROM {table}"))
            .await;
        rows[0][0].clone().expect("a number")
    }

    pub(super) async fn everything(&self) -> Vec<Vec<Vec<Option<String>>>> {
        let mut everything = Vec::new();
        for table in TABLES {
            let mut rows = self.database.query(&format!("SELECT * FROM {table}")).await;
            rows.sort();
            everything.push(rows);
        }
        everything
    }
}

/// The object that contains this member, at any depth.
fn find<'a>(json: &'a Value, member: &str) -> Option<&'a Value> {
    match json {
        Value::Object(members) if members.contains_key(member) => Some(json),
        Value::Object(members) => members.values().find_map(|value| find(value, member)),
        Value::Array(items) => items.iter().find_map(|value| find(value, member)),
        _ => None,
    }
}

pub(super) fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("stdout is no JSON ({error}): {finished:?}"))
}

#[track_caller]
pub(super) fn expect(finished: &Finished, code: i32, parts: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    let text = format!("{}{}", finished.stdout, finished.stderr);
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}
