use expect_test::{Expect, expect};
use proptest::prelude::*;

use crate::operator::testing::{changes, show_applied, show_problems, splits_agree, text_changes};
use crate::operator::{OperatorConfig, check_without_schema, compile};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Dedupe(toml::from_str(text).expect(text))
}

fn passed(settings: &str, values: &[Option<&str>]) -> String {
    let input = text_changes(values);
    let mut once = compile("once", &config(settings), &input.schema()).expect(settings);
    let applied = once.apply(input).expect("goes on");
    let ids = applied
        .changes
        .origins
        .iter()
        .map(|origin| (origin + 1).to_string());
    let ids: Vec<String> = ids.collect();
    format!("{} filtered {}", ids.join(" "), applied.filtered)
}

#[test]
fn a_key_passes_once_in_its_window() {
    let values = [
        Some("a"),
        Some("b"),
        Some("a"),
        None,
        None,
        Some("a"),
        Some("b"),
    ];
    assert_eq!(passed("key = ['x']", &values), "1 2 4 5 filtered 3");
    // The records are a second apart.
    assert_eq!(
        passed("key = ['x']\nwindow = '3s'", &values),
        "1 2 4 5 6 7 filtered 1"
    );
    assert_eq!(
        passed("key = ['x']\nentries = 1", &values),
        "1 2 3 4 5 7 filtered 1"
    );
    assert_eq!(
        passed("key = ['lower(x)', 'id % 2']", &values),
        "1 2 4 5 6 7 filtered 1"
    );
}

/// After a fence the lane reads again: what passed once passes again, and nothing is lost.
#[test]
fn a_change_that_is_read_again_passes_again() {
    let input = text_changes(&[Some("a"), Some("b"), Some("a")]);
    let mut once = compile("once", &config("key = ['x']"), &input.schema()).expect("compiles");
    for _ in 0..2 {
        let applied = once.apply(input.clone()).expect("goes on");
        assert_eq!(applied.changes.origins, [0, 1]);
    }
    let later = input.take(&[1, 2]).expect("two rows");
    let applied = once.apply(later).expect("goes on");
    assert_eq!(applied.changes.origins, [1]);
}

#[test]
fn deletes_and_truncates_pass() {
    let input = changes();
    let mut once = compile("once", &config("key = ['status']"), &input.schema()).expect("compiles");
    let applied = once.apply(input).expect("goes on");
    expect![[r#"
        key Some(["id"]): id | email | status | balance | notes
        c | 1 |  A@x.Org | open | 10.50 | {"a":1}
        u | 2 | b@y | draft | -1.00 | ?
        d | 3 | ? | ? | ? | ?
        d | 4 | d@x.org | draft | 5.00 | null
        t | ? | ? | ? | ? | ?
        r | 5 | null | open | 1000000.00 | {}
        filtered 0 warned 0
    "#]]
    .assert_eq(&show_applied(6, &applied));
}

#[test]
fn wrong_settings_say_what_is_wrong() {
    let check = |text: &str, expect: Expect| {
        let config = config(text);
        let mut problems = check_without_schema(&config);
        if problems.is_empty() {
            problems = compile("once", &config, &changes().schema())
                .err()
                .expect(text);
        }
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "key = []",
        expect![[r#"
        key: the key is empty (name what tells one event from another, as in key = ["event_id"])
    "#]],
    );
    check(
        "key = ['id +']\nwindow = 'soon'",
        expect![[r#"
        window: not a duration (write for example "30s", "10m" or "1d")
        key.0 4..4: expected an expression, found the end
    "#]],
    );
    check(
        "key = ['ident']",
        expect![[r#"
        key.0 0..5: no column ident (the columns are id, email, status, balance, notes, _key, _headers, _topic, _partition, _offset, _timestamp, _op, _table, _source, _warnings)
    "#]],
    );
}

proptest! {
    #[test]
    fn one_batch_equals_every_split_of_it(
        texts in prop::collection::vec(prop::option::of("[abc]"), 1..30),
        at in 0_usize..30,
    ) {
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        splits_agree(&config("key = ['x']\nwindow = '4s'"), &text_changes(&texts), at);
    }
}
