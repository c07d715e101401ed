//! Tests of whole pipeline files, valid and invalid, with the reports that people read.
//! Longer than 400 lines: whole files with the whole text of their reports.

use expect_test::{Expect, expect};

use super::{PipelineFile, Report, load_text, pipeline_schema};
use crate::problem::Problem;

/// A valid file with one source, one operator and one sink.
const WHOLE: &str = r#"
[sources.crm]
type = "kafka"
brokers = "localhost:9092"
topics = ["crm.public.clients"]
group = "syncline-clients"
format = "debezium-json"

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

/// Checks the report for `text`. No substituted value may appear in it.
#[track_caller]
fn check(text: &str, expect: Expect) {
    let report = load(text).expect_err("the file is wrong");
    let rendered = report.render(false);
    for shown in [&rendered, &report.to_json().to_string()] {
        assert!(!shown.contains("canary"), "a secret is shown: {shown}");
    }
    expect.assert_eq(&rendered);
}

/// Adds a text after the last line of [`WHOLE`], which is in the sink's table.
fn with_layers(layers: &str) -> String {
    format!("{WHOLE}{layers}")
}

#[test]
fn the_layers_of_a_sink_are_read_apart_from_it() {
    let text = with_layers(
        "retry.max_ms = 500\nbreaker = { failures = 2, window_ms = 50 }\nthrottle.rows_per_second = 7\n",
    );
    let file = load(&text).expect("the file holds");
    let layers = &file.sinks[0].1.layers;
    assert_eq!((layers.retry.initial_ms, layers.retry.max_ms), (100, 500));
    assert_eq!((layers.breaker.failures, layers.breaker.window_ms), (2, 50));
    let throttle = layers.throttle.as_ref().expect("it is given");
    assert_eq!(throttle.rows_per_second.get(), 7);
    let bare = load(WHOLE).expect("the file holds");
    assert_eq!(bare.sinks[0].1.layers, super::Layers::default());
}

#[test]
fn a_wrong_layer_is_shown_at_its_place() {
    let text = with_layers("retry.initial = 5\nthrottle.rows_per_second = 0\n");
    check(
        &text,
        expect![[r#"
        error: unknown key `initial`
          --> pipelines/clients.toml:20:7
           |
        20 | retry.initial = 5
           |       ^^^^^^^ sinks.billing.retry.initial
           |
           = help: the keys here are `initial_ms`, `max_ms`, `attempts`

        error: too small: expected at least 1
          --> pipelines/clients.toml:21:28
           |
        21 | throttle.rows_per_second = 0
           |                            ^ sinks.billing.throttle.rows_per_second

    "#]],
    );
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
    expect![[r#"
        error: no column `nam`
          --> pipelines/clients.toml:12:19
           |
        12 | fields.id = "trim(\"nam\")"
           |                   ^^^^^^^ operators.tidy.fields.id
           |
           = help: did you mean `name`?

    "#]]
    .assert_eq(&report.render(false));
}

#[test]
fn misspelt_keys_get_the_nearest_name() {
    check(
        &with("topics =", "topcs =").replace("[operators.tidy]", "colour = 1\n[operators.tidy]"),
        expect![[r#"
            error: unknown key `topcs`
             --> pipelines/clients.toml:5:1
              |
            5 | topcs = ["crm.public.clients"]
              | ^^^^^ sources.crm.topcs
              |
              = help: did you mean `topics`?

            error: unknown key `colour`
             --> pipelines/clients.toml:9:1
              |
            9 | colour = 1
              | ^^^^^^ sources.crm.colour
              |
              = help: the keys here are `type`, `connection`, `brokers`, `topics`, `group`, `start`, `format`, `schema`, `key`, `key_columns`, `unavailable`, `ignore_origins`, `deleted`, `csv`, `schema_registry`, `instance`, `properties`

        "#]],
    );
    check(
        &format!("memry = \"1GB\"\n{WHOLE}"),
        expect![[r#"
        error: unknown key `memry`
         --> pipelines/clients.toml:1:1
          |
        1 | memry = "1GB"
          | ^^^^^ memry
          |
          = help: did you mean `memory`?

    "#]],
    );
    check(
        &with("table = \"clients\"", "conflict.verion = \"x\""),
        expect![[r#"
            error: unknown key `verion`
              --> pipelines/clients.toml:18:10
               |
            18 | conflict.verion = "x"
               |          ^^^^^^ sinks.billing.conflict.verion
               |
               = help: did you mean `version`?

        "#]],
    );
}

#[test]
fn wrong_types_say_what_was_found_and_expected() {
    check(
        &with("topics = [\"crm.public.clients\"]", "topics = 7"),
        expect![[r#"
            error: found an integer, expected a string or an array of strings
             --> pipelines/clients.toml:5:10
              |
            5 | topics = 7
              |          ^ sources.crm.topics

        "#]],
    );
    check(
        &with("key = [\"id\"]", "key = [\"id\", 2]\nconflict = 1"),
        expect![[r#"
            error: found an integer, expected a string
              --> pipelines/clients.toml:19:14
               |
            19 | key = ["id", 2]
               |              ^ sinks.billing.key.1

            error: found an integer, expected a table
              --> pipelines/clients.toml:20:12
               |
            20 | conflict = 1
               |            ^ sinks.billing.conflict

        "#]],
    );
    check(
        &format!("memory = \"lots\"\nbatch = {{ rows = 0, linger_ms = -1, bytes = 1.5 }}\n{WHOLE}"),
        expect![[r#"
            error: not a size in bytes
             --> pipelines/clients.toml:1:10
              |
            1 | memory = "lots"
              |          ^^^^^^ memory
              |
              = help: expected a size such as "64MiB" or "1GB"

            error: too small: expected at least 1
             --> pipelines/clients.toml:2:18
              |
            2 | batch = { rows = 0, linger_ms = -1, bytes = 1.5 }
              |                  ^ batch.rows

            error: too small: expected at least 0
             --> pipelines/clients.toml:2:33
              |
            2 | batch = { rows = 0, linger_ms = -1, bytes = 1.5 }
              |                                 ^^ batch.linger_ms

            error: found a number, expected a size such as "64MiB"
             --> pipelines/clients.toml:2:45
              |
            2 | batch = { rows = 0, linger_ms = -1, bytes = 1.5 }
              |                                             ^^^ batch.bytes

        "#]],
    );
}

#[test]
fn missing_keys_say_what_they_are_for() {
    check(
        &with("brokers = \"localhost:9092\"\n", ""),
        expect![[r#"
            error: missing key `brokers`
             --> pipelines/clients.toml:2:1
              |
            2 | [sources.crm]
              | ^^^^^^^^^^^^^ sources.crm
              |
              = help: expected a string: Addresses to begin with, `host:port` separated by commas

        "#]],
    );
    check(
        &with("type = \"postgres\"\n", ""),
        expect![[r#"
            error: missing key `type`
              --> pipelines/clients.toml:14:1
               |
            14 | [sinks.billing]
               | ^^^^^^^^^^^^^^^ sinks.billing
               |
               = help: one of `postgres`, `mysql`, `sqlite`, `kafka`, `file`, `http`, `blackhole`

        "#]],
    );
}

#[test]
fn unknown_values_get_the_nearest_one() {
    check(
        &with("type = \"postgres\"", "type = \"postgress\""),
        expect![[r#"
            error: unknown type `postgress`
              --> pipelines/clients.toml:15:8
               |
            15 | type = "postgress"
               |        ^^^^^^^^^^^ sinks.billing.type
               |
               = help: did you mean `postgres`?

        "#]],
    );
    check(
        &with(
            "table = \"clients\"",
            "conflict = { strategy = \"newest_win\", version = \"v\" }",
        ),
        expect![[r#"
            error: unknown value `newest_win`
              --> pipelines/clients.toml:18:25
               |
            18 | conflict = { strategy = "newest_win", version = "v" }
               |                         ^^^^^^^^^^^^ sinks.billing.conflict.strategy
               |
               = help: did you mean `newest_wins`?

        "#]],
    );
    check(
        &with(
            "type = \"map\"\ninputs = [\"crm\"]\nfields.id = \"id\"",
            "type = \"validate\"\ninputs = [\"crm\"]\nrules = [{ field = \"a\", format = \"emial\", length = { mn = 1 } }, { field = \"b\", length = \"x\" }]",
        ),
        expect![[r#"
            error: unknown value `emial`
              --> pipelines/clients.toml:12:34
               |
            12 | rules = [{ field = "a", format = "emial", length = { mn = 1 } }, { field = "b", length = "x" }]
               |                                  ^^^^^^^ operators.tidy.rules.0.format
               |
               = help: did you mean `email`?

            error: unknown key `mn`
              --> pipelines/clients.toml:12:54
               |
            12 | rules = [{ field = "a", format = "emial", length = { mn = 1 } }, { field = "b", length = "x" }]
               |                                                      ^^ operators.tidy.rules.0.length.mn
               |
               = help: did you mean `min`?

            error: found a string, expected an integer or a table
              --> pipelines/clients.toml:12:90
               |
            12 | rules = [{ field = "a", format = "emial", length = { mn = 1 } }, { field = "b", length = "x" }]
               |                                                                                          ^^^ operators.tidy.rules.1.length

        "#]],
    );
}

#[test]
fn references_that_lead_nowhere_are_placed() {
    check(
        &with("localhost:9092", "a,${env:KAFKA_BROKERS},${vault:b}"),
        expect![[r#"
            error: the environment variable `KAFKA_BROKERS` is not set
             --> pipelines/clients.toml:4:14
              |
            4 | brokers = "a,${env:KAFKA_BROKERS},${vault:b}"
              |              ^^^^^^^^^^^^^^^^^^^^ sources.crm.brokers
              |
              = help: set KAFKA_BROKERS, or give a default: `${env:KAFKA_BROKERS:-default}`

            error: unknown reference `${vault:b}`
             --> pipelines/clients.toml:4:35
              |
            4 | brokers = "a,${env:KAFKA_BROKERS},${vault:b}"
              |                                   ^^^^^^^^^^ sources.crm.brokers
              |
              = help: write `${env:NAME}`, `${env:NAME:-default}` or `${file:path}`; `$${` is a literal `${`

        "#]],
    );
    check(
        &with("localhost:9092", "${file:absent}"),
        expect![[r#"
        error: the file pipelines/absent cannot be read: No such file or directory (os error 2)
         --> pipelines/clients.toml:4:12
          |
        4 | brokers = "${file:absent}"
          |            ^^^^^^^^^^^^^^ sources.crm.brokers
          |
          = help: the path is relative to the pipeline file

    "#]],
    );
}

#[test]
fn substituted_values_are_never_shown() {
    let text = with("table = \"clients\"", "conflict.strategy = \"${env:WORD}\"")
        .replace("[\"tidy\"]", "[\"tidy\", \"${env:WORD}\"]");
    check(
        &format!("batch.rows = \"${{env:BILLING_URL}}\"\n{text}"),
        expect![[r#"
            error: the substituted value is not an integer
             --> pipelines/clients.toml:1:14
              |
            1 | batch.rows = "${env:BILLING_URL}"
              |              ^^^^^^^^^^^^^^^^^^^^ batch.rows

            error: unknown input `${env:WORD}`
              --> pipelines/clients.toml:17:19
               |
            17 | inputs = ["tidy", "${env:WORD}"]
               |                   ^^^^^^^^^^^^^ sinks.billing.inputs.1
               |
               = help: an input is one of `crm`, `tidy`

            error: the substituted value is not one of the allowed values
              --> pipelines/clients.toml:19:21
               |
            19 | conflict.strategy = "${env:WORD}"
               |                     ^^^^^^^^^^^^^ sinks.billing.conflict.strategy
               |
               = help: one of `source_wins`, `target_wins`, `newest_wins`, `oldest_wins`, `merge`, `max`, `min`, `sum`, `union`, `concat`, `coalesce`, `json_merge`, `manual`

        "#]],
    );
}

#[test]
fn the_graph_must_be_whole() {
    check(
        &with("inputs = [\"tidy\"]", "inputs = [\"tidi\"]"),
        expect![[r#"
            error: unknown input `tidi`
              --> pipelines/clients.toml:16:11
               |
            16 | inputs = ["tidi"]
               |           ^^^^^^ sinks.billing.inputs.0
               |
               = help: did you mean `tidy`?

        "#]],
    );
    check(
        &with("inputs = [\"tidy\"]", "inputs = [\"crm\", \"crm\"]"),
        expect![[r#"
            error: nothing reads the operator `tidy`
             --> pipelines/clients.toml:9:1
              |
            9 | [operators.tidy]
              | ^^^^^^^^^^^^^^^^ operators.tidy
              |
              = help: write `inputs = ["tidy"]` in an operator or a sink, or remove it

            error: `crm` is listed twice
              --> pipelines/clients.toml:16:18
               |
            16 | inputs = ["crm", "crm"]
               |                  ^^^^^ sinks.billing.inputs.1
               |
               = help: remove one of them

        "#]],
    );
    check(
        &with("inputs = [\"tidy\"]", "inputs = []"),
        expect![[r#"
            error: the sink `billing` has no inputs
              --> pipelines/clients.toml:16:10
               |
            16 | inputs = []
               |          ^^ sinks.billing.inputs
               |
               = help: name at least one of `crm`, `tidy`

        "#]],
    );
    check(
        &with("inputs = [\"crm\"]", "inputs = [\"more\", \"crm\"]").replace(
            "[sinks",
            "[operators.more]\ntype = \"filter\"\ninputs = [\"tidy\"]\nwhere = \"true\"\n\n[sinks",
        ),
        expect![[r#"
            error: the operators form a cycle: `tidy` → `more` → `tidy`
              --> pipelines/clients.toml:11:11
               |
            11 | inputs = ["more", "crm"]
               |           ^^^^^^ operators.tidy.inputs.0
               |
               = help: remove one of these inputs

        "#]],
    );
    check(
        &with("operators.tidy", "operators.billing").replace("\"tidy\"", "\"billing\""),
        expect![[r#"
            error: `billing` is already the name of an operator
              --> pipelines/clients.toml:14:1
               |
            14 | [sinks.billing]
               | ^^^^^^^^^^^^^^^ sinks.billing
               |
               = help: choose another name: sources, operators and sinks need different names

        "#]],
    );
    check(
        "[sources.a]\ntype = \"kafka\"\nbrokers = \"b\"\ntopics = []\ngroup = \"g\"\nformat = \"debezium-json\"\n",
        expect![[r#"
            error: the pipeline has no sink
            --> pipelines/clients.toml
             = help: add a `[sinks.NAME]`: a target for the rows

            error: nothing reads the source `a`
             --> pipelines/clients.toml:1:1
              |
            1 | [sources.a]
              | ^^^^^^^^^^^ sources.a
              |
              = help: write `inputs = ["a"]` in an operator or a sink, or remove it

            error: no topic is named
             --> pipelines/clients.toml:4:10
              |
            4 | topics = []
              |          ^^ sources.a.topics

        "#]],
    );
}

#[test]
fn every_shipped_pipeline_holds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let paths = super::pipeline_files(&[folder]).expect("there are pipelines");
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("it is read");
        let known = |name: &str| {
            let kind = if name.contains("MYSQL") {
                "mysql"
            } else {
                "postgres"
            };
            name.ends_with("URL")
                .then(|| format!("{kind}://me@localhost/billing"))
        };
        if let Err(report) = load_text(&path.display().to_string(), text, &known) {
            panic!("{}: {report}", path.display());
        }
    }
}

#[test]
fn syntax_errors_are_reported_together() {
    check(
        "[sources.a\ntype = \n[sinks.b]\nx = \"open\ny = 1\ny = 2\n",
        expect![[r#"
            error: unclosed table, expected `]`
             --> pipelines/clients.toml:1:11
              |
            1 | [sources.a
              |           ^

            error: invalid basic string, expected `"`
             --> pipelines/clients.toml:4:10
              |
            4 | x = "open
              |          ^

            error: duplicate key
             --> pipelines/clients.toml:6:1
              |
            6 | y = 2
              | ^

        "#]],
    );
}

#[test]
fn many_mistakes_are_one_report() {
    let text = with("type = \"map\"", "type = \"mapp\"")
        .replace("group =", "grup =")
        .replace("key = [\"id\"]", "key = \"id\"")
        .replace("[\"tidy\"]", "[\"tydi\"]");
    check(
        &text,
        expect![[r#"
            error: unknown key `grup`
             --> pipelines/clients.toml:6:1
              |
            6 | grup = "syncline-clients"
              | ^^^^ sources.crm.grup
              |
              = help: did you mean `group`?

            error: unknown type `mapp`
              --> pipelines/clients.toml:10:8
               |
            10 | type = "mapp"
               |        ^^^^^^ operators.tidy.type
               |
               = help: did you mean `map`?

            error: unknown input `tydi`
              --> pipelines/clients.toml:16:11
               |
            16 | inputs = ["tydi"]
               |           ^^^^^^ sinks.billing.inputs.0
               |
               = help: an input is one of `crm`, `tidy`

            error: found a string, expected an array of strings
              --> pipelines/clients.toml:19:7
               |
            19 | key = "id"
               |       ^^^^ sinks.billing.key
               |
               = help: write ["id"]

        "#]],
    );
}

#[test]
fn a_report_for_machines_has_places() {
    let report = load(&with("topics =", "topcs =")).expect_err("it is wrong");
    let json = serde_json::to_string_pretty(&report.to_json()).expect("it is JSON");
    expect![[r#"
        [
          {
            "file": "pipelines/clients.toml",
            "line": 5,
            "column": 1,
            "end_line": 5,
            "end_column": 6,
            "path": "sources.crm.topcs",
            "message": "unknown key `topcs`",
            "help": "did you mean `topics`?"
          }
        ]"#]]
    .assert_eq(&json);
}

#[test]
fn the_schema_says_which_draft_it_is() {
    let schema = pipeline_schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    // Every reference can be resolved.
    let text = schema.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = &reference[..reference.find('"').expect("it is closed")];
        assert!(schema.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn expressions_that_are_no_sql_get_a_caret() {
    check(
        &with(
            "fields.id = \"id\"",
            "fields.id = \"trim(id\"\nfields.a = \"trm(a)\"",
        ),
        expect![[r#"
            error: expected ), found the end
              --> pipelines/clients.toml:12:21
               |
            12 | fields.id = "trim(id"
               |                     ^ operators.tidy.fields.id

            error: no function trm
              --> pipelines/clients.toml:13:13
               |
            13 | fields.a = "trm(a)"
               |             ^^^ operators.tidy.fields.a
               |
               = help: did you mean trim?

        "#]],
    );
}

#[test]
fn expressions_of_a_conflict_get_a_caret() {
    let conflict = [
        "table = \"clients\"",
        "conflict.columns.a = { expression = \"source.a || trm(target.a)\" }",
        "conflict.columns.b = { expression = \"1 + sorce.b\" }",
        "conflict.columns.c = { expression = \"c + 1\" }",
        "conflict.strategy = { expression = \"case when source.a = base then\" }",
    ];
    check(
        &with("table = \"clients\"", &conflict.join("\n")),
        expect![[r#"
            error: no function trm
              --> pipelines/clients.toml:19:50
               |
            19 | conflict.columns.a = { expression = "source.a || trm(target.a)" }
               |                                                  ^^^ sinks.billing.conflict.columns.a.expression
               |
               = help: did you mean trim?

            error: no side sorce
              --> pipelines/clients.toml:20:42
               |
            20 | conflict.columns.b = { expression = "1 + sorce.b" }
               |                                          ^^^^^^^ sinks.billing.conflict.columns.b.expression
               |
               = help: did you mean source.b?

            error: no column c
              --> pipelines/clients.toml:21:38
               |
            21 | conflict.columns.c = { expression = "c + 1" }
               |                                      ^ sinks.billing.conflict.columns.c.expression
               |
               = help: write source.c, target.c or base.c

            error: expected the end of the expression, found when
              --> pipelines/clients.toml:22:42
               |
            22 | conflict.strategy = { expression = "case when source.a = base then" }
               |                                          ^^^^ sinks.billing.conflict.strategy.expression

        "#]],
    );
}

#[test]
fn settings_that_disagree_are_refused() {
    check(
        &with("table = \"clients\"", "table = \"{tabel}\"\nconflict.strategy = \"newest_wins\"")
            .replace(
                "[operators.tidy]",
                "properties = { \"sasl.pasword\" = \"${env:WORD}\", \"group.id\" = \"x\" }\n[operators.tidy]",
            ),
        expect![[r#"
            error: `sasl.pasword` is not a setting of the Kafka client that may be made here
             --> pipelines/clients.toml:9:33
              |
            9 | properties = { "sasl.pasword" = "${env:WORD}", "group.id" = "x" }
              |                                 ^^^^^^^^^^^^^ sources.crm.properties.sasl.pasword
              |
              = help: did you mean `sasl.password`?

            error: `group.id` is an option of the source
             --> pipelines/clients.toml:9:61
              |
            9 | properties = { "sasl.pasword" = "${env:WORD}", "group.id" = "x" }
              |                                                             ^^^ sources.crm.properties.group.id
              |
              = help: set `group`

            error: table = "{tabel}" has the unknown placeholder {tabel}: there are {table}, {schema}, {database} and {topic}
              --> pipelines/clients.toml:19:9
               |
            19 | table = "{tabel}"
               |         ^^^^^^^^^ sinks.billing.table

            error: this strategy compares versions, and no `version` is given
              --> pipelines/clients.toml:20:21
               |
            20 | conflict.strategy = "newest_wins"
               |                     ^^^^^^^^^^^^^ sinks.billing.conflict.strategy
               |
               = help: name the column that says which row is newer: version = "updated_at"

        "#]],
    );
}
