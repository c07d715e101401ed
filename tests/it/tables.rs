//! Tables of databases as sources, through whole pipelines and by the suite for sources.

mod kill;
mod shipped;
mod types;

use std::time::Duration;

use serde_json::Value;
use syncline_connectors::conformance::source::check_source;
use syncline_connectors::registry::SOURCES;
use syncline_connectors::source::{Opening, Purpose, Source, SourceConfig};

use crate::harness::{DEADLINE, Pipeline, Process, Target, eventually, unique};

/// `[sources.shop]` of a database, with more lines.
fn source(database: &Target, more: &str) -> String {
    format!("[sources.shop]\n{}\n{more}\n", database.lines())
}

/// `[sinks.NAME]` of a database, with more lines.
fn sink(name: &str, database: &Target, more: &str) -> String {
    format!(
        "[sinks.{name}]\ninputs = [\"shop\"]\n{}\n{more}\n",
        database.lines()
    )
}

/// A table of clients.
const CLIENTS: &str = "CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name varchar(100), version bigint NOT NULL)";

const QUERY: &str = "SELECT id, name, version FROM clients ORDER BY id";

/// Inserts the clients of these ids, with their id as version.
async fn insert(database: &Target, ids: std::ops::Range<i64>) {
    let ids: Vec<i64> = ids.collect();
    for chunk in ids.chunks(1_000) {
        let rows: Vec<String> = chunk
            .iter()
            .map(|id| format!("({id}, 'it''s client {id}', {id})"))
            .collect();
        let rows = rows.join(", ");
        database
            .execute(&format!("INSERT INTO clients VALUES {rows}"))
            .await;
    }
}

/// What became of the changes of each sink of a run up to the end.
async fn run(pipeline: &Pipeline) -> Vec<Value> {
    let process = pipeline.start_as(&unique("run"), &["--once", "--json"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
    let sinks = summaries[0]["sinks"].as_array().cloned();
    sinks.expect("a summary has sinks")
}

/// Waits until both databases hold the same clients.
async fn equal(source: &Target, target: &Target, process: &mut Process) {
    let what = format!("{} to equal {}", target.kind(), source.kind());
    eventually(&what, DEADLINE, async || {
        process.expect_running();
        let (expect, found) = (source.rows(QUERY).await, target.rows(QUERY).await);
        if found == expect {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err((expect.len(), found.len()))
    })
    .await;
}

fn config(database: &Target, more: &str) -> SourceConfig {
    let value: toml::Value =
        toml::from_str(&format!("{}\n{more}", database.lines())).expect("the settings are TOML");
    let mut value = serde_json::to_value(value).expect("they are JSON too");
    let kind = value["type"].as_str().expect("a type").to_owned();
    value.as_object_mut().expect("a table").remove("type");
    let known = SOURCES.iter().find(|known| known.name == kind);
    (known.expect("it is a source").read)(value).expect("the settings are right")
}

/// Runs the suite in a runtime of its own thread: opening a source has to wait.
async fn check_suite(database: &Target, more: &str, count: usize) {
    let config = config(database, more);
    assert_eq!(config.check(), []);
    let runtime = tokio::runtime::Handle::current();
    let open = || -> Box<dyn Source> {
        let opening = Opening::alone(Purpose::Once, 0);
        tokio::task::block_in_place(|| runtime.block_on(config.connect(opening)))
            .expect("the database answers")
    };
    check_source(&open, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_passes_the_suite_for_sources() {
    for database in Target::each("suite").await {
        database.execute(CLIENTS).await;
        insert(&database, -20..20).await;
        // Keys of several columns; texts with quotes, blanks and letters of two cases; a time.
        database
            .execute(
                "CREATE TABLE parts (place varchar(20) NOT NULL, number integer NOT NULL, at timestamp NOT NULL, \
                 amount decimal(12, 2) NOT NULL, PRIMARY KEY (place, number))",
            )
            .await;
        // A backslash is itself to our sessions, and not to the one that sets up MariaDB's table.
        let backslash = match database.kind() {
            "mariadb" => "\\\\",
            _ => "\\",
        };
        let mut rows = Vec::new();
        for (index, place) in ["it''s", "", "a b", "ä", "B", "c", backslash, "%"]
            .iter()
            .enumerate()
        {
            for number in 0..4 {
                // Times that are the same, and not in the order of the key.
                let second = (index * 7 + number) % 5;
                rows.push(format!(
                    "('{place}', {number}, '2024-02-29 12:00:0{second}', -{index}.{number}5)"
                ));
            }
        }
        database
            .execute(&format!("INSERT INTO parts VALUES {}", rows.join(", ")))
            .await;
        check_suite(&database, "tables = [\"clients\"]", 40).await;
        check_suite(&database, "tables = [\"clients\", \"parts\"]", 72).await;
        check_suite(
            &database,
            "tables = [\"clients\"]\nwhere = \"id < 0 OR id = 7\"",
            21,
        )
        .await;
        for cursor in ["at", "amount", "number"] {
            let more = format!("tables = [\"parts\"]\nmode = \"cursor\"\ncursor = \"{cursor}\"");
            check_suite(&database, &more, 32).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_follows_changes_and_looks_back_for_late_ones() {
    for database in Target::each("cursor").await {
        let target = database.another("cursor_to").await;
        for side in [&database, &target] {
            side.execute(CLIENTS).await;
        }
        insert(&database, 0..2_500).await;
        let pipeline = Pipeline::new(&format!(
            "{}{}",
            source(
                &database,
                "tables = [\"clients\"]\nmode = \"cursor\"\ncursor = \"version\"\nlookback = \"100\"\nevery = \"50ms\""
            ),
            sink("copy", &target, "table = \"clients\"")
        ));
        let mut process = pipeline.start(&[]);
        equal(&database, &target, &mut process).await;
        // Changed, new with the same cursor, and committed late with a lower one.
        for sql in [
            "UPDATE clients SET name = 'other', version = 3000 WHERE id IN (5, 7)",
            "INSERT INTO clients VALUES (9000, NULL, 3000)",
            "INSERT INTO clients VALUES (9001, 'late', 2950)",
            "UPDATE clients SET name = 'last', version = 3001 WHERE id = 7",
        ] {
            database.execute(sql).await;
            equal(&database, &target, &mut process).await;
        }
        // Rows that are looked at again and are the same are not written again.
        let position = "SELECT position FROM _syncline_positions";
        let before = target.numbers(position).await;
        assert!(before[0] < 2_500 + 1_000, "{before:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(target.numbers(position).await, before);
        process.terminate();
        process.wait(DEADLINE).await;
        let sinks = run(&pipeline).await;
        assert_eq!(
            target.rows(QUERY).await,
            database.rows(QUERY).await,
            "{sinks:?}"
        );
    }
}

#[tokio::test]
async fn a_snapshot_is_taken_once_or_again_every_so_often() {
    for database in Target::each("again").await {
        let target = database.another("again_to").await;
        for side in [&database, &target] {
            side.execute(CLIENTS).await;
        }
        insert(&database, 0..30).await;
        let text = |every: &str| {
            format!(
                "{}{}",
                source(&database, &format!("tables = [\"clients\"]\n{every}")),
                sink("copy", &target, "table = \"clients\"")
            )
        };
        let pipeline = Pipeline::new(&text(""));
        let entered = async || run(&pipeline).await[0]["in"].clone();
        assert_eq!(entered().await, 30);
        database
            .execute("UPDATE clients SET name = 'new' WHERE id = 3")
            .await;
        assert_eq!(entered().await, 0, "one snapshot was asked for");
        pipeline.write(&text("every = \"1h\""));
        assert_eq!(entered().await, 0, "the next is not due");
        pipeline.write(&text("every = \"1ms\""));
        assert_eq!(entered().await, 30);
        assert_eq!(target.rows(QUERY).await, database.rows(QUERY).await);
    }
}

#[tokio::test]
async fn what_would_be_passed_over_stops_with_its_remedy() {
    for database in Target::each("refused").await {
        database
            .execute("CREATE TABLE plain (id bigint, name varchar(100), version bigint)")
            .await;
        database
            .execute("INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 1), (2, 'c', NULL)")
            .await;
        let target = database.another("refused_to").await;
        let check = async |more: &str, part: &str| {
            let pipeline = Pipeline::new(&format!(
                "{}{}",
                source(&database, more),
                sink(
                    "copy",
                    &target,
                    "table = \"plain\"\nkey = [\"id\"]\nevolution = \"evolve\""
                )
            ));
            let finished = pipeline.run_once(DEADLINE).await;
            assert_eq!(finished.code, Some(2), "{more}: {}", finished.stderr);
            assert!(
                finished.stderr.contains(part),
                "{more}: {}",
                finished.stderr
            );
        };
        let kind = database.kind();
        check("tables = [\"missing\"]", "does not exist").await;
        check("tables = [\"plain\"]", "write key = [").await;
        check("tables = [\"plain\"]\nkey = [\"nr\"]", "no column \"nr\"").await;
        check(
            "tables = [\"plain\"]\nkey = [\"id\"]",
            "two rows of one key",
        )
        .await;
        let cursor = "tables = [\"plain\"]\nkey = [\"id\", \"name\"]\nmode = \"cursor\"\ncursor = \"version\"";
        check(cursor, "a row without a value").await;
        let fixed = format!("{cursor}\nwhere = \"version IS NOT NULL\"");
        let pipeline = Pipeline::new(&format!(
            "{}{}",
            source(&database, &fixed),
            sink(
                "copy",
                &target,
                "table = \"plain\"\nkey = [\"id\", \"name\"]\nevolution = \"evolve\""
            )
        ));
        assert_eq!(run(&pipeline).await[0]["written"], 2, "{kind}");
        // The position was kept for another order.
        pipeline.write(&format!(
            "{}{}",
            source(&database, "tables = [\"plain\"]\nkey = [\"id\", \"name\"]"),
            sink(
                "copy",
                &target,
                "table = \"plain\"\nkey = [\"id\", \"name\"]\nevolution = \"evolve\""
            )
        ));
        let finished = pipeline.run_once(DEADLINE).await;
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(
            finished.stderr.contains("positions reset"),
            "{}",
            finished.stderr
        );
        let reset = ["positions", "reset", pipeline.file(), "--yes"];
        pipeline.command(&reset).await.expect_success();
        assert_eq!(run(&pipeline).await[0]["in"], 3, "{kind}");
    }
}

#[tokio::test]
async fn a_value_that_is_none_of_its_type_costs_its_row_alone() {
    let [database, target, ..] = &Target::each("foreign").await[..] else {
        panic!("there are three");
    };
    assert_eq!((database.kind(), target.kind()), ("sqlite", "postgres"));
    for side in [database, target] {
        side.execute(CLIENTS).await;
    }
    database
        .execute(
            "INSERT INTO clients VALUES (1, 'a', 1), (2, 'b', 'two'), (3, x'ff', 3), (4, 'd', 4)",
        )
        .await;
    let pipeline = Pipeline::new(&format!(
        "{}{}",
        source(database, "tables = [\"clients\"]"),
        sink("copy", target, "table = \"clients\"")
    ));
    let sinks = run(&pipeline).await;
    assert_eq!(
        (&sinks[0]["written"], &sinks[0]["quarantined"]),
        (&2.into(), &2.into())
    );
    assert_eq!(
        target.numbers("SELECT id FROM clients ORDER BY id").await,
        [1, 4]
    );
    let listed = pipeline
        .command(&["quarantine", "list", pipeline.file(), "--json"])
        .await;
    listed.expect_success();
    assert!(listed.stdout.contains("version"), "{}", listed.stdout);
    assert!(
        !listed.stdout.contains("two"),
        "values are not shown: {}",
        listed.stdout
    );
}

#[tokio::test]
async fn a_sink_that_joins_later_gets_every_row() {
    for database in Target::each("joins").await {
        let (first, second) = (
            database.another("first").await,
            database.another("second").await,
        );
        for side in [&database, &first, &second] {
            side.execute(CLIENTS).await;
        }
        insert(&database, 0..50).await;
        let from = source(
            &database,
            "tables = [\"clients\"]\nmode = \"cursor\"\ncursor = \"version\"",
        );
        let one = sink("one", &first, "table = \"clients\"");
        let pipeline = Pipeline::new(&format!("{from}{one}"));
        assert_eq!(run(&pipeline).await[0]["written"], 50);
        insert(&database, 50..60).await;
        let two = sink("two", &second, "table = \"clients\"");
        pipeline.write(&format!("{from}{one}{two}"));
        run(&pipeline).await;
        let expect = database.rows(QUERY).await;
        assert_eq!(first.rows(QUERY).await, expect);
        assert_eq!(second.rows(QUERY).await, expect);
    }
}
