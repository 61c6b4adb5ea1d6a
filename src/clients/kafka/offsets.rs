//! What the brokers know about positions. Every call blocks; none may run on the poll thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientConfig, Offset as RdOffset, TopicPartitionList};

use crate::clients::kafka::beginnings::{Beginnings, CommittedPartitions};
use crate::clients::kafka::error::{CALL_TIMEOUT, KafkaError};
use crate::clients::kafka::failing::Failing;
use crate::clients::kafka::group::Consumer;
use crate::clients::kafka::settings::{Quiet, hear};
use crate::clients::kafka::{describe, gate, published};
use crate::common::config::Start;
use crate::pure::formats::metadata::MetadataError;
use crate::pure::protocol::machine::LogAnswer;
use crate::pure::protocol::{Committed, Published};
use crate::pure::record::{Offset, OffsetRange, TopicPartition};

/// A committed offset as it was read. An error where its metadata is of another program or
/// version: the owner of that partition stops, and the other partitions of the answer go on.
pub type CommittedRead = Result<Committed, MetadataError>;

/// A stable read: waits for transactions that hold these partitions, then answers what was
/// decided. One answer a partition, in order; [`None`] where nothing is committed. Metadata is
/// decoded here and nowhere else.
///
/// # Errors
/// A transaction is still pending at the timeout, or the coordinator does not answer.
pub fn committed(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<CommittedRead>>, KafkaError> {
    let rights = consumer.context().rights();
    let topic = partitions.first().map(|tp| &*tp.topic);
    let failed = |e: &dyn std::fmt::Display| {
        KafkaError::new("read committed offsets", rights.explained(e, topic))
    };
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for tp in partitions {
        let _ = list.add_partition(&tp.topic, tp.partition);
    }
    let answer = consumer.committed_offsets(list, timeout).map_err(|e| failed(&e))?;
    decoded(&answer, partitions).map_err(|e| failed(&e))
}

/// The committed offsets of an answer. Unreadable metadata of one partition fails no other one.
fn decoded(
    answer: &TopicPartitionList,
    partitions: &[TopicPartition],
) -> Result<Vec<Option<CommittedRead>>, String> {
    each(answer, partitions, |element| match element.offset() {
        RdOffset::Offset(o) => Some(Committed::decode(Offset(o), element.metadata())),
        _ => None,
    })
}

type Answer<'a> = TopicPartitionListElem<'a>;

/// One answer a partition, in order.
fn each<T>(
    answer: &TopicPartitionList,
    partitions: &[TopicPartition],
    take: impl Fn(&Answer<'_>) -> T,
) -> Result<Vec<T>, String> {
    // The list's own search looks at all of it: for a thousand partitions, a million times.
    let elements = answer.elements();
    let named: HashMap<(&str, i32), &Answer<'_>> =
        elements.iter().map(|e| ((e.topic(), e.partition()), e)).collect();
    partitions
        .iter()
        .map(|tp| {
            let element = named.get(&(&*tp.topic, tp.partition));
            let element = *element.ok_or_else(|| format!("no answer for {tp}"))?;
            element.error().map_err(|e| format!("{tp}: {e}"))?;
            Ok(take(element))
        })
        .collect()
}

/// For which partitions of these topics an offset is committed.
///
/// # Errors
/// The coordinator does not answer.
pub fn committed_partitions(
    consumer: &Consumer,
    topics: &BTreeMap<&str, usize>,
) -> Result<BTreeMap<String, CommittedPartitions>, KafkaError> {
    let partitions = |(topic, n): (&&str, &usize)| {
        let topic: Arc<str> = (*topic).into();
        (0..*n as i32).map(move |partition| TopicPartition { topic: Arc::clone(&topic), partition })
    };
    let all: Vec<TopicPartition> = topics.iter().flat_map(partitions).collect();
    let committed = committed(consumer, &all, CALL_TIMEOUT)?;
    let mut by_topic: BTreeMap<String, CommittedPartitions> = BTreeMap::new();
    for (tp, committed) in all.iter().zip(committed) {
        let of = by_topic.entry(tp.topic.to_string()).or_default();
        let _ = of.insert(tp.partition, committed.is_some());
    }
    Ok(by_topic)
}

/// The log's start and its last stable offset.
///
/// # Errors
/// The partition's leader does not answer.
pub fn log_range(consumer: &Consumer, tp: &TopicPartition) -> Result<OffsetRange, KafkaError> {
    let (low, high) = watermarks(consumer, tp).map_err(|e| no_ends(tp, &e))?;
    Ok(OffsetRange { from: Offset(low), to: Offset(high) })
}

/// The start of a log and its last stable offset, as the client tells them.
fn watermarks(
    consumer: &Consumer,
    tp: &TopicPartition,
) -> Result<(i64, i64), rdkafka::error::KafkaError> {
    consumer.fetch_watermarks(&tp.topic, tp.partition, CALL_TIMEOUT)
}

fn no_ends(tp: &TopicPartition, why: &rdkafka::error::KafkaError) -> KafkaError {
    KafkaError::new(format!("ask for the ends of {tp}"), why)
}

/// Where a partition starts that has neither a committed offset nor a ledger.
///
/// # Errors
/// The partition's leader does not answer.
pub fn first_offset(
    consumer: &Consumer,
    tp: &TopicPartition,
    start: Start,
) -> Result<Offset, KafkaError> {
    let log = log_range(consumer, tp)?;
    let millis = match start {
        Start::Earliest => return Ok(log.from),
        Start::Latest => return Ok(log.to),
        Start::At(millis) => millis,
    };
    let failed = |e| KafkaError::new(format!("look for the start of {tp} by time"), e);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&tp.topic, tp.partition, RdOffset::Offset(millis)).map_err(failed)?;
    let found = consumer.offsets_for_times(list, CALL_TIMEOUT).map_err(failed)?;
    let offset = found.find_partition(&tp.topic, tp.partition).map(|e| e.offset());
    Ok(match offset {
        Some(RdOffset::Offset(o)) if 0 <= o => Offset(o),
        _ => log.to,
    })
}

/// Kafka's id of the topic.
///
/// # Errors
/// No broker answers, or the topic is gone.
pub fn topic_id(consumer: &Consumer, topic: &str) -> Result<String, KafkaError> {
    let rights = consumer.context().rights();
    describe::topic(consumer, topic).map(|described| described.id).map_err(|e| {
        let why = rights.explained(e, Some(topic));
        KafkaError::new(format!("ask for the id of topic {topic:?}"), why)
    })
}

/// The questions that a worker asks the brokers about positions. All calls block. Tests have an
/// implementation of their own.
pub trait Positions: Send + Sync {
    /// Reads the committed offset (a stable read), the log's ends and the topic's id. For a
    /// partition of the partials topic that has nothing committed, it also reads what was published
    /// in `merges_into`; for a source, the id of the partials topic that it `counts_into`.
    ///
    /// # Errors
    /// Something does not answer, or a transaction is still pending.
    fn read(
        &self,
        tp: &TopicPartition,
        start: Start,
        merges_into: Option<&str>,
        counts_into: Option<&str>,
    ) -> Result<PositionsRead, KafkaError>;

    /// The topic's id, and the log's start: beyond all offsets if the topic has no such partition
    /// any more.
    ///
    /// # Errors
    /// No broker answers, or the topic is gone.
    fn log(&self, tp: &TopicPartition) -> Result<LogAnswer, KafkaError>;

    /// A stable read alone; one answer a partition, in order.
    ///
    /// # Errors
    /// As [`committed`].
    fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedRead>>, KafkaError>;

    /// See [`Silence`].
    ///
    /// # Errors
    /// Somebody does not answer: then nobody is known to be silent.
    fn silence(
        &self,
        sources: &[TopicPartition],
        partials: &TopicPartition,
    ) -> Result<Silence, KafkaError>;
}

/// The answers that the silence rule needs. They are asked for in this order: the committed offset
/// of each source partition, its log's end, then the end of a partition of the partials topic. Ends
/// include transactions that are still open.
#[derive(Clone, Debug)]
pub struct Silence {
    pub asked: Vec<(TopicPartition, Option<CommittedRead>, Offset)>,
    pub end: Offset,
}

/// The brokers' answers that recovery needs.
#[derive(Clone, Debug)]
pub struct PositionsRead {
    pub topic_id: String,
    /// The id of the partials topic that counts go to, if they go to one.
    pub partials: Option<String>,
    pub committed: Option<CommittedRead>,
    pub log: OffsetRange,
    /// The offset at which the partition starts if nothing is committed.
    pub first: Offset,
    /// The position that the published counts give, if nothing is committed.
    pub past: Published,
}

/// The client that reads uncommitted, and never joins the group; made when it is needed.
#[derive(Default)]
struct EndsClient {
    client: Option<Arc<BaseConsumer<Quiet>>>,
    failing: Failing,
}

/// [`Positions`] by a consumer, which is made after those who ask.
#[derive(Clone)]
pub struct BrokerPositions {
    pub consumer: Arc<OnceLock<Weak<Consumer>>>,
    config: Arc<ClientConfig>,
    ends: Arc<Mutex<EndsClient>>,
    /// What existed before the group began.
    beginnings: Arc<Beginnings>,
}

impl BrokerPositions {
    /// `config`: the consumer's settings.
    #[must_use]
    pub fn new(mut config: ClientConfig, beginnings: Arc<Beginnings>) -> BrokerPositions {
        let _ = config.set("isolation.level", "read_uncommitted");
        let (config, consumer, ends) = (config.into(), Arc::default(), Arc::default());
        BrokerPositions { consumer, config, ends, beginnings }
    }

    /// The ends of these logs with the records of open transactions, in order.
    ///
    /// # Errors
    /// A partition's leader does not answer.
    pub fn ends(&self, partitions: &[TopicPartition]) -> Result<Vec<Offset>, KafkaError> {
        // No client is made for nothing, and an answer without a question is none.
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let client = self.ends_client()?;
        let ends = edges_for(&*client, partitions, RdOffset::End);
        if ends.is_err() {
            hear(&client);
        }
        let mut of_ends = self.ends.lock();
        // Another thread may have replaced it meanwhile.
        let is_current = of_ends.client.as_ref().is_some_and(|now| Arc::ptr_eq(now, &client));
        let given_up = if is_current && of_ends.failing.heard(ends.is_ok(), Instant::now()) {
            of_ends.client.take()
        } else {
            None
        };
        drop(of_ends);
        // The end of a client takes time, and nobody else waits for it.
        drop(given_up);
        ends
    }

    fn ends_client(&self) -> Result<Arc<BaseConsumer<Quiet>>, KafkaError> {
        let mut of_ends = self.ends.lock();
        if let Some(client) = &of_ends.client {
            return Ok(Arc::clone(client));
        }
        gate::is_open()?;
        let made: Result<BaseConsumer<Quiet>, _> = self.config.create_with_context(Quiet);
        let made = Arc::new(made.map_err(|e| KafkaError::new("make a client", e))?);
        gate::guard(made.client());
        of_ends.client = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The offsets of the oldest records of these logs, in order; all are asked for at once.
    ///
    /// # Errors
    /// A partition's leader does not answer.
    pub fn starts(&self, partitions: &[TopicPartition]) -> Result<Vec<Offset>, KafkaError> {
        edges_for(&*self.consumer()?, partitions, RdOffset::Beginning)
    }

    /// The last stable offsets of these logs, in order. All are asked for at once: a broker answers
    /// each request of a client only after the fetch that was sent before.
    ///
    /// # Errors
    /// A partition's leader does not answer.
    pub fn stable_ends(&self, partitions: &[TopicPartition]) -> Result<Vec<Offset>, KafkaError> {
        edges_for(&*self.consumer()?, partitions, RdOffset::End)
    }

    fn consumer(&self) -> Result<Arc<Consumer>, KafkaError> {
        self.consumer
            .get()
            .and_then(Weak::upgrade)
            .ok_or_else(|| KafkaError::new("ask the brokers", "the consumer is closed"))
    }
}

/// The client looks through the whole list of a question for each answer, so the cost of a question
/// grows with the square of its partitions: many are asked for in several questions.
const ASKED_AT_ONCE: usize = 100;

/// The beginnings or the ends of these logs for the client's isolation level, in order.
fn edges_for<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    edge: RdOffset,
) -> Result<Vec<Offset>, KafkaError> {
    let mut edges = Vec::with_capacity(partitions.len());
    for some in partitions.chunks(ASKED_AT_ONCE) {
        edges.extend(edges_of_some(client, some, edge)?);
    }
    Ok(edges)
}

fn edges_of_some<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    edge: RdOffset,
) -> Result<Vec<Offset>, KafkaError> {
    let failed = |e: &dyn std::fmt::Display| {
        KafkaError::new("ask for the beginnings or the ends of logs", e)
    };
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for tp in partitions {
        // Where a time is asked for, −1 stands for the end, and −2 for the beginning.
        list.add_partition_offset(&tp.topic, tp.partition, edge).map_err(|e| failed(&e))?;
    }
    let answer = client.offsets_for_times(list, CALL_TIMEOUT).map_err(|e| failed(&e))?;
    let ends = each(&answer, partitions, |element| match element.offset() {
        RdOffset::Offset(o) => Ok(Offset(o)),
        other => Err(format!("{}/{}: {other:?}", element.topic(), element.partition())),
    });
    ends.and_then(|all| all.into_iter().collect()).map_err(|e| failed(&e))
}

/// Whether the topic, which is there, has no such partition.
fn is_no_partition(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::UnknownPartition | Code::UnknownTopicOrPartition))
}

impl Positions for BrokerPositions {
    fn read(
        &self,
        tp: &TopicPartition,
        start: Start,
        merges_into: Option<&str>,
        counts_into: Option<&str>,
    ) -> Result<PositionsRead, KafkaError> {
        let consumer = self.consumer()?;
        let partials = counts_into.map(|topic| topic_id(&consumer, topic)).transpose()?;
        let topic_id = topic_id(&consumer, &tp.topic)?;
        let one = std::slice::from_ref(tp);
        let committed = committed(&consumer, one, CALL_TIMEOUT)?.into_iter().next().flatten();
        let log = log_range(&consumer, tp)?;
        let first = match committed {
            Some(_) => log.from,
            None => {
                let start = self.beginnings.meaning(start, tp, &topic_id);
                first_offset(&consumer, tp, start)?
            }
        };
        let past = match merges_into.filter(|_| committed.is_none() && log.from < log.to) {
            Some(output) => published::merged_past(&self.config, output, tp, log)?,
            None => Ok(None),
        };
        Ok(PositionsRead { topic_id, partials, committed, log, first, past })
    }

    fn log(&self, tp: &TopicPartition) -> Result<LogAnswer, KafkaError> {
        let consumer = self.consumer()?;
        let topic_id = topic_id(&consumer, &tp.topic)?;
        let start = match watermarks(&consumer, tp) {
            Ok((start, _)) => Offset(start),
            // A topic that was created again may have fewer partitions.
            Err(e) if is_no_partition(&e) => Offset(i64::MAX),
            Err(e) => return Err(no_ends(tp, &e)),
        };
        Ok(LogAnswer { topic_id, start })
    }

    fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedRead>>, KafkaError> {
        committed(&*self.consumer()?, partitions, CALL_TIMEOUT)
    }

    fn silence(
        &self,
        sources: &[TopicPartition],
        partials: &TopicPartition,
    ) -> Result<Silence, KafkaError> {
        let committed = self.committed(sources)?;
        let ends = self.ends(sources)?;
        // The last stable offset would not do: offsets may be marked as committed before the
        // partial counts of the same transaction are.
        let end = self.ends(std::slice::from_ref(partials))?[0];
        let each = sources.iter().cloned().zip(committed).zip(ends);
        let asked = each.map(|((tp, committed), end)| (tp, committed, end)).collect();
        Ok(Silence { asked, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_is_made_to_ask_for_nothing() {
        let positions = BrokerPositions::new(ClientConfig::new(), Arc::default());
        assert_eq!(positions.ends(&[]).unwrap(), []);
        assert!(positions.ends.lock().client.is_none());
    }

    #[test]
    fn unreadable_metadata_fails_its_own_partition_alone() {
        let metadata = ["alluvium1;o=5;p=9;r=a;t=b", "alluvium9;o=5", "", "unset"];
        let mut answer = TopicPartitionList::new();
        let mut asked = Vec::new();
        for (partition, text) in (0..).zip(metadata) {
            let mut element = answer.add_partition("t", partition);
            if text != "unset" {
                element.set_offset(RdOffset::Offset(5)).unwrap();
                element.set_metadata(text);
            }
            asked.push(TopicPartition { topic: "t".into(), partition });
        }
        let read = decoded(&answer, &asked).unwrap();
        let p = |read: &Option<CommittedRead>| read.clone().map(|r| r.map(|c| c.p().0));
        let foreign = MetadataError::Foreign(metadata[1].into());
        let want = [Some(Ok(9)), Some(Err(foreign)), Some(Ok(5)), None];
        assert_eq!(read.iter().map(p).collect::<Vec<_>>(), want);
        asked.push(TopicPartition { topic: "t".into(), partition: 9 });
        assert!(decoded(&answer, &asked).is_err(), "no answer for one that was asked for");
    }
}
