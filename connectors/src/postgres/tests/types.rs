//! Every common Postgres type, written from Arrow and read back as text (R3).
//! Longer than 400 lines: one list of cases.

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DurationMicrosecondArray, Float32Array, Float64Array, Int16Array, Int32Array, ListArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use arrow::datatypes::{Int32Type, i256};

use super::*;
use crate::change::Logical;

/// A column, the type of its target, and what Postgres then prints.
fn cases() -> Vec<(Field, ArrayRef, &'static str, &'static str)> {
    let plain = |array: ArrayRef, sql: &'static str, expect: &'static str| {
        (
            Field::new("", array.data_type().clone(), true),
            array,
            sql,
            expect,
        )
    };
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let logical = |kind: Logical, value: &str, sql: &'static str, expect: &'static str| {
        (kind.field(""), text(value), sql, expect)
    };
    let decimal = |value: i128, precision: u8, scale: i8| -> ArrayRef {
        Arc::new(
            Decimal128Array::from(vec![value])
                .with_precision_and_scale(precision, scale)
                .unwrap(),
        )
    };
    let wide: ArrayRef = Arc::new(
        Decimal256Array::from(vec![
            i256::from_string("-123456789012345678901234567890123456789012345").unwrap(),
        ])
        .with_precision_and_scale(50, 5)
        .unwrap(),
    );
    let micros = |value: i64| TimestampMicrosecondArray::from(vec![value]);
    let list =
        ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None, Some(3)])]);
    let words = || -> ArrayRef {
        let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
        builder.append_value([Some("a,b"), Some("c\"d"), None]);
        Arc::new(builder.finish())
    };
    vec![
        plain(Arc::new(BooleanArray::from(vec![true])), "boolean", "true"),
        plain(
            Arc::new(Int16Array::from(vec![-32768])),
            "smallint",
            "-32768",
        ),
        plain(
            Arc::new(Int32Array::from(vec![i32::MIN])),
            "integer",
            "-2147483648",
        ),
        plain(
            Arc::new(Int64Array::from(vec![i64::MAX])),
            "bigint",
            "9223372036854775807",
        ),
        plain(Arc::new(Int64Array::from(vec![42])), "smallint", "42"),
        plain(
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            "numeric(20,0)",
            "18446744073709551615",
        ),
        plain(Arc::new(Float32Array::from(vec![0.1])), "real", "0.1"),
        plain(
            Arc::new(Float64Array::from(vec![f64::NAN])),
            "double precision",
            "NaN",
        ),
        plain(
            Arc::new(Float64Array::from(vec![1e300])),
            "double precision",
            "1e+300",
        ),
        plain(decimal(-12_345, 12, 2), "numeric(12,2)", "-123.45"),
        plain(
            decimal(1, 38, 38),
            "numeric",
            "0.00000000000000000000000000000000000001",
        ),
        plain(decimal(0, 12, 2), "numeric", "0.00"),
        plain(
            wide,
            "numeric(50,5)",
            "-1234567890123456789012345678901234567890.12345",
        ),
        plain(text("héllo 'x' \\"), "text", "héllo 'x' \\"),
        plain(text("abc"), "character varying(5)", "abc"),
        plain(text("ab"), "character(5)", "ab"),
        plain(
            Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]])),
            "bytea",
            "\\x00ff",
        ),
        plain(Arc::new(Date32Array::from(vec![-1])), "date", "1969-12-31"),
        plain(
            Arc::new(Date32Array::from(vec![i32::MAX])),
            "date",
            "infinity",
        ),
        plain(
            Arc::new(Time64MicrosecondArray::from(vec![86_400_000_000])),
            "time",
            "24:00:00",
        ),
        plain(
            Arc::new(Time64MicrosecondArray::from(vec![1])),
            "time",
            "00:00:00.000001",
        ),
        plain(
            Arc::new(micros(-1)),
            "timestamp",
            "1969-12-31 23:59:59.999999",
        ),
        plain(Arc::new(micros(i64::MAX)), "timestamp", "infinity"),
        plain(
            Arc::new(TimestampMillisecondArray::from(vec![1_500])),
            "timestamp",
            "1970-01-01 00:00:01.5",
        ),
        plain(
            Arc::new(micros(0).with_timezone("UTC")),
            "timestamptz",
            "1970-01-01 00:00:00+00",
        ),
        plain(
            Arc::new(micros(i64::MIN).with_timezone("UTC")),
            "timestamptz",
            "-infinity",
        ),
        plain(
            Arc::new(micros(253_402_300_800_000_000).with_timezone("UTC")),
            "timestamptz",
            "10000-01-01 00:00:00+00",
        ),
        plain(
            Arc::new(DurationMicrosecondArray::from(vec![90_000_000])),
            "interval",
            "00:01:30",
        ),
        plain(Arc::new(list), "integer[]", "{1,NULL,3}"),
        plain(words(), "text[]", "{\"a,b\",\"c\\\"d\",NULL}"),
        logical(
            Logical::Json,
            "{\"b\": 1, \"a\": [1.50]}",
            "jsonb",
            "{\"a\": [1.50], \"b\": 1}",
        ),
        logical(Logical::Json, "{\"b\":  1}", "json", "{\"b\":  1}"),
        logical(
            Logical::Uuid,
            "6f1e4a52-7b0e-4d6b-9d2c-0a1b2c3d4e5f",
            "uuid",
            "6f1e4a52-7b0e-4d6b-9d2c-0a1b2c3d4e5f",
        ),
        logical(
            Logical::Numeric,
            "123456789012345678901234567890.10",
            "numeric",
            "123456789012345678901234567890.10",
        ),
        logical(Logical::Numeric, "NaN", "numeric", "NaN"),
        logical(Logical::Bits(5), "01011", "bit(5)", "01011"),
        logical(Logical::Bits(9), "110", "bit varying(9)", "110"),
        logical(
            Logical::TimeTz,
            "12:34:56.5+02:00",
            "timetz",
            "12:34:56.5+02",
        ),
        logical(
            Logical::Interval,
            "P1Y2M3DT4H5M6.78S",
            "interval",
            "1 year 2 mons 3 days 04:05:06.78",
        ),
        logical(Logical::Xml, "<a>1</a>", "xml", "<a>1</a>"),
        plain(text("10.0.0.1"), "inet", "10.0.0.1/32"),
        plain(text("10.0.0.0/8"), "cidr", "10.0.0.0/8"),
        plain(text("08:00:2b:01:02:03"), "macaddr", "08:00:2b:01:02:03"),
        plain(text("(1,2)"), "point", "(1,2)"),
        plain(text("[1,5)"), "int4range", "[1,5)"),
        plain(text("$1.50"), "money", "$1.50"),
        plain(text("happy"), "mood", "happy"),
        plain(text("7"), "positive", "7"),
    ]
}

#[tokio::test]
async fn every_common_type_arrives_exactly() {
    let setup = "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0); ";
    let cases = cases();
    let columns: String = (0..cases.len())
        .map(|n| format!(", c{n} {}", cases[n].2))
        .collect();
    let create = format!("{setup} CREATE TABLE t (id bigint PRIMARY KEY{columns})");
    let mut fixture = Fixture::new("types", &create).await;
    fixture
        .execute("SET TimeZone = 'UTC'; SET lc_monetary = 'C'")
        .await;
    let mut arrays: Vec<(Field, ArrayRef)> = vec![(
        Field::new("id", DataType::Int64, true),
        Arc::new(Int64Array::from(vec![1])),
    )];
    for (number, (field, array, ..)) in cases.iter().enumerate() {
        arrays.push((field.clone().with_name(format!("c{number}")), array.clone()));
    }
    let changes = table("t", arrays, "c");
    let mut writer = fixture.writer().await;
    // Twice: the second time every value is compared with what is there, and none differs.
    for (round, expect) in [(0, 0), (1, 0)] {
        let outcome = writer.write(vec![changes.clone()]).await;
        assert_eq!(outcome.written, 1);
        assert_eq!(outcome.conflicts.total(), expect, "round {round}");
    }
    for (number, (_, _, sql_type, expect)) in cases.iter().enumerate() {
        let sql = format!("SELECT c{number}::text FROM t");
        let found: String = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut fixture.admin)
            .await
            .unwrap();
        assert_eq!(found.trim_end(), *expect, "{sql_type}");
    }
    // The delete's image is compared with the row as well.
    let mut gone = changes.clone();
    gone.operations = vec![Operation::Delete];
    let outcome = writer.write(vec![gone]).await;
    assert_eq!(
        outcome.conflicts.total(),
        0,
        "the row is what the source deleted"
    );
    assert!(fixture.rows("SELECT id FROM t").await.is_empty());
}

#[tokio::test]
async fn tables_are_created_for_every_type() {
    let mut fixture = Fixture::new("created", "").await;
    fixture.config.options.evolution = Evolution::Evolve;
    let mut arrays: Vec<(Field, ArrayRef)> = vec![(
        Field::new("id", DataType::Int64, true),
        Arc::new(Int64Array::from(vec![1])),
    )];
    for (number, (field, array, ..)) in cases().into_iter().enumerate() {
        arrays.push((field.with_name(format!("c{number}")), array));
    }
    let outcome = fixture
        .writer()
        .await
        .write(vec![table("t", arrays, "c")])
        .await;
    assert_eq!(outcome.written, 1);
}

#[tokio::test]
async fn what_the_target_would_round_is_rejected_r3() {
    let create = "CREATE TABLE t (id bigint PRIMARY KEY, amount numeric(6,2), at timestamp(3), \
                  of_day time(0), span interval(3))";
    let mut fixture = Fixture::new("rounding", create).await;
    let mut writer = fixture.writer().await;
    let one = |id: i64, amount: &str, at: i64, of_day: i64, span: &str| {
        let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
        let plain = |name: &str, array: ArrayRef| {
            (Field::new(name, array.data_type().clone(), true), array)
        };
        table(
            "t",
            vec![
                plain("id", Arc::new(Int64Array::from(vec![id]))),
                (Logical::Numeric.field("amount"), text(amount)),
                plain("at", Arc::new(TimestampMicrosecondArray::from(vec![at]))),
                plain(
                    "of_day",
                    Arc::new(Time64MicrosecondArray::from(vec![of_day])),
                ),
                (Logical::Interval.field("span"), text(span)),
            ],
            "c",
        )
    };
    let second = 1_000_000;
    writer
        .write(vec![one(1, "1234.500", 1_000, second, "PT0.001S")])
        .await;
    for (changes, field) in [
        (one(2, "0.005", 0, 0, "PT0S"), "amount"),
        (one(2, "0", 1, 0, "PT0S"), "at"),
        (one(2, "0", 0, second + 1, "PT0S"), "of_day"),
        (one(2, "0", 0, 0, "PT0.0001S"), "span"),
    ] {
        let rejected = writer.rejected(vec![changes]).await;
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0].rule, "R3 exactness");
        assert_eq!(rejected[0].field.as_deref(), Some(field));
        assert!(rejected[0].reason.contains("would round"), "{rejected:?}");
    }
    // What does not fit at all is still told by the database.
    let rejected = writer
        .rejected(vec![one(2, "12345678", 0, 0, "PT0S")])
        .await;
    assert!(rejected[0].rule.starts_with("22003"), "{rejected:?}");
    assert_eq!(
        fixture.rows("SELECT id, amount FROM t").await,
        ["(1,1234.50)"]
    );
}

/// A value, the column that it goes into, and whether that keeps it.
#[tokio::test]
async fn what_a_domain_an_array_money_or_a_name_would_change_is_rejected_r23() {
    let setup = "CREATE DOMAIN price AS numeric(6,2); CREATE DOMAIN cost AS price; CREATE DOMAIN code AS varchar(3); \
        CREATE DOMAIN moment AS timestamp(0); CREATE TYPE pair AS (amount numeric(6,2), code varchar(3))";
    let mut fixture = Fixture::new("narrowing", setup).await;
    let long = "n".repeat(64);
    let cases: Vec<(&str, &str, bool)> = vec![
        ("price", "1234.50", true),
        ("price", "1234.505", false),
        ("cost", "1.005", false),
        ("cost[]", "{1.50,1.005}", false),
        ("cost[]", "{1.50,NULL}", true),
        ("numeric(6,2)[]", "{1.005}", false),
        ("numeric(6,2)[]", "{{1.5},{2}}", true),
        ("code", "abc", true),
        ("code", "abc  ", false),
        ("code", "abcd", false),
        ("varchar(3)[]", "{\"abc \"}", false),
        ("char(3)", "ab ", true),
        ("char(3)", "abc ", false),
        ("moment", "2024-02-29 12:34:56", true),
        ("moment", "2024-02-29 12:34:56.5", false),
        ("timestamp", "2024-02-29T12:34:56+02:00", false),
        ("timestamp", "2024-02-29T12:34:56Z", true),
        ("timestamptz", "2024-02-29 12:34:56.1234567+02", false),
        ("date", "2024-02-29", true),
        ("date", "2024-02-29 12:34:56", false),
        ("time", "12:34:56", true),
        ("time", "2024-02-29 12:34:56", false),
        ("interval year to month", "1 year 2 months", true),
        ("interval year to month", "1 day", false),
        ("money", "$1.50", true),
        ("money", "1.505", false),
        ("name", "n", true),
        ("name", &long, false),
        ("\"char\"", "ab", false),
        ("double precision", "0.1", true),
        ("double precision", "0.12345678901234567890", false),
        ("real", "16777217", false),
        ("point", "(1.0, 2.50)", true),
        ("point", "(0.12345678901234567890,1)", false),
        ("oid", "-1", false),
        ("bit(3)", "01", false),
        ("pair", "(1.50,abc)", true),
        ("pair", "(1.505,abc)", false),
        ("daterange", "[2024-01-01 10:00,2024-01-02)", false),
    ];
    for (number, (sql_type, value, keeps)) in cases.into_iter().enumerate() {
        let name = format!("t{number}");
        fixture
            .execute(&format!(
                "CREATE TABLE {name} (id bigint PRIMARY KEY, c {sql_type})"
            ))
            .await;
        let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
        let columns: Vec<(Field, ArrayRef)> = vec![
            (
                Field::new("id", DataType::Int64, true),
                Arc::new(Int64Array::from(vec![1])),
            ),
            (Field::new("c", DataType::Utf8, true), text),
        ];
        fixture.config.options.table = name.clone();
        fixture.identity.pipeline = name.clone();
        let written = fixture
            .writer()
            .await
            .try_write(vec![table(&name, columns, "c")])
            .await;
        match written {
            Ok(_) => assert!(keeps, "{value:?} into {sql_type} was written"),
            Err(Error::Rejected(rejected)) => {
                assert!(!keeps, "{value:?} into {sql_type}: {rejected:?}");
                assert!(
                    !rejected[0].reason.contains(value),
                    "no reason shows a value: {rejected:?}"
                );
            }
            Err(other) => panic!("{value:?} into {sql_type}: {}", other.chain()),
        }
    }
}

/// Keys that are longer than the column are no key of it: neither a delete nor an update takes them for another.
#[tokio::test]
async fn a_key_that_the_target_would_cut_is_not_taken_for_another_r22() {
    let create =
        "CREATE TABLE t (id varchar(3) PRIMARY KEY, v bigint); INSERT INTO t VALUES ('abc', 1)";
    let mut fixture = Fixture::new("cut_keys", create).await;
    let mut writer = fixture.writer().await;
    let one = |id: &str, letter: &str, known: bool| {
        let columns: Vec<(Field, ArrayRef)> = vec![
            (
                Field::new("id", DataType::Utf8, true),
                Arc::new(StringArray::from(vec![id])),
            ),
            (
                Field::new("v", DataType::Int64, true),
                Arc::new(Int64Array::from(vec![2])),
            ),
        ];
        let mut changes = table("t", columns, letter);
        if !known {
            changes.unset[1] = Some(BooleanBuffer::new_set(1));
        }
        changes
    };
    writer.write(vec![one("abcd", "d", true)]).await;
    let rejected = writer.rejected(vec![one("abc ", "d", true)]).await;
    assert_eq!(rejected[0].rule, "R3 exactness", "{rejected:?}");
    writer.rejected(vec![one("abcd", "u", true)]).await;
    let rejected = writer.rejected(vec![one("abcd", "u", false)]).await;
    assert_eq!(rejected[0].rule, "R14 incomplete", "{rejected:?}");
    assert_eq!(fixture.rows("SELECT id, v FROM t").await, ["(abc,1)"]);
}
