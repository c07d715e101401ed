use expect_test::{Expect, expect};

use crate::operator::testing::{
    changes, changes_with_before, show_applied, show_before, show_problems,
};
use crate::operator::{OperatorConfig, check_without_schema, compile, required_columns};

fn config(condition: &str) -> OperatorConfig {
    let text = format!("where = '''{condition}'''");
    OperatorConfig::Filter(toml::from_str(&text).expect("parses"))
}

fn check(condition: &str, expect: Expect) {
    let changes = changes();
    let mut filter = match compile("active", &config(condition), &changes.schema()) {
        Ok(filter) => filter,
        Err(problems) => panic!("{condition}: {problems:?}"),
    };
    let count = changes.len();
    let applied = filter.apply(changes).expect("goes on");
    expect.assert_eq(&show_applied(count, &applied));
}

#[test]
fn rows_before_go_with_their_changes_unseen() {
    let changes = changes_with_before();
    let mut filter = compile("only", &config("id in (2, 4)"), &changes.schema()).expect("ok");
    let applied = filter.apply(changes).expect("goes on");
    expect![[r#"
            1 u | 1 |  A@x.Org | open | 10.50 | {"a":1}
            3 d | 2 | b@y | draft | -1.00 | ?
            4 none
        "#]]
    .assert_eq(&show_before(&applied.changes));
}

#[test]
fn a_change_passes_where_the_condition_is_true() {
    check(
        "balance > 5",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 2 warned 0
        "#]],
    );
    check(
        "_op in ('c', 'u')",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            t | ? | ? | ? | ? | ?
            filtered 3 warned 0
        "#]],
    );
    check(
        "true",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 0 warned 0
        "#]],
    );
    check(
        "email like '%x%'",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            filtered 2 warned 0
        "#]],
    );
}

#[test]
fn r14_an_unknown_answer_passes_a_delete_and_rejects_an_update() {
    check(
        "notes is null",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 1 None where = "notes is null": the condition depends on a column that the source did not send
            filtered 2 warned 0
        "#]],
    );
    check(
        "status = 'open' and notes = '{}'",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 3 warned 0
        "#]],
    );
    check(
        "_op <> 'd' and status = 'open'",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 3 warned 0
        "#]],
    );
}

#[test]
fn a_row_that_cannot_be_asked_is_rejected() {
    check(
        "10 / (id - 5) < 0",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 5 None where = "10 / (id - 5) < 0": division by zero
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn a_wrong_condition_is_told() {
    let check = |condition: &str, expect: Expect| {
        let Err(problems) = compile("active", &config(condition), &changes().schema()) else {
            panic!("{condition} compiles");
        };
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "status",
        expect![[r#"
            where 0..6: expected a condition, found text (compare it with something, as in status = 'open')
        "#]],
    );
    check(
        "stauts = 'x'",
        expect![[r#"
            where 0..6: no column stauts (did you mean status?)
        "#]],
    );
    let problems = check_without_schema(&config("a = = b"));
    expect![[r#"
            where 4..5: expected an expression, found =
        "#]]
    .assert_eq(&show_problems(&problems));
}

#[test]
fn what_it_asks_about_is_decoded() {
    let wanted = ["id".to_owned()];
    let required = required_columns(&config("id = 1 or status = 'x'"), Some(&wanted));
    assert_eq!(required, Some(vec!["id".to_owned(), "status".to_owned()]));
    assert_eq!(required_columns(&config("id = 1"), None), None);
}
