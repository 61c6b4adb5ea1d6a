//! One partition's records.

use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::{Offset as RdOffset, TopicPartitionList};
use rdkafka_sys::rd_kafka_resp_err_t as Code;

use crate::clients::kafka::error::{CALL_TIMEOUT, KafkaError};
use crate::clients::kafka::native::{Rebalances, SplitQueue};
use crate::clients::kafka::rights::Rights;
use crate::clients::kafka::topic_ids::TopicIds;
use crate::pure::record::{Offset, Record, TopicPartition};

/// The outcome of a read, beside the records.
#[derive(Debug, Default)]
pub struct Read {
    pub records: usize,
    /// The position behind the last record or transaction marker, if the log ends there now.
    pub end: Option<Offset>,
    pub trouble: Option<Trouble>,
    /// A rebalance may have moved the client's position: seek before the next read.
    pub moved: bool,
}

/// A message of the client that is no record.
#[derive(Debug)]
pub enum Trouble {
    /// The position is not in the log any more (or not yet); the text is the client's.
    OutOfRange(String),
    /// The brokers do not let this client read the topic. The client says so once, and again after
    /// the next seek.
    Refused(KafkaError),
    /// An error after which the client tries again by itself.
    Error(KafkaError),
}

/// The reader of one partition, as a worker needs it; tests have an implementation of their own.
pub trait Source: Send {
    /// Calls `wake` whenever there is something to read again.
    fn on_records(&mut self, wake: Box<dyn Fn() + Send + Sync>);

    /// Gives the records that are there, at most one batch, to `take`. It never waits.
    fn read(&mut self, take: &mut dyn FnMut(&Record<'_>)) -> Read;

    /// Continues to read at `start`, and discards everything that was fetched elsewhere.
    ///
    /// # Errors
    /// The partition is not assigned any more, the client is busy (try again), or the topic was
    /// deleted and created again since the assignment.
    fn seek(&mut self, start: Offset) -> Result<(), KafkaError>;

    /// Fetches nothing more, and discards everything that was fetched: seek before the next read.
    ///
    /// # Errors
    /// As [`Source::seek`].
    fn park(&mut self) -> Result<(), KafkaError>;
}

/// The number of records in a batch.
pub const BATCH: usize = 1_000;

/// One partition's queue, split off from the consumer's. The queue is dropped before its client.
pub struct Queue<C: ConsumerContext + 'static> {
    queue: SplitQueue,
    consumer: Arc<BaseConsumer<C>>,
    tp: TopicPartition,
    moves: Rebalances,
    topic_ids: Arc<TopicIds>,
    rights: Arc<Rights>,
    /// How often the topic's id had changed before this assignment.
    id_changes: u64,
    /// The count of moves before the last seek.
    sought_at: Option<u64>,
}

impl<C: ConsumerContext + 'static> std::fmt::Debug for Queue<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.tp)
    }
}

impl<C: ConsumerContext + 'static> Queue<C> {
    /// Splits a partition off; before it is assigned.
    pub(super) fn split(
        consumer: Arc<BaseConsumer<C>>,
        tp: TopicPartition,
        moves: &Rebalances,
        topic_ids: &Arc<TopicIds>,
        rights: &Arc<Rights>,
    ) -> Option<Queue<C>> {
        let (topic_ids, id_changes) = (Arc::clone(topic_ids), topic_ids.changes(&tp.topic));
        let queue = SplitQueue::split(&consumer, &tp.topic, tp.partition, moves.clone())?;
        let moves = moves.clone();
        let rights = Arc::clone(rights);
        Some(Queue { queue, consumer, tp, moves, topic_ids, rights, id_changes, sought_at: None })
    }

    /// This partition, as the client's calls want it.
    fn alone(&self) -> TopicPartitionList {
        let mut one = TopicPartitionList::new();
        let _ = one.add_partition(&self.tp.topic, self.tp.partition);
        one
    }

    /// Discards what was fetched; the partition is paused.
    fn discard(&mut self, sought_at: u64) {
        loop {
            let stale = self.queue.read(sought_at, &mut |_| {});
            let any = 0 < stale.records || stale.moved || stale.end.is_some();
            if !any && stale.error.is_none() {
                return;
            }
        }
    }
}

impl<C: ConsumerContext + 'static> Source for Queue<C> {
    fn on_records(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        self.queue.on_records(wake);
    }

    #[inline]
    fn read(&mut self, take: &mut dyn FnMut(&Record<'_>)) -> Read {
        let Some(sought_at) = self.sought_at.filter(|at| *at == self.moves.count()) else {
            return Read { moved: true, ..Read::default() };
        };
        let batch = self.queue.read(sought_at, take);
        let trouble = batch.error.map(|(code, text)| match code {
            Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE
            | Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => Trouble::OutOfRange(text),
            Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => {
                let why = self.rights.explained(text, Some(&self.tp.topic));
                Trouble::Refused(KafkaError::new(format!("read {}", self.tp), why))
            }
            _ => Trouble::Error(KafkaError::new(format!("read {}", self.tp), text)),
        });
        Read { records: batch.records, end: batch.end, trouble, moved: batch.moved }
    }

    fn seek(&mut self, start: Offset) -> Result<(), KafkaError> {
        // A rebalance from here on makes this seek void.
        let sought_at = self.moves.count();
        let (topic, partition) = (Arc::clone(&self.tp.topic), self.tp.partition);
        let what = format!("seek {} to {start}", self.tp);
        // What the client fetches from now on has the offsets of another topic.
        if self.topic_ids.changes(&topic) != self.id_changes {
            return Err(KafkaError::new(what, "the topic was deleted and created again"));
        }
        let failed = |e| KafkaError::new(what.clone(), e);
        let one = self.alone();
        // Paused, nothing new is fetched while what is stale is drained.
        self.consumer.pause(&one).map_err(failed)?;
        let target = RdOffset::Offset(start.0);
        self.consumer.seek(&topic, partition, target, CALL_TIMEOUT).map_err(failed)?;
        self.discard(sought_at);
        self.consumer.resume(&one).map_err(failed)?;
        self.sought_at = Some(sought_at);
        Ok(())
    }

    fn park(&mut self) -> Result<(), KafkaError> {
        self.sought_at = None;
        let paused = self.consumer.pause(&self.alone());
        paused.map_err(|e| KafkaError::new(format!("pause {}", self.tp), e))?;
        self.discard(self.moves.count());
        Ok(())
    }
}
