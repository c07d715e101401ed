//! Errors of a policy are found when it is compiled, each with its path.

use expect_test::{Expect, expect};

use super::*;
use crate::conflict::check as problems_of;

fn check(settings: &[&str], expect: Expect) {
    let shown: Vec<String> = settings
        .iter()
        .flat_map(|settings| problems_of(&policy(settings), &schema(), &[0]))
        .map(|problem| {
            let span = problem.span.map(|span| format!(" {span:?}"));
            let help = problem.help.map(|help| format!("  {help}\n"));
            format!(
                "{}{}: {}\n{}",
                problem.path.join("."),
                span.unwrap_or_default(),
                problem.message,
                help.unwrap_or_default()
            )
        })
        .collect();
    expect.assert_eq(&shown.concat());
}

#[test]
fn a_policy_is_held_against_the_columns() {
    check(
        &[
            "columns.nam='max'",
            "columns.id='max'",
            "columns.doc='max'; columns.name='sum'; columns.items='concat'; columns.total='union'; columns.v='json_merge'",
            "strategy='sum'",
            "strategy='concat'; columns.items='union'; columns.doc='union'; columns.total='sum'; columns.v='max'",
            "strategy='newest_wins'; version='vv'",
            "strategy='newest_wins'; version='name'",
            "strategy='newest_wins'; version='v'; threshold='5s'",
            "columns.total='sum'; base='shadow_hash'",
        ],
        expect![[r#"
            conflict.columns.nam: no column `nam` comes in
              did you mean `name`?
            conflict.columns.id: column id is part of the key, which is the same on both sides of a conflict
              take this strategy out
            conflict.columns.doc: `max` takes numbers, dates, times, timestamps, text and booleans, and column doc is a JSON document
              write another one, as in columns.doc = "merge"
            conflict.columns.items: `concat` takes text, and column items is list of int64
              write another one, as in columns.items = "merge"
            conflict.columns.name: `sum` takes integers, decimals and floats, and column name is text
              write another one, as in columns.name = "merge"
            conflict.columns.total: `union` takes lists and JSON arrays, and column total is int64
              write another one, as in columns.total = "merge"
            conflict.columns.v: `json_merge` takes JSON objects, and column v is int64
              write another one, as in columns.v = "merge"
            conflict.strategy: `sum` takes integers, decimals and floats, and column name is text
              give column name a strategy of its own: columns.name = "merge"
            conflict.strategy: `sum` takes integers, decimals and floats, and column doc is a JSON document
              give column doc a strategy of its own: columns.doc = "merge"
            conflict.strategy: `sum` takes integers, decimals and floats, and column items is list of int64
              give column items a strategy of its own: columns.items = "merge"
            conflict.version: no column `vv` comes in
              did you mean `v`?
            conflict.version: the version column "name" is Utf8, which does not order as versions do: cast it to a timestamp or a number in a map operator
            conflict.version: threshold = "5s" is not a number, as the version column is: write for example "10"
            conflict.columns.total: `sum` needs the value before, of which base = "shadow_hash" keeps only a hash
              write base = "shadow"
        "#]],
    );
}

#[test]
fn an_expression_is_held_against_both_sides() {
    check(
        &[
            "columns.total={ expression='source.totl + 1' }",
            "columns.total={ expression='total + 1' }",
            "columns.total={ expression='trm(source.name)' }",
            "columns.v={ expression='source.items' }",
            "strategy={ expression='source.total > target.total' }",
            "columns.total={ expression='base.total' }; base='shadow_hash'",
            "columns.total={ expression='base.total' }; base='shadow'",
        ],
        expect![[r#"
            conflict.columns.total.expression 0..11: no column source.totl
              did you mean source.total?
            conflict.columns.total.expression 0..5: no column total
              write source.total, target.total or base.total
            conflict.columns.total.expression 0..3: no function trm
              did you mean trim?
            conflict.columns.v.expression 0..12: the expression gives list of int64, but the column v is int64
              cast it, as in cast(… as bigint)
            conflict.strategy.expression 0..27: the expression gives boolean, but it must give the name of the winner
              give 'source', 'target' or 'manual', as in case when … then 'source' else 'target' end
            conflict.columns.total.expression 0..10: the base is not known: base = "shadow_hash" keeps only hashes
              write base = "shadow"
        "#]],
    );
}

#[test]
fn what_has_no_file_says_all_in_one_line() {
    let wrong = resolvers().compile(
        &policy("columns.nam='max'; columns.id='sum'"),
        &schema(),
        &[0],
    );
    let error = wrong.err().expect("it is wrong").to_string();
    assert!(
        error.contains("columns.id") && error.contains("did you mean `name`?"),
        "{error}"
    );
    let wrong = resolvers().compile(&policy("strategy='newest_wins'"), &schema(), &[0]);
    let error = wrong.err().expect("it is wrong").to_string();
    assert!(error.contains("version"), "{error}");
}
