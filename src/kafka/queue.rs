//! One partition's records.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError as Rd, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset as RdOffset, Timestamp as RdTime, TopicPartitionList};

use crate::kafka::group::{Consumer, Group};
use crate::kafka::{CALL_TIMEOUT, KafkaError};
use crate::record::{Header, Offset, Record, Timestamp, TopicPartition};

/// What a poll gave.
#[derive(Debug)]
pub enum Polled {
    /// A record was given to the closure.
    Record,
    /// There is nothing beyond this position now.
    End(Offset),
    /// The position is not in the log any more (or not yet).
    OutOfRange,
    /// Nothing at the moment.
    Nothing,
    /// The client says something that is no record.
    Error(KafkaError),
}

/// What a worker needs of a partition; tests bring their own.
pub trait Source: Send {
    /// Calls `wake` whenever there is something to read again.
    fn on_records(&mut self, wake: Box<dyn Fn() + Send + Sync>);

    /// Gives the next record, if there is one, to `take`; never waits.
    fn poll(&self, take: &mut dyn FnMut(&Record<'_>)) -> Polled;

    /// Reads on from `start`: whatever was fetched from elsewhere is thrown away.
    ///
    /// # Errors
    /// The partition is not assigned any more, or the client is busy; try again.
    fn seek(&self, start: Offset) -> Result<(), KafkaError>;
}

/// One partition's queue, split off from the consumer's.
pub struct Queue {
    consumer: Arc<Consumer>,
    queue: PartitionQueue<Group>,
    tp: TopicPartition,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.tp)
    }
}

/// Headers of one record are gathered here at most; more are possible, and cost an allocation.
const INLINE_HEADERS: usize = 8;

impl Queue {
    pub(super) fn new(consumer: Arc<Consumer>, queue: PartitionQueue<Group>, tp: TopicPartition) -> Queue {
        Queue { consumer, queue, tp }
    }

    fn error(&self, e: &Rd) -> Polled {
        match e.rdkafka_error_code() {
            Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset) => {
                Polled::OutOfRange
            }
            _ => Polled::Error(KafkaError::new(format!("read {}", self.tp), e)),
        }
    }

    /// The next offset that the client would give; it has stepped over transaction markers.
    fn position(&self) -> Option<Offset> {
        let all = self.consumer.position().ok()?;
        let mine = all.find_partition(&self.tp.topic, self.tp.partition)?;
        match mine.offset() {
            RdOffset::Offset(o) => Some(Offset(o)),
            _ => None,
        }
    }
}

impl Source for Queue {
    fn on_records(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        self.queue.set_nonempty_callback(wake);
    }

    #[inline]
    fn poll(&self, take: &mut dyn FnMut(&Record<'_>)) -> Polled {
        let message = match self.queue.poll(Duration::ZERO) {
            None => return Polled::Nothing,
            Some(Ok(message)) => message,
            Some(Err(Rd::PartitionEOF(_))) => {
                return self.position().map_or(Polled::Nothing, Polled::End);
            }
            Some(Err(e)) => return self.error(&e),
        };
        let mut inline: [Header<'_>; INLINE_HEADERS] = [("", None); INLINE_HEADERS];
        let mut many: Vec<Header<'_>> = Vec::new();
        let mut headers: &[Header<'_>] = &[];
        if let Some(all) = message.headers() {
            let count = all.count();
            if count <= INLINE_HEADERS {
                for (slot, h) in inline.iter_mut().zip(all.iter()) {
                    *slot = (h.key, h.value);
                }
                headers = &inline[..count];
            } else {
                many.extend(all.iter().map(|h| (h.key, h.value)));
                headers = &many;
            }
        }
        let record = Record {
            offset: Offset(message.offset()),
            timestamp: match message.timestamp() {
                RdTime::CreateTime(ms) => Timestamp::Create(ms),
                RdTime::LogAppendTime(ms) => Timestamp::LogAppend(ms),
                RdTime::NotAvailable => Timestamp::Missing,
            },
            key: message.key(),
            value: message.payload(),
            headers,
        };
        take(&record);
        Polled::Record
    }

    fn seek(&self, start: Offset) -> Result<(), KafkaError> {
        let (topic, partition) = (&*self.tp.topic, self.tp.partition);
        let failed = |e| KafkaError::new(format!("seek {} to {start}", self.tp), e);
        let mut one = TopicPartitionList::new();
        let _ = one.add_partition(topic, partition);
        // Paused, nothing new is fetched while what is stale is drained.
        self.consumer.pause(&one).map_err(failed)?;
        let target = RdOffset::Offset(start.0);
        self.consumer.seek(topic, partition, target, CALL_TIMEOUT).map_err(failed)?;
        while self.queue.poll(Duration::ZERO).is_some() {}
        self.consumer.resume(&one).map_err(failed)
    }
}
