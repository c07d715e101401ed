//! The ids that brokers give topics, so that a topic that was deleted and made again is told apart.
//!
//! A broker before Kafka 2.8 gives none, and neither do some services that speak the protocol: then
//! there is nothing to compare, which is said once in the log.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rdkafka::bindings as raw;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::failure::failed;
use crate::error::Result;
use crate::record::Incarnation;

/// What a topic's positions count in, as it is kept beside them: the id as Kafka's own tools write it.
const PREFIX: &str = "topic ";

/// The ids of `topics` by name, after at most `wait`; one that has none is absent.
///
/// # Errors
/// `Unavailable` where no broker answers.
pub(super) fn ids<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[Arc<str>],
    wait: Duration,
) -> Result<HashMap<Arc<str>, Incarnation>> {
    let mut ids = HashMap::new();
    if topics.is_empty() {
        return Ok(ids);
    }
    match describe(consumer, topics, wait) {
        Ok(found) => {
            for (name, id) in found {
                let bytes = id.to_be_bytes();
                let text = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
                ids.insert(Arc::from(name), Arc::from(text));
            }
            Ok(ids)
        }
        Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => Ok(ids),
        Err(code) => Err(failed(
            "the ids of topics could not be read",
            KafkaError::MetadataFetch(code),
        )),
    }
}

/// Something of the client's that is given back by a function of the client.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        let pointer = NonNull::new(pointer)?;
        Some(Self { pointer, destroy })
    }

    fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the pointer came from the client together with this function, nothing else gives
        // it back, and it is not used after this.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

/// The id of a broker that answers.
fn any_broker<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    wait: Duration,
) -> Result<i32, RDKafkaErrorCode> {
    let unknown = RDKafkaErrorCode::AllBrokersDown;
    let metadata = consumer
        .fetch_metadata(Some(topic), wait)
        .map_err(|error| error.rdkafka_error_code().unwrap_or(unknown))?;
    let first = metadata.brokers().first();
    first.map(|broker| broker.id()).ok_or(unknown)
}

/// Asks a broker. Names and ids, without topics that have none or that are not there.
// The Rust client does not wrap this request; the C interface is the client's documented one.
#[allow(unsafe_code)]
fn describe<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[Arc<str>],
    wait: Duration,
) -> Result<Vec<(String, u128)>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics
        .iter()
        .filter_map(|name| CString::new(&**name).ok())
        .collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let client = consumer.client().native_ptr();
    let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let broker = any_broker(consumer, &topics[0], wait)?;
    let mut reason = [0; 256];
    // SAFETY: the client is alive as long as `consumer` is borrowed, and its functions may be called
    // from any thread. The collection copies the names, which live until it is made; the options are
    // copied with the request, and `reason` is as long as is said. The answer comes to a queue of our
    // own, which nobody else polls; queue, collection, options and event are given back by `Owned`,
    // the event last made and first dropped. What the event holds is read only while it lives, and
    // copied.
    unsafe {
        let out_of_memory = RDKafkaErrorCode::CriticalSystemResource;
        let queue = Owned::new(raw::rd_kafka_queue_new(client), raw::rd_kafka_queue_destroy)
            .ok_or(out_of_memory)?;
        let collection = Owned::new(
            raw::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            raw::rd_kafka_TopicCollection_destroy,
        )
        .ok_or(out_of_memory)?;
        let options = Owned::new(
            raw::rd_kafka_AdminOptions_new(
                client,
                raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            raw::rd_kafka_AdminOptions_destroy,
        )
        .ok_or(out_of_memory)?;
        // Without this the controller is asked, which not every client may reach. Where it is refused,
        // the controller is asked after all.
        raw::rd_kafka_AdminOptions_set_broker(
            options.as_ptr(),
            broker,
            reason.as_mut_ptr(),
            reason.len(),
        );
        raw::rd_kafka_DescribeTopics(
            client,
            collection.as_ptr(),
            options.as_ptr(),
            queue.as_ptr(),
        );
        let event = Owned::new(
            raw::rd_kafka_queue_poll(queue.as_ptr(), milliseconds),
            raw::rd_kafka_event_destroy,
        )
        .ok_or(RDKafkaErrorCode::OperationTimedOut)?;
        let error = raw::rd_kafka_event_error(event.as_ptr());
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error.into());
        }
        let result = raw::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let mut count = 0;
        let described = raw::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut found = Vec::with_capacity(count);
        for index in 0..count {
            let topic = *described.add(index);
            let id = raw::rd_kafka_TopicDescription_topic_id(topic);
            let name = raw::rd_kafka_TopicDescription_name(topic);
            if id.is_null() || name.is_null() {
                continue;
            }
            let high = raw::rd_kafka_Uuid_most_significant_bits(id) as u64;
            let low = raw::rd_kafka_Uuid_least_significant_bits(id) as u64;
            let id = (u128::from(high) << 64) | u128::from(low);
            if id != 0 {
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                found.push((name, id));
            }
        }
        Ok(found)
    }
}
