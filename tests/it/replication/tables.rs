//! Several tables: patterns, tables that join, columns that come, emptied tables, foreign keys, origins.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_followed_by_pattern_and_new_ones_join() {
    let source = Source::new("pattern").await;
    let database = &source.database;
    database
        .execute(
            "CREATE SCHEMA sales; \
             CREATE TABLE sales.orders (id int PRIMARY KEY, total numeric(10,2)); \
             CREATE TABLE sales.items (order_id int REFERENCES sales.orders, nr int, what text, PRIMARY KEY (order_id, nr)); \
             CREATE TABLE other (id int PRIMARY KEY); \
             INSERT INTO sales.orders VALUES (1, 1.50), (2, 20); INSERT INTO sales.items VALUES (1, 1, 'pen'); INSERT INTO other VALUES (1)",
        )
        .await;
    let target = Target::Postgres(crate::harness::postgres("pattern_to").await);
    let pipeline = Pipeline::new(&format!(
        "{}{}",
        super::source(database, &source.slot, "[\"sales.*\"]", ""),
        sink(
            "copy",
            &target,
            "table = \"{table}\"\nevolution = \"evolve\""
        )
    ));
    let mut process = pipeline.start(&[]);
    let orders = async |process: &mut Process, columns: &str| {
        let (from, to) = (
            format!("SELECT {columns} FROM sales.orders ORDER BY id"),
            format!("SELECT {columns} FROM orders ORDER BY id"),
        );
        eventually("orders to be equal", DEADLINE, async || {
            process.expect_running();
            let expect = database.rows(&from).await;
            let Target::Postgres(target) = &target else {
                panic!("it was made above");
            };
            let found = target.try_rows(&to).await;
            match found {
                Ok(found) if found == expect => Ok(()),
                other => Err((expect, other.map_err(|error| error.to_string()))),
            }
        })
        .await;
    };
    orders(&mut process, "id, total").await;
    // A column comes, with values in old and new rows; rows go; the key of one changes.
    for sql in [
        "ALTER TABLE sales.orders ADD COLUMN note text DEFAULT 'none'",
        "INSERT INTO sales.orders VALUES (3, 3, 'third')",
        "UPDATE sales.orders SET note = 'changed' WHERE id = 2",
    ] {
        database.execute(sql).await;
    }
    database
        .execute("UPDATE sales.orders SET note = 'all'")
        .await;
    orders(&mut process, "id, total, note").await;
    database
        .execute(
            "UPDATE sales.orders SET id = 30 WHERE id = 3; DELETE FROM sales.orders WHERE id = 2",
        )
        .await;
    orders(&mut process, "id, total, note").await;
    database.execute("TRUNCATE sales.items").await;
    eventually("the table to be emptied", DEADLINE, async || {
        let rows = target.rows("SELECT * FROM items").await;
        if rows.is_empty() { Ok(()) } else { Err(rows) }
    })
    .await;
    process.terminate();
    process.wait(DEADLINE).await;
    // A table that is made later is read from its beginning when the pipeline starts again.
    database
        .execute(
            "CREATE TABLE sales.notes (id int PRIMARY KEY, text text); INSERT INTO sales.notes VALUES (1, 'a'), (2, 'b'); \
             UPDATE sales.orders SET note = 'meanwhile' WHERE id = 1",
        )
        .await;
    let sinks = run(&pipeline).await;
    assert_eq!(sinks[0]["written"], 3, "{sinks:?}");
    assert_eq!(target.numbers("SELECT count(*) FROM notes").await, [2]);
    database
        .execute("INSERT INTO sales.notes VALUES (3, 'c'); DELETE FROM sales.notes WHERE id = 1")
        .await;
    let sinks = run(&pipeline).await;
    assert_eq!(sinks[0]["written"], 2, "{sinks:?}");
    assert_eq!(
        target.numbers("SELECT id FROM notes ORDER BY id").await,
        [2, 3]
    );
    let Target::Postgres(replica) = &target else {
        panic!("it was made above");
    };
    let other = replica.rows("SELECT to_regclass('other')::text").await;
    assert_eq!(other[0][0], None, "it fits no pattern");
    source.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_before_are_known_as_the_replica_identity_says() {
    let source = Source::new("identity").await;
    let database = &source.database;
    database
        .execute(&format!(
            "{CLIENTS}; ALTER TABLE clients REPLICA IDENTITY FULL; \
             INSERT INTO clients VALUES (1, 'a', 1, repeat('x', 100000)), (2, 'b', 1, NULL), (3, 'c', 1, NULL)"
        ))
        .await;
    let target = Target::Postgres(crate::harness::postgres("identity_to").await);
    target.execute(CLIENTS).await;
    let pipeline = Pipeline::new(&format!(
        "{}{}",
        super::source(database, &source.slot, "[\"clients\"]", ""),
        sink(
            "copy",
            &target,
            "table = \"clients\"\nconflict = { strategy = \"target_wins\" }"
        )
    ));
    assert_eq!(run(&pipeline).await[0]["written"], 3);
    // Someone edits the target; what the source thought it was is known, so only that row is in conflict.
    target
        .execute("UPDATE clients SET name = 'edited' WHERE id = 2")
        .await;
    database
        .execute("UPDATE clients SET version = 2; DELETE FROM clients WHERE id = 3")
        .await;
    let sinks = run(&pipeline).await;
    assert_eq!(
        (&sinks[0]["written"], &sinks[0]["kept"]),
        (&3.into(), &1.into()),
        "{sinks:?}"
    );
    let rows = target
        .rows("SELECT id, name, version, length(notes) FROM clients ORDER BY id")
        .await;
    let texts: Vec<Vec<&str>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| cell.as_deref().unwrap_or("-"))
                .collect()
        })
        .collect();
    assert_eq!(
        texts,
        [["1", "a", "2", "100000"], ["2", "edited", "1", "-"]]
    );
    source.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_databases_follow_each_other_without_an_echo() {
    let (left, right) = (Source::new("left").await, Source::new("right").await);
    for side in [&left, &right] {
        side.database.execute(CLIENTS).await;
    }
    left.database
        .execute("INSERT INTO clients VALUES (1, 'from left', 1, NULL)")
        .await;
    let way = |from: &Source, to: &Source, name: &str| {
        format!(
            "{}[sinks.copy]\ntype = \"postgres\"\ninputs = [\"shop\"]\nurl = {:?}\ntable = \"clients\"\norigin = \"replication\"\n",
            super::source(
                &from.database,
                &from.slot,
                "[\"clients\"]",
                "ignore_origins = [\"syncline_*\"]"
            ),
            to.database.url()
        )
        .replace("shop", name)
    };
    let (there, back) = (
        Pipeline::new(&way(&left, &right, "there")),
        Pipeline::new(&way(&right, &left, "back")),
    );
    run(&there).await;
    run(&back).await;
    right
        .database
        .execute("UPDATE clients SET name = 'from right', version = 2; INSERT INTO clients VALUES (2, 'new', 1, NULL)")
        .await;
    assert_eq!(run(&back).await[0]["written"], 2);
    // What came from the right is not sent back to it.
    let sinks = run(&there).await;
    assert_eq!(
        (&sinks[0]["written"], &sinks[0]["filtered"]),
        (&0.into(), &2.into()),
        "{sinks:?}"
    );
    let expect = right.database.rows(QUERY).await;
    assert_eq!(left.database.rows(QUERY).await, expect);
    left.drop().await;
    right.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_pipeline_follows_every_table() {
    let source = Source::new("shipped_log").await;
    let database = &source.database;
    database
        .execute(&format!(
            "{CLIENTS}; CREATE TABLE tags (name text PRIMARY KEY); \
             INSERT INTO clients VALUES (1, 'a', 1, NULL), (2, 'b', 1, NULL); INSERT INTO tags VALUES ('x')"
        ))
        .await;
    let target = crate::harness::postgres("shipped_log_to").await;
    let mut pipeline = Pipeline::shipped("postgres-replication.toml");
    pipeline
        .set("SHOP_URL", database.url())
        .set("SHOP_SLOT", &source.slot)
        .set("REPLICA_URL", target.url());
    assert_eq!(run(&pipeline).await[0]["written"], 3);
    database
        .execute("DELETE FROM clients WHERE id = 1; UPDATE tags SET name = 'y'")
        .await;
    run(&pipeline).await;
    assert_eq!(target.rows(QUERY).await, database.rows(QUERY).await);
    assert_eq!(
        target.rows("SELECT name FROM tags").await[0][0].as_deref(),
        Some("y")
    );
    source.drop().await;
}
