//! What rust-rdkafka has no safe way for. Every `unsafe` block says why it is sound.

use std::ffi::{CStr, CString, c_void};
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::producer::{Producer, ProducerContext};
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use crate::clients::kafka::headers::{bytes, each_header};
use crate::pure::record::{Header, Offset, Record, Timestamp};

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
pub(super) fn send_offsets<C: ProducerContext>(
    producer: &impl Producer<C>,
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

/// Sends what is queued, full batches or not, and waits until all of it is answered; false if that
/// took longer. rust-rdkafka's own flush ends its call at once, mostly before any thread has seen
/// that it is to send, and then waits in steps of 100 ms.
pub(super) fn flush<C: ProducerContext>(producer: &impl Producer<C>, timeout: Duration) -> bool {
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives during the call.
    let code = unsafe { sys::rd_kafka_flush(producer.client().native_ptr(), ms) };
    code == Code::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Called when a queue stops being empty; boxed twice, because the inner pointer is fat.
type Wake = Box<Box<dyn Fn() + Send + Sync>>;

/// One partition's queue: rust-rdkafka's own polls an event a record, which costs as much as
/// counting its words. The consumer must outlive it; its owner sees to that.
pub(super) struct SplitQueue {
    raw: *mut sys::rd_kafka_queue_t,
    topic: *mut sys::rd_kafka_topic_t,
    partition: i32,
    wake: Option<Wake>,
    moves: Rebalances,
}

// SAFETY: a librdkafka queue may be used from any thread, by one at a time: `read` takes &mut.
unsafe impl Send for SplitQueue {}

/// What came of a batch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: usize,
    /// There was nothing beyond this position.
    pub(super) end: Option<Offset>,
    pub(super) error: Option<(Code, String)>,
    /// The client's position was moved on the way: this and what follows is not what comes next.
    pub(super) moved: bool,
}

/// Where the client's positions may be moved by itself: at each rebalance (decision 0010).
#[derive(Clone, Debug, Default)]
pub(super) struct Rebalances(Arc<AtomicU64>);

impl Rebalances {
    /// Before anything is fetched that a rebalance may have moved.
    pub(super) fn note(&self) {
        let _ = self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Headers up to here need no allocation.
const INLINE_HEADERS: usize = 8;

impl SplitQueue {
    /// Splits a partition off the consumer's queue; before it is assigned.
    pub(super) fn split<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        topic: &str,
        partition: i32,
        moves: Rebalances,
    ) -> Option<SplitQueue> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client is valid; queue and topic are ours to destroy. Forwarding to nowhere
        // is what splitting is.
        unsafe {
            let client = consumer.client().native_ptr();
            let raw = sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if raw.is_null() {
                return None;
            }
            sys::rd_kafka_queue_forward(raw, ptr::null_mut());
            let topic = sys::rd_kafka_topic_new(client, topic.as_ptr(), ptr::null_mut());
            if topic.is_null() {
                sys::rd_kafka_queue_destroy(raw);
                return None;
            }
            Some(SplitQueue { raw, topic, partition, wake: None, moves })
        }
    }

    pub(super) fn on_records(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        unsafe extern "C" fn call(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
            let wake = opaque as *const Box<dyn Fn() + Send + Sync>;
            // SAFETY: set below to a box that lives until the callback is taken back.
            unsafe { (*wake)() }
        }
        let wake: Wake = Box::new(wake);
        let opaque = ptr::from_ref::<Box<dyn Fn() + Send + Sync>>(&wake).cast_mut().cast();
        // SAFETY: the queue is valid, and `wake` is kept as long as it may be called.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.raw, Some(call), opaque) }
        self.wake = Some(wake);
    }

    /// Gives what is there, `consume.callback.max.messages` at most, to `take`; never waits. Of
    /// librdkafka's ways to read, the cheapest that keeps the position right
    /// (docs/decisions/0004-reading.md). Nothing is given from the moment on that [`Rebalances`]
    /// has another count than `sought_at`.
    pub(super) fn read(&mut self, sought_at: u64, take: &mut dyn FnMut(&Record<'_>)) -> Batch {
        let mut reading = Reading { take, batch: Batch::default(), moves: &self.moves, sought_at };
        // SAFETY: the topic is valid, and its partition's queue is the one that was split off;
        // `reading` outlives the call, and nothing else uses it meanwhile.
        let _ = unsafe {
            let opaque = ptr::from_mut(&mut reading).cast();
            sys::rd_kafka_consume_callback(self.topic, self.partition, 0, Some(on_message), opaque)
        };
        reading.batch
    }
}

/// What [`on_message`] knows of its [`SplitQueue::read`].
struct Reading<'a> {
    take: &'a mut dyn FnMut(&Record<'_>),
    batch: Batch,
    moves: &'a Rebalances,
    sought_at: u64,
}

/// Called for each message of a read. A panic in here ends the process: nothing may unwind
/// through librdkafka.
unsafe extern "C" fn on_message(message: *mut sys::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: librdkafka hands on what `read` gave it, and a message that is valid during the call.
    unsafe {
        let (m, reading) = (&*message, &mut *opaque.cast::<Reading<'_>>());
        let batch = &mut reading.batch;
        // Asked of each message: it may have been fetched after a rebalance that began a moment
        // ago.
        if reading.moves.count() != reading.sought_at {
            batch.moved = true;
            return;
        }
        match m.err {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => {
                batch.records = batch.records.saturating_add(1);
                batch.end = None;
                with_record(m, reading.take);
            }
            Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => batch.end = Some(Offset(m.offset)),
            code => {
                let text = CStr::from_ptr(sys::rd_kafka_message_errstr(m)).to_string_lossy();
                batch.error = Some((code, text.into_owned()));
            }
        }
    }
}

impl Drop for SplitQueue {
    fn drop(&mut self) {
        // SAFETY: the callback is taken back before its box is dropped; then topic and queue,
        // which are ours, are destroyed once.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.raw, None, ptr::null_mut());
            sys::rd_kafka_topic_destroy(self.topic);
            sys::rd_kafka_queue_destroy(self.raw);
        }
    }
}

/// Shows a message to `take` as a record.
///
/// # Safety
/// `m` is a valid message without error.
unsafe fn with_record(m: &sys::rd_kafka_message_t, take: &mut dyn FnMut(&Record<'_>)) {
    use sys::rd_kafka_timestamp_type_t as Kind;
    let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    let mut inline: [Header<'_>; INLINE_HEADERS] = [(b"", None); INLINE_HEADERS];
    let mut many: Vec<Header<'_>> = Vec::new();
    let mut count = 0;
    // SAFETY: the message is valid, and everything that is read here belongs to it.
    unsafe {
        let millis = sys::rd_kafka_message_timestamp(m, &raw mut kind);
        let mut headers = ptr::null_mut();
        if sys::rd_kafka_message_headers(m, &raw mut headers) == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            each_header(headers, |i, header| {
                if i < INLINE_HEADERS {
                    inline[i] = header;
                } else {
                    if many.is_empty() {
                        many.extend_from_slice(&inline);
                    }
                    many.push(header);
                }
                count = i.saturating_add(1);
            });
        }
        take(&Record {
            offset: Offset(m.offset),
            timestamp: match kind {
                Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::Create(millis),
                Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Timestamp::LogAppend(millis),
                Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::Missing,
            },
            key: bytes(m.key, m.key_len),
            value: bytes(m.payload, m.len),
            headers: if many.is_empty() { &inline[..count] } else { &many },
        });
    }
}
