//! Topics that a sink makes where they are not there.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{self, LogOnly};
use super::failure::failed;
use crate::error::{Error, Result};

/// How long the brokers may take to make a topic.
const LIMIT: Duration = Duration::from_secs(15);

/// `[sinks.NAME.create]`: topics are made where they are not there; one that is there stays as it is.
///
/// ```toml
/// [sinks.out.create]
/// partitions  = 6
/// replication = 3
/// compact     = true
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateTopics {
    /// How many partitions a topic gets.
    pub partitions: u16,
    /// How many brokers hold each of them.
    pub replication: u16,
    /// Whether Kafka keeps the last message of each key only.
    pub compact: bool,
    /// Other settings of the topic: `"retention.ms" = "-1"`.
    pub settings: BTreeMap<String, String>,
}

impl Default for CreateTopics {
    fn default() -> Self {
        Self {
            partitions: 1,
            replication: 1,
            compact: false,
            settings: BTreeMap::new(),
        }
    }
}

/// Makes a topic where it is not there.
///
/// # Errors
/// `Configuration` where the brokers refuse, `Unavailable` where they do not answer.
pub(super) async fn ensure(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topic: &str,
    create: &CreateTopics,
) -> Result<()> {
    let doing = format!("topic {topic} at {brokers} was not made");
    let settings = client::settings(brokers, properties);
    let admin: AdminClient<LogOnly> = client::open(&settings, brokers, LogOnly::default())?;
    let replication = TopicReplication::Fixed(i32::from(create.replication));
    let mut new = NewTopic::new(topic, i32::from(create.partitions), replication);
    if create.compact {
        new = new.set("cleanup.policy", "compact");
    }
    for (name, value) in &create.settings {
        new = new.set(name, value);
    }
    let options = AdminOptions::new()
        .request_timeout(Some(LIMIT))
        .operation_timeout(Some(LIMIT));
    let made = admin.create_topics([&new], &options).await;
    for made in made.map_err(|error| failed(&doing, error))? {
        match made {
            Ok(_) => tracing::info!(topic, "the topic was made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) if is_passing(code) => {
                return Err(Error::Unavailable {
                    message: format!("{doing}: {code}"),
                    cause: None,
                });
            }
            Err((_, code)) => {
                return Err(Error::configuration(format!(
                    "{doing}: {code}: correct create, or create the topic"
                )));
            }
        }
    }
    Ok(())
}

fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::NotController
            | Code::AllBrokersDown
    )
}
