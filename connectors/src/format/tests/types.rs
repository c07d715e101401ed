//! Values of every type of R3, from Connect schemas and from declared ones.

use super::*;

const DECIMAL: &str = r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"6"}}"#;

/// Decodes one value of a Connect schema; `None` where it is refused.
fn connect(schema: &str, value: &str) -> Option<String> {
    let mut field: serde_json::Value = serde_json::from_str(schema).unwrap();
    field["field"] = "x".into();
    let message =
        format!(r#"{{"schema":{{"type":"struct","fields":[{field}]}},"payload":{{"x":{value}}}}}"#);
    read(options(), &message)
}

/// Decodes one value of a declared type.
fn typed(kind: &str, value: &str) -> Option<String> {
    let options = DecoderOptions {
        declared: declared(&[("x", kind)]),
        ..options()
    };
    read(options, &format!(r#"{{"x":{value}}}"#))
}

fn read(options: DecoderOptions, message: &str) -> Option<String> {
    let records = of_texts(&[(None, Some(message))]);
    let decoded = decoder(Format::DebeziumJson, options).decode(&records);
    assert_eq!(decoded.total(), 1);
    match decoded.rejected.first() {
        Some(rejected) => {
            assert_eq!(
                (rejected.rule.as_str(), rejected.field.as_deref()),
                ("R3", Some("x")),
                "{rejected:?}"
            );
            None
        }
        None => Some(show(&decoded)[0].split_once("x=").unwrap().1.to_owned()),
    }
}

fn named(kind: &str, name: &str) -> String {
    format!(r#"{{"type":"{kind}","name":"{name}"}}"#)
}

#[test]
fn connect_types() {
    let check = |schema: &str, value: &str, expect: &str| {
        let expect = Some(expect.to_owned()).filter(|text| text != "rejected");
        assert_eq!(connect(schema, value), expect, "{schema} {value}");
    };
    let time = |kind: &str, name: &str| named(kind, &format!("io.debezium.time.{name}"));
    let data = |kind: &str, name: &str| named(kind, &format!("io.debezium.data.{name}"));
    let kafka =
        |kind: &str, name: &str| named(kind, &format!("org.apache.kafka.connect.data.{name}"));
    let plain = |kind: &str| format!(r#"{{"type":"{kind}"}}"#);
    check(&plain("int8"), "-128", "-128");
    check(&plain("int8"), "128", "rejected");
    check(
        &plain("int64"),
        "9223372036854775807",
        "9223372036854775807",
    );
    check(&plain("int64"), "9223372036854775808", "rejected");
    check(&plain("int32"), "1.5", "rejected");
    check(&plain("int32"), "true", "rejected");
    check(&plain("boolean"), "false", "false");
    check(&plain("float"), "0.1", "0.1");
    check(&plain("double"), "-1.5e300", "-1.5e300");
    check(&plain("double"), "\"NaN\"", "NaN");
    check(&plain("double"), "1e999", "rejected");
    check(&plain("string"), "\"a\\n\\ud83d\\ude00\"", "a\n😀");
    check(&plain("string"), "1", "rejected");
    check(&plain("bytes"), "\"AP8=\"", "00ff");
    check(&plain("bytes"), "\"?\"", "rejected");
    check(&time("int32", "Date"), "-1", "1969-12-31");
    // What Debezium makes of infinite dates, in a snapshot and streamed.
    check(&time("int32", "Date"), "-622191234", "rejected");
    check(&time("int32", "Date"), "-2147472692", "rejected");
    check(
        &time("string", "IsoDate"),
        "\"-5877611-06-21Z\"",
        "rejected",
    );
    check(
        &time("string", "IsoDate"),
        "\"+292278994-08-16Z\"",
        "rejected",
    );
    check(
        &time("int64", "MicroTimestamp"),
        "-9223372036853775810",
        "rejected",
    );
    check(
        &time("int64", "MicroDuration"),
        "9223372036854775807",
        "rejected",
    );
    check(
        &time("int64", "MicroDuration"),
        "-9223372036854775808",
        "rejected",
    );
    check(&kafka("int32", "Date"), "0", "1970-01-01");
    check(&time("int32", "Time"), "1", "00:00:00.001");
    // A time of MySQL is a span.
    check(&time("int64", "MicroTime"), "-1", "-00:00:00.000001");
    check(
        &time("int64", "MicroTime"),
        "86400000001",
        "24:00:00.000001",
    );
    check(&time("int64", "MicroTime"), "3020400000000", "rejected");
    check(&time("int64", "NanoTime"), "1", "00:00:00.000000001");
    check(
        &time("int64", "Timestamp"),
        "1500",
        "1970-01-01T00:00:01.500",
    );
    check(
        &kafka("int64", "Timestamp"),
        "1500",
        "1970-01-01T00:00:01.500",
    );
    check(
        &time("int64", "MicroTimestamp"),
        "1",
        "1970-01-01T00:00:00.000001",
    );
    check(
        &time("int64", "NanoTimestamp"),
        "1",
        "1970-01-01T00:00:00.000000001",
    );
    check(
        &time("string", "ZonedTimestamp"),
        "\"2020-01-01T01:00:00.5+01:00\"",
        "2020-01-01T00:00:00.500Z",
    );
    check(
        &time("string", "ZonedTimestamp"),
        "\"2020-01-01T00:00:00.0000001Z\"",
        "rejected",
    );
    check(
        &time("string", "ZonedTime"),
        "\"10:15:30.5+01:00\"",
        "10:15:30.5+01:00",
    );
    check(&time("int32", "Year"), "2024", "2024");
    check(&time("int64", "MicroDuration"), "1000000", "PT1S");
    check(
        &time("string", "Interval"),
        "\"P1Y2M3DT4H5M6.78S\"",
        "P1Y2M3DT4H5M6.78S",
    );
    check(&time("string", "IsoDate"), "\"2017-09-15Z\"", "2017-09-15");
    check(
        &time("string", "IsoTime"),
        "\"11:22:33.5Z\"",
        "11:22:33.500",
    );
    check(
        &time("string", "IsoTimestamp"),
        "\"2017-09-15T11:22:33.5Z\"",
        "2017-09-15T11:22:33.500",
    );
    check(DECIMAL, "\"BNI=\"", "12.34");
    check(DECIMAL, "\"+y4=\"", "-12.34");
    check(DECIMAL, "12.340", "12.34");
    check(DECIMAL, "12.345", "rejected");
    check(DECIMAL, "\"D0JA\"", "rejected");
    check(&DECIMAL.replace("\"6\"", "\"50\""), "\"BNI=\"", "12.34");
    check(&DECIMAL.replace("\"6\"", "\"90\""), "\"BNI=\"", "12.34");
    check(&DECIMAL.replace("\"2\"", "\"-2\""), "\"BNI=\"", "123400");
    let variable = data("struct", "VariableScaleDecimal");
    check(
        &variable,
        r#"{"scale":3,"value":"AYHNIwNFqQ=="}"#,
        "424193032406.441",
    );
    check(&variable, r#"{"value":"BNI=","scale":-2}"#, "123400");
    check(
        &variable,
        r#"{"scale":2000000000,"value":"AQ=="}"#,
        "rejected",
    );
    check(&variable, r#"{"scale":2}"#, "rejected");
    check(
        &data("string", "Json"),
        r#""{\"a\": [1, 2]}""#,
        r#"{"a": [1, 2]}"#,
    );
    check(
        &data("string", "Uuid"),
        "\"7b0c3bb8-2b0e-4a53-9c2b-5d6f8b3f0d11\"",
        "7b0c3bb8-2b0e-4a53-9c2b-5d6f8b3f0d11",
    );
    check(&data("string", "Uuid"), "\"7b0c\"", "rejected");
    check(&data("string", "Enum"), "\"a\"", "a");
    check(
        &data("struct", "geometry.Point"),
        r#"{"x":1.0,"y":2.50}"#,
        r#"{"x":1.0,"y":2.50}"#,
    );
    let bits = r#"{"type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"10"}}"#;
    check(bits, "\"AQI=\"", "1000000001");
    check(bits, "\"AQ==\"", "0000000001");
    check(bits, "\"AQQ=\"", "rejected");
    check(
        r#"{"type":"array","items":{"type":"int32"}}"#,
        "[1, null,2]",
        "[1, , 2]",
    );
    check(
        r#"{"type":"array","items":{"type":"int32"}}"#,
        "[1, \"a\"]",
        "rejected",
    );
    check(r#"{"type":"array","items":{"type":"string"}}"#, "[]", "[]");
    check(
        &format!(r#"{{"type":"array","items":{DECIMAL}}}"#),
        "[\"BNI=\"]",
        "[12.34]",
    );
    check(
        r#"{"type":"array","items":{"type":"array","items":{"type":"int32"}}}"#,
        "[[1], [2]]",
        "[[1], [2]]",
    );
    check(r#"{"type":"map"}"#, r#"{"a":"b"}"#, r#"{"a":"b"}"#);
    for schema in [
        DECIMAL,
        bits,
        &variable,
        &plain("int32"),
        &plain("string"),
        &plain("array"),
    ] {
        check(schema, "null", "null");
    }
}

#[test]
fn declared_types() {
    let check = |kind: &str, value: &str, expect: &str| {
        let expect = Some(expect.to_owned()).filter(|text| text != "rejected");
        assert_eq!(typed(kind, value), expect, "{kind} {value}");
    };
    check("uint64", "18446744073709551615", "18446744073709551615");
    check("uint8", "-1", "rejected");
    check("int64", "1e2", "100");
    check("int64", "5.0", "5");
    check("decimal(5,2)", "12.50", "12.50");
    check("decimal(5,2)", "1e2", "100.00");
    check("decimal(5,2)", "\"-12.5\"", "-12.50");
    check("decimal(5,2)", "\"BNI=\"", "rejected");
    check("decimal(5,2)", "\"NaN\"", "rejected");
    check("decimal(5,2,base64)", "\"BNI=\"", "12.34");
    check(
        "decimal(60,2)",
        "123456789012345678901234567890123456789012345.67",
        "123456789012345678901234567890123456789012345.67",
    );
    check(
        "numeric",
        "123456789012345678901234567890.123456789",
        "123456789012345678901234567890.123456789",
    );
    check("numeric", "\"NaN\"", "NaN");
    check("numeric", "\"x\"", "rejected");
    check("date", "1", "1970-01-02");
    check("date", "\"2024-02-29\"", "2024-02-29");
    check("time(us)", "\"10:00:00.000001\"", "10:00:00.000001");
    check("time(ms)", "\"10:00:00.000001\"", "rejected");
    check("timestamp(ms)", "1", "1970-01-01T00:00:00.001");
    check(
        "timestamp(us)",
        "\"2024-01-01 10:00:00\"",
        "2024-01-01T10:00:00",
    );
    check(
        "timestamptz",
        "\"2024-01-01T10:00:00+02:00\"",
        "2024-01-01T08:00:00Z",
    );
    check("timestamptz", "1", "1970-01-01T00:00:00.000001Z");
    check("json", r#"{"a": 1}"#, r#"{"a": 1}"#);
    check("json", r#""[1]""#, "[1]");
    check("json", r#""not json""#, "rejected");
    check("bits(3)", "\"101\"", "101");
    check("bits(1)", "true", "1");
    check("xml", "\"<a/>\"", "<a/>");
    check("interval", "\"P1D\"", "P1D");
    check("interval", "\"1 day\"", "rejected");
    check("timetz", "\"10:00:00Z\"", "10:00:00Z");
    check(
        "list(date)",
        "[0, \"1970-01-02\"]",
        "[1970-01-01, 1970-01-02]",
    );
    check("float64", "\"Infinity\"", "inf");
    check("binary", "\"AP8=\"", "00ff");
}

#[test]
fn infinities_and_the_end_of_the_day() {
    use arrow::array::AsArray;
    use arrow::datatypes::{Time64MicrosecondType, TimestampMicrosecondType};
    let column = |kind: &str, value: &str| {
        let options = DecoderOptions {
            declared: declared(&[("x", kind)]),
            ..options()
        };
        let records = of_texts(&[(None, Some(&format!(r#"{{"x":{value}}}"#)))]);
        let mut decoded = decoder(Format::DebeziumJson, options).decode(&records);
        decoded.changes.remove(0).rows.column(0).clone()
    };
    for (value, expect) in [
        ("\"infinity\"", i64::MAX),
        ("\"-infinity\"", i64::MIN),
        ("\"+12345-01-01T00:00:00Z\"", 327_403_382_400_000_000),
        ("9223372036825200000", i64::MAX),
    ] {
        let column = column("timestamptz", value);
        assert_eq!(
            column.as_primitive::<TimestampMicrosecondType>().value(0),
            expect,
            "R3 {value}"
        );
    }
    for value in ["\"24:00:00\"", "86400000000"] {
        let column = column("time(us)", value);
        assert_eq!(
            column.as_primitive::<Time64MicrosecondType>().value(0),
            86_400_000_000,
            "R3 {value}"
        );
    }
    for (value, span) in [
        ("\"100:00:00\"", 360_000_000_000),
        ("\"-838:59:59\"", -3_020_399_000_000),
        ("-3020399000000", -3_020_399_000_000),
    ] {
        let column = column("time(us)", value);
        let found = column.as_primitive::<Time64MicrosecondType>().value(0);
        assert_eq!(found, span, "R3 {value}");
    }
}

#[test]
fn an_instant_that_is_declared_as_string_stays_as_it_was_written_r3() {
    let schema = r#"{"type":"struct","fields":[{"field":"id","type":"int64","optional":false},{"field":"at","type":"string","name":"io.debezium.time.ZonedTimestamp","optional":true}]}"#;
    let text = "2024-05-01T10:00:30.123456789+00:00";
    let message = format!(r#"{{"schema":{schema},"payload":{{"id":1,"at":"{text}"}}}}"#);
    let decode = |declared: Option<SchemaRef>| {
        let options = DecoderOptions {
            declared,
            ..options()
        };
        decoder(Format::DebeziumJson, options).decode(&of_texts(&[(ID, Some(&message))]))
    };
    let rejected = decode(None).rejected;
    assert_eq!(rejected.len(), 1, "microseconds do not hold it");
    assert!(
        rejected[0].reason.contains("as string"),
        "{}",
        rejected[0].reason
    );
    let decoded = decode(declared(&[("at", "string"), ("id", "string")]));
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    let rows = &decoded.changes[0].rows;
    let at = rows.column_by_name("at").unwrap();
    assert_eq!(array_value_to_string(at, 0).unwrap(), text);
    let id = rows.column_by_name("id").unwrap();
    assert_eq!(
        *id.data_type(),
        DataType::Int64,
        "a number stays what its schema says"
    );
}
