use expect_test::{Expect, expect};
use syncline_connectors::change::Changes;

use crate::operator::testing::{changes, changes_with_before, show, show_problems, splits_agree};
use crate::operator::{BranchConfig, OperatorConfig, check_without_schema, compile};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Route(toml::from_str(text).expect(text))
}

/// What reaches each output, and what is rejected.
fn routed(settings: &str, input: Changes) -> String {
    let config = config(settings);
    let mut route = compile("split", &config, &input.schema()).expect(settings);
    let count = input.len();
    let applied = route.apply(input).expect("goes on");
    assert_eq!(applied.changes.len() + applied.rejected.len(), count);
    let mut shown = String::new();
    for (output, name) in config.output_names("split").into_iter().enumerate() {
        let branch = OperatorConfig::Branch(BranchConfig { output });
        let mut branch = compile(&name, &branch, &route.schema()).expect("it reads a route");
        let marked = applied.changes.len();
        let taken = branch.apply(applied.changes.clone()).expect("goes on");
        assert_eq!(taken.changes.schema(), branch.schema());
        assert_eq!(taken.changes.len() + taken.filtered as usize, marked);
        shown += &format!("{name}: {}", show(&taken.changes));
    }
    for rejection in &applied.rejected {
        shown += &format!(
            "rejected {} {}: {}\n",
            rejection.origin, rejection.rule, rejection.reason
        );
    }
    shown
}

fn check(settings: &str, input: Changes, expect: Expect) {
    expect.assert_eq(&routed(settings, input));
}

#[test]
fn a_row_goes_to_the_first_output_or_to_all() {
    check(
        "outputs = { open = \"status = 'open'\", rich = 'balance > 5' }\notherwise = 'rest'",
        changes(),
        expect![[r#"
            split.open: key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            split.rich: key Some(["id"]): id | email | status | balance | notes
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            split.rest: key Some(["id"]): id | email | status | balance | notes
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
        "#]],
    );
    check(
        "outputs = { open = \"status = 'open'\", rich = 'balance > 5' }\nmatch = 'all'",
        changes(),
        expect![[r#"
            split.open: key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            split.rich: key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
        "#]],
    );
}

/// Row 1 of the batch was `open` before, and is a draft now.
#[test]
fn a_row_that_moves_is_deleted_where_it_was() {
    check(
        "outputs = { open = \"status = 'open'\", draft = \"status = 'draft'\" }",
        changes_with_before(),
        expect![[r#"
            split.open: key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            split.draft: key Some(["id"]): id | email | status | balance | notes
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
        "#]],
    );
}

#[test]
fn a_way_that_cannot_be_known_rejects_the_row() {
    check(
        "outputs = { noted = 'notes is not null', bad = 'id / (id - 5) > 0' }",
        changes(),
        expect![[r#"
            split.noted: key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            split.bad: key Some(["id"]): id | email | status | balance | notes
            d | 3 | ? | ? | ? | ?
            t | ? | ? | ? | ? | ?
            rejected 1 outputs.noted = "notes is not null": the way depends on a column that the source did not send
        "#]],
    );
}

#[test]
fn wrong_settings_say_what_is_wrong() {
    let check = |text: &str, expect: Expect| {
        let config = config(text);
        let mut problems = check_without_schema(&config);
        if problems.is_empty() {
            problems = compile("split", &config, &changes().schema())
                .err()
                .expect(text);
        }
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "outputs = {}",
        expect![[r#"
        outputs: there are no outputs (name at least one, as in outputs = { companies = "kind = 'company'" })
    "#]],
    );
    check(
        "outputs = { 'a b' = 'true', c = 'id +' }\notherwise = 'c'",
        expect![[r#"
        outputs.a b: `a b` is not a valid name for an output (use letters, digits, `_` and `-` only)
        otherwise: `c` has a condition already (choose another name)
        outputs.c 4..4: expected an expression, found the end
    "#]],
    );
    check(
        "outputs = { a = 'id', b = 'nme = 1' }",
        expect![[r#"
        outputs.a 0..2: expected a condition, found int64 (compare it with something, as in status = 'open')
        outputs.b 0..3: no column nme (the columns are id, email, status, balance, notes, _key, _headers, _topic, _partition, _offset, _timestamp, _op, _table, _source, _warnings)
    "#]],
    );
}

#[test]
fn one_batch_equals_every_split_of_it() {
    let settings = config("outputs = { open = \"status = 'open'\", rich = 'balance > 5' }");
    for at in 0..=6 {
        splits_agree(&settings, &changes_with_before(), at);
    }
}
