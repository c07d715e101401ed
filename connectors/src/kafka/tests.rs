use super::*;

pub(super) fn source(brokers: &str, topics: &str, group: &str) -> KafkaSource {
    KafkaSource {
        brokers: brokers.to_owned(),
        topics: Topics::One(topics.to_owned()),
        group: group.to_owned(),
        start: Start::Earliest,
        decoding: Decoding::new(Format::DebeziumJson),
        instance: None,
        properties: BTreeMap::new(),
    }
}

#[test]
fn a_secret_is_not_in_the_debug_text() {
    let mut config = source("b:1", "t", "g");
    config
        .properties
        .insert("sasl.password".to_owned(), "s3cret".to_owned());
    let text = format!("{config:?}");
    assert!(
        text.contains("sasl.password") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn topics_are_one_or_a_list_and_an_unknown_option_is_refused() {
    let base = serde_json::json!({"brokers": "b:1", "group": "g", "format": "debezium-json"});
    for (extra, expect) in [
        (serde_json::json!({"topics": "a"}), Some(vec!["a"])),
        (
            serde_json::json!({"topics": ["a", "^b"]}),
            Some(vec!["a", "^b"]),
        ),
        (
            serde_json::json!({"topics": "a", "start": "latest"}),
            Some(vec!["a"]),
        ),
        (serde_json::json!({"topics": "a", "start": "now"}), None),
        (serde_json::json!({"topics": "a", "topic": "b"}), None),
        (serde_json::json!({}), None),
    ] {
        let mut document = base.clone();
        for (key, value) in extra.as_object().expect("an object") {
            document[key] = value.clone();
        }
        let parsed = serde_json::from_value::<KafkaSource>(document);
        let names = parsed.ok().map(|config| config.topics.names().to_vec());
        let names = names
            .as_ref()
            .map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(names, expect, "{extra}");
    }
}
