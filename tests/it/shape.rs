//! Rows without a schema through a whole pipeline (R19): operators that name columns which some rows do
//! not carry, and starts after the first.

use std::fs;
use std::io::Write as _;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::harness::{DEADLINE, Pipeline};

const EVOLVE: &str = "evolution = \"evolve\"\n";

/// A pipeline from `rows.jsonl` through `operator` into table `t` of a SQLite file.
fn pipeline(operator: &str, sink: &str) -> Pipeline {
    let input = if operator.is_empty() { "rows" } else { "tidy" };
    Pipeline::new(&format!(
        r#"[sources.rows]
type   = "file"
path   = "rows.jsonl"
format = "debezium-json"
key    = ["id"]
{operator}
[sinks.target]
type   = "sqlite"
inputs = ["{input}"]
path   = "target.db"
table  = "t"
{sink}"#
    ))
}

/// Appends rows, runs to the end of the file, and gives the balance of the sink.
async fn run(pipeline: &Pipeline, rows: &[&str]) -> Value {
    let path = pipeline.folder().join("rows.jsonl");
    let mut file = fs::File::options()
        .append(true)
        .create(true)
        .open(path)
        .expect("the folder can be written");
    for row in rows {
        writeln!(file, "{row}").expect("the folder can be written");
    }
    let files = fs::read_dir(pipeline.folder())
        .expect("it is there")
        .count();
    let process = pipeline.start_as(&format!("run{files}"), &["--once", "--json"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
    summaries[0]["sinks"][0].clone()
}

fn rows(pipeline: &Pipeline, sql: &str) -> Vec<String> {
    let database = Connection::open(pipeline.folder().join("target.db")).expect("it is there");
    let mut statement = database.prepare(sql).expect(sql);
    let count = statement.column_count();
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(value) => String::from_utf8_lossy(value).into_owned(),
        ValueRef::Blob(_) => "bytes".to_owned(),
    };
    let rows = statement.query_map([], |row| {
        let cells = (0..count).map(|at| row.get_ref(at).map(text));
        cells.collect::<rusqlite::Result<Vec<_>>>()
    });
    let rows = rows.expect(sql).map(|row| row.expect(sql).join(" "));
    rows.collect()
}

/// 1d.
#[tokio::test]
async fn a_column_that_only_the_source_has_is_found_at_every_start_r19() {
    let operator = "[operators.tidy]\ntype = \"map\"\ninputs = [\"rows\"]\n\
                    fields.id = \"id\"\nfields.name = \"first || ' ' || last\"\n";
    let pipeline = pipeline(operator, EVOLVE);
    for (id, first) in [(1, "Anna"), (2, "Lev")] {
        let row = format!(r#"{{"id":{id},"first":"{first}","last":"K","__op":"c"}}"#);
        assert_eq!(run(&pipeline, &[&row]).await["written"], 1);
    }
    // An update that does not carry all of it leaves the name alone; an insert has a null there.
    let balance = run(
        &pipeline,
        &[
            r#"{"id":1,"last":"Z","__op":"u"}"#,
            r#"{"id":3,"last":"Z","__op":"c"}"#,
        ],
    );
    assert_eq!(balance.await["written"], 2);
    let expect = ["1 Anna K", "2 Lev K", "3 -"];
    assert_eq!(
        rows(&pipeline, "SELECT id, name FROM t ORDER BY id"),
        expect
    );
}

#[tokio::test]
async fn what_is_computed_does_not_depend_on_the_other_rows_of_a_batch_r19() {
    let operator =
        "[operators.tidy]\ntype = \"map\"\ninputs = [\"rows\"]\nset.half = \"price / 2\"\n";
    let all = [
        r#"{"id":1,"price":5,"__op":"c"}"#,
        r#"{"id":2,"price":5.5,"__op":"c"}"#,
        r#"{"id":3,"price":null,"__op":"c"}"#,
        r#"{"id":4,"price":7,"__op":"c"}"#,
        r#"{"id":5,"price":"a lot","__op":"c"}"#,
        r#"{"id":6,"__op":"c"}"#,
    ];
    let (whole, single) = (pipeline(operator, EVOLVE), pipeline(operator, EVOLVE));
    assert_eq!(run(&whole, &all).await["quarantined"], 1);
    for row in all {
        run(&single, &[row]).await;
    }
    let sql = "SELECT id, price, half FROM t ORDER BY id";
    let found = rows(&whole, sql);
    assert_eq!(found, ["1 5 2", "2 5.5 2.75", "3 - -", "4 7 3", "6 - -"]);
    assert_eq!(rows(&single, sql), found);
}

#[tokio::test]
async fn a_column_that_is_left_out_is_counted_in_the_summary_r19() {
    let pipeline = pipeline("", "evolution = \"ignore\"\n");
    let path = pipeline.folder().join("target.db");
    let database = Connection::open(path).expect("the folder can be written");
    database
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        .expect("it is empty");
    let balance = run(
        &pipeline,
        &[
            r#"{"id":1,"name":"a","age":18}"#,
            r#"{"id":2,"name":"b","age":null}"#,
            r#"{"id":3,"age":19}"#,
        ],
    );
    let balance = balance.await;
    assert_eq!(
        (&balance["written"], &balance["left_out"]),
        (&3.into(), &2.into())
    );
    let files = fs::read_dir(pipeline.folder()).expect("it is there");
    let said: String = files
        .filter_map(|file| fs::read_to_string(file.ok()?.path()).ok())
        .collect();
    assert_eq!(said.matches("leaves it out").count(), 1, "{said}");
}

#[tokio::test]
async fn a_filter_takes_what_an_insert_does_not_carry_for_null_r19() {
    let operator =
        "[operators.tidy]\ntype = \"filter\"\ninputs = [\"rows\"]\nwhere = \"gone is null\"\n";
    let pipeline = pipeline(operator, EVOLVE);
    let balance = run(
        &pipeline,
        &[
            r#"{"id":1,"__op":"c"}"#,
            r#"{"id":2,"gone":"yes","__op":"c"}"#,
            r#"{"id":1,"x":1,"__op":"u"}"#,
        ],
    );
    let balance = balance.await;
    let counts = ["written", "filtered", "quarantined"].map(|name| balance[name].as_u64());
    assert_eq!(counts, [Some(1); 3], "{balance}");
}
