use super::*;

fn check(field: Field, sql_type: &str, expect: Fit) {
    let found = fit(&field, sql_type);
    assert_eq!(found, expect, "{field:?} into {sql_type}");
}

fn plain(data_type: DataType) -> Field {
    Field::new("c", data_type, true)
}

#[test]
fn a_default_type_fits_itself_and_reads_back_as_what_it_was() {
    let list = DataType::List(Arc::new(plain(DataType::Int32)));
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = [
        plain(DataType::Boolean),
        plain(DataType::Int16),
        plain(DataType::Int32),
        plain(DataType::Int64),
        plain(DataType::Float32),
        plain(DataType::Float64),
        plain(DataType::Decimal128(12, 2)),
        plain(DataType::Decimal256(50, 5)),
        plain(DataType::Utf8),
        plain(DataType::Binary),
        plain(DataType::Date32),
        plain(DataType::Time64(TimeUnit::Microsecond)),
        plain(DataType::Timestamp(TimeUnit::Microsecond, None)),
        plain(utc),
        plain(list),
        Logical::Json.field("c"),
        Logical::Uuid.field("c"),
        Logical::Numeric.field("c"),
        Logical::TimeTz.field("c"),
        Logical::Interval.field("c"),
        Logical::Xml.field("c"),
    ];
    for field in fields {
        let sql_type = column_type(&field).unwrap();
        check(field.clone(), &sql_type, Fit::Fits);
        let read = field_of("c", &sql_type);
        assert_eq!(column_type(&read).unwrap(), sql_type, "{field:?}");
    }
}

#[test]
fn nothing_is_rounded_in_silence_r3() {
    check(plain(DataType::Float64), "numeric(12,2)", Fit::Mismatch);
    check(plain(DataType::Float64), "real", Fit::Mismatch);
    check(plain(DataType::Float64), "integer", Fit::Mismatch);
    check(plain(DataType::Int64), "double precision", Fit::Mismatch);
    check(plain(DataType::Int32), "double precision", Fit::Fits);
    check(
        plain(DataType::Decimal128(12, 3)),
        "numeric(12,2)",
        Fit::Mismatch,
    );
    check(
        plain(DataType::Decimal128(12, 2)),
        "double precision",
        Fit::Mismatch,
    );
    check(
        plain(DataType::Timestamp(TimeUnit::Microsecond, None)),
        "date",
        Fit::Mismatch,
    );
    check(plain(DataType::Binary), "text", Fit::Mismatch);
    check(plain(DataType::Utf8), "bytea", Fit::Mismatch);
}

#[test]
fn what_is_too_small_is_widened_or_checked() {
    let widen = |text: &str| Fit::Widen(text.to_owned());
    check(plain(DataType::Int64), "integer", widen("bigint"));
    check(plain(DataType::Int32), "bigint", Fit::Fits);
    check(plain(DataType::UInt32), "integer", widen("bigint"));
    check(plain(DataType::UInt64), "bigint", widen("numeric(20,0)"));
    check(plain(DataType::UInt64), "numeric(20,0)", Fit::Fits);
    check(
        plain(DataType::Decimal128(14, 2)),
        "numeric(12,2)",
        widen("numeric(14,2)"),
    );
    check(
        plain(DataType::Decimal128(14, 2)),
        "numeric(12,4)",
        widen("numeric(16,4)"),
    );
    check(plain(DataType::Utf8), "character varying(10)", Fit::Checked);
    check(plain(DataType::Boolean), "bit(1)", Fit::Fits);
    check(plain(DataType::Boolean), "bit(8)", Fit::Mismatch);
    check(plain(DataType::Utf8), "inet", Fit::Checked);
    check(plain(DataType::Utf8), "integer", Fit::Checked);
    check(plain(DataType::Int32), "text", Fit::Fits);
    check(Logical::Numeric.field("c"), "numeric", Fit::Fits);
    check(Logical::Bits(4).field("c"), "bit(4)", Fit::Checked);
    let list = |item: DataType| plain(DataType::List(Arc::new(plain(item))));
    let decimals = || list(DataType::Decimal128(12, 3));
    check(decimals(), "numeric(12,2)[]", Fit::Mismatch);
    check(decimals(), "numeric(9,3)[]", widen("numeric(12,3)[]"));
    check(list(DataType::Int64), "integer[]", widen("bigint[]"));
    check(plain(DataType::Utf8), "bytea[]", Fit::Mismatch);
    check(
        Logical::Interval.field("c"),
        "interval day to second(3)",
        Fit::Fits,
    );
}
