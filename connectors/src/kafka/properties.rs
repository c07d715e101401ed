//! Which settings of the Kafka client a user may make, and why not the others.
//!
//! An allow-list: what is not on it is refused with the nearest name that is, or with the option of
//! ours that says the same. Settings that load code or run commands are never on it.

use rdkafka::config::ClientConfig;

use super::KafkaSource;

/// What may be set.
const ALLOWED: &[&str] = &[
    "api.version.request.timeout.ms",
    "broker.address.family",
    "broker.address.ttl",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.max.bytes",
    "metadata.max.age.ms",
    "metadata.recovery.strategy",
    "partition.assignment.strategy",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.sigalgs.list",
    "topic.metadata.refresh.interval.ms",
];

/// What is ours to set, or nobody's: the key, why, and what to do instead.
const OURS: &[(&str, &str, Option<&str>)] = &[
    (
        "bootstrap.servers",
        "is an option of the source",
        Some("set `brokers`"),
    ),
    (
        "metadata.broker.list",
        "is an option of the source",
        Some("set `brokers`"),
    ),
    (
        "group.id",
        "is an option of the source",
        Some("set `group`"),
    ),
    (
        "group.instance.id",
        "is an option of the source",
        Some("set `instance`"),
    ),
    (
        "auto.offset.reset",
        "would lose records in silence",
        Some("set `start` for the first run"),
    ),
    (
        "enable.auto.commit",
        "would commit what is not written yet",
        None,
    ),
    (
        "auto.commit.enable",
        "would commit what is not written yet",
        None,
    ),
    (
        "auto.commit.interval.ms",
        "would commit what is not written yet",
        None,
    ),
    (
        "enable.auto.offset.store",
        "would commit what is not written yet",
        None,
    ),
    (
        "isolation.level",
        "is always read_committed: aborted records are no changes",
        None,
    ),
    (
        "enable.partition.eof",
        "is needed to know the end of a partition",
        None,
    ),
    (
        "queued.max.messages.kbytes",
        "follows from the byte budget",
        Some("set `memory`"),
    ),
    (
        "queued.min.messages",
        "follows from the byte budget",
        Some("set `memory`"),
    ),
    (
        "statistics.interval.ms",
        "costs throughput and nothing reads it",
        None,
    ),
    ("group.protocol", "is always classic", None),
    (
        "topic.blacklist",
        "is used to leave out Kafka's own topics",
        Some("narrow `topics`"),
    ),
    (
        "allow.auto.create.topics",
        "would make a topic out of a slip of the pen",
        None,
    ),
    ("debug", "logs more than may be logged", None),
    ("plugin.library.paths", "loads code into this process", None),
    ("ssl.engine.location", "loads code into this process", None),
    ("ssl.providers", "loads code into this process", None),
    (
        "sasl.kerberos.kinit.cmd",
        "runs a command",
        Some("use SCRAM or PLAIN over TLS"),
    ),
    (
        "sasl.kerberos.principal",
        "needs Kerberos, which is not built in",
        Some("use SCRAM or PLAIN over TLS"),
    ),
    (
        "sasl.kerberos.keytab",
        "needs Kerberos, which is not built in",
        Some("use SCRAM or PLAIN over TLS"),
    ),
    (
        "sasl.kerberos.service.name",
        "needs Kerberos, which is not built in",
        Some("use SCRAM or PLAIN over TLS"),
    ),
];

/// What is wrong with `properties`: key, message, and what to do about it.
pub(super) fn check_properties(config: &KafkaSource) -> Vec<(String, String, Option<String>)> {
    let mut found = Vec::new();
    for (key, value) in &config.properties {
        if let Some((_, why, help)) = OURS.iter().find(|(name, ..)| name == key) {
            let message = format!("`{key}` {why}");
            found.push((key.clone(), message, help.map(str::to_owned)));
        } else if !ALLOWED.contains(&key.as_str()) {
            let message =
                format!("`{key}` is not a setting of the Kafka client that may be made here");
            let help = nearest(key).map(|name| format!("did you mean `{name}`?"));
            found.push((key.clone(), message, help));
        } else if ClientConfig::new()
            .set(key, value)
            .create_native_config()
            .is_err()
        {
            // The client's own text repeats the value, which may be a secret.
            let message = format!("`{key}` does not take this value");
            found.push((key.clone(), message, None));
        }
    }
    found
}

/// The allowed name that takes the fewest edits, if they are few.
fn nearest(key: &str) -> Option<&'static str> {
    let (name, edits) = ALLOWED
        .iter()
        .map(|name| (*name, edits(key, name)))
        .min_by_key(|(_, edits)| *edits)?;
    (edits <= 3.max(key.len() / 4)).then_some(name)
}

/// The Levenshtein distance.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::tests::source;

    fn check(key: &str, value: &str, expect: Option<(&str, Option<&str>)>) {
        let mut config = source("b:1", "t", "g");
        config.properties.insert(key.to_owned(), value.to_owned());
        let found = check_properties(&config);
        let got = found
            .iter()
            .map(|(_, message, help)| (message.as_str(), help.as_deref()))
            .next();
        assert_eq!(got, expect, "{key} = {value}");
    }

    #[test]
    fn what_is_ours_is_refused_with_the_option_that_says_it() {
        check("sasl.mechanism", "SCRAM-SHA-256", None);
        check("session.timeout.ms", "6000", None);
        check(
            "sesion.timeout.ms",
            "6000",
            Some((
                "`sesion.timeout.ms` is not a setting of the Kafka client that may be made here",
                Some("did you mean `session.timeout.ms`?"),
            )),
        );
        check(
            "auto.offset.reset",
            "latest",
            Some((
                "`auto.offset.reset` would lose records in silence",
                Some("set `start` for the first run"),
            )),
        );
        check(
            "enable.auto.commit",
            "true",
            Some((
                "`enable.auto.commit` would commit what is not written yet",
                None,
            )),
        );
        check(
            "zzz",
            "1",
            Some((
                "`zzz` is not a setting of the Kafka client that may be made here",
                None,
            )),
        );
        check(
            "session.timeout.ms",
            "soon",
            Some(("`session.timeout.ms` does not take this value", None)),
        );
    }

    #[test]
    fn every_allowed_name_is_one_that_the_client_knows() {
        let native = ClientConfig::new().create_native_config().unwrap();
        for name in ALLOWED {
            let error = native.get(name).err().map(|error| error.to_string());
            // A name that has no value yet answers "unknown", one that does not exist cannot be set.
            let is_settable = [
                "1",
                "true",
                "plaintext",
                "cooperative-sticky",
                "PLAIN",
                "none",
                "any",
                "https",
                "use_all_dns_ips",
                "10000",
            ]
            .iter()
            .any(|value| {
                ClientConfig::new()
                    .set(*name, *value)
                    .create_native_config()
                    .is_ok()
            });
            assert!(error.is_none() || is_settable, "{name}");
        }
    }
}
