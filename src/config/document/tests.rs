use super::*;

/// Checks which bytes of the file `word`, in the value of `key`, came from.
#[track_caller]
fn check(file: &str, word: &str, expect: &str) {
    let root = parse(file).expect("the test's file is TOML");
    let Value::Text(text) = &root.get("key").expect("it has the key").value else {
        panic!("the value is a string")
    };
    let start = text.text.find(word).expect("the value has the word");
    let span = root
        .locate(
            file,
            &["key".to_owned()],
            Some(&(start..start + word.len())),
        )
        .expect("it has a place");
    assert_eq!(&file[span], expect, "{file}");
}

#[test]
fn a_range_inside_a_string_is_led_back_through_its_quoting() {
    let cases = [
        (r#"key = "trim(nam)""#, "nam", "nam"),
        (r"key = 'trim(nam)'", "nam", "nam"),
        (r#"key = "a \"b\" nam""#, "nam", "nam"),
        (r#"key = "a \"b\" nam""#, "\"b\"", r#"\"b\""#),
        (r#"key = "\u00e9\U0001F600 nam""#, "nam", "nam"),
        (r#"key = "\u00e9\U0001F600 nam""#, "😀", r"\U0001F600"),
        ("key = \"é😀\\tnam x\"", "nam", "nam"),
        ("key = \"\"\"\nselect\n  nam\"\"\"", "nam", "nam"),
        ("key = \"\"\"\r\nselect \\\n   nam\"\"\"", "nam", "nam"),
        ("key = '''\nit's \\n nam'''", "nam", "nam"),
        ("key = '''\nit's \\n nam'''", "\\n", "\\n"),
    ];
    for (file, word, expect) in cases {
        check(file, word, expect);
    }
}

#[test]
fn a_path_that_ends_early_is_placed_where_it_ends() {
    let file = "[sinks.billing]\ntype = \"x\"\nrules = [{ a = 1 }, { b = 2 }]\n";
    let root = parse(file).expect("it is TOML");
    let place = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        root.locate(file, &path, None).map(|span| &file[span])
    };
    assert_eq!(
        place(&["sinks", "billing", "absent"]),
        Some("[sinks.billing]")
    );
    assert_eq!(place(&["sinks", "billing", "rules", "1", "b"]), Some("2"));
    assert_eq!(
        place(&["sinks", "billing", "rules", "1"]),
        Some("{ b = 2 }")
    );
    assert_eq!(place(&["nowhere"]), None);
}

#[test]
fn every_syntax_error_is_reported() {
    let text = "a = \nb = 1\nb = 2\nc = 99999999999999999999999999999999999999999\n";
    let errors = parse(text).err().unwrap_or_default();
    assert_eq!(errors.len(), 2, "{errors:?}");
}
