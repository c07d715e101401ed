use super::*;

fn definition(arguments: &[(&str, &str)], sql: &str) -> Definition {
    let owned = |(name, data_type): &(&str, &str)| ((*name).to_owned(), (*data_type).to_owned());
    Definition {
        arguments: arguments.iter().map(owned).collect(),
        sql: sql.to_owned(),
    }
}

fn library() -> Definitions {
    let full = definition(
        &[("first", "text"), ("last", "text")],
        "trim(first) || ' ' || trim(last)",
    );
    let loud = definition(&[("name", "text")], "upper(full_name(name, 'x'))");
    Definitions::new(vec![("full_name".into(), full), ("loud".into(), loud)])
        .expect("they are right")
}

#[test]
fn a_call_becomes_its_expression() {
    let check = |text: &str, expect: Option<&str>| {
        let expanded = library().expand(text).expect("it can be expanded");
        assert_eq!(
            expanded.as_ref().map(|expanded| expanded.text.as_str()),
            expect,
            "{text}"
        );
    };
    check("upper(x)", None);
    check("'full_name(a, b)'", None);
    check("\"full_name\"", None);
    check(
        "Full_Name(a, f(b, c)) || '!'",
        Some("(trim(cast((a) as text)) || ' ' || trim(cast((f(b, c)) as text))) || '!'"),
    );
    check(
        "loud(a)",
        Some(
            "(upper((trim(cast((cast((a) as text)) as text)) || ' ' || trim(cast(('x') as text)))))",
        ),
    );
    check(
        "full_name(full_name(a, b), c)",
        Some(
            "(trim(cast(((trim(cast((a) as text)) || ' ' || trim(cast((b) as text)))) as text)) || ' ' || trim(cast((c) as text)))",
        ),
    );
}

#[test]
fn a_part_knows_what_it_stands_for() {
    let expanded = library()
        .expand("x || full_name(a, b) || y")
        .expect("it can be")
        .expect("a call");
    let calls: Vec<_> = expanded
        .parts
        .iter()
        .filter(|(.., is_call)| *is_call)
        .collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].1, 5..20);
    assert_eq!(
        &expanded.text[calls[0].0.clone()],
        "(trim(cast((a) as text)) || ' ' || trim(cast((b) as text)))"
    );
}

#[test]
fn wrong_calls_and_definitions_say_why() {
    let error = library()
        .expand("1 + full_name(a)")
        .expect_err("an argument is missing");
    assert_eq!(error.message, "full_name takes 2 arguments, found 1");
    assert_eq!(error.span, 4..16);
    let check = |name: &str, wrong: Definition, key: &str, message: &str| {
        let errors = Definitions::new(vec![(name.to_owned(), wrong)]).expect_err(name);
        assert_eq!((errors[0].1, errors[0].2.message.as_str()), (key, message));
    };
    check(
        "f",
        definition(&[("x", "text")], "f(x)"),
        "sql",
        "f uses itself",
    );
    check(
        "f",
        definition(&[("x", "text")], "trim(y)"),
        "sql",
        "no column y",
    );
    check(
        "f",
        definition(&[("x", "colour")], "x"),
        "arguments",
        "argument x: no type colour",
    );
    check(
        "upper",
        definition(&[], "1"),
        "",
        "`upper` is a function already",
    );
    check(
        "a b",
        definition(&[], "1"),
        "",
        "`a b` is not a valid name for a function",
    );
}
