//! Values of Avro as text.

use super::*;

fn write(schema: &str, bytes: &[u8]) -> Option<String> {
    let writer = Writer::new(&Schema::parse(schema, &[]).unwrap(), false);
    let mut out = Vec::new();
    writer
        .write(Input::new(bytes), Extent::Whole, &mut out)
        .ok()?;
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn values_of_every_type() {
    let check = |schema: &str, bytes: &[u8], expect: Option<&str>| {
        assert_eq!(
            write(schema, bytes).as_deref(),
            expect,
            "{schema} {bytes:x?}"
        );
    };
    check("\"null\"", &[], Some("null"));
    check("\"boolean\"", &[1], Some("true"));
    check("\"boolean\"", &[2], None);
    check("\"int\"", &[3], Some("-2"));
    check("\"int\"", &[3, 0], None);
    check("\"float\"", &0.1f32.to_le_bytes(), Some("0.1"));
    check("\"double\"", &1e300f64.to_le_bytes(), Some("1e300"));
    check(
        "\"double\"",
        &f64::NEG_INFINITY.to_le_bytes(),
        Some("\"-Infinity\""),
    );
    check("\"float\"", &f32::NAN.to_le_bytes(), Some("\"NaN\""));
    check("\"string\"", &[4, b'a', b'"'], Some(r#""a\"""#));
    check("\"bytes\"", &[4, 0, 1], Some("\"AAE=\""));
    check(r#"["null","int"]"#, &[0], Some("null"));
    check(r#"["null","int"]"#, &[2, 2], Some("1"));
    check(r#"["null","int"]"#, &[4, 2], None);
    check(
        r#"{"type":"array","items":"int"}"#,
        &[4, 2, 4, 0],
        Some("[1,2]"),
    );
    check(
        r#"{"type":"array","items":"int"}"#,
        &[3, 4, 2, 4, 2, 6, 0],
        Some("[1,2,3]"),
    );
    check(
        r#"{"type":"map","values":"int"}"#,
        &[2, 2, b'k', 2, 0],
        Some(r#"{"k":1}"#),
    );
    check(
        r#"{"type":"enum","name":"e","symbols":["a","b"]}"#,
        &[2],
        Some("\"b\""),
    );
    check(r#"{"type":"enum","name":"e","symbols":["a"]}"#, &[2], None);
    check(
        r#"{"type":"fixed","name":"f","size":2}"#,
        &[0, 1],
        Some("\"AAE=\""),
    );
    check(
        r#"{"type":"record","name":"r","fields":[]}"#,
        &[],
        Some("{}"),
    );
    check(
        r#"{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}"#,
        &[0x0f; 16],
        Some("\"0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f\""),
    );
    check(
        r#"{"type":"fixed","name":"d","size":12,"logicalType":"duration"}"#,
        &[1, 0, 0, 0, 2, 0, 0, 0, 0xDC, 5, 0, 0],
        Some("\"P1M2DT1.500S\""),
    );
    check(
        r#"{"type":"long","logicalType":"timestamp-millis"}"#,
        &[4],
        Some("2000"),
    );
    check(
        r#"{"type":"long","logicalType":"timestamp-nanos"}"#,
        &[2],
        None,
    );
}

#[test]
fn a_few_bytes_cannot_stand_for_endless_items() {
    let nulls = r#"{"type":"array","items":"null"}"#;
    let endless = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
    assert_eq!(write(nulls, &endless), None);
    let itself = r#"{"type":"record","name":"r","fields":[{"name":"r","type":["null","r"]}]}"#;
    assert_eq!(write(itself, &[2; 100_000]), None);
    assert_eq!(
        write(itself, &[2, 0]).as_deref(),
        Some(r#"{"r":{"r":null}}"#)
    );
}
