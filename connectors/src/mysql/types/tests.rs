use super::*;

fn plain(data_type: DataType) -> Field {
    Field::new("c", data_type, true)
}

fn check(field: Field, sql_type: &str, expect: Fit) {
    assert_eq!(fit(&field, sql_type), expect, "{field:?} into {sql_type}");
}

#[test]
fn a_default_type_takes_what_it_was_made_for() {
    let micros = |zone: Option<&str>| {
        plain(DataType::Timestamp(
            TimeUnit::Microsecond,
            zone.map(Into::into),
        ))
    };
    let fields = [
        plain(DataType::Boolean),
        plain(DataType::Int8),
        plain(DataType::UInt16),
        plain(DataType::Int32),
        plain(DataType::UInt64),
        plain(DataType::Float32),
        plain(DataType::Float64),
        plain(DataType::Decimal128(12, 2)),
        plain(DataType::Decimal256(76, 40)),
        plain(DataType::Decimal128(5, -3)),
        plain(DataType::Utf8),
        plain(DataType::Binary),
        plain(DataType::Date32),
        plain(DataType::Time64(TimeUnit::Microsecond)),
        micros(None),
        micros(Some("UTC")),
        plain(DataType::List(plain(DataType::Int32).into())),
        Logical::Json.field("c"),
        Logical::Interval.field("c"),
        Logical::TimeTz.field("c"),
        Logical::Xml.field("c"),
    ];
    for field in fields {
        let sql_type = column_type(&field).unwrap();
        check(field, &sql_type, Fit::Fits);
    }
    check(Logical::Numeric.field("c"), "decimal(65,30)", Fit::Checked);
    check(Logical::Bits(5).field("c"), "bit(5)", Fit::Checked);
    check(Logical::Uuid.field("c"), "char(36)", Fit::Checked);
}

#[test]
fn nothing_is_rounded_in_silence_r3() {
    check(plain(DataType::Float64), "float", Fit::Mismatch);
    check(plain(DataType::Float64), "double(10,2)", Fit::Mismatch);
    check(plain(DataType::Float64), "decimal(12,2)", Fit::Mismatch);
    check(plain(DataType::Int64), "double", Fit::Mismatch);
    check(plain(DataType::Int32), "double", Fit::Fits);
    check(
        plain(DataType::Decimal128(12, 3)),
        "decimal(12,2)",
        Fit::Mismatch,
    );
    check(
        plain(DataType::Decimal128(12, 2)),
        "bigint(20)",
        Fit::Mismatch,
    );
    check(
        plain(DataType::Timestamp(TimeUnit::Second, None)),
        "date",
        Fit::Mismatch,
    );
    check(plain(DataType::Utf8), "datetime(6)", Fit::Mismatch);
    check(plain(DataType::Utf8), "varbinary(9)", Fit::Mismatch);
}

#[test]
fn what_is_too_small_is_widened_or_checked() {
    let widen = |text: &str| Fit::Widen(text.to_owned());
    check(plain(DataType::Int64), "int(11)", widen("bigint"));
    check(plain(DataType::Int64), "int", widen("bigint"));
    check(plain(DataType::UInt32), "bigint(20)", Fit::Fits);
    check(
        plain(DataType::UInt64),
        "bigint(20)",
        widen("decimal(20,0)"),
    );
    check(plain(DataType::UInt32), "int(11)", widen("bigint"));
    check(plain(DataType::Int64), "bigint(20) unsigned", Fit::Checked);
    check(
        plain(DataType::Int32),
        "int(10) unsigned zerofill",
        Fit::Checked,
    );
    check(
        plain(DataType::Decimal128(14, 2)),
        "decimal(12,2)",
        widen("decimal(14,2)"),
    );
    check(plain(DataType::Int32), "year(4)", Fit::Checked);
    check(plain(DataType::Utf8), "varchar(10)", Fit::Checked);
    check(plain(DataType::Utf8), "enum('a','b')", Fit::Checked);
    check(plain(DataType::Boolean), "bit(1)", Fit::Fits);
    check(plain(DataType::Boolean), "bit(8)", Fit::Mismatch);
}

#[test]
fn columns_are_read_as_what_they_hold() {
    let check = |sql_type: &str, expect: DataType| {
        assert_eq!(field_of("c", sql_type).data_type(), &expect, "{sql_type}");
    };
    check("tinyint(1)", DataType::Boolean);
    check("bigint(20) unsigned", DataType::UInt64);
    check("decimal(12,2)", DataType::Decimal128(12, 2));
    check("decimal(40,2)", DataType::Decimal256(40, 2));
    check("varchar(9)", DataType::Utf8);
    check("enum('a','b')", DataType::Utf8);
    check("varbinary(9)", DataType::Binary);
    check("bit(1)", DataType::Boolean);
    assert_eq!(
        Logical::of(&field_of("c", "bit(9)")),
        Some(Logical::Bits(9))
    );
}
