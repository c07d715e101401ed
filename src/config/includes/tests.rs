use std::fs;

use crate::config::load;
use crate::config::{PipelineFile, Report, Services};
use crate::operator::OperatorConfig;

const PIPELINE: &str = r#"
function_files = ["shared/functions.toml"]

[functions.shout]
arguments = { x = "text" }
sql = "upper(twice(x))"

[sources.crm]
type = "file"
path = "unused.jsonl"
format = "json"

[operators.tidy]
type = "map"
inputs = ["crm"]
fields.id = "id"
fields.name = "shout(name) || '!'"

[operators.check]
type = "validate"
inputs = ["tidy"]
rules = ["shared/rules.toml", { field = "id", required = true }]

[sinks.out]
type = "blackhole"
inputs = ["check"]
"#;
const FUNCTIONS: &str =
    "[functions.twice]\narguments = { text = 'text' }\nsql = \"text || text\"\n";
const RULES: &str = "rules = [{ field = 'name', json_schema = 'name.json' }]\n";
const TESTS: &str = "[[tests]]\nname = 'a'\ninput = []\n";

/// Loads a pipeline with files beside it, each given as its path and text.
fn loaded(pipeline: &str, files: &[(&str, &str)]) -> Result<PipelineFile, Report> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("shared")).expect("a folder");
    for (path, text) in files {
        fs::write(folder.path().join(path), text).expect("it is written");
    }
    let path = folder.path().join("p.toml");
    fs::write(&path, pipeline).expect("it is written");
    load(&path, &mut Services::default())
}

const ALL: [(&str, &str); 4] = [
    ("shared/functions.toml", FUNCTIONS),
    ("shared/rules.toml", RULES),
    ("shared/name.json", "{\"type\": [\"string\", \"null\"]}"),
    ("p.tests.toml", TESTS),
];

#[test]
fn everything_is_put_in_its_place() {
    let file = loaded(PIPELINE, &ALL).expect("it is right");
    assert_eq!(file.tests.len(), 1);
    let OperatorConfig::Map(map) = &file.operators[0].1 else {
        panic!("the first is a map");
    };
    let (_, name) = map.fields.iter().nth(1).expect("a second field");
    assert_eq!(
        name,
        "(upper((cast((cast((name) as text)) as text) || cast((cast((name) as text)) as text)))) || '!'"
    );
    let OperatorConfig::Validate(check) = &file.operators[1].1 else {
        panic!("the second is a validate");
    };
    assert_eq!(check.rules.len(), 2);
    assert!(check.rules[0].json_schema.is_some());
}

#[test]
fn what_is_wrong_is_shown_where_it_is_named() {
    let check = |pipeline: &str, files: &[(&str, &str)], line: &str, message: &str| {
        let report = loaded(pipeline, files).expect_err(message);
        let shown = report.render(false);
        assert!(shown.contains(message), "{shown}");
        assert!(shown.contains(line), "{shown}");
    };
    check(
        PIPELINE,
        &ALL[1..],
        "shared/functions.toml",
        "cannot be read",
    );
    let wrong = [ALL[0], ("shared/rules.toml", "rule = []"), ALL[2]];
    check(
        PIPELINE,
        &wrong,
        "shared/rules.toml\",",
        "has no list of rules",
    );
    let wrong = [
        ALL[0],
        (
            "shared/rules.toml",
            "rules = [{ field = 'name', patern = 'x' }]",
        ),
        ALL[2],
    ];
    check(
        PIPELINE,
        &wrong,
        "shared/rules.toml\",",
        "unknown key `patern`",
    );
    let wrong = [ALL[0], ALL[1], ("shared/name.json", "{\"type\": 5}")];
    check(
        PIPELINE,
        &wrong,
        "rules = [",
        "it is not a JSON Schema that can be used",
    );
    let call = PIPELINE.replace("shout(name)", "shout(name, 1)");
    check(
        &call,
        &ALL,
        "shout(name, 1)",
        "shout takes 1 arguments, found 2",
    );
    let call = PIPELINE.replace("shout(name) || '!'", "shout(1 +)");
    check(&call, &ALL, "shout(1 +)", "expected an expression");
    let body = PIPELINE.replace("upper(twice(x))", "upper(twice(y))");
    check(&body, &ALL, "upper(twice(y))", "no column y");
}
