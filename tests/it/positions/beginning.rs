//! Where a source begins: at the sink's positions, else at `start`.

use super::{File, Sink, ids, messages, numbers, produce_to};
use crate::harness::{DEADLINE, Pipeline, Target, eventually, kafka, unique};

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_target_without_positions_begins_at_start_whatever_the_group_committed() {
    let kafka = kafka();
    for target in Target::each("begins").await {
        let kind = target.kind();
        let topic = kafka.topic("begins", 2).await;
        kafka.produce(&topic, &messages(0..20));
        let billing = Sink {
            name: "billing",
            target: &target,
            table: "t",
        };
        let text = |name: &str, sinks: &[Sink<'_>]| {
            let file = File {
                name,
                topics: &topic,
                start: "\"earliest\"",
                sinks,
            };
            file.text()
        };
        let pipeline = Pipeline::new(&text("crm", &[billing]));
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(ids(&target, "t").await, numbers(0..20), "{kind}");
        assert!(!kafka.committed(&topic, &topic).is_empty(), "{kind}");
        kafka.produce(&topic, &messages(20..25));

        // The same file with an empty database.
        let empty = target.another("begins").await;
        let elsewhere = Sink {
            name: "billing",
            target: &empty,
            table: "t",
        };
        pipeline.write(&text("crm", &[elsewhere]));
        let finished = pipeline.run_once(DEADLINE).await;
        finished.expect_success();
        assert_eq!(
            ids(&empty, "t").await,
            numbers(0..25),
            "{kind}: an empty database"
        );
        let said = &finished.stderr;
        assert!(
            said.contains("positions set FILE --to group"),
            "{kind}: {said}"
        );

        // A second sink: it gets everything, and the first one nothing twice.
        let second = target.another("begins").await;
        let sinks = [
            Sink {
                name: "billing",
                target: &target,
                table: "t",
            },
            Sink {
                name: "audit",
                target: &second,
                table: "t",
            },
        ];
        pipeline.write(&text("crm", &sinks));
        pipeline.run_once(DEADLINE).await.expect_success();
        for target in [&target, &second] {
            assert_eq!(
                ids(target, "t").await,
                numbers(0..25),
                "{kind}: a second sink"
            );
        }

        // Another name, with a table of its own.
        let renamed = [Sink {
            name: "billing",
            target: &target,
            table: "u",
        }];
        pipeline.write(&text("renamed", &renamed));
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(
            ids(&target, "u").await,
            numbers(0..25),
            "{kind}: another name"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_the_group_stays_the_memory_of_a_sink_that_keeps_no_positions() {
    let kafka = kafka();
    let topic = kafka.topic("memory", 1).await;
    kafka.produce(&topic, &messages(0..10));
    let text = |more: &str| {
        let file = File {
            name: "crm",
            topics: &topic,
            start: "\"earliest\"",
            sinks: &[],
        };
        format!(
            "{}\n[sinks.out]\ntype = \"file\"\npath = \"out.jsonl\"\ninputs = [\"crm\"]\n{more}",
            file.text()
        )
    };
    let pipeline = Pipeline::new(&text(""));
    pipeline.run_once(DEADLINE).await.expect_success();
    kafka.produce(&topic, &messages(10..12));
    let lines = || {
        let text = std::fs::read_to_string(pipeline.folder().join("out.jsonl"));
        text.expect("it was written").lines().count()
    };
    pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(lines(), 12);
    // Beside a database that knows nothing, each begins where it has to.
    let database = "[sinks.billing]\ntype = \"sqlite\"\npath = \"target.db\"\ninputs = [\"crm\"]\ntable = \"t\"\nkey = [\"id\"]\nevolution = \"evolve\"\n";
    pipeline.write(&text(database));
    pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(lines(), 12, "the file has its lines already");
    let database = rusqlite::Connection::open(pipeline.folder().join("target.db"));
    let count = database
        .expect("it was made")
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0));
    assert_eq!(count, Ok(12), "the database gets everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_latest_is_kept_and_partitions_that_come_later_begin_at_their_first_record() {
    let kafka = kafka();
    for target in Target::each("latest").await {
        let kind = target.kind();
        let topic = kafka.topic("latest", 2).await;
        produce_to(&kafka, &topic, 0, 0..5);
        let sinks = [Sink {
            name: "billing",
            target: &target,
            table: "t",
        }];
        let file = File {
            name: "crm",
            topics: &topic,
            start: "\"latest\"",
            sinks: &sinks,
        };
        let pipeline = Pipeline::new(&file.text());
        // Nothing comes before the restart.
        pipeline.run_once(DEADLINE).await.expect_success();
        produce_to(&kafka, &topic, 0, 5..8);
        produce_to(&kafka, &topic, 1, 20..22);
        kafka.add_partitions(&topic, 3).await;
        produce_to(&kafka, &topic, 2, 30..34);
        pipeline.run_once(DEADLINE).await.expect_success();
        let expect: Vec<i64> = [5..8, 20..22, 30..34].into_iter().flatten().collect();
        assert_eq!(ids(&target, "t").await, expect, "{kind}");

        // While it runs.
        let process = pipeline.start(&[]);
        kafka.add_partitions(&topic, 4).await;
        produce_to(&kafka, &topic, 3, 40..50);
        eventually("the new partition", DEADLINE, async || {
            let found = ids(&target, "t").await.len();
            if found == 19 { Ok(()) } else { Err(found) }
        })
        .await;
        process.terminate();
        pipeline.finish(process, DEADLINE).await.expect_success();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_lanes_that_begin_together_agree_where_a_topic_was_met() {
    let kafka = kafka();
    for target in Target::each("lanes").await {
        let kind = target.kind();
        let topic = kafka.topic("lanes", 6).await;
        for partition in 0..6 {
            produce_to(&kafka, &topic, partition, 0..3);
        }
        let sinks = [Sink {
            name: "billing",
            target: &target,
            table: "t",
        }];
        let file = File {
            name: "crm",
            topics: &topic,
            start: "\"latest\"",
            sinks: &sinks,
        };
        let pipeline = Pipeline::new(&file.text());
        let run = ["run", pipeline.file(), "--once", "--lanes", "4"];
        pipeline.command(&run).await.expect_success();
        let positions = "SELECT position FROM _syncline_positions";
        assert_eq!(target.numbers(positions).await, [3; 6], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_start_may_be_an_instant() {
    let kafka = kafka();
    let topic = kafka.topic("instant", 1).await;
    kafka.produce(&topic, &messages(0..5));
    let instant = chrono::Utc::now() + chrono::Duration::milliseconds(2);
    eventually("the instant to pass", DEADLINE, async || {
        let now = chrono::Utc::now();
        if now > instant { Ok(()) } else { Err(now) }
    })
    .await;
    kafka.produce(&topic, &messages(5..9));
    for target in Target::each("instant").await {
        let sinks = [Sink {
            name: "billing",
            target: &target,
            table: "t",
        }];
        let start = format!("{{ timestamp = \"{}\" }}", instant.to_rfc3339());
        let mut file = File {
            name: "crm",
            topics: &topic,
            start: &start,
            sinks: &sinks,
        };
        let pipeline = Pipeline::new(&file.text());
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(ids(&target, "t").await, numbers(5..9), "{}", target.kind());

        file.start = "{ timestamp = \"2026-01-01T00:00:00\" }";
        pipeline.write(&file.text());
        let refused = pipeline.command(&["validate", pipeline.file()]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stdout.contains("is no instant"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_topic_that_was_made_again_is_recognised_though_it_is_longer() {
    let kafka = kafka();
    for target in Target::each("again").await {
        let kind = target.kind();
        let topic = kafka.topic("again", 1).await;
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
        kafka.delete_topic(&topic).await;
        kafka.create_topic(&topic, 1).await;
        kafka.produce(&topic, &messages(100..125));

        let refused = pipeline.run_once(DEADLINE).await;
        assert_eq!(refused.code, Some(2), "{kind}: {refused:?}");
        for part in [
            &*topic,
            "made again",
            "syncline positions reset FILE --topic",
        ] {
            assert!(
                refused.stderr.contains(part),
                "{kind}: no {part} in {refused:?}"
            );
        }
        assert_eq!(
            ids(&target, "t").await,
            numbers(0..10),
            "{kind}: nothing was skipped"
        );

        // The remedy that it names.
        let reset = [
            "positions",
            "reset",
            pipeline.file(),
            "--topic",
            &topic,
            "--yes",
        ];
        pipeline.command(&reset).await.expect_success();
        pipeline.run_once(DEADLINE).await.expect_success();
        let expect: Vec<i64> = (0..10).chain(100..125).collect();
        assert_eq!(ids(&target, "t").await, expect, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_database_of_an_older_version_is_taken_as_it_is() {
    let kafka = kafka();
    for target in Target::each("older").await {
        let kind = target.kind();
        let topic = kafka.topic("older", 1).await;
        kafka.produce(&topic, &messages(0..10));
        let sinks = [Sink {
            name: "billing",
            target: &target,
            table: "t",
        }];
        let name = unique("older");
        let file = File {
            name: &name,
            topics: &topic,
            start: "\"earliest\"",
            sinks: &sinks,
        };
        let pipeline = Pipeline::new(&file.text());
        pipeline.run_once(DEADLINE).await.expect_success();
        target
            .execute("ALTER TABLE _syncline_positions DROP COLUMN incarnation; DROP TABLE _syncline_targets")
            .await;
        let show = pipeline
            .command(&["positions", "show", pipeline.file()])
            .await;
        show.expect_success();
        kafka.produce(&topic, &messages(10..12));
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(ids(&target, "t").await, numbers(0..12), "{kind}");
        let kept = target
            .rows("SELECT incarnation FROM _syncline_positions")
            .await;
        let kept = kept[0][0].as_deref().unwrap_or_default();
        assert!(kept.starts_with("topic "), "{kind}: {kept}");
    }
}
