//! The messages that a worker receives, and how the worker is woken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clients::kafka::offsets::{PositionsRead, Silence};
use crate::clients::kafka::{Generation, KafkaError, Source};
use crate::common::metrics::PartitionGauges;
use crate::common::status::PartitionStatus;
use crate::engine::archive::task::Event;
use crate::engine::topics::Role;
use crate::pure::protocol::machine::{LogAnswer, Ticket};
use crate::pure::record::{Offset, TopicPartition};

/// A message to a worker.
pub enum Message {
    /// A new generation, with the partitions that it adds here.
    Assigned { generation: Arc<Generation>, added: Vec<Added> },
    Revoked {
        partitions: Vec<TopicPartition>,
        /// No mapping names their topics any more.
        for_good: bool,
        commits: bool,
        done: SyncSender<()>,
    },
    /// Seal and append everything, commit, and read no more.
    Drain { done: SyncSender<bool>, timeout: Duration },
    /// The oldest record of the open attempt of this partition is soon deleted by retention.
    RollEarly(TopicPartition),
    /// The logs of these partitions, which are dormant, have grown, or may have.
    Awaken(Vec<TopicPartition>),
    /// A repair was made: stopped partitions recover now.
    Retry,
    /// An operator wants the open files of this mapping to end.
    Roll(Arc<str>),
    /// End the thread.
    End,
    /// What a job outside of the worker's thread came to; `epoch` names the assignment.
    Answered { tp: TopicPartition, epoch: u64, answer: Box<Answer> },
}

/// What a job outside of the worker's thread came to.
#[derive(Debug)]
pub enum Answer {
    Positions(Ticket, Result<Box<PositionsRead>, KafkaError>),
    Log(Ticket, Result<LogAnswer, KafkaError>),
    /// The clock showed `at` before the question was asked.
    Silence {
        at: i64,
        answer: Result<Silence, KafkaError>,
    },
    Archive(Event),
}

/// A partition on its way to a worker.
pub struct Added {
    pub tp: TopicPartition,
    pub role: Role,
    pub source: Box<dyn Source>,
    /// Cleared when the assignment is over: nothing may be committed then.
    pub alive: Arc<AtomicBool>,
    pub gauges: Arc<PartitionGauges>,
}

/// Wakes a worker's thread.
#[derive(Clone)]
pub struct Wake {
    pub(super) inbox: Sender<Message>,
    pub(super) thread: Arc<OnceLock<std::thread::Thread>>,
}

impl Wake {
    pub(super) fn send(&self, message: Message) {
        // A worker that has ended needs no message.
        let _ = self.inbox.send(message);
        self.unpark();
    }

    pub(super) fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// What others see of a worker while it runs.
#[derive(Debug, Default)]
pub struct WorkerView {
    /// Wall clock of its last round, milliseconds: a worker without progress is stuck.
    pub last_round: AtomicI64,
    /// Partitions that are not fetched, and where they wait for their logs to grow.
    pub dormant: Mutex<BTreeMap<TopicPartition, Offset>>,
    /// Its partitions, in order.
    pub partitions: Mutex<Vec<PartitionStatus>>,
}
