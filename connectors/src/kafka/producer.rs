//! Writing records to a topic so that they last, and reading a topic back from its beginning.
//!
//! Guarantees: when [`KafkaWriter::send_all`] returns, every replica in sync holds every record
//! once, in the order given; where it fails, any part of them may be there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};

use super::client::{self, LogOnly};
use super::failure::{Verdict, failed, judge};
use super::{KafkaSource, Lane, Start, Topics};
use crate::assignment::from_the_start;
use crate::error::{Error, Result};
use crate::format::{Decoding, Format};
use crate::record::Records;
use crate::source::{Event, Limits};

/// The largest record where `message.max.bytes` is not given.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;
/// What the queue holds beyond one largest record: its key and headers, and small ones beside it.
const QUEUE_SLACK_KIBIBYTES: u64 = 16 << 10;

/// A record to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutRecord {
    /// Decides the partition; `None` for any.
    pub key: Option<Vec<u8>>,
    /// `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Writes to one topic.
pub struct KafkaWriter {
    producer: FutureProducer<LogOnly>,
    topic: String,
    brokers: String,
}

impl KafkaWriter {
    /// Opens a producer. `properties` are those of a [`KafkaSource`].
    ///
    /// # Errors
    /// `Configuration` where a property is wrong. Whether brokers answer shows with the first
    /// record.
    pub fn connect(
        brokers: &str,
        topic: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut settings = client::settings(brokers, properties);
        settings
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("delivery.timeout.ms", "30000")
            .set("queue.buffering.max.messages", "10000")
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("linger.ms", "2");
        if settings.get("message.max.bytes").is_none() {
            // The broker's own limit decides.
            settings.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
        }
        let message_bytes_max = settings
            .get("message.max.bytes")
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(MESSAGE_BYTES_MAX);
        // A record that the queue cannot hold would be refused for ever as if the queue were full.
        let queue_kibibytes = message_bytes_max / 1024 + QUEUE_SLACK_KIBIBYTES;
        settings.set("queue.buffering.max.kbytes", queue_kibibytes.to_string());
        Ok(Self {
            producer: client::open(&settings, brokers, LogOnly::default())?,
            topic: topic.to_owned(),
            brokers: brokers.to_owned(),
        })
    }

    /// Writes all records and waits until they are durable.
    ///
    /// # Errors
    /// `Unavailable` where the brokers do not take them in 30 seconds; `Configuration` where they
    /// refuse.
    pub async fn send_all(&self, records: Vec<OutRecord>) -> Result<()> {
        self.send_all_to(&self.topic, records).await
    }

    /// As [`KafkaWriter::send_all`], to another topic.
    pub(super) async fn send_all_to(&self, topic: &str, records: Vec<OutRecord>) -> Result<()> {
        let mut waiting: VecDeque<DeliveryFuture> = VecDeque::new();
        for record in &records {
            loop {
                match self.producer.send_result(outgoing(topic, record)) {
                    Ok(delivery) => {
                        waiting.push_back(delivery);
                        break;
                    }
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                        // The queue empties from its head.
                        match waiting.pop_front() {
                            Some(delivery) => self.delivered(topic, delivery).await?,
                            None => self.producer.poll(Duration::from_millis(10)),
                        }
                    }
                    Err((error, _)) => return Err(self.refused(topic, error)),
                }
            }
        }
        for delivery in waiting {
            self.delivered(topic, delivery).await?;
        }
        Ok(())
    }

    async fn delivered(&self, topic: &str, delivery: DeliveryFuture) -> Result<()> {
        match delivery.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(self.refused(topic, error)),
            Err(canceled) => Err(Error::unavailable(
                format!("topic {topic} was not written: the producer closed"),
                canceled,
            )),
        }
    }

    fn refused(&self, topic: &str, error: KafkaError) -> Error {
        let what = format!("topic {topic} at {} was not written", self.brokers);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Error::configuration_from(
                format!("{what}: raise `max.message.bytes` of the topic"),
                error,
            ),
            Some(code) if judge(code) == Verdict::UnknownTopic => {
                Error::configuration_from(format!("{what}: create the topic"), error)
            }
            _ => failed(&what, error),
        }
    }
}

fn outgoing<'a>(topic: &'a str, record: &'a OutRecord) -> FutureRecord<'a, [u8], [u8]> {
    let mut outgoing = FutureRecord::to(topic);
    if let Some(key) = &record.key {
        outgoing = outgoing.key(key.as_slice());
    }
    if let Some(value) = &record.value {
        outgoing = outgoing.payload(value.as_slice());
    }
    if !record.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (name, value) in &record.headers {
            headers = headers.insert(Header {
                key: name,
                value: Some(value),
            });
        }
        outgoing = outgoing.headers(headers);
    }
    outgoing
}

/// Reads a topic from its beginning to the end that it has now, and hands the records over in
/// pieces of a few MiB. Blocks, joins no group and commits nothing.
///
/// # Errors
/// As [`super::lanes`], and what `visit` returns.
pub fn read_topic(
    brokers: &str,
    topic: &str,
    properties: &BTreeMap<String, String>,
    mut visit: impl FnMut(Records) -> Result<()>,
) -> Result<()> {
    let config = KafkaSource {
        brokers: brokers.to_owned(),
        topics: Topics::One(topic.to_owned()),
        group: format!("syncline-read-{topic}"),
        start: Start::Earliest,
        decoding: Decoding::new(Format::DebeziumJson),
        instance: None,
        properties: properties.clone(),
    };
    let mut source = super::connect(&config, Lane { number: 0, of: 1 }, true, 16 << 20)?;
    let limits = Limits {
        rows: 10_000,
        bytes: 4 << 20,
        linger: Duration::from_millis(200),
    };
    loop {
        match block_on(source.next(&limits))? {
            Event::Assigned(partitions) => {
                block_on(source.assign(&from_the_start(&partitions)))?;
            }
            Event::Records(fetched) => visit(fetched.records)?,
            Event::End => return block_on(source.close()),
            Event::Rows(_) | Event::Idle | Event::Revoked { .. } => {}
        }
    }
}
