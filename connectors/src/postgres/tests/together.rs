//! Changes that PostgreSQL refuses together and accepts one by one (R20), and more tables in one write
//! than a session keeps prepared.

use super::*;
use crate::conflict::Strategy;
use crate::sql::Evolution;

/// `changes` against a table whose names are unique and that holds `rows`: what it holds afterwards.
async fn check(rows: &str, changes: &[Change], expect: &[&str]) {
    let setup = format!(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text UNIQUE, v bigint); INSERT INTO t VALUES {rows}"
    );
    let mut fixture = Fixture::new("together", &setup).await;
    let mut writer = fixture.writer().await;
    writer.write(vec![batch(changes)]).await;
    let found = fixture.rows("SELECT id, name FROM t ORDER BY id").await;
    assert_eq!(found, expect, "{rows}");
}

#[tokio::test]
async fn a_unique_value_moves_from_row_to_row_r20() {
    // To a new row.
    let moved = [full('u', 7, "c", 2), full('c', 3, "b", 1)];
    check("(7, 'b', 1)", &moved, &["(3,b)", "(7,c)"]).await;
    // Along a chain.
    let chain = [full('u', 2, "c", 2), full('u', 1, "b", 2)];
    check("(1, 'a', 1), (2, 'b', 1)", &chain, &["(1,b)", "(2,c)"]).await;
    // Two rows swap, by way of a third value.
    let swap = [
        full('u', 1, "x", 2),
        full('u', 2, "a", 2),
        full('u', 1, "b", 3),
    ];
    check("(1, 'a', 1), (2, 'b', 1)", &swap, &["(1,b)", "(2,a)"]).await;
    // From a row that goes.
    let freed = [full('d', 9, "b", 2), full('c', 3, "b", 1)];
    check("(9, 'b', 1)", &freed, &["(3,b)"]).await;
}

#[tokio::test]
async fn a_child_that_points_elsewhere_lets_its_parent_go_r20() {
    let mut fixture = Fixture::new(
        "repointed",
        "CREATE TABLE parents (id bigint PRIMARY KEY); \
         CREATE TABLE children (id bigint PRIMARY KEY, parent bigint REFERENCES parents); \
         INSERT INTO parents VALUES (9); INSERT INTO children VALUES (1, 9)",
    )
    .await;
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let integer = |value: Option<i64>| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let child = vec![
        (field("id"), integer(Some(1))),
        (field("parent"), integer(None)),
    ];
    let parent = vec![(field("id"), integer(Some(9)))];
    let mut writer = fixture.writer().await;
    let changes = vec![table("children", child, "u"), table("parents", parent, "d")];
    writer.write(changes).await;
    assert_eq!(fixture.rows("SELECT * FROM children").await, ["(1,)"]);
    assert!(fixture.rows("SELECT * FROM parents").await.is_empty());
}

#[tokio::test]
async fn one_write_takes_more_tables_than_a_session_keeps_prepared() {
    const TABLES: usize = 2_100;
    let mut fixture = Fixture::new("many_tables", "SELECT 1").await;
    fixture.config.options.evolution = Evolution::Evolve;
    let changes = |id: i64| -> Vec<Changes> {
        let of = |number: usize| {
            let id: ArrayRef = Arc::new(Int64Array::from(vec![id]));
            let columns = vec![(Field::new("id", DataType::Int64, true), id)];
            table(&format!("many_{number}"), columns, "c")
        };
        (0..TABLES).map(of).collect()
    };
    let mut writer = fixture.writer().await;
    for id in [1, 2] {
        assert_eq!(writer.write(changes(id)).await.written, TABLES as u64);
    }
    let ends = "SELECT * FROM many_0 UNION ALL SELECT * FROM many_2099 ORDER BY 1";
    assert_eq!(fixture.rows(ends).await, ["(1)", "(1)", "(2)", "(2)"]);
}

#[tokio::test]
async fn a_partitioned_table_is_written_under_every_strategy() {
    for strategy in [
        Strategy::SourceWins,
        Strategy::NewestWins,
        Strategy::TargetWins,
    ] {
        let mut fixture = Fixture::new(
            "partitioned",
            "CREATE TABLE t (id bigint PRIMARY KEY, name text, v bigint) PARTITION BY RANGE (id); \
             CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (10); \
             CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (10) TO (100); \
             INSERT INTO t VALUES (1, 'old', 1), (20, 'newer', 9)",
        )
        .await;
        fixture.config.options.conflict.strategy = strategy.clone();
        if strategy == Strategy::NewestWins {
            fixture.config.options.conflict.version = Some("v".to_owned());
        }
        let mut writer = fixture.writer().await;
        let changes = [
            full('u', 1, "a", 2),
            full('u', 20, "b", 2),
            full('c', 30, "c", 2),
        ];
        let outcome = writer.write(vec![batch(&changes)]).await;
        let found = fixture.rows("SELECT id, name FROM t ORDER BY id").await;
        let (expect, written) = match strategy {
            Strategy::SourceWins => (["(1,a)", "(20,b)", "(30,c)"], 3),
            Strategy::NewestWins => (["(1,a)", "(20,newer)", "(30,c)"], 2),
            _ => (["(1,old)", "(20,newer)", "(30,c)"], 1),
        };
        assert_eq!(found, expect, "{strategy:?}");
        assert_eq!(
            (outcome.written, outcome.kept),
            (written, 3 - written),
            "{strategy:?}"
        );
    }
}

#[tokio::test]
async fn a_column_that_the_database_always_numbers_is_left_out() {
    let mut fixture = Fixture::new(
        "numbered",
        "CREATE TABLE t (id bigint PRIMARY KEY, name text, v bigint GENERATED ALWAYS AS IDENTITY)",
    )
    .await;
    let mut writer = fixture.writer().await;
    writer.write(vec![batch(&[full('c', 1, "a", 70)])]).await;
    writer.write(vec![batch(&[full('u', 1, "b", 80)])]).await;
    assert_eq!(fixture.rows("SELECT id, name, v FROM t").await, ["(1,b,1)"]);
}

#[tokio::test]
async fn a_table_that_others_refer_to_is_emptied() {
    let mut fixture = Fixture::new(
        "referenced",
        "CREATE TABLE t (id bigint PRIMARY KEY, name text, v bigint); \
         CREATE TABLE child (id bigint PRIMARY KEY, t bigint REFERENCES t); \
         INSERT INTO t VALUES (1, 'a', 1)",
    )
    .await;
    let mut writer = fixture.writer().await;
    writer.write(vec![batch(&[full('t', 1, "", 1)])]).await;
    assert!(fixture.rows("SELECT id FROM t").await.is_empty());
}
