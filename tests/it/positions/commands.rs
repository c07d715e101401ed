//! `syncline positions show|reset|set`.

use serde_json::Value;

use super::{File, Sink, ids, messages, numbers, produce_to};
use crate::harness::{DEADLINE, Finished, Pipeline, Target, eventually, kafka};

fn json(finished: &Finished) -> Value {
    finished.expect_success();
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("stdout is no JSON ({error}): {finished:?}"))
}

/// `positions COMMAND FILE ARGUMENTS…`.
async fn positions(pipeline: &Pipeline, command: &str, arguments: &[&str]) -> Finished {
    let all = [&["positions", command, pipeline.file()], arguments].concat();
    pipeline.command(&all).await
}

/// What `show` says of each partition: position, end, lag.
async fn shown(pipeline: &Pipeline) -> Vec<(Option<i64>, Option<i64>, Option<i64>)> {
    let rows = json(&positions(pipeline, "show", &["--json"]).await);
    let rows = rows.as_array().expect("a list");
    let number = |row: &Value, key: &str| row[key].as_i64();
    rows.iter()
        .map(|row| {
            (
                number(row, "position"),
                number(row, "end"),
                number(row, "lag"),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_shown_moved_and_forgotten() {
    let kafka = kafka();
    for target in Target::each("commands").await {
        let kind = target.kind();
        let topic = kafka.topic("commands", 2).await;
        produce_to(&kafka, &topic, 0, 0..10);
        let sinks = [Sink {
            name: "billing",
            target: &target,
            table: "t",
        }];
        let file = File {
            name: "crm",
            topics: &topic,
            start: "\"earliest\"",
            sinks: &sinks,
        };
        let pipeline = Pipeline::new(&file.text());

        // Before the first run: nothing is made in the target.
        let nothing = (None, Some(10), None);
        assert_eq!(
            shown(&pipeline).await,
            [nothing, (None, Some(0), None)],
            "{kind}"
        );
        pipeline.run_once(DEADLINE).await.expect_success();
        produce_to(&kafka, &topic, 0, 10..12);
        let first = (Some(10), Some(12), Some(2));
        assert_eq!(shown(&pipeline).await[0], first, "{kind}");
        let text = positions(&pipeline, "show", &[]).await;
        text.expect_success();
        for part in ["billing", "crm", &topic, "10", "12"] {
            assert!(text.stdout.contains(part), "{kind}: no {part} in {text:?}");
        }

        // Without --yes nothing changes.
        for (command, arguments) in [("set", &["--to", "beginning"][..]), ("reset", &[])] {
            let asked = positions(&pipeline, command, arguments).await;
            asked.expect_success();
            assert!(asked.stdout.contains("add --yes"), "{kind}: {asked:?}");
            assert_eq!(shown(&pipeline).await[0], first, "{kind}");
        }

        for (to, expect) in [
            (&["offset", "4"][..], 4),
            (&["beginning"], 0),
            (&["end"], 12),
            (&["group"], 10),
            (&["time", "2000-01-01T00:00:00Z"], 0),
            (&["time", "2100-01-01T00:00:00Z"], 12),
        ] {
            let arguments = [&["--partition", "0", "--yes", "--json", "--to"], to].concat();
            let changed = json(&positions(&pipeline, "set", &arguments).await);
            assert_eq!(changed["done"], true, "{kind}: {changed}");
            assert_eq!(changed["changes"][0]["after"], expect, "{kind}: {to:?}");
            assert_eq!(shown(&pipeline).await[0].0, Some(expect), "{kind}: {to:?}");
        }

        // What is moved back is read again, what is skipped is not.
        target.execute("DELETE FROM t WHERE id >= 6").await;
        let back = [
            "--to",
            "offset",
            "8",
            "--topic",
            &topic,
            "--partition",
            "0",
            "--yes",
        ];
        positions(&pipeline, "set", &back).await.expect_success();
        pipeline.run_once(DEADLINE).await.expect_success();
        let expect: Vec<i64> = (0..6).chain(8..12).collect();
        assert_eq!(ids(&target, "t").await, expect, "{kind}");

        positions(&pipeline, "reset", &["--yes"])
            .await
            .expect_success();
        assert_eq!(shown(&pipeline).await[0].0, None, "{kind}");
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(ids(&target, "t").await, numbers(0..12), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_not_moved_under_a_pipeline_that_runs() {
    let kafka = kafka();
    for target in Target::each("running").await {
        let kind = target.kind();
        let topic = kafka.topic("running", 2).await;
        kafka.produce(&topic, &messages(0..10));
        let sinks = [Sink {
            name: "billing",
            target: &target,
            table: "t",
        }];
        let file = File {
            name: "crm",
            topics: &topic,
            start: "\"earliest\"",
            sinks: &sinks,
        };
        let pipeline = Pipeline::new(&file.text());
        pipeline.run_once(DEADLINE).await.expect_success();
        kafka.produce(&topic, &messages(10..20));
        let mut process = pipeline.start(&["--lanes", "2"]);
        eventually("all rows", DEADLINE, async || {
            process.expect_running();
            let found = ids(&target, "t").await.len();
            if found == 20 { Ok(()) } else { Err(found) }
        })
        .await;
        let before = shown(&pipeline).await;
        for (command, arguments) in [
            ("set", &["--to", "beginning", "--yes"][..]),
            ("reset", &["--yes"]),
        ] {
            let refused = positions(&pipeline, command, arguments).await;
            assert_eq!(refused.code, Some(2), "{kind}: {refused:?}");
            assert!(refused.stderr.contains("runs"), "{kind}: {refused:?}");
            assert_eq!(shown(&pipeline).await, before, "{kind}");
        }
        // Also where it was killed: nothing of it is left.
        process.kill();
        eventually("the lock to be given back", DEADLINE, async || {
            let moved = positions(&pipeline, "set", &["--to", "beginning", "--yes"]).await;
            if moved.code == Some(0) {
                Ok(())
            } else {
                Err(moved)
            }
        })
        .await;
        let begun: Vec<_> = shown(&pipeline).await.iter().map(|row| row.0).collect();
        assert_eq!(begun, [Some(0), Some(0)], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_its_reason() {
    let kafka = kafka();
    let topic = kafka.topic("misfit", 1).await;
    kafka.produce(&topic, &messages(0..10));
    let targets = Target::each("misfit").await;
    let sinks = [Sink {
        name: "billing",
        target: &targets[0],
        table: "t",
    }];
    let file = File {
        name: "crm",
        topics: &topic,
        start: "\"earliest\"",
        sinks: &sinks,
    };
    let pipeline = Pipeline::new(&file.text());
    pipeline.run_once(DEADLINE).await.expect_success();
    for (arguments, code, part) in [
        (
            &["set", "--to", "offset", "11", "--yes"][..],
            2,
            "holds 0 to 10",
        ),
        (&["set", "--to", "middle"], 2, "beginning, end, group"),
        (&["set", "--to", "time", "noon"], 2, "is no instant"),
        (&["set", "--to", "end", "--sink", "nobody"], 2, "no sink"),
        (
            &["reset", "--topic", "nobody", "--yes"],
            1,
            "no position fits",
        ),
        (&["set"], 2, "--to"),
    ] {
        let refused = positions(&pipeline, arguments[0], &arguments[1..]).await;
        assert_eq!(refused.code, Some(code), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(part), "no {part} in {refused:?}");
    }
    assert_eq!(shown(&pipeline).await[0].0, Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_in_files_are_bytes_at_line_beginnings() {
    let line = |id: i64| format!("{{\"before\":null,\"after\":{{\"id\":{id}}},\"op\":\"c\"}}\n");
    let pipeline = Pipeline::new(
        r#"
name = "lines"
[sources.export]
type   = "file"
path   = "export.jsonl"
format = "debezium-json"
schema = { id = "int64" }

[sinks.billing]
type      = "sqlite"
path      = "target.db"
inputs    = ["export"]
table     = "t"
key       = ["id"]
evolution = "evolve"
"#,
    );
    let path = pipeline.folder().join("export.jsonl");
    let text: String = (1..4).map(line).collect();
    std::fs::write(&path, &text).expect("the folder can be written");
    pipeline.run_once(DEADLINE).await.expect_success();
    let (length, size) = (text.len() as i64, line(1).len() as i64);
    assert_eq!(
        shown(&pipeline).await,
        [(Some(length), Some(length), Some(0))]
    );
    let inside = size.to_string();
    let set = ["--to", "offset", &inside, "--yes"];
    positions(&pipeline, "set", &set).await.expect_success();
    assert_eq!(shown(&pipeline).await[0].0, Some(size));
    let refused = positions(&pipeline, "set", &["--to", "offset", "1", "--yes"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let refused = positions(&pipeline, "set", &["--to", "time", "2026-01-01T00:00:00Z"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    positions(&pipeline, "set", &["--to", "beginning", "--yes"])
        .await
        .expect_success();
    assert_eq!(shown(&pipeline).await[0].0, Some(0));
}
