//! Rows enriched from tables of every database: the right values, one request for a batch, and an outage of
//! the table's database that loses nothing.

mod outage;

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Pipeline, Target, postgres, unique};

const MATTERS: usize = 2_000;
const CLIENTS: usize = 100;

/// Matters of clients 0 to 99 in turn; every 40th of a client that there is not, every 50th of none.
fn matters() -> String {
    let mut lines = String::new();
    for id in 0..MATTERS {
        let client = match id {
            _ if id % 50 == 49 => Value::Null,
            _ if id % 40 == 39 => json!(100_000 + id),
            _ => json!(id % CLIENTS),
        };
        let _ = writeln!(lines, "{}", json!({ "id": id, "client_id": client }));
    }
    lines
}

const TABLE: &str =
    "CREATE TABLE clients (id integer NOT NULL PRIMARY KEY, name varchar(50), city varchar(50))";

async fn fill(database: &Target) {
    database.execute(TABLE).await;
    let rows: Vec<String> = (0..CLIENTS)
        .map(|id| match id % 10 {
            0 => format!("({id}, 'O''Hara {id}', NULL)"),
            _ => format!("({id}, 'client {id}', 'city {id}')"),
        })
        .collect();
    let sql = format!("INSERT INTO clients VALUES {}", rows.join(", "));
    database.execute(&sql).await;
}

/// A pipeline from a file of matters through a lookup to a SQLite file.
fn text(lookup: &str, rest: &str) -> String {
    format!(
        r#"
[batch]
rows = 500

[sources.matters]
type   = "file"
path   = "matters.jsonl"
format = "json"
key    = ["id"]
schema = {{ id = "int64", client_id = "int64" }}

[lookups.clients]
{lookup}

[operators.enrich]
type    = "lookup"
inputs  = ["matters"]
lookup  = "clients"
on      = {{ client_id = "id" }}
columns = {{ client_name = "name", client_city = "city" }}
{rest}

[sinks.out]
type   = "sqlite"
inputs = ["enrich"]
path   = "out.db"
table  = "matters"
key    = ["id"]
evolution = "evolve"

[quarantine]
type = "file"
path = "quarantine"
"#
    )
}

fn pipeline(lookup: &str, rest: &str) -> Pipeline {
    let pipeline = Pipeline::new(&text(lookup, rest));
    fs::write(pipeline.folder().join("matters.jsonl"), matters()).expect("it can be written");
    pipeline
}

/// The summary of a run up to the end.
async fn run(pipeline: &Pipeline) -> Value {
    let process = pipeline.start_as(&unique("run"), &["--once", "--json"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
    summaries[0].clone()
}

type Row = (i64, Option<i64>, Option<String>, Option<String>);

/// What stands in the target.
fn written(pipeline: &Pipeline) -> Vec<Row> {
    let path = pipeline.folder().join("out.db");
    let connection = rusqlite::Connection::open(path).expect("the target is there");
    let sql = "SELECT id, client_id, client_name, client_city FROM matters ORDER BY id";
    let mut statement = connection.prepare(sql).expect("the table is there");
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    let rows = rows.expect("it can be read").collect::<Result<_, _>>();
    rows.expect("values are of their types")
}

/// What has to stand there; matters of clients that there are not are left out unless they are null.
fn expected(count: usize, missing_are_null: bool) -> Vec<Row> {
    let row = |id: usize| {
        let (name, city) = match id % CLIENTS {
            client if client % 10 == 0 => (format!("O'Hara {client}"), None),
            client => (format!("client {client}"), Some(format!("city {client}"))),
        };
        let number = i64::try_from(id).expect("it is small");
        match id {
            _ if id % 50 == 49 => Some((number, None, None, None)),
            _ if id % 40 == 39 => {
                missing_are_null.then_some((number, Some(100_000 + number), None, None))
            }
            _ => Some((number, Some(number % 100), Some(name), city)),
        }
    };
    (0..count).filter_map(row).collect()
}

fn missing(count: usize) -> usize {
    let is_missing = |id: &usize| id % 50 != 49 && id % 40 == 39;
    (0..count).filter(is_missing).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_get_the_columns_of_their_clients_from_every_database() {
    for database in Target::each("lookup").await {
        fill(&database).await;
        let lookup = format!("{}\ntable = \"clients\"", database.lines());
        for (on_missing, sink) in [
            ("null", json!({ "written": MATTERS })),
            ("reject", json!({ "quarantined": missing(MATTERS) })),
            ("drop", json!({ "filtered": missing(MATTERS) })),
        ] {
            let pipeline = pipeline(&lookup, &format!("on_missing = \"{on_missing}\""));
            let summary = run(&pipeline).await;
            for (count, value) in sink.as_object().expect("a table") {
                let found = &summary["sinks"][0][count];
                assert_eq!(found, value, "{} {on_missing}", database.kind());
            }
            let expected = expected(MATTERS, on_missing == "null");
            assert_eq!(written(&pipeline), expected, "{}", database.kind());
        }
    }
}

/// A query in the place of a table, several columns, and keys of another type than the row's.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_looked_up_by_several_columns() {
    for database in Target::each("lookup_query").await {
        fill(&database).await;
        let integer = if database.kind() == "sqlite" {
            "INTEGER"
        } else {
            "bigint"
        };
        let lookup = format!(
            "{}\nquery = \"SELECT id, name, city, 'open' AS status FROM clients -- all of them\"\n\
             columns = {{ id = \"{integer}\", name = \"varchar(50)\", city = \"varchar(50)\", status = \"varchar(10)\" }}",
            database.lines()
        );
        let text = text(&lookup, "").replace(
            "on      = { client_id = \"id\" }",
            "on      = { client_id = \"id\", status = \"status\" }",
        );
        let text = text.replace(
            "client_id = \"int64\"",
            "client_id = \"string\", status = \"string\"",
        );
        let pipeline = Pipeline::new(&text);
        let lines = [
            r#"{"id":1,"client_id":"7","status":"open"}"#,
            r#"{"id":2,"client_id":"07","status":"open"}"#,
            r#"{"id":3,"client_id":"7","status":"closed"}"#,
            r#"{"id":4,"client_id":"seven","status":"open"}"#,
            r#"{"id":5,"client_id":"9","status":"open"}"#,
        ];
        fs::write(pipeline.folder().join("matters.jsonl"), lines.join("\n"))
            .expect("it is written");
        run(&pipeline).await;
        let path = pipeline.folder().join("out.db");
        let connection = rusqlite::Connection::open(path).expect("the target is there");
        let sql = "SELECT group_concat(id || ':' || coalesce(client_name, '-'), ' ' ORDER BY id) FROM matters";
        let found: String = connection
            .query_row(sql, [], |row| row.get(0))
            .expect("rows are there");
        let expect = "1:client 7 2:- 3:- 4:- 5:client 9";
        assert_eq!(found, expect, "{}", database.kind());
    }
}

/// A view that counts how often it is read.
const COUNTED: &str = "CREATE SEQUENCE asked; \
    CREATE FUNCTION ask() RETURNS SETOF integer LANGUAGE plpgsql VOLATILE AS \
    $$ BEGIN PERFORM nextval('asked'); RETURN NEXT 1; END $$; \
    CREATE VIEW counted AS SELECT id, name, city FROM clients CROSS JOIN ask()";

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_request_and_a_cache_asks_once() {
    let database = Target::Postgres(postgres("lookup_count").await);
    fill(&database).await;
    database.execute(COUNTED).await;
    let asked = async || {
        let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM asked";
        database.numbers(sql).await[0]
    };
    let lookup = format!("{}\ntable = \"counted\"", database.lines());
    let without = pipeline(&lookup, "");
    let summary = run(&without).await;
    assert_eq!(written(&without), expected(MATTERS, true));
    assert_eq!(summary["sinks"][0]["written"], MATTERS);
    let batches = asked().await;
    assert_eq!(batches, 4, "2,000 rows in batches of 500 are four requests");

    let cached = pipeline(
        &format!("{lookup}\ncache = \"clients\""),
        "[caches.clients]\nttl = \"10m\"\ncompression = \"lz4\"",
    );
    let summary = run(&cached).await;
    assert_eq!(written(&cached), expected(MATTERS, true));
    // Every batch has clients that there are not, each its own; all others are asked for once.
    assert_eq!(asked().await - batches, 4);
    let cache = &summary["caches"][0];
    assert_eq!(cache["cache"], "clients");
    assert_eq!(cache["loads"], 4);
    let asked_for = (0..MATTERS).filter_map(|id| match id {
        _ if id % 50 == 49 => None,
        _ if id % 40 == 39 => Some(100_000 + id),
        _ => Some(id % CLIENTS),
    });
    let different = asked_for.collect::<std::collections::BTreeSet<_>>().len();
    let loaded = cache["loaded"].as_u64().expect("a count");
    assert_eq!(loaded, different as u64, "each key once: {cache}");
    assert_eq!(
        cache["entries"], loaded,
        "also that there is no row is kept"
    );
}

async fn quarantined(pipeline: &Pipeline) -> String {
    let listed = pipeline
        .command(&["quarantine", "list", "--json", pipeline.file()])
        .await;
    listed.expect_success();
    listed.stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_has_to_be_in_another_table() {
    for database in Target::each("reference").await {
        fill(&database).await;
        let pipeline = Pipeline::new(
            &text(&format!("{}\ntable = \"clients\"", database.lines()), "")
                .replace("inputs  = [\"matters\"]", "inputs  = [\"check\"]"),
        );
        let with_check = fs::read_to_string(pipeline.file()).expect("it is there")
            + "\n[operators.check]\ntype = \"validate\"\ninputs = [\"matters\"]\n\
               rules = [{ field = \"client_id\", reference = { lookup = \"clients\", column = \"id\" } }]\n";
        pipeline.write(&with_check);
        fs::write(pipeline.folder().join("matters.jsonl"), matters()).expect("it is written");
        let summary = run(&pipeline).await;
        assert_eq!(summary["sinks"][0]["quarantined"], missing(MATTERS));
        assert_eq!(
            written(&pipeline),
            expected(MATTERS, false),
            "{}",
            database.kind()
        );
        let listed = quarantined(&pipeline).await;
        assert!(
            listed.contains("client_id is not in id of clients"),
            "{listed}"
        );
    }
}

/// Tests of a pipeline give the rows of the table, and ask no database.
#[tokio::test(flavor = "multi_thread")]
async fn tests_of_a_pipeline_bring_the_rows_of_the_table() {
    let lookup =
        "type = \"postgres\"\nurl = \"postgres://nobody@127.0.0.1:1/none\"\ntable = \"clients\"";
    let rows = "lookups.clients = [{ id = 7, name = \"Ada\", city = { null = true } }]";
    for (rows, name, code, says) in [
        (rows, "Ada", 0, ""),
        (rows, "Eve", 1, "Ada"),
        ("", "Ada", 1, "write lookups.clients"),
    ] {
        let pipeline = pipeline(lookup, "on_missing = \"reject\"");
        let case = format!(
            "[[tests]]\nname = \"a matter gets its client\"\n{rows}\n\
             input = [{{ row = {{ id = 1, client_id = 7 }} }}, {{ row = {{ id = 2, client_id = 8 }} }}]\n\
             [tests.expect]\n\
             target.out = [{{ id = 1, client_name = {name:?} }}]\n\
             rejected = [{{ change = 2, rule = 'lookup = \"clients\"', field = \"client_id\" }}]\n"
        );
        let path = pipeline.folder().join("pipeline.tests.toml");
        fs::write(path, case).expect("it can be written");
        let tested = pipeline.command(&["test", pipeline.file()]).await;
        assert_eq!(tested.code, Some(code), "{tested:?}");
        let said = tested.stdout + &tested.stderr;
        assert!(said.contains(says), "{said}");
    }
}

/// A name that the file does not define is told with the nearest that it does.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_names_are_told() {
    let lookup =
        "type = \"sqlite\"\npath = \"clients.db\"\ntable = \"clients\"\ncache = \"client\"";
    let text = text(lookup, "[caches.clients]\npolicy = \"ttl\"")
        .replace("lookup  = \"clients\"", "lookup  = \"clinets\"");
    let pipeline = Pipeline::new(&text);
    let told = pipeline.command(&["validate", pipeline.file()]).await;
    assert_eq!(told.code, Some(2), "{told:?}");
    for part in [
        "there is no lookup `clinets`",
        "there is no cache `client`",
        "did you mean `clients`?",
        "nothing says how long an entry lives",
    ] {
        let said = format!("{}{}", told.stdout, told.stderr);
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}
