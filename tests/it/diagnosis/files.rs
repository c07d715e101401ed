//! Files that were replaced or cut, and unfinished lines.

use serde_json::json;

use super::{Target, append_input, events, expect_stopped, kept, text_of, write_input};
use crate::harness::{DEADLINE, Pipeline};

/// A file that was replaced or cut is never read from the old position.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_replaced_is_recognised() {
    let rows = |ids: std::ops::Range<i64>, name: &'static str| {
        events(ids, move |_| vec![("name", json!(name))])
    };
    for target in Target::all("replaced").await {
        let pipeline = Pipeline::new(&text_of("", "", &target));
        let table = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40))";
        target.execute(&pipeline, table).await;
        write_input(&pipeline, rows(1..4, "a"));
        pipeline.run_once(DEADLINE).await.expect_success();
        append_input(&pipeline, &rows(4..6, "a"));
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(target.ids(&pipeline).await, [1, 2, 3, 4, 5]);
        for (what, text) in [
            ("longer", rows(11..31, "b")),
            ("as long", rows(1..6, "b")),
            ("shorter", rows(11..13, "b")),
            ("cut", rows(1..4, "a")),
            ("empty", String::new()),
        ] {
            write_input(&pipeline, text);
            let finished = pipeline.run_once(DEADLINE).await;
            expect_stopped(
                &finished,
                &["in.jsonl", "it was replaced", "positions reset"],
            );
            assert_eq!(target.ids(&pipeline).await, [1, 2, 3, 4, 5], "{what}");
        }
        // The file as it was, with more behind it.
        write_input(&pipeline, rows(1..8, "a"));
        pipeline.run_once(DEADLINE).await.expect_success();
        assert_eq!(target.ids(&pipeline).await, [1, 2, 3, 4, 5, 6, 7]);
    }
}

/// A last line without its end: left for the next run where it is unfinished, read where it is whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_line_is_left_for_the_next_run() {
    let target = Target::Sqlite;
    let pipeline = Pipeline::new(&text_of("", "", &target));
    let table = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40))";
    target.execute(&pipeline, table).await;
    let text = events(1..4, |_| vec![("name", json!("é"))]);
    let third = text.lines().last().expect("there are three").len() + 1;
    let begin = text.len() - third;
    for cut in [1, third / 2, third - 2] {
        write_input(&pipeline, &text.as_bytes()[..begin + cut]);
        let finished = pipeline.run_once(DEADLINE).await;
        finished.expect_success();
        let said = "the last line is unfinished and is left for the next run";
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
        assert_eq!(target.ids(&pipeline).await, [1, 2], "{cut} bytes");
    }
    // Whole, without its line end.
    write_input(&pipeline, text.trim_end());
    pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(target.ids(&pipeline).await, [1, 2, 3]);
    append_input(&pipeline, "\n");
    append_input(&pipeline, &events(4..5, |_| vec![("name", json!("b"))]));
    pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(target.ids(&pipeline).await, [1, 2, 3, 4]);
    assert_eq!(kept(&pipeline).await.len(), 0);
}
