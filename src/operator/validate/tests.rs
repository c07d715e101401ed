//! The rules of `validate`, one by one.
//! Longer than 400 lines: one list of cases.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
    Int32Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Int32Type, Schema};
use expect_test::{Expect, expect};
use syncline_connectors::change::{Logical, Operation, Table};
use syncline_connectors::record::Records;

use super::*;
use crate::operator::testing::{
    changes, changes_with_before, show_applied, show_before, show_problems,
};
use crate::operator::{OperatorConfig, check_without_schema, compile, required_columns};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Validate(toml::from_str(text).expect(text))
}

/// Inserts with one column, `x`.
fn column(field: Field, array: ArrayRef) -> Changes {
    let mut records = Records::default();
    let partition = records.add_partition(
        &syncline_connectors::record::Partition {
            topic: Arc::from("t"),
            number: 0,
        },
        true,
    );
    let rows = array.len();
    for row in 0..rows {
        records.push(partition, row as i64, None, None, None, None);
    }
    let schema = Arc::new(Schema::new(vec![field.with_name("x").with_nullable(true)]));
    Changes {
        table: Arc::new(Table {
            topic: Arc::from("t"),
            database: None,
            schema: None,
            name: Arc::from("t"),
        }),
        key: None,
        rows: RecordBatch::try_new(schema, vec![array]).expect("one column"),
        unset: vec![None],
        before: None,
        not_carried: Vec::new(),
        operations: vec![Operation::Create; rows],
        event_times_ms: vec![None; rows],
        origins: (0..rows as u32).collect(),
        records: Arc::new(records),
    }
}

fn plain(array: ArrayRef) -> Changes {
    let data_type = array.data_type().clone();
    column(Field::new("x", data_type, true), array)
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// The rows that break a rule of column `x`.
fn broken(changes: &Changes, rule: &str) -> Result<Vec<u32>, String> {
    let settings = config(&format!("rules = [{{ field = 'x', {rule} }}]"));
    let mut validate = compile("check", &settings, &changes.schema())
        .map_err(|problems| show_problems(&problems))?;
    let applied = validate.apply(changes.clone()).expect("goes on");
    Ok(applied
        .rejected
        .iter()
        .map(|rejection| rejection.origin)
        .collect())
}

#[test]
fn rows_before_go_with_their_changes_unseen() {
    let changes = changes_with_before();
    let settings = config("rules = [{ field = 'balance', min = 0 }]");
    let mut validate = compile("check", &settings, &changes.schema()).expect("compiles");
    let applied = validate.apply(changes).expect("goes on");
    expect![[r#"
            0 c | 5 | null | open | 1000000.00 | {}
            2 d | 4 | d@x.org | draft | 5.00 | null
            3 d | 2 | b@y | draft | -1.00 | ?
            4 none
            5 none
        "#]]
    .assert_eq(&show_before(&applied.changes));
}

#[test]
fn every_kind_of_rule() {
    let check = |changes: &Changes, rule: &str, expect: &[u32]| {
        assert_eq!(broken(changes, rule).as_deref(), Ok(expect), "{rule}");
    };
    let words = plain(texts(&[
        Some("open"),
        Some(""),
        None,
        Some("närrisch"),
        Some("42"),
    ]));
    check(&words, "required = true", &[2]);
    check(&words, "required = false, length = { min = 0 }", &[]);
    check(&words, "length = 4", &[1, 3, 4]);
    check(&words, "length = 8", &[0, 1, 4]);
    check(&words, "length = { min = 1, max = 4 }", &[1, 3]);
    check(&words, "pattern = '^[a-z]+$'", &[1, 3, 4]);
    check(&words, "one_of = ['open', '42']", &[1, 3]);
    check(&words, "one_of = ['open', 42]", &[1, 3]);
    check(&words, "type = 'integer'", &[0, 1, 3]);
    check(&words, "type = 'string'", &[]);
    check(&words, "type = 'json'", &[0, 1, 3]);
    check(&words, "check = \"x <> 'open'\"", &[0]);
    check(&words, "format = 'email'", &[0, 1, 3, 4]);
    check(
        &words,
        "type = 'integer', length = 2, required = true",
        &[0, 1, 2, 3],
    );

    let forms = plain(texts(&[
        Some("a@b.org"),
        Some("https://b.org"),
        Some("123e4567-e89b-12d3-a456-426614174000"),
        Some("2026-02-28"),
        Some("2026-02-28T10:00:00Z"),
        Some("::1"),
        None,
    ]));
    for (index, form) in ["email", "url", "uuid", "date", "datetime", "ip"]
        .iter()
        .enumerate()
    {
        let others: Vec<u32> = (0..6).filter(|&other| other != index as u32).collect();
        check(&forms, &format!("format = '{form}'"), &others);
    }
    check(&forms, "type = 'date'", &[0, 1, 2, 4, 5]);
    check(&forms, "type = 'timestamp'", &[0, 1, 2, 3, 5]);
    check(&forms, "type = 'uuid'", &[0, 1, 3, 4, 5]);

    let numbers = plain(Arc::new(Int32Array::from(vec![
        Some(-1),
        Some(0),
        Some(5),
        None,
    ])));
    check(&numbers, "min = 0", &[0]);
    check(&numbers, "max = 0", &[2]);
    check(&numbers, "min = 0.5, max = 5", &[0, 1]);
    check(&numbers, "min = '0'", &[0]);
    check(&numbers, "one_of = [0, 5]", &[0]);
    check(&numbers, "type = 'integer'", &[]);
    check(&numbers, "check = 'x + 1 > 0'", &[0]);

    let money = Decimal128Array::from(vec![Some(0), Some(1), Some(999_999_999_999), None])
        .with_precision_and_scale(12, 2)
        .expect("fits");
    let money = plain(Arc::new(money));
    check(&money, "min = 0.005", &[0]);
    check(&money, "min = '0.005'", &[0]);
    check(&money, "max = 0.01", &[2]);
    check(&money, "max = 9999999999.98", &[2]);
    check(&money, "one_of = [0, '0.01']", &[2]);

    let floats = plain(Arc::new(Float64Array::from(vec![0.1, 2.5, f64::NAN])));
    check(&floats, "max = 2.5", &[2]);
    check(&floats, "min = 0.1", &[]);

    let numeric = texts(&[
        Some("12345678901234567890.1"),
        Some("NaN"),
        Some("-0.5"),
        None,
    ]);
    let numeric = column(Logical::Numeric.field("x"), numeric);
    check(&numeric, "min = 0", &[1, 2]);
    check(&numeric, "max = '12345678901234567890'", &[0, 1]);
    check(&numeric, "one_of = [-0.50]", &[0, 1]);

    let dates = plain(Arc::new(Date32Array::from(vec![
        Some(0),
        Some(20_000),
        None,
    ])));
    check(&dates, "min = 2000-01-01", &[0]);
    check(&dates, "max = '2000-01-01'", &[1]);
    let instants = TimestampMicrosecondArray::from(vec![0, i64::MAX]).with_timezone("UTC");
    let instants = plain(Arc::new(instants));
    check(&instants, "min = 2000-01-01T00:00:00Z", &[0]);
    check(&instants, "max = 2000-01-01T00:00:00Z", &[1]);

    let flags = plain(Arc::new(BooleanArray::from(vec![
        Some(true),
        Some(false),
        None,
    ])));
    check(&flags, "one_of = [true]", &[1]);
    check(&flags, "check = 'x'", &[1]);

    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), Some(2)]),
        Some(vec![]),
        None,
    ]);
    check(&plain(Arc::new(lists)), "length = { min = 1 }", &[1]);
    let bytes = plain(Arc::new(BinaryArray::from(vec![&b"ab"[..], b""])));
    check(&bytes, "length = 2", &[1]);
}

#[test]
fn a_rule_that_does_not_fit_its_column_is_told() {
    let check = |changes: &Changes, rule: &str, expect: &str| {
        let problem = broken(changes, rule).expect_err(rule);
        assert_eq!(problem.trim_end(), expect, "{rule}");
    };
    let words = plain(texts(&[None]));
    let numbers = plain(Arc::new(Int32Array::from(vec![1])));
    let json = column(Logical::Json.field("x"), texts(&[None]));
    check(
        &words,
        "min = 0",
        "rules.0.min: x is text, which has no order; min needs a number, a date or a time",
    );
    check(
        &json,
        "max = 0",
        "rules.0.max: x is json, which has no order; max needs a number, a date or a time",
    );
    check(
        &numbers,
        "format = 'email'",
        "rules.0.format: x is int32, but this check needs a text",
    );
    check(
        &numbers,
        "length = 3",
        "rules.0.length: x is int32, which has no length",
    );
    check(
        &numbers,
        "type = 'date'",
        "rules.0.type: x is int32, never date",
    );
    check(
        &numbers,
        "min = 'many'",
        "rules.0.min: many is not a value of type int32",
    );
    check(
        &numbers,
        "max = 3000000000",
        "rules.0.max: 3000000000 is not a value of type int32",
    );
    check(
        &numbers,
        "one_of = [1.5]",
        "rules.0.one_of: 1.5 is not a value of type int32",
    );
    check(
        &numbers,
        "min = 1.23456789012345678",
        "rules.0.min: a number with more than fifteen digits is not exact: write it in quotes",
    );
}

#[test]
fn all_problems_of_the_rules_are_told_at_once() {
    let text = r#"
        rules = [
          { field = "emial", format = "email" },
          { min = 0 },
          { field = "id" },
          { field = "email", pattern = "(" },
          { field = "id", min = 5, max = 1 },
          { field = "email", length = { min = 5, max = 1 }, one_of = [] },
          { check = "balance" },
          { check = "lower(balance) = 'x'" },
        ]
        "#;
    let Err(problems) = compile("check", &config(text), &changes().schema()) else {
        panic!("compiles");
    };
    expect![[r#"
        rules.1.min: min needs a field to check
        rules.2: the rule has no condition (give it required, type, format, min, max, length, pattern, one_of, unique, reference, json_schema or check)
        rules.3.pattern: the pattern is not a valid regular expression: unclosed group
        rules.4.min: min is greater than max
        rules.5.length: min is greater than max
        rules.5.one_of: the list of allowed values is empty
        rules.0.field: no column emial (did you mean email?)
        rules.6.check 0..7: expected a condition, found decimal(12, 2) (compare it with something, as in status = 'open')
        rules.7.check 6..13: lower does not take decimal(12, 2) here (it takes lower(String))
    "#]].assert_eq(&show_problems(&problems));
    let problems = check_without_schema(&config("rules = [{ check = 'a b' }, { max = 1 }]"));
    expect![[r#"
            rules.1.max: max needs a field to check
            rules.0.check 2..3: expected the end of the expression, found b
        "#]]
    .assert_eq(&show_problems(&problems));
    let problems = check_without_schema(&config("rules = []"));
    expect![[r#"
            rules: there are no rules (add one, as in { field = "email", format = "email" })
        "#]]
    .assert_eq(&show_problems(&problems));
}

fn check(text: &str, expect: Expect) {
    let changes = changes();
    let mut validate = match compile("check", &config(text), &changes.schema()) {
        Ok(validate) => validate,
        Err(problems) => panic!("{}", show_problems(&problems)),
    };
    let count = changes.len();
    let shown = match validate.apply(changes) {
        Ok(applied) => show_applied(count, &applied),
        Err(error) => format!("{error}\n"),
    };
    expect.assert_eq(&shown);
}

#[test]
fn a_row_is_rejected_once_with_all_reasons() {
    check(
        r#"rules = [
              { field = "email", format = "email" },
              { field = "balance", min = 0 },
              { check = "balance < 1000000", message = "balance over the firm's limit" },
            ]"#,
        expect![[r#"
                key Some(["id"]): id | email | status | balance | notes
                d | 3 | ? | ? | ? | ?
                d | 4 | d@x.org | draft | 5.00 | null
                t | ? | ? | ? | ? | ?
                rejected 0 Some("email") format = "email": email is not an e-mail address
                rejected 1 Some("email") format = "email": email is not an e-mail address; balance is less than 0
                rejected 5 None check = "balance < 1000000": balance over the firm's limit
                filtered 0 warned 0
            "#]],
    );
}

#[test]
fn the_hardest_fate_is_the_rows() {
    let rules = |fates: [&str; 2]| {
        format!(
            r#"rules = [
                  {{ field = "email", format = "email", on_failure = "{}" }},
                  {{ field = "balance", min = 0, on_failure = "{}" }},
                ]"#,
            fates[0], fates[1]
        )
    };
    check(
        &rules(["warn", "drop"]),
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 1 warned 1
        "#]],
    );
    check(
        &rules(["drop", "quarantine"]),
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            rejected 1 Some("balance") min = 0: email is not an e-mail address; balance is less than 0
            filtered 1 warned 0
        "#]],
    );
    check(
        &rules(["warn", "warn"]),
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 0 warned 2
        "#]],
    );
    check(
        &rules(["warn", "stop"]),
        expect![[r#"
            operator check stops at crm.public.clients[3] offset 101: email is not an e-mail address; balance is less than 0 (min = 0): correct the row at its source, or set another on_failure
        "#]],
    );
}

#[test]
fn on_failure_stands_for_the_rules_that_do_not_say() {
    check(
        "on_failure = 'drop'\nrules = [{ field = 'balance', min = 0 }]",
        expect![[r#"
                key Some(["id"]): id | email | status | balance | notes
                c | 1 |  A@x.Org | open | 10.50 | {"a":1}
                d | 3 | ? | ? | ? | ?
                d | 4 | d@x.org | draft | 5.00 | null
                t | ? | ? | ? | ? | ?
                r | 5 | null | open | 1000000.00 | {}
                filtered 1 warned 0
            "#]],
    );
}

#[test]
fn deletes_truncates_and_unset_values_pass() {
    check(
        r#"rules = [
              { field = "notes", required = true },
              { field = "status", one_of = ["open"], on_failure = "warn" },
              { check = "notes is not null" },
              { check = "_op <> 'd'" },
            ]"#,
        expect![[r#"
                key Some(["id"]): id | email | status | balance | notes
                c | 1 |  A@x.Org | open | 10.50 | {"a":1}
                u | 2 | b@y | draft | -1.00 | ?
                d | 3 | ? | ? | ? | ?
                d | 4 | d@x.org | draft | 5.00 | null
                t | ? | ? | ? | ? | ?
                r | 5 | null | open | 1000000.00 | {}
                filtered 0 warned 1
            "#]],
    );
}

#[test]
fn a_check_that_cannot_be_computed_is_broken() {
    check(
        "rules = [{ check = '10 / (id - 5) < 100' }]",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 5 None check = "10 / (id - 5) < 100": the check cannot be computed: division by zero
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn what_it_looks_at_is_decoded() {
    let settings = config("rules = [{ field = 'a', required = true }, { check = 'b < a' }]");
    let wanted = ["c".to_owned()];
    let required = required_columns(&settings, Some(&wanted));
    assert_eq!(
        required,
        Some(vec!["c".to_owned(), "a".to_owned(), "b".to_owned()])
    );
}

#[test]
fn formats_of_texts() {
    let forms = plain(texts(&[
        Some("10:00:00"),
        Some("10.0.0.1"),
        Some("fe80::1"),
        Some("www.x.org"),
        Some("[1]"),
        None,
    ]));
    for (index, form) in ["time", "ipv4", "ipv6", "hostname", "json"]
        .iter()
        .enumerate()
    {
        let others: Vec<u32> = (0..5).filter(|&other| other != index as u32).collect();
        let rule = format!("format = '{form}'");
        assert_eq!(broken(&forms, &rule), Ok(others), "{rule}");
    }
}

#[test]
fn one_rule_checks_many_columns() {
    check(
        "rules = [{ fields = ['email', 'notes', 'status'], required = true }]",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 5 Some("email") required = true: email is null
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn where_says_which_rows_a_rule_is_about() {
    check(
        "rules = [{ fields = ['email', 'balance'], required = true, where = \"status = 'open'\" }, \
         { field = 'balance', min = 0, where = \"status = 'open'\" }]",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 5 Some("email") required = true where status = 'open': email is null
            filtered 0 warned 0
        "#]],
    );
    // Row 1 does not carry its notes: whether the rule is about it is not known.
    check(
        "rules = [{ field = 'id', max = 0, where = 'notes is null' }]",
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
        "rules = [{ field = 'id', max = 100, message = 'too large', where = '10 / (id - 5) < 100' }]",
        expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 5 Some("id") max = 100 where 10 / (id - 5) < 100: the where of the rule cannot be computed: division by zero
            filtered 0 warned 0
        "#]],
    );
}

#[test]
fn fields_and_where_are_checked() {
    let text = r#"
        rules = [
          { field = "id", fields = ["email"], required = true },
          { fields = ["email", "staus"], required = true },
          { fields = ["email"], check = "id > 0" },
          { field = "id", required = true, where = "balance" },
        ]
        "#;
    let Err(problems) = compile("check", &config(text), &changes().schema()) else {
        panic!("compiles");
    };
    expect![[r#"
        rules.0.fields: fields cannot stand beside field (name every column in fields)
        rules.2.check: check cannot stand beside fields (a check concerns the whole row: give it a rule of its own)
        rules.1.fields.1: no column staus (did you mean status?)
        rules.3.where 0..7: expected a condition, found decimal(12, 2) (compare it with something, as in status = 'open')
    "#]].assert_eq(&show_problems(&problems));
    let settings = config("rules = [{ field = 'id', required = true, where = 'a b' }]");
    expect![[r#"
        rules.0.where 2..3: expected the end of the expression, found b
    "#]]
    .assert_eq(&show_problems(&check_without_schema(&settings)));
    let settings = config("rules = [{ fields = ['a', 'b'], required = true, where = 'c > d' }]");
    let required = required_columns(&settings, Some(&[])).expect("some columns");
    assert_eq!(required, ["a", "b", "c", "d"]);
}

/// Whatever the batches are, the same rows break the same rules.
#[test]
fn every_split_of_a_batch_gives_the_same() {
    let settings = config(
        r#"rules = [
          { fields = ["email", "notes"], required = true, where = "status = 'open'" },
          { field = "email", format = "email", on_failure = "drop" },
          { field = "balance", min = 0, where = "10 / (id - 5) < 100" },
        ]"#,
    );
    let changes = changes_with_before();
    let apply = |pieces: &[std::ops::Range<u32>]| {
        let mut validate = compile("check", &settings, &changes.schema()).expect("compiles");
        let (mut passed, mut rejected, mut filtered) = (String::new(), Vec::new(), 0);
        for piece in pieces {
            let rows: Vec<u32> = piece.clone().collect();
            let applied = validate
                .apply(changes.take(&rows).expect("rows of the batch"))
                .expect("goes on");
            let shown = super::super::testing::show(&applied.changes);
            passed.extend(shown.lines().skip(1).map(|line| format!("{line}\n")));
            passed += &show_before(&applied.changes);
            rejected.extend(applied.rejected);
            filtered += applied.filtered;
        }
        let mut lines: Vec<String> = passed.lines().map(str::to_owned).collect();
        lines.sort();
        (lines, rejected, filtered)
    };
    let rows = changes.len() as u32;
    let whole = apply(std::slice::from_ref(&(0..rows)));
    assert!(!whole.1.is_empty() && whole.2 > 0, "something is refused");
    for cuts in 0..1_u32 << (rows - 1) {
        let mut pieces = Vec::new();
        let mut start = 0;
        for end in 1..=rows {
            if end == rows || cuts >> (end - 1) & 1 == 1 {
                pieces.push(start..end);
                start = end;
            }
        }
        assert_eq!(apply(&pieces), whole, "{pieces:?}");
    }
}
