use serde_json::json;

use super::*;
use crate::change::Logical;

#[test]
fn every_type_of_r3_has_its_arrow_type() {
    let check = |schema: Value, expect: DataType, logical: Option<Logical>| {
        let field = reading(&schema).field("x");
        assert_eq!(*field.data_type(), expect, "{schema}");
        assert_eq!(Logical::of(&field), logical, "{schema}");
    };
    let time =
        |kind: &str, name: &str| json!({"type": kind, "name": format!("io.debezium.time.{name}")});
    let data =
        |kind: &str, name: &str| json!({"type": kind, "name": format!("io.debezium.data.{name}")});
    let connect = |kind: &str, name: &str| json!({"type": kind, "name": format!("org.apache.kafka.connect.data.{name}")});
    use TimeUnit::{Microsecond, Millisecond, Nanosecond};
    check(time("int32", "Date"), DataType::Date32, None);
    check(time("int32", "Time"), DataType::Time32(Millisecond), None);
    check(
        time("int64", "MicroTime"),
        DataType::Time64(Microsecond),
        None,
    );
    check(
        time("int64", "NanoTime"),
        DataType::Time64(Nanosecond),
        None,
    );
    check(
        time("int64", "Timestamp"),
        DataType::Timestamp(Millisecond, None),
        None,
    );
    check(
        time("int64", "MicroTimestamp"),
        DataType::Timestamp(Microsecond, None),
        None,
    );
    check(
        time("int64", "NanoTimestamp"),
        DataType::Timestamp(Nanosecond, None),
        None,
    );
    check(
        time("string", "ZonedTimestamp"),
        DataType::Timestamp(Microsecond, Some("UTC".into())),
        None,
    );
    check(
        time("string", "ZonedTime"),
        DataType::Utf8,
        Some(Logical::TimeTz),
    );
    check(time("int32", "Year"), DataType::Int32, None);
    check(
        time("int64", "MicroDuration"),
        DataType::Duration(Microsecond),
        None,
    );
    check(
        time("int64", "NanoDuration"),
        DataType::Duration(Nanosecond),
        None,
    );
    check(
        time("string", "Interval"),
        DataType::Utf8,
        Some(Logical::Interval),
    );
    check(time("string", "IsoDate"), DataType::Date32, None);
    check(
        time("string", "IsoTime"),
        DataType::Time64(Microsecond),
        None,
    );
    check(
        time("string", "IsoTimestamp"),
        DataType::Timestamp(Microsecond, None),
        None,
    );
    check(connect("int32", "Date"), DataType::Date32, None);
    check(
        connect("int32", "Time"),
        DataType::Time32(Millisecond),
        None,
    );
    check(
        connect("int64", "Timestamp"),
        DataType::Timestamp(Millisecond, None),
        None,
    );
    check(
        data("struct", "VariableScaleDecimal"),
        DataType::Utf8,
        Some(Logical::Numeric),
    );
    check(data("string", "Json"), DataType::Utf8, Some(Logical::Json));
    check(data("string", "Uuid"), DataType::Utf8, Some(Logical::Uuid));
    check(data("string", "Xml"), DataType::Utf8, Some(Logical::Xml));
    check(data("string", "Enum"), DataType::Utf8, None);
    check(data("string", "EnumSet"), DataType::Utf8, None);
    check(data("string", "Ltree"), DataType::Utf8, None);
    check(
        data("struct", "geometry.Point"),
        DataType::Utf8,
        Some(Logical::Json),
    );
    let bits =
        json!({"type": "bytes", "name": "io.debezium.data.Bits", "parameters": {"length": "5"}});
    check(bits, DataType::Utf8, Some(Logical::Bits(5)));
    let list = |item: Field| DataType::List(std::sync::Arc::new(item));
    let array = |items: Value| json!({"type": "array", "items": items});
    check(
        array(time("int32", "Date")),
        list(Field::new("item", DataType::Date32, true)),
        None,
    );
    check(
        array(data("string", "Uuid")),
        list(Logical::Uuid.field("item")),
        None,
    );
    check(
        array(array(json!({"type": "int32"}))),
        DataType::Utf8,
        Some(Logical::Json),
    );
    check(json!({"type": "map"}), DataType::Utf8, Some(Logical::Json));
    for (kind, expect) in [
        ("int8", DataType::Int8),
        ("int16", DataType::Int16),
        ("int32", DataType::Int32),
        ("int64", DataType::Int64),
        ("float", DataType::Float32),
        ("double", DataType::Float64),
        ("boolean", DataType::Boolean),
        ("string", DataType::Utf8),
        ("bytes", DataType::Binary),
    ] {
        check(json!({"type": kind}), expect, None);
    }
}

#[test]
fn decimals_by_precision() {
    let check = |parameters: Value, expect: DataType| {
        let schema = json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": parameters});
        assert_eq!(reading(&schema).data_type(), expect, "{schema}");
    };
    check(
        json!({"scale": "2", "connect.decimal.precision": "12"}),
        DataType::Decimal128(12, 2),
    );
    check(json!({"scale": "2"}), DataType::Decimal128(38, 2));
    check(
        json!({"scale": "2", "connect.decimal.precision": "50"}),
        DataType::Decimal256(50, 2),
    );
    check(
        json!({"scale": "2", "connect.decimal.precision": "77"}),
        DataType::Utf8,
    );
    check(
        json!({"scale": "-3", "connect.decimal.precision": "5"}),
        DataType::Decimal128(8, 0),
    );
    check(
        json!({"scale": "5", "connect.decimal.precision": "2"}),
        DataType::Decimal128(5, 5),
    );
    check(json!({"scale": "40"}), DataType::Decimal256(40, 40));
}

#[test]
fn forms() {
    let check = |schema: Value, form: Form, columns: usize| {
        let parsed = Connect::parse(schema.to_string().as_bytes()).unwrap();
        assert_eq!((parsed.form, parsed.columns.len()), (form, columns));
    };
    let row =
        json!({"type": "struct", "field": "after", "fields": [{"field": "id", "type": "int32"}]});
    check(
        json!({"type": "struct", "fields": [row, {"field": "op", "type": "string"}]}),
        Form::Envelope,
        1,
    );
    check(
        json!({"type": "struct", "fields": [{"field": "id", "type": "int32"}]}),
        Form::Flat,
        1,
    );
    let heartbeat = "io.debezium.connector.common.Heartbeat";
    check(
        json!({"type": "struct", "name": heartbeat, "fields": []}),
        Form::Other,
        0,
    );
    assert!(Connect::parse(b"{\"type\":\"string\"}").is_err());
    assert!(Connect::parse(b"{").is_err());
}
