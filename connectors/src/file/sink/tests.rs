//! Folders of finished files. 400 lines: every case shares the rows and the ways to read files back.

use std::path::Path;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::change::{Changes, Operation, Table};
use crate::conflict::StatementsOnly;
use crate::error::Error;
use crate::positions::Change;
use crate::record::{Held, Partition, Records, Span};
use crate::sink::Write;

fn partition(number: i32) -> Partition {
    Partition {
        topic: "crm.public.clients".into(),
        number,
    }
}

/// Rows of `ids`, whose offsets are their ids.
fn changes(number: i32, ids: std::ops::Range<i64>, operation: Operation) -> Changes {
    let mut records = Records::default();
    let index = records.add_partition(&partition(number), false);
    for id in ids.clone() {
        records.push(index, id, None, None, Some(b"{}"), None);
    }
    let count = ids.clone().count();
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]);
    let names: StringArray = ids
        .clone()
        .map(|id| (id % 3 > 0).then(|| format!("name \"{id}\", and more")))
        .collect();
    Changes {
        table: Arc::new(Table {
            topic: "crm.public.clients".into(),
            database: None,
            schema: None,
            name: "clients".into(),
        }),
        key: None,
        rows: RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from_iter_values(ids.clone())),
                Arc::new(names),
            ],
        )
        .unwrap(),
        unset: vec![None; 2],
        not_carried: Vec::new(),
        before: None,
        operations: vec![operation; count],
        // 2024-02-29, an hour apart.
        event_times_ms: ids
            .map(|id| Some(1_709_164_800_000 + id * 3_600_000))
            .collect(),
        origins: (0..count as u32).collect(),
        records: Arc::new(records),
    }
}

fn write(number: i32, from: Option<i64>, next: i64) -> Write {
    Write {
        changes: vec![changes(number, from.unwrap_or(0)..next, Operation::Create)],
        spans: vec![Span {
            partition: partition(number),
            from,
            next,
            incarnation: Some("topic 1".into()),
        }],
        taken: Vec::new(),
    }
}

fn identity() -> Identity {
    Identity {
        pipeline: "p".to_owned(),
        sink: "lake".to_owned(),
        source: "crm".to_owned(),
    }
}

async fn open(config: &FileSink) -> Box<dyn Sink> {
    assert_eq!(config.check(), []);
    let resolvers: Arc<dyn Resolvers> = Arc::new(StatementsOnly);
    config.connect(&identity(), &resolvers).await.unwrap()
}

fn folder(root: &Path, format: FileFormat) -> FileSink {
    FileSink {
        format,
        ..FileSink::new(format!("{}/lake/{{table}}/", root.display()))
    }
}

/// The names of the finished files, in order.
fn finished(root: &Path) -> Vec<String> {
    let pattern = format!("{}/lake/**/crm.*", root.display());
    let paths = glob::glob(&pattern).unwrap().map(Result::unwrap);
    let shown = paths.filter(|path| !path.to_string_lossy().contains("_syncline"));
    let names = shown.map(|path| {
        let within = path.strip_prefix(root.join("lake")).unwrap();
        within.to_str().unwrap().to_owned()
    });
    names.collect()
}

/// The ids of all rows of finished files, in the order of their names.
fn ids(root: &Path) -> Vec<i64> {
    let mut ids = Vec::new();
    for name in finished(root) {
        let path = root.join("lake").join(&name);
        if name.ends_with(".parquet") {
            let file = std::fs::File::open(&path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            for batch in reader.build().unwrap() {
                let batch = batch.unwrap();
                let column = batch.column_by_name("id").unwrap();
                ids.extend(column.as_primitive::<Int64Type>().values());
            }
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let text = match Compression::of_name(&path) {
            Some(compression) => {
                let mut text = String::new();
                let mut input = compression.decompress(std::io::Cursor::new(bytes)).unwrap();
                std::io::Read::read_to_string(&mut input, &mut text).unwrap();
                text
            }
            None => String::from_utf8(bytes).unwrap(),
        };
        let lines = text.lines();
        for line in lines.filter(|line| !line.starts_with("_op")) {
            let id = match line.starts_with('{') {
                true => serde_json::from_str::<serde_json::Value>(line).unwrap()["id"]
                    .as_i64()
                    .unwrap(),
                false => line.split(',').nth(2).unwrap().parse().unwrap(),
            };
            ids.push(id);
        }
    }
    ids
}

#[tokio::test]
async fn a_file_is_seen_when_it_is_finished_and_holds_each_row_once() {
    let kinds = [
        (FileFormat::Jsonl, None),
        (FileFormat::Jsonl, Some(Compression::Zstd)),
        (FileFormat::Csv, None),
        (FileFormat::Csv, Some(Compression::Gzip)),
        (FileFormat::Parquet, None),
    ];
    for (format, compression) in kinds {
        let root = tempfile::tempdir().unwrap();
        let config = FileSink {
            compression,
            roll: Roll {
                rows: 10,
                ..Roll::default()
            },
            ..folder(root.path(), format)
        };
        let mut sink = open(&config).await;
        assert_eq!(sink.positions().await.unwrap(), Some(Default::default()));
        let mut from = None;
        for next in [4, 8, 12, 16] {
            sink.write(&write(0, from, next)).await.unwrap();
            from = Some(next);
        }
        assert_eq!(ids(root.path()), (0..12).collect::<Vec<_>>(), "{format:?}");
        let held = sink.positions().await.unwrap().unwrap();
        let expect = Held {
            next: 16,
            incarnation: Some("topic 1".into()),
        };
        assert_eq!(held.get(&partition(0)), Some(&expect));
        // Dropped without a goodbye, as by kill -9; what was left behind a part counts for nothing.
        drop(sink);
        let parts = format!("{}/lake/_syncline/**/*.part", root.path().display());
        let part = glob::glob(&parts).unwrap().next().unwrap().unwrap();
        let mut bytes = std::fs::read(&part).unwrap();
        bytes.extend(b"half of a row");
        std::fs::write(&part, bytes).unwrap();
        let mut sink = open(&config).await;
        sink.write(&write(0, Some(16), 18)).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(ids(root.path()), (0..18).collect::<Vec<_>>(), "{format:?}");
        let names = finished(root.path());
        let name =
            |from: i64, next: i64| format!("clients/crm.public.clients-0-{from:020}-{next:020}.");
        assert!(names[0].starts_with(&name(0, 12)), "{names:?}");
        assert!(names[1].starts_with(&name(12, 18)), "{names:?}");
        assert_eq!(names.len(), 2);
        // A restart begins there.
        let mut sink = open(&config).await;
        let held = sink.positions().await.unwrap().unwrap();
        assert_eq!(held[&partition(0)].next, 18);
        sink.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_second_owner_is_fenced_and_a_write_that_comes_again_is_not_written_again() {
    let root = tempfile::tempdir().unwrap();
    let config = folder(root.path(), FileFormat::Jsonl);
    let (mut first, mut second) = (open(&config).await, open(&config).await);
    first.write(&write(0, None, 3)).await.unwrap();
    let error = second.write(&write(0, None, 3)).await.unwrap_err();
    assert!(
        matches!(error, Error::Fenced { found: Some(3), .. }),
        "{error}"
    );
    second.write(&write(0, Some(3), 5)).await.unwrap();
    let error = first.write(&write(0, Some(3), 6)).await.unwrap_err();
    assert!(
        matches!(error, Error::Fenced { found: Some(5), .. }),
        "{error}"
    );
    // Another partition is nobody else's.
    first.write(&write(1, None, 2)).await.unwrap();
    first.close().await.unwrap();
    second.close().await.unwrap();
    assert_eq!(ids(root.path()), [0, 1, 2, 3, 4, 0, 1]);
}

#[tokio::test]
async fn an_old_file_is_finished_while_nothing_comes() {
    let root = tempfile::tempdir().unwrap();
    let config = FileSink {
        roll: Roll {
            after: "50ms".to_owned(),
            ..Roll::default()
        },
        ..folder(root.path(), FileFormat::Parquet)
    };
    let mut sink = open(&config).await;
    sink.write(&write(0, None, 3)).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while finished(root.path()).is_empty() {
        assert!(std::time::Instant::now() < deadline, "it is never finished");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ids(root.path()), [0, 1, 2]);
    sink.close().await.unwrap();
    assert_eq!(finished(root.path()).len(), 1);
}

#[tokio::test]
async fn rows_go_to_the_folder_of_their_time_and_of_their_shape() {
    let root = tempfile::tempdir().unwrap();
    let path = format!("{}/lake/{{table}}/dt={{date}}/", root.path().display());
    let config = FileSink {
        path,
        ..folder(root.path(), FileFormat::Parquet)
    };
    let mut sink = open(&config).await;
    // 30 hours, then one more row of another shape.
    let mut all = write(0, None, 30);
    sink.write(&all).await.unwrap();
    all = write(0, Some(30), 31);
    let rows = &all.changes[0].rows;
    let renamed = Schema::new(vec![
        rows.schema().field(0).clone(),
        Field::new("label", DataType::Utf8, true),
    ]);
    all.changes[0].rows = RecordBatch::try_new(Arc::new(renamed), rows.columns().to_vec()).unwrap();
    sink.write(&all).await.unwrap();
    sink.close().await.unwrap();
    let names = finished(root.path());
    let folders: Vec<&str> = names
        .iter()
        .map(|name| name.rsplit_once('/').unwrap().0)
        .collect();
    assert_eq!(
        folders,
        [
            "clients/dt=2024-02-29",
            "clients/dt=2024-03-01",
            "clients/dt=2024-03-01"
        ]
    );
    assert_eq!(ids(root.path()), (0..31).collect::<Vec<_>>());
}

#[tokio::test]
async fn deletes_and_missing_columns_are_said_or_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut delete = write(0, None, 1);
    delete.changes[0] = changes(0, 0..1, Operation::Delete);
    delete.changes[0].unset = vec![None, Some(BooleanBuffer::from(vec![true]))];
    let config = folder(root.path(), FileFormat::Csv);
    let mut sink = open(&config).await;
    sink.write(&delete).await.unwrap();
    sink.close().await.unwrap();
    let text = std::fs::read_to_string(root.path().join("lake").join(&finished(root.path())[0]));
    assert_eq!(
        text.unwrap(),
        "_op,_table,id,name,_unset\nd,clients,0,,\"[\"\"name\"\"]\"\n"
    );
    let root = tempfile::tempdir().unwrap();
    let config = FileSink {
        operations: false,
        ..folder(root.path(), FileFormat::Csv)
    };
    let mut sink = open(&config).await;
    let check = async |sink: &mut Box<dyn Sink>, write: &Write, rule: &str| {
        let Err(Error::Rejected(rejected)) = sink.write(write).await else {
            panic!("it is refused");
        };
        assert_eq!(rejected[0].rule, rule);
        assert!(rejected[0].reason.contains("operations = true"));
    };
    check(&mut sink, &delete, "R12").await;
    delete.changes[0].operations = vec![Operation::Update];
    check(&mut sink, &delete, "R14").await;
    sink.write(&write(0, None, 2)).await.unwrap();
    sink.close().await.unwrap();
    let text = std::fs::read_to_string(root.path().join("lake").join(&finished(root.path())[0]));
    assert_eq!(
        text.unwrap(),
        "id,name\n0,\n1,\"name \"\"1\"\", and more\"\n"
    );
}

#[tokio::test]
async fn infinity_is_no_value_of_parquet_r23() {
    let root = tempfile::tempdir().unwrap();
    let mut sink = open(&folder(root.path(), FileFormat::Parquet)).await;
    let mut write = write(0, None, 2);
    let field = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true);
    write.changes[0].rows = RecordBatch::try_new(
        Arc::new(Schema::new(vec![field])),
        vec![Arc::new(TimestampMicrosecondArray::from(vec![5, i64::MAX]))],
    )
    .unwrap();
    write.changes[0].unset = vec![None];
    let Err(Error::Rejected(rejected)) = sink.write(&write).await else {
        panic!("it is refused");
    };
    assert_eq!((rejected[0].row, rejected[0].rule.as_str()), (1, "R23"));
    sink.close().await.unwrap();
}

#[tokio::test]
async fn a_person_moves_positions_and_lost_ones_are_noticed() {
    let root = tempfile::tempdir().unwrap();
    let config = folder(root.path(), FileFormat::Jsonl);
    let mut sink = open(&config).await;
    sink.write(&write(0, None, 3)).await.unwrap();
    let mut store = config.open_positions("p", "lake").await.unwrap().unwrap();
    let change = Change {
        source: "crm".to_owned(),
        partition: partition(0),
        from: Some(3),
        to: None,
    };
    let error = store
        .change(std::slice::from_ref(&change))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("runs"), "{error}");
    sink.close().await.unwrap();
    let kept = store.read().await.unwrap();
    assert_eq!(kept.positions[0].source, "crm");
    assert_eq!(kept.positions[0].held.next, 3);
    store.change(&[change]).await.unwrap();
    assert!(store.read().await.unwrap().positions.is_empty());
    // What comes again is written again, under another name.
    let mut sink = open(&config).await;
    sink.write(&write(0, None, 3)).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(ids(root.path()), [0, 1, 2, 0, 1, 2]);
    // Without what says up to where they go, the files would be written again.
    std::fs::remove_dir_all(root.path().join("lake/_syncline")).unwrap();
    let mut sink = open(&config).await;
    let error = sink.write(&write(0, None, 3)).await.unwrap_err();
    assert!(error.to_string().contains("another folder"), "{error}");
    sink.close().await.unwrap();
}

#[test]
fn what_is_wrong_with_the_settings_is_said() {
    let check = |text: &str, expect: &[&str]| {
        let config: FileSink = serde_json::from_str(text).unwrap();
        let paths = config
            .check()
            .into_iter()
            .map(|problem| problem.path.join("."));
        assert_eq!(paths.collect::<Vec<_>>(), expect, "{text}");
    };
    check(r#"{"path": "a/{table}.jsonl"}"#, &[]);
    check(
        r#"{"path": "a/{table}/dt={date}/", "format": "parquet"}"#,
        &[],
    );
    check(r#"{"path": "a/{tabel}/"}"#, &["path"]);
    check(r#"{"path": "a.csv", "format": "csv"}"#, &["format"]);
    check(r#"{"path": "a", "roll": {"rows": 5}}"#, &["roll"]);
    check(r#"{"path": "a/", "csv": {"delimiter": ";"}}"#, &["csv"]);
    check(
        r#"{"path": "a/", "format": "csv", "csv": {"header": ["a"], "quote": ","}}"#,
        &["csv.header", "csv.quote"],
    );
    check(
        r#"{"path": "a/", "format": "parquet", "compression": "gzip", "roll": {"rows": 0, "after": "x"}}"#,
        &["compression", "roll.after", "roll.rows"],
    );
}
