use expect_test::{Expect, expect};

use super::*;
use crate::config::load_text_with;

fn variable(name: &str) -> Option<String> {
    (name == "BILLING_URL").then(|| "postgres://me:canary-4711@db/billing".to_owned())
}

fn read(text: &str) -> Result<ServiceFile, Report> {
    ServiceFile::read("pipelines/syncline.toml", text.to_owned(), &variable)
}

#[track_caller]
fn shows(report: &Report, expect: Expect) {
    let rendered = report.render(false);
    assert!(
        !rendered.contains("canary"),
        "a secret is shown: {rendered}"
    );
    expect.assert_eq(&rendered);
}

const SHARED: &str = r#"
[connections.billing]
type = "postgres"
url = "${env:BILLING_URL}"

[connections.bus]
type = "kafka"
brokers = "localhost:9092"
properties = { "security.protocol" = "ssl" }

[defaults]
memory = "64MiB"
batch.rows = 100
"#;

const PIPELINE: &str = r#"
[batch]
linger_ms = 5

[sources.crm]
connection = "bus"
topics = "crm"
group = "g"
format = "debezium-json"
properties = { "client.id" = "mine" }

[sinks.out]
connection = "billing"
inputs = ["crm"]
table = "clients"
"#;

#[test]
fn a_pipeline_takes_over_connections_and_defaults_and_its_own_settings_win() {
    let service = read(SHARED).expect("it is right");
    let load =
        |text: &str| load_text_with("pipelines/p.toml", text.to_owned(), &variable, &service);
    let file = load(PIPELINE).expect("it is right");
    assert_eq!(file.memory_bytes, 64 << 20);
    assert_eq!((file.batch.rows, file.batch.linger_ms), (100, 5));
    let of = |file: &crate::config::PipelineFile| file.sources[0].1.describe().kind;
    assert_eq!(of(&file), "kafka");
    assert_eq!(file.sinks[0].1.config.kind(), "postgres");
    let own = format!("memory = \"32MiB\"\n{PIPELINE}").replace("[batch]", "[batch]\nrows = 7");
    let own = load(&own).expect("it is right");
    assert_eq!((own.memory_bytes, own.batch.rows), (32 << 20, 7));
    assert!(!own.same_as(&file) && file.same_as(&load(PIPELINE).expect("it is right")));
}

#[test]
fn a_connection_that_is_wrong_is_shown_where_it_is_named() {
    let service = read(SHARED).expect("it is right");
    let load = |text: String| {
        load_text_with("pipelines/p.toml", text, &variable, &service).expect_err("it is wrong")
    };
    shows(
        &load(PIPELINE.replace("\"billing\"", "\"biling\"")),
        expect![[r#"
            error: there is no connection `biling`
              --> pipelines/p.toml:13:14
               |
            13 | connection = "biling"
               |              ^^^^^^^^ sinks.out
               |
               = help: did you mean `billing`? They are in pipelines/syncline.toml

        "#]],
    );
    shows(
        &load(PIPELINE.replace("inputs", "type = \"mysql\"\ninputs")),
        expect![[r#"
            error: the connection `billing` is of type postgres, not mysql
              --> pipelines/p.toml:13:14
               |
            13 | connection = "billing"
               |              ^^^^^^^^^ sinks.out

        "#]],
    );
    let alone = load_text_with(
        "p.toml",
        PIPELINE.to_owned(),
        &variable,
        &ServiceFile::default(),
    );
    shows(
        &alone.expect_err("there is no connection"),
        expect![[r#"
        error: there is no connection `bus`
         --> p.toml:6:14
          |
        6 | connection = "bus"
          |              ^^^^^ sources.crm
          |
          = help: write it into syncline.toml beside this file, as [connections.NAME]

        error: there is no connection `billing`
          --> p.toml:13:14
           |
        13 | connection = "billing"
           |              ^^^^^^^^^ sinks.out
           |
           = help: write it into syncline.toml beside this file, as [connections.NAME]

    "#]],
    );
}

#[test]
fn an_unknown_key_is_named_with_its_nearest() {
    shows(
        &read("shutdown_timeout = 3\n[api]\nadress = \"127.0.0.1:1\"\n").expect_err("it is wrong"),
        expect![[r#"
            error: unknown key `shutdown_timeout`
             --> pipelines/syncline.toml:1:1
              |
            1 | shutdown_timeout = 3
              | ^^^^^^^^^^^^^^^^ shutdown_timeout
              |
              = help: did you mean `shutdown_timeout_s`?

            error: unknown key `adress`
             --> pipelines/syncline.toml:3:1
              |
            3 | adress = "127.0.0.1:1"
              | ^^^^^^ api.adress
              |
              = help: did you mean `address`?

        "#]],
    );
    shows(
        &read("[connections.a]\ntype = \"postgres\"\nurl = 5\ntable = \"t\"\n[log]\nfilter = \"a=b=c\"\n")
            .expect_err("it is wrong"),
        expect![[r#"
            error: found an integer, expected a string
             --> pipelines/syncline.toml:3:7
              |
            3 | url = 5
              |       ^ connections.a.url

            error: unknown key `table`
             --> pipelines/syncline.toml:4:1
              |
            4 | table = "t"
              | ^^^^^ connections.a.table
              |
              = help: the keys here are `type`, `url`, `connect_timeout_ms`

        "#]],
    );
}

#[test]
fn what_is_absent_has_a_default() {
    let file = read("").expect("an empty file is right");
    assert_eq!(file.settings, Service::default());
    assert_eq!(file.settings.api, None);
    let api = read("[api]\n").expect("it is right").settings.api;
    assert_eq!(api.expect("it is on").address, "127.0.0.1:7470");
}

/// Every `syncline.toml` that the documentation shows.
#[test]
fn what_the_documentation_shows_is_right() {
    let token = "a-token-of-20-letters";
    let mut seen = 0;
    for page in ["docs/install.md", "docs/monitoring.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = std::fs::read_to_string(path).expect("the page is there");
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().expect("it is closed");
            if !block.contains("[api]") {
                continue;
            }
            let block = block.replace("${file:/etc/syncline/token}", token);
            if let Err(report) = read(&block) {
                panic!("{page}: {}", report.render(false));
            }
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}
