use super::*;

fn check(line: &str, expect: Result<&[(&str, bool)], &str>) {
    let mut fields = Vec::new();
    let done = split(line.as_bytes(), b',', b'"', |field, quoted| {
        fields.push((String::from_utf8_lossy(field).into_owned(), quoted));
    });
    let fields: Vec<(&str, bool)> = fields
        .iter()
        .map(|(text, quoted)| (text.as_str(), *quoted))
        .collect();
    match (done, expect) {
        (Ok(()), Ok(expect)) => assert_eq!(fields, expect, "{line}"),
        (Err(found), Err(expect)) => assert_eq!(found, expect, "{line}"),
        (done, expect) => panic!("{line}: {done:?}, expected {expect:?}"),
    }
}

#[test]
fn a_line_is_split_as_rfc_4180_says() {
    check("", Ok(&[("", false)]));
    check("a,b", Ok(&[("a", false), ("b", false)]));
    check(",", Ok(&[("", false), ("", false)]));
    check("\"\",", Ok(&[("", true), ("", false)]));
    check("\"a,\"\"b\"\"\",c", Ok(&[("a,\"b\"", true), ("c", false)]));
    check("\"a\nb\"", Ok(&[("a\nb", true)]));
    check("a\"b", Ok(&[("a\"b", false)]));
    check(
        "\u{fc},\u{1f600}",
        Ok(&[("\u{fc}", false), ("\u{1f600}", false)]),
    );
    check("\"a", Err("a quote is not closed"));
    check(
        "\"a\"b,c",
        Err("found text behind the quote that closes a field"),
    );
}

#[test]
fn numbers_and_booleans_are_told_by_the_grammar_of_json() {
    for word in [
        "0",
        "-1",
        "12.50",
        "1e9",
        "true",
        "false",
        "12345678901234567890123456789012345678",
    ] {
        assert!(is_word(word.as_bytes()), "{word}");
    }
    for text in [
        "", "-", "007", "+1", "1,5", "TRUE", "0x1", "1 ", "NaN", ".5", "1.", "--1",
    ] {
        assert!(!is_word(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_header_names_each_column_once() {
    let names = |names: &[&str]| {
        Header::of(
            &names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>(),
            &[],
        )
    };
    assert!(names(&["id", "Id"]).is_ok());
    assert!(names(&["id", "id"]).is_err());
    assert!(names(&["id", ""]).is_err());
}
