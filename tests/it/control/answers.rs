//! What is told: by the doctor, by each route, to systemd, and of a schedule.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_the_step_that_fails() {
    let target = postgres("doctor").await;
    target.execute(Workload::TABLE).await;
    let topic = kafka().topic("doctor", 1).await;
    let pipeline = Pipeline::new(&from_kafka(&topic));
    let check = async |url: &str, code: i32, texts: &[&str]| {
        let path = pipeline.folder().join("syncline.toml");
        fs::write(path, service(&Api::new(None), url)).expect("it is written");
        let found = pipeline.command(&["doctor", pipeline.file()]).await;
        assert_eq!(found.code, Some(code), "{found:?}");
        for text in texts {
            assert!(found.stdout.contains(text), "{text}: {}", found.stdout);
        }
    };
    check(
        target.url(),
        0,
        &["source crm (kafka)", "sink billing (postgres)", "0 of 6"],
    )
    .await;
    let url = url::Url::parse(target.url()).expect("a URL");
    let with = |change: &dyn Fn(&mut url::Url)| {
        let mut changed = url.clone();
        change(&mut changed);
        changed.to_string()
    };
    let nowhere = with(&|url| url.set_host(Some("no-such-host.invalid")).expect("a host"));
    check(&nowhere, 3, &["FAILED name", "no-such-host.invalid", "DNS"]).await;
    let closed = with(&|url| url.set_port(Some(1)).expect("a port"));
    check(&closed, 3, &["ok     name", "FAILED port", "firewall"]).await;
    let other = with(&|url| url.set_path("/no_such_database"));
    check(
        &other,
        2,
        &["ok     port", "FAILED access", "no_such_database"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_what_it_says_and_only_to_those_who_may_ask() {
    let api = Api::new(None);
    let pipeline = two_files(&api);
    let mut process = start_folder(&pipeline);
    in_state(&api, &mut process, "a", &["idle"]).await;
    let get = |path: &str| {
        let answer = api.get(path).expect("it answers");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let checked_in = fs::read_to_string(path).expect("it is there");
    let checked_in: serde_json::Value = serde_json::from_str(&checked_in).expect("it is JSON");
    assert_eq!(get("/openapi.json").json(), checked_in);
    let mut asked = Vec::new();
    for (path, operations) in checked_in["paths"].as_object().expect("there are paths") {
        let path = path.replace("{name}", "a");
        if operations["get"].is_object() {
            let answer = get(&path);
            match path.trim_start_matches("/v1") {
                "/livez" | "/health" => drop(answer.read::<view::Live>()),
                "/readyz" | "/ready" => assert!(answer.read::<view::Ready>().ready),
                "/pipelines" => assert_eq!(answer.read::<view::Pipelines>().pipelines.len(), 2),
                "/pipelines/a" => assert_eq!(answer.read::<view::Pipeline>().name, "a"),
                "/connections" => {
                    let found = answer.read::<view::Connections>().connections;
                    let healths: Vec<_> = found.iter().map(|one| &*one.health).collect();
                    assert_eq!(healths, ["up"; 4], "{found:?}");
                }
                "/quarantine" => assert_eq!(answer.read::<view::Quarantine>().total, 0),
                "/conflicts" => {
                    let found = answer.read::<view::Conflicts>();
                    assert_eq!((found.total, found.errors), (0, vec![]));
                }
                "/metrics" => assert!(answer.body.ends_with("# EOF\n")),
                "/openapi.json" => {}
                other => panic!("no test asks {other}"),
            }
        } else {
            asked.push(path);
        }
    }
    assert_eq!(asked.len(), 5, "{asked:?}");
    for (path, status) in [
        ("/v1/nothing", 404),
        ("/v1/pipelines/aa", 404),
        ("/v1/quarantine?limit=0", 400),
        ("/v1/quarantine?limit=many", 400),
        ("/v1/conflicts?pipeline=none", 404),
        ("/v1/reload", 405),
    ] {
        let answer = api.get(path).expect("it answers");
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let problem: view::Problem = answer.read();
        assert!(!problem.remedy.is_empty(), "{path}");
    }
    // A page of another name that leads here, and one that posts from a browser.
    let host = "host: evil.example\r\n";
    assert_eq!(
        api.ask("GET", "/v1/pipelines", host)
            .expect("it answers")
            .status,
        403
    );
    let host = format!(
        "host: {}\r\norigin: https://evil.example\r\n",
        api.address()
    );
    let post = api.ask("POST", "/v1/pipelines/a/pause", &host);
    assert_eq!(post.expect("it answers").status, 403);
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();

    let api = Api::new(Some("a-token-of-20-letters"));
    fs::write(pipeline.folder().join("syncline.toml"), api.toml()).expect("it is written");
    let mut process = start_folder(&pipeline);
    in_state(&api, &mut process, "a", &["idle"]).await;
    for path in ["/v1/pipelines", "/metrics", "/openapi.json", "/v1/nothing"] {
        let answer = api
            .ask("GET", path, "host: any.example\r\n")
            .expect("it answers");
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert!(!answer.body.contains("a-token"), "{answer:?}");
    }
    for path in ["/livez", "/readyz"] {
        let answer = api
            .ask("GET", path, "host: any.example\r\n")
            .expect("it answers");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    // The command finds the token where the process does.
    pipeline.command(&["status"]).await.expect_success();
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();

    fs::write(
        pipeline.folder().join("syncline.toml"),
        "[api]\naddress = \"0.0.0.0:0\"\n",
    )
    .expect("it is written");
    let refused = pipeline.finish(start_folder(&pipeline), DEADLINE).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("there is no token"),
        "{}",
        refused.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_what_the_process_does() {
    let api = Api::new(None);
    let mut pipeline = two_files(&api);
    let socket = pipeline.folder().join("notify");
    let systemd = UnixDatagram::bind(&socket).expect("a socket");
    let wait = Some(Duration::from_secs(60));
    systemd.set_read_timeout(wait).expect("it can be set");
    pipeline.set("NOTIFY_SOCKET", socket.to_str().expect("UTF-8"));
    pipeline.set("WATCHDOG_USEC", "2000000");
    let process = start_folder(&pipeline);
    let mut told = String::new();
    let mut hear = |text: &str| {
        let mut buffer = [0; 4096];
        while !told.contains(text) {
            let length = systemd
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("{error}: {told}"));
            told += &String::from_utf8_lossy(&buffer[..length]);
            told.push('\n');
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    process.hang_up();
    hear("RELOADING=1");
    process.terminate();
    hear("STOPPING=1");
    pipeline.finish(process, DEADLINE).await.expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_runs_at_its_times_and_when_a_person_says_so() {
    let api = Api::new(None);
    let pipeline = two_files(&api);
    let folder = pipeline.folder();
    let schedule = |cron: &str| {
        let text = format!("[schedule]\ncron = \"{cron}\"\n{}", from_file("b"));
        fs::write(folder.join("b.toml"), text).expect("it is written");
    };
    schedule("*/2 * * * * *");
    let mut process = start_folder(&pipeline);
    let ran = async |process: &mut Process, but: Option<&str>| {
        eventually("a run", DEADLINE, async || {
            process.expect_running();
            let answer = api.get("/v1/pipelines/b");
            let answer = answer.map_err(|error| error.to_string())?;
            let schedule = answer
                .read::<view::Pipeline>()
                .schedule
                .expect("it has one");
            match schedule.last {
                Some(run) if run.ended.is_some() && Some(&*run.began) != but => Ok(run),
                last => Err(format!("{last:?}")),
            }
        })
        .await
    };
    let first = ran(&mut process, None).await;
    let second = ran(&mut process, Some(&first.began)).await;
    assert_eq!((first.failure, second.failure), (None, None));
    assert!(first.began < second.began);

    // Far away in time: it waits, and runs when a person says so.
    schedule("0 0 1 1 *");
    pipeline.command(&["reload"]).await.expect_success();
    let shown = in_state(&api, &mut process, "b", &["scheduled"]).await;
    assert!(shown.ready);
    let schedule = shown.schedule.expect("it has one");
    assert!(
        schedule
            .next
            .is_some_and(|next| next.contains("-01-01T00:00"))
    );
    let before = schedule.last.expect("it ran").began;
    pipeline.command(&["run-now", "b"]).await.expect_success();
    let third = ran(&mut process, Some(&before)).await;
    assert_eq!(third.failure, None);
    let refused = api.post("/v1/pipelines/a/run").expect("it answers");
    assert_eq!(refused.status, 409, "{refused:?}");
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();

    // The next process knows the last run, and owes nothing.
    let mut process = start_folder(&pipeline);
    let shown = in_state(&api, &mut process, "b", &["scheduled"]).await;
    let last = shown.schedule.and_then(|schedule| schedule.last);
    assert_eq!(last, Some(third));
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
}
