//! TLS and log-in of Kafka: what the broker refuses is a wrong configuration, with its reason and what to do,
//! and no outage that is waited for.

use std::fs;

use crate::harness::{Broker, DEADLINE, Message, Pipeline, Target, unique};

/// A property of the Kafka client, and its value.
type Property<'a> = (&'a str, &'a str);

fn text(brokers: &str, topic: &str, properties: &[Property<'_>]) -> String {
    let properties: String = properties
        .iter()
        .map(|(name, value)| format!("\"{name}\" = {value:?}\n"))
        .collect();
    format!(
        r#"[sources.crm]
type    = "kafka"
brokers = "{brokers}"
topics  = ["{topic}"]
group   = "{topic}"
format  = "debezium-json"

[sources.crm.properties]
{properties}
[sinks.out]
type   = "file"
path   = "out.jsonl"
inputs = ["crm"]
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_log_in_or_certificate_says_what_to_do() {
    let broker = Broker::start().await;
    let topic = unique("secure");
    let kafka = broker.kafka();
    kafka.create_topic(&topic, 1).await;
    let change = r#"{"op":"c","before":null,"after":{"id":1}}"#;
    let message = Message {
        key: Some(r#"{"id":1}"#.to_owned()),
        value: Some(change.to_owned()),
    };
    kafka.produce(&topic, &[message]);

    let certificate = broker.certificate();
    let certificate = certificate.to_str().expect("the path is UTF-8");
    let tls = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "PLAIN"),
    ];
    let trusted = ("ssl.ca.location", certificate);
    let user = ("sasl.username", "syncline");
    let right = [&tls[..], &[trusted, user, ("sasl.password", "secret")]].concat();
    let pipeline = Pipeline::new(&text(&broker.secure(), &topic, &right));
    pipeline.run_once(DEADLINE).await.expect_success();
    let written = fs::read_to_string(pipeline.folder().join("out.jsonl"));
    assert!(written.expect("it is written").contains("\"id\":1"));

    let wrong = [&tls[..], &[trusted, user, ("sasl.password", "wrong")]].concat();
    let unknown = [&tls[..], &[user, ("sasl.password", "secret")]].concat();
    let cases: [(&[Property<'_>], i32, &str); 3] = [
        (&wrong, 2, "`sasl.password`"),
        (&unknown, 2, "`ssl.ca.location`"),
        (&[], 3, "security.protocol"),
    ];
    for (properties, code, part) in cases {
        let pipeline = Pipeline::new(&text(&broker.secure(), &topic, properties));
        let finished = pipeline.run_once(DEADLINE).await;
        assert_eq!(finished.code, Some(code), "{part}: {finished:?}");
        assert!(finished.stderr.contains(part), "{part}: {finished:?}");
        assert!(
            !finished.stderr.contains("wrong"),
            "no secret is shown: {finished:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_the_wanted_tls_or_log_in_is_no_outage() {
    for target in Target::each("tls").await {
        let (kind, lines) = (target.kind(), target.lines());
        if kind == "sqlite" {
            continue;
        }
        let other_user = lines.replace(":syncline@", ":other@");
        assert_ne!(other_user, lines, "the url has a password");
        let with_tls = |lines: &str| {
            let option = match kind {
                "postgres" => "sslmode=require",
                _ => "ssl-mode=VERIFY_CA",
            };
            let end = lines.rfind('"').expect("the url is quoted");
            let mark = if lines.contains('?') { '&' } else { '?' };
            format!("{}{mark}{option}\"", &lines[..end])
        };
        let cases = [(with_tls(&lines), "TLS"), (other_user, "password")];
        for (lines, part) in cases {
            let pipeline = Pipeline::new(&format!(
                "[sources.a]\ntype = \"file\"\npath = \"a.jsonl\"\nformat = \"json\"\n\n\
                 [sinks.b]\ninputs = [\"a\"]\nkey = [\"id\"]\ntable = \"t\"\n{lines}\n"
            ));
            fs::write(pipeline.folder().join("a.jsonl"), "{\"id\":1}\n")
                .expect("it can be written");
            let finished = pipeline.run_once(DEADLINE).await;
            assert_eq!(finished.code, Some(2), "{kind}, {part}: {finished:?}");
            assert!(
                finished.stderr.contains(part),
                "{kind}, {part}: {finished:?}"
            );
        }
    }
}
