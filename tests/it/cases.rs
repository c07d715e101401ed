//! The tests of pipelines: every shipped pipeline has some, and they hold; a difference is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `syncline` in a folder; its exit code, stdout and stderr.
fn syncline(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
    command.current_dir(folder).args(arguments);
    for name in [
        "CLIENTS_TOPIC",
        "CRM_TOPIC",
        "BILLING_TOPIC",
        "CRM_TOPICS",
        "MASK_KEY",
    ] {
        command.env_remove(name);
    }
    let output = command.output().expect("syncline starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn pipelines(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .filter(|path| !path.to_string_lossy().ends_with(".tests.toml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_shipped_pipeline_has_tests_that_hold() {
    let folder = root().join("pipelines");
    let mut files = pipelines(&folder);
    files.extend(pipelines(&folder.join("two-way")));
    assert!(files.len() >= 9, "{files:?}");
    let mut arguments = vec!["test", "--json"];
    let paths: Vec<String> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    arguments.extend(paths.iter().map(String::as_str));
    let (code, stdout, stderr) = syncline(root(), &arguments);
    let results: Vec<Value> = serde_json::from_str(&stdout).expect(&stderr);
    for result in &results {
        assert_eq!(result["passed"], true, "{result:#}");
    }
    assert_eq!(code, Some(0), "{stderr}");
    for path in &paths {
        let tested = results.iter().any(|result| result["file"] == **path);
        assert!(tested, "{path} has no tests");
    }
}

const PIPELINE: &str = r#"
[sources.crm]
type   = "file"
path   = "unused.jsonl"
format = "debezium-json"

[operators.tidy]
type   = "map"
inputs = ["crm"]
fields.id   = "id"
fields.name = "upper(name)"
fields.at   = "now()"

[sinks.out]
type   = "sqlite"
inputs = ["tidy"]
path   = "unused.db"
table  = "clients"
key    = ["id"]

[[tests]]
name  = "it shouts"
clock = "2026-02-03T04:05:06Z"
input = [{ op = "c", row = { id = 1, name = "ada" } }]

[tests.expect]
target.out = [{ id = 1, name = "Ada", at = "2026-02-03T04:05:06.000000Z" }]
"#;

#[test]
fn a_difference_is_told_and_update_writes_what_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.toml");
    fs::write(&path, PIPELINE).expect("it is written");
    let (code, stdout, _) = syncline(folder.path(), &["test", "p.toml", "--junit", "results.xml"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("out: id = 1: name expected \"Ada\", found \"ADA\""),
        "{stdout}"
    );
    assert!(stdout.contains("0 passed, 1 failed"), "{stdout}");
    assert!(!stdout.contains(" at expected"), "{stdout}");
    let xml = fs::read_to_string(folder.path().join("results.xml")).expect("it is written");
    assert!(xml.contains("failures=\"1\""), "{xml}");
    let (code, stdout, stderr) = syncline(folder.path(), &["test", "p.toml", "--update"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let (code, stdout, _) = syncline(folder.path(), &["test", "p.toml"]);
    assert_eq!(code, Some(0), "{stdout}");
    let text = fs::read_to_string(&path).expect("it is there");
    assert!(text.contains("name = \"ADA\""), "{text}");
    assert!(text.contains("fields.name = \"upper(name)\""), "{text}");
    assert!(!folder.path().join("unused.db").exists());
}

#[test]
fn an_expression_is_tried_on_a_row_or_on_those_of_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipeline =
        format!("[functions.twice]\narguments = {{ x = \"bigint\" }}\nsql = \"x * 2\"\n{PIPELINE}");
    fs::write(folder.path().join("p.toml"), pipeline).expect("it is written");
    let event = r#"{"before":null,"after":{"id":7,"name":"bob"},"op":"c","source":{"table":"clients","lsn":99}}"#;
    fs::write(folder.path().join("unused.jsonl"), format!("{event}\n")).expect("it is written");
    let check = |arguments: &[&str], code: i32, expect: &str| {
        let arguments = [&["eval", "p.toml"], arguments].concat();
        let (found, stdout, stderr) = syncline(folder.path(), &arguments);
        assert_eq!(found, Some(code), "{stdout}{stderr}");
        let shown = stdout + &stderr;
        assert!(shown.contains(expect), "{arguments:?}: {shown}");
    };
    check(&["twice(id) + 1", "--row", "{\"id\": 4}"], 0, "9  (int64)");
    check(&["upper(name)"], 0, "BOB  (text)");
    check(&["_source.lsn"], 0, "99  (text)");
    check(
        &["cast(name as bigint)", "--row", "{\"name\": \"x\"}"],
        1,
        "no value: a value cannot be cast",
    );
    check(
        &["try_cast(name as bigint)", "--row", "{\"name\": \"x\"}"],
        0,
        "null",
    );
    check(&["nme"], 2, "no column nme");
    check(&["twice()"], 2, "twice takes 1 arguments, found 0");
}
