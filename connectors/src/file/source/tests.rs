use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::assignment::{Assignment, assignments};
use crate::file::tail::Tail;
use crate::record::{Held, Partition, Positions};
use crate::source::{Event, Limits};

fn settings(path: &str, format: &str) -> FileSource {
    let settings = serde_json::json!({"path": path, "format": format});
    serde_json::from_value(settings).unwrap()
}

fn open_lines(path: &str, once: bool, line_bytes_max: usize) -> Result<Lines> {
    Lines::open(path, Framing::Lines, once, line_bytes_max)
}

fn limits(rows: usize) -> Limits {
    Limits {
        rows,
        bytes: 1 << 20,
        linger: Duration::from_millis(1),
    }
}

fn standing_at(positions: &Positions, partitions: &[Partition]) -> Vec<Assignment> {
    let held = |(partition, &next): (&Partition, &i64)| {
        let incarnation = None;
        (partition.clone(), Held { next, incarnation })
    };
    assignments(&[Some(positions.iter().map(held).collect())], partitions)
}

/// Values with their offsets, and where each file stands at the end.
async fn read(
    source: &mut Lines,
    rows: usize,
    held: &Positions,
) -> (Vec<(i64, Option<String>)>, Positions) {
    let mut positions = held.clone();
    let mut values = Vec::new();
    let mut idle = 0;
    loop {
        match source.next(&limits(rows)).await.unwrap() {
            Event::Assigned(partitions) => {
                let assignments = standing_at(held, &partitions);
                assert_eq!(source.assign(&assignments).await.unwrap(), []);
            }
            Event::Records(fetched) => {
                for (index, entry) in fetched.records.entries.iter().enumerate() {
                    let value = fetched.records.value(index);
                    let text = value.map(|value| String::from_utf8(value.to_vec()).unwrap());
                    values.push((entry.offset, text));
                }
                for span in fetched.spans {
                    let before = positions.insert(span.partition, span.next);
                    assert_eq!(before, span.from, "spans join");
                }
            }
            // New files are looked for where nothing else is to be read.
            Event::Idle if idle < 1 => idle += 1,
            Event::End | Event::Idle => return (values, positions),
            Event::Rows(_) => panic!("a file has bytes"),
            Event::Revoked { .. } => panic!("a file is never revoked"),
        }
    }
}

#[track_caller]
fn check(text: &str, once: bool, expect: &[(i64, Option<&str>)], end: i64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, text).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for rows in [1, 2, 100] {
        let mut source = open_lines(path.to_str().unwrap(), once, 8).unwrap();
        let (values, positions) = runtime.block_on(read(&mut source, rows, &Positions::new()));
        let values: Vec<_> = values
            .iter()
            .map(|(at, text)| (*at, text.as_deref()))
            .collect();
        assert_eq!(values, expect, "{text:?}");
        assert_eq!(
            positions.values().next().copied().unwrap_or(0),
            end,
            "{text:?}"
        );
    }
}

#[test]
fn lines_become_records_at_their_byte() {
    check(
        "{\"a\"}\n{}\n",
        true,
        &[(0, Some("{\"a\"}")), (6, Some("{}"))],
        9,
    );
    check("a\r\n\n  \nb\n", true, &[(0, Some("a")), (7, Some("b"))], 9);
    check("null\n", true, &[(0, None)], 5);
    check("", true, &[], 0);
    check("\n\n", true, &[], 2);
    check("\u{feff}a\n", true, &[(0, Some("a"))], 5);
    // The last line counts without its end only where nothing more will come.
    check("a\nbc", true, &[(0, Some("a")), (2, Some("bc"))], 4);
    check("a\nbc", false, &[(0, Some("a"))], 2);
    // One that is the beginning of a JSON value is left for the next run.
    check("{\"a\":1}\n{\"a\":", true, &[(0, Some("{\"a\":1}"))], 8);
    check("{}\n{\"a\":\"", true, &[(0, Some("{}"))], 3);
    check("{\"a\":", true, &[], 0);
    check(
        "{}\n{\"a\":1}",
        true,
        &[(0, Some("{}")), (3, Some("{\"a\":1}"))],
        10,
    );
    check("{}\n ", true, &[(0, Some("{}"))], 4);
    // A line over the bound (8 bytes here) is cut and spanned whole.
    check(
        "0123456789ab\nc\n",
        true,
        &[(0, Some("01234567")), (13, Some("c"))],
        15,
    );
}

#[tokio::test]
async fn a_daemon_follows_new_lines_and_new_files_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = folder.path().join("*.jsonl").to_str().unwrap().to_owned();
    let mut source = open_lines(&pattern, false, 64).unwrap();
    let (values, held) = read(&mut source, 10, &Positions::new()).await;
    assert_eq!(values, []);
    let mut first = std::fs::File::create(folder.path().join("1.jsonl")).unwrap();
    first.write_all(b"a\nb").unwrap();
    let (values, held) = read(&mut source, 10, &held).await;
    assert_eq!(values, [(0, Some("a".to_owned()))]);
    first.write_all(b"c\n").unwrap();
    std::fs::write(folder.path().join("0.jsonl"), "z\n").unwrap();
    let (mut values, held) = read(&mut source, 10, &held).await;
    values.sort();
    assert_eq!(
        values,
        [(0, Some("z".to_owned())), (2, Some("bc".to_owned()))]
    );

    let mut again = open_lines(&pattern, true, 64).unwrap();
    let (values, _) = read(&mut again, 10, &held).await;
    assert_eq!(values, [], "everything was read before");
}

#[tokio::test]
async fn a_file_that_shrank_stops_the_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, "a\nb\n").unwrap();
    let mut source = open_lines(path.to_str().unwrap(), false, 64).unwrap();
    let (_, held) = read(&mut source, 10, &Positions::new()).await;
    std::fs::write(&path, "c\n").unwrap();
    let error = source.next(&limits(10)).await.unwrap_err();
    assert!(error.to_string().contains("a.jsonl"), "{error}");
    let mut source = open_lines(path.to_str().unwrap(), false, 64).unwrap();
    let Event::Assigned(partitions) = source.next(&limits(10)).await.unwrap() else {
        panic!("files come first");
    };
    assert!(
        source
            .assign(&standing_at(&held, &partitions))
            .await
            .is_err()
    );
}

/// What becomes of a file that is read and then written anew, in place or by another of its name.
#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_read_stops_the_pipeline() {
    for in_place in [true, false] {
        for (after, expect) in [
            ("a\nb\nc\n", Some("c")),
            ("x\ny\nz\n", None),
            ("a\nx\nc\n", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.jsonl");
            std::fs::write(&path, "a\nb\n").unwrap();
            let mut source = open_lines(path.to_str().unwrap(), false, 64).unwrap();
            let (values, _) = read(&mut source, 10, &Positions::new()).await;
            assert_eq!(values.len(), 2);
            if in_place {
                std::fs::write(&path, after).unwrap();
            } else {
                let other = folder.path().join("other");
                std::fs::write(&other, after).unwrap();
                std::fs::rename(&other, &path).unwrap();
            }
            match (source.next(&limits(10)).await, expect) {
                (Ok(Event::Records(fetched)), Some(line)) => {
                    assert_eq!(fetched.records.value(0), Some(line.as_bytes()));
                }
                (Err(error), None) => {
                    let said = error.to_string();
                    assert!(
                        said.contains("replaced") && said.contains("a.jsonl"),
                        "{said}"
                    );
                }
                (other, expect) => panic!("{after:?}: {other:?}, expected {expect:?}"),
            }
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    assert!(open_lines("/nowhere/a.jsonl", false, 64).is_err());
    assert!(open_lines("/nowhere/*.jsonl", true, 64).is_err());
}

#[tokio::test]
async fn the_source_conforms() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a", "1\n\n2\nnull\n3\n"), ("b", ""), ("c", "4\n5\n6")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let pattern = folder.path().join("*").to_str().unwrap().to_owned();
    let open = || -> Box<dyn Source> { Box::new(open_lines(&pattern, true, 64).unwrap()) };
    crate::conformance::source::check_source(&open, 7).await;
}

/// The records of a CSV file, read from its beginning and again from the position of the second one, with
/// the header that goes with them.
#[track_caller]
fn check_csv(text: &str, header: &str, expect: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let open = || Lines::open(path, settings(path, "csv").framing(), true, LINE_BYTES_MAX).unwrap();
    let (values, positions) = runtime.block_on(read(&mut open(), 1, &Positions::new()));
    let texts = |values: &[(i64, Option<String>)]| -> Vec<String> {
        values
            .iter()
            .map(|(_, text)| text.clone().unwrap())
            .collect()
    };
    assert_eq!(texts(&values), expect, "{text:?}");
    let partition = positions.into_keys().next().unwrap();
    let held = Positions::from([(partition.clone(), values[1].0)]);
    let mut source = open();
    let (again, _) = runtime.block_on(read(&mut source, 100, &held));
    assert_eq!(texts(&again), &expect[1..], "{text:?}");
    let found = source.tails[0].header().unwrap().unwrap();
    assert_eq!(&*found, header.as_bytes(), "{text:?}");
}

#[test]
fn a_record_of_csv_ends_where_no_quotes_enclose_the_line_end() {
    check_csv("id,name\n1,a\n2,b\n", "id,name", &["1,a", "2,b"]);
    check_csv("\u{feff}id\r\n1\r\n\r\n2", "id", &["1", "2"]);
    check_csv(
        "\"a\nb\"\n\"1\n\n\"\"x\"\"\"\n2\n",
        "\"a\nb\"",
        &["\"1\n\n\"\"x\"\"\"", "2"],
    );
    // A quote within a field is a character, and one that is never closed costs its own line.
    check_csv("id\n5\"\n6\"\n7\n", "id", &["5\"", "6\"", "7"]);
    check_csv(
        "id,name\n1,a\n2,\"open\n3,c\n4,d",
        "id,name",
        &["1,a", "2,\"open", "3,c", "4,d"],
    );
    check_csv("id\n1\n2\n\"un", "id", &["1", "2"]);
    let rest = "3\n".repeat(600_000);
    let text = format!("id\n\"1\n2\n{rest}");
    let mut expect = vec!["\"1", "2"];
    expect.extend(std::iter::repeat_n("3", 600_000));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    let mut tail = Tail::new(
        Partition {
            topic: path.to_str().unwrap().into(),
            number: 0,
        },
        Framing::Csv {
            delimiter: b',',
            quote: b'"',
            header: true,
        },
        LINE_BYTES_MAX,
    );
    for line in expect {
        assert_eq!(tail.next(true).unwrap().unwrap().bytes, line.as_bytes());
    }
    assert!(tail.next(true).unwrap().is_none());
}
