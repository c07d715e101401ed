//! What is wrong as a whole is no bad data: forms that cannot be read, and refusals that repeat for
//! everything, stop the pipeline with their diagnosis, and nothing of them is acknowledged (R25).

mod files;
mod forms;
mod quarantine;
mod refusals;

use std::fs;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::harness::{Database, Finished, Mariadb, Pipeline, mariadb, postgres};

const FILE_SOURCE: &str = "[sources.crm]\ntype = \"file\"\npath = \"in.jsonl\"\nformat = \"debezium-json\"\nkey = [\"id\"]\n";

/// Where the rows go; each has a table `items` of this test alone.
enum Target {
    Sqlite,
    Postgres(Database),
    Mariadb(Mariadb),
}

impl Target {
    async fn all(label: &str) -> [Self; 3] {
        [
            Self::Sqlite,
            Self::Postgres(postgres(label).await),
            Self::Mariadb(mariadb(label).await),
        ]
    }

    fn sink(&self) -> String {
        let place = match self {
            Self::Sqlite => "type = \"sqlite\"\npath = \"target.db\"".to_owned(),
            Self::Postgres(database) => {
                format!("type = \"postgres\"\nurl = \"{}\"", database.url())
            }
            Self::Mariadb(database) => format!("type = \"mysql\"\nurl = \"{}\"", database.url()),
        };
        format!("[sinks.billing]\n{place}\ntable = \"items\"\nkey = [\"id\"]\n")
    }

    async fn execute(&self, pipeline: &Pipeline, sql: &str) {
        match self {
            Self::Sqlite => open(pipeline).execute_batch(sql).expect(sql),
            Self::Postgres(database) => database.execute(sql).await,
            Self::Mariadb(database) => database.execute(sql).await,
        }
    }

    /// The ids of the rows, each as often as it is there.
    async fn ids(&self, pipeline: &Pipeline) -> Vec<i64> {
        let sql = "SELECT CAST(id AS CHAR(20)) FROM items";
        let texts: Vec<String> = match self {
            Self::Sqlite => {
                let database = open(pipeline);
                let mut rows = database.prepare(sql).expect("the table is there");
                let rows = rows.query_map([], |row| row.get(0)).expect("it is a query");
                rows.map(|row| row.expect("a text")).collect()
            }
            Self::Postgres(database) => flat(database.rows(sql).await),
            Self::Mariadb(database) => flat(database.rows(sql).await),
        };
        let mut ids: Vec<i64> = texts
            .iter()
            .map(|text| text.trim().parse().expect("a number"))
            .collect();
        ids.sort_unstable();
        ids
    }
}

/// A pipeline of the file and the target, with settings of the source and an operator between.
fn text_of(source: &str, operator: &str, target: &Target) -> String {
    let input = if operator.is_empty() { "crm" } else { "check" };
    format!(
        "{FILE_SOURCE}{source}{operator}{}inputs = [\"{input}\"]\n",
        target.sink()
    )
}

fn open(pipeline: &Pipeline) -> rusqlite::Connection {
    rusqlite::Connection::open(pipeline.folder().join("target.db")).expect("the folder is there")
}

fn flat(rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    rows.into_iter().flatten().flatten().collect()
}

fn event(id: i64, row: &[(&str, Value)]) -> String {
    let mut after = json!({ "id": id });
    for (name, value) in row {
        after[*name] = value.clone();
    }
    json!({ "before": null, "after": after, "source": { "table": "items" }, "op": "c" }).to_string()
}

/// So many events, by their number.
fn events(ids: std::ops::Range<i64>, row: impl Fn(i64) -> Vec<(&'static str, Value)>) -> String {
    ids.map(|id| event(id, &row(id)) + "\n").collect()
}

fn write_input(pipeline: &Pipeline, bytes: impl AsRef<[u8]>) {
    fs::write(pipeline.folder().join("in.jsonl"), bytes).expect("the folder can be written");
}

fn append_input(pipeline: &Pipeline, text: &str) {
    let file = fs::OpenOptions::new()
        .append(true)
        .open(pipeline.folder().join("in.jsonl"));
    let mut file = file.expect("the file is there");
    file.write_all(text.as_bytes()).expect("it can be written");
}

async fn kept(pipeline: &Pipeline) -> Vec<Value> {
    let listed = pipeline
        .command(&["quarantine", "list", "--json", pipeline.file()])
        .await;
    listed.expect_success();
    serde_json::from_str(&listed.stdout).expect("JSON")
}

#[track_caller]
fn expect_stopped(finished: &Finished, said: &[&str]) {
    let (code, stderr) = (finished.code, &finished.stderr);
    assert_eq!(code, Some(2), "{stderr}");
    for said in said {
        assert!(stderr.contains(said), "{said:?} in {stderr}");
    }
}
