//! Unique indexes, partial rows, foreign keys, names, keys, the look at a table before a run.

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::DataType;

use super::*;
use crate::change::Operation::{Create, Delete, Update};
use crate::conflict::Strategy;
use crate::conformance::rows::without_name;
use crate::sql::DeleteMode;

const ALL: &str = "SELECT * FROM clients ORDER BY id";

#[tokio::test]
async fn another_unique_index_refuses_and_never_picks_the_row_r11() {
    let mut fixture = Fixture::new("r11", "").await;
    for strategy in [Strategy::SourceWins, Strategy::NewestWins] {
        fixture.reset().await;
        fixture
            .execute(
                "CREATE TABLE clients (id bigint PRIMARY KEY, name varchar(20), version bigint, UNIQUE KEY by_name (name)); \
                 INSERT INTO clients VALUES (1, 'ada', 1), (2, 'bob', 1)",
            )
            .await;
        fixture.config.options.conflict.strategy = strategy;
        fixture.config.options.conflict.version = Some("version".to_owned());
        check_r11(&fixture).await;
    }
}

async fn check_r11(fixture: &Fixture) {
    let mut writer = fixture.writer().await;
    // A new row and an old one want the name of row 1; `ON DUPLICATE KEY` would update row 1.
    for change in [row(Create, 3, "ada", 9), row(Update, 2, "ada", 9)] {
        let good = row(Update, 1, "ada", 2);
        let rejected = writer.rejected(vec![changes(&[good, change], true)]).await;
        assert_eq!(rejected.len(), 1, "{rejected:?}");
        assert_eq!(
            (rejected[0].row, rejected[0].rule.as_str()),
            (1, "1062 duplicate_entry")
        );
        assert!(
            !rejected[0].reason.contains("ada"),
            "{}",
            rejected[0].reason
        );
        assert_eq!(fixture.found(ALL).await, ["1|ada|1", "2|bob|1"]);
    }
    // Where the name becomes free in the same write, it can be taken.
    let done = writer
        .write(vec![changes(
            &[row(Delete, 1, "ada", 1), row(Create, 3, "ada", 9)],
            true,
        )])
        .await;
    assert_eq!(done.written, 2);
    assert_eq!(fixture.found(ALL).await, ["2|bob|1", "3|ada|9"]);
}

#[tokio::test]
async fn a_row_that_another_session_inserts_meanwhile_is_met_and_not_refused() {
    let fixture = Fixture::new(
        "race",
        "CREATE TABLE clients (id bigint PRIMARY KEY, name varchar(20) UNIQUE, version bigint)",
    )
    .await;
    let mut writer = fixture.writer().await;
    fixture
        .execute("START TRANSACTION; INSERT INTO clients VALUES (10, 'ours', 1)")
        .await;
    // Neither key is there. The insert of the first row waits for the name of the other session's.
    let rows = [row(Create, 1, "ours", 2), row(Create, 2, "too", 2)];
    let writing = tokio::spawn(async move { writer.write(vec![changes(&rows, true)]).await });
    let waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE db = 'syncline_race' \
                 AND id <> CONNECTION_ID() AND info LIKE 'INSERT INTO `clients`%'";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while fixture.found(waits).await == ["0"] {
        assert!(std::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Then the second key is there, which it was not when we looked (its name is no neighbour
    // that our insert waits before).
    fixture
        .execute(
            "INSERT INTO clients VALUES (2, 'their', 1); DELETE FROM clients WHERE id = 10; COMMIT",
        )
        .await;
    let done = writing.await.unwrap();
    assert_eq!((done.written, done.conflicts.total()), (2, 1));
    assert_eq!(fixture.found(ALL).await, ["1|ours|2", "2|too|2"]);
}

#[tokio::test]
async fn every_column_of_a_merge_is_decided_by_the_version_that_was_there() {
    let mut fixture = Fixture::new(
        "merge",
        "CREATE TABLE clients (id bigint PRIMARY KEY, version bigint, name varchar(20)); \
         INSERT INTO clients VALUES (1, 5, 'held'), (2, 5, 'held')",
    )
    .await;
    fixture.config.options.conflict.strategy = Strategy::Merge;
    fixture.config.options.conflict.version = Some("version".to_owned());
    let both = table(
        "clients",
        vec![
            column("id", Arc::new(Int64Array::from(vec![1, 2]))),
            column("version", Arc::new(Int64Array::from(vec![6, 4]))),
            column("name", Arc::new(StringArray::from(vec!["newer", "older"]))),
        ],
        "uu",
    );
    fixture.writer().await.write(vec![both]).await;
    assert_eq!(fixture.found(ALL).await, ["1|6|newer", "2|5|held"]);
}

#[tokio::test]
async fn an_unset_column_is_left_as_it_is_and_needs_its_row_r14() {
    let fixture = Fixture::new(
        "partial",
        "CREATE TABLE clients (id bigint PRIMARY KEY, name text, version bigint); \
         INSERT INTO clients VALUES (1, 'kept', 1), (2, 'kept', 2)",
    )
    .await;
    let mut writer = fixture.writer().await;
    let outcome = writer
        .write(vec![changes(
            &[without_name(1, 7), row(Update, 3, "new", 3)],
            true,
        )])
        .await;
    assert_eq!(outcome.written, 2);
    assert_eq!(
        fixture.found(ALL).await,
        ["1|kept|7", "2|kept|2", "3|new|3"]
    );
    let rows = [
        row(Update, 1, "x", 8),
        without_name(9, 1),
        without_name(8, 1),
    ];
    let rejected = writer.rejected(vec![changes(&rows, true)]).await;
    let rows: Vec<usize> = rejected.iter().map(|change| change.row).collect();
    assert_eq!(rows, [1, 2]);
    assert_eq!(rejected[0].rule, "R14 incomplete");
    assert_eq!(fixture.found(ALL).await[0], "1|kept|7");
}

#[tokio::test]
async fn case_and_blanks_are_differences_whatever_the_collation() {
    let fixture = Fixture::new(
        "collation",
        "CREATE TABLE clients (id bigint PRIMARY KEY, name varchar(20) COLLATE utf8mb4_general_ci, version bigint); \
         INSERT INTO clients VALUES (1, 'ada', 1), (2, 'bob', 1), (3, NULL, 1)",
    )
    .await;
    let mut writer = fixture.writer().await;
    let mut nameless = row(Update, 3, "", 1);
    nameless.name = Some(None);
    let rows = [
        row(Update, 1, "Ada", 1),
        row(Update, 2, "bob ", 1),
        nameless,
    ];
    let done = writer.write(vec![changes(&rows, true)]).await;
    assert_eq!(done.conflicts.total(), 2);
    assert_eq!(
        fixture
            .found("SELECT id, HEX(name) FROM clients ORDER BY id")
            .await,
        ["1|416461", "2|626F6220", "3|-"]
    );
}

#[tokio::test]
async fn two_keys_that_the_target_takes_for_one_fold_into_one_r22() {
    let fixture = Fixture::new(
        "one_key",
        "CREATE TABLE clients (id varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY)",
    )
    .await;
    let ids = |ids: &[&str]| -> ArrayRef { Arc::new(StringArray::from(ids.to_vec())) };
    let mut writer = fixture.writer().await;
    let both = table("clients", vec![column("id", ids(&["a", "A"]))], "cc");
    writer.write(vec![both]).await;
    assert_eq!(fixture.found("SELECT id FROM clients").await, ["a"]);
    // A key that changes its case is a delete and a create (R10), which is fine.
    writer
        .write(vec![table("clients", vec![column("id", ids(&["a"]))], "c")])
        .await;
    let renamed = table("clients", vec![column("id", ids(&["a", "A"]))], "dc");
    writer.write(vec![renamed]).await;
    assert_eq!(fixture.found("SELECT id FROM clients").await, ["A"]);
}

#[tokio::test]
async fn several_tables_follow_their_foreign_keys_r9() {
    let mut fixture = Fixture::new(
        "foreign_keys",
        "CREATE TABLE parents (id bigint PRIMARY KEY); \
         CREATE TABLE children (id bigint PRIMARY KEY, parent bigint, FOREIGN KEY (parent) REFERENCES parents (id))",
    )
    .await;
    fixture.config.options.table = "{table}".to_owned();
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let parents = |letter| table("parents", vec![column("id", one())], letter);
    let children = |letter| {
        table(
            "children",
            vec![column("id", one()), column("parent", one())],
            letter,
        )
    };
    // Nothing waits for a row that a foreign key needs.
    fixture.config.options.waiting.timeout = "0s".to_owned();
    let mut writer = fixture.writer().await;
    writer.write(vec![children("c"), parents("c")]).await;
    assert_eq!(fixture.found("SELECT * FROM children").await, ["1|1"]);
    let rejected = writer.rejected(vec![parents("d")]).await;
    assert_eq!(rejected[0].rule, "1451 row_is_referenced");
    writer.write(vec![parents("d"), children("d")]).await;
    assert!(fixture.found("SELECT * FROM parents").await.is_empty());
}

#[tokio::test]
async fn rows_that_are_right_only_one_after_another_are_written() {
    let mut fixture = Fixture::new(
        "one_by_one",
        "CREATE TABLE clients (id bigint PRIMARY KEY, name varchar(9) UNIQUE, version bigint, \
         FOREIGN KEY (version) REFERENCES clients (id)); \
         INSERT INTO clients VALUES (1, 'a', NULL), (2, 'b', NULL)",
    )
    .await;
    // Nothing waits for a row that a foreign key needs.
    fixture.config.options.waiting.timeout = "0s".to_owned();
    let mut writer = fixture.writer().await;
    let rows = [
        // Their names move on, in an order that no single statement knows.
        row(Update, 2, "c", None),
        row(Update, 1, "b", None),
        // A child before its parent.
        row(Create, 3, "child", 4),
        row(Create, 4, "parent", None),
    ];
    assert_eq!(writer.write(vec![changes(&rows, true)]).await.written, 4);
    let all = ["1|b|-", "2|c|-", "3|child|4", "4|parent|-"];
    assert_eq!(fixture.found(ALL).await, all);
    // A child that never had a parent when it came, and later got another one, is not written over.
    let rows = [
        row(Create, 5, "orphan", 6),
        row(Update, 5, "again", 4),
        row(Create, 6, "late", None),
        row(Create, 7, "bad", 99),
    ];
    let rejected = writer.rejected(vec![changes(&rows, true)]).await;
    let rows: Vec<usize> = rejected.iter().map(|change| change.row).collect();
    assert_eq!(rows, [3], "the first is superseded by the second");
    assert_eq!(rejected[0].rule, "1452 no_referenced_row");
    assert_eq!(fixture.found(ALL).await, all);
}

#[tokio::test]
async fn a_table_whose_columns_are_all_key_is_written() {
    let mut fixture = Fixture::new(
        "all_key",
        "CREATE TABLE clients (a bigint, b bigint, PRIMARY KEY (b, a))",
    )
    .await;
    fixture.config.options.key = Some(vec!["a".to_owned(), "b".to_owned()]);
    let numbers = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let all = table(
        "clients",
        vec![
            column("a", numbers(&[1, 1, 2])),
            column("b", numbers(&[1, 2, 1])),
        ],
        "ccc",
    );
    let mut writer = fixture.writer().await;
    for _ in 0..2 {
        assert_eq!(writer.write(vec![all.clone()]).await.written, 3);
    }
    assert_eq!(fixture.found("SELECT * FROM clients").await.len(), 3);
}

#[tokio::test]
async fn a_zero_is_a_key_like_any_other() {
    let fixture = Fixture::new(
        "zero",
        "CREATE TABLE clients (id bigint AUTO_INCREMENT PRIMARY KEY, name text, version bigint)",
    )
    .await;
    let mut writer = fixture.writer().await;
    writer
        .write(vec![changes(&[row(Create, 0, "zero", 1)], true)])
        .await;
    assert_eq!(fixture.found(ALL).await, ["0|zero|1"]);
}

#[tokio::test]
async fn a_soft_delete_marks_and_a_reinsert_clears_the_mark_r12() {
    let mut fixture = Fixture::new(
        "soft",
        "CREATE TABLE clients (id bigint PRIMARY KEY, name text, version bigint)",
    )
    .await;
    fixture.config.options.delete = DeleteMode::Soft;
    fixture.config.options.evolution = Evolution::Evolve;
    let mut writer = fixture.writer().await;
    let both = [row(Create, 1, "a", 1), row(Create, 2, "b", 1)];
    writer.write(vec![changes(&both, true)]).await;
    let gone = both.clone().map(|row| crate::conformance::rows::Row {
        operation: Delete,
        ..row
    });
    writer.write(vec![changes(&gone, true)]).await;
    let again = writer.write(vec![changes(&gone[..1], true)]).await;
    assert_eq!(again.conflicts.total(), 1, "delete_missing");
    writer.write(vec![changes(&both[1..], true)]).await;
    assert_eq!(fixture.found(ALL).await, ["1|a|1|1", "2|b|1|0"]);
}

#[tokio::test]
async fn hostile_names_and_values_stay_what_they_are() {
    let mut fixture = Fixture::new(
        "hostile",
        "CREATE TABLE `x``; DROP TABLE t; --` (id bigint PRIMARY KEY, `na``me '\"\\\\` text); CREATE TABLE t (id int)",
    )
    .await;
    fixture.config.options.table = "x`; DROP TABLE t; --".to_owned();
    let values = [
        "it's \\",
        "\\' OR 1; -- ",
        "nul \0 end",
        "😀 ü \u{7f}",
        "\n\r\t\u{1a}",
    ];
    let name = "na`me '\"\\\\";
    let hostile = table(
        "t",
        vec![
            column("id", Arc::new(Int64Array::from_iter_values(0..5))),
            (
                Field::new(name, DataType::Utf8, true),
                Arc::new(StringArray::from(values.to_vec())),
            ),
        ],
        "ccccc",
    );
    let mut writer = fixture.writer().await;
    assert_eq!(writer.write(vec![hostile]).await.written, 5);
    let found = fixture
        .found("SELECT `na``me '\"\\\\` FROM `x``; DROP TABLE t; --` ORDER BY id")
        .await;
    assert_eq!(found, values);
    assert!(fixture.found("SELECT * FROM t").await.is_empty());
}

#[tokio::test]
async fn a_table_can_be_looked_at_before_a_run() {
    let mut fixture = Fixture::new(
        "look",
        "CREATE TABLE clients (id bigint PRIMARY KEY, name varchar(9), version datetime(3), UNIQUE KEY part (name(3)))",
    )
    .await;
    fixture.config.options.key = Some(vec!["id".to_owned()]);
    super::super::check(&fixture.config).await.unwrap();
    // An index over a part of a column tells no rows apart.
    fixture.config.options.key = Some(vec!["name".to_owned()]);
    let error = super::super::check(&fixture.config).await.unwrap_err();
    assert!(error.to_string().contains("no unique index"), "{error}");
    fixture.config.options.table = "absent".to_owned();
    let error = super::super::check(&fixture.config).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    fixture
        .execute("CREATE TABLE flat (id bigint PRIMARY KEY) ENGINE = MyISAM")
        .await;
    fixture.config.options.table = "flat".to_owned();
    let error = super::super::check(&fixture.config).await.unwrap_err();
    assert!(error.to_string().contains("has no transactions"), "{error}");
}
