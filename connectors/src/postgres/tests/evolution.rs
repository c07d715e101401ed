//! The target's table follows the schema of the changes, as far as the policy goes (R15).

use arrow::array::{Int32Array, RecordBatchOptions};

use super::*;

/// A table `t` with `id` and one more column, one row.
fn two(name: &str, column: ArrayRef) -> Changes {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let field = Field::new(name, column.data_type().clone(), true);
    table(
        "t",
        vec![
            (Field::new("id", DataType::Int64, true), id),
            (field, column),
        ],
        "c",
    )
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn columns() -> &'static str {
    "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname) \
     FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped"
}

#[tokio::test]
async fn evolve_creates_adds_widens_and_never_goes_back() {
    let mut fixture = Fixture::new("evolve", "").await;
    fixture.config.options.evolution = Evolution::Evolve;
    let mut writer = fixture.writer().await;
    let narrow = two("n", Arc::new(Int32Array::from(vec![1])));
    let wide = two("n", Arc::new(Int64Array::from(vec![1_i64 << 40])));
    writer.write(vec![narrow.clone()]).await;
    assert_eq!(
        fixture.rows(columns()).await,
        ["(\"id bigint, n integer\")"]
    );
    writer.write(vec![wide]).await;
    writer.write(vec![two("more", text("x"))]).await;
    writer.write(vec![narrow]).await;
    let expect = "(\"id bigint, more text, n bigint\")";
    assert_eq!(fixture.rows(columns()).await, [expect]);
    assert_eq!(fixture.rows("SELECT id, n, more FROM t").await, ["(1,1,x)"]);
}

#[tokio::test]
async fn two_lanes_that_evolve_at_once_agree() {
    let mut fixture = Fixture::new("evolve_twice", "").await;
    fixture.config.options.evolution = Evolution::Evolve;
    let (mut left, mut right) = (fixture.writer().await, fixture.writer().await);
    let changes = two("n", text("x"));
    let other = Write {
        changes: vec![changes.clone()],
        spans: Vec::new(),
        taken: Vec::new(),
    };
    let (one, two) = tokio::join!(left.write(vec![changes]), right.sink.write(&other));
    assert_eq!((one.written, two.unwrap().written), (1, 1));
    assert_eq!(fixture.rows("SELECT * FROM t").await.len(), 1);
}

#[tokio::test]
async fn fail_stops_and_ignore_leaves_out() {
    let mut fixture = Fixture::new("fail", "CREATE TABLE t (id bigint PRIMARY KEY)").await;
    let changes = two("n", text("x"));
    let error = fixture
        .writer()
        .await
        .configuration_error(vec![changes.clone()])
        .await;
    assert!(
        error.contains("column \"n\" of table \"t\" is missing"),
        "{error}"
    );
    fixture.config.options.evolution = Evolution::Ignore;
    fixture.writer().await.write(vec![changes]).await;
    assert_eq!(fixture.rows("SELECT * FROM t").await, ["(1)"]);
}

#[tokio::test]
async fn lenient_keeps_the_old_column_under_another_name() {
    let mut fixture = Fixture::new(
        "lenient",
        "CREATE TABLE t (id bigint PRIMARY KEY, n integer)",
    )
    .await;
    fixture.config.options.evolution = Evolution::Lenient;
    let mut writer = fixture.writer().await;
    let number = two("n", Arc::new(Int32Array::from(vec![7])));
    writer.write(vec![number.clone()]).await;
    writer.write(vec![two("n", text("seven"))]).await;
    let expect = "(\"id bigint, n text, n_v1 integer\")";
    assert_eq!(fixture.rows(columns()).await, [expect]);
    assert_eq!(
        fixture.rows("SELECT id, n, n_v1 FROM t").await,
        ["(1,seven,7)"]
    );
    writer.write(vec![number]).await;
    assert_eq!(fixture.rows(columns()).await, [expect]);
}

#[tokio::test]
async fn a_column_dropped_under_a_running_sink_is_noticed() {
    let mut fixture = Fixture::new("dropped", PLAIN).await;
    fixture.config.options.evolution = Evolution::Evolve;
    let mut writer = fixture.writer().await;
    writer.write(vec![batch(&[full('c', 1, "a", 1)])]).await;
    fixture.execute("ALTER TABLE t DROP COLUMN name").await;
    writer.write(vec![batch(&[full('c', 2, "b", 1)])]).await;
    assert_eq!(
        fixture.rows("SELECT id, name FROM t ORDER BY id").await,
        ["(1,)", "(2,b)"]
    );
}

#[tokio::test]
async fn a_write_without_rows_moves_the_position() {
    let fixture = Fixture::new("no_rows", PLAIN).await;
    let mut writer = fixture.writer().await;
    let mut nothing = batch(&[]);
    nothing.rows = RecordBatch::try_new_with_options(
        nothing.schema(),
        nothing.rows.columns().to_vec(),
        &RecordBatchOptions::new().with_row_count(Some(0)),
    )
    .unwrap();
    writer.write(vec![nothing]).await;
    writer.write(Vec::new()).await;
    let positions = writer.sink.positions().await.unwrap().unwrap();
    assert_eq!(positions[&partition()].next, 2);
}

#[tokio::test]
async fn a_refusal_after_the_table_changed_reads_it_again_and_rejects_no_row() {
    let mut fixture =
        Fixture::new("changed", "CREATE TABLE t (id bigint PRIMARY KEY, a text)").await;
    let mut writer = fixture.writer().await;
    writer.write(vec![two("a", text("x"))]).await;
    fixture
        .execute("ALTER TABLE t ADD extra text NOT NULL DEFAULT ''; ALTER TABLE t ALTER extra DROP DEFAULT")
        .await;
    let mut changes = two("a", text("y"));
    changes.rows = RecordBatch::try_new(
        changes.schema(),
        vec![Arc::new(Int64Array::from(vec![2])), text("y")],
    )
    .unwrap();
    let message = writer.configuration_error(vec![changes]).await;
    assert!(message.contains("extra"), "{message}");
}
