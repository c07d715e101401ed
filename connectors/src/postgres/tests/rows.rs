//! Partial rows, soft deletes, truncates, keys, foreign keys, the look at a table before a run.

use super::*;
use crate::conflict::ConflictType;
use crate::sql::{DeleteMode, TruncateMode};

#[tokio::test]
async fn an_unset_column_is_left_as_it_is_and_needs_its_row_r14() {
    let mut fixture = Fixture::new("partial", PLAIN).await;
    fixture
        .execute("INSERT INTO t VALUES (1, 'kept', 1), (2, 'kept', 2)")
        .await;
    let mut writer = fixture.writer().await;
    let rows = [
        partial('u', 1, Some(7)),
        partial('u', 2, None),
        full('u', 3, "new", 3),
    ];
    let outcome = writer.write(vec![batch(&rows)]).await;
    assert_eq!(outcome.written, 3);
    let all = "SELECT * FROM t ORDER BY id";
    assert_eq!(
        fixture.rows(all).await,
        ["(1,kept,7)", "(2,kept,2)", "(3,new,3)"]
    );

    let rows = [
        full('u', 1, "x", 8),
        partial('u', 9, Some(1)),
        partial('u', 8, Some(1)),
    ];
    let rejected = writer.rejected(vec![batch(&rows)]).await;
    let rows: Vec<usize> = rejected.iter().map(|change| change.row).collect();
    assert_eq!(rows, [1, 2]);
    assert_eq!(rejected[0].rule, "R14 incomplete");
    assert_eq!(fixture.rows(all).await[0], "(1,kept,7)");
}

#[tokio::test]
async fn a_soft_delete_marks_and_a_reinsert_clears_the_mark_r12() {
    let mut fixture = Fixture::new("soft", PLAIN).await;
    fixture.config.options.delete = DeleteMode::Soft;
    fixture.config.options.evolution = Evolution::Evolve;
    let mut writer = fixture.writer().await;
    writer
        .write(vec![batch(&[full('c', 1, "a", 1), full('c', 2, "b", 1)])])
        .await;
    let outcome = writer
        .write(vec![batch(&[
            full('d', 1, "a", 1),
            full('d', 2, "b", 1),
            full('d', 3, "x", 1),
        ])])
        .await;
    assert_eq!(outcome.conflicts.get(ConflictType::DeleteMissing), 1);
    let again = writer.write(vec![batch(&[full('d', 1, "a", 1)])]).await;
    assert_eq!(again.conflicts.get(ConflictType::DeleteMissing), 1);
    writer.write(vec![batch(&[full('c', 2, "b", 1)])]).await;
    let rows = fixture.rows("SELECT * FROM t ORDER BY id").await;
    assert_eq!(rows, ["(1,a,1,t)", "(2,b,1,f)"]);
}

#[tokio::test]
async fn ignored_deletes_are_kept() {
    let mut fixture = Fixture::new("ignored", PLAIN).await;
    fixture.config.options.delete = DeleteMode::Ignore;
    let mut writer = fixture.writer().await;
    let outcome = writer
        .write(vec![batch(&[full('c', 1, "a", 1), full('d', 1, "a", 1)])])
        .await;
    assert_eq!((outcome.written, outcome.kept), (1, 1));
    assert_eq!(fixture.rows("SELECT id FROM t").await, ["(1)"]);
}

#[tokio::test]
async fn a_truncate_is_a_barrier_and_needs_one_partition_r13() {
    let mut fixture = Fixture::new("truncate", PLAIN).await;
    let rows = [
        full('c', 1, "before", 1),
        partial('t', 0, None),
        full('c', 2, "after", 1),
    ];
    let mut changes = batch(&rows);
    let outcome = fixture.writer().await.write(vec![changes.clone()]).await;
    assert_eq!(outcome.written, 3);
    assert_eq!(fixture.rows("SELECT id FROM t").await, ["(2)"]);

    let mut records = Records::default();
    let number = records.add_partition(&partition(), false);
    for offset in 0..3 {
        records.push(number, offset, None, None, None, None);
    }
    changes.records = Arc::new(records);
    let mut writer = fixture.writer().await;
    writer.position = Some(1);
    let rejected = writer.rejected(vec![changes.clone()]).await;
    assert_eq!(
        (rejected[0].row, rejected[0].rule.as_str()),
        (1, "R13 truncate")
    );

    fixture.config.options.truncate = TruncateMode::Ignore;
    let mut writer = fixture.writer().await;
    writer.position = Some(1);
    let outcome = writer.write(vec![changes.clone()]).await;
    assert_eq!(outcome.kept, 1);
    assert_eq!(
        fixture.rows("SELECT id FROM t ORDER BY id").await,
        ["(1)", "(2)"]
    );

    fixture.config.options.truncate = TruncateMode::Apply;
    let mut writer = fixture.writer().await;
    writer.position = Some(2);
    writer.write(vec![changes]).await;
    assert_eq!(fixture.rows("SELECT id FROM t").await, ["(2)"]);
}

#[tokio::test]
async fn a_table_whose_columns_are_all_key_is_written() {
    let mut fixture = Fixture::new(
        "all_key",
        "CREATE TABLE t (a bigint, b bigint, PRIMARY KEY (b, a))",
    )
    .await;
    fixture.config.options.key = Some(vec!["a".to_owned(), "b".to_owned()]);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 2]));
    let changes = table(
        "t",
        vec![
            (Field::new("a", DataType::Int64, true), numbers),
            (
                Field::new("b", DataType::Int64, true),
                Arc::new(Int64Array::from(vec![1, 2, 1])),
            ),
        ],
        "ccc",
    );
    let mut writer = fixture.writer().await;
    for _ in 0..2 {
        let outcome = writer.write(vec![changes.clone()]).await;
        assert_eq!(outcome.written, 3);
    }
    assert_eq!(fixture.rows("SELECT * FROM t ORDER BY a, b").await.len(), 3);
}

#[tokio::test]
async fn several_tables_follow_their_foreign_keys_r9() {
    let mut fixture = Fixture::new(
        "foreign_keys",
        "CREATE TABLE parents (id bigint PRIMARY KEY); \
         CREATE TABLE children (id bigint PRIMARY KEY, parent bigint REFERENCES parents)",
    )
    .await;
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let parents = |letter| {
        table(
            "parents",
            vec![(Field::new("id", DataType::Int64, true), one())],
            letter,
        )
    };
    let children = |letter| {
        let id = Field::new("id", DataType::Int64, true);
        let parent = Field::new("parent", DataType::Int64, true);
        table("children", vec![(id, one()), (parent, one())], letter)
    };
    let mut writer = fixture.writer().await;
    writer.write(vec![children("c"), parents("c")]).await;
    assert_eq!(fixture.rows("SELECT * FROM children").await, ["(1,1)"]);
    writer.write(vec![parents("d"), children("d")]).await;
    assert!(fixture.rows("SELECT * FROM parents").await.is_empty());
}

#[tokio::test]
async fn a_missing_key_says_what_to_write() {
    let mut fixture =
        Fixture::new("no_key", "CREATE TABLE t (id bigint, name text, v bigint)").await;
    fixture.config.options.key = None;
    let mut writer = fixture.writer().await;
    let error = writer
        .configuration_error(vec![batch(&[full('c', 1, "a", 1)])])
        .await;
    assert!(error.contains("write key = "), "{error}");
}

#[tokio::test]
async fn hostile_names_stay_names() {
    let mut fixture = Fixture::new(
        "hostile",
        "CREATE TABLE \"x\"\"; DROP TABLE t; --\" (id bigint PRIMARY KEY, \"na\"\"me '\\\" text, v bigint); CREATE TABLE t (id int)",
    )
    .await;
    let mut changes = batch(&[full('c', 1, "it's \\ \"x\"", 1)]);
    let fields: Vec<Field> = ["id", "na\"me '\\", "v"]
        .iter()
        .zip(changes.schema().fields())
        .map(|(name, field)| field.as_ref().clone().with_name(*name))
        .collect();
    changes.rows = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        changes.rows.columns().to_vec(),
    )
    .unwrap();
    fixture.config.options.table = "x\"; DROP TABLE t; --".to_owned();
    let outcome = fixture.writer().await.write(vec![changes]).await;
    assert_eq!(outcome.written, 1);
    let found = fixture.rows("SELECT \"na\"\"me '\\\" FROM \"x\"\"; DROP TABLE t; --\", t RIGHT JOIN (SELECT 1) AS o ON true").await;
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn a_table_can_be_looked_at_before_a_run() {
    let mut fixture = Fixture::new("look", PLAIN).await;
    fixture.config.options.table = "t".to_owned();
    super::super::check(&fixture.config).await.unwrap();
    let right = fixture.config.options.key.replace(vec!["name".to_owned()]);
    let error = super::super::check(&fixture.config).await.unwrap_err();
    assert!(error.to_string().contains("no unique index"), "{error}");
    fixture.config.options.key = right;
    fixture.config.options.table = "absent".to_owned();
    let error = super::super::check(&fixture.config).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}
