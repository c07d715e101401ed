//! Tables that are created, widened and renamed (R15).

use arrow::array::{Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray};

use super::*;

fn ids(ids: &[i64]) -> (Field, ArrayRef) {
    column("id", Arc::new(Int64Array::from(ids.to_vec())))
}

fn decimals(value: i128, precision: u8) -> (Field, ArrayRef) {
    let values = Decimal128Array::from(vec![value]);
    let values = values.with_precision_and_scale(precision, 2).unwrap();
    column("amount", Arc::new(values))
}

#[tokio::test]
async fn a_wider_column_keeps_what_else_it_was() {
    let mut fixture = Fixture::new(
        "widen",
        "CREATE TABLE clients (id bigint PRIMARY KEY, n int(11) NOT NULL DEFAULT 7 COMMENT 'it''s, a n', \
         amount decimal(6,2) DEFAULT 0.5); INSERT INTO clients (id) VALUES (1)",
    )
    .await;
    fixture.config.options.evolution = Evolution::Evolve;
    let n = column("n", Arc::new(Int64Array::from(vec![1 << 40])));
    let mut writer = fixture.writer().await;
    let wider = table(
        "clients",
        vec![ids(&[2]), n, decimals(1_234_567_891, 12)],
        "c",
    );
    writer.write(vec![wider]).await;
    assert_eq!(
        fixture.found("SELECT * FROM clients ORDER BY id").await,
        ["1|7|0.50", "2|1099511627776|12345678.91"]
    );
    let columns = fixture.found("SHOW FULL COLUMNS FROM clients").await;
    assert!(
        columns[1].starts_with("n|bigint(20)|-|NO||7||"),
        "{}",
        columns[1]
    );
    assert!(columns[1].ends_with("it's, a n"), "{}", columns[1]);
    assert!(
        columns[2].starts_with("amount|decimal(12,2)|-|YES||0.50"),
        "{}",
        columns[2]
    );
    // An older schema, replayed, goes into the wider column (R15).
    let n = column("n", Arc::new(Int32Array::from(vec![3])));
    writer
        .write(vec![table("clients", vec![ids(&[3]), n], "c")])
        .await;
    assert_eq!(
        fixture.found("SELECT n FROM clients WHERE id = 3").await,
        ["3"]
    );
}

#[tokio::test]
async fn a_type_change_renames_and_adds_under_lenient() {
    let mut fixture = Fixture::new(
        "lenient",
        "CREATE TABLE clients (id bigint PRIMARY KEY, amount bigint); INSERT INTO clients VALUES (1, 5)",
    )
    .await;
    fixture.config.options.evolution = Evolution::Lenient;
    let amount = column("amount", Arc::new(Float64Array::from(vec![0.5])));
    let mut writer = fixture.writer().await;
    writer
        .write(vec![table("clients", vec![ids(&[2]), amount.clone()], "c")])
        .await;
    assert_eq!(
        fixture
            .found("SELECT id, amount_v1, amount FROM clients ORDER BY id")
            .await,
        ["1|5|-", "2|-|0.5"]
    );
    fixture.config.options.evolution = Evolution::Fail;
    fixture
        .execute("ALTER TABLE clients DROP COLUMN amount")
        .await;
    let mut writer = Writer {
        position: writer.position,
        ..fixture.writer().await
    };
    let error = writer
        .configuration_error(vec![table("clients", vec![ids(&[3]), amount], "c")])
        .await;
    assert!(
        error.contains("\"amount\"") && error.contains("is missing"),
        "{error}"
    );
}

#[tokio::test]
async fn a_new_table_tells_keys_apart_by_their_bytes() {
    let mut fixture = Fixture::new("created_keys", "").await;
    fixture.config.options.evolution = Evolution::Evolve;
    let keys = ["a", "A", "a ", "ä"];
    let keys: ArrayRef = Arc::new(StringArray::from(keys.to_vec()));
    let all = table("clients", vec![column("id", keys)], "cccc");
    let mut writer = fixture.writer().await;
    assert_eq!(writer.write(vec![all]).await.written, 4);
    assert_eq!(fixture.found("SELECT id FROM clients").await.len(), 4);
}

#[tokio::test]
async fn a_table_that_changes_under_us_is_looked_at_afresh() {
    let mut fixture = Fixture::new(
        "changing",
        "CREATE TABLE clients (id bigint PRIMARY KEY, n int)",
    )
    .await;
    fixture.config.options.evolution = Evolution::Evolve;
    let n = |value| column("n", Arc::new(Int32Array::from(vec![value])) as ArrayRef);
    let mut writer = fixture.writer().await;
    writer
        .write(vec![table("clients", vec![ids(&[1]), n(1)], "c")])
        .await;
    fixture.execute("ALTER TABLE clients DROP COLUMN n").await;
    writer
        .write(vec![table("clients", vec![ids(&[2]), n(2)], "c")])
        .await;
    assert_eq!(
        fixture.found("SELECT * FROM clients ORDER BY id").await,
        ["1|-", "2|2"]
    );
    // What was in it would not come again (R24).
    fixture.execute("DROP TABLE clients").await;
    let refused = writer
        .configuration_error(vec![table("clients", vec![ids(&[3]), n(3)], "c")])
        .await;
    assert!(refused.contains("clients is gone"), "{refused}");
}

#[tokio::test]
async fn sessions_that_create_the_same_table_wait_for_each_other() {
    let mut fixture = Fixture::new("together", "").await;
    fixture.config.options.evolution = Evolution::Evolve;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4 {
        let identity = Identity {
            pipeline: format!("p{number}"),
            sink: "s".to_owned(),
            source: "s".to_owned(),
        };
        let config = fixture.config.clone();
        tasks.spawn(async move {
            let sink = connect(&config, &identity, &statements_only())
                .await
                .unwrap();
            let mut writer = Writer {
                sink,
                position: None,
            };
            let one = table("clients", vec![ids(&[number])], "c");
            writer.write(vec![one]).await.written
        });
    }
    assert_eq!(tasks.join_all().await, [1; 4]);
    assert_eq!(fixture.found("SELECT id FROM clients").await.len(), 4);
}

#[tokio::test]
async fn a_refusal_after_the_table_changed_reads_it_again_and_rejects_no_row() {
    let setup = "CREATE TABLE clients (id bigint PRIMARY KEY, a varchar(9))";
    let fixture = Fixture::new("changed", setup).await;
    let mut writer = fixture.writer().await;
    let a = |value: &str| column("a", Arc::new(StringArray::from(vec![value.to_owned()])));
    let row = |id: i64| table("clients", vec![ids(&[id]), a("x")], "c");
    writer.write(vec![row(1)]).await;
    let alter = "ALTER TABLE clients ADD extra varchar(9) NOT NULL DEFAULT ''; \
                 ALTER TABLE clients ALTER extra DROP DEFAULT";
    fixture.execute(alter).await;
    let message = writer.configuration_error(vec![row(2)]).await;
    assert!(message.contains("extra"), "{message}");
}
