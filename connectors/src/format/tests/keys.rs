//! Where the key of a row comes from, and what a change of it carries (R2, R10, R12, R14).

use super::*;

/// Changes with their rows before: `c id=6 mail=- was id=5 mail=-`.
fn with_before(decoded: &Decoded) -> Vec<String> {
    let mut lines = Vec::new();
    for changes in &decoded.changes {
        let schema = changes.schema();
        let cells = |rows: &arrow::array::RecordBatch, unset: &[Option<_>], row: usize| {
            let cell = |(at, column): (usize, &ArrayRef)| {
                let mask: Option<&arrow::buffer::BooleanBuffer> = unset[at].as_ref();
                let value = match mask.is_some_and(|mask| mask.value(row)) {
                    true => "-".to_owned(),
                    false if column.is_null(row) => "null".to_owned(),
                    false => text(column, row),
                };
                format!(" {}={value}", schema.field(at).name())
            };
            rows.columns()
                .iter()
                .enumerate()
                .map(cell)
                .collect::<String>()
        };
        for row in 0..changes.len() {
            let mut line = changes.operations[row].letter().to_owned();
            line += &cells(&changes.rows, &changes.unset, row);
            if let Some(before) = changes.before.as_ref().filter(|b| b.present.value(row)) {
                line += " was";
                line += &cells(&before.rows, &before.unset, row);
            }
            lines.push(line);
        }
    }
    lines
}

fn key(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|&name| name.to_owned()).collect())
}

#[track_caller]
fn check_before(options: DecoderOptions, records: &Arc<Records>, expect: &[&str]) {
    let decoded = decoder(Format::DebeziumJson, options).decode(records);
    assert_eq!(with_before(&decoded), expect, "{:?}", decoded.rejected);
}

#[test]
fn an_update_of_a_watched_column_carries_its_row_before_r10() {
    let watching = || DecoderOptions {
        watched: key(&["mail"]).unwrap(),
        ..options()
    };
    let update =
        |before: &str, after: &str| format!(r#"{{"before":{before},"after":{after},"op":"u"}}"#);
    let check = |before: &str, after: &str, expect: &str| {
        let bare = update(before, after);
        let messages = [(ID, Some(bare.as_str())), (ID, Some(bare.as_str()))];
        check_before(watching(), &of_texts(&messages), &[expect, expect]);
    };
    let after = r#"{"id":1,"mail":"b","name":"x"}"#;
    check(
        r#"{"id":1,"mail":"a","name":"x"}"#,
        after,
        "u id=1 mail=b name=x was id=1 mail=a name=x",
    );
    check(
        r#"{"id":1,"mail":"b","name":"y"}"#,
        after,
        "u id=1 mail=b name=x",
    );
    check("null", after, "u id=1 mail=b name=x");
    // A row before of which only the key was sent says nothing about the other columns.
    check(
        r#"{"id":1,"mail":null,"name":null}"#,
        after,
        "u id=1 mail=b name=x",
    );
    // Unwatched: nothing goes along.
    let bare = update(r#"{"id":1,"mail":"a"}"#, r#"{"id":1,"mail":"b"}"#);
    check_before(
        options(),
        &of_texts(&[(ID, Some(&bare))]),
        &["u id=1 mail=b"],
    );
    // Without any key, every row before goes along where it is asked for.
    let keyless = DecoderOptions {
        before_without_key: true,
        ..options()
    };
    check_before(
        keyless.clone(),
        &of_texts(&[(None, Some(&bare)), (ID, Some(&bare))]),
        &["u id=1 mail=b was id=1 mail=a", "u id=1 mail=b"],
    );
}

const LARGE: &str = "__debezium_unavailable_value";

#[test]
fn a_create_that_leaves_out_values_carries_its_old_key_r14() {
    let keyed = || DecoderOptions {
        key: key(&["id"]),
        ..options()
    };
    let update = |before: &str, mail: &str| {
        format!(r#"{{"before":{before},"after":{{"id":6,"mail":"{mail}"}},"op":"u"}}"#)
    };
    for (before, mail, expect) in [
        (
            r#"{"id":5}"#,
            LARGE,
            ["d id=5 mail=-", "c id=6 mail=- was id=5 mail=-"],
        ),
        (
            r#"{"id":5,"mail":null}"#,
            LARGE,
            ["d id=5 mail=-", "c id=6 mail=- was id=5 mail=-"],
        ),
        (
            r#"{"id":5,"mail":"m"}"#,
            LARGE,
            ["d id=5 mail=m", "c id=6 mail=- was id=5 mail=m"],
        ),
        (r#"{"id":5}"#, "n", ["d id=5 mail=-", "c id=6 mail=n"]),
    ] {
        let message = update(before, mail);
        check_before(keyed(), &of_texts(&[(None, Some(&message))]), &expect);
    }
}

#[test]
fn the_header_of_a_create_says_its_old_key_r14() {
    let check = |value: &str, headers: &str, expect: &str| {
        let mut records = Records::default();
        let partition = Partition {
            topic: TOPIC.into(),
            number: 0,
        };
        let partition = records.add_partition(&partition, true);
        let key = Some(&br#"{"id":6}"#[..]);
        let (value, headers) = (Some(value.as_bytes()), Some(headers.as_bytes()));
        records.push(partition, 0, Some(99), key, value, headers);
        check_before(options(), &Arc::new(records), &[expect]);
    };
    let row = |mail: &str| format!(r#"{{"id":6,"mail":"{mail}"}}"#);
    let create = |mail: &str| format!(r#"{{"before":null,"after":{},"op":"c"}}"#, row(mail));
    let header = |text: &str| serde_json::json!({ "__debezium.oldkey": text }).to_string();
    let moved = "c id=6 mail=- was id=5 mail=-";
    check(&create(LARGE), &header(r#"{"id":5}"#), moved);
    check(
        &create(LARGE),
        &header(r#"{"schema":null,"payload":{"id":5}}"#),
        moved,
    );
    check(&row(LARGE), &header(r#"{"id":5}"#), moved);
    check(&create("m"), &header(r#"{"id":5}"#), "c id=6 mail=m");
    // What cannot be read says nothing.
    check(&create(LARGE), &header("Struct{id=5}"), "c id=6 mail=-");
    check(&create(LARGE), &header(r#"{"code":5}"#), "c id=6 mail=-");
    check(&create(LARGE), r#"{"other":"x"}"#, "c id=6 mail=-");
}

#[test]
fn columns_of_the_record_key_are_added_r2() {
    let create = r#"{"before":null,"after":{"name":"a"},"op":"c"}"#;
    let other = r#"{"before":null,"after":{"name":"a","id":7},"op":"c"}"#;
    let delete = r#"{"before":{"name":"a"},"after":null,"op":"d"}"#;
    let flat = r#"{"name":"a"}"#;
    let with = |key_columns: KeyColumns, named: Option<Vec<String>>| DecoderOptions {
        key_columns,
        key: named,
        ..options()
    };
    let id = || key(&["id"]);
    check(
        options(),
        &[
            (ID, Some(create)),
            (ID, Some(delete)),
            (ID, None),
            (ID, Some(create)),
        ],
        &[
            "clients[id] c name=a id=1",
            "clients[id] d name=a id=1",
            "clients[id] c name=a id=1",
        ],
    );
    check(
        options(),
        &[(ID, Some(flat)); 2],
        &["clients[id] u name=a id=1"; 2],
    );
    // A row that has the column keeps it.
    check(
        options(),
        &[(ID, Some(other)), (ID, Some(create))],
        &["clients[id] c name=a id=7", "clients[id] c name=a id=1"],
    );
    // A plain key takes the one name that is configured.
    check(
        with(KeyColumns::Needed, id()),
        &[(Some("7"), Some(create)), (Some("8"), Some(create))],
        &["clients[id] c name=a id=7", "clients[id] c name=a id=8"],
    );
    // A column that a router added, and that no key names.
    let routed = Some(r#"{"id":1,"router":"x"}"#);
    check(
        with(KeyColumns::Needed, id()),
        &[(routed, Some(flat))],
        &["clients[id] u name=a id=1"],
    );
    check(
        with(KeyColumns::Record, id()),
        &[(routed, Some(flat))],
        &["clients[id,router] u name=a id=1 router=x"],
    );
    check(
        with(KeyColumns::Value, id()),
        &[(ID, Some(flat))],
        &["clients[] u name=a"],
    );
}

#[test]
fn the_schema_of_the_key_types_its_columns_r2() {
    let id = r#"{"schema":{"type":"struct","fields":[{"type":"int16","field":"code"}]},"payload":{"code":4}}"#;
    let row = wrapped(r#"{"after":{"id":1,"name":"a"},"op":"c"}"#);
    let decoded = check(
        options(),
        &[(Some(id), Some(&row)), (Some(id), Some(&row))],
        &["clients[code] c id=1 name=a code=4"; 2],
    );
    let schema = decoded.changes[0].schema();
    assert_eq!(schema.field(2).data_type(), &DataType::Int16);
    // A declared text stays one, whatever the key looks like.
    let typed = DecoderOptions {
        declared: declared(&[("id", "string"), ("name", "string")]),
        key: key(&["id"]),
        ..options()
    };
    check(
        typed,
        &[(Some("7"), Some(r#"{"name":"a"}"#)), (Some("7"), None)],
        &["clients[id] u id=7 name=a", "clients[id] d id=7 name=-"],
    );
}

#[test]
fn a_tombstone_is_a_delete_where_its_table_is_known_r12() {
    let row =
        |table: &str| format!(r#"{{"after":{{"id":1}},"op":"c","source":{{"table":"{table}"}}}}"#);
    let (people, pets) = (row("people"), row("pets"));
    // A later message of the topic says the table.
    check(
        options(),
        &[(ID, None), (ID, Some(&people))],
        &["people[id] d id=1", "people[id] c id=1"],
    );
    // Of several tables the schema of the key says which, else it is superseded.
    let named = |name: &str| format!(r#"{{"schema":{{"name":"{name}"}},"payload":{{"id":1}}}}"#);
    let (of_people, of_none) = (
        named("crm.public.people.Key"),
        named("crm.public.rooms.Key"),
    );
    let decoded = check(
        options(),
        &[
            (ID, Some(&people)),
            (ID, Some(&pets)),
            (ID, None),
            (Some(&of_none), None),
            (Some(&of_people), None),
        ],
        &["people[id] c id=1", "people[id] d id=1", "pets[id] c id=1"],
    );
    assert_eq!((decoded.superseded, decoded.total()), (2, 5));
}
