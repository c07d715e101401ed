//! A pause, a stop and every scrape meanwhile: each change is in one place, and none is lost.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_writing_outlives_the_process_and_loses_nothing() {
    let target = postgres("pause").await;
    target.execute(Workload::TABLE).await;
    let kafka = kafka();
    let topic = kafka.topic("pause", 2).await;
    let api = Api::new(None);
    let workload = Workload::generate(7, 900, 100, false);
    let (first, second) = workload.messages.split_at(500);
    let pipeline = Pipeline::new(&from_kafka(&topic));
    fs::write(
        pipeline.folder().join("syncline.toml"),
        service(&api, target.url()),
    )
    .expect("it is written");
    let mut process = pipeline.start(&[]);
    kafka.produce(&topic, first);
    arrive(&target, &mut process, first.len()).await;
    let shown = in_state(&api, &mut process, "pipeline", &["idle"]).await;
    assert!(shown.ready && shown.freshness_ms.is_some_and(|age| age < 30_000));
    // Kafka's own offsets follow, for lag tools.
    eventually("the committed offsets", DEADLINE, async || {
        let sum: i64 = kafka.committed(&topic, &topic).values().sum();
        if sum == first.len() as i64 {
            Ok(())
        } else {
            Err(sum)
        }
    })
    .await;
    let shown = in_state(&api, &mut process, "pipeline", &["idle"]).await;
    let done: i64 = shown.sources[0]
        .partitions
        .iter()
        .map(|one| one.position)
        .sum();
    assert_eq!(done, first.len() as i64);
    assert_eq!(shown.sources[0].lag, Some(0));
    let sink = &shown.sinks[0];
    assert_eq!((sink.r#in, sink.in_flight), (first.len() as u64, 0));
    assert!(sink.filtered > 0);

    let paused = pipeline.command(&["pause", "pipeline"]).await;
    paused.expect_success();
    let shown = in_state(&api, &mut process, "pipeline", &["paused"]).await;
    assert_eq!(
        shown.sources[0].lag, None,
        "nobody looks while it is paused"
    );
    kafka.produce(&topic, second);
    // Nobody of this process can read what came.
    eventually("an empty group", DEADLINE, async || {
        let members = kafka.members(&topic);
        if members.is_empty() {
            Ok(())
        } else {
            Err(members)
        }
    })
    .await;
    assert_eq!(target.positions_sum().await.ok(), Some(first.len() as i64));
    let refused = api
        .post("/v1/pipelines/pipeline/restart")
        .expect("it answers");
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.read::<view::Problem>().remedy.contains("resume"));

    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
    let mut process = pipeline.start_as("again", &[]);
    in_state(&api, &mut process, "pipeline", &["paused"]).await;
    assert_eq!(api.get("/readyz").expect("it answers").status, 200);
    assert_eq!(target.positions_sum().await.ok(), Some(first.len() as i64));
    let resumed = pipeline.command(&["resume", "pipeline", "--json"]).await;
    resumed.expect_success();
    arrive(&target, &mut process, workload.messages.len()).await;

    let restarted = pipeline.command(&["restart", "pipeline"]).await;
    restarted.expect_success();
    eventually("another start", DEADLINE, async || {
        let starts = process.stderr().matches(" started ").count();
        if starts == 2 {
            Ok(())
        } else {
            Err(process.stderr())
        }
    })
    .await;
    let shown = in_state(&api, &mut process, "pipeline", &["idle"]).await;
    assert_eq!(
        shown.sinks[0].r#in,
        second.len() as u64,
        "nothing counts twice"
    );
    let status = pipeline.command(&["status"]).await;
    status.expect_success();
    assert!(status.stdout.contains("idle"), "{}", status.stdout);
    let unknown = pipeline.command(&["pause", "pipelin"]).await;
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("did you mean pipeline"),
        "{}",
        unknown.stderr
    );
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
    let away = pipeline.command(&["status"]).await;
    assert_eq!(away.code, Some(3), "{}", away.stderr);
}

/// The sum of R17 for every sink of an answer; gives `in` and `in flight`.
fn r17(text: &str) -> (f64, f64) {
    let sum = |name: &str| {
        metric(text, name, &["sink=\"billing\""])
            .iter()
            .sum::<f64>()
    };
    let ended = sum("syncline_changes_total");
    let (entered, flying) = (
        sum("syncline_changes_in"),
        sum("syncline_changes_in_flight"),
    );
    assert_eq!(
        entered,
        ended + sum("syncline_changes_waiting") + flying,
        "{text}"
    );
    (entered, flying)
}

#[tokio::test(flavor = "multi_thread")]
async fn r17_holds_at_each_scrape_while_changes_flow() {
    const CHANGES: usize = 20_000;
    let target = postgres("scrape").await;
    target.execute(Workload::TABLE).await;
    let kafka = kafka();
    let topic = kafka.topic("scrape", 2).await;
    let api = Api::new(None);
    let workload = Workload::generate(8, CHANGES, 2_000, false);
    let text = format!("batch.rows = 200\n{}", from_kafka(&topic));
    let pipeline = Pipeline::new(&text);
    fs::write(
        pipeline.folder().join("syncline.toml"),
        service(&api, target.url()),
    )
    .expect("it is written");
    kafka.produce(&topic, &workload.messages);
    let mut process = pipeline.start(&[]);
    let count = workload.messages.len() as f64;
    let (mut scrapes, mut partial, mut flying) = (0, 0, 0);
    let last = eventually("every change in the metrics", DEADLINE, async || {
        process.expect_running();
        let answer = api.get("/metrics").map_err(|error| error.to_string())?;
        assert!(
            answer.head.contains("application/openmetrics-text"),
            "{answer:?}"
        );
        let (entered, in_flight) = r17(&answer.body);
        scrapes += 1;
        partial += usize::from(entered > 0.0 && entered < count);
        flying += usize::from(in_flight > 0.0);
        match entered == count && in_flight == 0.0 {
            true => Ok(answer.body),
            false => Err(format!("{entered} of {count}, {in_flight} in flight")),
        }
    })
    .await;
    assert!(
        partial > 3 && flying > 3,
        "{scrapes} scrapes, {partial} in between, {flying} in flight"
    );
    let one = |name: &str, labels: &[&str]| metric(&last, name, labels).iter().sum::<f64>();
    for stage in ["fetch", "decode", "operators", "write", "delivery"] {
        let label = format!("stage=\"{stage}\"");
        assert!(
            one("syncline_stage_seconds_count", &[&label]) > 0.0,
            "{stage}"
        );
    }
    assert!(one("syncline_write_changes_count", &[]) >= 100.0);
    assert_eq!(one("syncline_pipeline_state", &[]), 1.0);
    assert!(one("process_resident_memory_bytes", &[]) > 1e6);
    assert!(one("process_cpu_seconds_total", &[]) > 0.0);
    assert_eq!(one("syncline_build_info", &[]), 1.0);
    assert_eq!(one("syncline_sink_breaker_open", &[]), 0.0);
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_shows_as_not_ready_and_a_sink_that_hangs_ends_it_at_its_deadline() {
    let target = postgres("hangs").await;
    target.execute(Workload::TABLE).await;
    let upstream = url::Url::parse(target.url()).expect("a URL").port();
    let proxy = Proxy::start(upstream.expect("a port")).await;
    let kafka = kafka();
    let topic = kafka.topic("hangs", 1).await;
    let api = Api::new(None);
    let workload = Workload::generate(9, 400, 50, false);
    let (first, second) = workload.messages.split_at(200);
    let pipeline = Pipeline::new(&from_kafka(&topic));
    let url = target.url_through(proxy.port());
    let text = format!("shutdown_timeout_s = 3\n{}", service(&api, &url));
    fs::write(pipeline.folder().join("syncline.toml"), text).expect("it is written");
    let mut process = pipeline.start(&[]);
    kafka.produce(&topic, first);
    arrive(&target, &mut process, first.len()).await;
    proxy.half_open();
    kafka.produce(&topic, second);
    eventually("a change that is in flight", DEADLINE, async || {
        let text = api.get("/metrics").map_err(|error| error.to_string())?.body;
        let (_, flying) = r17(&text);
        if flying > 0.0 { Ok(()) } else { Err(text) }
    })
    .await;
    let asked = Instant::now();
    process.terminate();
    let ready = eventually("a probe that says no", DEADLINE, async || {
        let answer = api.get("/readyz").map_err(|error| error.to_string())?;
        if answer.status == 503 {
            Ok(answer)
        } else {
            Err(answer.body)
        }
    })
    .await;
    let ready: view::Ready = ready.read();
    assert_eq!(ready.not_ready[0].state, "stopping", "{ready:?}");
    assert_eq!(api.get("/livez").expect("it answers").status, 200);
    let finished = pipeline.finish(process, DEADLINE).await;
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let took = asked.elapsed();
    assert!(
        took >= Duration::from_secs(3) && took < Duration::from_secs(8),
        "{took:?}"
    );
    assert!(
        finished.stderr.contains("not drained within 3 s"),
        "{}",
        finished.stderr
    );
}
