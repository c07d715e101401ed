//! Every common type, written from Arrow and read back as text (R3).
//! Longer than 400 lines: one list of cases.

use arrow::array::{
    Array, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DurationMicrosecondArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, ListArray, StringArray, Time32MillisecondArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Int32Type, i256};

use super::*;
use crate::change::Logical;

/// A column, the type of its target, and what the server then prints.
type Case = (Field, ArrayRef, &'static str, &'static str);

fn plain(array: ArrayRef, sql_type: &'static str, expect: &'static str) -> Case {
    let field = Field::new("", array.data_type().clone(), true);
    (field, array, sql_type, expect)
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn logical(kind: Logical, value: &str, sql_type: &'static str, expect: &'static str) -> Case {
    (kind.field(""), text(value), sql_type, expect)
}

fn decimal(value: i128, precision: u8, scale: i8) -> ArrayRef {
    let values = Decimal128Array::from(vec![value]);
    Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
}

fn micros(value: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![value]))
}

fn utc(value: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC"))
}

fn time(value: i64) -> ArrayRef {
    Arc::new(Time64MicrosecondArray::from(vec![value]))
}

fn cases() -> Vec<Case> {
    let wide = Decimal256Array::from(vec![
        i256::from_string("-123456789012345678901234567890123456789012345").unwrap(),
    ])
    .with_precision_and_scale(50, 5)
    .unwrap();
    let list = || -> ArrayRef {
        let items = [Some(vec![Some(1), None, Some(3)])];
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(items))
    };
    vec![
        plain(Arc::new(BooleanArray::from(vec![true])), "boolean", "1"),
        plain(
            Arc::new(BooleanArray::from(vec![true])),
            "varchar(5)",
            "true",
        ),
        plain(Arc::new(Int8Array::from(vec![-128])), "tinyint", "-128"),
        plain(
            Arc::new(UInt8Array::from(vec![255])),
            "tinyint unsigned",
            "255",
        ),
        plain(
            Arc::new(Int16Array::from(vec![-32768])),
            "smallint",
            "-32768",
        ),
        plain(
            Arc::new(Int32Array::from(vec![i32::MIN])),
            "int",
            "-2147483648",
        ),
        plain(
            Arc::new(UInt32Array::from(vec![u32::MAX])),
            "int unsigned",
            "4294967295",
        ),
        plain(
            Arc::new(Int64Array::from(vec![i64::MIN])),
            "bigint",
            "-9223372036854775808",
        ),
        plain(Arc::new(Int64Array::from(vec![42])), "smallint", "42"),
        plain(Arc::new(Int32Array::from(vec![2024])), "year", "2024"),
        plain(
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            "bigint unsigned",
            "18446744073709551615",
        ),
        plain(Arc::new(Float32Array::from(vec![0.1])), "float", "0.1"),
        plain(Arc::new(Float32Array::from(vec![0.1])), "varchar(9)", "0.1"),
        plain(Arc::new(Float64Array::from(vec![1e300])), "double", "1e300"),
        plain(
            Arc::new(Float64Array::from(vec![0.1 + 0.2])),
            "double",
            "0.30000000000000004",
        ),
        plain(
            Arc::new(Float64Array::from(vec![f64::NAN])),
            "varchar(9)",
            "NaN",
        ),
        plain(decimal(-12_345, 12, 2), "decimal(12,2)", "-123.45"),
        plain(decimal(0, 12, 2), "decimal(12,2)", "0.00"),
        plain(decimal(25, 5, -3), "bigint", "25000"),
        plain(
            Arc::new(wide),
            "decimal(50,5)",
            "-1234567890123456789012345678901234567890.12345",
        ),
        plain(text("héllo 'x' \\ 😀"), "longtext", "héllo 'x' \\ 😀"),
        plain(text("abc"), "varchar(5)", "abc"),
        plain(text("ab"), "char(5)", "ab"),
        plain(text("é"), "varchar(5) CHARACTER SET latin1", "é"),
        plain(text("happy"), "enum('sad','happy')", "happy"),
        plain(text("a,c"), "set('a','b','c')", "a,c"),
        plain(text("7.50"), "decimal(5,1)", "7.5"),
        plain(text("7"), "int", "7"),
        plain(
            Arc::new(BinaryArray::from(vec![&b"a'\\"[..]])),
            "longblob",
            "a'\\",
        ),
        plain(
            Arc::new(BinaryArray::from(vec![&b"\x00\x01"[..]])),
            "binary(2)",
            "\0\u{1}",
        ),
        plain(Arc::new(Date32Array::from(vec![-1])), "date", "1969-12-31"),
        plain(
            Arc::new(Date32Array::from(vec![0])),
            "datetime",
            "1970-01-01 00:00:00",
        ),
        plain(time(86_400_000_000), "time", "24:00:00"),
        plain(time(1), "time(6)", "00:00:00.000001"),
        plain(
            Arc::new(Time32MillisecondArray::from(vec![3_723_500])),
            "time(3)",
            "01:02:03.500",
        ),
        plain(time(1), "varchar(20)", "00:00:00.000001"),
        plain(micros(-1), "datetime(6)", "1969-12-31 23:59:59.999999"),
        plain(
            Arc::new(TimestampMillisecondArray::from(vec![1_500])),
            "datetime(3)",
            "1970-01-01 00:00:01.500",
        ),
        plain(
            Arc::new(TimestampNanosecondArray::from(vec![1_000])),
            "datetime(6)",
            "1970-01-01 00:00:00.000001",
        ),
        plain(micros(i64::MAX), "varchar(9)", "infinity"),
        plain(utc(1_000_000), "timestamp(6)", "1970-01-01 00:00:01.000000"),
        plain(utc(1_000_000), "datetime", "1970-01-01 00:00:01"),
        plain(
            utc(253_402_300_799_999_999),
            "datetime(6)",
            "9999-12-31 23:59:59.999999",
        ),
        plain(utc(0), "varchar(40)", "1970-01-01T00:00:00.000000Z"),
        plain(
            Arc::new(DurationMicrosecondArray::from(vec![90_000_000])),
            "longtext",
            "PT90S",
        ),
        plain(list(), "json", "[1,null,3]"),
        logical(
            Logical::Json,
            "{\"b\": 1, \"a\": [1.50]}",
            "json",
            "{\"b\": 1, \"a\": [1.50]}",
        ),
        logical(
            Logical::Uuid,
            "6f1e4a52-7b0e-4d6b-9d2c-0a1b2c3d4e5f",
            "uuid",
            "6f1e4a52-7b0e-4d6b-9d2c-0a1b2c3d4e5f",
        ),
        logical(
            Logical::Numeric,
            "12345678901234567890.10",
            "decimal(65,30)",
            "12345678901234567890.100000000000000000000000000000",
        ),
        logical(Logical::Numeric, "NaN", "longtext", "NaN"),
        logical(Logical::Bits(5), "01011", "bit(5)", "\u{b}"),
        logical(
            Logical::TimeTz,
            "12:34:56.5+02:00",
            "longtext",
            "12:34:56.5+02:00",
        ),
        logical(
            Logical::Interval,
            "P1Y2M3DT4H5M6.78S",
            "longtext",
            "P1Y2M3DT4H5M6.78S",
        ),
        logical(Logical::Xml, "<a>1</a>", "longtext", "<a>1</a>"),
        plain(text("10.0.0.1"), "inet4", "10.0.0.1"),
    ]
}

fn one_row(cases: &[Case]) -> Changes {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let mut columns = vec![column("id", id)];
    for (number, (field, array, ..)) in cases.iter().enumerate() {
        columns.push((field.clone().with_name(format!("c{number}")), array.clone()));
    }
    table("clients", columns, "c")
}

#[tokio::test]
async fn every_common_type_arrives_exactly() {
    let cases = cases();
    let columns: String = (0..cases.len())
        .map(|number| format!(", c{number} {} NULL", cases[number].2))
        .collect();
    let create = format!("CREATE TABLE clients (id bigint PRIMARY KEY{columns})");
    let fixture = Fixture::new("types", &create).await;
    let all = one_row(&cases);
    let mut writer = fixture.writer().await;
    // Twice: the second time every value is compared with what is there, and none differs.
    for round in 0..2 {
        let outcome = writer.write(vec![all.clone()]).await;
        assert_eq!(
            (outcome.written, outcome.conflicts.total()),
            (1, 0),
            "round {round}"
        );
    }
    for (number, (_, _, sql_type, expect)) in cases.iter().enumerate() {
        let sql = format!("SET time_zone = '+00:00'; SELECT c{number} FROM clients");
        assert_eq!(fixture.found(&sql).await, [*expect], "{sql_type}");
    }
    // The delete's image is compared with the row as well.
    let mut gone = all;
    gone.operations = vec![Operation::Delete];
    let outcome = writer.write(vec![gone]).await;
    assert_eq!(
        outcome.conflicts.total(),
        0,
        "the row is what the source deleted"
    );
    assert!(fixture.found("SELECT id FROM clients").await.is_empty());
}

#[tokio::test]
async fn tables_are_created_for_every_type() {
    let mut fixture = Fixture::new("created", "").await;
    fixture.config.options.evolution = Evolution::Evolve;
    // A column of its own type takes no infinity.
    let finite = |case: &Case| !matches!(case.3, "NaN" | "infinity");
    let cases: Vec<Case> = cases().into_iter().filter(finite).collect();
    let mut writer = fixture.writer().await;
    for round in 0..2 {
        let outcome = writer.write(vec![one_row(&cases)]).await;
        assert_eq!(
            (outcome.written, outcome.conflicts.total()),
            (1, 0),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn what_the_target_would_change_is_rejected_r3() {
    let year_2039 = 2_177_452_800_000_000;
    let cases = [
        plain(micros(1), "datetime(3)", "R3 exactness"),
        plain(micros(1), "datetime", "R3 exactness"),
        plain(time(1_000_001), "time", "R3 exactness"),
        plain(
            Arc::new(TimestampNanosecondArray::from(vec![1])),
            "datetime(6)",
            "R3 exactness",
        ),
        plain(micros(i64::MAX), "datetime(6)", "R3 exactness"),
        plain(
            Arc::new(Date32Array::from(vec![i32::MAX])),
            "date",
            "R3 exactness",
        ),
        plain(
            Arc::new(Float64Array::from(vec![f64::NAN])),
            "double",
            "R3 exactness",
        ),
        plain(
            Arc::new(Float64Array::from(vec![f64::INFINITY])),
            "double",
            "R3 exactness",
        ),
        plain(Arc::new(Int32Array::from(vec![70])), "year", "R3 exactness"),
        plain(text("1.5"), "int", "R3 exactness"),
        plain(text("12abc"), "int", "R3 exactness"),
        plain(text("2"), "enum('a','b')", "R3 exactness"),
        plain(text("A"), "enum('a','b')", "R3 exactness"),
        plain(text("ab   "), "varchar(3)", "1406 data_too_long"),
        plain(text("abcd"), "char(3)", "1406 data_too_long"),
        plain(
            Arc::new(BinaryArray::from(vec![&b"a"[..]])),
            "binary(2)",
            "R3 exactness",
        ),
        plain(
            Arc::new(BinaryArray::from(vec![&b"abc"[..]])),
            "varbinary(2)",
            "1406 data_too_long",
        ),
        logical(Logical::Numeric, "0.005", "decimal(6,2)", "R3 exactness"),
        logical(Logical::Numeric, "NaN", "decimal(6,2)", "R3 exactness"),
        logical(
            Logical::Numeric,
            "12345.00",
            "decimal(6,2)",
            "1264 out_of_range",
        ),
        logical(Logical::Bits(9), "110", "bit(9)", "R3 exactness"),
        plain(
            Arc::new(Int64Array::from(vec![-1])),
            "bigint unsigned",
            "1264 out_of_range",
        ),
        plain(
            Arc::new(Int64Array::from(vec![1 << 40])),
            "int",
            "1264 out_of_range",
        ),
        plain(utc(year_2039), "timestamp(6)", "1292 incorrect_value"),
        plain(utc(-1), "timestamp(6)", "1292 incorrect_value"),
        plain(
            micros(253_402_300_800_000_000),
            "datetime(6)",
            "1292 incorrect_value",
        ),
        plain(
            text("😀"),
            "varchar(9) CHARACTER SET latin1",
            "1366 incorrect_value_for_column",
        ),
        logical(Logical::Json, "{", "json", "4025 check_constraint_violated"),
    ];
    let fixture = Fixture::new("changed", "").await;
    for case in cases {
        let (_, array, sql_type, expect) = &case;
        fixture.reset().await;
        fixture
            .execute(&format!(
                "CREATE TABLE clients (id bigint PRIMARY KEY, c0 {sql_type} NULL)"
            ))
            .await;
        let rejected = fixture
            .writer()
            .await
            .rejected(vec![one_row(std::slice::from_ref(&case))])
            .await;
        let context = format!("{array:?} into {sql_type}: {rejected:?}");
        assert_eq!(rejected[0].rule, *expect, "{context}");
        if !expect.starts_with("4025") {
            assert_eq!(rejected[0].field.as_deref(), Some("c0"), "{context}");
        }
        assert!(fixture.found("SELECT * FROM clients").await.is_empty());
    }
}

#[tokio::test]
async fn a_null_never_becomes_the_time_of_the_write() {
    let fixture = Fixture::new(
        "null_now",
        "CREATE TABLE clients (id bigint PRIMARY KEY, c0 timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
    )
    .await;
    let nothing: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from(vec![None::<i64>]).with_timezone("UTC"));
    assert!(matches!(nothing.data_type(), DataType::Timestamp(..)) && nothing.is_null(0));
    let rejected = fixture
        .writer()
        .await
        .rejected(vec![one_row(&[plain(nothing, "", "")])])
        .await;
    assert_eq!(rejected[0].rule, "1048 column_cannot_be_null");
}

#[tokio::test]
async fn a_delete_goes_through_although_its_image_does_not_fit() {
    let fixture = Fixture::new(
        "long_image",
        "CREATE TABLE clients (id bigint PRIMARY KEY, c0 varchar(3)); INSERT INTO clients VALUES (1, 'abc')",
    )
    .await;
    let mut gone = one_row(&[plain(text("abcdef"), "", "")]);
    gone.operations = vec![Operation::Delete];
    let outcome = fixture.writer().await.write(vec![gone]).await;
    assert_eq!((outcome.written, outcome.conflicts.total()), (1, 1));
    assert!(fixture.found("SELECT * FROM clients").await.is_empty());
}
