//! Whole pipeline files, right and wrong, and the reports that people read.

use expect_test::{Expect, expect};

use super::{PipelineFile, Report, load_text, pipeline_schema};
use crate::problem::Problem;

/// A file that holds, with one source, one operator and one sink.
const WHOLE: &str = r#"
[sources.crm]
type = "kafka"
brokers = "localhost:9092"
topics = ["crm.public.clients"]
group = "syncline-clients"

[operators.tidy]
type = "map"
inputs = ["crm"]
fields.id = "id"

[sinks.billing]
type = "postgres"
inputs = ["tidy"]
url = "${env:BILLING_URL}"
table = "clients"
key = ["id"]
"#;

const SECRET: &str = "postgres://me:canary-4711@db/billing";

fn variable(name: &str) -> Option<String> {
    match name {
        "BILLING_URL" => Some(SECRET.to_owned()),
        "ROWS" => Some("500".to_owned()),
        "WORD" => Some("canary".to_owned()),
        "STRATEGY" => Some("newest_wins".to_owned()),
        _ => None,
    }
}

fn load(text: &str) -> Result<PipelineFile, Report> {
    load_text("pipelines/clients.toml", text.to_owned(), &variable)
}

/// What a person reads about `text`; no value that came from outside is in it.
#[track_caller]
fn check(text: &str, expect: Expect) {
    let report = load(text).expect_err("the file is wrong");
    let rendered = report.render(false);
    for shown in [&rendered, &report.to_json().to_string()] {
        assert!(!shown.contains("canary"), "a secret is shown: {shown}");
    }
    expect.assert_eq(&rendered);
}

/// [`WHOLE`] with a part replaced.
#[track_caller]
fn with(part: &str, by: &str) -> String {
    assert!(WHOLE.contains(part), "{part}");
    WHOLE.replacen(part, by, 1)
}

#[test]
fn a_whole_file_is_read() {
    let file = load(WHOLE).expect("it holds");
    assert_eq!(file.name, "clients");
    assert_eq!(file.memory_bytes, 256 << 20);
    assert_eq!((file.batch.rows, file.batch.bytes.0), (8192, 4 << 20));
    let nodes: Vec<_> = file
        .nodes()
        .map(|(name, inputs)| (name, inputs.join(",")))
        .collect();
    let expect = [("crm", ""), ("tidy", "crm"), ("billing", "tidy")];
    assert_eq!(
        nodes,
        expect.map(|(name, inputs)| (name, inputs.to_owned()))
    );
}

#[test]
fn substituted_values_become_what_the_schema_wants() {
    let text = format!(
        "name = \"n-${{env:ROWS}}\"\nmemory = \"${{env:ROWS}}MiB\"\nbatch = {{ rows = \"${{env:ROWS}}\" }}\n{WHOLE}"
    );
    let file = load(&text).expect("it holds");
    assert_eq!(file.name, "n-500");
    assert_eq!(file.memory_bytes, 500 << 20);
    assert_eq!(file.batch.rows, 500);
}

#[test]
fn a_problem_found_later_is_placed_under_the_word() {
    let file = load(&with(
        "fields.id = \"id\"",
        "fields.id = \"trim(\\\"nam\\\")\"",
    ))
    .expect("it holds");
    let problem = Problem::new(&["operators", "tidy", "fields", "id"], "no column `nam`")
        .at(5..10)
        .help("did you mean `name`?");
    let report = file.document.report(vec![problem]);
    expect![[""]].assert_eq(&report.render(false));
}

#[test]
fn misspelt_keys_get_the_nearest_name() {
    check(
        &with("topics =", "topcs =").replace("[operators.tidy]", "colour = 1\n[operators.tidy]"),
        expect![[""]],
    );
    check(&format!("memry = \"1GB\"\n{WHOLE}"), expect![[""]]);
    check(
        &with("table = \"clients\"", "conflict.verion = \"x\""),
        expect![[""]],
    );
}

#[test]
fn wrong_types_say_what_was_found_and_expected() {
    check(
        &with("topics = [\"crm.public.clients\"]", "topics = \"a\""),
        expect![[""]],
    );
    check(
        &with("key = [\"id\"]", "key = [\"id\", 2]\nconflict = 1"),
        expect![[""]],
    );
    check(
        &format!("memory = \"lots\"\nbatch = {{ rows = 0, linger_ms = -1, bytes = 1.5 }}\n{WHOLE}"),
        expect![[""]],
    );
}

#[test]
fn missing_keys_say_what_they_are_for() {
    check(&with("brokers = \"localhost:9092\"\n", ""), expect![[""]]);
    check(&with("type = \"postgres\"\n", ""), expect![[""]]);
}

#[test]
fn unknown_values_get_the_nearest_one() {
    check(
        &with("type = \"postgres\"", "type = \"postgress\""),
        expect![[""]],
    );
    check(
        &with(
            "table = \"clients\"",
            "conflict = { strategy = \"newest_win\", version = \"v\" }",
        ),
        expect![[""]],
    );
    check(
        &with(
            "type = \"map\"\ninputs = [\"crm\"]\nfields.id = \"id\"",
            "type = \"validate\"\ninputs = [\"crm\"]\nrules = [{ field = \"a\", format = \"emial\", length = { mn = 1 } }, { field = \"b\", length = \"x\" }]",
        ),
        expect![[""]],
    );
}

#[test]
fn references_that_lead_nowhere_are_placed() {
    check(
        &with("localhost:9092", "a,${env:KAFKA_BROKERS},${vault:b}"),
        expect![[""]],
    );
    check(&with("localhost:9092", "${file:absent}"), expect![[""]]);
}

#[test]
fn substituted_values_are_never_shown() {
    let text = with("table = \"clients\"", "conflict.strategy = \"${env:WORD}\"")
        .replace("[\"tidy\"]", "[\"tidy\", \"${env:WORD}\"]");
    check(
        &format!("batch.rows = \"${{env:BILLING_URL}}\"\n{text}"),
        expect![[""]],
    );
}

#[test]
fn the_graph_must_be_whole() {
    check(
        &with("inputs = [\"tidy\"]", "inputs = [\"tidi\"]"),
        expect![[""]],
    );
    check(
        &with("inputs = [\"tidy\"]", "inputs = [\"crm\", \"crm\"]"),
        expect![[""]],
    );
    check(&with("inputs = [\"tidy\"]", "inputs = []"), expect![[""]]);
    check(
        &with("inputs = [\"crm\"]", "inputs = [\"more\", \"crm\"]").replace(
            "[sinks",
            "[operators.more]\ntype = \"filter\"\ninputs = [\"tidy\"]\nwhere = \"true\"\n\n[sinks",
        ),
        expect![[""]],
    );
    check(
        &with("operators.tidy", "operators.billing").replace("\"tidy\"", "\"billing\""),
        expect![[""]],
    );
    check(
        "[sources.a]\ntype = \"kafka\"\nbrokers = \"b\"\ntopics = []\ngroup = \"g\"\n",
        expect![[""]],
    );
}

#[test]
fn syntax_errors_are_reported_together() {
    check(
        "[sources.a\ntype = \n[sinks.b]\nx = \"open\ny = 1\ny = 2\n",
        expect![[""]],
    );
}

#[test]
fn many_mistakes_are_one_report() {
    let text = with("type = \"map\"", "type = \"mapp\"")
        .replace("group =", "grup =")
        .replace("key = [\"id\"]", "key = \"id\"")
        .replace("[\"tidy\"]", "[\"tydi\"]");
    check(&text, expect![[""]]);
}

#[test]
fn a_report_for_machines_has_places() {
    let report = load(&with("topics =", "topcs =")).expect_err("it is wrong");
    let json = serde_json::to_string_pretty(&report.to_json()).expect("it is JSON");
    expect![[""]].assert_eq(&json);
}

#[test]
fn the_schema_says_which_draft_it_is() {
    let schema = pipeline_schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    // Every reference leads somewhere.
    let text = schema.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = &reference[..reference.find('"').expect("it is closed")];
        assert!(schema.pointer(pointer).is_some(), "{pointer}");
    }
}
