//! `kill -9` while conflicts are decided: the history, the counts, the queue and the changes that
//! wait must be the same as without kills (C9, C10, R4).

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, Pipeline, Proxy, eventually, postgres};

const KILLS: usize = 5;
const CHANGES: u64 = 4_000;
const CLIENTS: u64 = 200;

const TABLE: &str =
    "CREATE TABLE clients (id bigint PRIMARY KEY, name text, note text, amount bigint)";

/// Edits by others: the name of every fifth client, the amount of every second, the note of every
/// third; every seventh client does not exist.
const EDITED: &str = "
INSERT INTO clients
SELECT id, CASE WHEN id % 5 = 0 THEN 'own' ELSE 'first' END,
       CASE WHEN id % 3 = 0 THEN 'own' ELSE 'first' END, CASE WHEN id % 2 = 0 THEN 1000 ELSE 0 END
FROM generate_series(0, 199) id WHERE id % 7 <> 0";

/// Everything that must be equal: without times and without numbers that the database assigns.
const QUERIES: [&str; 6] = [
    "SELECT * FROM clients ORDER BY id",
    "SELECT id, key, kind, strategy, winner, columns, reason, base_row, source_row, target_row, result_row, position
     FROM _syncline_conflicts ORDER BY id",
    "SELECT key, kind, columns, reason, base_row, source_row, target_row, change, position, state
     FROM _syncline_conflict_queue ORDER BY key, id",
    "SELECT key, change FROM _syncline_conflict_waiting ORDER BY key, sequence",
    "SELECT kind, strategy, column_name, winner, count FROM _syncline_conflict_counts ORDER BY 1, 2, 3, 4",
    "SELECT pipeline, sink, source, topic, partition, position FROM _syncline_positions",
];

#[tokio::test(flavor = "multi_thread")]
async fn kills_leave_history_queue_and_counts_as_without_them_c9_c10() {
    let events = events();
    let total = events.len() as i64;
    let undisturbed = target("undisturbed").await;
    pipeline(undisturbed.url(), &events)
        .run_once(4 * DEADLINE)
        .await
        .expect_success();

    let killed = target("killed").await;
    let server_port = url::Url::parse(killed.url()).expect("a URL").port();
    let proxy = Proxy::start(server_port.expect("a port")).await;
    proxy.delay(Duration::from_millis(1));
    let pipeline = pipeline(&killed.url_through(proxy.port()), &events);
    let position = async || killed.positions_sum().await.expect("the target answers");
    for kill in 0..KILLS as i64 {
        // At some point in the next part of the stream, and at some step of a transaction.
        let until = position().await + 1 + kill * 7_919 % (total / 20);
        let mut process = pipeline.start(&["--once"]);
        let reached = eventually("progress", DEADLINE, async || {
            process.expect_running();
            let now = position().await;
            if now >= until { Ok(now) } else { Err(now) }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(kill as u64 * 13 % 40)).await;
        assert!(process.kill(), "it ran until it was killed");
        assert!(
            reached < total,
            "the stream was over after {kill} kills: make it longer"
        );
    }
    proxy.heal();
    pipeline.run_once(4 * DEADLINE).await.expect_success();

    for query in QUERIES {
        let (expected, found) = (undisturbed.rows(query).await, killed.rows(query).await);
        assert!(
            !expected.is_empty(),
            "there is something to compare: {query}"
        );
        let differing = expected
            .iter()
            .zip(&found)
            .find(|(expected, found)| expected != found);
        assert_eq!(differing, None, "expected and found: {query}");
        assert_eq!(found.len(), expected.len(), "{query}");
    }
}

async fn target(label: &str) -> Database {
    let database = postgres(label).await;
    database.execute(TABLE).await;
    database.execute(EDITED).await;
    database
}

/// Updates with the row before, one on each line.
fn events() -> String {
    let row = |id: u64, turn: u64| -> Value {
        let text = |every: u64| match turn / every {
            0 => "first".to_owned(),
            number => format!("source {number}"),
        };
        json!({ "id": id, "name": text(2), "note": text(1), "amount": turn * (1 + id % 9) })
    };
    (0..CHANGES)
        .map(|number| {
            // Every client once in each turn, in another order each time.
            let (turn, place) = (number / CLIENTS, number % CLIENTS);
            let id = (place * 37 + turn * 11) % CLIENTS;
            let event = json!({
                "before": row(id, turn), "after": row(id, turn + 1),
                "source": { "table": "clients" }, "op": "u", "ts_ms": 1_767_225_600_000_u64 + number,
            });
            format!("{event}\n")
        })
        .collect()
}

fn pipeline(url: &str, events: &str) -> Pipeline {
    let pipeline = Pipeline::new(&format!(
        r#"[batch]
rows = 60

[sources.export]
type   = "file"
path   = "export.jsonl"
format = "debezium-json"
schema = {{ id = "int64", name = "string", note = "string", amount = "int64" }}
key    = ["id"]

[sinks.billing]
type   = "postgres"
inputs = ["export"]
url    = "{url}"
table  = "clients"
key    = ["id"]

[sinks.billing.conflict]
strategy       = "merge"
columns.amount = "sum"
columns.name   = "manual"

[sinks.billing.conflict.history]
per_second_max = 1000000
"#
    ));
    let path = pipeline.folder().join("export.jsonl");
    fs::write(path, events).expect("the folder can be written");
    pipeline
}
