//! Expressions and functions: what they give, and what is wrong with them.
//! Longer than 400 lines: one list of cases.

use arrow::array::{
    AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use expect_test::{Expect, expect};

use super::*;

/// Two rows and a third of nulls.
fn rows() -> RecordBatch {
    let decimals = Decimal128Array::from(vec![Some(1050), Some(-1), None])
        .with_precision_and_scale(12, 2)
        .expect("fits");
    let columns: [(&str, ArrayRef); 9] = [
        (
            "id",
            Arc::new(Int64Array::from(vec![Some(1), Some(2), None])),
        ),
        (
            "small",
            Arc::new(Int32Array::from(vec![Some(7), Some(0), None])),
        ),
        (
            "Name",
            Arc::new(StringArray::from(vec![
                Some(" Ada  Byron "),
                Some(""),
                None,
            ])),
        ),
        (
            "email",
            Arc::new(StringArray::from(vec![
                Some(" A@X.org "),
                Some("b@y"),
                None,
            ])),
        ),
        ("balance", Arc::new(decimals)),
        (
            "ratio",
            Arc::new(Float64Array::from(vec![Some(0.5), Some(2.0), None])),
        ),
        (
            "active",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "born",
            Arc::new(Date32Array::from(vec![Some(0), Some(365), None])),
        ),
        (
            "seen",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(0),
                Some(i64::MAX),
                None,
            ])),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

fn show(array: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let formatter = ArrayFormatter::try_new(array, &options).expect("can be shown");
    (0..array.len())
        .map(|row| formatter.value(row).to_string())
        .collect()
}

fn evaluate(text: &str) -> Evaluated {
    let batch = rows();
    match Expression::compile(text, &batch.schema()) {
        Ok(expression) => {
            let evaluated = expression.evaluate(&batch);
            assert_eq!(
                evaluated.array.data_type(),
                expression.data_type(),
                "{text}"
            );
            evaluated
        }
        Err(error) => panic!("{text}: {error:?}"),
    }
}

#[test]
fn expressions_give_what_sql_says() {
    let check = |text: &str, expect: [&str; 3]| {
        let evaluated = evaluate(text);
        assert_eq!(show(&evaluated.array), expect, "{text}");
        assert_eq!(evaluated.failures, [], "{text}");
    };
    check("id", ["1", "2", "null"]);
    check("id + 1", ["2", "3", "null"]);
    check("id + small * 2", ["15", "2", "null"]);
    check("\"Name\" || '!'", [" Ada  Byron !", "!", "null"]);
    check("trim(Name)", ["Ada  Byron", "", "null"]);
    check("UPPER(email)", [" A@X.ORG ", "B@Y", "null"]);
    check("coalesce(email, 'none')", [" A@X.org ", "b@y", "none"]);
    check("coalesce(id = 1, false)", ["true", "false", "false"]);
    check("balance * 1.19", ["12.4950", "-0.0119", "null"]);
    check("balance + 0.005", ["10.505", "-0.005", "null"]);
    check("cast(balance as decimal(12, 1))", ["10.5", "0.0", "null"]);
    check("balance < 1000000", ["true", "true", "null"]);
    check(
        "case when active then 'yes' else 'no' end",
        ["yes", "no", "no"],
    );
    check("id in (1, 3)", ["true", "false", "null"]);
    check("email like '%@x%' or active", ["true", "false", "null"]);
    check("email is null", ["false", "false", "true"]);
    check("id between 2 and 5", ["false", "true", "null"]);
    check("extract(year from born)", ["1970", "1971", "null"]);
    check("date_trunc('month', born) = born", ["true", "true", "null"]);
    check("substring(email from 2 for 3)", ["A@X", "@y", "null"]);
    check("position('@' in email)", ["3", "2", "null"]);
    check("split_part(email, '@', 2)", ["X.org ", "y", "null"]);
    check("regexp_like(email, '^b')", ["false", "true", "null"]);
    check("cast(id as text)", ["1", "2", "null"]);
    check("id::varchar", ["1", "2", "null"]);
    check("array_length([id, small])", ["2", "2", "2"]);
    check("md5('x') = 'y'", ["false", "false", "false"]);
    check("null", ["null", "null", "null"]);
    check("'it''s'", ["it's", "it's", "it's"]);
    check("try_cast(email as int)", ["null", "null", "null"]);
    check("seen > timestamp '2020-01-01'", ["false", "true", "null"]);
    check("named_struct('a', id)['a']", ["1", "2", "null"]);
    // A timestamptz is an instant, a timestamp has microseconds, and infinity stays as it is.
    let at = "cast('2024-02-29T11:14:15.123456+02:00' as timestamptz)";
    check(
        &format!("arrow_typeof({at})"),
        ["Timestamp(µs, \"UTC\")"; 3],
    );
    check(
        &format!("cast({at} as varchar)"),
        ["2024-02-29T09:14:15.123456Z"; 3],
    );
    check(&format!("{at} > '2024-02-29T09:00:00Z'"), ["true"; 3]);
    check("cast(seen as timestamp) = seen", ["true", "true", "null"]);
    check("seen < '2020-01-01'", ["true", "false", "null"]);
    // Syncline's own functions.
    check("normalize_email(email)", ["a@x.org", "b@y", "null"]);
    check("normalize_space(Name)", ["Ada Byron", "", "null"]);
    check("null_if_blank(Name)", [" Ada  Byron ", "null", "null"]);
    check("normalize_unicode('e\u{301}') = '\u{e9}'", ["true"; 3]);
    check(
        "json_text('{\"a\": \"x\", \"b\": 12.50}', 'b')",
        ["12.50"; 3],
    );
    check("json_text('{\"a\": \"x\"}', 'a')", ["x"; 3]);
    check("json_text(email, 'a')", ["null"; 3]);
}

#[test]
fn a_row_that_cannot_be_computed_costs_itself_only() {
    let check = |text: &str, values: [&str; 3], failures: &[(usize, &str)]| {
        let evaluated = evaluate(text);
        assert_eq!(show(&evaluated.array), values, "{text}");
        let found: Vec<(usize, &str)> = evaluated
            .failures
            .iter()
            .map(|f| (f.row, f.reason))
            .collect();
        assert_eq!(found, failures, "{text}");
    };
    check(
        "10 / small",
        ["1", "null", "null"],
        &[(1, "division by zero")],
    );
    check(
        "cast(split_part(email, '@', 2) as int)",
        ["null", "null", "null"],
        &[
            (0, "a value cannot be cast to the type that was asked for"),
            (1, "a value cannot be cast to the type that was asked for"),
        ],
    );
    check(
        "id * 5000000000000000000",
        ["5000000000000000000", "null", "null"],
        &[(1, "the result is out of range")],
    );
    check(
        "cast(id * 200 as tinyint)",
        ["null", "null", "null"],
        &[
            (0, "a value cannot be cast to the type that was asked for"),
            (1, "a value cannot be cast to the type that was asked for"),
        ],
    );
}

#[test]
fn many_bad_rows_are_found_exactly() {
    let texts: Vec<String> = (0..5000)
        .map(|i| {
            if i % 777 == 5 {
                "x".to_owned()
            } else {
                i.to_string()
            }
        })
        .collect();
    let column: ArrayRef = Arc::new(StringArray::from(texts));
    let batch = RecordBatch::try_from_iter([("text", column)]).expect("one column");
    let expression = Expression::compile("cast(text as bigint)", &batch.schema()).expect("ok");
    let evaluated = expression.evaluate(&batch);
    let bad: Vec<usize> = evaluated
        .failures
        .iter()
        .map(|failure| failure.row)
        .collect();
    assert_eq!(bad, [5, 782, 1559, 2336, 3113, 3890, 4667]);
    let values = evaluated
        .array
        .as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(
        (values.value(4), values.is_null(5), values.value(4999)),
        (4, true, 4999)
    );
    assert_eq!(values.null_count(), 7);
}

fn render(text: &str, error: &ExpressionError) -> String {
    let before = text[..error.span.start].chars().count();
    let width = text[error.span.clone()].chars().count().max(1);
    let mut shown = format!(
        "{text}\n{}{}\n{error}\n",
        " ".repeat(before),
        "^".repeat(width)
    );
    if let Some(help) = &error.help {
        shown.push_str(&format!("help: {help}\n"));
    }
    shown
}

#[test]
fn a_caret_stands_under_the_wrong_word() {
    let schema = rows().schema();
    let check = |texts: &[&str], expect: Expect| {
        let shown: Vec<String> = texts
            .iter()
            .map(|text| match Expression::compile(text, &schema) {
                Err(error) => render(text, &error),
                Ok(_) => panic!("{text} compiles"),
            })
            .collect();
        expect.assert_eq(&shown.join("\n"));
    };
    check(
        &["trim(emial)", "lower(name)", "zebra + 1", "emial.x"],
        expect![[r#"
                trim(emial)
                     ^^^^^
                no column emial
                help: did you mean email?

                lower(name)
                      ^^^^
                no column name
                help: did you mean Name?

                zebra + 1
                ^^^^^
                no column zebra
                help: the columns are id, small, Name, email, balance, ratio, active, born, seen

                emial.x
                ^^^^^
                no column emial
                help: did you mean email?
            "#]],
    );
    check(
        &["normalise_email(email)", "frobnicate(id)"],
        expect![[r#"
            normalise_email(email)
            ^^^^^^^^^^^^^^^
            no function normalise_email
            help: did you mean normalize_email?

            frobnicate(id)
            ^^^^^^^^^^
            no function frobnicate
            help: syncline list shows the functions
        "#]],
    );
    check(
        &[
            "abs(email)",
            "substr(email, active)",
            "date_trunc('day', email, 3)",
            "normalize_email(id)",
            "lower(email, id)",
            "id + active",
            "(email) * (2)",
            "active and email",
            "- email",
            "not id",
            "cast(active as date)",
            "cast(id as uuid)",
            "id = active or id = 1",
            "coalesce(id, born)",
        ],
        expect![[r#"
                abs(email)
                    ^^^^^
                abs does not take text here
                help: it takes abs(Numeric(1))

                substr(email, active)
                       ^^^^^^^^^^^^^
                substring does not take (text, boolean)
                help: it takes a text, a start and a length; start and length are whole numbers

                date_trunc('day', email, 3)
                ^^^^^^^^^^
                date_trunc does not take (text, text, int64)
                help: it takes date_trunc(String, Timestamp) or date_trunc(String, Time)

                normalize_email(id)
                                ^^
                normalize_email does not take int64 here
                help: it takes normalize_email(String(1))

                lower(email, id)
                ^^^^^
                lower does not take (text, int64)
                help: it takes lower(String)

                id + active
                   ^
                + does not take int64 and boolean
                help: cast one side, as in cast(… as bigint)

                (email) * (2)
                        ^
                * does not take text and int64
                help: cast one side, as in cast(… as bigint)

                active and email
                       ^^^
                AND does not take boolean and text
                help: cast one side, as in cast(… as bigint)

                - email
                  ^^^^^
                - does not take text

                not id
                    ^^
                NOT does not take int64

                cast(active as date)
                     ^^^^^^
                boolean cannot be cast to DATE

                cast(id as uuid)
                           ^^^^
                no type UUID

                id = active or id = 1
                   ^
                = does not take int64 and boolean
                help: cast one side, as in cast(… as bigint)

                coalesce(id, born)
                         ^^
                coalesce does not take int64 here
                help: cast the arguments to types that the function accepts
            "#]],
    );
    check(
        &[
            "trim(email",
            "id +",
            "id + * 2",
            "id id",
            "'open",
            "",
            "-- nothing",
            "id; drop table x",
            "select 1",
            "order + 1",
            "id as x",
            "'ä' || nme",
        ],
        expect![[r#"
                trim(email
                          ^
                expected ), found the end

                id +
                    ^
                expected an expression, found the end

                id + * 2
                     ^
                expected an expression, found *

                id id
                   ^^
                expected the end of the expression, found id

                'open
                ^^^^^
                unterminated string literal


                ^
                the expression is empty

                -- nothing
                ^^^^^^^^^^
                the expression is empty

                id; drop table x
                  ^
                expected the end of the expression, found ;

                select 1
                       ^
                expected the end of the expression, found 1

                order + 1
                ^^^^^
                no column order
                help: the columns are id, small, Name, email, balance, ratio, active, born, seen

                id as x
                   ^^
                expected the end of the expression, found as

                'ä' || nme
                       ^^^
                no column nme
                help: did you mean Name?
            "#]],
    );
    check(
        &[
            "count(id)",
            "sum(id) over ()",
            "lower(email) over ()",
            "(select 1)",
            "id in (select 1)",
            "exists (select 1)",
            "count(*)",
            "random()",
            "uuid()",
            "id = $1",
            "*",
            "unnest([1, 2])",
            "lower(distinct email)",
            "@@version",
            "generate_series(1, 2) is null and row_number() = 1",
        ],
        expect![[r#"
                count(id)
                ^^^^^
                count is not allowed here
                help: it is an aggregate; an expression sees one row (greatest and least compare columns)

                sum(id) over ()
                ^^^
                sum is not allowed here
                help: it is an aggregate; an expression sees one row (greatest and least compare columns)

                lower(email) over ()
                ^^^^^
                lower takes positional arguments only

                (select 1)
                 ^^^^^^^^
                a subquery is not allowed here

                id in (select 1)
                       ^^^^^^^^
                a subquery is not allowed here

                exists (select 1)
                        ^^^^^^^^
                a subquery is not allowed here

                count(*)
                ^^^^^
                count is not allowed here
                help: it is an aggregate; an expression sees one row (greatest and least compare columns)

                random()
                ^^^^^^
                random is not allowed here
                help: it returns another value when a change is replayed; take a column, or _topic, _partition and _offset, which stay

                uuid()
                ^^^^
                uuid is not allowed here
                help: it returns another value when a change is replayed; take a column, or _topic, _partition and _offset, which stay

                id = $1
                     ^^
                a placeholder is not allowed here

                *
                ^
                expected an expression, found *

                unnest([1, 2])
                ^^^^^^
                unnest is not allowed here
                help: it turns one row into several; an expression returns one value

                lower(distinct email)
                ^^^^^
                lower takes positional arguments only

                @@version
                ^^^^^^^^^
                no column @@version
                help: the columns are id, small, Name, email, balance, ratio, active, born, seen

                generate_series(1, 2) is null and row_number() = 1
                                                  ^^^^^^^^^^
                row_number is not allowed here
                help: it is a window function; an expression sees one row
            "#]],
    );
}

/// The sides of a conflict, as columns with two-part names.
fn sides() -> RecordBatch {
    let batch = rows();
    let named = |side: &str| {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        columns
            .map(|(field, column)| (format!("{side}.{}", field.name()), column.clone(), true))
            .collect::<Vec<_>>()
    };
    let mut columns = named("source");
    columns.extend(named("target"));
    let tags: ArrayRef = Arc::new(arrow::array::StructArray::from(vec![(
        Arc::new(Field::new("x y", DataType::Int64, true)),
        batch.column(0).clone(),
    )]));
    columns.push(("source.tags".to_owned(), tags, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

#[test]
fn names_of_two_parts_are_columns() {
    let batch = sides();
    let check = |text: &str, expect: [&str; 3]| {
        let expression = Expression::compile(text, &batch.schema()).expect(text);
        assert_eq!(show(&expression.evaluate(&batch).array), expect, "{text}");
    };
    check("source.id + target.small", ["8", "2", "null"]);
    check("greatest(source.id, target.id)", ["1", "2", "null"]);
    check(
        "source.\"Name\" || target.email",
        [" Ada  Byron  A@X.org ", "b@y", "null"],
    );
    check("\"source.id\"", ["1", "2", "null"]);
    check("source.tags.\"x y\"", ["1", "2", "null"]);
    check("source.tags['x y'] + source.id", ["2", "4", "null"]);
    let found = names("source.id + target.tags['x'] + other").expect("is SQL");
    let found: Vec<String> = found.iter().map(|name| name.parts.join("/")).collect();
    assert_eq!(found, ["source/id", "target/tags", "other"]);
}

#[test]
fn a_caret_stands_under_both_parts() {
    let schema = sides().schema();
    let check = |texts: &[&str], expect: Expect| {
        let shown: Vec<String> = texts
            .iter()
            .map(|text| match Expression::compile(text, &schema) {
                Err(error) => render(text, &error),
                Ok(_) => panic!("{text} compiles"),
            })
            .collect();
        expect.assert_eq(&shown.join("\n"));
    };
    check(
        &[
            "trim(source.emial)",
            "source.name",
            "1 + email",
            "sorce.email",
            "target",
            "source.id + target.active",
            "source.nme['k']",
        ],
        expect![[r#"
                trim(source.emial)
                     ^^^^^^^^^^^^
                no column source.emial
                help: did you mean source.email?

                source.name
                ^^^^^^^^^^^
                no column source.name
                help: did you mean source.Name?

                1 + email
                    ^^^^^
                no column email
                help: did you mean source.email or target.email?

                sorce.email
                ^^^^^
                no column sorce
                help: the columns are source.id, source.small, source.Name, source.email, source.balance, source.ratio, source.active, source.born, source.seen, target.id, target.small, target.Name, target.email, target.balance, target.ratio, target.active, target.born, target.seen, source.tags

                target
                ^^^^^^
                no column target
                help: did you mean target.id, target.small, target.Name, target.email, target.balance, target.ratio, target.active, target.born or target.seen?

                source.id + target.active
                          ^
                + does not take int64 and boolean
                help: cast one side, as in cast(… as bigint)

                source.nme['k']
                ^^^^^^^^^^
                no column source.nme
                help: did you mean source.Name?
            "#]],
    );
}

#[test]
fn spans_hold_over_lines() {
    let text = "id +\n  trim('ü') ||\n  nme";
    let error = Expression::compile(text, &rows().schema()).expect_err("no such column");
    assert_eq!(&text[error.span.clone()], "nme");
}

#[test]
fn size_is_bounded_before_anything_can_overflow() {
    let schema = rows().schema();
    let chain = |terms: usize| vec!["id"; terms].join(" + ");
    let nested = |depth: usize| format!("{}id{}", "(".repeat(depth), ")".repeat(depth));
    let calls = |depth: usize| format!("{}id{}", "abs(".repeat(depth), ")".repeat(depth));
    let large = [
        chain(2_000),
        chain(4_000),
        nested(3_000),
        calls(2_000),
        "1".repeat(20_000),
    ];
    for text in &large {
        let error = Expression::compile(text, &schema).expect_err("is too large");
        assert!(
            error.message.starts_with("the expression is"),
            "{}",
            error.message
        );
        assert!(references(text).is_err());
    }
    for text in [chain(90), nested(40), calls(40)] {
        let expression = Expression::compile(&text, &schema).expect("is small enough");
        assert_eq!(expression.evaluate(&rows()).failures, []);
    }
}

#[test]
fn now_is_the_time_of_the_batch() {
    let batch = rows();
    let clock = Clock::stopped_at(1_772_230_510_123_456);
    let check = |text: &str, expect: &str| {
        let expression = Expression::compile_at(text, &batch.schema(), &clock).expect(text);
        assert_eq!(
            show(&expression.evaluate(&batch).array),
            [expect; 3],
            "{text}"
        );
    };
    check("now()", "2026-02-27T22:15:10.123456Z");
    check("current_timestamp", "2026-02-27T22:15:10.123456Z");
    check("current_date", "2026-02-27");
    check("current_time", "22:15:10.123456");

    let expression = Expression::compile("now()", &batch.schema()).expect("compiles");
    let at = |evaluated: Evaluated| {
        evaluated
            .array
            .as_primitive::<arrow::datatypes::TimestampMicrosecondType>()
            .value(0)
    };
    let first = at(expression.evaluate(&batch));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while at(expression.evaluate(&batch)) == first {
        assert!(
            std::time::Instant::now() < deadline,
            "now() was folded into a constant"
        );
    }
}

#[test]
fn says_what_it_depends_on() {
    let schema = rows().schema();
    let check = |text: &str, columns: &[usize], column: Option<usize>| {
        let expression = Expression::compile(text, &schema).expect(text);
        assert_eq!(
            (expression.columns(), expression.as_column()),
            (columns, column),
            "{text}"
        );
    };
    check("email", &[3], Some(3));
    check("(email)", &[3], Some(3));
    check("lower(email) || Name", &[2, 3], None);
    check("1 + 1", &[], None);
    check("cast(email as text)", &[3], Some(3));

    let check = |text: &str, expect: &[&str]| {
        assert_eq!(references(text).expect(text), expect, "{text}");
    };
    check("b + a + b", &["b", "a"]);
    check("coalesce(x, lower(\"Y z\"))", &["x", "Y z"]);
    check("point.x + tags['k'].y", &["point", "tags"]);
    check("now()", &[]);
    assert!(references("nope(x)").is_err());
}

#[test]
fn splits_a_condition_at_its_ands() {
    let check = |text: &str, expect: &[&str]| {
        assert_eq!(conjuncts(text).expect(text), expect, "{text}");
    };
    check("a", &["a"]);
    check(
        "a = 1 and (b <> 'x' AND c is null)",
        &["a = 1", "b <> 'x'", "c IS NULL"],
    );
    check("a and b or c", &["a AND b OR c"]);
}

#[test]
fn no_rows_give_no_values() {
    let batch = rows().slice(0, 0);
    let expression = Expression::compile("1 / 0", &batch.schema()).expect("compiles");
    assert_eq!(expression.evaluate(&batch).array.len(), 0);
}
