//! The high watermark that the client learnt with its last fetch, without asking the broker.

use std::ffi::CString;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use crate::record::Partition;

/// One past the last offset of `partition`, as of the last fetch; `None` before the first.
// Statistics would be the safe way to learn this, at the price of a JSON document for every
// interval; the client offers the number itself only through its C interface.
#[allow(unsafe_code)]
pub(super) fn cached_high<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partition: &Partition,
) -> Option<i64> {
    let topic = CString::new(&*partition.topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive as long as `consumer` is borrowed, the topic is a C string that
    // outlives the call, and both results are written by value. The call takes the client's own
    // locks and is allowed from any thread.
    let answer = unsafe {
        rdkafka::bindings::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition.number,
            &mut low,
            &mut high,
        )
    };
    let known = answer == rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    (known && high >= 0).then_some(high)
}
