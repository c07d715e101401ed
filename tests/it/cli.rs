//! The command line for people and scripts: exit codes, and what the output contains and must never
//! contain.

use std::fs;

use serde_json::Value;

use crate::harness::{DEADLINE, Finished, Message, Pipeline, kafka, postgres, unique};

/// A secret that no output may contain.
const CANARY: &str = "canary-4711-sesame";

/// A valid pipeline; the tests below change a part of it.
fn text(brokers: &str, topic: &str, url: &str) -> String {
    format!(
        r#"[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"

[sources.crm.schema]
id    = "int64"
email = "string"

[operators.tidy]
type   = "map"
inputs = ["crm"]
fields.id    = "id"
fields.email = "lower(email)"

[sinks.billing]
type   = "postgres"
inputs = ["tidy"]
url    = "{url}"
table  = "clients"
key    = ["id"]
"#
    )
}

/// An address without a listener.
const NOWHERE: &str = "127.0.0.1:1";

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("stdout is no JSON ({error}): {finished:?}"))
}

#[track_caller]
fn expect_code(finished: &Finished, code: i32) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_shows_every_error_with_its_caret_and_exits_with_2() {
    let wrong = text(NOWHERE, "t", "postgres://me@127.0.0.1:1/none")
        .replace("topics  =", "topcs   =")
        .replace("lower(email)", "lowr(email)")
        .replace("inputs = [\"tidy\"]", "inputs = [\"tidi\"]");
    let pipeline = Pipeline::new(&wrong);
    let validate = pipeline.command(&["validate", pipeline.file()]).await;
    expect_code(&validate, 2);
    let text = &validate.stdout;
    for part in [
        "unknown key `topcs`",
        "did you mean `topics`?",
        "pipeline.toml:4:1",
        "did you mean `tidy`?",
        "pipeline.toml:20:",
        "did you mean lower?",
        "pipeline.toml:16:",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(text.matches("^^^^").count() >= 3, "carets in\n{text}");
    assert!(!text.contains('\x1b'), "NO_COLOR is kept");

    let listed = pipeline
        .command(&["validate", "--json", pipeline.file()])
        .await;
    expect_code(&listed, 2);
    let problems = json(&listed);
    let lines: Vec<&Value> = problems
        .as_array()
        .expect("a list")
        .iter()
        .map(|problem| &problem["line"])
        .collect();
    assert_eq!(lines.len(), text.matches("error: ").count(), "{problems}");
    for line in [4, 16, 20] {
        assert!(lines.contains(&&Value::from(line)), "{line} in {problems}");
    }

    // No command starts with an invalid file.
    for command in ["run", "graph"] {
        let refused = pipeline.command(&[command, pipeline.file()]).await;
        expect_code(&refused, 2);
        assert!(refused.stderr.contains("`topcs`"), "{refused:?}");
        let refused = pipeline
            .command(&[command, "--json", pipeline.file()])
            .await;
        expect_code(&refused, 2);
        assert!(json(&refused).is_array(), "{refused:?}");
    }
    for arguments in [
        &["validate", "absent.toml"][..],
        &["run"],
        &["frobnicate"],
        &["list", "postgrs"],
    ] {
        expect_code(&pipeline.command(arguments).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_reachable_exits_with_3_and_says_which() {
    let kafka = kafka();
    let topic = kafka.topic("reachable", 1).await;
    let target = postgres("reachable").await;
    target
        .execute("CREATE TABLE clients (id bigint PRIMARY KEY, email text)")
        .await;
    let nobody = format!("postgres://me:{CANARY}@{NOWHERE}/none");

    let good = Pipeline::new(&text(kafka.brokers(), &topic, target.url()));
    for arguments in [
        &["validate", good.file()][..],
        &["validate", "--connect", good.file()],
        &["run", "--once", good.file()],
    ] {
        let finished = good.command(arguments).await;
        finished.expect_success();
    }

    let no_database = Pipeline::new(&text(kafka.brokers(), &topic, &nobody));
    let no_broker = Pipeline::new(&text(NOWHERE, &topic, target.url()));
    for (pipeline, place) in [(&no_database, "sinks.billing"), (&no_broker, "sources.crm")] {
        // The file itself is valid.
        let validate = pipeline.command(&["validate", pipeline.file()]).await;
        validate.expect_success();
        let validate = pipeline
            .command(&["validate", "--connect", pipeline.file()])
            .await;
        expect_code(&validate, 3);
        assert!(validate.stdout.contains(place), "{validate:?}");
        let run = pipeline
            .command(&["run", "--fail-fast", pipeline.file()])
            .await;
        expect_code(&run, 3);
        assert!(run.stderr.contains(NOWHERE), "{run:?}");
        for finished in [&validate, &run] {
            let shown = format!("{finished:?}");
            assert!(!shown.contains(CANARY), "{shown}");
        }
    }

    // A reachable system in which something is missing is a configuration error. A missing table is
    // found with the first change for it.
    let change = Message {
        key: Some(r#"{"id":1}"#.to_owned()),
        value: Some(r#"{"before":null,"after":{"id":1,"email":"A@B.C"},"source":{"table":"clients"},"op":"c","ts_ms":1}"#.to_owned()),
    };
    kafka.produce(&topic, &[change]);
    let no_topic = Pipeline::new(&text(kafka.brokers(), &unique("absent"), target.url()));
    let no_table = text(kafka.brokers(), &topic, target.url()).replace("\"clients\"", "\"absent\"");
    let no_table = Pipeline::new(&no_table);
    for pipeline in [no_topic, no_table] {
        for arguments in [&["validate", "--connect"][..], &["run", "--once"]] {
            let finished = pipeline
                .command(&[arguments, &[pipeline.file()]].concat())
                .await;
            expect_code(&finished, 2);
            let shown = format!("{}{}", finished.stdout, finished.stderr);
            assert!(shown.contains("absent"), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_while_running_exits_with_1() {
    let pipeline = Pipeline::new(
        r#"
[sources.export]
type   = "file"
path   = "export.jsonl"
format = "debezium-json"
schema = { id = "int64" }
key    = ["id"]

[operators.check]
type       = "validate"
inputs     = ["export"]
on_failure = "stop"
rules      = [{ field = "id", max = 5 }]

[sinks.out]
type   = "blackhole"
inputs = ["check"]
"#,
    );
    let event = r#"{"before":null,"after":{"id":9},"source":{"table":"t"},"op":"c","ts_ms":1}"#;
    fs::write(pipeline.folder().join("export.jsonl"), event).expect("the folder can be written");
    let finished = pipeline.run_once(DEADLINE).await;
    expect_code(&finished, 1);
    assert!(finished.stderr.contains("check"), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_list_and_schema_are_for_people_and_for_machines() {
    let pipeline = Pipeline::new(&text(NOWHERE, "t", "postgres://me@127.0.0.1:1/none"));
    let graph = async |format: &str| {
        let finished = pipeline
            .command(&["graph", "--format", format, pipeline.file()])
            .await;
        finished.expect_success();
        finished
    };
    for (format, start, part) in [
        ("text", "pipeline\n", "crm (kafka source)"),
        ("dot", "digraph", "\"crm\" -> \"tidy\""),
        ("mermaid", "flowchart", "n0 --> n1"),
    ] {
        let drawn = graph(format).await.stdout;
        assert!(drawn.starts_with(start) && drawn.contains(part), "{drawn}");
    }
    let drawn = json(&graph("json").await);
    assert_eq!(drawn["edges"][1]["to"], "billing", "{drawn}");
    let same = pipeline
        .command(&["graph", "--json", pipeline.file()])
        .await;
    assert_eq!(json(&same), drawn);

    let listed = pipeline.command(&["list"]).await;
    listed.expect_success();
    let lists = |name: &str| {
        let mut lines = listed.stdout.lines();
        lines.any(|line| line.split_whitespace().nth(1) == Some(name))
    };
    for name in [
        "kafka",
        "file",
        "postgres",
        "mysql",
        "sqlite",
        "blackhole",
        "debezium-json",
        "map",
        "filter",
    ] {
        assert!(lists(name), "{name} in\n{}", listed.stdout);
    }
    for name in ["validate", "newest_wins", "merge", "normalize_email"] {
        assert!(lists(name), "{name} in\n{}", listed.stdout);
    }
    let one = pipeline.command(&["list", "postgres"]).await;
    one.expect_success();
    for part in ["[sinks.", "url", "(required)", "evolution", "(default"] {
        assert!(one.stdout.contains(part), "{part} in\n{}", one.stdout);
    }
    let one = json(&pipeline.command(&["list", "postgres", "--json"]).await);
    assert_eq!(one[0]["name"], "postgres");
    let all = json(&pipeline.command(&["list", "--json"]).await);
    let count = all.as_array().map(Vec::len);
    assert_eq!(count, Some(listed.stdout.lines().count()));

    let schema = json(&pipeline.command(&["schema"]).await);
    for section in ["sources", "operators", "sinks", "quarantine", "batch"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    let same = json(&pipeline.command(&["schema", "--json"]).await);
    assert_eq!(same, schema);
    let validated = pipeline
        .command(&["validate", "--json", pipeline.file()])
        .await;
    validated.expect_success();
    assert_eq!(json(&validated), Value::Array(Vec::new()));
    for arguments in [&["--version"][..], &["--help"], &["run", "--help"]] {
        pipeline.command(arguments).await.expect_success();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_from_the_environment_is_in_no_output() {
    let kafka = kafka();
    let topic = kafka.topic("secret", 1).await;
    let url = "${env:BILLING_URL}";
    let text = text(kafka.brokers(), &topic, url).replace(
        "format  =",
        "properties = { \"sasl.password\" = \"${env:KAFKA_PASSWORD}\" }\nformat  =",
    );
    let secret_url = format!("postgres://syncline:{CANARY}@{NOWHERE}/none");
    let (wrong, misplaced) = (
        text.replace("key    = [\"id\"]", "key    = [\"ident\"]"),
        text.replace(
            "table  = \"clients\"",
            "table  = \"clients\"\ndelete = \"${env:BILLING_URL}\"",
        ),
    );
    for text in [&text, &wrong, &misplaced] {
        let mut pipeline = Pipeline::new(text);
        pipeline
            .set("BILLING_URL", &secret_url)
            .set("KAFKA_PASSWORD", CANARY)
            .set("RUST_LOG", "debug");
        for arguments in [
            &["validate"][..],
            &["validate", "--json"],
            &["validate", "--connect"],
            &["validate", "--connect", "--json"],
            &["graph"],
            &["graph", "--json"],
            &["run", "--once"],
            &["run", "--once", "--json", "--log-format", "json"],
            &["quarantine", "list"],
        ] {
            let finished = pipeline
                .command(&[arguments, &[pipeline.file()]].concat())
                .await;
            for shown in [&finished.stdout, &finished.stderr] {
                assert!(!shown.contains(CANARY), "{arguments:?} shows\n{shown}");
            }
        }
    }

    // The database's own message about a wrong password.
    let target = postgres("secret").await;
    let url = target.url().replace(":syncline@", &format!(":{CANARY}@"));
    let mut pipeline = Pipeline::new(&text.replace("properties", "# properties"));
    pipeline.set("BILLING_URL", &url).set("RUST_LOG", "trace");
    let finished = pipeline.run_once(DEADLINE).await;
    expect_code(&finished, 2);
    for shown in [&finished.stdout, &finished.stderr] {
        assert!(!shown.contains(CANARY), "a secret is shown\n{shown}");
    }
}

/// Rows on standard output can be read by another program: nothing else is there.
#[tokio::test]
async fn a_sink_that_writes_to_standard_output_has_it_alone() {
    let pipeline = Pipeline::new(
        "[sources.crm]\ntype = \"file\"\npath = \"rows.jsonl\"\nformat = \"json\"\nkey = [\"id\"]\n\
         [sinks.out]\ntype = \"file\"\ninputs = [\"crm\"]\npath = \"-\"\n",
    );
    let rows = "{\"id\":1}\n{\"id\":2}\n";
    fs::write(pipeline.folder().join("rows.jsonl"), rows).expect("it is written");
    for arguments in [&["--once"][..], &["--once", "--json"]] {
        let finished = pipeline
            .finish(pipeline.start_as(&unique("run"), arguments), DEADLINE)
            .await;
        finished.expect_success();
        let lines: Vec<Value> = finished
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row"))
            .collect();
        assert_eq!(lines.len(), 2, "{}", finished.stdout);
        assert_eq!(lines[1]["id"], 2);
        assert!(finished.stderr.contains("written"), "{}", finished.stderr);
    }
    let history = pipeline
        .command(&["conflicts", "history", pipeline.file()])
        .await;
    assert_eq!((history.code, &*history.stdout), (Some(2), ""));
}
