use expect_test::{Expect, expect};
use proptest::prelude::*;

use crate::operator::testing::{
    changes, changes_with_before, show_applied, show_before, show_problems, splits_agree,
    text_changes,
};
use crate::operator::{OperatorConfig, check_without_schema, compile};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Normalize(toml::from_str(text).expect(text))
}

fn check(rules: &str, expect: Expect) {
    let changes = changes();
    let count = changes.len();
    let mut clean = compile("clean", &config(rules), &changes.schema()).expect(rules);
    let applied = clean.apply(changes).expect("goes on");
    expect.assert_eq(&show_applied(count, &applied));
}

#[test]
fn a_value_without_a_form_costs_its_row_or_becomes_null() {
    check(
        "rules = [{ field = 'email', to = 'email' }]",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 | a@x.org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            rejected 1 Some("email") to = "email": the text is not an e-mail address
            filtered 0 warned 0
        "#]],
    );
    check(
        "on_failure = 'null'\nrules = [{ field = 'email', to = 'email' }]",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 | a@x.org | open | 10.50 | {"a":1}
            u | 2 | null | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 0 warned 0
        "#]],
    );
    check(
        "rules = [{ field = 'status', null_if = ['draft'], case = 'upper' }, { field = 'balance', to = 'decimal', scale = 1 }]",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | OPEN | 10.5 | {"a":1}
            u | 2 | b@y | null | -1.0 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | null | 5.0 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | OPEN | 1000000.0 | {}
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn rows_before_are_normalised_too() {
    let changes = changes_with_before();
    let settings = config("rules = [{ field = 'email', to = 'email' }]");
    let mut clean = compile("clean", &settings, &changes.schema()).expect("compiles");
    let applied = clean.apply(changes).expect("goes on");
    expect![[r#"
        0 c | 5 | null | open | 1000000.00 | {}
        2 d | 4 | d@x.org | draft | 5.00 | null
        3 none
        4 none
        5 none
    "#]]
    .assert_eq(&show_before(&applied.changes));
}

#[test]
fn typed_columns() {
    let input = text_changes(&[
        Some("29.02.2024"),
        Some("1.2.2026"),
        None,
        Some("nonsense"),
        Some(""),
    ]);
    let settings =
        config("rules = [{ field = 'x', null_like = true, to = 'date', formats = ['%d.%m.%Y'] }]");
    let mut clean = compile("clean", &settings, &input.schema()).expect("compiles");
    let applied = clean.apply(input).expect("goes on");
    expect![[r#"
        key Some(["id"]): id | x
        c | 1 | 2024-02-29
        c | 2 | 2026-02-01
        c | 3 | null
        c | 5 | null
        rejected 3 Some("x") to = "date", formats = ["%d.%m.%Y"]: the text is not a date in one of the formats that were given
        filtered 0 warned 0
    "#]].assert_eq(&show_applied(5, &applied));
    let input = text_changes(&[
        Some("1.234,50"),
        Some("-0,05"),
        Some("0,005"),
        Some("99999999999,99"),
    ]);
    let settings = config(
        "rules = [{ field = 'x', to = 'decimal', precision = 12, scale = 2, point = ',', group = '.' }]",
    );
    let mut clean = compile("clean", &settings, &input.schema()).expect("compiles");
    let applied = clean.apply(input).expect("goes on");
    expect![[r#"
        key Some(["id"]): id | x
        c | 1 | 1234.50
        c | 2 | -0.05
        rejected 2 Some("x") to = "decimal": the number has more digits than the type that was asked for
        rejected 3 Some("x") to = "decimal": the number has more digits than the type that was asked for
        filtered 0 warned 0
    "#]].assert_eq(&show_applied(4, &applied));
}

#[test]
fn wrong_rules_say_what_is_wrong() {
    let check = |rules: &str, expect: Expect| {
        let config = config(rules);
        let mut problems = check_without_schema(&config);
        if problems.is_empty() {
            problems = compile("clean", &config, &changes().schema())
                .err()
                .expect(rules);
        }
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "rules = []",
        expect![[r#"
        rules: there are no rules (add one, as in { field = "email", to = "email" })
    "#]],
    );
    check(
        "rules = [{ field = 'email' }]",
        expect![[r#"
        rules.0: the rule changes nothing (give it unicode, space, null_like, null_if, case or to)
    "#]],
    );
    check(
        "rules = [{ to = 'email' }]",
        expect![[r#"
        rules.0: a rule needs either field or fields (name one column in field, or several in fields)
    "#]],
    );
    check(
        "rules = [{ field = 'emial', to = 'email', region = 'DE' }, { field = 'x', to = 'phone', region = 'Germany' }]",
        expect![[r#"
            rules.0.region: region belongs to to = "phone"
            rules.1.region: no country Germany with phone numbers (write its two letters, such as DE)
        "#]],
    );
    check(
        "rules = [{ field = 'emial', to = 'email' }]",
        expect![[r#"
        rules.0.field: no column emial (did you mean email?)
    "#]],
    );
    check(
        "rules = [{ field = 'id', case = 'upper' }]",
        expect![[r#"
        rules.0.field: id is int64, and only a text has this form
    "#]],
    );
    check(
        "rules = [{ field = 'email', to = 'timestamp', zone = 'Berlin', formats = ['%Q'] }]",
        expect![[r#"
            rules.0.formats.0: "%Q" is not a format of dates: expected iso, epoch_s, epoch_ms, epoch_us or fields such as %d.%m.%Y
            rules.0.zone: no time zone Berlin (write its name, such as Europe/Berlin)
        "#]],
    );
}

proptest! {
    #[test]
    fn one_batch_equals_every_split_of_it(
        texts in prop::collection::vec(prop::option::of("[ a-zA-Z0-9@./é-]{0,12}"), 1..20),
        at in 0_usize..20,
    ) {
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        let settings = config(
            "rules = [{ field = 'x', unicode = 'nfc', space = 'collapse', null_like = true, case = 'title', to = 'country' }]",
        );
        splits_agree(&settings, &text_changes(&texts), at);
    }
}
