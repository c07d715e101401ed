use proptest::prelude::*;

use super::*;

fn check(text: &str, good: bool) {
    let mut cursor = Cursor::new(text.as_bytes());
    let read = cursor.skip_checked().and_then(|()| cursor.end());
    assert_eq!(read.is_ok(), good, "{text}: {read:?}");
}

#[test]
fn checks_values_in_full() {
    for good in [
        "0",
        "-1.5e+3",
        "null",
        "true",
        "\"\\u00e9\\ud83d\\ude00\"",
        "[]",
        "{ }",
        "[1, {\"a\" : [ ]}]",
    ] {
        check(good, true);
    }
    for bad in [
        "",
        "01",
        "-",
        "1.",
        "1e",
        "nul",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{a:1}",
        "\"\\x\"",
        "\"\\ud83d\"",
        "\"\u{1}\"",
        "\"open",
        "{]",
        "1 1",
    ] {
        check(bad, false);
    }
    check(&"[".repeat(DEPTH_MAX + 1), false);
    check(
        &format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)),
        true,
    );
}

#[test]
fn tokens_of_every_length_are_compared_in_full() {
    let text: Vec<u8> = (0..48).collect();
    for length in 0..=48 {
        assert!(Cursor::new(&text).take(&text[..length]));
        for wrong in 0..length {
            let mut token = text[..length].to_vec();
            token[wrong] ^= 0x80;
            assert!(!Cursor::new(&text).take(&token), "{length} {wrong}");
        }
    }
    assert!(!Cursor::new(&text[..7]).take(&text[..8]));
}

#[test]
fn skipping_holds_the_bound_on_nesting() {
    let deep = "[".repeat(1_000_000);
    assert!(Cursor::new(deep.as_bytes()).skip().is_err());
}

proptest! {
    #[test]
    fn small_integers_read_as_std_reads_them(text in "-?[0-9]{0,20}[.e,/:]?") {
        let mut cursor = Cursor::new(text.as_bytes());
        let number = text.trim_end_matches([',', '/', ':']);
        let digits = number.trim_start_matches('-');
        let good = digits.len() <= 18 && (digits.len() == 1 || !digits.starts_with('0'));
        let expect = number.parse::<i64>().ok().filter(|_| good);
        prop_assert_eq!(cursor.small_integer(), expect);
        prop_assert_eq!(cursor.at(), if expect.is_some() { number.len() } else { 0 });
    }

    #[test]
    fn strings_read_as_serde_json_reads_them(text in "\\PC{0,40}|[ -~\\n\\t\"\\\\]{0,40}") {
        let json = serde_json::to_string(&text).unwrap();
        let mut cursor = Cursor::new(json.as_bytes());
        let read = cursor.string().unwrap().unescape().unwrap().into_owned();
        prop_assert_eq!(String::from_utf8(read).unwrap(), text);
        prop_assert_eq!(cursor.at(), json.len());
    }

    #[test]
    fn accepts_what_serde_json_accepts(text in "[\\[\\]{}:,\"a0-9.eE+\\\\untrlsf -]{0,12}") {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip_space();
        let read = cursor.skip_checked().and_then(|()| cursor.end()).is_ok();
        let oracle = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        prop_assert_eq!(read, oracle, "{}", text);
    }
}
