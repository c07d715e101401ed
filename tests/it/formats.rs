//! Rows that are no events, through whole pipelines: `csv` files and `json` messages.

use std::fs;
use std::io::Write as _;

use serde_json::Value;

use crate::harness::{DEADLINE, Message, Pipeline, Target, kafka, unique};

/// The sink's part of a summary.
async fn run(pipeline: &Pipeline, name: &str) -> Value {
    let process = pipeline.start_as(name, &["--once", "--json"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
    summaries[0]["sinks"][0].clone()
}

fn texts(rows: &[Vec<Option<String>>]) -> Vec<String> {
    let text = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".to_owned());
    rows.iter()
        .map(|row| row.iter().map(text).collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn a_csv_file_is_kept_equal_to_a_table_line_by_line() {
    for target in Target::each("csv").await {
        let text_type = match target.kind() {
            "mariadb" => "varchar(40)",
            _ => "text",
        };
        // SQLite keeps any text in a column of numbers.
        let check = match target.kind() {
            "sqlite" => "CHECK (typeof(balance) <> 'text')",
            _ => "",
        };
        target
            .execute(&format!(
                "CREATE TABLE client (id bigint PRIMARY KEY, name {text_type} NOT NULL, city {text_type}, \
                 balance decimal(12, 2) {check}, since date)"
            ))
            .await;
        let pipeline = Pipeline::new(&format!(
            r#"[sources.export]
type    = "file"
path    = "clients.csv"
format  = "csv"
key     = ["id"]
deleted = "gone"

[sinks.target]
inputs = ["export"]
table  = "client"
{}"#,
            target.lines()
        ));
        let path = pipeline.folder().join("clients.csv");
        // A field over two lines, an empty text beside null, a line that is none, and a value that does not fit.
        fs::write(
            &path,
            "id,name,city,balance,since,gone\r\n\
             1,\"Anna, \"\"A.\"\"\",\"Old\nTown\",1234.50,2024-02-29,\r\n\
             2,\"\",,0.10,,\r\n\
             3,Lev\r\n\
             4,Mia,Bern,lots,,\r\n\
             5,Ivo,Rome,7,1999-12-31,\r\n",
        )
        .expect("the folder can be written");
        let kind = target.kind();
        let summary = run(&pipeline, "first").await;
        assert_eq!(
            (&summary["in"], &summary["written"], &summary["quarantined"]),
            (&5.into(), &3.into(), &2.into()),
            "{kind}: {summary}"
        );
        let sql = "SELECT id, name, city, balance, since FROM client ORDER BY id";
        let rows = texts(&target.rows(sql).await);
        assert_eq!(rows.len(), 3, "{kind}: {rows:?}");
        assert!(
            rows[0].starts_with("1 Anna, \"A.\" Old\nTown 1234.5"),
            "{kind}: {rows:?}"
        );
        assert!(rows[1].starts_with("2  - 0.1"), "{kind}: {rows:?}");

        // The file grows: an update, a delete by its mark; the header is not read as a row again.
        let mut file = fs::File::options()
            .append(true)
            .open(&path)
            .expect("it is there");
        write!(file, "1,Anna,Bonn,1,2024-02-29,\n5,,,,,yes\n6,Zoe,,,,")
            .expect("the folder can be written");
        let summary = run(&pipeline, "second").await;
        assert_eq!(
            (&summary["in"], &summary["written"]),
            (&3.into(), &3.into()),
            "{kind}: {summary}"
        );
        let names = texts(
            &target
                .rows("SELECT id, name, city FROM client ORDER BY id")
                .await,
        );
        assert_eq!(names, ["1 Anna Bonn", "2  -", "6 Zoe -"], "{kind}");
        let listed = pipeline
            .command(&["quarantine", "list", pipeline.file(), "--json"])
            .await;
        assert!(
            listed.stdout.contains("3,Lev"),
            "{kind}: the raw line is kept: {}",
            listed.stdout
        );
    }
}

#[tokio::test]
async fn json_messages_are_rows_whatever_their_fields_are_called() {
    let kafka = kafka();
    for target in Target::each("json").await {
        let topic = unique("rows");
        kafka.create_topic(&topic, 1).await;
        let message = |key: &str, value: Option<&str>| Message {
            key: Some(key.to_owned()),
            value: value.map(str::to_owned),
        };
        let messages = vec![
            message(r#"{"id":1}"#, Some(r#"{"id":1,"op":"sell","after":2}"#)),
            message(r#"{"id":2}"#, Some(r#"{"id":2,"op":"buy","after":3}"#)),
            message(r#"{"id":3}"#, Some(r#"{"id":3,"op":"buy"}"#)),
            message(r#"{"id":4}"#, Some("no json")),
            message(r#"{"id":1}"#, Some(r#"{"id":1,"op":"hold"}"#)),
            message(r#"{"id":2}"#, None),
        ];
        kafka.produce(&topic, &messages);
        let pipeline = Pipeline::new(&format!(
            r#"[sources.rows]
type    = "kafka"
brokers = "{}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "json"

[sinks.target]
inputs    = ["rows"]
table     = "orders"
evolution = "evolve"
{}"#,
            kafka.brokers(),
            target.lines()
        ));
        let summary = run(&pipeline, "run").await;
        let kind = target.kind();
        assert_eq!(
            (&summary["in"], &summary["quarantined"]),
            (&6.into(), &1.into()),
            "{kind}: {summary}"
        );
        let column = if kind == "mariadb" {
            "`after`"
        } else {
            "\"after\""
        };
        let rows = target
            .rows(&format!("SELECT id, op, {column} FROM orders ORDER BY id"))
            .await;
        // A field that the last message does not carry keeps its value (R19).
        assert_eq!(texts(&rows), ["1 hold 2", "3 buy -"], "{kind}");
    }
}

#[tokio::test]
async fn events_that_are_read_as_rows_are_refused_at_start() {
    let pipeline = Pipeline::new(
        r#"[sources.rows]
type   = "file"
path   = "rows.jsonl"
format = "json"
key    = ["id"]

[sinks.target]
type      = "sqlite"
inputs    = ["rows"]
path      = "target.db"
table     = "t"
evolution = "evolve"
"#,
    );
    let event = r#"{"op":"c","before":null,"after":{"id":1}}"#;
    fs::write(pipeline.folder().join("rows.jsonl"), format!("{event}\n"))
        .expect("the folder can be written");
    let finished = pipeline.run_once(DEADLINE).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("format = \"debezium-json\""),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn plain_rows_with_a_column_op_empty_no_table_r13() {
    for target in Target::each("plain_op").await {
        let text_type = match target.kind() {
            "mariadb" => "varchar(40)",
            _ => "text",
        };
        target
            .execute(&format!(
                "CREATE TABLE deal (id bigint PRIMARY KEY, op {text_type}, message {text_type})"
            ))
            .await;
        target
            .execute("INSERT INTO deal (id, op) VALUES (100, 'kept')")
            .await;
        let pipeline = Pipeline::new(&format!(
            r#"[sources.deals]
type   = "file"
path   = "deals.jsonl"
format = "debezium-json"
key    = ["id"]

[sinks.target]
inputs = ["deals"]
table  = "deal"
{}"#,
            target.lines()
        ));
        // The first one decides: nothing before it says that these are rows.
        let lines = concat!(
            r#"{"id":3,"op":"t"}"#,
            "\n",
            r#"{"id":4,"op":"m","message":"hello"}"#,
            "\n",
            r#"{"id":5,"op":"i"}"#,
            "\n",
        );
        fs::write(pipeline.folder().join("deals.jsonl"), lines).expect("the folder can be written");
        let summary = run(&pipeline, "run").await;
        let kind = target.kind();
        assert_eq!(
            (&summary["in"], &summary["written"]),
            (&3.into(), &3.into()),
            "{kind}: {summary}"
        );
        let rows = target
            .rows("SELECT id, op, message FROM deal ORDER BY id")
            .await;
        assert_eq!(
            texts(&rows),
            ["3 t -", "4 m hello", "5 i -", "100 kept -"],
            "{kind}"
        );
    }
}

#[tokio::test]
async fn blanks_at_the_ends_of_a_csv_record_belong_to_its_fields() {
    for target in Target::each("csv_blanks").await {
        let text_type = match target.kind() {
            "mariadb" => "varchar(40)",
            _ => "text",
        };
        target
            .execute(&format!(
                "CREATE TABLE note (id bigint PRIMARY KEY, name {text_type}, note {text_type})"
            ))
            .await;
        let pipeline = Pipeline::new(&format!(
            r#"[sources.notes]
type   = "file"
path   = "notes.tsv"
format = "csv"
key    = ["id"]
csv.delimiter = "\t"

[sinks.target]
inputs = ["notes"]
table  = "note"
{}"#,
            target.lines()
        ));
        let lines = "name\tid\tnote\n\t1\tfirst\nLev\t2\t\r\nMia\t3\t end  \r\n";
        fs::write(pipeline.folder().join("notes.tsv"), lines).expect("the folder can be written");
        let summary = run(&pipeline, "run").await;
        let kind = target.kind();
        assert_eq!(summary["written"], 3, "{kind}: {summary}");
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            target
                .rows("SELECT id, name, note FROM note ORDER BY id")
                .await,
            [
                [text("1"), None, text("first")],
                [text("2"), text("Lev"), None],
                [text("3"), text("Mia"), text(" end  ")],
            ],
            "{kind}"
        );
    }
}

#[tokio::test]
async fn changes_of_maxwell_reach_the_target() {
    let kafka = kafka();
    let topic = unique("maxwell");
    kafka.create_topic(&topic, 1).await;
    let change = |kind: &str, id: i64, rest: &str| Message {
        key: Some(format!(
            r#"{{"database":"shop","table":"item","pk.id":{id}}}"#
        )),
        value: Some(format!(
            r#"{{"database":"shop","table":"item","type":"{kind}","ts":1700000000,{rest}}}"#
        )),
    };
    kafka.produce(
        &topic,
        &[
            change("insert", 1, r#""data":{"id":1,"name":"Anna"}"#),
            change("insert", 2, r#""data":{"id":2,"name":"Lev"}"#),
            change(
                "update",
                1,
                r#""data":{"id":1,"name":"Mia"},"old":{"name":"Anna"}"#,
            ),
            change("delete", 2, r#""data":{"id":2,"name":"Lev"}"#),
        ],
    );
    let text = |format: &str, sink: &str| {
        format!(
            r#"[sources.shop]
type    = "kafka"
brokers = "{}"
topics  = ["{topic}"]
group   = "{topic}_{format}"
format  = "{format}"

[sinks.target]
inputs    = ["shop"]
table     = "item"
evolution = "evolve"
{sink}"#,
            kafka.brokers()
        )
    };
    for target in Target::each("maxwell").await {
        let pipeline = Pipeline::new(
            &text("maxwell-json", &target.lines())
                .replace("group   = \"", &format!("group   = \"{}_", target.kind())),
        );
        let summary = run(&pipeline, "run").await;
        let kind = target.kind();
        assert_eq!(
            (&summary["in"], &summary["quarantined"]),
            (&4.into(), &0.into()),
            "{kind}: {summary}"
        );
        let rows = target.rows("SELECT id, name FROM item ORDER BY id").await;
        assert_eq!(texts(&rows), ["1 Mia"], "{kind}");
    }
    // Where another format is written, the message names the right one.
    let pipeline = Pipeline::new(&text("json", "type = \"sqlite\"\npath = \"target.db\""));
    let process = pipeline.start(&["--once"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(
        finished.stderr.contains(r#"write format = "maxwell-json""#),
        "{}",
        finished.stderr
    );
}
