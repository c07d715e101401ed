use expect_test::{Expect, expect};
use proptest::prelude::*;

use crate::operator::testing::{
    changes, changes_with_before, show_applied, show_before, show_problems, splits_agree,
    text_changes,
};
use crate::operator::{OperatorConfig, check_without_schema, compile};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Mask(toml::from_str(text).expect(text))
}

fn check(rules: &str, expect: Expect) {
    let changes = changes();
    let count = changes.len();
    let mut mask = compile("hide", &config(rules), &changes.schema()).expect(rules);
    let applied = mask.apply(changes).expect("goes on");
    expect.assert_eq(&show_applied(count, &applied));
}

#[test]
fn every_way_to_hide() {
    check(
        "rules = [{ field = 'email', by = 'partial', keep_start = 1, keep_end = 3 }, { field = 'notes', by = 'redact' }, { field = 'status', by = 'redact', text = 'x' }, { field = 'balance', by = 'round', to = 100 }]",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  *@*.Org | x | 0.00 | null
            u | 2 | *@* | x | -100.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@*.org | x | 0.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | x | 1000000.00 | null
            filtered 0 warned 0
        "#]],
    );
    check(
        "rules = [{ field = 'id', by = 'hmac', key = 'secret' }]",
        expect![[r#"
        key Some(["id"]): id | email | status | balance | notes
        c | bd28ee142ca5b46259f6e27fc3a4216f447bd5843c406e63219cff30e73b135b |  A@x.Org | open | 10.50 | {"a":1}
        u | 1b46c1a27eed72fecf2e76f229f9ffd47d327e3ef9a13ad30f46bd247e07fbee | b@y | draft | -1.00 | ?
        d | 88a43b1b8ef6d2e900797363da21fd2bb29351d3022389feb31fb1340a94dae2 | ? | ? | ? | ?
        d | 083a6af60313d47da4f35bc2f765630cc7e31432e3fcba8b0f895735f7fd556a | d@x.org | draft | 5.00 | null
        t | ? | ? | ? | ? | ?
        r | d3123a7052b42272d9b520235008c248a5aff3221cc0c530b754702ad91ab102 | null | open | 1000000.00 | {}
        filtered 0 warned 0
    "#]],
    );
}

/// RFC 4231, test case 2.
#[test]
fn the_keyed_hash_is_the_standard_one() {
    let input = text_changes(&[Some("what do ya want for nothing?"), None]);
    let settings = config("rules = [{ field = 'x', by = 'hmac', key = 'Jefe' }]");
    let mut mask = compile("hide", &settings, &input.schema()).expect("compiles");
    let applied = mask.apply(input).expect("goes on");
    let hash = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let shown = show_applied(2, &applied);
    assert!(
        shown.contains(&format!("c | 1 | {hash}\nc | 2 | null")),
        "{shown}"
    );
}

#[test]
fn a_key_is_not_masked_so_that_rows_fall_together() {
    let input = changes();
    let settings = config("rules = [{ field = 'id', by = 'round', to = 10 }]");
    let mut mask = compile("hide", &settings, &input.schema()).expect("compiles");
    let error = mask.apply(input).expect_err("it stops").to_string();
    assert!(error.contains("key column id"), "{error}");
}

#[test]
fn rows_before_are_masked_too() {
    let input = changes_with_before();
    let settings = config("rules = [{ field = 'email', by = 'redact', text = 'x' }]");
    let mut mask = compile("hide", &settings, &input.schema()).expect("compiles");
    let applied = mask.apply(input).expect("goes on");
    expect![[r#"
        0 c | 5 | null | open | 1000000.00 | {}
        1 u | 1 | x | open | 10.50 | {"a":1}
        2 d | 4 | x | draft | 5.00 | null
        3 d | 2 | x | draft | -1.00 | ?
        4 none
        5 none
    "#]]
    .assert_eq(&show_before(&applied.changes));
}

#[test]
fn wrong_rules_say_what_is_wrong() {
    let check = |rules: &str, expect: Expect| {
        let config = config(rules);
        let mut problems = check_without_schema(&config);
        if problems.is_empty() {
            problems = compile("hide", &config, &changes().schema())
                .err()
                .expect(rules);
        }
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "rules = []",
        expect![[r#"
        rules: there are no rules (add one, as in { field = "notes", by = "redact" })
    "#]],
    );
    check(
        "rules = [{ field = 'email', by = 'hmac' }, { field = 'email', by = 'round' }, { by = 'redact', key = 'x' }]",
        expect![[r#"
        rules.0.key: hmac needs a key (write key = "${env:MASK_KEY}" or key = "${file:mask.key}")
        rules.1.to: round needs a unit (write for example to = 1000, to = "0.5" or to = "month")
        rules.2: a rule needs either field or fields (name one column in field, or several in fields)
        rules.2.key: key belongs to by = "hmac"
    "#]],
    );
    check(
        "rules = [{ field = 'id', by = 'partial' }, { field = 'email', by = 'round', to = 5 }, { field = 'id', by = 'redact', text = 'x' }, { field = 'id', by = 'round', to = 'month' }]",
        expect![[r#"
        rules.0.field: id is int64, and only a text has parts
        rules.1.field: email is text, which cannot be rounded
        rules.2.field: id is int64: leave text out, and it becomes null
        rules.3.field: month is no unit for int64
    "#]],
    );
}

proptest! {
    #[test]
    fn one_batch_equals_every_split_of_it(
        texts in prop::collection::vec(prop::option::of(".{0,8}"), 1..20),
        at in 0_usize..20,
    ) {
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        let settings = config(
            "rules = [{ field = 'x', by = 'partial', keep_end = 2 }, { field = 'id', by = 'hmac', key = 'k' }]",
        );
        splits_agree(&settings, &text_changes(&texts), at);
    }
}

/// The second rule of a column meets what the first one leaves: a text, where a number was.
#[test]
fn each_rule_is_compiled_for_what_those_before_it_leave() {
    let hmac = "{ field = 'balance', by = 'hmac', key = 'secret' }";
    let partial = "{ field = 'balance', by = 'partial', keep_start = 6 }";
    let changes = changes();
    let text = format!("rules = [{hmac}, {partial}]");
    let mut mask = compile("hide", &config(&text), &changes.schema()).expect("a text is masked");
    let applied = mask.apply(changes.clone()).expect("goes on");
    assert!(applied.rejected.is_empty());
    let balance = applied.changes.column("balance").expect("it is there");
    let balance = arrow::array::AsArray::as_string::<i32>(balance).value(0);
    assert!(balance.contains('*'), "{balance}");
    let text = format!("rules = [{hmac}, {{ field = 'balance', by = 'round', to = 100 }}]");
    let compiled = compile("hide", &config(&text), &changes.schema());
    assert!(compiled.is_err(), "a text is no number");
}
