//! The conflicts that a sink keeps beside its rows, as a person meets them on the command line.

use serde_json::Value;
use syncline_connectors::conflict::{
    ConflictRecord, ConflictType, CountKey, Json, Place, QueueEntry, QueueState, Sides, Winner,
};
use syncline_connectors::sql::identifier::Dialect;
use syncline_connectors::sql::ledger::{Counts, Ledger, Tables, Waiting};

use crate::harness::{Finished, Pipeline, mariadb, postgres};

/// Two sinks; `billing` is the one that the tests fill.
fn text(billing: &str) -> String {
    format!(
        r#"[sources.export]
type   = "file"
path   = "export.jsonl"
format = "debezium-json"
schema = {{ id = "int64" }}
key    = ["id"]

[sinks.billing]
inputs = ["export"]
table  = "clients"
key    = ["id"]
{billing}

[sinks.audit]
type   = "sqlite"
inputs = ["export"]
path   = "audit.db"
table  = "clients"
key    = ["id"]
"#
    )
}

fn sides() -> Sides {
    let json = |text: &str| Some(Json(text.to_owned()));
    Sides {
        base: json(r#"{"id":42,"name":"Ann","balance":"1.50"}"#),
        source: json(r#"{"id":42,"name":"Anna","balance":"1.50"}"#),
        target: json(r#"{"id":42,"name":"Anne","balance":"1.50"}"#),
        result: None,
    }
}

fn place(position: i64) -> Place {
    Place {
        topic: "crm.clients".to_owned(),
        partition: 3,
        position,
        event_time_ms: Some(1_700_000_000_000),
    }
}

fn entry(sink: &str, id: i64) -> QueueEntry {
    QueueEntry {
        id: 0,
        pipeline: "pipeline".to_owned(),
        sink: sink.to_owned(),
        source: "export".to_owned(),
        target: "clients".to_owned(),
        key: Json(format!("{{\"id\":{id}}}")),
        kind: ConflictType::UpdateOriginDiffers,
        columns: Json(r#"{"name":"manual"}"#.to_owned()),
        reason: "a person decides".to_owned(),
        rows: sides(),
        change: "AQ==".to_owned(),
        place: place(id),
        opened_at_ms: 1_700_000_001_000,
        state: QueueState::Open,
        taken: None,
        resolved_by: None,
        resolved_at_ms: None,
        waiting: 0,
    }
}

fn record(id: i64) -> ConflictRecord {
    ConflictRecord {
        id: format!("pipeline/billing/export/crm.clients/3/{id}/0"),
        pipeline: "pipeline".to_owned(),
        sink: "billing".to_owned(),
        source: "export".to_owned(),
        target: "clients".to_owned(),
        key: Json(format!("{{\"id\":{id}}}")),
        kind: ConflictType::InsertExists,
        strategy: "newest_wins".to_owned(),
        winner: Winner::Target,
        columns: Json(r#"{"name":"newest_wins"}"#.to_owned()),
        reason: "the target's row is newer".to_owned(),
        rows: sides(),
        place: place(id),
        decided_at_ms: 1_700_000_000_000 + id,
    }
}

/// What a sink would have kept: two conflicts in the queue, of which one is decided, and three that
/// were decided at once.
fn kept(dialect: Dialect, sink: &str) -> Vec<String> {
    let ledger = Ledger::new(dialect, "pipeline", sink);
    let tables = Tables {
        history: true,
        counts: true,
        queue: true,
        shadow: false,
    };
    let key = |column: &str| CountKey {
        partition: "crm.clients/3".to_owned(),
        target: "clients".to_owned(),
        kind: ConflictType::InsertExists,
        strategy: "newest_wins".to_owned(),
        column: column.to_owned(),
        winner: Winner::Target,
    };
    let waiting = Waiting {
        target: "clients",
        key: "{\"id\":42}",
        change: "AQ==",
    };
    let decided = "UPDATE _syncline_conflict_queue SET state = 'resolved', taken = 'source', \
                   resolved_by = 'ann', resolved_at_ms = 1700000002000 WHERE id = 2";
    let records: Vec<ConflictRecord> = [7, 8, 9].map(record).into();
    [
        tables.create(dialect),
        ledger.insert_queue(&[entry(sink, 42), entry(sink, 43)]),
        ledger.append_waiting(&[waiting, waiting]),
        vec![decided.to_owned()],
        ledger.insert_history(&records),
        ledger.add_counts(
            "export",
            &Counts::from([(key(""), 1_003), (key("name"), 1_001)]),
        ),
    ]
    .concat()
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("stdout is no JSON ({error}): {finished:?}"))
}

#[track_caller]
fn expect(finished: &Finished, code: i32, parts: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    let text = format!("{}{}", finished.stdout, finished.stderr);
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

/// What everyone sees, whatever the database.
async fn shows_what_is_kept(pipeline: &Pipeline) {
    let run = async |arguments: &[&str]| {
        let arguments = [&["conflicts"], arguments, &[pipeline.file()]].concat();
        pipeline.command(&arguments).await
    };
    let list = run(&["list"]).await;
    expect(
        &list,
        0,
        &[
            "pipeline/billing/1",
            "id=42",
            "update_origin_differs",
            "1 open conflicts",
        ],
    );
    assert!(!list.stdout.contains("billing/2"), "{list:?}");
    let all = run(&["list", "--all"]).await;
    expect(
        &all,
        0,
        &[
            "resolved: source by ann at 2023-11-14T22:13:22.000Z",
            "2 conflicts",
        ],
    );

    let shown = [
        "*  name     \"Ann\"   \"Anna\"  \"Anne\"  manual",
        "   balance  \"1.50\"  \"1.50\"  \"1.50\"",
        "2 later changes of the key",
        "export: crm.clients[3] at 42, at 2023-11-14T22:13:20.000Z",
    ];
    for id in ["1", "billing/1", "pipeline/billing/1"] {
        expect(&run(&["show", id]).await, 0, &shown);
    }
    expect(
        &run(&["show", "3"]).await,
        1,
        &["no conflict 3", "conflicts list --all"],
    );
    expect(&run(&["show", "one"]).await, 2, &["pipeline/sink/17"]);

    let entries = json(&run(&["list", "--json", "--all"]).await);
    assert_eq!(entries[0]["id"], "pipeline/billing/1");
    assert_eq!(entries[0]["waiting"], 2);
    assert_eq!(entries[0]["rows"]["target"]["balance"], "1.50");
    assert_eq!(entries[1]["state"], "resolved");
    assert_eq!(json(&run(&["show", "1", "--json"]).await), entries[0]);

    expect(
        &run(&["history"]).await,
        0,
        &[
            "target wins by newest_wins",
            "the target's row is newer",
            "3 conflicts",
        ],
    );
    let history = json(&run(&["history", "--json", "--limit", "2"]).await);
    let positions: Vec<&Value> = history
        .as_array()
        .expect("a list")
        .iter()
        .map(|record| &record["place"]["position"])
        .collect();
    assert_eq!(positions, [9, 8]);
    for key in ["8", "{\"id\": 8}"] {
        let of_key = json(&run(&["history", "--json", "--key", key]).await);
        assert_eq!(of_key.as_array().map(Vec::len), Some(1), "{of_key}");
        assert_eq!(of_key[0]["key"]["id"], 8);
    }

    expect(
        &run(&["stats"]).await,
        0,
        &[
            "insert_exists  newest_wins  name    target  1001",
            "1003 conflicts",
        ],
    );
    let stats = json(&run(&["stats", "--json"]).await);
    assert_eq!(stats[0]["count"], 1_003);
    assert_eq!(stats[1]["column"], "name");
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_a_sqlite_sink_are_shown() {
    let pipeline = Pipeline::new(&text("type = \"sqlite\"\npath = \"billing.db\""));
    let run = async |arguments: &[&str]| {
        pipeline
            .command(&[&["conflicts"], arguments].concat())
            .await
    };
    // Nothing has run yet: there is no file, and asking makes none.
    for command in ["list", "history", "stats"] {
        let nothing = run(&[command, pipeline.file()]).await;
        expect(&nothing, 0, &["0 "]);
        assert_eq!(
            json(&run(&[command, "--json", pipeline.file()]).await),
            Value::Array(vec![])
        );
    }
    let path = |name: &str| pipeline.folder().join(name);
    assert!(!path("billing.db").exists() && !path("audit.db").exists());

    let fill = |name: &str, sink: &str| {
        let database = rusqlite::Connection::open(path(name)).expect("the folder can be written");
        for sql in kept(Dialect::Sqlite, sink) {
            database.execute(&sql, []).expect("the statement holds");
        }
    };
    fill("billing.db", "billing");
    shows_what_is_kept(&pipeline).await;

    // A second sink has a conflict of the same number.
    fill("audit.db", "audit");
    let candidates = ["pipeline/billing/1, pipeline/audit/1", "write one of them"];
    expect(&run(&["show", "1", pipeline.file()]).await, 2, &candidates);
    expect(
        &run(&["show", "audit/1", pipeline.file()]).await,
        0,
        &["pipeline/audit/1"],
    );

    // Without a file the folder `pipelines` is meant, where there is one.
    expect(&run(&["list"]).await, 2, &["no folder \"pipelines\""]);
    std::fs::create_dir(path("pipelines")).expect("the folder can be written");
    std::fs::copy(
        pipeline.folder().join("pipeline.toml"),
        path("pipelines/pipeline.toml"),
    )
    .expect("the file can be copied");
    expect(&run(&["list"]).await, 0, &["2 open conflicts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_a_postgres_sink_are_shown_and_a_sink_that_is_gone_is_named() {
    let target = postgres("conflicts").await;
    let pipeline = Pipeline::new(&text(&format!(
        "type = \"postgres\"\nurl = \"{}\"",
        target.url()
    )));
    let nothing = pipeline
        .command(&["conflicts", "list", pipeline.file()])
        .await;
    expect(&nothing, 0, &["0 open conflicts"]);
    for sql in kept(Dialect::Postgres, "billing") {
        target.execute(&sql).await;
    }
    shows_what_is_kept(&pipeline).await;

    let nobody = "type = \"postgres\"\nurl = \"postgres://me@127.0.0.1:1/none\"";
    let gone = Pipeline::new(&text(nobody));
    let list = gone.command(&["conflicts", "list", gone.file()]).await;
    expect(
        &list,
        3,
        &["pipeline/billing", "127.0.0.1:1", "0 open conflicts"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_a_mariadb_sink_are_shown() {
    let target = mariadb("conflicts").await;
    let pipeline = Pipeline::new(&text(&format!(
        "type = \"mysql\"\nurl = \"{}\"",
        target.url()
    )));
    let nothing = pipeline
        .command(&["conflicts", "list", pipeline.file()])
        .await;
    expect(&nothing, 0, &["0 open conflicts"]);
    for sql in kept(Dialect::Mysql, "billing") {
        target.execute(&sql).await;
    }
    shows_what_is_kept(&pipeline).await;
}
