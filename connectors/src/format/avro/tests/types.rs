//! Each type of R3, in Avro and in JSON with its schema.

use super::*;
use crate::format::{Format, decoder};

#[test]
fn a_type_is_the_same_in_both_formats() {
    let check = |avro: &str, bytes: &[u8], connect: &str, json: &str| {
        let schema =
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":{avro}}}]}}"#);
        let value = message(7, bytes);
        let mut avro_decoder = with_schema(Avro::of_events(DecoderOptions::default()), &schema);
        let of_avro = avro_decoder.decode(&records(&[(None, Some(&value))], TOPIC));
        let mut field: Value = serde_json::from_str(connect).unwrap();
        field["field"] = "x".into();
        let text = format!(
            r#"{{"schema":{{"type":"struct","fields":[{field}]}},"payload":{{"x":{json}}}}}"#
        );
        let mut json_decoder = decoder(Format::DebeziumJson, DecoderOptions::default());
        let of_json = json_decoder.decode(&records(&[(None, Some(text.as_bytes()))], TOPIC));
        assert_eq!(of_avro.rejected, of_json.rejected, "{avro}");
        assert_eq!(of_avro.changes.len(), of_json.changes.len(), "{avro}");
        for (left, right) in of_avro.changes.iter().zip(&of_json.changes) {
            assert_eq!(left.rows, right.rows, "{avro}");
            assert_eq!(left.unset, right.unset, "{avro}");
        }
    };
    let named = |kind: &str, name: &str| {
        (
            format!(r#"{{"type":"{kind}","connect.version":1,"connect.name":"{name}"}}"#),
            format!(
                r#"{{"type":"{}","name":"{name}"}}"#,
                match kind {
                    "int" => "int32",
                    "long" => "int64",
                    other => other,
                }
            ),
        )
    };
    let text = |value: &str| [&[2 * value.len() as u8], value.as_bytes()].concat();
    let time = |name: &str| format!("io.debezium.time.{name}");
    let data = |name: &str| format!("io.debezium.data.{name}");
    for (kind, name, bytes, json) in [
        ("int", time("Date"), vec![2], "1"),
        ("int", time("Time"), vec![4], "2"),
        ("long", time("MicroTime"), vec![4], "2"),
        ("long", time("NanoTime"), vec![4], "2"),
        ("long", time("Timestamp"), vec![4], "2"),
        ("long", time("MicroTimestamp"), vec![3], "-2"),
        ("long", time("NanoTimestamp"), vec![4], "2"),
        ("long", time("MicroDuration"), vec![4], "2"),
        (
            "string",
            time("ZonedTimestamp"),
            text("2026-01-02T03:04:05+02:00"),
            "\"2026-01-02T03:04:05+02:00\"",
        ),
        ("string", time("ZonedTimestamp"), text("soon"), "\"soon\""),
        (
            "string",
            time("ZonedTime"),
            text("03:04:05Z"),
            "\"03:04:05Z\"",
        ),
        ("string", time("Interval"), text("P1Y2M"), "\"P1Y2M\""),
        ("int", time("Year"), vec![4], "2"),
        ("string", data("Json"), text("{\"a\":1}"), r#""{\"a\":1}""#),
        (
            "string",
            data("Uuid"),
            text("0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f"),
            "\"0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f\"",
        ),
        ("string", data("Xml"), text("<a/>"), "\"<a/>\""),
        ("string", data("Enum"), text("sad"), "\"sad\""),
        ("string", data("Ltree"), text("a.b"), "\"a.b\""),
        (
            "long",
            "org.apache.kafka.connect.data.Timestamp".to_owned(),
            vec![4],
            "2",
        ),
        (
            "bytes",
            "org.apache.kafka.connect.data.Decimal".to_owned(),
            vec![2, 7],
            "\"Bw==\"",
        ),
    ] {
        let (avro, connect) = named(kind, &name);
        check(&avro, &bytes, &connect, json);
    }
    let plain = |kind: &str| format!(r#"{{"type":"{kind}"}}"#);
    check("\"boolean\"", &[1], &plain("boolean"), "true");
    check("\"int\"", &[1], &plain("int32"), "-1");
    check("\"long\"", &[1], &plain("int64"), "-1");
    check("\"float\"", &0.1f32.to_le_bytes(), &plain("float"), "0.1");
    check("\"double\"", &0.1f64.to_le_bytes(), &plain("double"), "0.1");
    check(
        "\"double\"",
        &f64::NAN.to_le_bytes(),
        &plain("double"),
        "\"NaN\"",
    );
    check("\"bytes\"", &[4, 0, 255], &plain("bytes"), "\"AP8=\"");
    check("\"string\"", &text("a\"\n"), &plain("string"), r#""a\"\n""#);
    check(r#"["null","string"]"#, &[0], &plain("string"), "null");
    let unavailable = text("__debezium_unavailable_value");
    check(
        "\"string\"",
        &unavailable,
        &plain("string"),
        "\"__debezium_unavailable_value\"",
    );
    let encoded = "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"";
    check("\"bytes\"", &unavailable, &plain("bytes"), encoded);
    check(
        r#"{"type":"bytes","connect.name":"io.debezium.data.Bits","connect.parameters":{"length":"3"}}"#,
        &[2, 5],
        r#"{"type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"3"}}"#,
        "\"BQ==\"",
    );
    check(
        r#"{"type":"array","items":["null","long"]}"#,
        &[4, 2, 2, 0, 0],
        r#"{"type":"array","items":{"type":"int64","optional":true}}"#,
        "[1,null]",
    );
    check(
        r#"{"type":"map","values":"int"}"#,
        &[2, 2, b'k', 2, 0],
        r#"{"type":"map","keys":{"type":"string"},"values":{"type":"int32"}}"#,
        r#"{"k":1}"#,
    );
    check(
        r#"{"type":"record","name":"V","connect.name":"io.debezium.data.VariableScaleDecimal","fields":[{"name":"scale","type":"int"},{"name":"value","type":"bytes"}]}"#,
        &[4, 2, 7],
        r#"{"type":"struct","name":"io.debezium.data.VariableScaleDecimal","fields":[]}"#,
        r#"{"scale":2,"value":"Bw=="}"#,
    );
    // Avro's own types.
    check(
        r#"{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}"#,
        &[2, 7],
        r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"6"}}"#,
        "\"Bw==\"",
    );
    let instant = r#"{"type":"string","name":"io.debezium.time.ZonedTimestamp"}"#;
    let millis = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    check(millis, &[4], instant, "\"1970-01-01T00:00:00.002Z\"");
    let local = r#"{"type":"long","logicalType":"local-timestamp-millis"}"#;
    check(
        local,
        &[4],
        r#"{"type":"int64","name":"io.debezium.time.Timestamp"}"#,
        "2",
    );
}

#[test]
fn a_text_that_is_not_utf_8_is_rejected() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"x","type":"string"}]}"#;
    let check = |text: &[u8]| {
        let bytes = [&[2 * text.len() as u8], text].concat();
        let (good, bad) = (message(7, &[2, b'a']), message(7, &bytes));
        let mut decoder = with_schema(Avro::of_rows(DecoderOptions::default()), schema);
        let messages = [&good, &bad, &good].map(|value| (None, Some(value.as_slice())));
        let decoded = decoder.decode(&records(&messages, TOPIC));
        let rejected: Vec<u32> = decoded.rejected.iter().map(|bad| bad.origin).collect();
        assert_eq!((decoded.total(), rejected), (3, vec![1]), "{text:x?}");
    };
    check(b"\xff");
    check(b"a\"\xff");
    check(b"\xc3");
}
