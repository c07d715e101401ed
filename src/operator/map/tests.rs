use expect_test::{Expect, expect};
use syncline_connectors::change::Logical;

use crate::operator::testing::{
    changes, changes_with_before, show_applied, show_before, show_problems,
};
use crate::operator::{
    OperatorConfig, check_without_schema, compile, named_columns, required_columns,
};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Map(toml::from_str(text).expect(text))
}

fn check(text: &str, expect: Expect) {
    let changes = changes();
    let mut map = match compile("tidy", &config(text), &changes.schema()) {
        Ok(map) => map,
        Err(problems) => panic!("{text}: {problems:?}"),
    };
    let count = changes.len();
    let applied = map.apply(changes).expect("goes on");
    assert_eq!(applied.changes.schema(), map.schema());
    expect.assert_eq(&show_applied(count, &applied));
}

#[test]
fn fields_are_all_that_goes_out_in_their_order() {
    check(
        r#"
        fields.email = "normalize_email(email)"
        fields.client = "id"
        fields.twice = "balance * 2"
        fields.origin = "'crm'"
        fields.at = "_topic || '/' || cast(_partition as text) || '/' || cast(_offset as text)"
        "#,
        expect![[r#"
            key Some(["client"]): email | client | twice | origin | at
            c | a@x.org | 1 | 21.00 | crm | crm.public.clients/3/100
            u | b@y | 2 | -2.00 | crm | crm.public.clients/3/101
            d | ? | 3 | ? | crm | crm.public.clients/3/102
            d | d@x.org | 4 | 10.00 | crm | crm.public.clients/3/103
            t | ? | ? | ? | ? | ?
            r | null | 5 | 2000000.00 | crm | crm.public.clients/3/105
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn shorthands_change_a_few_columns_and_keep_the_rest() {
    check(
        r#"
        drop = ["notes", "balance"]
        rename = { status = "state" }
        set.email = "coalesce(normalize_email(email), 'none')"
        set.op = "_op"
        "#,
        expect![[r#"
            key Some(["id"]): id | email | state | op
            c | 1 | a@x.org | open | c
            u | 2 | b@y | draft | u
            d | 3 | ? | ? | d
            d | 4 | d@x.org | draft | d
            t | ? | ? | ? | ?
            r | 5 | none | open | r
            filtered 0 warned 0
        "#]],
    );
    check(
        r#"keep = ["status", "id"]"#,
        expect![[r#"
        key Some(["id"]): id | status
        c | 1 | open
        u | 2 | draft
        d | 3 | ?
        d | 4 | draft
        t | ? | ?
        r | 5 | open
        filtered 0 warned 0
    "#]],
    );
}

#[test]
fn facts_of_a_change_can_be_named() {
    check(
        r#"
        fields.key = "json_text(_key, 'id')"
        fields.trace = "json_text(_headers, 'trace')"
        fields.time = "_timestamp"
        fields.table = "_table"
        fields.late = "_timestamp > timestamp '1970-01-01T00:00:01' and _offset > 102"
        "#,
        expect![[r#"
            key None: key | trace | time | table | late
            c | 1 | t1 | 1970-01-01T00:00:00Z | clients | false
            u | 2 | null | null | clients | false
            d | 3 | null | 1970-01-01T00:00:02Z | clients | false
            d | 4 | null | 1970-01-01T00:00:03Z | clients | true
            t | ? | ? | ? | ? | ?
            r | 6 | null | 1970-01-01T00:00:05Z | clients | true
            filtered 0 warned 0
        "#]],
    );
}

/// A source that is asked for a column `_offset` of its rows would say that they do not carry it.
#[test]
fn facts_of_a_change_are_no_columns_of_its_row() {
    let config = config("fields.id = 'id'\nfields.at = '_offset'\nfields.key = '_key'");
    assert_eq!(named_columns(&config), ["id"]);
}

#[test]
fn r14_what_depends_on_an_unset_column_is_unset() {
    check(
        r#"
        fields.id = "id"
        fields.notes = "notes"
        fields.either = "coalesce(notes, email, 'neither')"
        fields.constant = "1"
        "#,
        expect![[r#"
            key Some(["id"]): id | notes | either | constant
            c | 1 | {"a":1} | {"a":1} | 1
            u | 2 | ? | ? | 1
            d | 3 | ? | ? | 1
            d | 4 | null | d@x.org | 1
            t | ? | ? | ? | ?
            r | 5 | {} | {} | 1
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn a_row_without_a_value_is_rejected_and_the_rest_goes_on() {
    check(
        r#"
        fields.id = "id"
        fields.share = "100 / (id - 2)"
        fields.domain = "cast(split_part(email, '@', 2) as int)"
        "#,
        expect![[r#"
            key Some(["id"]): id | share | domain
            d | 3 | 100 | ?
            t | ? | ? | ?
            r | 5 | 33 | null
            rejected 0 Some("domain") fields.domain = "cast(split_part(email, '@', 2) as int)": a value cannot be cast to the type that was asked for
            rejected 1 Some("share") fields.share = "100 / (id - 2)": division by zero
            rejected 3 Some("domain") fields.domain = "cast(split_part(email, '@', 2) as int)": a value cannot be cast to the type that was asked for
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn the_key_follows_its_columns() {
    let check = |text: &str, expect: Option<&[&str]>| {
        let changes = changes();
        let mut map = compile("tidy", &config(text), &changes.schema()).expect("compiles");
        let key = map.apply(changes).expect("goes on").changes.key;
        let key: Option<Vec<&str>> = key
            .as_ref()
            .map(|key| key.iter().map(String::as_str).collect());
        assert_eq!(key.as_deref(), expect, "{text}");
    };
    check("fields.client = 'id'", Some(&["client"]));
    check("fields.a = 'id'\nfields.id = 'id'", Some(&["id"]));
    check("rename = { id = 'client' }", Some(&["client"]));
    check("drop = ['email']", Some(&["id"]));
    check("drop = ['id']", None);
    check("set.id = 'id + 1'", None);
    check("fields.id = 'cast(id as text)'", None);
}

fn check_before(text: &str, expect: Expect) {
    let changes = changes_with_before();
    let mut map = compile("tidy", &config(text), &changes.schema()).expect(text);
    let applied = map.apply(changes).expect("goes on");
    if let Some(before) = &applied.changes.before {
        assert_eq!(before.rows.schema(), map.schema());
    }
    expect.assert_eq(&show_before(&applied.changes));
}

#[test]
fn rows_before_are_mapped_as_rows_after_are() {
    check_before(
        r#"
        fields.email  = "normalize_email(email)"
        fields.client = "id"
        fields.twice  = "balance * 2"
        fields.origin = "'crm'"
        fields.of     = "cast(_offset as text) || _op"
        fields.notes  = "lower(notes)"
        "#,
        expect![[r#"
            0 c | null | 5 | 2000000.00 | crm | 100c | {}
            1 u | a@x.org | 1 | 21.00 | crm | 101u | {"a":1}
            2 d | d@x.org | 4 | 10.00 | crm | 102d | null
            3 d | b@y | 2 | -2.00 | crm | 103d | ?
            4 none
            5 none
        "#]],
    );
    check_before(
        "drop = ['email', 'status', 'notes']\nrename.id = 'client'",
        expect![[r#"
            0 c | 5 | 1000000.00
            1 u | 1 | 10.50
            2 d | 4 | 5.00
            3 d | 2 | -1.00
            4 none
            5 none
        "#]],
    );
}

#[test]
fn a_row_before_that_fails_rejects_nothing() {
    // Row 1 is rejected by its row after; the row before of row 3 is that very row.
    let ratio = "fields.id = 'id'\nfields.ratio = '10 / (balance + 1)'";
    check_before(
        ratio,
        expect![[r#"
        0 c | 5 | 0.0000
        2 d | 4 | 1.6666
        3 none
        4 none
        5 none
    "#]],
    );
    // Where no row before is left, there is none.
    let all = "fields.id = 'id'\nfields.x = \"10 / (case when _op = 't' then 1 else 0 end)\"";
    check_before(
        all,
        expect![[r#"
        no row before
    "#]],
    );
}

#[test]
fn rows_before_of_a_whole_batch() {
    let changes = changes_with_before();
    let kept = changes.take(&[0, 1]).expect("two rows");
    let settings = config("set.email = 'upper(email)'\ndrop = ['notes']");
    let mut map = compile("tidy", &settings, &changes.schema()).expect("compiles");
    let applied = map.apply(kept).expect("goes on");
    expect![[r#"
        0 c | 5 | null | open | 1000000.00
        1 u | 1 |  A@X.ORG | open | 10.50
    "#]]
    .assert_eq(&show_before(&applied.changes));
}

#[test]
fn a_column_taken_along_keeps_its_type() {
    let changes = changes();
    let settings = config("fields.renamed = 'notes'\nfields.computed = 'lower(notes)'");
    let map = compile("tidy", &settings, &changes.schema()).expect("compiles");
    let schema = map.schema();
    assert_eq!(Logical::of(schema.field(0)), Some(Logical::Json));
    assert_eq!(Logical::of(schema.field(1)), None);
}

#[test]
fn a_real_column_hides_the_fact_of_its_name() {
    let changes = changes();
    let renamed = config("rename = { status = '_op' }");
    let mut first = compile("first", &renamed, &changes.schema()).expect("compiles");
    let applied = first.apply(changes).expect("goes on");
    let mut second = compile("second", &config("fields.op = '_op'"), &first.schema()).expect("ok");
    let applied = second.apply(applied.changes).expect("goes on");
    let shown = show_applied(6, &applied);
    assert!(shown.contains("c | open\nu | draft\nd | ?\n"), "{shown}");
}

#[test]
fn every_problem_is_told_at_once() {
    let check = |text: &str, expect: Expect| {
        let Err(problems) = compile("tidy", &config(text), &changes().schema()) else {
            panic!("{text} compiles");
        };
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "",
        expect![[r#"
        : the map changes nothing (give it fields, or keep, drop, rename or set)
    "#]],
    );
    check(
        "fields.a = 'id'\ndrop = ['id']\nset.b = 'id'",
        expect![[r#"
        drop: drop cannot stand beside fields (fields names every column that goes out; use set to compute some and keep the rest)
        set: set cannot stand beside fields (fields names every column that goes out; use set to compute some and keep the rest)
    "#]],
    );
    check(
        r#"
        fields.a = "trim(emial)"
        fields.b = "id +"
        fields.c = "lower(id)"
        "#,
        expect![[r#"
            fields.a 5..10: no column emial (did you mean email?)
            fields.b 4..4: expected an expression, found the end
            fields.c 6..8: lower does not take int64 here (it takes lower(String))
        "#]],
    );
    check(
        r#"
        drop = ["note", "id"]
        rename = { stat = "state", email = "status", id = "x" }
        set.b = "nope(id)"
        "#,
        expect![[r#"
            drop.0: no column note (did you mean notes?)
            rename.stat: no column stat (the columns are id, email, status, balance, notes)
            rename.id: column id is renamed, but does not go on
            rename: two columns would be named status (drop one of them, or give it another name)
            set.b 0..4: no function nope (syncline list shows the functions)
        "#]],
    );
    check(
        "keep = ['id']\ndrop = ['email']",
        expect![[r#"
        drop: drop cannot stand beside keep (keep already leaves out all other columns)
    "#]],
    );
    check(
        "drop = ['id', 'email', 'status', 'balance', 'notes']",
        expect![[r#"
            : no column is left
        "#]],
    );
}

#[test]
fn much_is_checked_without_a_schema() {
    let settings = config("fields.a = 'trim(anything)'\nfields.b = 'id +'\nfields.c = 'nope(x)'");
    expect![[r#"
        fields.b 4..4: expected an expression, found the end
        fields.c 0..4: no function nope (syncline list shows the functions)
    "#]]
    .assert_eq(&show_problems(&check_without_schema(&settings)));
}

#[test]
fn only_what_is_needed_is_decoded() {
    let check = |text: &str, wanted: Option<&[&str]>, expect: Option<&[&str]>| {
        let wanted: Option<Vec<String>> =
            wanted.map(|names| names.iter().map(ToString::to_string).collect());
        let found = required_columns(&config(text), wanted.as_deref());
        let found: Option<Vec<&str>> = found
            .as_ref()
            .map(|names| names.iter().map(String::as_str).collect());
        assert_eq!(found.as_deref(), expect, "{text}");
    };
    let fields = "fields.a = 'x || y'\nfields.b = 'y'";
    check(fields, None, Some(&["x", "y"]));
    check(fields, Some(&["b"]), Some(&["y"]));
    check("drop = ['x']", None, None);
    check("drop = ['x']", Some(&["a", "x"]), Some(&["a"]));
    check("keep = ['a', 'b']", None, Some(&["a", "b"]));
    check(
        "rename = { a = 'b' }\nset.c = 'd + e'",
        Some(&["b", "c"]),
        Some(&["d", "e", "a"]),
    );
    check("fields.a = 'x +'", None, None);
}
