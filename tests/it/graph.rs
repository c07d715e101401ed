//! Pipelines with several sinks or sources, and with sources and sinks other than Kafka and
//! PostgreSQL.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Pipeline, Workload, eventually, kafka, postgres};

fn source(name: &str, topic: &str, brokers: &str) -> String {
    format!(
        r#"
[sources.{name}]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"
properties = {{ "session.timeout.ms" = "2000", "heartbeat.interval.ms" = "400" }}

[sources.{name}.schema]
{schema}"#,
        schema = Workload::SCHEMA,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_feeds_two_sinks_and_a_filter_holds_for_its_branch_alone() {
    let kafka = kafka();
    let topic = kafka.topic("fan_out", 2).await;
    let target = postgres("fan_out").await;
    target.execute(Workload::TABLE).await;
    let workload = Workload::generate(21, 4_000, 500, false);
    kafka.produce(&topic, &workload.messages);
    let text = format!(
        r#"{source}
[operators.even]
type   = "filter"
inputs = ["crm"]
where  = "id % 2 = 0"

[sinks.billing]
type   = "postgres"
inputs = ["crm"]
url    = "{url}"
table  = "clients"
key    = ["id"]

[sinks.log]
type   = "file"
inputs = ["even"]
path   = "even.jsonl"
"#,
        source = source("crm", &topic, kafka.brokers()),
        url = target.url(),
    );
    let pipeline = Pipeline::new(&text);
    let finished = pipeline
        .finish(pipeline.start(&["--once", "--json"]), DEADLINE)
        .await;
    finished.expect_success();
    assert_eq!(target.rows(Workload::QUERY).await, workload.expected());

    // The file contains every change of an even key; the changes of a key are in order.
    let mut expected: BTreeMap<i64, Vec<(String, Value)>> = BTreeMap::new();
    for message in &workload.messages {
        let Some(value) = &message.value else {
            continue;
        };
        let value: Value = serde_json::from_str(value).expect("JSON");
        let image = if value["op"] == "d" {
            "before"
        } else {
            "after"
        };
        let id = value[image]["id"].as_i64().expect("an id");
        if id % 2 == 0 {
            let operation = value["op"].as_str().expect("an operation").to_owned();
            let changes = expected.entry(id).or_default();
            changes.push((operation, value[image]["email"].clone()));
        }
    }
    let mut found: BTreeMap<i64, Vec<(String, Value)>> = BTreeMap::new();
    let lines = fs::read_to_string(pipeline.folder().join("even.jsonl")).expect("the file");
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).expect("a line of JSON");
        let operation = row["_op"].as_str().expect("an operation").to_owned();
        let changes = found.entry(row["id"].as_i64().expect("an id")).or_default();
        changes.push((operation, row["email"].clone()));
    }
    assert_eq!(found, expected);

    // R17, for each sink.
    let summary: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let changes = workload.messages.iter();
    let changes = changes.filter(|message| message.value.is_some()).count() as i64;
    let kept: usize = expected.values().map(Vec::len).sum();
    let sinks = summary[0]["sinks"].as_array().expect("sinks");
    let count = |sink: &Value, part: &str| sink[part].as_i64().expect("a count");
    for sink in sinks {
        let parts = ["written", "superseded", "filtered", "kept", "quarantined"];
        let sum: i64 = parts.iter().map(|part| count(sink, part)).sum();
        // A delete with its tombstone is one delete: the tombstone is superseded (R12).
        let all = workload.messages.len() as i64;
        assert_eq!((count(sink, "in"), sum), (all, all), "{sink}");
        let filtered = if sink["sink"] == "log" {
            changes - kept as i64
        } else {
            0
        };
        assert_eq!(count(sink, "filtered"), filtered, "{sink}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_topics_flow_into_one_table() {
    let kafka = kafka();
    let target = postgres("fan_in").await;
    target.execute(Workload::TABLE).await;
    // The keys of the second office get an offset, so that they differ from those of the first.
    let (one, two) = (
        Workload::generate(22, 2_000, 300, false),
        Workload::generate(23, 2_000, 300, false),
    );
    let mut sources = String::new();
    for (name, workload) in [("north", &one), ("south", &two)] {
        let topic = kafka.topic(name, 2).await;
        kafka.produce(&topic, &workload.messages);
        sources.push_str(&source(name, &topic, kafka.brokers()));
    }
    let columns = [
        "first_name",
        "last_name",
        "email",
        "balance",
        "notes",
        "updated_at",
    ];
    let same: String = columns
        .iter()
        .map(|column| format!("fields.{column} = \"{column}\"\n"))
        .collect();
    let text = format!(
        r#"{sources}
[operators.moved]
type   = "map"
inputs = ["south"]
fields.id = "id + 1000"
{same}
[sinks.billing]
type   = "postgres"
inputs = ["north", "moved"]
url    = "{url}"
table  = "clients"
key    = ["id"]
"#,
        url = target.url(),
    );
    let pipeline = Pipeline::new(&text);
    pipeline.run_once(DEADLINE).await.expect_success();
    let mut expected = one.expected();
    expected.extend(two.expected().into_iter().map(|mut row| {
        let id: i64 = row[0].as_deref().expect("a key").parse().expect("a number");
        row[0] = Some((id + 1000).to_string());
        row
    }));
    assert_eq!(target.rows(Workload::QUERY).await, expected);
}

/// The position in a SQLite file; 0 if the file does not exist.
fn position(path: &std::path::Path) -> i64 {
    let open = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let query = "SELECT coalesce(sum(position), 0) FROM _syncline_positions";
    open.and_then(|connection| connection.query_row(query, [], |row| row.get(0)))
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_on_the_way_into_sqlite() {
    const KILLS: usize = 8;
    let kafka = kafka();
    let topic = kafka.topic("sqlite", 3).await;
    let workload = Workload::generate(24, 40_000, 5_000, false);
    kafka.produce(&topic, &workload.messages);
    let text = format!(
        r#"
[batch]
rows = 250
{source}
[sinks.replica]
type   = "sqlite"
inputs = ["crm"]
path   = "replica.db"
table  = "clients"
key    = ["id"]
evolution = "evolve"
"#,
        source = source("crm", &topic, kafka.brokers()),
    );
    let pipeline = Pipeline::new(&text);
    let path = pipeline.folder().join("replica.db");
    let total = workload.messages.len() as i64;
    for kill in 0..KILLS {
        let start = position(&path);
        let mut process = pipeline.start(&[]);
        let reached = eventually("progress", DEADLINE, async || {
            process.expect_running();
            match position(&path) {
                now if now > start => Ok(now),
                now => Err(now),
            }
        })
        .await;
        assert!(process.kill(), "it ran until it was killed");
        assert!(reached < total, "over after {kill} kills: make it longer");
    }
    pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(position(&path), total);
    let connection = Connection::open(&path).expect("the file is there");
    let query = "SELECT id, first_name, last_name, email, balance, notes, updated_at FROM clients ORDER BY id";
    let mut statement = connection.prepare(query).expect("the table is there");
    let found: Vec<Vec<Option<String>>> = statement
        .query_map([], |row| {
            let id: i64 = row.get(0)?;
            let rest = (1..7).map(|column| row.get(column));
            std::iter::once(Ok(Some(id.to_string())))
                .chain(rest)
                .collect()
        })
        .expect("it answers")
        .collect::<Result<_, _>>()
        .expect("text");
    let expected = workload.expected();
    let differing = found
        .iter()
        .zip(&expected)
        .find(|(one, other)| one != other);
    assert_eq!(differing, None, "found and expected row");
    assert_eq!(found.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_followed_and_resumed_where_it_was_left() {
    let line = |id: i64| {
        let row = json!({ "id": id, "name": format!("item {id}") });
        let event = json!({ "before": null, "after": row, "source": { "table": "items" }, "op": "c", "ts_ms": 1 });
        format!("{event}\n")
    };
    let target = postgres("follow_file").await;
    // A second insert of a key would change its count.
    target
        .execute(
            "CREATE TABLE items (id bigint PRIMARY KEY, name text);
             CREATE TABLE writes (id bigint);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO writes VALUES (NEW.id); RETURN NEW; END $$;
             CREATE TRIGGER note AFTER INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await;
    let pipeline = Pipeline::new(&format!(
        r#"
[sources.export]
type   = "file"
path   = "export.jsonl"
format = "debezium-json"
key    = ["id"]

[sources.export.schema]
id   = "int64"
name = "string"

[sinks.billing]
type   = "postgres"
inputs = ["export"]
url    = "{url}"
table  = "items"
key    = ["id"]
"#,
        url = target.url(),
    ));
    let path = pipeline.folder().join("export.jsonl");
    let append = |text: &str| {
        use std::io::Write;
        let file = fs::File::options().append(true).create(true).open(&path);
        let mut file = file.expect("the folder can be written");
        file.write_all(text.as_bytes()).expect("it is appended");
    };
    append(&line(1));
    let mut written = 1;
    for _ in 0..3 {
        let mut process = pipeline.start(&[]);
        for _ in 0..3 {
            // An incomplete line is not read: the next line is appended in two parts.
            let next = line(written + 1);
            let (head, tail) = next.split_at(20);
            append(head);
            arrives(&target, &mut process, written).await;
            append(tail);
            written += 1;
            arrives(&target, &mut process, written).await;
        }
        process.terminate();
        let finished = pipeline.finish(process, Duration::from_secs(20)).await;
        finished.expect_success();
        written += 1;
        append(&line(written));
    }
    pipeline.run_once(DEADLINE).await.expect_success();
    let ids: Vec<_> = (1..=written).map(|id| vec![Some(id.to_string())]).collect();
    assert_eq!(target.rows("SELECT id FROM items ORDER BY id").await, ids);
    let writes = target.rows("SELECT id FROM writes ORDER BY id").await;
    assert_eq!(writes, ids, "each line is written once");
}

async fn arrives(
    target: &crate::harness::Database,
    process: &mut crate::harness::Process,
    count: i64,
) {
    eventually("the line", DEADLINE, async || {
        process.expect_running();
        match target.number("SELECT count(*) FROM items").await {
            Ok(found) if found == count => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// What a run counts of its rules is counted where its summary looks.
#[tokio::test]
async fn the_summary_says_how_often_each_rule_failed() {
    let pipeline = Pipeline::new(
        "[sources.crm]\ntype = \"file\"\npath = \"rows.jsonl\"\nformat = \"json\"\nkey = [\"id\"]\n\
         [operators.check]\ntype = \"validate\"\ninputs = [\"crm\"]\nrules = [{ field = \"name\", required = true }]\n\
         [sinks.out]\ntype = \"blackhole\"\ninputs = [\"check\"]\n\
         [quarantine]\ntype = \"file\"\npath = \"quarantine\"\n",
    );
    let rows = "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":null}\n{\"id\":3,\"name\":null}\n";
    fs::write(pipeline.folder().join("rows.jsonl"), rows).expect("it is written");
    let finished = pipeline
        .finish(pipeline.start(&["--once", "--json"]), DEADLINE)
        .await;
    finished.expect_success();
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let rules = &summaries[0]["rules"];
    assert_eq!(rules[0]["operator"], "check", "{summaries:#}");
    assert_eq!(rules[0]["rules"][0]["count"], 2, "{rules}");
}
