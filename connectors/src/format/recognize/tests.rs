use super::*;

/// Names what the first values are that no decoder could read; `expect` is part of the name.
#[track_caller]
fn check(values: &[&[u8]], of_file: bool, expect: Option<&str>) {
    let found = unreadable(values, of_file).map(|form| form.name);
    match expect {
        Some(part) => assert!(
            found.is_some_and(|name| name.contains(part)),
            "{found:?}, expected {part}"
        ),
        None => assert_eq!(found, None),
    }
}

#[test]
fn compressed_and_binary_forms_are_named() {
    for (head, name) in [
        (&b"\x1f\x8b\x08\0\0\0\xff"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd\x04\x88", "zstd"),
        (b"\x04\x22\x4d\x18\x64\x40", "lz4"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"BZh91AY&SY\xf1\xf2", "bzip2"),
        (b"\x82SNAPPY\0\0\0\0\x01", "snappy"),
        (b"PK\x03\x04\x14\0\0\0", "zip"),
        (b"PAR1\x15\x04\x15\xff", "Parquet"),
        (b"Obj\x01\x04\x14avro.codec", "Avro container"),
        (b"ORC\x0a\xff\xfe\x01\x02", "ORC"),
        (b"ARROW1\0\0\xff\xff", "Arrow"),
        (b"\xff\xfe{\0\"\0", "UTF-16"),
        (b"\xfe\xff\0{\0\"", "UTF-16"),
        (b"{\0\"\0i\0d\0", "UTF-16"),
        (b"\0{\0\"\0i\0d", "UTF-16"),
        (b"\xef\xbb\xbf{\"id\":1}", "byte order mark"),
        (b"\0\0\0\0\x07{\"id\":1}", "JSON behind the five bytes"),
        (b"\0\0\0\0\x07\x02\x06abc", "Avro or Protobuf"),
        (b"\x10\0\0\0\x10_id\0\x01\0\0\0\0\0\0", "BSON"),
        (b"\x08\x96\x01\x12\x04\xf0\x9f\x98\x80", "Protobuf"),
        (b"\x89\xff\x00\x01garbage", "binary data"),
    ] {
        for of_file in [false, true] {
            check(&[head], of_file, Some(name));
            // A file is cut at its line ends: what follows looks like anything.
            check(
                &[head, b"x\xf0", b"\x01"],
                of_file,
                of_file
                    .then_some(name)
                    .filter(|_| magic(head).is_some() || name == "UTF-16"),
            );
        }
        check(&[head, head, head], false, Some(name));
    }
}

#[test]
fn text_that_is_no_object_a_line_is_named() {
    check(&[b"[{\"id\":1},{\"id\":2}]"], true, Some("array"));
    check(
        &[b"[", b"{\"id\":1},", b"{\"id\":2}", b"]"],
        true,
        Some("array"),
    );
    check(&[b"[{\"id\":1},", b"{\"id\":2}]"], true, Some("array"));
    check(&[b"[{\"id\":1}]", b"[{\"id\":2}]"], false, Some("array"));
    check(
        &[b"{", b"\"id\": 1,", b"\"name\": \"a\"", b"}"],
        true,
        Some("several lines"),
    );
    check(
        &[b"{", b"\"before\": null,", b"\"after\": {"],
        true,
        Some("several lines"),
    );
    check(
        &[b"{\"id\": 1,", b"\"name\": \"a\"}", b"{\"id\": 2,"],
        true,
        Some("several lines"),
    );
    check(&[b"id,name", b"1,a", b"2,\"b,c\""], true, Some("CSV"));
    check(&[b"id;name", b"1;a"], true, Some("CSV"));
    check(&[b"id\tname", b"1\ta"], true, Some("CSV"));
    check(&[b"1,a,2", b"2,b,3", b"3,c,4"], false, Some("CSV"));
    check(&[b"<?xml version=\"1.0\"?>", b"<rows>"], true, Some("XML"));
    check(
        &[br#""{\"id\":1}""#, br#""{\"id\":2}""#],
        false,
        Some("JSON string"),
    );
}

#[test]
fn an_array_with_an_element_a_line_is_told_from_a_broken_first_line() {
    let check = |lines: &[&str], expect: bool| {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(array_over_lines(&lines).is_some(), expect);
    };
    check(&["[", "{\"id\":1},", "{\"id\":2}", "]"], true);
    check(&["[{\"id\":1},", "{\"id\":2}]"], true);
    check(&["[", "{\"id\":1}", "{\"id\":2}"], false);
    check(&["[{\"id\":1}]", "{\"id\":2}"], false);
    check(&["["], false);
    check(&["{", "\"id\":1"], false);
}

#[test]
fn bad_data_is_no_form() {
    for of_file in [false, true] {
        // Broken objects, each by itself.
        check(&[b"{\"id\":1", b"{\"id\":2"], of_file, None);
        check(&[b"{\"id\":1,\"name\":\"a\xff\"}"], of_file, None);
        check(&[b"{\"id\":01}", b"{\"id\":02}"], of_file, None);
        check(&[b"hello", b"world"], of_file, None);
        check(&[b"12", b"13"], of_file, None);
        check(&[b"\"text\""], of_file, None);
        check(&[], of_file, None);
        // A line of text that begins as a magic number does.
        check(&[b"PAR1 was sent"], of_file, None);
    }
    // One of a form among others.
    check(&[b"\x1f\x8b\x08", b"{\"id\":1"], false, None);
    check(&[b"{\"id\":1", b"\x1f\x8b\x08"], false, None);
}

#[test]
fn json_of_other_conventions_is_named() {
    let check = |value: &str, expect: Option<&str>| {
        for value in [
            value.to_owned(),
            format!(r#"{{"schema":null,"payload":{value}}}"#),
        ] {
            let found = foreign_json(&[value.as_bytes(), value.as_bytes()]).map(|form| form.name);
            match expect {
                Some(part) => assert!(
                    found.is_some_and(|name| name.contains(part)),
                    "{value}: {found:?}"
                ),
                None => assert_eq!(found, None, "{value}"),
            }
        }
    };
    check(
        r#"{"specversion":"1.0","id":"a","source":"/x","type":"y","data":{}}"#,
        Some("CloudEvents"),
    );
    check(
        r#"{"database":"d","table":"t","type":"insert","ts":1,"xid":2,"data":{"id":1}}"#,
        Some("Maxwell"),
    );
    check(
        r#"{"data":[{"id":"1"}],"database":"d","es":1,"isDdl":false,"table":"t","type":"INSERT"}"#,
        Some("Canal"),
    );
    check(
        r#"{"table":"A.B","op_type":"I","op_ts":"x","after":{"ID":1}}"#,
        Some("GoldenGate"),
    );
    check(
        r#"{"data":{"id":1},"metadata":{"record-type":"data","operation":"load"}}"#,
        Some("DMS"),
    );
    check(
        r#"{"action":"I","schema":"public","table":"t","columns":[]}"#,
        Some("wal2json"),
    );
    check(
        r#"{"before":null,"after":"{\"_id\": {\"$oid\": \"6\"}}","op":"c"}"#,
        Some("MongoDB"),
    );
    check(r#"{"_id":{"$oid":"6"},"name":"a"}"#, Some("MongoDB"));
    check(
        r#"{"before":null,"after":{"crm.public.t.Value":{"id":1,"name":{"string":"a"}}},"op":"c"}"#,
        Some("Avro written as JSON"),
    );
    // Rows with columns of such names, and Debezium's own.
    check(r#"{"id":1,"type":"insert","source":"web"}"#, None);
    check(r#"{"database":"d","table":"t","type":"view"}"#, None);
    check(r#"{"action":"login","schema":1,"table":"t"}"#, None);
    check(r#"{"_id":"6","name":"a"}"#, None);
    check(
        r#"{"before":null,"after":{"note":"{\"a\":1}"},"op":"c"}"#,
        None,
    );
    check(r#"{"before":null,"after":{"doc.Value":1},"op":"c"}"#, None);
    check("not JSON", None);
    let other = r#"{"id":1}"#;
    let event = r#"{"_id":{"$oid":"6"}}"#;
    assert_eq!(foreign_json(&[event.as_bytes(), other.as_bytes()]), None);
}

#[test]
fn a_decimal_in_base64_is_told_from_a_number_and_from_text() {
    for (record, expect) in [
        (r#"{"after":{"amount":"AfQ="},"op":"c"}"#, true),
        (r#"{"payload":{"before":{"amount":"AfQ="},"op":"d"}}"#, true),
        (r#"{"amount":"AfQ="}"#, true),
        (r#"{"amount":"1234"}"#, false),
        (r#"{"amount":"12.5"}"#, false),
        (r#"{"amount":"a lot"}"#, false),
        (r#"{"amount":5}"#, false),
        (r#"{"other":"AfQ="}"#, false),
        ("no JSON", false),
    ] {
        assert_eq!(
            is_base64_field(record.as_bytes(), "amount"),
            expect,
            "{record}"
        );
    }
}
