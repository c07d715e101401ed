//! Many pipelines in one process: what is away at the start is waited for, what fails leaves the others
//! running, and the state says what does not move.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use syncline::daemon::view;

use crate::harness::{
    Api, DEADLINE, Pipeline, Process, Proxy, Workload, eventually, kafka, metric, postgres,
};

/// A pipeline from a file to a file.
const GOOD: &str = r#"
[sources.crm]
type   = "file"
path   = "in.jsonl"
format = "json"

[sinks.out]
type      = "sqlite"
path      = "out.db"
inputs    = ["crm"]
table     = "clients"
key       = ["id"]
evolution = "evolve"
"#;

/// A folder with the good pipeline and another one to `url`.
fn folder(url: &str) -> Pipeline {
    let other = GOOD
        .replace(
            "type      = \"sqlite\"\npath      = \"out.db\"",
            "type = \"postgres\"\nURL",
        )
        .replace("URL", &format!("url = \"{url}\""));
    let pipeline = Pipeline::new(&other);
    fs::write(pipeline.folder().join("good.toml"), GOOD).expect("the folder can be written");
    let rows = "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"b\"}\n";
    fs::write(pipeline.folder().join("in.jsonl"), rows).expect("the folder can be written");
    pipeline
}

fn good_of(pipeline: &Pipeline) -> String {
    let path = pipeline.folder().join("good.toml");
    path.to_str().expect("UTF-8").to_owned()
}

fn rows_of_good(pipeline: &Pipeline) -> Result<i64, String> {
    let path = pipeline.folder().join("out.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(path, flags);
    let database = database.map_err(|error| error.to_string())?;
    let count = database.query_row("SELECT count(*) FROM clients", [], |row| row.get(0));
    count.map_err(|error| error.to_string())
}

/// Waits until the good pipeline has written its rows.
async fn good_is_done(pipeline: &Pipeline, process: &mut Process) {
    eventually("the rows of the good pipeline", DEADLINE, async || {
        process.expect_running();
        match rows_of_good(pipeline) {
            Ok(2) => Ok(()),
            found => Err((found, process.stderr())),
        }
    })
    .await;
}

async fn says(process: &mut Process, texts: &[&str], deadline: Duration) {
    eventually(&texts.join(", "), deadline, async || {
        process.expect_running();
        let said = process.stderr();
        let found = said
            .lines()
            .any(|line| texts.iter().all(|text| line.contains(text)));
        if found { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_at_the_start_is_waited_for_while_the_others_run() {
    let target = postgres("away").await;
    let upstream = url::Url::parse(target.url()).expect("a URL").port();
    // A port where nobody listens, until the proxy does.
    let proxy = Proxy::start(upstream.expect("a port")).await;
    proxy.cut();
    let pipeline = folder(&target.url_through(proxy.port()));
    let good = good_of(&pipeline);
    let mut process = pipeline.start(&[&good]);
    says(
        &mut process,
        &["stalled", "pipeline", "start", "sink out"],
        DEADLINE,
    )
    .await;
    good_is_done(&pipeline, &mut process).await;
    proxy.heal();
    says(&mut process, &["running again", "start"], DEADLINE).await;
    eventually("the rows of the other pipeline", DEADLINE, async || {
        process.expect_running();
        match target.number("SELECT count(*) FROM clients").await {
            Ok(2) => Ok(()),
            found => Err((format!("{found:?}"), process.stderr())),
        }
    })
    .await;
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_a_database_is_waited_for_is_honoured_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    // It listens and never answers.
    let pipeline = folder(&format!("postgres://someone@127.0.0.1:{port}/nothing"));
    let good = good_of(&pipeline);
    let mut process = pipeline.start(&[&good]);
    good_is_done(&pipeline, &mut process).await;
    let asked = Instant::now();
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fail_fast_ends_with_the_first_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let pipeline = folder(&format!("postgres://someone@127.0.0.1:{port}/nothing"));
    let good = good_of(&pipeline);
    let process = pipeline.start(&[&good, "--fail-fast"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    assert_eq!(finished.code, Some(3), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_frozen_is_told_as_stalled_within_twenty_seconds() {
    let target = postgres("frozen").await;
    target.execute(Workload::TABLE).await;
    let upstream = url::Url::parse(target.url()).expect("a URL").port();
    let proxy = Proxy::start(upstream.expect("a port")).await;
    let kafka = kafka();
    let topic = kafka.topic("frozen", 1).await;
    let workload = Workload::generate(5, 200, 50, false);
    let (first, second) = workload.messages.split_at(100);
    let all = workload.messages.len() as i64;
    let text = format!(
        r#"
[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"
[sources.crm.schema]
{schema}
[sinks.billing]
type   = "postgres"
inputs = ["crm"]
url    = "{url}"
table  = "clients"
key    = ["id"]
evolution = "evolve"
write_timeout_ms = 25000
"#,
        brokers = kafka.brokers(),
        schema = Workload::SCHEMA,
        url = target.url_through(proxy.port()),
    );
    let pipeline = Pipeline::new(&text);
    let api = Api::new(None);
    fs::write(pipeline.folder().join("syncline.toml"), api.toml()).expect("it is written");
    let mut process = pipeline.start(&[]);
    let arrives = async |process: &mut Process, count: i64| {
        eventually("every record", DEADLINE, async || {
            process.expect_running();
            match target.positions_sum().await {
                Ok(found) if found == count => Ok(()),
                found => Err(format!("{found:?}: {}", process.stderr())),
            }
        })
        .await;
    };
    kafka.produce(&topic, first);
    arrives(&mut process, 100).await;
    proxy.half_open();
    let frozen = Instant::now();
    kafka.produce(&topic, second);
    let texts = ["stalled", "sink billing", "no answer to a write"];
    says(&mut process, &texts, Duration::from_secs(20)).await;
    assert!(frozen.elapsed() >= Duration::from_secs(14), "not before");
    shows_a_stall(&api);
    proxy.heal();
    arrives(&mut process, all).await;
    says(&mut process, &["running again", "sink billing"], DEADLINE).await;
    assert_eq!(api.get("/readyz").expect("it answers").status, 200);
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
}

/// A stall is seen wherever one can look, and the process is alive.
fn shows_a_stall(api: &Api) {
    let get = |path: &str| api.get(path).expect("it answers");
    let pipeline: view::Pipeline = get("/v1/pipelines/pipeline").read();
    assert_eq!(pipeline.state, "stalled", "{pipeline:?}");
    let cause = pipeline.cause.expect("there is one");
    assert!(cause.contains("sink billing"), "{cause}");
    assert!(pipeline.freshness_ms.is_some_and(|age| age > 10_000));
    let ready = get("/readyz");
    assert_eq!(ready.status, 503);
    let ready: view::Ready = ready.read();
    assert_eq!(ready.not_ready[0].state, "stalled");
    assert_eq!(get("/livez").status, 200);
    let metrics = get("/metrics").body;
    let of = |name, labels: &[&str]| metric(&metrics, name, labels);
    assert_eq!(of("syncline_pipeline_state", &["state=\"stalled\""]), [1.0]);
    assert_eq!(of("syncline_pipeline_ready", &[]), [0.0]);
    assert!(of("syncline_pipeline_freshness_seconds", &[])[0] > 10.0);
    let connections: view::Connections = get("/v1/connections").read();
    let sink = connections
        .connections
        .iter()
        .find(|one| one.name == "billing");
    let sink = sink.expect("it is listed");
    assert_eq!(sink.health, "down", "{sink:?}");
}
