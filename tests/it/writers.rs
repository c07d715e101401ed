//! `writers = N`: the changes of one partition over several connections end as over one, with one order for
//! each key and every change written once, whatever is killed and however N changes between runs.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, Executor};

use crate::harness::{
    DEADLINE, Finished, Pipeline, Proxy, Target, Workload, eventually, kafka, postgres,
};

const KILLS: usize = 12;
const CHANGES: usize = 60_000;
const KEYS: u64 = 8_000;

/// The position of the last writer of every partition, once they stand together.
const POSITION: &str =
    "SELECT CAST(sum(position) AS text) FROM _syncline_positions WHERE topic NOT LIKE 'writer:%'";
/// Where the writer stands that stands last.
const LAST: &str = "SELECT COALESCE(min(position), 0) FROM _syncline_positions";

#[tokio::test(flavor = "multi_thread")]
async fn kills_between_writers_lose_nothing_and_duplicate_nothing_r4() {
    let kafka = kafka();
    let topic = kafka.topic("writers", 1).await;
    let target = postgres("writers").await;
    target.execute(Workload::TABLE).await;
    // A change that is written twice, or a row of another writer, shows.
    target
        .execute(
            "CREATE TABLE applied (n bigserial, id bigint, name text, at timestamptz);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               INSERT INTO applied (id, name, at) VALUES (NEW.id, NEW.email, NEW.updated_at); RETURN NULL; END $$;
             CREATE TRIGGER note AFTER INSERT OR UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await;
    let workload = Workload::generate(21, CHANGES, KEYS, false);
    kafka.produce(&topic, &workload.messages);
    let server_port = url::Url::parse(target.url()).expect("a URL").port();
    let proxy = Proxy::start(server_port.expect("a port")).await;
    proxy.delay(Duration::from_millis(2));
    let url = target.url_through(proxy.port());
    let pipeline = Pipeline::new(&kill_text(&topic, kafka.brokers(), &url, 2, "", ""));
    let moved = async || target.positions_sum().await.unwrap_or_default();
    for kill in 0..KILLS {
        let writers = [2, 3, 3, 1, 4][kill % 5];
        pipeline.write(&kill_text(&topic, kafka.brokers(), &url, writers, "", ""));
        let start = moved().await;
        let mut process = pipeline.start(&[]);
        eventually("progress", DEADLINE, async || {
            process.expect_running();
            let now = moved().await;
            if now > start { Ok(()) } else { Err(now) }
        })
        .await;
        assert!(process.kill(), "it ran until it was killed");
    }
    proxy.heal();
    let finished = pipeline.run_once(4 * DEADLINE).await;
    finished.expect_success();
    let total = workload.messages.len().to_string();
    assert_eq!(target.rows(POSITION).await, [[Some(total)]]);
    let (found, expected) = (target.rows(Workload::QUERY).await, workload.expected());
    let differing = found
        .iter()
        .zip(&expected)
        .find(|(found, expected)| found != expected);
    assert_eq!(differing, None, "found and expected row");
    assert_eq!(found.len(), expected.len());
    let twice = "SELECT id, name, at FROM applied GROUP BY 1, 2, 3 HAVING count(*) > 1 LIMIT 3";
    assert_eq!(target.rows(twice).await, Vec::<Vec<Option<String>>>::new());
    let back = "SELECT a.id FROM (SELECT id, at, lag(at) OVER (PARTITION BY id ORDER BY n) AS before FROM applied) AS a
        WHERE a.at < a.before LIMIT 3";
    assert_eq!(target.rows(back).await, Vec::<Vec<Option<String>>>::new());
}

/// A change that is written twice is added twice, which no later change of the row mends.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_two_commits_adds_every_change_once_c8() {
    let kafka = kafka();
    let topic = kafka.topic("writers_sum", 1).await;
    let target = postgres("writers_sum").await;
    target.execute(Workload::TABLE).await;
    let workload = Workload::generate(22, 4_000, 900, false);
    let (first, second) = workload.messages.split_at(2_000);
    kafka.produce(&topic, first);
    let conflict = "conflict.columns.balance = \"sum\"\n";
    // The first writer writes a small delivery for both, so a batch waits until it is full.
    let batch = "linger_ms = 5000";
    let text = kill_text(&topic, kafka.brokers(), target.url(), 2, batch, conflict);
    let pipeline = Pipeline::new(&text);
    let mut process = pipeline.start(&[]);
    let last = async || target.number(LAST).await.unwrap_or(0);
    // The last row can be written before the other writer has committed, so both positions are asked for.
    eventually("the first half of both writers", DEADLINE, async || {
        process.expect_running();
        let now = target.positions_sum().await.unwrap_or_default();
        if now == 2 * first.len() as i64 {
            Ok(())
        } else {
            Err(now)
        }
    })
    .await;
    // The second writer cannot move its position, so the first one commits alone.
    let mut other = sqlx::PgConnection::connect(target.url())
        .await
        .expect("PostgreSQL is up");
    let hold = "BEGIN; SELECT 1 FROM _syncline_positions WHERE topic LIKE 'writer:%' FOR UPDATE";
    let held = other.execute(sqlx::raw_sql(hold)).await;
    held.expect("it is held");
    kafka.produce(&topic, second);
    eventually("a commit of one writer", DEADLINE, async || {
        process.expect_running();
        let sum = target.positions_sum().await.unwrap_or_default();
        if sum > 2 * first.len() as i64 {
            Ok(())
        } else {
            Err(sum)
        }
    })
    .await;
    assert!(process.kill(), "it ran until it was killed");
    other
        .execute(sqlx::raw_sql("ROLLBACK"))
        .await
        .expect("it is let go");
    let finished = pipeline.run_once(DEADLINE).await;
    finished.expect_success();
    assert_eq!(last().await, workload.messages.len() as i64);
    let (found, expected) = (target.rows(Workload::QUERY).await, workload.expected());
    let differing = found
        .iter()
        .zip(&expected)
        .find(|(found, expected)| found != expected);
    assert_eq!(differing, None, "found and expected row");
    assert_eq!(found.len(), expected.len());
}

fn kill_text(
    topic: &str,
    brokers: &str,
    url: &str,
    writers: usize,
    batch: &str,
    conflict: &str,
) -> String {
    format!(
        r#"
[batch]
rows = 400
{batch}

[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"
# A killed member leaves its group only when its session is over.
properties = {{ "session.timeout.ms" = "2000", "heartbeat.interval.ms" = "400" }}

[sources.crm.schema]
{schema}
[sinks.billing]
type    = "postgres"
inputs  = ["crm"]
url     = "{url}"
table   = "clients"
key     = ["id"]
writers = {writers}
{conflict}"#,
        schema = Workload::SCHEMA,
    )
}

fn change(operation: &str, before: Value, after: Value) -> Value {
    json!({ "op": operation, "before": before, "after": after, "source": { "table": "items" }, "ts_ms": 1 })
}

/// Runs a file of changes into `items` of each database that can have several writers.
async fn run(
    label: &str,
    table: &str,
    changes: &[Value],
    look: &str,
) -> Vec<(Finished, Vec<Vec<Option<String>>>)> {
    let mut found = Vec::new();
    for target in Target::each(label).await {
        if target.kind() == "sqlite" {
            continue;
        }
        target.execute(table).await;
        let pipeline = Pipeline::new(&format!(
            "[batch]\nrows = 1000\n\
             [sources.crm]\ntype = \"file\"\npath = \"changes.jsonl\"\nformat = \"debezium-json\"\nkey = [\"id\"]\n\
             [sources.crm.schema]\nid = \"int64\"\ncode = \"string\"\n\
             [sinks.billing]\n{}\ninputs = [\"crm\"]\ntable = \"items\"\nwriters = 4\n\
             [quarantine]\ntype = \"file\"\npath = \"quarantine\"\n",
            target.lines()
        ));
        let lines: String = changes.iter().map(|change| format!("{change}\n")).collect();
        std::fs::write(pipeline.folder().join("changes.jsonl"), lines)
            .expect("the folder is there");
        let process = pipeline.start(&["--once", "--json"]);
        let finished = pipeline.finish(process, DEADLINE).await;
        let rows = target.rows(look).await;
        let marks = "SELECT topic FROM _syncline_positions WHERE topic LIKE 'writer:%'";
        assert_eq!(target.rows(marks).await.len(), 3, "{}", target.kind());
        found.push((finished, rows));
    }
    found
}

fn balance(finished: &Finished) -> Value {
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    summaries[0]["sinks"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_moves_between_keys_of_several_writers_is_taken_r20() {
    const ROWS: i64 = 1_500;
    let row = |id: i64, code: String| json!({ "id": id, "code": code });
    let mut changes: Vec<Value> = (1..=ROWS)
        .map(|id| change("c", Value::Null, row(id, format!("m{id}"))))
        .collect();
    // Every code goes to the row before, and that of the first to the last.
    changes.push(change("u", Value::Null, row(1, "free".to_owned())));
    changes.extend((2..=ROWS).map(|id| change("u", Value::Null, row(id, format!("m{}", id - 1)))));
    changes.push(change("u", Value::Null, row(1, format!("m{ROWS}"))));
    let table = "CREATE TABLE items (id bigint PRIMARY KEY, code varchar(20) NOT NULL UNIQUE)";
    let look = "SELECT count(*), count(DISTINCT code) FROM items WHERE code <> 'free'";
    for (finished, rows) in run("moving", table, &changes, look).await {
        finished.expect_success();
        let sum = balance(&finished);
        assert_eq!(
            (&sum["quarantined"], &sum["in"]),
            (&json!(0), &json!(changes.len())),
            "{sum}"
        );
        assert_eq!(rows, [[Some(ROWS.to_string()), Some(ROWS.to_string())]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_writer_is_refused_costs_its_change_alone_and_every_change_counts_once_r17() {
    const ROWS: i64 = 6_000;
    let mut changes: Vec<Value> = (1..=ROWS)
        .map(|id| {
            let code = if id % 500 == 77 {
                "bad".to_owned()
            } else {
                format!("c{id}")
            };
            change("c", Value::Null, json!({ "id": id, "code": code }))
        })
        .collect();
    // A change of key goes through all writers, as a delete does through one.
    let moved = |id: i64| json!({ "id": id, "code": "moved" });
    changes.push(change(
        "u",
        json!({ "id": 1, "code": "c1" }),
        moved(ROWS + 1),
    ));
    changes.push(change("d", json!({ "id": 2, "code": "c2" }), Value::Null));
    let table =
        "CREATE TABLE items (id bigint PRIMARY KEY, code varchar(20) CHECK (code <> 'bad'))";
    let look = "SELECT count(*), min(id), max(id) FROM items";
    for (finished, rows) in run("refused", table, &changes, look).await {
        finished.expect_success();
        let sum = balance(&finished);
        assert_eq!(sum["quarantined"], 12, "{sum}");
        // The change of key is a delete and a create.
        assert_eq!(sum["in"], ROWS + 3, "{sum}");
        assert_eq!(sum["written"], ROWS + 3 - 12, "{sum}");
        assert_eq!(sum["replayed"], 0, "{sum}");
        let expected = [ROWS - 12 - 1, 3, ROWS + 1].map(|number| Some(number.to_string()));
        assert_eq!(rows, [expected]);
    }
}
