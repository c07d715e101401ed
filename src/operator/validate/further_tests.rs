//! Warnings, uniqueness, failure rates, JSON Schemas, and what stands beside a reason.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use syncline_connectors::change::{Changes, Operation};

use crate::operator::testing::{
    changes, changes_with_before, show, show_before, show_problems, splits_agree, text_changes,
};
use crate::operator::{
    Applied, Context, OperatorConfig, WARNINGS, check_without_schema, compile, compile_in,
};

fn config(text: &str) -> OperatorConfig {
    OperatorConfig::Validate(toml::from_str(text).expect(text))
}

fn apply(settings: &str, input: &Changes) -> Applied {
    let mut validate = compile("check", &config(settings), &input.schema()).expect(settings);
    let applied = validate.apply(input.clone()).expect("goes on");
    assert_eq!(applied.changes.schema(), validate.schema());
    applied
}

/// The rows that break a rule of column `x`.
fn broken(values: &[Option<&str>], rule: &str) -> Vec<u32> {
    let settings = format!("rules = [{{ field = 'x', {rule} }}]");
    let applied = apply(&settings, &text_changes(values));
    applied
        .rejected
        .iter()
        .map(|rejection| rejection.origin)
        .collect()
}

#[test]
fn formats_of_codes_and_numbers() {
    let check = |rule: &str, values: &[&str], expect: &[u32]| {
        let values: Vec<Option<&str>> = values.iter().copied().map(Some).collect();
        assert_eq!(broken(&values, rule), expect, "{rule}");
    };
    check(
        "format = 'country'",
        &["DE", "de", "DEU", "Germany", "XX", ""],
        &[1, 2, 3, 4, 5],
    );
    check(
        "format = 'currency'",
        &["EUR", "eur", "€", "ZZZ"],
        &[1, 2, 3],
    );
    check(
        "format = 'language'",
        &["de", "de-AT", "deu", "German"],
        &[2, 3],
    );
    check(
        "format = 'iban'",
        &[
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "DE88370400440532013000",
        ],
        &[1, 2],
    );
    check(
        "format = 'phone'",
        &["+4930123456", "030 123456", "+49"],
        &[1, 2],
    );
    check(
        "format = 'phone', region = 'DE'",
        &["+4930123456", "030 123456", "1"],
        &[2],
    );
}

#[test]
fn a_warning_goes_with_its_row() {
    let settings = "rules = [{ field = 'balance', min = 0, severity = 'warning' }, { field = 'email', format = 'email', severity = 'warning', message = 'call the client' }]";
    let input = changes_with_before();
    let applied = apply(settings, &input);
    assert_eq!((applied.warned, applied.rejected.len()), (2, 0));
    expect![[r#"
        key Some(["id"]): id | email | status | balance | notes | _warnings
        c | 1 |  A@x.Org | open | 10.50 | {"a":1} | [{"rule":"format = \"email\"","field":"email","reason":"call the client"}]
        u | 2 | b@y | draft | -1.00 | ? | [{"rule":"min = 0","field":"balance","reason":"balance is less than 0"},{"rule":"format = \"email\"","field":"email","reason":"call the client"}]
        d | 3 | ? | ? | ? | ? | ?
        d | 4 | d@x.org | draft | 5.00 | null | ?
        t | ? | ? | ? | ? | ? | ?
        r | 5 | null | open | 1000000.00 | {} | null
        0 c | 5 | null | open | 1000000.00 | {} | ?
        1 u | 1 |  A@x.Org | open | 10.50 | {"a":1} | ?
        2 d | 4 | d@x.org | draft | 5.00 | null | ?
        3 d | 2 | b@y | draft | -1.00 | ? | ?
        4 none
        5 none
    "#]].assert_eq(&(show(&applied.changes) + &show_before(&applied.changes)));
    // A second operator adds its own.
    let more = apply(
        "rules = [{ field = 'status', one_of = ['open'], severity = 'warning' }]",
        &applied.changes,
    );
    let warnings = more.changes.column(WARNINGS).expect("the column").clone();
    let warnings = arrow::array::AsArray::as_string::<i32>(&warnings);
    expect![[r#"[{"rule":"min = 0","field":"balance","reason":"balance is less than 0"},{"rule":"format = \"email\"","field":"email","reason":"call the client"},{"rule":"one_of = [open]","field":"status","reason":"status is not one of open"}]"#]].assert_eq(warnings.value(1));
}

#[test]
fn a_value_is_one_rows_alone() {
    let values = [Some("a"), Some("b"), Some("a"), None, None, Some("c")];
    assert_eq!(broken(&values, "unique = true"), [2]);
    assert_eq!(
        broken(
            &[Some("a"), Some("b"), Some("c"), Some("a")],
            "unique = true, unique_window = 2"
        ),
        [] as [u32; 0]
    );

    // A row that another rule takes out holds no value.
    let settings = "rules = [{ field = 'x', unique = true }, { check = 'id <> 1' }]";
    let applied = apply(settings, &text_changes(&[Some("a"), Some("a")]));
    let origins: Vec<u32> = applied
        .rejected
        .iter()
        .map(|rejection| rejection.origin)
        .collect();
    assert_eq!(origins, [0]);
}

/// Row 1 has `a`, gives it up, and row 2 takes it.
#[test]
fn a_value_that_moves_is_free() {
    let ids = arrow::array::Int64Array::from(vec![1, 1, 2, 2, 3]);
    let input = text_changes(&[Some("a"), Some("b"), Some("a"), Some("a"), Some("a")]);
    let mut columns = input.rows.columns().to_vec();
    columns[0] = std::sync::Arc::new(ids);
    let rows = arrow::array::RecordBatch::try_new(input.schema(), columns).expect("rows");
    let mut operations = vec![Operation::Create, Operation::Update, Operation::Create];
    operations.extend([Operation::Delete, Operation::Create]);
    let input = Changes {
        rows,
        operations,
        ..input
    };
    let settings = config("rules = [{ field = 'x', unique = true }]");
    let mut validate = compile("check", &settings, &input.schema()).expect("compiles");
    // After a fence all of it is read again, and nothing is refused.
    for _ in 0..2 {
        let applied = validate.apply(input.clone()).expect("goes on");
        assert_eq!(applied.rejected, []);
    }
}

#[test]
fn too_many_failures_stop_the_pipeline() {
    let settings = config(
        "failure_window = 4\nrules = [{ field = 'x', required = true, max_failure_rate = 0.5 }]",
    );
    let context = Context::default();
    let input = text_changes(&[Some("a"), None, None]);
    let mut validate = compile_in("check", &settings, &input.schema(), &context).expect("compiles");
    assert_eq!(
        validate
            .apply(input.clone())
            .expect("too few rows")
            .rejected
            .len(),
        2
    );
    let error = validate.apply(input).expect_err("it stops").to_string();
    expect!["4 of the last 6 rows break required = true of x, more than max_failure_rate = 0.5 allows; nothing of this batch is acknowledged: correct the source or the rule, and the next run reads it again"].assert_eq(&error);
    let counts: Vec<String> = context
        .memory
        .counts()
        .iter()
        .map(|count| {
            format!(
                "{} {:?} {} {}",
                count.rule, count.field, count.action, count.count
            )
        })
        .collect();
    assert_eq!(counts, ["required = true Some(\"x\") quarantine 4"]);

    let all = config(
        "max_failure_rate = 0.3\nfailure_window = 2\nrules = [{ field = 'x', required = true }, { check = 'id > 0' }]",
    );
    let input = text_changes(&[None, Some("a")]);
    let mut validate = compile("check", &all, &input.schema()).expect("compiles");
    assert!(validate.apply(input).is_err());
}

#[test]
fn a_document_satisfies_its_schema() {
    let schema = "json_schema = { type = 'object', required = ['city'], properties = { city = { type = 'string', pattern = '^[A-Z]' } } }";
    let values = [
        Some("{\"city\":\"Bonn\"}"),
        Some("{\"city\":\"bonn\"}"),
        Some("{}"),
        Some("no"),
        None,
    ];
    assert_eq!(broken(&values, schema), [1, 2, 3]);
    // Nothing outside is read, and no pattern takes forever.
    let check = |schema: &str, part: &str| {
        let problems = check_without_schema(&config(&format!(
            "rules = [{{ field = 'x', json_schema = {schema} }}]"
        )));
        let shown = show_problems(&problems);
        assert!(shown.contains(part), "{shown}");
    };
    check(
        "{ '$ref' = 'http://127.0.0.1:9/schema.json' }",
        "it is not a JSON Schema that can be used",
    );
    check(
        "{ pattern = '(a)\\1' }",
        "it is not a JSON Schema that can be used",
    );
    check(
        "{ type = 'strange' }",
        "it is not a JSON Schema that can be used",
    );
}

#[test]
fn what_was_found_stands_beside_the_reason_and_never_in_it() {
    let detail = |settings: &str, value: &str| {
        let applied = apply(settings, &text_changes(&[Some(value)]));
        let rejection = &applied.rejected[0];
        assert!(!rejection.reason.contains(value), "{rejection:?}");
        let detail = rejection.detail.clone().expect("a detail");
        assert_eq!(detail.fingerprint.len(), 16);
        (detail.found, detail.suggestion)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        detail("rules = [{ field = 'x', format = 'date' }]", "29.02.2024"),
        (
            text("29.02.2024"),
            text("did you mean 2024-02-29? normalize_date(x, '%d.%m.%Y')")
        )
    );
    assert_eq!(
        detail(
            "sensitive = ['x']\nrules = [{ field = 'x', format = 'email' }]",
            " ada@example.org"
        ),
        (text("16 characters, hidden"), text("trim(x)"))
    );
    assert_eq!(
        detail("rules = [{ field = 'x', length = 3 }]", "abcd"),
        (text("abcd"), None)
    );
}

#[test]
fn wrong_rules_say_what_is_wrong() {
    let check = |rules: &str, expect: Expect| {
        let problems = check_without_schema(&config(rules));
        expect.assert_eq(&show_problems(&problems));
    };
    check(
        "rules = [{ field = 'x', required = true, severity = 'warning', on_failure = 'stop' }]",
        expect![[r#"
        rules.0.on_failure: a warning lets the row go on (leave out on_failure, or write severity = "error")
    "#]],
    );
    check(
        "rules = [{ field = 'x', required = true, region = 'DE', unique_window = 5 }]",
        expect![[r#"
        rules.0.region: region belongs to format = "phone"
        rules.0.unique_window: unique_window belongs to unique = true
    "#]],
    );
    check(
        "rules = [{ field = 'x', format = 'phone', region = 'Germany' }]",
        expect![[r#"
        rules.0.region: no country Germany with phone numbers (write its two letters, such as DE)
    "#]],
    );
    let columns = changes().schema();
    assert!(
        compile(
            "check",
            &config("rules = [{ field = 'balance', json_schema = { type = 'object' } }]"),
            &columns
        )
        .is_err()
    );
}

proptest! {
    #[test]
    fn one_batch_equals_every_split_of_it(
        texts in prop::collection::vec(prop::option::of("[ab@.]{0,4}"), 1..20),
        at in 0_usize..20,
    ) {
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        let settings = config(
            "rules = [{ field = 'x', unique = true }, { field = 'x', length = { max = 3 }, severity = 'warning' }, { field = 'x', pattern = '^[^.]*$' }]",
        );
        splits_agree(&settings, &text_changes(&texts), at);
    }
}
