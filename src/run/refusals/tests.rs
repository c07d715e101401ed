use super::*;

/// Messages of a topic.
const EVENTS: RecordKind = RecordKind {
    of_file: false,
    format: Format::DebeziumJson,
};

fn entry(offset: i64, rule: &str, value: &str) -> Entry {
    Entry {
        time: String::new(),
        pipeline: "p".into(),
        stage: "decode".into(),
        rule: rule.into(),
        field: Some("amount".into()),
        reason: "found a string, expected a decimal number".into(),
        topic: "t".into(),
        partition: 0,
        offset,
        timestamp_ms: None,
        key: None,
        headers: None,
        value: Some(crate::quarantine::Payload::Text(value.into())),
        run: None,
        found: None,
        suggestion: None,
        fingerprint: None,
        withdrawn: false,
    }
}

fn subject() -> Subject {
    Subject {
        stage: "decode".into(),
        topic: "t".into(),
        table: None,
    }
}

const ROW: &str = r#"{"after":{"amount":"x y"},"op":"c"}"#;

/// Refuses the records of `offsets`, each by a rule; gives what is held back, or the diagnosis.
fn refuse(
    refusals: &Refusals,
    offsets: std::ops::Range<i64>,
    rule: impl Fn(i64) -> &'static str,
    passed: bool,
) -> Result<Vec<Subject>, String> {
    let entries: Vec<Entry> = offsets.map(|at| entry(at, rule(at), ROW)).collect();
    let seen = Seen {
        subject: subject(),
        passed,
        refused: (0..entries.len()).collect(),
        more: false,
        input: Some(EVENTS),
    };
    refusals.note(&[seen], &entries)
}

#[tokio::test(start_paused = true)]
async fn r25_a_trial_ends_by_a_pass_the_bound_the_window_or_the_end() {
    let held = || Ok(vec![subject()]);
    // A pass ends it, whatever was refused before.
    let refusals = Refusals::new("p", 100);
    assert_eq!(refuse(&refusals, 0..99, |_| "R3", false), held());
    assert_eq!(refuse(&refusals, 99..100, |_| "R3", true), Ok(vec![]));
    assert_eq!(refuse(&refusals, 100..199, |_| "R3", false), held());
    // The bound.
    let text = refuse(&refusals, 199..200, |_| "R3", false).unwrap_err();
    for said in [
        "all of 100 changes",
        "\"t\"",
        "R3",
        "amount",
        "t[0] offset 100",
        "stop_after",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    // Many rules are no wrong configuration.
    let refusals = Refusals::new("p", 100);
    let rule = |at: i64| if at % 2 == 0 { "R3" } else { "R2" };
    assert_eq!(refuse(&refusals, 0..200, rule, false), Ok(vec![]));
    // The window: few are bad data, many are not.
    for (count, stops) in [(WINDOW_MIN - 1, false), (WINDOW_MIN, true)] {
        let refusals = Refusals::new("p", 100);
        assert_eq!(refuse(&refusals, 0..count as i64, |_| "R3", false), held());
        assert_eq!(refusals.waiting(&[subject()]), held());
        tokio::time::advance(WINDOW).await;
        let ended = refusals.waiting(&[subject()]);
        assert_eq!(ended.is_err(), stops, "{ended:?}");
        if !stops {
            // What follows is not held back, and still counts.
            let next = count as i64;
            assert_eq!(
                refuse(&refusals, next..next + 1, |_| "R3", false),
                Ok(vec![])
            );
            let text = refuse(&refusals, next + 1..101, |_| "R3", false).unwrap_err();
            assert!(
                text.contains("the first 19 of them are in quarantine"),
                "{text}"
            );
        }
    }
    // The end of the source.
    for (count, stops) in [(AT_END_MIN - 1, false), (AT_END_MIN, true)] {
        let refusals = Refusals::new("p", 100);
        assert_eq!(refuse(&refusals, 0..count as i64, |_| "R3", false), held());
        assert_eq!(refusals.conclude(&[subject()]).is_err(), stops);
    }
    // 0 never stops and holds nothing back.
    let refusals = Refusals::new("p", 0);
    assert_eq!(refuse(&refusals, 0..5_000, |_| "R3", false), Ok(vec![]));
}

#[test]
fn r25_what_comes_again_counts_once_and_what_is_still_tried_decides_nothing() {
    let refusals = Refusals::new("p", 10);
    for _ in 0..5 {
        assert_eq!(
            refuse(&refusals, 0..9, |_| "R3", false),
            Ok(vec![subject()])
        );
    }
    let entries: Vec<Entry> = (9..30).map(|at| entry(at, "R3", ROW)).collect();
    let seen = Seen {
        subject: subject(),
        passed: false,
        refused: (0..entries.len()).collect(),
        more: true,
        input: Some(EVENTS),
    };
    assert_eq!(refusals.note(&[seen], &entries), Ok(vec![]));
    assert!(refuse(&refusals, 30..31, |_| "R3", false).is_err());
}

#[test]
fn base64_decimals_are_named_with_their_remedy() {
    let check = |value: &str, expect: bool| {
        let refusals = Refusals::new("p", 1_000);
        let row = format!(r#"{{"after":{{"id":1,"amount":"{value}"}},"op":"c"}}"#);
        let entries: Vec<Entry> = (0..3).map(|at| entry(at, "R3", &row)).collect();
        let seen = Seen {
            subject: subject(),
            passed: false,
            refused: vec![0, 1, 2],
            more: false,
            input: Some(EVENTS),
        };
        let noted = refusals.note(&[seen], &entries);
        let named = noted.is_err_and(|text| text.contains("decimal.handling.mode = string"));
        assert_eq!(named, expect, "{value}");
    };
    check("AfQ=", true);
    check("MDk=", true);
    check("12.50", false);
    check("two words", false);
}

#[test]
fn json_of_another_convention_is_refused_unless_its_columns_are_declared() {
    let partition = syncline_connectors::record::Partition {
        topic: "t".into(),
        number: 0,
    };
    let check = |value: &str, declared: &[&str], expect: Option<&str>| {
        let mut records = Records::default();
        let number = records.add_partition(&partition, true);
        for offset in 0..2 {
            records.push(number, offset, None, None, Some(value.as_bytes()), None);
        }
        let declared: Vec<String> = declared.iter().map(|&name| name.to_owned()).collect();
        let looked = Refusals::new("p", 10).first_look(&records, &declared, EVENTS);
        match expect {
            Some(said) => assert!(looked.unwrap_err().contains(said)),
            None => assert_eq!(looked, Ok(())),
        }
    };
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"id":1}}"#;
    check(event, &[], Some("CloudEvents"));
    check(event, &["specversion", "data"], None);
    check(r#"{"id":1,"type":"t","source":"s"}"#, &[], None);
}
