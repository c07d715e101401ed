//! A sink that does not write for a while: the consumer stays in its group, memory stays bounded,
//! and all changes arrive afterwards.

use std::time::{Duration, Instant};

use sqlx::{Connection, Executor};

use crate::harness::{DEADLINE, Pipeline, Workload, eventually, kafka, postgres};

const CHANGES: usize = 200_000;
/// Longer than the session timeout, so that a member that does not poll is removed from its group.
const LOCKED: Duration = Duration::from_secs(20);
const SILENCE_MAX_MS: u64 = 6_000;
const RESIDENT_BYTES_MAX: u64 = 300 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_stands_still_costs_neither_membership_nor_memory() {
    let kafka = kafka();
    let topic = kafka.topic("backpressure", 4).await;
    let target = postgres("backpressure").await;
    target.execute(Workload::TABLE).await;
    let workload = Workload::generate(31, CHANGES, 20_000, false);
    let pipeline = Pipeline::new(&format!(
        r#"
memory = "128MiB"

[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"
properties = {{ "session.timeout.ms" = "{SILENCE_MAX_MS}", "max.poll.interval.ms" = "{SILENCE_MAX_MS}" }}

[sources.crm.schema]
{schema}
[sinks.billing]
type   = "postgres"
inputs = ["crm"]
url    = "{url}"
table  = "clients"
key    = ["id"]
lock_timeout_ms = 2000
"#,
        brokers = kafka.brokers(),
        schema = Workload::SCHEMA,
        url = target.url(),
    ));

    // One lane is one member: no other member joins, so no partition is reassigned.
    let mut process = pipeline.start(&["--lanes", "1"]);
    let (first, rest) = workload.messages.split_at(1_000);
    kafka.produce(&topic, first);
    let arrived = async |count: usize| match target.positions_sum().await {
        Ok(sum) if sum == count as i64 => Ok(()),
        other => Err(format!("{other:?} of {count}")),
    };
    eventually("the first changes", DEADLINE, async || {
        process.expect_running();
        arrived(first.len()).await
    })
    .await;
    let members = kafka.members(&topic);
    assert!(!members.is_empty(), "it is in its group");

    let mut other = sqlx::PgConnection::connect(target.url())
        .await
        .expect("PostgreSQL is up");
    let lock = "BEGIN; LOCK TABLE clients IN ACCESS EXCLUSIVE MODE";
    other
        .execute(sqlx::raw_sql(lock))
        .await
        .expect("it is locked");
    let locked = Instant::now();
    kafka.produce(&topic, rest);
    let mut resident_bytes_max = 0;
    eventually("the lock to have lasted", 2 * LOCKED, async || {
        process.expect_running();
        let resident_bytes = process.resident_bytes();
        assert!(
            resident_bytes < RESIDENT_BYTES_MAX,
            "{resident_bytes} bytes resident, {:?} after the lock",
            locked.elapsed()
        );
        resident_bytes_max = resident_bytes_max.max(resident_bytes);
        let now = kafka.members(&topic);
        assert_eq!(now, members, "no member leaves or joins");
        let elapsed = locked.elapsed();
        if elapsed > LOCKED {
            Ok(())
        } else {
            Err(elapsed)
        }
    })
    .await;
    assert!(resident_bytes_max > 0, "it was measured");
    assert_eq!(
        arrived(first.len()).await,
        Ok(()),
        "nothing gets past the lock"
    );
    other
        .execute(sqlx::raw_sql("ROLLBACK"))
        .await
        .expect("it is unlocked");

    eventually("every change", 2 * DEADLINE, async || {
        process.expect_running();
        let resident_bytes = process.resident_bytes();
        assert!(resident_bytes < RESIDENT_BYTES_MAX, "{resident_bytes}");
        arrived(workload.messages.len()).await
    })
    .await;
    assert_eq!(kafka.members(&topic), members, "the group never moved");
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
    let found = target.rows(Workload::QUERY).await;
    assert!(found == workload.expected(), "target equals model");
}
