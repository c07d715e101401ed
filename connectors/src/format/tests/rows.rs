//! Rows that are no events: `json` and `csv`.

use super::*;

fn options(key: &[&str]) -> DecoderOptions {
    DecoderOptions {
        key: Some(key.iter().map(|&name| name.to_owned()).collect()),
        deleted: Some("gone".to_owned()),
        csv: CsvSettings {
            header: Some(["id", "name", "note"].map(str::to_owned).to_vec()),
            null: Some("\\N".to_owned()),
            ..CsvSettings::default()
        },
        ..DecoderOptions::default()
    }
}

fn check(format: Format, options: DecoderOptions, messages: &[Message<'_>], expect: &[&str]) {
    let decoded = decoder(format, options).decode(&of_texts(messages));
    let mut found = show(&decoded);
    found.retain(|line| !line.starts_with("rejected"));
    for rejected in &decoded.rejected {
        let field = rejected
            .field
            .as_deref()
            .map_or(String::new(), |field| format!(" {field}"));
        found.push(format!(
            "reject {}{field}: {}",
            rejected.rule, rejected.reason
        ));
    }
    assert_eq!(found, expect, "{messages:?}");
    assert_eq!(decoded.total(), messages.len() as u64, "{messages:?} (R17)");
}

#[test]
fn an_object_is_a_row_whatever_its_fields_are_called() {
    let check = |messages: &[Message<'_>], expect: &[&str]| {
        check(Format::Json, options(&["id"]), messages, expect);
    };
    check(
        &[(
            None,
            Some(r#"{"id":1,"op":"x","__op":"d","after":{"a":1},"schema":null}"#),
        )],
        &[r#"clients[id] u id=1 op=x __op=d after={"a":1} schema=null"#],
    );
    // A field that a row does not carry is unset (R19).
    check(
        &[
            (None, Some(r#"{"id":1,"name":"a"}"#)),
            (None, Some(r#"{"id":2}"#)),
        ],
        &["clients[id] u id=1 name=a", "clients[id] u id=2 name=-"],
    );
    check(
        &[
            (None, Some("[1]")),
            (None, Some("7")),
            (None, Some(r#"{"id":"#)),
        ],
        &[
            "reject R1: found an array, expected an object",
            "reject R1: found a number, expected an object",
            "reject R1: broken JSON at byte 6: found the end of the message, expected a value",
        ],
    );
}

#[test]
fn a_marked_row_and_a_null_value_are_deletes_by_key() {
    let key = Some(r#"{"id":7}"#);
    check(
        Format::Json,
        DecoderOptions {
            key: None,
            ..options(&[])
        },
        &[
            (key, Some(r#"{"id":7,"gone":false,"name":"a"}"#)),
            (key, Some(r#"{"id":7,"gone":true}"#)),
            (Some(r#"{"id":8}"#), None),
        ],
        &[
            "clients[id] u id=7 name=a",
            "clients[id] d id=7 name=-",
            "clients[id] d id=8 name=-",
        ],
    );
    for mark in ["\"true\"", "1", "\"Y\"", "\"T\""] {
        let text = format!(r#"{{"id":1,"gone":{mark}}}"#);
        check(
            Format::Json,
            options(&["id"]),
            &[(None, Some(&text))],
            &["clients[id] d id=1"],
        );
    }
}

#[test]
fn a_line_of_csv_is_a_row_of_texts() {
    let check = |messages: &[Message<'_>], expect: &[&str]| {
        check(Format::Csv, options(&["id"]), messages, expect);
    };
    check(
        &[
            (None, Some("1,a,")),
            (None, Some("2,\"\",\\N")),
            (None, Some("3,\"b, \"\"c\"\"\",\"\\N\"")),
        ],
        &[
            "clients[id] u id=1 name=a note=null",
            "clients[id] u id=2 name= note=null",
            "clients[id] u id=3 name=b, \"c\" note=\\N",
        ],
    );
    // A line that is no row costs only itself.
    check(
        &[
            (None, Some("1,a")),
            (None, Some("2,a,b,c")),
            (None, Some("3,\"a,b")),
            (None, Some("4,a,b")),
        ],
        &[
            "clients[id] u id=4 name=a note=b",
            "reject R1: found 2 fields, expected 3 as in the header",
            "reject R1: found 4 fields, expected 3 as in the header",
            "reject R1: a quote is not closed",
        ],
    );
}

#[test]
fn declared_columns_of_csv_have_their_types() {
    let declared = DeclaredSchema(
        [
            ("id", "int64"),
            ("name", "decimal(38,2)"),
            ("note", "boolean"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .to_vec(),
    );
    let options = DecoderOptions {
        declared: parse_declared(&declared).ok(),
        ..options(&["id"])
    };
    check(
        Format::Csv,
        options,
        &[
            (
                None,
                Some("9007199254740993,123456789012345678901234567890123456.78,true"),
            ),
            (None, Some("x,1,true")),
        ],
        &[
            "clients[id] u id=9007199254740993 name=123456789012345678901234567890123456.78 note=true",
            "reject R3 id: found a string, expected int64",
        ],
    );
}

#[test]
fn without_names_every_line_is_refused_with_what_to_write() {
    let options = DecoderOptions::default();
    let expect = "reject R1: nothing names the columns: write csv.header = [\"…\"] in the source";
    check(Format::Csv, options, &[(None, Some("1,a"))], &[expect]);
}
