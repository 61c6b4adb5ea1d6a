//! What the brokers say of a topic and of a group: the topic's id, its newest timestamp, which
//! operations are allowed to the one who asks, and why settings are not given. rust-rdkafka has no
//! way to ask. Every `unsafe` block says why it is sound.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use crate::clients::kafka::error::CALL_TIMEOUT;
use crate::clients::kafka::rights::Operation;

/// The operations that are allowed to the one who asks; [`None`] if the brokers do not say.
pub type Allowed = Option<BTreeSet<Operation>>;

/// A topic, as the brokers describe it.
pub(super) struct DescribedTopic {
    /// Kafka's id of the topic, 22 characters of Base64.
    pub(super) id: String,
    pub(super) allowed: Allowed,
}

/// Why nothing was described.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct NotDescribed {
    code: Code,
    text: String,
}

impl NotDescribed {
    fn new(code: Code, text: impl Into<String>) -> NotDescribed {
        NotDescribed { code, text: text.into() }
    }

    /// Whether the one who asks may not even ask.
    pub(super) fn is_refused(&self) -> bool {
        use Code::{
            RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED as CLUSTER,
            RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED as GROUP,
            RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as TOPIC,
        };
        matches!(self.code, CLUSTER | GROUP | TOPIC)
    }
}

/// Describes a topic. Blocks until there is an answer, [`CALL_TIMEOUT`] at most.
pub(super) fn topic<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
) -> Result<DescribedTopic, NotDescribed> {
    let name = text(topic)?;
    let client = consumer.client().native_ptr();
    let send = |options, queue| {
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        // SAFETY: the names are copied into the collection, which is destroyed here after the call
        // that copies it.
        unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
            sys::rd_kafka_DescribeTopics(client, topics, options, queue);
            sys::rd_kafka_TopicCollection_destroy(topics);
        }
    };
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client outlives the call, and the event is what was asked for.
    unsafe { ask(client, op, send, |event| read_topic(event)) }
}

/// The operations on the consumer's group that are allowed. Nobody joins the group. Blocks as
/// [`topic`] does.
pub(super) fn group<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
) -> Result<Allowed, NotDescribed> {
    let name = text(group)?;
    let client = consumer.client().native_ptr();
    let send = |options, queue| {
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        // SAFETY: the names are copied by the call.
        unsafe {
            sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue);
        }
    };
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: as above.
    unsafe { ask(client, op, send, |event| read_group(event)) }
}

/// The newest timestamp in the first so many partitions of a topic, milliseconds since 1970;
/// [`None`] if they are empty. Blocks as [`topic`] does.
pub(super) fn newest<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: i32,
) -> Result<Option<i64>, NotDescribed> {
    let name = text(topic)?;
    let client = consumer.client().native_ptr();
    let send = |options, queue| {
        let newest = sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_MAX_TIMESTAMP as i64;
        // SAFETY: the list is made and destroyed here, and copied by the call. An element that was
        // added is valid until the next one is added. rust-rdkafka's list takes no such offset.
        unsafe {
            let list = sys::rd_kafka_topic_partition_list_new(partitions);
            for partition in 0..partitions {
                let one = sys::rd_kafka_topic_partition_list_add(list, name.as_ptr(), partition);
                (*one).offset = newest;
            }
            sys::rd_kafka_ListOffsets(client, list, options, queue);
            sys::rd_kafka_topic_partition_list_destroy(list);
        }
    };
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    // SAFETY: as above.
    unsafe { ask(client, op, send, |event| read_newest(event)) }
}

/// Whether the brokers give the settings of a topic or of a broker, and why not. Blocks as
/// [`topic`] does.
pub(super) fn settings<C: ClientContext>(
    client: &Client<C>,
    kind: sys::rd_kafka_ResourceType_t,
    name: &str,
) -> Result<(), NotDescribed> {
    if name.is_empty() {
        let invalid = Code::RD_KAFKA_RESP_ERR__INVALID_ARG;
        return Err(NotDescribed::new(invalid, "a resource has no name"));
    }
    let name = text(name)?;
    let client = client.native_ptr();
    let send = |options, queue| {
        // SAFETY: the resource is made and destroyed here, and copied by the call. Only a resource
        // without a name can't be made.
        unsafe {
            let mut resource = sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
            sys::rd_kafka_DescribeConfigs(client, &raw mut resource, 1, options, queue);
            sys::rd_kafka_ConfigResource_destroy(resource);
        }
    };
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
    // SAFETY: as above.
    unsafe { ask(client, op, send, |event| read_settings(event)) }
}

fn text(name: &str) -> Result<CString, NotDescribed> {
    let invalid = |_| NotDescribed::new(Code::RD_KAFKA_RESP_ERR__INVALID_ARG, "a name has a NUL");
    CString::new(name).map_err(invalid)
}

/// Sends a question that includes the operations that are allowed, and reads its answer.
///
/// # Safety
/// `client` outlives the call; `send` and `read` use what they are given during their calls only.
unsafe fn ask<T>(
    client: *mut sys::rd_kafka_t,
    op: sys::rd_kafka_admin_op_t,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> Result<T, NotDescribed>,
) -> Result<T, NotDescribed> {
    let ms = i32::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
    let mut text = [0 as c_char; 256];
    // SAFETY: per this function's contract. Each object is made here and destroyed here, in reverse
    // order, after its last use; `read` copies what belongs to the event.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        let options = sys::rd_kafka_AdminOptions_new(client, op);
        let (out, size) = (text.as_mut_ptr(), text.len());
        let _ = sys::rd_kafka_AdminOptions_set_request_timeout(options, ms, out, size);
        let error = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
        send(options, queue);
        let event = sys::rd_kafka_queue_poll(queue, ms);
        let answer = if event.is_null() {
            Err(NotDescribed::new(Code::RD_KAFKA_RESP_ERR__TIMED_OUT, "no answer in time"))
        } else {
            let code = sys::rd_kafka_event_error(event);
            let answer = match code {
                Code::RD_KAFKA_RESP_ERR_NO_ERROR => read(event),
                code => Err(NotDescribed::new(code, copied(sys::rd_kafka_err2str(code)))),
            };
            sys::rd_kafka_event_destroy(event);
            answer
        };
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `text` is a C string.
unsafe fn copied(text: *const c_char) -> String {
    // SAFETY: per this function's contract.
    unsafe { CStr::from_ptr(text).to_string_lossy().into_owned() }
}

/// # Safety
/// `error` is null or an error that outlives the call.
unsafe fn of_error(error: *const sys::rd_kafka_error_t) -> Result<(), NotDescribed> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: per this function's contract.
    unsafe {
        match sys::rd_kafka_error_code(error) {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(NotDescribed::new(code, copied(sys::rd_kafka_error_string(error)))),
        }
    }
}

/// What there is exactly one of.
///
/// # Safety
/// `all` points to `count` elements.
unsafe fn only<T: Copy>(all: *mut T, count: usize) -> Result<T, NotDescribed> {
    if count != 1 {
        let text = format!("{count} descriptions in the answer");
        return Err(NotDescribed::new(Code::RD_KAFKA_RESP_ERR__BAD_MSG, text));
    }
    // SAFETY: there is one element.
    Ok(unsafe { *all })
}

/// # Safety
/// `event` is a valid event, and outlives the call.
unsafe fn read_topic(event: *mut sys::rd_kafka_event_t) -> Result<DescribedTopic, NotDescribed> {
    let (mut count, mut allowed) = (0, 0);
    // SAFETY: per this function's contract; every pointer below belongs to the event.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(stranger());
        }
        let all = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let one = only(all, count)?;
        of_error(sys::rd_kafka_TopicDescription_error(one))?;
        let id = sys::rd_kafka_TopicDescription_topic_id(one);
        let list = sys::rd_kafka_TopicDescription_authorized_operations(one, &raw mut allowed);
        Ok(DescribedTopic {
            id: copied(sys::rd_kafka_Uuid_base64str(id)),
            allowed: operations(list, allowed),
        })
    }
}

/// # Safety
/// As [`read_topic`].
unsafe fn read_group(event: *mut sys::rd_kafka_event_t) -> Result<Allowed, NotDescribed> {
    let (mut count, mut allowed) = (0, 0);
    // SAFETY: as in `read_topic`.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(stranger());
        }
        let all = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let one = only(all, count)?;
        of_error(sys::rd_kafka_ConsumerGroupDescription_error(one))?;
        let list =
            sys::rd_kafka_ConsumerGroupDescription_authorized_operations(one, &raw mut allowed);
        Ok(operations(list, allowed))
    }
}

/// # Safety
/// As [`read_topic`].
unsafe fn read_newest(event: *mut sys::rd_kafka_event_t) -> Result<Option<i64>, NotDescribed> {
    let mut count = 0;
    // SAFETY: as in `read_topic`; the list has `count` elements.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event);
        if result.is_null() {
            return Err(stranger());
        }
        let all = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let stamps = (0..count).map(|n| sys::rd_kafka_ListOffsetsResultInfo_timestamp(*all.add(n)));
        // −1 where there is no record.
        Ok(stamps.filter(|stamp| 0 <= *stamp).max())
    }
}

/// # Safety
/// As [`read_topic`].
unsafe fn read_settings(event: *mut sys::rd_kafka_event_t) -> Result<(), NotDescribed> {
    let mut count = 0;
    // SAFETY: as in `read_topic`.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConfigs_result(event);
        if result.is_null() {
            return Err(stranger());
        }
        let all = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        match sys::rd_kafka_ConfigResource_error(only(all, count)?) {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(NotDescribed::new(code, copied(sys::rd_kafka_err2str(code)))),
        }
    }
}

fn stranger() -> NotDescribed {
    NotDescribed::new(Code::RD_KAFKA_RESP_ERR__BAD_MSG, "an answer to another question")
}

/// The operations that the daemon may need.
///
/// # Safety
/// `list` is null or points to `count` operations.
unsafe fn operations(list: *const sys::rd_kafka_AclOperation_t, count: usize) -> Allowed {
    use sys::rd_kafka_AclOperation_t as Acl;
    if list.is_null() {
        return None;
    }
    // As numbers: one that these bindings do not know is none of those below.
    // SAFETY: per this function's contract; the enumeration is a number of this size.
    let all = unsafe { std::slice::from_raw_parts(list.cast::<u32>(), count) };
    let known = [
        (Acl::RD_KAFKA_ACL_OPERATION_READ, Operation::Read),
        (Acl::RD_KAFKA_ACL_OPERATION_WRITE, Operation::Write),
        (Acl::RD_KAFKA_ACL_OPERATION_CREATE, Operation::Create),
        (Acl::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS, Operation::DescribeConfigs),
    ];
    let is_allowed = |(acl, _): &(Acl, Operation)| all.contains(&(*acl as u32));
    Some(known.into_iter().filter(is_allowed).map(|(_, operation)| operation).collect())
}
