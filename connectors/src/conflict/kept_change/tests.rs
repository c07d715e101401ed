use arrow::array::{Int64Array, ListArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Int32Type, Schema};

use super::*;
use crate::change::Logical;

/// Three changes of one table; the tests store the second.
fn changes(with_before: bool) -> Changes {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        None,
        Some(vec![Some(1), None]),
        Some(vec![]),
    ]);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", arrow::datatypes::DataType::Int64, true),
        Logical::Json.field("extra"),
        Field::new(
            "at",
            arrow::datatypes::DataType::Timestamp(
                arrow::datatypes::TimeUnit::Microsecond,
                Some("UTC".into()),
            ),
            true,
        ),
        Field::new("tags", arrow::array::Array::data_type(&list).clone(), true),
    ]));
    let rows = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int64Array::from(vec![1, 2, 3])),
            Arc::new(StringArray::from(vec![Some("{}"), None, Some("[1]")])),
            Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MAX, 5]).with_timezone("UTC")),
            Arc::new(list),
        ],
    )
    .unwrap();
    let mut records = Records::default();
    for (number, topic) in ["in/a.jsonl", "crm.clients"].into_iter().enumerate() {
        let partition = Partition {
            topic: topic.into(),
            number: number as i32,
        };
        let partition = records.add_partition(&partition, number == 1);
        records.push(
            partition,
            40 + number as i64,
            Some(7),
            Some(b"k"),
            None,
            None,
        );
    }
    let mask = |bits: [bool; 3]| Some(BooleanBuffer::from(bits.to_vec()));
    Changes {
        table: Arc::new(Table {
            topic: "crm.clients".into(),
            database: None,
            schema: Some("public".into()),
            name: "clients".into(),
        }),
        key: Some(vec!["id".to_owned()].into()),
        before: with_before.then(|| Image {
            rows: rows.clone(),
            unset: vec![
                None,
                None,
                mask([true, false, false]),
                mask([false, true, true]),
            ],
            present: BooleanBuffer::from(vec![false, true, true]),
        }),
        rows,
        unset: vec![
            None,
            mask([false, true, false]),
            mask([true, false, true]),
            None,
        ],
        not_carried: vec![None; 4],
        operations: vec![Operation::Create, Operation::Update, Operation::Delete],
        event_times_ms: vec![Some(1), Some(-2), None],
        origins: vec![0, 1, 1],
        records: Arc::new(records),
    }
}

#[track_caller]
fn check_round_trip(changes: &Changes, row: usize) {
    let found = read_change(&write_change(changes, row).unwrap()).unwrap();
    let expect = changes.take(&[row as u32]).unwrap();
    assert_eq!(found.table, expect.table);
    assert_eq!(found.key, expect.key);
    assert_eq!(found.rows, expect.rows);
    assert_eq!(found.schema(), expect.schema());
    assert_eq!(found.unset, expect.unset);
    assert_eq!(found.operations, expect.operations);
    assert_eq!(found.event_times_ms, expect.event_times_ms);
    match (&found.before, &expect.before) {
        (Some(found), Some(expect)) => {
            assert_eq!(found.rows, expect.rows);
            assert_eq!(found.unset, expect.unset);
            assert_eq!(found.present, expect.present);
        }
        (found, expect) => assert_eq!(found.is_some(), expect.is_some()),
    }
    let place = |changes: &Changes| {
        let origin = changes.origins[0] as usize;
        let place = changes.records.partition(origin);
        let record = &changes.records.entries[origin];
        (
            place.partition.clone(),
            place.single,
            record.offset,
            record.timestamp_ms,
        )
    };
    assert_eq!(place(&found), place(&expect));
}

#[test]
fn a_change_comes_back_as_it_was_c9() {
    for with_before in [false, true] {
        for row in 0..3 {
            check_round_trip(&changes(with_before), row);
        }
    }
    let bare = Changes {
        key: None,
        ..changes(false)
    };
    check_round_trip(&bare, 0);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let text = write_change(&changes(true), 1).unwrap();
    let mut bytes = BASE64.decode(&text).unwrap();
    let check = |bytes: &[u8], part: &str| {
        let error = read_change(&BASE64.encode(bytes)).unwrap_err().chain();
        assert!(error.contains(part), "{error}");
    };
    check(&bytes[..3], "damaged");
    check(&bytes[..40], "damaged");
    check(&bytes[..bytes.len() / 2], "damaged");
    check(&[], "damaged");
    assert!(read_change("no base64!").is_err());
    bytes[0] = 2;
    check(&bytes, "newer Syncline (format 2, this one reads 1)");
}
