//! The commands for the conflicts that a sink records beside its rows.
//! Longer than 400 lines: every command with the whole of what it prints.

use serde_json::Value;
use syncline_connectors::conflict::{
    ConflictRecord, ConflictType, CountKey, Json, Place, QueueEntry, QueueState, Sides, Winner,
};
use syncline_connectors::mysql::MYSQL;
use syncline_connectors::postgres::POSTGRES;
use syncline_connectors::sql::dialect::Dialect;
use syncline_connectors::sql::metadata::{Counts, MetadataTables, Tables, Waiting};
use syncline_connectors::sqlite::SQLITE;

use crate::harness::{Finished, Pipeline, mariadb, postgres};

/// A pipeline with two sinks; the tests fill `billing`.
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

/// The records of a sink: two conflicts in the queue, of which one is decided, and three that were
/// decided at once.
fn kept(dialect: &'static Dialect, sink: &str) -> Vec<String> {
    let metadata = MetadataTables::new(dialect, "pipeline", sink);
    let tables = Tables {
        history: true,
        counts: true,
        queue: true,
        shadow: false,
        waiting_room: false,
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
        metadata.insert_queue(&[entry(sink, 42), entry(sink, 43)]),
        metadata.append_waiting(&[waiting, waiting]),
        vec![decided.to_owned()],
        metadata.insert_history(&records),
        metadata.add_counts(
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

/// The output that is the same for every database.
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
    // Nothing has run yet, so there is no file, and the commands must not create one.
    for command in ["list", "history", "stats"] {
        let nothing = run(&[command, pipeline.file()]).await;
        match command {
            // No history is kept: that there is none would say something else.
            "history" => expect(&nothing, 2, &["no sink keeps a history"]),
            _ => expect(&nothing, 0, &["0 "]),
        }
        assert_eq!(
            json(&run(&[command, "--json", pipeline.file()]).await),
            Value::Array(vec![])
        );
    }
    let path = |name: &str| pipeline.folder().join(name);
    assert!(!path("billing.db").exists() && !path("audit.db").exists());

    let fill = |name: &str, sink: &str| {
        let database = rusqlite::Connection::open(path(name)).expect("the folder can be written");
        for sql in kept(&SQLITE, sink) {
            database.execute(&sql, []).expect("the statement holds");
        }
    };
    fill("billing.db", "billing");
    shows_what_is_kept(&pipeline).await;

    // The second sink has a conflict with the same number.
    fill("audit.db", "audit");
    let candidates = ["pipeline/billing/1, pipeline/audit/1", "write one of"];
    expect(&run(&["show", "1", pipeline.file()]).await, 2, &candidates);
    expect(
        &run(&["show", "audit/1", pipeline.file()]).await,
        0,
        &["pipeline/audit/1"],
    );

    // Without a file argument, the folder `pipelines` is used if it exists.
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
    for sql in kept(&POSTGRES, "billing") {
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

/// An envelope of the table `clients` with the row before, if there is one, and the row after.
fn envelope(operation: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"op":"{operation}","before":{before},"after":{after},"source":{{"table":"clients"}}}}"#
    )
}

/// A row in an envelope.
fn row(id: i64, name: &str, notes: &str, version: i64) -> String {
    format!(r#"{{"id":{id},"name":"{name}","notes":"{notes}","version":{version}}}"#)
}

/// A pipeline with one source and the sink `billing`.
fn explained(billing: &str) -> String {
    format!(
        r#"[sources.export]
type   = "file"
path   = "export.jsonl"
format = "debezium-json"
schema = {{ id = "int64", name = "string", notes = "string", version = "int64" }}
key    = ["id"]

[operators.named]
type   = "filter"
inputs = ["export"]
where  = "name <> 'nobody'"

[sinks.billing]
inputs = ["named"]
table  = "clients"
key    = ["id"]
{billing}

[sinks.billing.conflict]
strategy = "newest_wins"
version  = "version"
columns.notes = "concat"
columns.name = "manual"
history.to = "file"
history.path = "history.jsonl"
"#
    )
}

/// Explains changes and checks that nothing is written: `state` returns the whole content of the
/// database. In the target, client 1 is as the source left it, and client 2 was edited since.
async fn explains_and_writes_nothing(pipeline: &Pipeline, state: impl AsyncFn() -> Vec<String>) {
    let source = pipeline.folder().join("export.jsonl");
    let history = pipeline.folder().join("history.jsonl");
    let told = |lines: &[String]| {
        std::fs::write(&source, lines.join("\n") + "\n").expect("the folder can be written");
    };
    let first = [
        envelope("c", "null", &row(1, "Ann", "a", 10)),
        envelope("c", "null", &row(2, "Bob", "b", 10)),
        envelope("c", "null", &row(3, "Cid", "c", 10)),
    ];
    told(&first);
    let ran = pipeline.run_once(crate::harness::DEADLINE).await;
    ran.expect_success();
    let mut all = first.to_vec();
    all.push(envelope(
        "u",
        &row(1, "Ann", "a", 10),
        &row(1, "Ann", "aa", 11),
    ));
    all.push(envelope(
        "u",
        &row(2, "Bob", "b", 10),
        &row(2, "Bob", "bb", 11),
    ));
    all.push(envelope(
        "u",
        &row(9, "Zoe", "z", 10),
        &row(9, "Zoe", "zz", 11),
    ));
    told(&all);

    let before = state().await;
    let kept = std::fs::read(&history).ok();
    let explain = async |arguments: &[&str]| {
        let arguments = [&["conflicts", "explain", pipeline.file()], arguments].concat();
        pipeline.command(&arguments).await
    };
    // The target equals the base: no conflict (C1).
    let plain = explain(&["--key", "1"]).await;
    expect(
        &plain,
        0,
        &[
            "u of export: export.jsonl[0] at ",
            "not applied yet: the sink's position is ",
            "6 records of export, 2 changes of the row",
            "*>  notes    \"a\"    \"aa\"    \"a\"     \"aa\"",
            "detect = before (by default): the target equals the base: no conflict",
            "would be written: notes, version",
        ],
    );
    // Both sides changed the notes: the column's own strategy decides (C2).
    let merged = explain(&["--key", "{\"id\": 2}"]).await;
    expect(
        &merged,
        0,
        &[
            "in notes",
            "conflict update_origin_differs",
            "strategy newest_wins: ",
            "column notes: decided by concat gives \"mine\\nbb\"",
            "would be written: notes",
        ],
    );
    let told_json = json(&explain(&["--key", "2", "--json"]).await);
    let answer = &told_json["answers"][0];
    assert_eq!(answer["verdict"], "write", "{told_json}");
    assert_eq!(answer["conflict"]["type"], "update_origin_differs");
    assert_eq!(answer["columns"]["notes"], "concat");
    assert_eq!(answer["rows"]["base"]["notes"], "b");
    assert_eq!(answer["rows"]["result"]["notes"], "mine\nbb");
    assert_eq!(answer["applied"], false);
    assert_eq!(told_json["read"]["complete"], true);
    // A change that is already written is recognised (R4).
    expect(
        &explain(&["--key", "3"]).await,
        0,
        &[
            "already applied",
            "nothing would be written: the target already has this state",
        ],
    );
    expect(
        &explain(&["--key", "9"]).await,
        0,
        &[
            "has no such row",
            "update_missing, which the source wins",
            "the row, inserted",
        ],
    );
    // A given change: a conflict for a person, and a delete that is older than the row (C6).
    let given = envelope("u", &row(2, "Bob", "b", 10), &row(2, "Rob", "b", 12));
    expect(
        &explain(&["--change", &given]).await,
        0,
        &["u, as given, of export", "would be written: name, version"],
    );
    let old = envelope("d", &row(2, "Bob", "b", 1), "null");
    expect(
        &explain(&["--change", &old, "--key", "2"]).await,
        0,
        &[
            "conflict delete_exists",
            "target wins: the target is newer (version 1 at the source and 10 in the target)",
            "the target's row stays",
        ],
    );
    let both = envelope("u", &row(2, "Bo", "b", 10), &row(2, "Rob", "b", 12));
    expect(
        &explain(&["--change", &both]).await,
        0,
        &[
            "manual",
            "no winner yet: a person decides",
            "would wait for a person",
        ],
    );
    let nobody = row(2, "nobody", "b", 1);
    expect(
        &explain(&["--change", &nobody]).await,
        0,
        &["it is filtered"],
    );
    // A question without an answer says why.
    expect(
        &explain(&["--key", "77"]).await,
        1,
        &[
            "no change of 77 reaches sink billing",
            "6 records of source export were read to the end",
        ],
    );
    expect(
        &explain(&["--key", "{\"no\": 1}"]).await,
        2,
        &["the key of sink billing is id"],
    );
    expect(
        &explain(&["--change", &old, "--key", "3"]).await,
        2,
        &["does not change the row 3"],
    );
    expect(
        &explain(&["--key", "1", "--sink", "no"]).await,
        2,
        &["write --sink with one of billing"],
    );
    expect(&explain(&[]).await, 2, &["--key"]);

    assert_eq!(state().await, before);
    assert_eq!(std::fs::read(&history).ok(), kept);

    // The sink's own records are used, too: versions of deletes (R12), open conflicts (C9).
    all.push(envelope("d", &row(1, "Ann", "aa", 11), "null"));
    all.push(envelope(
        "u",
        &row(3, "Cy", "c", 10),
        &row(3, "Sid", "c", 12),
    ));
    told(&all);
    pipeline
        .run_once(crate::harness::DEADLINE)
        .await
        .expect_success();
    let late = envelope("u", &row(1, "Ann", "a", 4), &row(1, "Ann", "a", 5));
    expect(
        &explain(&["--change", &late]).await,
        0,
        &[
            "a delete with version 11 was applied: only a newer change can insert the row again",
            "target wins: the row was deleted by a change that is not older",
            "the row stays deleted",
        ],
    );
    expect(
        &explain(&["--key", "3"]).await,
        0,
        &[
            "open conflict pipeline/billing/1 of this row: the change waits for it",
            "already applied",
        ],
    );
}

/// The table `clients`, as its owner creates it.
const TABLE: &str =
    "CREATE TABLE clients (id bigint PRIMARY KEY, name text, notes text, version bigint)";

/// The same pipeline with a sink that stores the source's last rows.
fn with_shadow(text: &str) -> String {
    let conflict = "[sinks.billing.conflict]\n";
    text.replace(conflict, &format!("{conflict}base = \"shadow\"\n"))
}

/// The content of a SQLite file as text, including Syncline's own tables.
fn sqlite_state(path: &std::path::Path) -> Vec<String> {
    let database = rusqlite::Connection::open(path).expect("the file opens");
    let read = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).expect("the table is there");
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = (0..width).map(|at| row.get_ref(at).map(|cell| format!("{cell:?}")));
            Ok(cells.collect::<Result<Vec<_>, _>>()?.join("|"))
        });
        rows.and_then(Iterator::collect).expect("it can be read")
    };
    let schema = read("SELECT name, sql FROM sqlite_master ORDER BY name");
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let names: Vec<String> = database
        .prepare(names)
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .expect("it can be read");
    let rows = names
        .iter()
        .flat_map(|name| read(&format!("SELECT '{name}', * FROM \"{name}\" ORDER BY 2")));
    schema.iter().cloned().chain(rows).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_become_of_a_change_is_explained_and_not_done_in_sqlite() {
    let text = explained("type = \"sqlite\"\npath = \"billing.db\"\nevolution = \"evolve\"");
    let pipeline = Pipeline::new(&text);
    let path = pipeline.folder().join("billing.db");
    // Nothing has run yet, so there is no file, and explain must not create one.
    let source = pipeline.folder().join("export.jsonl");
    let line = envelope("c", "null", &row(2, "Bob", "b", 10));
    std::fs::write(&source, line + "\n").expect("the folder can be written");
    let arguments = ["conflicts", "explain", pipeline.file(), "--key", "2"];
    let first = pipeline.command(&arguments).await;
    expect(
        &first,
        0,
        &["does not exist: a write creates it", "the row, inserted"],
    );
    assert!(!path.exists());
    // Explain must not create the sink's own tables either, if the row's table exists.
    let made = rusqlite::Connection::open(&path).expect("the folder can be written");
    made.execute_batch(TABLE).expect("the statement holds");
    let empty = sqlite_state(&path);
    pipeline.write(&with_shadow(&text));
    let first = pipeline.command(&arguments).await;
    expect(&first, 0, &["has no such row", "the row, inserted"]);
    assert_eq!(sqlite_state(&path), empty);
    pipeline.write(&text);

    let state = async || {
        let state = sqlite_state(&path);
        if state.iter().all(|line| !line.contains("mine")) {
            let database = rusqlite::Connection::open(&path).expect("the file opens");
            let edit = "UPDATE clients SET notes = 'mine' WHERE id = 2";
            database.execute(edit, []).expect("the row is there");
            return sqlite_state(&path);
        }
        state
    };
    explains_and_writes_nothing(&pipeline, state).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_become_of_a_change_is_explained_and_not_done_in_postgres() {
    let target = postgres("explain").await;
    target.execute(TABLE).await;
    let text = explained(&format!("type = \"postgres\"\nurl = \"{}\"", target.url()));
    let pipeline = Pipeline::new(&text);
    let source = pipeline.folder().join("export.jsonl");
    let line = envelope("c", "null", &row(2, "Bob", "b", 10));
    std::fs::write(&source, line + "\n").expect("the folder can be written");
    let arguments = ["conflicts", "explain", pipeline.file(), "--key", "2"];
    pipeline.write(&with_shadow(&text));
    let first = pipeline.command(&arguments).await;
    expect(&first, 0, &["has no such row", "the row, inserted"]);
    // Nothing has run yet, and explain must not create any of the sink's own tables.
    let tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%syncline%'";
    assert_eq!(target.rows(tables).await.len(), 0);
    pipeline.write(&text);

    let state = async || {
        target
            .execute("UPDATE clients SET notes = 'mine' WHERE id = 2 AND notes = 'b'")
            .await;
        let tables = "SELECT c.relname, coalesce(query_to_xml(format('SELECT * FROM %I ORDER BY 1, 2', c.relname), true, true, '')::text, '') \
                      FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1";
        let sequences = "SELECT sequencename, last_value::text FROM pg_sequences ORDER BY 1";
        let mut state = target.rows(tables).await;
        state.extend(target.rows(sequences).await);
        state.iter().map(|row| format!("{row:?}")).collect()
    };
    explains_and_writes_nothing(&pipeline, state).await;
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
    for sql in kept(&MYSQL, "billing") {
        target.execute(&sql).await;
    }
    shows_what_is_kept(&pipeline).await;
}
