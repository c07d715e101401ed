//! HTTP APIs as a source and as a sink, through whole pipelines against a server of the test. 400 lines: both
//! directions share the server and the ways to look at what came.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{DEADLINE, HttpServer, Pipeline, Received, Reply, Target, eventually, unique};

const CLIENTS: &str = "CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT, version INTEGER)";
const QUERY: &str = "SELECT id, name, version FROM clients ORDER BY id";

async fn run(pipeline: &Pipeline) -> Value {
    let process = pipeline.start_as(&unique("run"), &["--once", "--json"]);
    let finished = pipeline.finish(process, DEADLINE).await;
    finished.expect_success();
    let summaries: Value = serde_json::from_str(&finished.stdout).expect("a summary is JSON");
    summaries[0]["sinks"][0].clone()
}

async fn table() -> Target {
    let target = Target::Sqlite(tempfile::tempdir().expect("a folder"));
    target.execute(CLIENTS).await;
    target
}

fn from_api(server: &HttpServer, more: &str, target: &Target) -> Pipeline {
    Pipeline::new(&format!(
        "[sources.api]\ntype = \"http\"\nurl = {:?}\nformat = \"json\"\nkey = [\"id\"]\n{more}\n\
         [sinks.copy]\ninputs = [\"api\"]\ntable = \"clients\"\n{}\n",
        server.url("/v1/clients"),
        target.lines()
    ))
}

/// Clients of these ids.
fn clients(ids: std::ops::Range<usize>) -> Vec<Value> {
    ids.map(|id| json!({"id": id, "name": format!("client {id}"), "version": id}))
        .collect()
}

/// A page of 250 clients, by what a request says.
fn page(request: &Received) -> Reply {
    let number = |name: &str| request.parameter(name).and_then(|text| text.parse().ok());
    let size = 20;
    let from: usize = number("offset")
        .or(number("page").map(|page: usize| (page - 1) * size))
        .or(number("after"))
        .unwrap_or(0);
    let upto = (from + size).min(250);
    let mut next = json!(null);
    if upto < 250 {
        next = json!(upto.to_string());
    }
    let body = json!({"data": clients(from.min(upto)..upto), "meta": {"next": next}, "links": {"next": next.as_str().map(|next| format!("?after={next}"))}});
    let mut reply = Reply::ok(body.to_string());
    if let Some(next) = next.as_str() {
        reply = reply.with("link", format!("</v1/clients?after={next}>; rel=\"next\""));
    }
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_paging_reads_each_record() {
    for paging in [
        "{ type = \"page\", size = 20 }",
        "{ type = \"page\" }",
        "{ type = \"offset\", limit = 20 }",
        "{ type = \"cursor\", path = \"meta.next\", parameter = \"after\" }",
        "{ type = \"link\" }",
        "{ type = \"next_url\", path = \"links.next\" }",
    ] {
        let server = HttpServer::start(page).await;
        let target = table().await;
        let more = format!(
            "records = \"data\"\npaging = {paging}\nauth = {{ type = \"bearer\", token = \"t\" }}"
        );
        let pipeline = from_api(&server, &more, &target);
        let summary = run(&pipeline).await;
        assert_eq!(
            (&summary["in"], &summary["written"]),
            (&250.into(), &250.into()),
            "{paging}: {summary}"
        );
        assert_eq!(
            target.numbers("SELECT count(*) FROM clients").await,
            [250],
            "{paging}"
        );
        assert!(
            server
                .seen()
                .iter()
                .all(|request| request.header("authorization") == "Bearer t")
        );
        // One round was asked for.
        let requests = server.seen().len();
        assert_eq!(run(&pipeline).await["in"], 0, "{paging}");
        assert_eq!(server.seen().len(), requests, "{paging}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_between_pages_lose_nothing() {
    let server = HttpServer::start(|request| {
        std::thread::sleep(Duration::from_millis(20));
        page(request)
    })
    .await;
    let target = table().await;
    let pipeline = from_api(
        &server,
        "records = \"data\"\npaging = { type = \"page\" }",
        &target,
    );
    let count = async || target.numbers("SELECT count(*) FROM clients").await[0];
    for kill in 0..3 {
        let before = count().await;
        let mut process = pipeline.start_as(&format!("kill{kill}"), &[]);
        let reached = eventually("progress", DEADLINE, async || {
            process.expect_running();
            let now = count().await;
            if now > before { Ok(now) } else { Err(now) }
        })
        .await;
        assert!(process.kill(), "it ran until it was killed");
        assert!(reached < 250, "all was read after {kill} kills");
    }
    run(&pipeline).await;
    assert_eq!(
        target.numbers("SELECT id FROM clients ORDER BY id").await,
        (0..250).collect::<Vec<_>>()
    );
    // It went on at the page where it was killed.
    let pages = server
        .seen()
        .iter()
        .filter(|request| request.path.ends_with("page=1"))
        .count();
    assert_eq!(pages, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_never_end_or_goes_wrong_stops_with_its_reason() {
    let check = async |more: &str, answer: fn(&Received) -> Reply, part: &str| {
        let server = HttpServer::start(answer).await;
        let target = table().await;
        let pipeline = from_api(&server, more, &target);
        let finished = pipeline.run_once(DEADLINE).await;
        assert_eq!(finished.code, Some(2), "{part}: {}", finished.stderr);
        assert!(
            finished.stderr.contains(part),
            "{part}: {}",
            finished.stderr
        );
        assert!(!finished.stderr.contains("canary"), "{}", finished.stderr);
    };
    let same: fn(&Received) -> Reply = |_| Reply::ok(json!(clients(0..5)).to_string());
    check(
        "paging = { type = \"page\" }",
        same,
        "the same as the one before",
    )
    .await;
    check(
        "paging = { type = \"offset\", limit = 5 }",
        same,
        "the same as the one before",
    )
    .await;
    let itself: fn(&Received) -> Reply =
        |_| Reply::ok(json!({"data": [{"id": 1}], "next": "x"}).to_string());
    let cursor = "records = \"data\"\npaging = { type = \"cursor\", path = \"next\", parameter = \"after\" }";
    check(cursor, itself, "as the next page").await;
    check("records = \"rows\"", itself, "nothing at records").await;
    check("", |_| Reply::status(404, "canary"), "404").await;
    check(
        "auth = { type = \"basic\", user = \"u\", password = \"canary\" }",
        |_| Reply::status(401, ""),
        "correct auth",
    )
    .await;
    check("", |_| Reply::ok("<html>canary"), "no JSON").await;
    check("answer_bytes_max = 100", page, "more than 100 bytes").await;
    let away: fn(&Received) -> Reply =
        |_| Reply::status(302, "").with("location", "http://127.0.0.2:1/v1");
    check("", away, "private_redirects").await;
    let elsewhere: fn(&Received) -> Reply =
        |_| Reply::ok(json!({"data": [{"id": 1}], "next": "http://192.0.2.1/x"}).to_string());
    let next = "records = \"data\"\npaging = { type = \"next_url\", path = \"next\" }";
    check(next, elsewhere, "secrets").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn later_is_waited_for_and_tokens_are_asked_for_anew() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let server = HttpServer::start(|request| {
        if request.path == "/token" {
            assert_eq!(
                request.header("authorization"),
                "Basic Y2xpZW50OnNlY3JldA=="
            );
            assert_eq!(request.body, "grant_type=client_credentials&scope=read");
            let number = CALLS.fetch_add(100, Ordering::Relaxed) / 100;
            return Reply::ok(
                json!({"access_token": format!("token{number}"), "expires_in": 3600}).to_string(),
            );
        }
        match CALLS.fetch_add(1, Ordering::Relaxed) % 100 {
            // The first token is not good any more.
            _ if request.header("authorization") == "Bearer token0" => Reply::status(401, ""),
            1 => Reply::status(429, "").with("retry-after", "1"),
            2 => Reply::status(503, ""),
            _ => Reply::ok(json!(clients(0..3)).to_string()),
        }
    })
    .await;
    let target = table().await;
    let auth = format!(
        "requests_per_second = 50\nauth = {{ type = \"oauth2\", token_url = {:?}, client_id = \"client\", client_secret = \"secret\", scope = \"read\" }}",
        server.url("/token")
    );
    let pipeline = from_api(&server, &auth, &target);
    let begun = Instant::now();
    assert_eq!(run(&pipeline).await["written"], 3);
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "it waited for as long as it was told"
    );
    let tokens = server
        .seen()
        .iter()
        .filter(|request| request.path == "/token")
        .count();
    assert_eq!(tokens, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_asks_for_what_is_new_and_passes_over_what_it_had() {
    static CHANGED: AtomicUsize = AtomicUsize::new(0);
    let server = HttpServer::start(|request| {
        let since: usize = request
            .parameter("since")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let mut all = clients(0..10);
        if CHANGED.load(Ordering::Relaxed) > 0 {
            // One at the edge, and one that was changed.
            all.push(json!({"id": 10, "name": "late", "version": 9}));
            all[2] = json!({"id": 2, "name": "changed", "version": 11});
        }
        // From the newest on: no order is promised.
        all.retain(|client| client["version"].as_u64() >= Some(since as u64));
        all.reverse();
        Reply::ok(Value::from(all).to_string())
    })
    .await;
    let target = table().await;
    let pipeline = from_api(
        &server,
        "incremental = { field = \"version\", parameter = \"since\" }\nevery = \"1ms\"",
        &target,
    );
    assert_eq!(run(&pipeline).await["in"], 10);
    assert_eq!(
        run(&pipeline).await["in"],
        0,
        "the record at the edge is not repeated"
    );
    CHANGED.store(1, Ordering::Relaxed);
    assert_eq!(run(&pipeline).await["in"], 2);
    let rows = target.rows(QUERY).await;
    assert_eq!(rows.len(), 11);
    assert_eq!(rows[2][1].as_deref(), Some("changed"));
    let asked: Vec<Option<String>> = server
        .seen()
        .iter()
        .map(|request| request.parameter("since"))
        .collect();
    assert_eq!(asked, [None, Some("9".to_owned()), Some("9".to_owned())]);
}

/// A file of changes to an API.
fn to_api(lines: &[Value], server: &HttpServer, path: &str, more: &str) -> Pipeline {
    let pipeline = Pipeline::new(&format!(
        "[sources.crm]\ntype = \"file\"\npath = \"changes.jsonl\"\nformat = \"json\"\nkey = [\"id\"]\ndeleted = \"gone\"\n\
         [sinks.api]\ntype = \"http\"\ninputs = [\"crm\"]\nurl = \"{}\"\n{more}\n[quarantine]\ntype = \"file\"\npath = \"quarantine\"\n",
        server.url(path)
    ));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(pipeline.folder().join("changes.jsonl"), text).expect("it can be written");
    pipeline
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_a_request_and_a_culprit_alone_is_quarantined() {
    let server = HttpServer::start(|request| match request.path.as_str() {
        "/clients/a%2Fb%20c" => Reply::status(422, "canary"),
        "/clients/gone" => Reply::status(404, ""),
        _ => Reply::ok(""),
    })
    .await;
    let lines = [
        json!({"id": "1", "name": "a"}),
        json!({"id": "a/b c", "name": "bad"}),
        json!({"id": "2", "name": null}),
        json!({"id": "1", "gone": true}),
        json!({"id": "gone", "gone": true}),
    ];
    let pipeline = to_api(&lines, &server, "/clients/{id}", "");
    let summary = run(&pipeline).await;
    assert_eq!(
        (&summary["written"], &summary["quarantined"]),
        (&4.into(), &1.into()),
        "{summary}"
    );
    let seen = server.seen();
    let mut sent: BTreeMap<String, usize> = BTreeMap::new();
    for request in &seen {
        *sent
            .entry(request.header("idempotency-key").to_owned())
            .or_default() += 1;
    }
    assert_eq!(sent.len(), 5, "each change has an id of its own: {sent:?}");
    assert!(
        sent.values().all(|&count| count == 1),
        "nothing is sent twice: {sent:?}"
    );
    let told: Vec<(&str, &str, &str)> = seen
        .iter()
        .map(|request| {
            (
                request.method.as_str(),
                request.path.as_str(),
                request.body.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told[0],
        ("PUT", "/clients/1", "{\"id\":\"1\",\"name\":\"a\"}")
    );
    assert!(
        told.contains(&("PUT", "/clients/2", "{\"id\":\"2\",\"name\":null}")),
        "{told:?}"
    );
    assert!(told.contains(&("DELETE", "/clients/1", "")), "{told:?}");
    // The same ids come when it begins anew.
    let again = to_api(&lines, &server, "/clients/{id}", "");
    run(&again).await;
    let mut ids: Vec<&str> = seen
        .iter()
        .map(|request| request.header("idempotency-key"))
        .collect();
    let both = server.seen();
    let mut later: Vec<&str> = both[seen.len()..]
        .iter()
        .map(|request| request.header("idempotency-key"))
        .collect();
    ids.sort_unstable();
    later.sort_unstable();
    assert_eq!(ids, later);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_share_a_request_and_are_judged_one_by_one() {
    let lines: Vec<Value> = (0..25).map(|id| json!({"id": id, "name": "x"})).collect();
    let more =
        "method = \"POST\"\nbatch = 10\nwrap = \"records\"\ndelete = \"row\"\noperations = true";
    // An API that refuses the whole request for the sake of one.
    let server = HttpServer::start(|request| {
        let body: Value = serde_json::from_str(&request.body).expect("it is JSON");
        let records = body["records"].as_array().expect("a list");
        let bad = records.iter().any(|record| record["id"] == 7);
        Reply::status(if bad { 400 } else { 200 }, "")
    })
    .await;
    let pipeline = to_api(&lines, &server, "/bulk", more);
    let summary = run(&pipeline).await;
    assert_eq!(
        (&summary["written"], &summary["quarantined"]),
        (&24.into(), &1.into()),
        "{summary}"
    );
    let taken = |server: &HttpServer, judge: &dyn Fn(&Value) -> bool| {
        let mut taken: BTreeMap<i64, usize> = BTreeMap::new();
        for request in server.seen() {
            let body: Value = serde_json::from_str(&request.body).expect("it is JSON");
            let records = body["records"].as_array().cloned().unwrap_or_default();
            if judge(&body) {
                for record in records {
                    *taken
                        .entry(record["id"].as_i64().unwrap_or(-1))
                        .or_default() += 1;
                }
            }
        }
        taken
    };
    let without = |body: &Value| {
        body["records"]
            .as_array()
            .is_some_and(|records| records.iter().all(|record| record["id"] != 7))
    };
    let counts = taken(&server, &without);
    assert_eq!(counts.len(), 24);
    assert!(
        counts.values().all(|&count| count == 1),
        "nothing that was taken is sent twice: {counts:?}"
    );
    // An API that says it of each.
    let server = HttpServer::start(|request| {
        let body: Value = serde_json::from_str(&request.body).expect("it is JSON");
        let records = body["records"].as_array().expect("a list");
        let items: Vec<Value> = records
            .iter()
            .map(|record| match record["id"].as_i64() {
                Some(3) => json!({"status": 409, "error": "exists"}),
                _ => json!({"status": 201}),
            })
            .collect();
        Reply::ok(json!({"items": items}).to_string())
    })
    .await;
    let answers = "answers = { path = \"items\", status = \"status\", reason = \"error\" }";
    let pipeline = to_api(&lines, &server, "/bulk", &format!("{more}\n{answers}"));
    let summary = run(&pipeline).await;
    assert_eq!(
        (&summary["written"], &summary["quarantined"]),
        (&24.into(), &1.into()),
        "{summary}"
    );
    let counts = taken(&server, &|_| true);
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    let listed = pipeline
        .command(&["quarantine", "list", pipeline.file(), "--json"])
        .await;
    assert!(listed.stdout.contains("409"), "{}", listed.stdout);
}
