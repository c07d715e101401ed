//! Repeated `kill -9` while changes flow: nothing is lost or duplicated.
//!
//! Each kill comes after the target has moved since the start of that process, so it interrupts the
//! work at some step. A slow network makes the steps of a transaction longer, so some kills come
//! between them.

use std::time::Duration;

use crate::harness::{DEADLINE, Pipeline, Proxy, Workload, eventually, kafka, postgres};

const KILLS: usize = 20;
const CHANGES: usize = 100_000;
const KEYS: u64 = 20_000;
const PARTITIONS: i32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_lose_nothing_and_duplicate_nothing() {
    let kafka = kafka();
    let topic = kafka.topic("kill", PARTITIONS).await;
    let target = postgres("kill").await;
    target.execute(Workload::TABLE).await;
    let workload = Workload::generate(3, CHANGES, KEYS, false);
    kafka.produce(&topic, &workload.messages);
    let server_port = url::Url::parse(target.url()).expect("a URL").port();
    let proxy = Proxy::start(server_port.expect("a port")).await;
    proxy.delay(Duration::from_millis(2));
    let pipeline = Pipeline::new(&text(
        &topic,
        kafka.brokers(),
        &target.url_through(proxy.port()),
    ));
    let total = workload.messages.len() as i64;

    let position = async || target.positions_sum().await.expect("the target answers");
    let mut kills = 0;
    while kills < KILLS {
        let start = position().await;
        let mut process = pipeline.start(&[]);
        let reached = eventually("progress", DEADLINE, async || {
            process.expect_running();
            let now = position().await;
            if now > start { Ok(now) } else { Err(now) }
        })
        .await;
        assert!(process.kill(), "it ran until it was killed");
        assert!(
            reached < total,
            "the stream was over after {kills} kills: make it longer"
        );
        kills += 1;
    }

    proxy.heal();
    let finished = pipeline.run_once(4 * DEADLINE).await;
    finished.expect_success();
    assert_eq!(position().await, total);
    let (found, expected) = (target.rows(Workload::QUERY).await, workload.expected());
    let differing = found
        .iter()
        .zip(&expected)
        .find(|(found, expected)| found != expected);
    assert_eq!(differing, None, "found and expected row");
    assert_eq!(found.len(), expected.len());
}

/// As a file says it that sets nothing of the group.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_next_process_is_at_work_within_15_seconds_by_default() {
    let kafka = kafka();
    let topic = kafka.topic("kill_default", 1).await;
    let target = postgres("kill_default").await;
    target.execute(Workload::TABLE).await;
    let workload = Workload::generate(4, 400, 100, false);
    let (first, second) = workload.messages.split_at(200);
    let text = text(&topic, kafka.brokers(), target.url());
    let lines = text.lines().filter(|line| !line.starts_with("properties"));
    let pipeline = Pipeline::new(&lines.collect::<Vec<_>>().join("\n"));
    let arrived = async |count: usize| match target.positions_sum().await {
        Ok(sum) if sum == count as i64 => Ok(()),
        other => Err(format!("{other:?} of {count}")),
    };
    kafka.produce(&topic, first);
    let mut process = pipeline.start(&[]);
    eventually("the first changes", DEADLINE, async || {
        process.expect_running();
        arrived(first.len()).await
    })
    .await;
    assert!(process.kill(), "it ran until it was killed");
    kafka.produce(&topic, second);
    let mut process = pipeline.start(&[]);
    let all = workload.messages.len();
    eventually("the others", Duration::from_secs(15), async || {
        process.expect_running();
        arrived(all).await
    })
    .await;
}

fn text(topic: &str, brokers: &str, url: &str) -> String {
    format!(
        r#"
[batch]
rows = 250

[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"
# A killed member leaves its group only when its session is over.
properties = {{ "session.timeout.ms" = "2000", "heartbeat.interval.ms" = "400" }}

[sources.crm.schema]
{schema}
[sinks.billing]
type   = "postgres"
inputs = ["crm"]
url    = "{url}"
table  = "clients"
key    = ["id"]
"#,
        schema = Workload::SCHEMA,
    )
}
