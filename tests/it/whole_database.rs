//! The shipped `pipelines/whole-database.toml`: missing tables are created from the records, and
//! new tables and columns are added while it runs.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Database, Kafka, Message, Pipeline, Process, eventually, kafka, postgres, unique,
};

/// A table of the source: its columns with their schemas; the first `keys` columns are the key.
struct Source {
    topic: String,
    table: &'static str,
    keys: usize,
    columns: Vec<(&'static str, Value)>,
}

fn plain(kind: &str) -> Value {
    json!({ "type": kind, "optional": true })
}

fn decimal() -> Value {
    json!({ "type": "bytes", "optional": true, "name": "org.apache.kafka.connect.data.Decimal", "version": 1,
        "parameters": { "scale": "2", "connect.decimal.precision": "12" } })
}

fn instant() -> Value {
    json!({ "type": "int64", "optional": true, "name": "io.debezium.time.MicroTimestamp", "version": 1 })
}

impl Source {
    async fn create(
        kafka: &Kafka,
        prefix: &str,
        table: &'static str,
        keys: usize,
        columns: &[(&'static str, Value)],
    ) -> Self {
        let topic = format!("{prefix}.public.{table}");
        kafka.create_topic(&topic, 2).await;
        Self {
            topic,
            table,
            keys,
            columns: columns.to_vec(),
        }
    }

    /// A change of one row; `row` has a value for each column.
    fn change(&self, operation: &str, row: &[Value]) -> Message {
        let object = |count: usize| -> Value {
            let cells = self.columns.iter().zip(row).take(count);
            Value::Object(
                cells
                    .map(|((name, _), value)| ((*name).to_owned(), value.clone()))
                    .collect(),
            )
        };
        let fields = |count: usize| -> Vec<Value> {
            let columns = self.columns.iter().take(count);
            columns
                .enumerate()
                .map(|(index, (name, schema))| {
                    let mut field = schema.clone();
                    field["field"] = json!(name);
                    field["optional"] = json!(index >= self.keys);
                    field
                })
                .collect()
        };
        let name = |part: &str| format!("crm.public.{}.{part}", self.table);
        let image = |field: &str| {
            json!({ "type": "struct", "optional": true, "field": field, "name": name("Value"),
                "fields": fields(self.columns.len()) })
        };
        let text = |field: &str| json!({ "type": "string", "optional": true, "field": field });
        let schema = json!({ "type": "struct", "optional": false, "name": name("Envelope"), "fields": [
            image("before"), image("after"),
            { "type": "struct", "optional": false, "field": "source", "name": "io.debezium.connector.postgresql.Source",
              "fields": [text("db"), text("schema"), text("table")] },
            text("op"), { "type": "int64", "optional": true, "field": "ts_ms" } ] });
        let whole = object(row.len());
        let (before, after) = match operation {
            "d" => (whole, Value::Null),
            _ => (Value::Null, whole),
        };
        let payload = json!({ "before": before, "after": after, "op": operation, "ts_ms": 1_767_225_600_000_i64,
            "source": { "db": "crm", "schema": "public", "table": self.table } });
        let key_schema = json!({ "type": "struct", "optional": false, "name": name("Key"), "fields": fields(self.keys) });
        Message {
            key: Some(json!({ "schema": key_schema, "payload": object(self.keys) }).to_string()),
            value: Some(json!({ "schema": schema, "payload": payload }).to_string()),
        }
    }
}

/// The columns of a table in order, each with its type; `*` marks the key.
async fn columns(target: &Database, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ||
            CASE WHEN a.attnum = ANY(i.indkey) THEN ' *' ELSE '' END
         FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
         WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let rows = target.rows(&query).await;
    rows.into_iter()
        .filter_map(|mut row| row.remove(0))
        .collect()
}

/// Waits until a query returns these rows, as `a|b|c` with `-` for null.
async fn arrives(process: &mut Process, target: &Database, query: &str, expected: &[&str]) {
    eventually(query, DEADLINE, async || {
        process.expect_running();
        let rows = target
            .try_rows(query)
            .await
            .map_err(|error| error.to_string())?;
        let lines: Vec<String> = rows
            .iter()
            .map(|row| {
                let cells: Vec<&str> = row
                    .iter()
                    .map(|cell| cell.as_deref().unwrap_or("-"))
                    .collect();
                cells.join("|")
            })
            .collect();
        if lines == expected {
            Ok(())
        } else {
            Err(format!("{lines:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_columns_come_into_being_while_it_runs() {
    let kafka = kafka();
    let prefix = unique("whole");
    let target = postgres("whole").await;
    let clients = [
        ("id", plain("int64")),
        ("name", plain("string")),
        ("balance", decimal()),
    ];
    let mut clients = Source::create(&kafka, &prefix, "clients", 1, &clients).await;
    // The key has two columns, and the pipeline file does not name them.
    let lines = [
        ("order_id", plain("int32")),
        ("line", plain("int16")),
        ("amount", plain("double")),
    ];
    let lines = Source::create(&kafka, &prefix, "order_lines", 2, &lines).await;
    let visits = [("code", plain("string")), ("at", instant())];
    let visits = Source::create(&kafka, &prefix, "visits", 1, &visits).await;
    // 123.45 and -0.01 in Debezium's encoding.
    kafka.produce(
        &clients.topic,
        &[
            clients.change("r", &[json!(1), json!("Ada"), json!("MDk=")]),
            clients.change("c", &[json!(2), json!("Søren"), json!("/w==")]),
            clients.change("u", &[json!(2), json!("Søren K"), json!("/w==")]),
        ],
    );
    kafka.produce(
        &lines.topic,
        &[
            lines.change("c", &[json!(7), json!(1), json!(1.5)]),
            lines.change("c", &[json!(7), json!(2), json!(2.5)]),
            lines.change("d", &[json!(7), json!(1), json!(1.5)]),
        ],
    );
    kafka.produce(
        &visits.topic,
        &[visits.change("c", &[json!("v-1"), json!(1_767_225_600_123_456_i64)])],
    );

    let mut pipeline = Pipeline::shipped("whole-database.toml");
    pipeline
        .set("KAFKA_BROKERS", kafka.brokers())
        .set("CRM_TOPICS", &format!("^{prefix}\\.public\\..*"))
        .set("CRM_GROUP", &prefix)
        .set("REPLICA_URL", target.url());
    let mut process = pipeline.start(&[]);
    let query = "SELECT id, name, balance FROM clients ORDER BY id";
    let expected = ["1|Ada|123.45", "2|Søren K|-0.01"];
    arrives(&mut process, &target, query, &expected).await;
    let query = "SELECT * FROM order_lines";
    arrives(&mut process, &target, query, &["7|2|2.5"]).await;
    let query = "SELECT * FROM visits";
    let expected = ["v-1|2026-01-01 00:00:00.123456"];
    arrives(&mut process, &target, query, &expected).await;
    assert_eq!(
        columns(&target, "clients").await,
        ["id bigint *", "name text", "balance numeric(12,2)"]
    );
    assert_eq!(
        columns(&target, "order_lines").await,
        [
            "order_id integer *",
            "line smallint *",
            "amount double precision"
        ]
    );
    assert_eq!(
        columns(&target, "visits").await,
        ["code text *", "at timestamp without time zone"]
    );

    // A new table at the source, and one that does not match the pattern and is ignored.
    let rooms = [("id", plain("int32")), ("open", plain("boolean"))];
    let rooms = Source::create(&kafka, &prefix, "rooms", 1, &rooms).await;
    kafka.produce(&rooms.topic, &[rooms.change("c", &[json!(1), json!(true)])]);
    let other = Source::create(
        &kafka,
        &format!("other-{prefix}"),
        "secrets",
        1,
        &rooms.columns,
    )
    .await;
    kafka.produce(&other.topic, &[other.change("c", &[json!(1), json!(true)])]);
    arrives(&mut process, &target, "SELECT * FROM rooms", &["1|t"]).await;

    // A column that is added at the source: older rows contain null.
    clients.columns.push(("phone", plain("string")));
    kafka.produce(
        &clients.topic,
        &[clients.change("u", &[json!(1), json!("Ada"), json!("MDk="), json!("555")])],
    );
    let query = "SELECT id, phone FROM clients ORDER BY id";
    arrives(&mut process, &target, query, &["1|555", "2|-"]).await;
    assert_eq!(columns(&target, "clients").await[3], "phone text");
    // A replayed older schema does not remove the column (R15).
    clients.columns.pop();
    kafka.produce(
        &clients.topic,
        &[clients.change("u", &[json!(2), json!("S"), json!("/w==")])],
    );
    let query = "SELECT id, name, phone FROM clients ORDER BY id";
    arrives(&mut process, &target, query, &["1|Ada|555", "2|S|-"]).await;

    process.terminate();
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'secrets'";
    assert_eq!(target.number(tables).await.expect("it answers"), 0);
    let quarantined = fs::read_dir(pipeline.folder().join("state/quarantine"));
    let bytes: u64 = quarantined
        .into_iter()
        .flatten()
        .map(|entry| {
            entry
                .and_then(|entry| entry.metadata())
                .map_or(0, |metadata| metadata.len())
        })
        .sum();
    assert_eq!(bytes, 0, "nothing is quarantined");
}
