use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use expect_test::{Expect, expect};
use syncline_connectors::change::{Changes, Image, Logical, Operation};

use crate::operator::testing::{
    show_applied, show_before, show_problems, splits_agree, text_changes,
};
use crate::operator::{OperatorConfig, compile};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Explode(toml::from_str(text).expect(text))
}

/// Changes of a JSON column `x`, each with its row before.
fn changes(rows: &[(Operation, Option<&str>, Option<&str>)]) -> Changes {
    let after: Vec<Option<&str>> = rows.iter().map(|(_, after, _)| *after).collect();
    let before: Vec<Option<&str>> = rows.iter().map(|(.., before)| *before).collect();
    let inserts = text_changes(&after);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Logical::Json.field("x"),
    ]));
    let present = BooleanBuffer::collect_bool(rows.len(), |row| before[row].is_some());
    let ids = (0..rows.len()).map(|row| present.value(row).then_some(row as i64 + 1));
    let images: Vec<ArrayRef> = vec![
        Arc::new(ids.collect::<Int64Array>()),
        Arc::new(StringArray::from(before)),
    ];
    Changes {
        rows: RecordBatch::try_new(schema.clone(), inserts.rows.columns().to_vec()).expect("rows"),
        before: Some(Image {
            rows: RecordBatch::try_new(schema, images).expect("rows before"),
            unset: vec![None, None],
            present,
        }),
        operations: rows.iter().map(|(operation, ..)| *operation).collect(),
        ..inserts
    }
}

fn check(settings: &str, input: Changes, expect: Expect) {
    let mut explode = compile("lines", &config(settings), &input.schema()).expect(settings);
    let count = input.len();
    let applied = explode.apply(input).expect("goes on");
    let came_in = count + applied.added as usize;
    let shown = show_applied(came_in, &applied) + &show_before(&applied.changes);
    expect.assert_eq(&shown);
}

#[test]
fn each_element_is_a_row_with_its_position() {
    let input = changes(&[
        (Operation::Create, Some("[1, {\"a\": 2}, null]"), None),
        (Operation::Read, Some("[]"), None),
        (Operation::Create, None, None),
        (Operation::Create, Some("{}"), None),
        (Operation::Create, Some("[\"x\"]"), None),
    ]);
    check(
        "field = 'x'\ninto = 'line'\nposition = 'number'",
        input,
        expect![[r#"
        key Some(["id", "number"]): id | line | number
        c | 1 | 1 | 1
        c | 1 | {"a":2} | 2
        c | 1 | null | 3
        c | 5 | "x" | 1
        rejected 3 Some("x") operator lines: the value is not an array
        filtered 2 warned 0
        0 none
        0 none
        0 none
        4 none
    "#]],
    );
}

#[test]
fn an_update_writes_what_is_there_and_deletes_what_went() {
    let input = changes(&[
        (Operation::Update, Some("[1, 2, 3]"), Some("[1]")),
        (Operation::Update, Some("[9]"), Some("[7, 8]")),
        (Operation::Update, Some("[1]"), None),
        (Operation::Delete, Some("[1, 2]"), None),
    ]);
    check(
        "field = 'x'",
        input,
        expect![[r#"
        key Some(["id", "position"]): id | x | position
        u | 1 | 1 | 1
        c | 1 | 2 | 2
        c | 1 | 3 | 3
        u | 2 | 9 | 1
        d | 2 | 8 | 2
        d | 4 | 1 | 1
        d | 4 | 2 | 2
        rejected 2 Some("x") operator lines: the update brings no row before, so that nobody knows which elements went: let the source send whole rows before (REPLICA IDENTITY FULL), or write without_before = "keep"
        filtered 0 warned 0
        0 u | 1 | 1 | 1
        0 none
        0 none
        1 u | 2 | 7 | 1
        1 d | 2 | 8 | 2
        3 none
        3 none
    "#]],
    );
    let input = changes(&[(Operation::Update, Some("[1]"), None)]);
    check(
        "field = 'x'\nwithout_before = 'keep'",
        input,
        expect![[r#"
        key Some(["id", "position"]): id | x | position
        u | 1 | 1 | 1
        filtered 0 warned 0
        0 none
    "#]],
    );
}

#[test]
fn what_carries_no_array_is_refused() {
    let mut input = changes(&[
        (Operation::Delete, None, None),
        (Operation::Update, None, None),
        (Operation::Update, None, Some("[5]")),
        (Operation::Truncate, None, None),
    ]);
    input.unset[1] = Some(BooleanBuffer::new_set(4));
    check(
        "field = 'x'",
        input,
        expect![[r#"
        key Some(["id", "position"]): id | x | position
        u | 3 | 5 | 1
        t | 4 | ? | ?
        rejected 0 Some("x") operator lines: the delete carries only its key, so that nobody knows which rows it means: let the source send whole rows before (REPLICA IDENTITY FULL)
        rejected 1 Some("x") operator lines: the update does not carry the array
        filtered 0 warned 0
        2 u | 3 | 5 | 1
        3 none
    "#]],
    );
}

#[test]
fn wrong_settings_say_what_is_wrong() {
    let check = |text: &str, expect: Expect| {
        let input = changes(&[]);
        let problems = compile("lines", &config(text), &input.schema())
            .err()
            .expect(text);
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "field = 'lines'",
        expect![[r#"
        field: no column lines (the columns are id, x)
    "#]],
    );
    check(
        "field = 'id'",
        expect![[r#"
        field: id is int64, not an array
    "#]],
    );
    check(
        "field = 'x'\nposition = 'id'",
        expect![[r#"
        position: there is a column id already (choose another name)
    "#]],
    );
    check(
        "field = 'x'\ninto = 'p'\nposition = 'p'",
        expect![[r#"
        position: there is a column p already (choose another name)
    "#]],
    );
}

#[test]
fn one_batch_equals_every_split_of_it() {
    let input = changes(&[
        (Operation::Create, Some("[1, 2]"), None),
        (Operation::Update, Some("[3]"), Some("[1, 2]")),
        (Operation::Delete, Some("[3]"), Some("[3]")),
        (Operation::Create, Some("oops"), None),
    ]);
    for at in 0..=input.len() {
        splits_agree(&config("field = 'x'"), &input, at);
    }
}
