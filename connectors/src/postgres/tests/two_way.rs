//! What a two-way sync needs of the sink: marked writes, and deletes by users that are remembered.

use std::time::{Duration, Instant};

use super::*;
use crate::conflict::{ConflictPolicy, Strategy, Tie};
use crate::postgres::OriginMark;

/// A fixture that decides by version and remembers deletes.
async fn remembering(schema: &str, sql: &str) -> Fixture {
    let mut fixture = Fixture::new(schema, sql).await;
    fixture.config.options.table = "t".to_owned();
    fixture.config.remember_deletes = true;
    fixture.config.options.conflict = ConflictPolicy {
        strategy: Strategy::NewestWins,
        version: Some("v".to_owned()),
        ..ConflictPolicy::default()
    };
    fixture
}

/// What a reader of the log sees of transactions that wrote rows: the time of each, and its origin.
async fn transactions(fixture: &mut Fixture, slot: &str) -> Vec<(i64, Option<String>)> {
    let sql = format!(
        "SELECT data FROM pg_logical_slot_get_binary_changes('{slot}', NULL, NULL, 'proto_version', '1', 'publication_names', '{slot}')"
    );
    let mut found: Vec<(i64, Option<String>, usize)> = Vec::new();
    for row in sqlx::query(AssertSqlSafe(sql))
        .fetch_all(&mut fixture.admin)
        .await
        .unwrap()
    {
        let data: Vec<u8> = row.get(0);
        match data[0] {
            // PostgreSQL documentation, "Logical Replication Message Formats".
            b'B' => {
                let time = i64::from_be_bytes(data[9..17].try_into().unwrap());
                found.push((time, None, 0));
            }
            b'O' => {
                let name = data[9..].strip_suffix(b"\0").unwrap();
                found.last_mut().unwrap().1 = Some(String::from_utf8(name.to_vec()).unwrap());
            }
            b'I' | b'U' | b'D' | b'T' => found.last_mut().unwrap().2 += 1,
            _ => {}
        }
    }
    let wrote = found.into_iter().filter(|(_, _, rows)| *rows > 0);
    wrote.map(|(time, origin, _)| (time, origin)).collect()
}

#[tokio::test]
async fn every_write_carries_the_origin_of_its_session() {
    let mut fixture = Fixture::new("origin", PLAIN).await;
    let slot = "syncline_origin";
    fixture
        .execute(&format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'; \
             DROP PUBLICATION IF EXISTS {slot}; CREATE PUBLICATION {slot} FOR TABLE t"
        ))
        .await;
    fixture
        .execute(&format!(
            "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ))
        .await;
    fixture.config.origin = Some(OriginMark::Replication);
    // An origin is active in one session at a time: the second one takes another.
    let (mut first, mut second) = (fixture.writer().await, fixture.writer().await);
    first.write(vec![batch(&[full('c', 1, "a", 1)])]).await;
    fixture.execute("INSERT INTO t VALUES (9, 'user', 1)").await;
    first.write(vec![batch(&[full('d', 1, "a", 1)])]).await;
    second.position = first.position;
    second.write(vec![batch(&[full('c', 2, "b", 1)])]).await;
    let found = transactions(&mut fixture, slot).await;
    let origins: Vec<Option<&str>> = found.iter().map(|(_, origin)| origin.as_deref()).collect();
    let mine = |number: usize| format!("syncline_syncline_origin_target_{number}");
    let (zero, one) = (mine(0), mine(1));
    assert_eq!(
        origins,
        [
            Some(zero.as_str()),
            None,
            Some(zero.as_str()),
            Some(one.as_str())
        ]
    );
    let times: Vec<i64> = found.iter().map(|(time, _)| *time).collect();
    assert!(
        times.is_sorted_by(|earlier, later| earlier < later),
        "every transaction has a time of its own: {times:?}"
    );
    fixture
        .execute(&format!("SELECT pg_drop_replication_slot('{slot}')"))
        .await;
}

#[tokio::test]
async fn a_user_who_may_not_mark_is_told_what_to_grant_r16() {
    let mut fixture = Fixture::new("origin_grant", PLAIN).await;
    fixture
        .execute(
            "DO $$ BEGIN CREATE ROLE syncline_plain; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
             GRANT ALL ON SCHEMA syncline_origin_grant TO syncline_plain",
        )
        .await;
    fixture.config.origin = Some(OriginMark::Replication);
    fixture.config.url.push_str("&options[role]=syncline_plain");
    let check = |error: Error| match error {
        Error::Configuration { message, .. } => {
            assert!(message.contains("GRANT EXECUTE ON FUNCTION"), "{message}");
            assert!(message.contains("TO syncline_plain"), "{message}");
        }
        other => panic!("{other:?}"),
    };
    check(
        connect(&fixture.config, &fixture.identity, &statements_only())
            .await
            .err()
            .expect("the user may not"),
    );
    check(
        super::super::check(&fixture.config)
            .await
            .expect_err("validate says it too"),
    );
}

#[tokio::test]
async fn an_older_change_does_not_bring_back_what_a_user_deleted_r12() {
    let mut fixture = remembering("remember", PLAIN).await;
    // The triggers are there before the first write.
    let mut writer = fixture.writer().await;
    fixture
        .execute(
            "INSERT INTO t VALUES (1, 'a', 3), (2, 'a', 3), (3, 'a', 3), (4, 'a', NULL), (5, 'a', 3); \
             DELETE FROM t WHERE id IN (1, 2, 3, 4); UPDATE t SET id = 6 WHERE id = 5; UPDATE t SET id = id",
        )
        .await;
    let rows = [
        full('u', 1, "older", 2),
        full('u', 2, "tie", 3),
        full('u', 3, "newer", 4),
        full('c', 4, "no version was deleted", 1),
        full('u', 5, "moved away", 2),
    ];
    let outcome = writer.write(vec![batch(&rows)]).await;
    assert_eq!((outcome.written, outcome.kept), (2, 3), "{outcome:?}");
    let left = ["(3,newer)", "(4,\"no version was deleted\")", "(6,a)"];
    let query = "SELECT id, name FROM t ORDER BY id";
    assert_eq!(fixture.rows(query).await, left);
    // What lost stays out for good; what is newer comes back.
    writer.write(vec![batch(&[full('u', 1, "older", 2)])]).await;
    assert_eq!(fixture.rows(query).await, left);
    writer.write(vec![batch(&[full('c', 1, "newer", 4)])]).await;
    // Deletes from the source are kept as ever, and deleted by nobody else.
    writer.write(vec![batch(&[full('d', 1, "newer", 4)])]).await;
    let versions = "SELECT key, number FROM _syncline_tombstones ORDER BY key";
    assert_eq!(
        fixture.rows(versions).await,
        [r#"("(1)",4)"#, r#"("(2)",3)"#, r#"("(5)",3)"#]
    );
}

#[tokio::test]
async fn whoever_deletes_needs_no_right_to_syncline_s_tables() {
    let mut fixture = remembering("remember_user", PLAIN).await;
    let _writer = fixture.writer().await;
    fixture
        .execute(
            "DO $$ BEGIN CREATE ROLE syncline_clerk; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
             GRANT USAGE ON SCHEMA syncline_remember_user TO syncline_clerk; \
             GRANT SELECT, INSERT, DELETE ON t TO syncline_clerk; \
             SET ROLE syncline_clerk; SET search_path = syncline_remember_user; \
             INSERT INTO t VALUES (1, 'a', 7); DELETE FROM t; RESET ROLE",
        )
        .await;
    let versions = "SELECT number FROM _syncline_tombstones";
    assert_eq!(fixture.rows(versions).await, ["(7)"]);
}

#[tokio::test]
async fn the_triggers_are_made_once_and_replaced_when_they_change() {
    let mut fixture = remembering("remember_again", PLAIN).await;
    fixture.config.options.table = "{table}".to_owned();
    let triggers = "SELECT tgname, t.xmin FROM pg_trigger AS t WHERE NOT tgisinternal AND tgrelid = 't'::regclass ORDER BY 1";
    let mut seen = Vec::new();
    for (id, tie) in [(1, Tie::Target), (2, Tie::Target), (3, Tie::Source)] {
        fixture.config.options.conflict.tie = tie;
        let mut writer = fixture.writer().await;
        writer.position = fixture
            .rows("SELECT position FROM _syncline_positions")
            .await
            .first()
            .map(|row| row.trim_matches(['(', ')']).parse().unwrap());
        writer.write(vec![batch(&[full('c', id, "a", 1)])]).await;
        writer.sink.close().await.unwrap();
        let found = fixture.rows(triggers).await;
        assert_eq!(found.len(), 2, "{found:?}");
        seen.push(found);
    }
    assert_eq!(seen[0], seen[1], "nothing is made a second time");
    assert_ne!(seen[1], seen[2], "the new tie is in force");
    fixture.config.options.conflict.strategy = Strategy::SourceWins;
    let error = connect(&fixture.config, &fixture.identity, &statements_only())
        .await
        .err()
        .expect("nothing compares versions");
    assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
}

#[tokio::test]
async fn a_delete_that_commits_during_the_write_is_not_missed_c10() {
    let mut fixture = remembering("remember_race", PLAIN).await;
    let mut writer = fixture.writer().await;
    fixture.execute("INSERT INTO t VALUES (1, 'a', 3)").await;
    fixture.execute("BEGIN; DELETE FROM t WHERE id = 1").await;
    let write = tokio::spawn(async move {
        let first = writer
            .try_write(vec![batch(&[full('u', 1, "older", 2)])])
            .await;
        (writer, first)
    });
    // The write has looked for tombstones and waits for the row.
    let waits =
        "SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid";
    let deadline = Instant::now() + Duration::from_secs(30);
    while fixture.rows(waits).await.is_empty() {
        assert!(Instant::now() < deadline, "the write waits for the delete");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fixture.execute("COMMIT").await;
    let (mut writer, first) = write.await.unwrap();
    let error = first.expect_err("the delete came in between");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let outcome = writer.write(vec![batch(&[full('u', 1, "older", 2)])]).await;
    assert_eq!(outcome.kept, 1);
    assert!(fixture.rows("SELECT id FROM t").await.is_empty());
}
