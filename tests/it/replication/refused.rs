//! What would skip changes, or break the source's own writers, stops the start with its remedy.

use super::*;

/// Runs once and expects a refusal that says `part`.
async fn refused(pipeline: &Pipeline, part: &str) {
    let finished = pipeline.run_once(DEADLINE).await;
    assert_eq!(finished.code, Some(2), "{part}: {}", finished.stderr);
    assert!(
        finished.stderr.contains(part),
        "{part}: {}",
        finished.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused_before_it_is_published() {
    let source = Source::new("unfollowed").await;
    let database = &source.database;
    database
        .execute(
            "CREATE TABLE plain (id int, name text); CREATE TABLE keyed (id int PRIMARY KEY, code text NOT NULL UNIQUE); \
             CREATE UNLOGGED TABLE fast (id int PRIMARY KEY); CREATE VIEW seen AS SELECT * FROM keyed",
        )
        .await;
    let target = Target::Sqlite(tempfile::tempdir().expect("a folder"));
    let check = async |tables: &str, more: &str, part: &str| {
        let pipeline = Pipeline::new(&format!(
            "{}{}",
            super::source(database, &source.slot, tables, more),
            sink(
                "copy",
                &target,
                "table = \"{table}\"\nevolution = \"evolve\""
            )
        ));
        refused(&pipeline, part).await;
    };
    check("[\"missing\"]", "", "does not exist").await;
    check("[\"none.*\"]", "", "no table fits").await;
    check("[\"seen\"]", "", "changes of tables only").await;
    check("[\"plain\"]", "", "REPLICA IDENTITY FULL").await;
    check("[\"fast\"]", "", "SET LOGGED").await;
    check("[\"keyed\"]", "key = [\"code\"]", "does not say column").await;
    check("[\"keyed\"]", "every = \"1s\"", "changes of a log").await;
    let left = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())";
    assert_eq!(database.number(left).await.expect("it answers"), 0);
    database
        .execute("INSERT INTO plain VALUES (1, 'a'); DELETE FROM plain")
        .await;
    // The settings are refused without asking the database, too.
    let pipeline = Pipeline::new(
        "[sources.shop]\ntype = \"sqlite\"\npath = \"a.db\"\ntables = [\"a\"]\nmode = \"replication\"\n\
         [sinks.out]\ntype = \"blackhole\"\ninputs = [\"shop\"]\n",
    );
    refused(&pipeline, "only for PostgreSQL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_lost_or_was_moved_stops_with_the_remedy() {
    let source = Source::new("lost").await;
    let database = &source.database;
    database
        .execute(&format!(
            "{CLIENTS}; INSERT INTO clients VALUES (1, 'a', 1, NULL)"
        ))
        .await;
    let target = Target::Postgres(crate::harness::postgres("lost_to").await);
    target.execute(CLIENTS).await;
    let pipeline = Pipeline::new(&format!(
        "{}{}",
        super::source(database, &source.slot, "[\"clients\"]", ""),
        sink("copy", &target, "table = \"clients\"")
    ));
    assert_eq!(run(&pipeline).await[0]["written"], 1);
    // Somebody else takes changes from the slot.
    database
        .execute("INSERT INTO clients VALUES (2, 'b', 1, NULL)")
        .await;
    let slot = &source.slot;
    database
        .execute(&format!(
            "SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"
        ))
        .await;
    refused(&pipeline, "somebody else read from the slot").await;
    database
        .execute(&format!("SELECT pg_drop_replication_slot('{slot}')"))
        .await;
    refused(&pipeline, "positions reset").await;
    assert_eq!(target.numbers("SELECT id FROM clients").await, [1]);
    let reset = ["positions", "reset", pipeline.file(), "--yes"];
    pipeline.command(&reset).await.expect_success();
    assert_eq!(run(&pipeline).await[0]["written"], 2);
    assert_eq!(target.rows(QUERY).await, database.rows(QUERY).await);
    source.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_without_positions_gets_the_rows_once_and_then_the_changes() {
    let source = Source::new("unkept").await;
    let database = &source.database;
    database
        .execute(&format!(
            "{CLIENTS}; INSERT INTO clients VALUES (1, 'a', 1, NULL)"
        ))
        .await;
    let pipeline = Pipeline::new(&format!(
        "{}[sinks.out]\ntype = \"file\"\ninputs = [\"shop\"]\npath = \"out.jsonl\"\n",
        super::source(database, &source.slot, "[\"clients\"]", "")
    ));
    run(&pipeline).await;
    database
        .execute("UPDATE clients SET name = 'b'; DELETE FROM clients")
        .await;
    run(&pipeline).await;
    let text = std::fs::read_to_string(pipeline.folder().join("out.jsonl")).expect("it is there");
    let operations: Vec<&str> = text.lines().map(|line| &line[..10]).collect();
    assert_eq!(
        operations,
        ["{\"_op\":\"r\"", "{\"_op\":\"u\"", "{\"_op\":\"d\""],
        "{text}"
    );
    source.drop().await;
}
