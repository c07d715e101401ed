use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Decimal128Array, Float64Array, ListArray, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};

use super::*;

#[track_caller]
fn check(column: ArrayRef, text: &str, json: &str) {
    check_field(
        &Field::new("c", column.data_type().clone(), true),
        column,
        text,
        json,
    );
}

#[track_caller]
fn check_field(field: &Field, column: ArrayRef, text: &str, json: &str) {
    let (mut as_text, mut as_json) = (Vec::new(), Vec::new());
    write_text(field, &column, 0, &mut as_text);
    write_json(field, &column, 0, &mut as_json);
    assert_eq!(String::from_utf8(as_text).unwrap(), text);
    assert_eq!(String::from_utf8(as_json).unwrap(), json);
}

fn instant(value: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC"))
}

fn decimal(value: i128, precision: u8, scale: i8) -> ArrayRef {
    let array = Decimal128Array::from(vec![value]);
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

#[test]
fn nothing_is_rounded_r3() {
    check(
        instant(0),
        "1970-01-01T00:00:00.000000Z",
        r#""1970-01-01T00:00:00.000000Z""#,
    );
    check(
        instant(-1),
        "1969-12-31T23:59:59.999999Z",
        r#""1969-12-31T23:59:59.999999Z""#,
    );
    check(
        instant(951_782_400_000_000),
        "2000-02-29T00:00:00.000000Z",
        r#""2000-02-29T00:00:00.000000Z""#,
    );
    check(instant(i64::MAX), "infinity", r#""infinity""#);
    check(
        instant(253_402_300_800_000_000),
        "+10000-01-01T00:00:00.000000Z",
        r#""+10000-01-01T00:00:00.000000Z""#,
    );
    check(
        Arc::new(TimestampMillisecondArray::from(vec![1_704_067_200_001])),
        "2024-01-01T00:00:00.001",
        r#""2024-01-01T00:00:00.001""#,
    );
    check(
        Arc::new(Time64MicrosecondArray::from(vec![86_400_000_000])),
        "24:00:00.000000",
        r#""24:00:00.000000""#,
    );
    check(decimal(-5, 12, 2), "-0.05", r#""-0.05""#);
    check(decimal(12_345, 12, 2), "123.45", r#""123.45""#);
    check(decimal(12, 12, -2), "1200", r#""1200""#);
    check(Arc::new(Float64Array::from(vec![0.1])), "0.1", "0.1");
    check(
        Arc::new(Float64Array::from(vec![f64::NAN])),
        "NaN",
        r#""NaN""#,
    );
    check(
        Arc::new(StringArray::from(vec!["a\n\"b"])),
        "a\n\"b",
        r#""a\n\"b""#,
    );
    check(
        Arc::new(BinaryArray::from_vec(vec![b"ab"])),
        "ab",
        r#""YWI=""#,
    );
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
    check(Arc::new(list), "[1,null]", "[1,null]");
}

#[test]
fn a_json_document_stays_one_in_one_line() {
    let field = Logical::Json.field("c");
    let text = "{\"b\":\n 1.50, \"a\": 2}";
    check_field(
        &field,
        Arc::new(StringArray::from(vec![text])),
        text,
        r#"{"b":1.50,"a":2}"#,
    );
}
