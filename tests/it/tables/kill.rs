//! `kill -9` again and again while a database is read and changed: every source into PostgreSQL and into
//! SQLite, compared row for row.

use std::time::Duration;

use super::{CLIENTS, QUERY, insert, sink, source};
use crate::harness::{DEADLINE, Pipeline, Target, eventually};

const ROWS: i64 = 6_000;
const KILLS: usize = 4;

/// A pipeline that writes few rows at a time, so that kills come between writes.
fn text(database: &Target, target: &Target, mode: &str) -> String {
    format!(
        "[batch]\nrows = 40\n{}{}",
        source(database, &format!("tables = [\"clients\"]\n{mode}")),
        sink("copy", target, "table = \"clients\"")
    )
}

/// Kills it after it has written more, `KILLS` times; `between` comes after each.
async fn kill(
    pipeline: &Pipeline,
    target: &Target,
    limit: i64,
    mut between: impl AsyncFnMut(usize),
) {
    for round in 0..KILLS {
        let count = async || target.numbers("SELECT COUNT(*) FROM clients").await[0];
        let start = count().await;
        let mut process = pipeline.start(&[]);
        let reached = eventually("progress", DEADLINE, async || {
            process.expect_running();
            let now = count().await;
            if now > start { Ok(now) } else { Err(now) }
        })
        .await;
        assert!(process.kill(), "it ran until it was killed");
        assert!(
            reached < limit,
            "all was read after {round} kills: make it longer"
        );
        between(round).await;
    }
}

async fn check(database: &Target, label: &str) {
    for target in Target::each(label).await {
        if target.kind() == "mariadb" {
            continue;
        }
        let name = format!("{} to {}", database.kind(), target.kind());
        target.execute(CLIENTS).await;

        // A snapshot of rows that nobody changes: each is written once.
        let pipeline = Pipeline::new(&text(database, &target, ""));
        kill(&pipeline, &target, ROWS, async |_| {}).await;
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(
            target.rows(QUERY).await,
            database.rows(QUERY).await,
            "{name}"
        );
        let position = target
            .numbers("SELECT position FROM _syncline_positions")
            .await;
        // One more than the rows where the last page was full, and the end is kept by itself.
        assert!(
            position == [ROWS] || position == [ROWS + 1],
            "{name}: {position:?} of {ROWS} rows, so one came twice or not at all"
        );

        // A cursor, with changes between the kills.
        target.execute("DELETE FROM clients").await;
        target.execute("DELETE FROM _syncline_positions").await;
        let mode = "mode = \"cursor\"\ncursor = \"version\"\nevery = \"20ms\"";
        let pipeline = Pipeline::new(&text(database, &target, mode));
        kill(&pipeline, &target, ROWS, async |round| {
            let version = ROWS * (10 + round as i64);
            for sql in [
                format!("UPDATE clients SET name = 'changed {round}', version = {version} + id WHERE id % 7 = {round}"),
                format!("INSERT INTO clients VALUES ({version}, NULL, {version})"),
            ] {
                database.execute(&sql).await;
            }
        })
        .await;
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(
            target.rows(QUERY).await,
            database.rows(QUERY).await,
            "{name}"
        );
        database.execute("DELETE FROM clients").await;
        insert(database, 0..ROWS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_while_tables_are_read_lose_nothing_and_duplicate_nothing() {
    for database in Target::each("killed").await {
        database.execute(CLIENTS).await;
        insert(&database, 0..ROWS).await;
        tokio::time::timeout(Duration::from_secs(300), check(&database, "kept"))
            .await
            .expect("it ends in time");
    }
}
