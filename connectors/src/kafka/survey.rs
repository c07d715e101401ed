//! A topic's partitions as they are now, for a person who looks at positions or moves them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rdkafka::consumer::BaseConsumer;

use super::begin::committed;
use super::client::{self, Reports};
use super::failure::REQUEST_TIMEOUT;
use super::start_offset::StartOffset;
use super::{KafkaSource, refuse_properties, start_offset, topic, topic_id};
use crate::error::{Error, Result};
use crate::record::Partition;
use crate::source::{Extent, Wanted};

/// The partitions that match now. Joins no group and commits nothing.
///
/// # Errors
/// As [`super::lanes`]; `Configuration` too where an instant is none.
pub(super) async fn survey(config: &KafkaSource, wanted: &Wanted) -> Result<Vec<Extent>> {
    refuse_properties(config)?;
    let (config, wanted) = (config.clone(), wanted.clone());
    tokio::task::spawn_blocking(move || ask(&config, &wanted))
        .await
        .map_err(|error| Error::unavailable("the look-up of topics was broken off", error))?
}

fn ask(config: &KafkaSource, wanted: &Wanted) -> Result<Vec<Extent>> {
    let mut settings = client::settings(&config.brokers, &config.properties);
    settings.set("group.id", &config.group);
    let consumer: BaseConsumer<Reports> =
        client::open(&settings, &config.brokers, Reports::default())?;
    let partitions = topic::matching(&consumer, &config.brokers, config.topics.names())?;
    let names: BTreeSet<Arc<str>> = partitions.iter().map(|known| known.topic.clone()).collect();
    let names: Vec<Arc<str>> = names.into_iter().collect();
    let ids = topic_id::ids(&consumer, &names, REQUEST_TIMEOUT)?;
    let group = match wanted.group && !partitions.is_empty() {
        true => committed(&consumer, partitions.iter())?,
        false => BTreeMap::new(),
    };
    let times: BTreeMap<Partition, i64> = match wanted.time {
        Some(time) => start_offset::offsets(&consumer, &partitions, StartOffset::Since(time))?
            .into_iter()
            .collect(),
        None => BTreeMap::new(),
    };
    let mut extents = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let (low, high) = topic::watermarks(&consumer, &partition)?;
        extents.push(Extent {
            incarnation: ids.get(&partition.topic).cloned(),
            group: group.get(&partition).copied(),
            time: times.get(&partition).copied(),
            partition,
            low,
            high,
        });
    }
    Ok(extents)
}
