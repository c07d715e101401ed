use std::collections::HashMap;

use expect_test::{Expect, expect};
use serde_json::{Map, Value as Json, json};
use syncline_connectors::change::Changes;

use crate::lookup::{Lookups, Reader};
use crate::operator::testing::{
    changes, changes_with_before, show_applied, show_before, show_problems, text_changes,
};
use crate::operator::{Applied, Context, OperatorConfig, check_without_schema, compile_in};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Lookup(toml::from_str(text).expect(text))
}

fn rows(rows: Json) -> Vec<Map<String, Json>> {
    serde_json::from_value(rows).expect("a list of rows")
}

/// Readers of a table of the name `clients`.
fn readers(config: &OperatorConfig, table: &Json) -> Vec<Reader> {
    let database = toml::from_str::<toml::Table>("path = 'unused.db'\ntable = 'clients'");
    let json = serde_json::to_value(database.expect("settings")).expect("they are JSON");
    let known = syncline_connectors::registry::LOOKUPS.iter();
    let sqlite = known.into_iter().find(|kind| kind.name == "sqlite");
    let place = (sqlite.expect("it is known").read)(json).expect("settings");
    let lookups = Lookups::new(&[], &[("clients".to_owned(), place)]);
    let lookups = lookups.with_rows(&HashMap::from([(
        "clients".to_owned(),
        rows(table.clone()),
    )]));
    let questions = config.questions().into_iter();
    questions
        .map(|question| lookups.reader(&question).expect("it is known"))
        .collect()
}

/// Looks up and applies, as the chain does.
pub(in crate::operator) fn apply(
    config: &OperatorConfig,
    table: &Json,
    input: &Changes,
) -> Applied {
    let mut readers = readers(config, table);
    for reader in &mut readers {
        futures::executor::block_on(reader.find(input)).expect("rows answer");
    }
    let context = Context {
        slots: readers.iter().map(|reader| reader.slot.clone()).collect(),
        ..Context::default()
    };
    let compiled = compile_in("enrich", config, &input.schema(), &context);
    let mut operator = compiled
        .map_err(|problems| show_problems(&problems))
        .expect("it compiles");
    let applied = operator.apply(input.clone()).expect("it goes on");
    assert_eq!(applied.changes.schema(), operator.schema());
    applied
}

fn check(settings: &str, table: &Json, expect: &Expect) {
    let input = changes();
    let applied = apply(&config(settings), table, &input);
    expect.assert_eq(&show_applied(input.len(), &applied));
}

fn table() -> Json {
    json!([
        { "code": "open", "label": "Open", "rank": 1 },
        { "code": "closed", "label": "Closed", "rank": 2 },
    ])
}

const BY_STATUS: &str =
    "lookup = 'clients'\non = { status = 'code' }\ncolumns = { label = 'label', rank = 'rank' }";

#[test]
fn columns_are_added_by_operation() {
    check(
        BY_STATUS,
        &table(),
        &expect![[r#"
            key Some(["id"]): id | email | status | balance | notes | label | rank
            c | 1 |  A@x.Org | open | 10.50 | {"a":1} | Open | 1
            u | 2 | b@y | draft | -1.00 | ? | null | null
            d | 3 | ? | ? | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null | ? | ?
            t | ? | ? | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {} | Open | 1
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn what_is_missing_goes_where_it_is_told() {
    check(
        &format!("{BY_STATUS}\non_missing = 'reject'"),
        &table(),
        &expect![[r#"
            key Some(["id"]): id | email | status | balance | notes | label | rank
            c | 1 |  A@x.Org | open | 10.50 | {"a":1} | Open | 1
            d | 3 | ? | ? | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null | ? | ?
            t | ? | ? | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {} | Open | 1
            rejected 1 Some("status") lookup = "clients": no row has this key
            filtered 0 warned 0
        "#]],
    );
    check(
        &format!("{BY_STATUS}\non_missing = 'drop'"),
        &json!([]),
        &expect![[r#"
            key Some(["id"]): id | email | status | balance | notes | label | rank
            d | 3 | ? | ? | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null | ? | ?
            t | ? | ? | ? | ? | ? | ? | ?
            filtered 3 warned 0
        "#]],
    );
}

/// A null asks for nothing, and several rows mean none.
#[test]
fn a_null_passes_and_several_rows_are_refused() {
    let settings = "lookup = 'clients'\non = { x = 'code' }\ncolumns = { label = 'label' }\non_missing = 'reject'";
    let input = text_changes(&[Some("a"), None, Some("b"), Some("")]);
    let rows = json!([
        { "code": "a", "label": "one" },
        { "code": "b", "label": "two" },
        { "code": "b", "label": "three" },
        { "code": "", "label": null },
    ]);
    let applied = apply(&config(settings), &rows, &input);
    expect![[r#"
        key Some(["id"]): id | x | label
        c | 1 | a | one
        c | 2 | null | null
        c | 4 |  | null
        rejected 2 Some("x") lookup = "clients": several rows have this key, so that none of them is meant: look up by columns that tell the rows apart
        filtered 0 warned 0
    "#]]
    .assert_eq(&show_applied(input.len(), &applied));
}

/// An update that does not bring the column brings nothing that depends on it.
#[test]
fn what_is_not_sent_is_not_looked_up() {
    check(
        "lookup = 'clients'\non = { notes = 'code' }\ncolumns = { label = 'label' }\non_missing = 'drop'",
        &json!([{ "code": "{}", "label": "empty" }]),
        &expect![[r#"
            key Some(["id"]): id | email | status | balance | notes | label
            u | 2 | b@y | draft | -1.00 | ? | ?
            d | 3 | ? | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null | ?
            t | ? | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {} | empty
            filtered 1 warned 0
        "#]],
    );
}

#[test]
fn the_row_before_keeps_its_columns_and_knows_no_others() {
    let applied = apply(&config(BY_STATUS), &table(), &changes_with_before());
    expect![[r#"
        0 | 5 | null | open | 1000000.00 | {} | ? | ?
        1 | 1 |  A@x.Org | open | 10.50 | {"a":1} | ? | ?
        2 | 4 | d@x.org | draft | 5.00 | null | ? | ?
        3 | 2 | b@y | draft | -1.00 | ? | ? | ?
    "#]]
    .assert_eq(
        &show_before(&applied.changes.take(&[0, 1, 2, 3]).expect("four rows"))
            .lines()
            .map(|line| {
                let (row, rest) = line.split_once(' ').expect("a row");
                let (_, values) = rest.split_once(" | ").expect("an operation");
                format!("{row} | {values}\n")
            })
            .collect::<String>(),
    );
}

/// A batch of which a part is left, as after kinds that were refused, finds its answers all the same.
#[test]
fn a_part_of_a_batch_finds_its_answers() {
    let config = config(BY_STATUS);
    let input = changes();
    let mut readers = readers(&config, &table());
    futures::executor::block_on(readers[0].find(&input)).expect("rows answer");
    let context = Context {
        slots: vec![readers[0].slot.clone()],
        ..Context::default()
    };
    let compiled = compile_in("enrich", &config, &input.schema(), &context);
    let mut operator = compiled
        .map_err(|problems| show_problems(&problems))
        .expect("it compiles");
    let part = input.take(&[1, 5]).expect("two rows");
    let applied = operator.apply(part).expect("it goes on");
    expect![[r#"
        key Some(["id"]): id | email | status | balance | notes | label | rank
        u | 2 | b@y | draft | -1.00 | ? | null | null
        r | 5 | null | open | 1000000.00 | {} | Open | 1
        filtered 0 warned 0
    "#]]
    .assert_eq(&show_applied(2, &applied));
}

#[test]
fn wrong_settings_are_told() {
    let check = |settings: &str, expect: &Expect| {
        let config = config(settings);
        let problems = match check_without_schema(&config) {
            problems if problems.is_empty() => {
                let context = Context::default();
                let compiled = compile_in("enrich", &config, &changes().schema(), &context);
                compiled.err().expect("it is wrong")
            }
            problems => problems,
        };
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "lookup = 'clients'\non = {}\ncolumns = {}",
        &expect![[r#"
            on: nothing says how a row is found (say which columns have the same value, as in on = { client_id = "id" })
            columns: no column is added (name what is added, as in columns = { client_name = "name" }; whether a row is there is a rule of `validate`: reference = { lookup = "clients" })
        "#]],
    );
    check(
        "lookup = 'clients'\non = { statsu = 'code' }\ncolumns = { email = 'label' }",
        &expect![[r#"
            columns.email: there is a column email already (choose another name)
            on.statsu: no column statsu (did you mean status?)
        "#]],
    );
}

#[test]
fn the_columns_in_front_are_those_of_the_key() {
    let config = config(BY_STATUS);
    let wanted = ["id".to_owned(), "label".to_owned()];
    assert_eq!(
        crate::operator::required_columns(&config, Some(&wanted)),
        Some(vec!["id".to_owned(), "status".to_owned()])
    );
    assert_eq!(config.column_behind("id").as_deref(), Some("id"));
    assert_eq!(config.column_behind("label"), None);
    let questions = config.questions();
    assert_eq!(questions.len(), 1);
    assert_eq!(questions[0].columns, ["label", "rank"]);
}
