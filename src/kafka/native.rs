//! What rust-rdkafka has no safe way for. Every `unsafe` block says why it is sound.

use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::producer::Producer;
use rdkafka_sys as sys;

/// Group metadata as it was at one moment. `rd_kafka_send_offsets_to_transaction` with metadata
/// taken at commit time would let a member commit a partition that it has lost.
pub(super) struct GroupMetadata {
    raw: *mut sys::rd_kafka_consumer_group_metadata_s,
    pub(super) generation: i32,
    pub(super) member: String,
}

// SAFETY: the object is immutable after its creation; librdkafka reads it only.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above.
unsafe impl Sync for GroupMetadata {}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: made by rd_kafka_consumer_group_metadata, destroyed here alone.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.raw) }
    }
}

impl fmt::Debug for GroupMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} as {}", self.generation, self.member)
    }
}

impl GroupMetadata {
    /// What the consumer is at this moment; [`None`] without a group.
    pub(super) fn capture<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<GroupMetadata> {
        // SAFETY: the client outlives the call; the answer is ours to destroy.
        let raw = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        if raw.is_null() {
            return None;
        }
        // SAFETY: `raw` is valid, and the member id is a C string that lives as long as it.
        let (generation, member) = unsafe {
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(raw);
            let member = CStr::from_ptr(sys::rd_kafka_consumer_group_metadata_member_id(raw));
            (generation, member.to_string_lossy().into_owned())
        };
        Some(GroupMetadata { raw, generation, member })
    }
}

/// What librdkafka says about a failed transactional call.
#[derive(Debug)]
pub(super) struct NativeError {
    pub(super) text: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
    pub(super) requires_abort: bool,
}

/// Adds offsets to the producer's open transaction, under captured metadata.
pub(super) fn send_offsets(
    producer: &impl Producer<super::transaction::Events>,
    offsets: &TopicPartitionList,
    group: &GroupMetadata,
    timeout: Duration,
) -> Result<(), NativeError> {
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = producer.client().native_ptr();
    // SAFETY: all three live during the call, which copies what it keeps; a non-null answer is
    // ours to destroy, after its strings were copied.
    unsafe {
        let e = sys::rd_kafka_send_offsets_to_transaction(client, offsets.ptr(), group.raw, ms);
        if e.is_null() {
            return Ok(());
        }
        let error = NativeError {
            text: CStr::from_ptr(sys::rd_kafka_error_string(e)).to_string_lossy().into_owned(),
            fatal: sys::rd_kafka_error_is_fatal(e) != 0,
            retriable: sys::rd_kafka_error_is_retriable(e) != 0,
            requires_abort: sys::rd_kafka_error_txn_requires_abort(e) != 0,
        };
        sys::rd_kafka_error_destroy(e);
        Err(error)
    }
}

/// Kafka's id of a topic, 22 characters of Base64. Blocks for `timeout` at most.
pub(super) fn topic_id<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<String, String> {
    let name = CString::new(topic).map_err(|_| "the name holds a NUL".to_string())?;
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = consumer.client().native_ptr();
    // SAFETY: each object is made here and destroyed here, in reverse order, after its last use;
    // the id's text belongs to the event, and is copied before the event is destroyed.
    unsafe {
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let queue = sys::rd_kafka_queue_new(client);
        let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = sys::rd_kafka_AdminOptions_new(client, op);
        let mut text = [0 as c_char; 256];
        let _ = sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            ms,
            text.as_mut_ptr(),
            text.len(),
        );
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, ms);
        let answer = if event.is_null() {
            Err("no answer in time".to_string())
        } else {
            let answer = read_topic_id(event);
            sys::rd_kafka_event_destroy(event);
            answer
        };
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
        answer
    }
}

/// # Safety
/// `event` is a valid event, and outlives the call.
unsafe fn read_topic_id(event: *mut sys::rd_kafka_event_t) -> Result<String, String> {
    // SAFETY: per this function's contract; every pointer below belongs to the event.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(CStr::from_ptr(sys::rd_kafka_err2str(code)).to_string_lossy().into());
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err("not an answer to DescribeTopics".into());
        }
        let mut count = 0;
        let all = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count != 1 {
            return Err(format!("{count} topics in the answer"));
        }
        let one = *all;
        let error = sys::rd_kafka_TopicDescription_error(one);
        if !error.is_null()
            && sys::rd_kafka_error_code(error) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return Err(CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into());
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(one);
        Ok(CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned())
    }
}
