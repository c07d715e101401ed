//! Rows are read and changed at the same time, and the process is killed again and again: both targets end
//! as the source, row for row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use syncline_connectors::conformance::source::check_source_from;
use syncline_connectors::record::HeldPositions;
use syncline_connectors::registry::SOURCES;
use syncline_connectors::source::{Opening, Purpose, Source as Reader};

use super::*;

const ROWS: i64 = 6_000;
const KILLS: usize = 5;

/// Changes of every kind, until it is told to stop.
async fn change(database: &Database, stop: &AtomicBool) -> i64 {
    let mut step: i64 = 0;
    while !stop.load(Ordering::Relaxed) {
        step += 1;
        let (key, new) = ((step * 7_919) % ROWS, ROWS + step);
        let sql = match step % 6 {
            // One transaction of several changes, of rows that exist and of a new one.
            0 => format!(
                "BEGIN; UPDATE clients SET version = version + 1 WHERE id BETWEEN {key} AND {key} + 40; \
                 INSERT INTO clients VALUES ({new}, 'new', {step}, NULL); COMMIT"
            ),
            1 => format!("DELETE FROM clients WHERE id = {key}"),
            2 => format!("UPDATE clients SET name = NULL, version = {step} WHERE id = {key}"),
            // A change of the key, with a large value that stays as it is.
            3 => format!("UPDATE clients SET id = -{new}, version = {step} WHERE id = {key}"),
            4 => format!(
                "INSERT INTO clients VALUES ({key}, 'again', {step}, repeat(md5('{step}'), 200)) \
                 ON CONFLICT (id) DO UPDATE SET version = {step}"
            ),
            // What is taken back is in no stream.
            _ => format!("BEGIN; DELETE FROM clients WHERE id > {key}; ROLLBACK"),
        };
        database.execute(&sql).await;
    }
    step
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_writers_at_the_same_time_lose_nothing_and_repeat_nothing() {
    let source = Source::new("replicated").await;
    let database = Arc::new(source.database);
    database.execute(CLIENTS).await;
    database
        .execute(&format!(
            "INSERT INTO clients SELECT n, 'client ' || n, 0, CASE WHEN n % 10 = 0 THEN repeat(md5(n::text), 200) END FROM generate_series(0, {}) AS n",
            ROWS - 1
        ))
        .await;
    let targets = [
        Target::Postgres(crate::harness::postgres("replica").await),
        Target::Sqlite(tempfile::tempdir().expect("a folder")),
    ];
    for target in &targets {
        target.execute(CLIENTS).await;
    }
    let pipeline = Pipeline::new(&format!(
        "[batch]\nrows = 200\n{}{}{}",
        super::source(&database, &source.slot, "[\"clients\"]", ""),
        sink("one", &targets[0], "table = \"clients\""),
        sink("two", &targets[1], "table = \"clients\""),
    ));
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (database, stop) = (database.clone(), stop.clone());
        async move { change(&database, &stop).await }
    });
    let position = "SELECT COALESCE(sum(position), 0) FROM _syncline_positions";
    for kill in 0..KILLS {
        let place = async || match &targets[0] {
            Target::Postgres(target) => target.number(position).await.unwrap_or(0),
            _ => 0,
        };
        let before = place().await;
        let mut process = pipeline.start_as(&format!("kill{kill}"), &[]);
        // The first kills come while rows are read, the last ones in the stream.
        let step = [500, 2_000, 2_500, 1_500, 1_000][kill];
        eventually("progress", DEADLINE, async || {
            process.expect_running();
            let now = place().await;
            if now >= before + step {
                Ok(())
            } else {
                Err(now)
            }
        })
        .await;
        assert!(process.kill(), "it ran until it was killed");
    }
    stop.store(true, Ordering::Relaxed);
    let steps = writer.await.expect("the writer ends");
    assert!(steps > 100, "{steps} changes were made meanwhile");
    let end = database.rows("SELECT pg_current_wal_lsn()::text").await[0][0].clone();
    let end = end.expect("a place in the log");
    database
        .execute("INSERT INTO clients VALUES (-1, 'last', 1, NULL)")
        .await;
    let sinks = run(&pipeline).await;
    for (target, summary) in targets.iter().zip(&sinks) {
        assert_eq!(summary["quarantined"], 0, "{summary}");
        let (found, expect) = (target.rows(QUERY).await, database.rows(QUERY).await);
        assert!(expect.len() > 1_000, "{} rows", expect.len());
        assert_eq!(found.len(), expect.len(), "{}", target.kind());
        let differing = found
            .iter()
            .zip(&expect)
            .find(|(found, expect)| found != expect);
        assert_eq!(differing, None, "{}", target.kind());
    }
    // Nothing is left to read, and the server may remove its log.
    assert_eq!(run(&pipeline).await[0]["written"], 0);
    let slot = source.slot;
    let database = Arc::into_inner(database).expect("the writer ended");
    let kept = format!(
        "SELECT confirmed_flush_lsn > '{end}' FROM pg_replication_slots WHERE slot_name = '{slot}'"
    );
    assert_eq!(database.rows(&kept).await[0][0].as_deref(), Some("t"));
    Source { database, slot }.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_passes_the_suite_for_sources() {
    let source = Source::new("log_suite").await;
    let database = &source.database;
    database.execute(CLIENTS).await;
    database
        .execute("INSERT INTO clients SELECT n, 'a', 0, NULL FROM generate_series(1, 9) AS n")
        .await;
    let settings = serde_json::json!({
        "url": database.url(), "mode": "replication", "slot": source.slot, "tables": ["clients"],
    });
    let known = SOURCES.iter().find(|known| known.name == "postgres");
    let config = (known.expect("it is a source").read)(settings).expect("the settings are right");
    assert_eq!(config.check(), []);
    let runtime = tokio::runtime::Handle::current();
    let open = || -> Box<dyn Reader> {
        let opening = Opening::alone(Purpose::Once, 0);
        tokio::task::block_in_place(|| runtime.block_on(config.connect(opening)))
            .expect("the database answers")
    };
    let place = check_source_from(&open, &HeldPositions::new(), 9).await;
    // 3 + 12 + 1 + 1 + 1 changes, with transactions of several and of none.
    for sql in [
        "INSERT INTO clients SELECT n, 'b', 1, NULL FROM generate_series(10, 12) AS n",
        "UPDATE clients SET name = 'c'",
        "BEGIN; DELETE FROM clients; ROLLBACK",
        "DELETE FROM clients WHERE id = 4",
        "UPDATE clients SET id = 40 WHERE id = 5",
        "TRUNCATE clients",
    ] {
        database.execute(sql).await;
    }
    check_source_from(&open, &place, 18).await;
    source.drop().await;
}
