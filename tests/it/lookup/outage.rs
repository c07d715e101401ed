//! The database of a lookup goes away and comes back.

use std::fs;
use std::time::Duration;

use super::{MATTERS, expected, fill, matters, quarantined, run, text, written};
use crate::harness::{
    DEADLINE, DatabaseServer, Pipeline, Process, Proxy, Target, eventually, postgres,
};

/// Waits until the log contains a text.
async fn says(process: &mut Process, what: &str) {
    eventually(what, DEADLINE, async || {
        process.expect_running();
        let said = process.stderr();
        match said.contains(what) {
            true => Ok(()),
            false => Err(said),
        }
    })
    .await;
}

/// How many rows stand in the target.
fn count(pipeline: &Pipeline) -> i64 {
    let path = pipeline.folder().join("out.db");
    let count = rusqlite::Connection::open(path).and_then(|connection| {
        connection.query_row("SELECT count(*) FROM matters", [], |row| row.get(0))
    });
    count.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_table_loses_and_rejects_nothing() {
    let database = postgres("lookup_outage").await;
    let port = url::Url::parse(database.url()).expect("a URL").port();
    let proxy = Proxy::start(port.expect("a port")).await;
    let url = database.url_through(proxy.port());
    let database = Target::Postgres(database);
    fill(&database).await;
    let lookup = format!("type = \"postgres\"\nurl = {url:?}\ntable = \"clients\"");
    let text = text(&lookup, "").replace("rows = 500", "rows = 20");
    let pipeline = Pipeline::new(&text);
    fs::write(pipeline.folder().join("matters.jsonl"), matters()).expect("it is written");
    // Each batch asks, so that the run lasts seconds.
    proxy.delay(Duration::from_millis(15));
    let mut process = pipeline.start(&["--once"]);
    eventually("rows in the target", DEADLINE, async || {
        process.expect_running();
        match count(&pipeline) {
            found if found > 0 => Ok(()),
            found => Err(found),
        }
    })
    .await;
    proxy.cut();
    says(&mut process, "stalled").await;
    assert!(
        process.stderr().contains("lookup clients"),
        "{}",
        process.stderr()
    );
    // What was on its way is written; then nothing moves.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let standing = count(&pipeline);
    assert!(standing < MATTERS as i64, "the outage is in the middle");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(count(&pipeline), standing);
    assert_eq!(quarantined(&pipeline).await, "[]");
    proxy.heal();
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    assert!(proxy.broken() > 0, "the connection was cut");
    assert_eq!(written(&pipeline), expected(MATTERS, true));
    assert_eq!(quarantined(&pipeline).await, "[]");
}

/// The server itself goes and comes back while the pipeline follows its source.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_asked_again() {
    let mut server = DatabaseServer::start().await;
    let database = Target::Postgres(server.database("lookup_restart").await);
    fill(&database).await;
    let lookup = format!("{}\ntable = \"clients\"", database.lines());
    let pipeline = Pipeline::new(&text(&lookup, ""));
    let path = pipeline.folder().join("matters.jsonl");
    let all = matters();
    let lines: Vec<&str> = all.lines().collect();
    fs::write(&path, lines[..500].join("\n") + "\n").expect("it is written");
    run(&pipeline).await;
    server.crash().await;
    fs::write(&path, &all).expect("it is written");
    let mut process = pipeline.start(&["--once"]);
    says(&mut process, "stalled").await;
    assert_eq!(count(&pipeline), 500);
    server.restart().await;
    pipeline.finish(process, DEADLINE).await.expect_success();
    assert_eq!(written(&pipeline), expected(MATTERS, true));
    assert_eq!(quarantined(&pipeline).await, "[]");
}
