//! PostgreSQL → Debezium in Kafka Connect → Kafka → Syncline → another PostgreSQL database,
//! compared cell by cell: every common type, inserts, updates, deletes, a key change, and a large
//! value (TOAST) that an update does not change.

use std::time::Duration;

use crate::harness::{Connect, DEADLINE, Database, Pipeline, eventually, kafka, postgres};

/// A table with a column of every common type that Debezium transfers without a loss of its own.
const TABLES: &str = "
    CREATE TYPE matter_state AS ENUM ('open', 'on hold', 'closed');
    CREATE TABLE every_type (
        id bigint PRIMARY KEY, a_bool boolean, an_int2 smallint, an_int4 integer, an_int8 bigint,
        a_float4 real, a_float8 double precision, a_fixed numeric(12, 2), a_wide numeric(38, 10), a_numeric numeric,
        a_money money, a_text text, a_varchar varchar(20), a_char char(6), a_bytea bytea,
        a_date date, a_time time, a_time_3 time(3), a_timetz timetz,
        a_timestamp timestamp, a_timestamp_3 timestamp(3), a_timestamptz timestamptz, an_interval interval,
        a_uuid uuid, a_json json, a_jsonb jsonb, an_xml xml, an_inet inet, a_cidr cidr, a_macaddr macaddr,
        a_bit bit(1), a_bit_8 bit(8), an_enum matter_state, a_tsvector tsvector, an_int4range int4range,
        an_int_array integer[], a_text_array text[]
    );
    CREATE TABLE documents (id integer PRIMARY KEY, revision integer NOT NULL, body text, scan bytea);
    ALTER TABLE documents ALTER body SET STORAGE EXTERNAL, ALTER scan SET STORAGE EXTERNAL;";

/// Rows for the snapshot: ordinary values, nulls, and the limits of each type.
const SNAPSHOT: &str = r#"
    INSERT INTO every_type VALUES
    (1, true, 12, 3400, 560000, 1.5, 2.25, 1234.50, 1.0000000001, 98765.4321, 19.99, 'Müller & Söhne — 漢字 🙂', 'varchar', 'char',
     '\x00ff10', '2024-02-29', '13:14:15.123456', '13:14:15.123', '13:14:15.123456+00', '2024-02-29 13:14:15.123456',
     '2024-02-29 13:14:15.123', '2024-02-29 13:14:15.123456+02', '1 year 2 mons 3 days 04:05:06.789',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b": 1, "a": [1.10, null]}', '{"b": 1, "a": [1.10, null]}', '<a>b</a>',
     '192.168.0.1/24', '10.1.0.0/16', '08:00:2b:01:02:03', B'1', B'10110001', 'on hold', 'a fat cat', '[1,10)',
     '{1,NULL,3}', '{a,NULL,"c,d",""}');
    INSERT INTO every_type (id) VALUES (2);
    INSERT INTO every_type VALUES
    (3, false, -32768, -2147483648, -9223372036854775808, '-3.4028235e38', '-1.7976931348623157e308', -9999999999.99,
     -9999999999999999999999999999.9999999999, -0.00000000000000000001, '-92233720368547758.08', '', '', '', '', '0001-01-01',
     '00:00:00', '00:00:00', '00:00:00+00', '0001-01-01 00:00:00', '0001-01-01 00:00:00', '0001-01-01 00:00:00+00', '-178 years',
     '00000000-0000-0000-0000-000000000000', 'null', 'null', '<a/>', '0.0.0.0/0', '0.0.0.0/0', '00:00:00:00:00:00', B'0', B'00000000',
     'open', '', 'empty', '{}', '{}'),
    (4, true, 32767, 2147483647, 9223372036854775807, 'NaN', 'Infinity', 9999999999.99, 9999999999999999999999999999.9999999999,
     123456789012345678901234567890.123456789012345678901234567891, '92233720368547758.07', E'line\nbreak\ttab "quote" \\ back',
     'xxxxxxxxxxxxxxxxxxxx', 'padded', '\xffffffffffffffffff', '12345-06-07', '24:00:00', '24:00:00', '23:59:59.999999+00',
     'infinity', '-infinity', 'infinity', '178 years', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '123456789012345678901234567890.5',
     '{"n": 123456789012345678901234567890.50}', '<a>é</a>', '2001:db8::ff00:42:8329', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', B'1',
     B'11111111', 'closed', 'x:1A y:2,3B', '(,)', '{2147483647}', '{"{","}"}');
    INSERT INTO every_type (id, a_timestamptz, a_timestamp) VALUES (5, '12345-06-07 08:09:10.111213+00', '12345-06-07 08:09:10.111213');
    INSERT INTO documents VALUES (1, 0, repeat('0123456789', 1000), decode(repeat('00ff10', 3000), 'hex')), (2, 0, 'short', '\x01');"#;

/// Changes for the stream: the same rows with other keys, then every operation.
const CHANGES: [&str; 7] = [
    "INSERT INTO every_type SELECT id + 10, a_bool, an_int2, an_int4, an_int8, a_float4, a_float8, a_fixed, a_wide, a_numeric,
        a_money, a_text, a_varchar, a_char, a_bytea, a_date, a_time, a_time_3, a_timetz, a_timestamp, a_timestamp_3,
        a_timestamptz, an_interval, a_uuid, a_json, a_jsonb, an_xml, an_inet, a_cidr, a_macaddr, a_bit, a_bit_8, an_enum,
        a_tsvector, an_int4range, an_int_array, a_text_array FROM every_type",
    "UPDATE every_type SET a_text = 'updated', a_fixed = a_fixed + 0.01, a_bool = NULL WHERE id IN (1, 11)",
    "DELETE FROM every_type WHERE id IN (3, 12)",
    // A key change is a delete and an insert (R10).
    "UPDATE every_type SET id = 104 WHERE id = 14",
    // A large value that an update does not change is not sent (R14).
    "UPDATE documents SET revision = 1 WHERE id = 1",
    "INSERT INTO documents SELECT 3, revision, body, scan FROM documents WHERE id = 1",
    "DELETE FROM documents WHERE id = 2",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_type_and_operation_arrives_as_it_was() {
    let kafka = kafka();
    let (source, target) = (postgres("source").await, postgres("replica").await);
    source.execute(TABLES).await;
    source.execute(SNAPSHOT).await;
    target.execute(TABLES).await;
    let settings = [("interval.handling.mode", "string")];
    let connect = Connect::start(&kafka, &source, &settings).await;
    let mut pipeline = Pipeline::shipped("whole-database.toml");
    pipeline
        .set("KAFKA_BROKERS", kafka.brokers())
        .set("CRM_TOPICS", &connect.topics("public"))
        .set("CRM_GROUP", "every-type")
        .set("REPLICA_URL", target.url());
    let mut process = pipeline.start(&[]);
    for change in CHANGES {
        source.execute(change).await;
    }

    for table in ["every_type", "documents"] {
        let what = format!("{table} to be the same on both sides");
        eventually(&what, 2 * DEADLINE, async || {
            process.expect_running();
            first_difference(&source, &target, table).await
        })
        .await;
    }
    let counts = "SELECT count(*) FROM every_type";
    assert_eq!(target.number(counts).await.expect("the table is there"), 8);
    process.terminate();
    let finished = pipeline.finish(process, Duration::from_secs(30)).await;
    finished.expect_success();
    let quarantined = std::fs::read_dir(pipeline.folder().join("state/quarantine"))
        .expect("the quarantine was opened")
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("it is text"))
        .collect::<String>();
    assert_eq!(quarantined, "", "nothing is quarantined");
}

/// The first difference between two tables: key, column, source, target.
async fn first_difference(source: &Database, target: &Database, table: &str) -> Result<(), String> {
    let columns = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
    );
    let columns = source.rows(&columns).await;
    let query = format!("SELECT * FROM {table} ORDER BY id");
    let (left, right) = (source.rows(&query).await, target.rows(&query).await);
    let keys =
        |rows: &[Vec<Option<String>>]| rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    if keys(&left) != keys(&right) {
        return Err(format!(
            "keys {:?}, in the target {:?}",
            keys(&left),
            keys(&right)
        ));
    }
    for (left, right) in left.iter().zip(&right) {
        for ((column, left_cell), right_cell) in columns.iter().zip(left).zip(right) {
            if left_cell != right_cell {
                return Err(format!(
                    "row {:?}, column {column:?}: {left_cell:?}, in the target {right_cell:?}",
                    left[0]
                ));
            }
        }
    }
    Ok(())
}
