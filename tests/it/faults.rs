//! Faults of systems and networks while changes flow: the pipeline recovers by itself, nothing is
//! lost or duplicated, and an outage quarantines nothing (R16).

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Broker, DEADLINE, Database, DatabaseServer, Finished, Kafka, Pipeline, Process, Proxy,
    Workload, eventually, kafka, postgres,
};

const PARTITIONS: i32 = 4;
const KEYS: u64 = 5_000;
/// The maximum time to recover after the cause of an outage has ended.
const HEALED: Duration = Duration::from_secs(30);

/// A pipeline from its own topic to its own table.
struct Setting {
    kafka: Kafka,
    topic: String,
    workload: Workload,
    produced: usize,
    target: Database,
    pipeline: Pipeline,
}

impl Setting {
    /// `url` is the address that the pipeline uses for the target.
    async fn new(
        kafka: Kafka,
        label: &str,
        seed: u64,
        changes: usize,
        target: Database,
        url: &str,
    ) -> Self {
        let topic = kafka.topic(label, PARTITIONS).await;
        target.execute(Workload::TABLE).await;
        let pipeline = Pipeline::new(&text(&topic, kafka.brokers(), url));
        Self {
            kafka,
            topic,
            workload: Workload::generate(seed, changes, KEYS, false),
            produced: 0,
            target,
            pipeline,
        }
    }

    /// Produces one of `parts` equal parts of the records.
    fn produce(&mut self, parts: usize) {
        let end = (self.produced + self.workload.messages.len().div_ceil(parts))
            .min(self.workload.messages.len());
        let messages = &self.workload.messages[self.produced..end];
        self.kafka.produce(&self.topic, messages);
        self.produced = end;
    }

    async fn position(&self) -> i64 {
        self.target.positions_sum().await.unwrap_or_default()
    }

    /// Waits until the target has moved past `position`.
    async fn moves(&self, process: &mut Process, position: i64) -> i64 {
        eventually("progress", DEADLINE, async || {
            process.expect_running();
            match self.position().await {
                now if now > position => Ok(now),
                now => Err(now),
            }
        })
        .await
    }

    /// Waits until every produced record is in the target.
    async fn arrives(&self, process: &mut Process, deadline: Duration) {
        let total = self.produced as i64;
        eventually("every record to be written", deadline, async || {
            process.expect_running();
            match self.position().await {
                now if now == total => Ok(()),
                now => Err(format!("{now} of {total}")),
            }
        })
        .await;
    }

    /// Stops the process and compares the target with the model.
    async fn ends(self, process: Process) {
        process.terminate();
        let finished = self.pipeline.finish(process, DEADLINE).await;
        finished.expect_success();
        self.holds().await;
    }

    async fn holds(&self) {
        assert_eq!(
            self.produced,
            self.workload.messages.len(),
            "all is produced"
        );
        assert_eq!(self.position().await, self.produced as i64);
        let found = self.target.rows(Workload::QUERY).await;
        let expected = self.workload.expected();
        let differing = found
            .iter()
            .zip(&expected)
            .find(|(one, other)| one != other);
        assert_eq!(differing, None, "found and expected row");
        assert_eq!(found.len(), expected.len());
        let listed = self
            .pipeline
            .command(&["quarantine", "list", "--json", self.pipeline.file()])
            .await;
        listed.expect_success();
        assert_eq!(
            listed.stdout.trim(),
            "[]",
            "an outage quarantines nothing (R16)"
        );
    }
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
# A member that is killed leaves its group only when its session is over.
properties = {{ "session.timeout.ms" = "3000", "heartbeat.interval.ms" = "500" }}

[sources.crm.schema]
{schema}
[sinks.billing]
type   = "postgres"
inputs = ["crm"]
url    = "{url}"
table  = "clients"
key    = ["id"]
write_timeout_ms   = 4000
connect_timeout_ms = 2000

[quarantine]
type = "file"
path = "quarantine"
"#,
        schema = Workload::SCHEMA,
    )
}

fn port(database: &Database) -> u16 {
    let url = url::Url::parse(database.url()).expect("a URL");
    url.port().expect("a port")
}

/// Waits until the log contains a text more than `times` times.
async fn says(process: &mut Process, what: &str, times: usize, deadline: Duration) {
    eventually(what, deadline, async || {
        process.expect_running();
        let said = process.stderr();
        if said.matches(what).count() > times {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
}

/// A fault of a proxy.
type Fault = fn(&Proxy);

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_that_crashes_loses_nothing_and_quarantines_nothing() {
    let mut server = DatabaseServer::start().await;
    let target = server.database("crashes").await;
    let url = target.url().to_owned();
    let mut setting = Setting::new(kafka(), "crashes", 11, 30_000, target, &url).await;
    let mut process = setting.pipeline.start(&[]);
    for crash in 0..3 {
        let before = setting.position().await;
        setting.produce(6);
        setting.moves(&mut process, before).await;
        server.crash().await;
        // It may have written everything by then. What comes now finds the server away.
        setting.produce(6);
        says(&mut process, "stalled", crash, DEADLINE).await;
        server.restart().await;
        setting.arrives(&mut process, HEALED).await;
    }
    setting.ends(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_breaks_heals_within_30_seconds() {
    let target = postgres("network").await;
    let proxy = Proxy::start(port(&target)).await;
    let url = target.url_through(proxy.port());
    let mut setting = Setting::new(kafka(), "network", 12, 24_000, target, &url).await;
    let mut process = setting.pipeline.start(&[]);
    let faults: [(&str, Fault); 4] = [
        ("cut", Proxy::cut),
        ("reset", Proxy::reset),
        ("half open", Proxy::half_open),
        ("slow", |proxy| proxy.delay(Duration::from_millis(20))),
    ];
    for (name, fault) in faults {
        let (before, broken) = (setting.position().await, proxy.broken());
        let stalls = process.stderr().matches("stalled").count();
        setting.produce(2 * faults.len());
        setting.moves(&mut process, before).await;
        fault(&proxy);
        // It may have written everything by then. What comes now meets the fault.
        setting.produce(2 * faults.len());
        match name {
            // New connections succeed at once, so the pipeline may recover before the test looks.
            "reset" => {
                let look = async || (proxy.broken() > broken).then_some(()).ok_or(broken);
                eventually("a broken connection", DEADLINE, look).await;
            }
            "slow" => {}
            _ => says(&mut process, "stalled", stalls, DEADLINE).await,
        }
        proxy.heal();
        setting.arrives(&mut process, HEALED).await;
    }
    setting.ends(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_lost_counts_once() {
    let target = postgres("reply").await;
    let proxy = Proxy::start(port(&target)).await;
    let url = target.url_through(proxy.port());
    let mut setting = Setting::new(kafka(), "reply", 13, 30_000, target, &url).await;
    setting.produce(1);
    let mut process = setting.pipeline.start(&["--once", "--json"]);
    for lost in 1..=5 {
        let before = setting.position().await;
        setting.moves(&mut process, before).await;
        proxy.drop_reply_to(b"COMMIT");
        let look = async || {
            let seen = proxy.dropped_replies();
            if seen == lost { Ok(()) } else { Err(seen) }
        };
        eventually("a lost reply", DEADLINE, look).await;
    }
    let finished = setting.pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    setting.holds().await;
    // R17, and every change is counted once.
    let all = setting.workload.messages.len() as i64;
    let balance = balance(&finished);
    assert_eq!(balance["in"], all);
    let sum: i64 = ["written", "superseded", "filtered", "kept", "quarantined"]
        .iter()
        .map(|part| balance[*part].as_i64().expect("a count"))
        .sum();
    assert_eq!(sum, all, "{balance}");
}

/// The account of the only sink.
fn balance(finished: &Finished) -> Value {
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    summaries[0]["sinks"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_come_and_go_leave_no_partition_behind() {
    const STORMS: usize = 6;
    let target = postgres("replicas").await;
    let url = target.url().to_owned();
    let mut setting = Setting::new(kafka(), "replicas", 14, 30_000, target, &url).await;
    let mut first = setting.pipeline.start_as("first", &[]);
    for storm in 0..STORMS {
        let before = setting.position().await;
        setting.produce(STORMS);
        setting.moves(&mut first, before).await;
        let alone = setting.kafka.members(&setting.topic);
        let mut second = setting.pipeline.start_as("second", &[]);
        eventually("the second to join", DEADLINE, async || {
            first.expect_running();
            second.expect_running();
            let now = setting.kafka.members(&setting.topic);
            let joined = now.difference(&alone).count();
            if joined > 0 { Ok(()) } else { Err(now) }
        })
        .await;
        if storm % 3 == 2 {
            assert!(second.kill(), "it ran until it was killed");
        } else {
            second.terminate();
            setting
                .pipeline
                .finish(second, DEADLINE)
                .await
                .expect_success();
        }
    }
    setting.arrives(&mut first, DEADLINE).await;
    let ends = setting.kafka.offsets(&setting.topic);
    let positions = "SELECT position FROM _syncline_positions ORDER BY partition";
    let positions: Vec<_> = setting.target.rows(positions).await.concat();
    let ends: Vec<_> = ends
        .iter()
        .map(|(_, next)| Some(next.to_string()))
        .collect();
    assert_eq!(positions, ends, "every partition is consumed to its end");
    setting.ends(first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_the_database_is_gone_ends_at_the_deadline_or_with_a_second_signal() {
    let mut server = DatabaseServer::start().await;
    let target = server.database("gone").await;
    let url = target.url().to_owned();
    let mut setting = Setting::new(kafka(), "gone", 15, 30_000, target, &url).await;

    for (timeout, second_signal, expected) in [("3", false, 1), ("60", true, 143)] {
        let before = setting.position().await;
        let stalls = stalls_of(&setting.pipeline);
        let mut process = setting.pipeline.start(&["--drain-timeout", timeout]);
        setting.produce(6);
        setting.moves(&mut process, before).await;
        server.crash().await;
        setting.produce(6);
        says(&mut process, "stalled", stalls, DEADLINE).await;
        let drains = process.stderr().matches("draining").count();
        let asked = Instant::now();
        process.terminate();
        if second_signal {
            says(&mut process, "draining", drains, DEADLINE).await;
            process.terminate();
        }
        let finished = setting.pipeline.finish(process, DEADLINE).await;
        let took = asked.elapsed();
        assert_eq!(finished.code, Some(expected), "{}", finished.stderr);
        if second_signal {
            assert!(took < Duration::from_secs(2), "at once, not after {took:?}");
        } else {
            let range = Duration::from_secs(3)..Duration::from_secs(6);
            assert!(range.contains(&took), "{took:?}");
            assert!(
                finished.stderr.contains("not drained within 3 s"),
                "{}",
                finished.stderr
            );
        }
        server.restart().await;
    }

    // The rest is written after the next start.
    setting.produce(3);
    let mut process = setting.pipeline.start(&[]);
    setting.arrives(&mut process, HEALED).await;
    setting.ends(process).await;
}

fn stalls_of(pipeline: &Pipeline) -> usize {
    let log = std::fs::read_to_string(pipeline.folder().join("syncline.stderr"));
    log.map_or(0, |log| log.matches("stalled").count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_is_a_stall_with_its_cause_and_heals() {
    let mut broker = Broker::start().await;
    let target = postgres("broker").await;
    let url = target.url().to_owned();
    let mut setting = Setting::new(broker.kafka(), "broker", 16, 10_000, target, &url).await;
    setting.produce(2);
    let mut process = setting.pipeline.start(&[]);
    setting.arrives(&mut process, DEADLINE).await;
    assert!(broker.process().kill());
    says(&mut process, "stalled", 0, Duration::from_secs(15)).await;
    let log = process.stderr();
    let line = log.lines().find(|line| line.contains("stalled"));
    let line = line.expect("it was seen");
    let address = setting.kafka.brokers();
    for part in ["source crm", "does not answer", address] {
        assert!(line.contains(part), "{part} in {line}");
    }
    broker.restart().await;
    setting.produce(2);
    setting.arrives(&mut process, HEALED).await;
    says(&mut process, "running again", 0, DEADLINE).await;
    setting.ends(process).await;
}
