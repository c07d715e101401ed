//! The Kafka client: its settings, what it reports while it is polled, and what an error means.
//!
//! The client reconnects by itself; nothing here retries. Its log goes to `tracing`; settings,
//! among which secrets are, are never logged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::fetch_buffer::partition;
use super::topic;
use crate::error::{Error, Result};
use crate::record::Partition;

/// Queue of the client for one message besides its bytes, roughly.
const MESSAGE_BYTES: u64 = 512;

/// What the coordinator wants, in the order in which it came.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<Partition>),
    Revoke {
        partitions: Vec<Partition>,
        lost: bool,
    },
}

/// What the client reports while it is polled. A rebalance is only noted here: the client waits
/// until the reader answers it.
#[derive(Debug, Default)]
pub(super) struct Reports {
    rebalances: Mutex<VecDeque<Rebalance>>,
    reason: Mutex<String>,
    closing: AtomicBool,
}

impl Reports {
    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    pub(super) fn has_rebalance(&self) -> bool {
        !lock(&self.rebalances).is_empty()
    }

    /// What the client said about its last error.
    pub(super) fn reason(&self) -> String {
        lock(&self.reason).clone()
    }

    /// From now on a rebalance is answered at once: whatever is held is given up.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, reason, "the client reports an error");
        reason.clone_into(&mut lock(&self.reason));
    }
}

impl ConsumerContext for Reports {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let is_assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            let answer = match (consumer.rebalance_protocol(), is_assign) {
                (RebalanceProtocol::Cooperative, true) => {
                    consumer.incremental_assign(&TopicPartitionList::new())
                }
                (RebalanceProtocol::Cooperative, false) => consumer.incremental_unassign(list),
                _ => consumer.unassign(),
            };
            if let Err(error) = answer {
                tracing::debug!(target: "kafka", %error, "partitions were not given up in order");
            }
            return;
        }
        let partitions = list
            .elements()
            .iter()
            .map(|element| partition(element.topic(), element.partition()))
            .collect();
        lock(&self.rebalances).push_back(if is_assign {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke {
                partitions,
                lost: consumer.assignment_lost(),
            }
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        // Only lag tools look at committed offsets, and the next commit holds these too.
        if let Err(error) = result {
            tracing::debug!(target: "kafka", %error, "offsets were not committed");
        }
    }
}

/// The client's log, for clients that report nothing else, and why it last lost a connection.
#[derive(Debug, Default)]
pub(super) struct LogOnly {
    told: Mutex<Option<String>>,
}

impl LogOnly {
    /// Why a connection failed, in the client's words.
    pub(super) fn told(&self) -> Option<String> {
        lock(&self.told).clone()
    }
}

impl ClientContext for LogOnly {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What a failed call returns says nothing but that there is no connection.
        if facility == "FAIL" {
            *lock(&self.told) = Some(message.to_owned());
        }
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, reason, "the client reports an error");
    }
}

impl ConsumerContext for LogOnly {}

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "kafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "kafka", facility, "{message}"),
    }
}

/// Settings that every client of ours has, then those of the user.
pub(super) fn settings(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", brokers)
        .set("client.id", "syncline")
        // A dead or silent broker is noticed in seconds, and looked for again as fast.
        .set("socket.timeout.ms", "6000")
        .set("socket.connection.setup.timeout.ms", "4000")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "1000")
        .set("log.connection.close", "false")
        .set("enable.metrics.push", "false")
        .set("statistics.interval.ms", "0")
        .set_log_level(RDKafkaLogLevel::Warning);
    for (key, value) in properties {
        settings.set(key, value);
    }
    settings
}

/// How long a member of a group may be silent before its partitions go to others.
const SESSION_MS: u64 = 10_000;

/// How long a member may take to ask for more, or to join again; never shorter than its session.
const POLL_INTERVAL_MS: u64 = 30_000;

/// Adds what a consumer needs. `memory_bytes` bounds what it fetches ahead: half of it waits in the
/// queue, a fetch on its way may take an eighth and grow fourfold as it is decompressed.
pub(super) fn consume(settings: &mut ClientConfig, group: &str, memory_bytes: u64) {
    let queue_bytes = (memory_bytes / 2).clamp(1 << 20, 1 << 30);
    let fetch_bytes = (memory_bytes / 8).clamp(1 << 20, 50 << 20);
    let session = settings.get("session.timeout.ms");
    let session_ms = session.and_then(|text| text.parse().ok());
    let session_ms = session_ms.unwrap_or(SESSION_MS);
    let defaults = [
        ("fetch.max.bytes", fetch_bytes.to_string()),
        (
            "max.partition.fetch.bytes",
            fetch_bytes.min(1 << 20).to_string(),
        ),
        // New topics of a pattern are seen after at most this long.
        ("topic.metadata.refresh.interval.ms", "10000".to_owned()),
        (
            "partition.assignment.strategy",
            "cooperative-sticky".to_owned(),
        ),
        // So long the partitions of a process that was killed have no owner.
        ("session.timeout.ms", session_ms.to_string()),
        // So long a group waits for a member that was killed while it joined; a lane asks far more often.
        (
            "max.poll.interval.ms",
            session_ms.max(POLL_INTERVAL_MS).to_string(),
        ),
        ("check.crcs", "true".to_owned()),
        ("fetch.error.backoff.ms", "100".to_owned()),
        // The default of a second stalls a lane each time its queue was full.
        ("fetch.queue.backoff.ms", "2".to_owned()),
    ];
    for (key, value) in defaults {
        if settings.get(key).is_none() {
            settings.set(key, value);
        }
    }
    settings
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("topic.blacklist", topic::INTERNAL)
        .set(
            "queued.max.messages.kbytes",
            (queue_bytes >> 10).to_string(),
        )
        .set(
            "queued.min.messages",
            (queue_bytes / MESSAGE_BYTES)
                .clamp(1_000, 100_000)
                .to_string(),
        );
}

/// Opens a client.
pub(super) fn open<C, T>(settings: &ClientConfig, brokers: &str, context: C) -> Result<T>
where
    C: ClientContext,
    T: rdkafka::config::FromClientConfigAndContext<C>,
{
    settings.create_with_context(context).map_err(|error| {
        let what = format!("the Kafka client for {brokers} cannot be set up");
        match error {
            // The text names the value, which may be a secret.
            KafkaError::ClientConfig(_, _, key, _) => {
                Error::configuration(format!("{what}: `{key}` in `properties` has no valid value"))
            }
            KafkaError::ClientCreation(reason) if reason.contains("SASL mechanism") => {
                Error::configuration(format!(
                    "{what}: {reason}; set `sasl.mechanism` to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
                ))
            }
            other => Error::configuration_from(what, other),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_follows_the_budget_and_the_user_cannot_lift_the_bound() {
        let properties = BTreeMap::from([
            ("fetch.queue.backoff.ms".to_owned(), "9".to_owned()),
            ("queued.max.messages.kbytes".to_owned(), "999999".to_owned()),
        ]);
        let mut settings = settings("b:1", &properties);
        consume(&mut settings, "g", 32 << 20);
        for (key, expect) in [
            ("queued.max.messages.kbytes", "16384"),
            ("queued.min.messages", "32768"),
            ("fetch.max.bytes", "4194304"),
            ("fetch.queue.backoff.ms", "9"),
            ("auto.offset.reset", "error"),
        ] {
            assert_eq!(settings.get(key), Some(expect), "{key}");
        }
    }

    #[test]
    fn a_secret_is_not_in_the_message_of_a_bad_setting() {
        let properties = BTreeMap::from([("security.protocol".to_owned(), "s3cret".to_owned())]);
        let error = open::<_, BaseConsumer<LogOnly>>(
            &settings("b:1", &properties),
            "b:1",
            LogOnly::default(),
        )
        .err()
        .unwrap();
        assert!(error.chain().contains("security.protocol"), "{error}");
        assert!(!error.chain().contains("s3cret"), "{error}");
    }
}
