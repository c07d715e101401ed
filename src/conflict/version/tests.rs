use arrow::array::{
    Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray, UInt64Array,
};
use syncline_connectors::change::Logical;

use super::*;

/// Compares two columns: `>`, `<` or `=` of the source for each row.
fn check(
    field: Field,
    threshold: Option<&str>,
    source: impl Array + 'static,
    target: impl Array + 'static,
    expect: &str,
) {
    let policy = ConflictPolicy {
        threshold: threshold.map(str::to_owned),
        ..ConflictPolicy::default()
    };
    let version = Version::compile(&policy, 0, &field).expect("it is a version");
    let (source, target): (ArrayRef, ArrayRef) = (Arc::new(source), Arc::new(target));
    let order = version.compare(&source, &target).expect("one type");
    let sign = |row: usize| match (order.ahead.value(row), order.behind.value(row)) {
        (true, false) => '>',
        (false, true) => '<',
        (false, false) => '=',
        (true, true) => panic!("row {row} is both"),
    };
    let found: String = (0..source.len()).map(sign).collect();
    assert_eq!(found, expect, "{field} {threshold:?}");
}

#[test]
fn versions_are_instants_or_numbers_c5_c7() {
    let of = |data_type: DataType| Field::new("v", data_type, true);
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    let times = |values: [i64; 4]| TimestampMillisecondArray::from(values.to_vec());
    let (source, target) = ([1_000, 749, 750, i64::MAX], [750, 1_000, 1_000, 0]);
    check(
        of(millis.clone()),
        None,
        times(source),
        times(target),
        "><<>",
    );
    check(
        of(millis),
        Some("250ms"),
        times(source),
        times(target),
        "><<>",
    );
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    check(
        of(millis),
        Some("251ms"),
        times(source),
        times(target),
        "=<=>",
    );
    check(
        of(DataType::Date32),
        Some("2d"),
        Date32Array::from(vec![1, 2, 3]),
        Date32Array::from(vec![3, 1, 1]),
        "<=>",
    );
    let cents = |values: [i128; 3]| {
        Decimal128Array::from(values.to_vec())
            .with_precision_and_scale(9, 2)
            .expect("they fit")
    };
    let decimal = DataType::Decimal128(9, 2);
    check(
        of(decimal),
        Some("0.5"),
        cents([150, 149, 50]),
        cents([100, 100, 100]),
        ">=<",
    );
    let large = UInt64Array::from(vec![u64::MAX, 0]);
    let small = UInt64Array::from(vec![u64::MAX - 1, u64::MAX]);
    check(of(DataType::UInt64), Some("0.5"), large, small, "><");
    let floats = |values: [f64; 4]| Float64Array::from(values.to_vec());
    let (source, target) = ([0.0, f64::NAN, 1.5, 1.0], [-0.0, f64::INFINITY, 1.0, 1.5]);
    check(
        of(DataType::Float64),
        None,
        floats(source),
        floats(target),
        "=>><",
    );
    check(
        of(DataType::Float64),
        Some("0.6"),
        floats(source),
        floats(target),
        "=>==",
    );
    let texts = |values: [Option<&str>; 4]| StringArray::from(values.to_vec());
    let (source, target) = (
        [Some("10"), Some("1.50"), Some("NaN"), None],
        [Some("9"), Some("1.5"), Some("1e9"), Some("1")],
    );
    check(
        Logical::Numeric.field("v"),
        None,
        texts(source),
        texts(target),
        ">=>=",
    );
    check(
        Logical::Numeric.field("v"),
        Some("2"),
        texts(source),
        texts(target),
        "==>=",
    );
    // A null is neither ahead nor behind.
    let numbers = |values: [Option<i64>; 2]| Int64Array::from(values.to_vec());
    check(
        of(DataType::Int64),
        Some("1"),
        numbers([None, Some(5)]),
        numbers([Some(1), None]),
        "==",
    );
}
