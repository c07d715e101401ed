//! Every type that a decoder produces survives a round trip without loss.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DurationMicrosecondArray, Float32Array, Float64Array, Int8Array, Int64Array, ListArray,
    StringArray, StringViewArray, Time32MillisecondArray, Time64NanosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{TimeUnit, i256};
use proptest::prelude::*;

use super::*;

/// A column with one value or null, and its field.
type Cell = (Field, ArrayRef);

fn cell(field: Field, array: ArrayRef) -> Cell {
    (field.with_data_type(array.data_type().clone()), array)
}

fn plain_cell(array: impl Array + 'static) -> Cell {
    let field = Field::new("x", array.data_type().clone(), true);
    (field, Arc::new(array))
}

fn text_cell(logical: Logical, text: String) -> Cell {
    cell(logical.field("x"), Arc::new(StringArray::from(vec![text])))
}

fn batch(cells: &[Cell]) -> RecordBatch {
    let fields: Vec<Field> = cells
        .iter()
        .enumerate()
        .map(|(number, (field, _))| field.clone().with_name(format!("c \"{number}")))
        .collect();
    let columns = cells.iter().map(|(_, array)| array.clone()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[track_caller]
fn check_round_trip(rows: &RecordBatch) {
    let unset = vec![None; rows.num_columns()];
    let text = write_image(rows, &unset, 0);
    let image = read_images(&rows.schema(), &[Some(&text)]).unwrap();
    for (index, column) in rows.columns().iter().enumerate() {
        let found = image.rows.column(index);
        assert_eq!(found.data_type(), column.data_type());
        // Compared as text, because NaN differs from itself.
        assert_eq!(format!("{found:?}"), format!("{column:?}"), "{text}");
        assert!(image.unset[index].is_none(), "{text}");
    }
    assert_eq!(write_image(&image.rows, &image.unset, 0), text);
    // One line, as the history file needs it, and a JSON object.
    assert!(!text.contains('\n'));
    assert!(
        serde_json::from_str::<serde_json::Value>(&text)
            .unwrap()
            .is_object()
    );
}

/// Instants that occur in databases, including the infinities.
fn instant(per_second: i64) -> BoxedStrategy<i64> {
    prop_oneof![
        4 => (-200_000_000_000..9_000_000_000_000_i64, 0..per_second)
            .prop_map(move |(second, rest)| {
                second.saturating_mul(per_second).saturating_add(rest).clamp(
                    -200_000_000_000 * per_second.min(1_000_000), i64::MAX - 1)
            })
            .prop_filter("one that Debezium's driver makes of infinity", |value| {
                ![9_223_372_036_825_200_000, 9_223_372_036_825_200].contains(value)
            }),
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
    ]
    .boxed()
}

fn document() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1.50".to_owned()),
        Just("-0".to_owned()),
        Just("1E5".to_owned()),
        any::<i128>().prop_map(|number| number.to_string()),
        "\\PC{0,8}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let pair = ("[a-c]{1,2}", inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(pair, 0..4).prop_map(|pairs| {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(name, value)| format!("\"{name}\":\n{value}"))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
    .boxed()
}

/// One value of each type that a decoder produces.
fn any_cell() -> BoxedStrategy<Cell> {
    let text = "\\PC{0,20}|[ -~\\n\\t\"\\\\\u{0}]{0,20}";
    prop_oneof![
        any::<bool>().prop_map(|v| plain_cell(BooleanArray::from(vec![v]))),
        any::<i8>().prop_map(|v| plain_cell(Int8Array::from(vec![v]))),
        any::<i64>().prop_map(|v| plain_cell(Int64Array::from(vec![v]))),
        any::<u64>().prop_map(|v| plain_cell(UInt64Array::from(vec![v]))),
        any::<f32>().prop_map(|v| plain_cell(Float32Array::from(vec![v]))),
        prop_oneof![
            any::<f64>(),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(-0.0)
        ]
        .prop_map(|v| plain_cell(Float64Array::from(vec![v]))),
        text.prop_map(|v| plain_cell(StringArray::from(vec![v]))),
        text.prop_map(|v| plain_cell(StringViewArray::from(vec![v]))),
        any::<Vec<u8>>().prop_map(|v| plain_cell(BinaryArray::from_vec(vec![&v]))),
        (-2_440_588..=2_145_042_905_i32).prop_map(|v| plain_cell(Date32Array::from(vec![v]))),
        (0..=86_400_000_i32).prop_map(|v| plain_cell(Time32MillisecondArray::from(vec![v]))),
        (0..=86_400_000_000_000_i64).prop_map(|v| plain_cell(Time64NanosecondArray::from(vec![v]))),
        instant(1_000).prop_map(|v| plain_cell(TimestampMillisecondArray::from(vec![v]))),
        instant(1_000_000).prop_map(|v| plain_cell(TimestampMicrosecondArray::from(vec![v]))),
        instant(1_000_000).prop_map(|v| plain_cell(
            TimestampMicrosecondArray::from(vec![v]).with_timezone("UTC")
        )),
        any::<i64>().prop_map(|v| plain_cell(TimestampNanosecondArray::from(vec![v]))),
        any::<i64>().prop_map(|v| plain_cell(
            TimestampNanosecondArray::from(vec![v]).with_timezone("+00:00")
        )),
        (i64::MIN + 1..i64::MAX).prop_map(|v| plain_cell(DurationMicrosecondArray::from(vec![v]))),
        (any::<i128>(), 0..=38_i8).prop_map(|(v, scale)| {
            let array = Decimal128Array::from(vec![v % 10_i128.pow(38)]);
            plain_cell(array.with_precision_and_scale(38, scale).unwrap())
        }),
        (any::<i128>(), any::<bool>()).prop_map(|(v, wide)| {
            let value = i256::from_i128(v);
            let value = if wide {
                value.wrapping_mul(i256::from_i128(10_i128.pow(36)))
            } else {
                value
            };
            plain_cell(
                Decimal256Array::from(vec![value])
                    .with_precision_and_scale(76, 40)
                    .unwrap(),
            )
        }),
        "-?[0-9]{1,60}(\\.[0-9]{1,9})?|NaN|-Infinity".prop_map(|v| text_cell(Logical::Numeric, v)),
        "[01]{5}".prop_map(|v| text_cell(Logical::Bits(5), v)),
        Just(text_cell(
            Logical::Uuid,
            "b68a35a7-17ad-35b3-af2a-ae46edb4545a".to_owned()
        )),
        Just(text_cell(Logical::TimeTz, "24:00:00.5+02:00".to_owned())),
        Just(text_cell(
            Logical::Interval,
            "-P1Y2M3DT4H5M6.78S".to_owned()
        )),
        Just(text_cell(Logical::Xml, "<a>\n</a>".to_owned())),
        document().prop_map(|v| text_cell(Logical::Json, v)),
        text.prop_map(|v| text_cell(Logical::Json, v)),
        list_cell(),
    ]
    .boxed()
}

fn list_cell() -> BoxedStrategy<Cell> {
    let list = |item: Field, items: ArrayRef| {
        let offsets = OffsetBuffer::from_lengths([items.len()]);
        plain_cell(ListArray::new(Arc::new(item), offsets, items, None))
    };
    prop_oneof![
        prop::collection::vec(prop::option::of(document()), 0..4).prop_map(move |items| {
            list(
                Logical::Json.field("item"),
                Arc::new(StringArray::from(items)),
            )
        }),
        prop::collection::vec(prop::option::of(instant(1_000_000)), 0..4).prop_map(move |items| {
            let items = TimestampMicrosecondArray::from(items).with_timezone("UTC");
            list(
                Field::new("element", items.data_type().clone(), true),
                Arc::new(items),
            )
        }),
    ]
    .boxed()
}

proptest! {
    #[test]
    fn an_image_comes_back_to_the_bit_r3(cells in prop::collection::vec(any_cell(), 1..6)) {
        check_round_trip(&batch(&cells));
    }

    #[test]
    fn a_null_comes_back_as_null_and_not_as_unset_r14(cell in any_cell()) {
        let (field, array) = cell;
        check_round_trip(&batch(&[(field, new_null_array(array.data_type(), 1))]));
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("balance", DataType::Decimal128(12, 2), true),
        Logical::Json.field("extra"),
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ]))
}

#[test]
fn what_an_image_lacks_is_unset_r14() {
    let texts = [
        Some(r#"{"gone":[{"x":"}"}],"name":null,"id":7}"#),
        None,
        Some(r#"{"id":1,"id":2,"extra":{"a": 1.50},"at":"infinity"}"#),
    ];
    let image = read_images(&schema(), &texts).unwrap();
    assert_eq!(
        image.present.iter().collect::<Vec<_>>(),
        [true, false, true]
    );
    let written: Vec<String> = (0..3)
        .map(|row| write_image(&image.rows, &image.unset, row))
        .collect();
    let expect = [
        r#"{"id":7,"name":null}"#,
        "{}",
        r#"{"id":2,"extra":{"a": 1.50},"at":"infinity"}"#,
    ];
    assert_eq!(written, expect);
    assert_eq!(write_key(&image.rows, &[0], 0), r#"{"id":7}"#);
}

#[test]
fn an_image_of_another_time_is_refused_and_not_bent() {
    for (text, part) in [
        (
            r#"{"id":"seven"}"#,
            "column \"id\": found a string, expected int64",
        ),
        (
            r#"{"balance":"1.234"}"#,
            "column \"balance\": found a number that does not fit",
        ),
        (r#"{"id":7"#, "broken JSON"),
        (r#"{"id":7} {}"#, "trailing garbage"),
    ] {
        let error = read_images(&schema(), &[Some(text)]).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn what_a_person_sets() {
    let check = |assignments: &[&str], expect: Result<&str, &str>| {
        let assignments: Vec<String> = assignments.iter().map(|&text| text.to_owned()).collect();
        match (read_assignments(&schema(), &assignments), expect) {
            (Ok(image), Ok(text)) => {
                assert_eq!(
                    write_image(&image.rows, &image.unset, 0),
                    text,
                    "{assignments:?}"
                );
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expect) => panic!("{assignments:?}: found {found:?}, expected {expect:?}"),
        }
    };
    check(&["name=Ann = Bob"], Ok(r#"{"name":"Ann = Bob"}"#));
    check(&["name=42", "id=42"], Ok(r#"{"id":42,"name":"42"}"#));
    check(&["name=null"], Ok(r#"{"name":null}"#));
    check(&["name=\"null\""], Ok(r#"{"name":"null"}"#));
    check(&["name=\"it"], Ok(r#"{"name":"\"it"}"#));
    check(&["name="], Ok(r#"{"name":""}"#));
    check(&["balance=12.5"], Ok(r#"{"balance":"12.50"}"#));
    check(&["extra={\"a\": [1]}"], Ok(r#"{"extra":{"a": [1]}}"#));
    check(
        &["at=2024-01-01T02:00:00+02:00"],
        Ok(r#"{"at":"2024-01-01T00:00:00.000000Z"}"#),
    );
    check(&["at=infinity"], Ok(r#"{"at":"infinity"}"#));
    check(&["balance=12.345"], Err("does not fit decimal(12,2)"));
    check(&["at=tomorrow"], Err("column \"at\""));
    check(&["extra={\"a\""], Err("column \"extra\""));
    check(
        &["nam=x"],
        Err("there is no column \"nam\": there are id, name"),
    );
    check(&["name"], Err("write column=value"));
    check(&["id=1", "id=2"], Err("set twice"));
}
