//! A position belongs to one pipeline, one sink and one target.

use super::{File, Sink, ids, messages, numbers};
use crate::harness::{DEADLINE, Finished, Pipeline, Target, kafka};

#[track_caller]
fn expect_refused(refused: &Finished, parts: &[&str]) {
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for part in parts {
        assert!(refused.stderr.contains(part), "no {part} in {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_two_files_of_one_name_do_not_share_positions() {
    let kafka = kafka();
    for target in Target::each("shared").await {
        let kind = target.kind();
        let topic = kafka.topic("shared", 1).await;
        kafka.produce(&topic, &messages(0..10));
        let text = |name: &str, table: &str| {
            let sinks = [Sink {
                name: "billing",
                target: &target,
                table,
            }];
            let file = File {
                name,
                topics: &topic,
                start: "\"earliest\"",
                sinks: &sinks,
            };
            file.text()
        };
        let first = Pipeline::new(&text("crm", "clients"));
        let second = Pipeline::new(&text("crm", "customers"));
        // Side by side: refused before anything starts.
        let run = ["run", "--once", first.file(), second.file()];
        let refused = first.command(&run).await;
        expect_refused(&refused, &[first.file(), second.file(), "\"crm\""]);
        let named = first
            .command(&["run", "--once", "--json", first.file(), second.file()])
            .await;
        assert_eq!(named.code, Some(2), "{named:?}");

        // One after the other.
        first.run_once(DEADLINE).await.expect_success();
        let refused = second.run_once(DEADLINE).await;
        expect_refused(
            &refused,
            &[
                "\"clients\"",
                "\"customers\"",
                "another name",
                "positions reset",
            ],
        );
        assert_eq!(ids(&target, "clients").await, numbers(0..10), "{kind}");
        second.write(&text("crm2", "customers"));
        second.run_once(DEADLINE).await.expect_success();
        assert_eq!(ids(&target, "customers").await, numbers(0..10), "{kind}");

        // Changed on purpose.
        first.write(&text("crm", "clients2"));
        expect_refused(&first.run_once(DEADLINE).await, &["clients2"]);
        let reset = [
            "positions",
            "reset",
            first.file(),
            "--sink",
            "billing",
            "--yes",
        ];
        first.command(&reset).await.expect_success();
        first.run_once(DEADLINE).await.expect_success();
        assert_eq!(ids(&target, "clients2").await, numbers(0..10), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_table_that_was_written_and_is_gone_stops_the_start() {
    let kafka = kafka();
    for target in Target::each("gone").await {
        let kind = target.kind();
        for (table, change, back) in [
            ("dropped", "DROP TABLE dropped", None),
            (
                "renamed",
                "ALTER TABLE renamed RENAME TO elsewhere",
                Some("ALTER TABLE elsewhere RENAME TO renamed"),
            ),
        ] {
            let topic = kafka.topic("gone", 1).await;
            kafka.produce(&topic, &messages(0..10));
            let sinks = [Sink {
                name: "billing",
                target: &target,
                table,
            }];
            let file = File {
                name: table,
                topics: &topic,
                start: "\"earliest\"",
                sinks: &sinks,
            };
            let pipeline = Pipeline::new(&file.text());
            pipeline.run_once(DEADLINE).await.expect_success();
            target.execute(change).await;
            expect_refused(
                &pipeline.run_once(DEADLINE).await,
                &[table, "gone", "positions reset"],
            );
            match back {
                Some(back) => target.execute(back).await,
                None => {
                    let reset = ["positions", "reset", pipeline.file(), "--yes"];
                    pipeline.command(&reset).await.expect_success();
                }
            }
            pipeline.run_once(DEADLINE).await.expect_success();
            assert_eq!(ids(&target, table).await, numbers(0..10), "{kind}: {table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_table_that_got_another_name_keeps_its_positions_if_a_person_says_so() {
    let kafka = kafka();
    for target in Target::each("another").await {
        let kind = target.kind();
        let topic = kafka.topic("another", 1).await;
        kafka.produce(&topic, &messages(0..10));
        let text = |table: &str| {
            let sinks = [Sink {
                name: "billing",
                target: &target,
                table,
            }];
            let file = File {
                name: "crm",
                topics: &topic,
                start: "\"earliest\"",
                sinks: &sinks,
            };
            file.text()
        };
        let pipeline = Pipeline::new(&text("t"));
        pipeline.run_once(DEADLINE).await.expect_success();
        target
            .execute("ALTER TABLE t RENAME TO u; DELETE FROM u WHERE id = 3")
            .await;
        pipeline.write(&text("u"));
        kafka.produce(&topic, &messages(10..12));
        let reset = ["positions", "reset", pipeline.file(), "--tables-only"];
        let asked = pipeline.command(&reset).await;
        asked.expect_success();
        assert!(asked.stdout.contains("add --yes"), "{kind}: {asked:?}");
        expect_refused(&pipeline.run_once(DEADLINE).await, &["--tables-only"]);
        let reset = [&reset[..], &["--yes"]].concat();
        pipeline.command(&reset).await.expect_success();
        pipeline.run_once(DEADLINE).await.expect_success();
        let expect: Vec<i64> = (0..12).filter(|id| *id != 3).collect();
        assert_eq!(
            ids(&target, "u").await,
            expect,
            "{kind}: nothing was read again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_table_that_was_written_and_is_empty_is_told() {
    let kafka = kafka();
    for target in Target::each("empty").await {
        let kind = target.kind();
        let topic = kafka.topic("empty", 1).await;
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
        let warned = |finished: &Finished| finished.stderr.contains("is empty now");
        for _ in 0..2 {
            let finished = pipeline.run_once(DEADLINE).await;
            finished.expect_success();
            assert!(!warned(&finished), "{kind}: {finished:?}");
        }
        target.execute("DELETE FROM t").await;
        let finished = pipeline.run_once(DEADLINE).await;
        finished.expect_success();
        assert!(warned(&finished), "{kind}: {finished:?}");
        assert!(
            finished.stderr.contains("positions reset"),
            "{kind}: {finished:?}"
        );
    }
}
