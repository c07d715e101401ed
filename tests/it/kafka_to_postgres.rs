//! The shipped `pipelines/kafka-to-postgres.toml`, from Kafka to PostgreSQL.

use crate::harness::{DEADLINE, Database, Pipeline, Workload, eventually, kafka, postgres};

const TARGET: &str = "CREATE TABLE clients (id bigint PRIMARY KEY, name text, email text, balance numeric(12, 2), updated_at timestamptz)";

const QUERY: &str = r#"SELECT id, name, email, balance,
    to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM clients ORDER BY id"#;

struct Setting {
    pipeline: Pipeline,
    target: Database,
    topic: String,
}

async fn setting(label: &str) -> Setting {
    let kafka = kafka();
    let topic = kafka.topic(label, 2).await;
    let target = postgres(label).await;
    target.execute(TARGET).await;
    let mut pipeline = Pipeline::shipped("kafka-to-postgres.toml");
    pipeline
        .set("KAFKA_BROKERS", kafka.brokers())
        .set("CLIENTS_TOPIC", &topic)
        .set("CLIENTS_GROUP", &topic)
        .set("BILLING_URL", target.url());
    Setting {
        pipeline,
        target,
        topic,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_changes_arrive_and_a_second_run_changes_nothing() {
    let setting = setting("hundred").await;
    let workload = Workload::generate(1, 100, 20, true);
    kafka().produce(&setting.topic, &workload.messages);

    setting.pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(setting.target.rows(QUERY).await, workload.expected_mapped());

    // R4: a replay changes nothing, not even the row versions.
    let versions = "SELECT id, xmin FROM clients ORDER BY id";
    let before = setting.target.rows(versions).await;
    setting.pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(setting.target.rows(versions).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_the_topic_until_sigterm_then_commits_and_exits_with_0() {
    let setting = setting("follow").await;
    let workload = Workload::generate(2, 1_000, 100, true);
    let (first, second) = workload.messages.split_at(workload.messages.len() / 2);
    let kafka = kafka();
    kafka.produce(&setting.topic, first);
    let mut process = setting.pipeline.start(&[]);
    let mut arrived = async |count: usize| {
        eventually("all records to be written", DEADLINE, async || {
            process.expect_running();
            match setting.target.positions_sum().await {
                Ok(sum) if sum == count as i64 => Ok(()),
                other => Err(other),
            }
        })
        .await;
    };
    arrived(first.len()).await;
    kafka.produce(&setting.topic, second);
    arrived(workload.messages.len()).await;
    process.terminate();
    setting
        .pipeline
        .finish(process, DEADLINE)
        .await
        .expect_success();

    assert_eq!(setting.target.rows(QUERY).await, workload.expected_mapped());
    let committed = kafka.committed(&setting.topic, &setting.topic);
    let ends: Vec<i64> = kafka
        .offsets(&setting.topic)
        .iter()
        .map(|&(_, next)| next)
        .collect();
    assert_eq!(committed.into_values().collect::<Vec<_>>(), ends);
}
