//! One worker's transactions: results and offsets, all or nothing.
//!
//! Anything but a plain Ok is doubt (rule 4): not an abort, not a success. After it the producer
//! is made anew before the next transaction, because a delayed end of this one could hit the next
//! transaction of the same epoch (KAFKA-17754).
//!
//! No call of the client is trusted to come back: some wait forever for a reply that it has dropped
//! (docs/decisions/0011-deadlines.md). Each runs on a thread of its own, which is left behind with
//! its producer at the deadline.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError as Rd, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, PurgeConfig};

use crate::clients::kafka::calls::{Refused, patiently, within};
use crate::clients::kafka::delivery::Events;
use crate::clients::kafka::error::{Fatal, KafkaError, TransactionError};
use crate::clients::kafka::generation::Generation;
use crate::clients::kafka::limit::BatchLimit;
use crate::clients::kafka::native;
use crate::clients::kafka::offset_commit::{OffsetCommit, listed};
use crate::clients::kafka::producer::HeardProducer;
use crate::clients::kafka::rights::{self, Operation, Resource, Rights};
use crate::clients::kafka::twins::Twins;
use crate::common::crash::{self, Step};
use crate::common::deadlines::{PRODUCER_CALL as STEP, PRODUCER_CALL_OVERDUE as OVERDUE};
use crate::common::spawn::thread_detached;
use crate::pure::formats::header;

/// The settings of a producer; asked for each time that one is made.
type Settings = dyn Fn() -> Result<ClientConfig, KafkaError> + Send;

/// The transactions of one worker, with one transactional producer.
pub struct Transactions {
    settings: Box<Settings>,
    producer: Option<Arc<HeardProducer<Events>>>,
    /// The time for which one step may be repeated.
    patience: Duration,
    /// When the latest transaction was opened.
    opened_at: Instant,
    /// A producer without a transaction for this time is ended.
    idle_after: Duration,
    /// Topics that results of this transaction were sent to.
    topics: BTreeSet<String>,
    /// After this long the coordinator itself aborts and fences.
    transaction_timeout: Duration,
    limit: Arc<BatchLimit>,
    /// The limit that the producer was made with; bytes.
    made_for: usize,
    twins: Arc<Twins>,
    /// How often the producer was fenced since the last commit.
    fenced: Cell<u32>,
    /// Who the producer is; [`None`] before the first one is made.
    rights: Option<Rights>,
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transactions")
    }
}

/// A producer has a connection and a thread for each broker, and about 1 MiB, whether it has
/// something to do or not. To make one takes a few requests.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// librdkafka's own.
const DEFAULT_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The step of a client that librdkafka refuses to make.
pub const MAKE_PRODUCER: &str = "make the producer";

/// One record of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// The partition; [`None`] lets the key decide.
    pub partition: Option<i32>,
    pub key: Option<&'a str>,
    pub value: &'a [u8],
    /// The value of the header [`header::NAME`].
    pub header: &'a str,
}

/// The durations of a commit's steps.
#[derive(Clone, Copy, Default, Debug)]
pub struct CommitTimes {
    pub deliver: Duration,
    pub offsets: Duration,
    pub end: Duration,
}

/// The transactions that a worker needs; tests have an implementation of their own.
pub trait Commit: Send {
    /// Begins a transaction; records are sent next.
    ///
    /// # Errors
    /// No transaction can be opened; nothing was sent.
    fn begin(&mut self) -> Result<(), TransactionError>;

    /// Sends one result; waits while the producer's queue is full.
    ///
    /// # Errors
    /// The record can't be sent; the transaction is to be given up.
    fn send(&mut self, result: &Outgoing<'_>) -> Result<(), TransactionError>;

    /// Commits results and offsets together. `owned` is asked right before the offsets go out.
    ///
    /// # Errors
    /// See [`TransactionError`]; call [`Commit::give_up`] next.
    fn commit(
        &mut self,
        offsets: &[OffsetCommit],
        generation: &Generation,
        owned: &dyn Fn() -> bool,
    ) -> Result<CommitTimes, TransactionError>;

    /// Ends a transaction that was not answered with a plain Ok. Whatever the brokers answer to the
    /// abort, the positions must be read back, and the producer is replaced.
    fn give_up(&mut self);

    /// Between two transactions: a producer that has had nothing to do for long is ended. The next
    /// transaction makes another one.
    fn rest(&mut self) {}

    /// The largest value that a message may have; bytes.
    fn largest_value(&self) -> usize;
}

impl Transactions {
    /// `settings` are asked for each time that a producer is made.
    #[must_use]
    pub fn new(
        settings: impl Fn() -> Result<ClientConfig, KafkaError> + Send + 'static,
        patience: Duration,
    ) -> Transactions {
        Transactions {
            limit: Arc::new(BatchLimit::of_client(None)),
            made_for: 0,
            settings: Box::new(settings),
            producer: None,
            patience,
            opened_at: Instant::now(),
            idle_after: IDLE_AFTER,
            topics: BTreeSet::new(),
            transaction_timeout: DEFAULT_TRANSACTION_TIMEOUT,
            twins: Arc::default(),
            fenced: Cell::new(0),
            rights: None,
        }
    }

    /// Transactions of an instance that gives way to a newer one of its name.
    #[must_use]
    pub fn beside(self, twins: Arc<Twins>) -> Transactions {
        Transactions { twins, ..self }
    }

    /// Transactions whose messages fit into a limit that others lower.
    #[must_use]
    pub fn within(self, limit: Arc<BatchLimit>) -> Transactions {
        Transactions { limit, ..self }
    }

    /// Makes the producer if there is none. Its first call ends the transaction that an earlier
    /// process with this transactional id has left open.
    ///
    /// # Errors
    /// No coordinator answers in time, or a newer instance of this name is in the group.
    pub fn ready(&mut self) -> Result<&Arc<HeardProducer<Events>>, TransactionError> {
        if self.producer.is_none() {
            self.twins.give_way()?;
            let mut settings =
                (self.settings)().map_err(|e| TransactionError::doubt(MAKE_PRODUCER, e))?;
            self.rights = Some(Rights::of(&settings, self.twins.group()));
            let millis = settings.get("transaction.timeout.ms").and_then(|v| v.parse().ok());
            self.transaction_timeout =
                millis.map_or(DEFAULT_TRANSACTION_TIMEOUT, Duration::from_millis);
            self.made_for = self.limit.batch();
            let _ = settings.set("batch.size", self.made_for.to_string());
            let made = HeardProducer::make(&settings, Events::of(&settings, &self.limit))
                .map_err(|e| TransactionError::doubt(MAKE_PRODUCER, e))?;
            let made = Arc::new(made);
            let step = "init transactions";
            let begun = patiently(Instant::now() + self.patience, || {
                let producer = Arc::clone(&made);
                match within(step, move || producer.init_transactions(STEP))? {
                    Ok(()) => Ok(()),
                    Err(Rd::Transaction(e))
                        if e.code() == RDKafkaErrorCode::InvalidTransactionTimeout =>
                    {
                        Err(TransactionError::Refused(Fatal::TRANSACTION_TIMEOUT).into())
                    }
                    Err(e) => {
                        let again = matches!(&e, Rd::Transaction(e) if e.is_retriable());
                        Err(Refused { again, error: self.not_allowed(step, &e.to_string()) })
                    }
                }
            });
            if begun.is_err()
                && let Some(why) = made.client().context().refused_login()
            {
                return Err(TransactionError::Refused(Fatal::LoginRefused(why)));
            }
            begun?;
            self.producer = Some(made);
        }
        Ok(self.producer.as_ref().expect("made above"))
    }

    /// A result that can't be delivered: the client itself may have been fenced.
    fn refused(&self, step: &'static str, text: &str) -> TransactionError {
        let fatal = self.producer.as_ref().is_some_and(|p| p.client().fatal_error().is_some());
        self.classify(step, fatal, text)
    }

    fn classify(&self, step: &'static str, fatal: bool, text: &str) -> TransactionError {
        let code = self.producer.as_ref().and_then(|p| p.client().fatal_error());
        match code {
            Some((RDKafkaErrorCode::Fenced, detail)) if fatal => {
                self.fenced.set(self.fenced.get().saturating_add(1));
                // The coordinator fences, too, when a transaction takes too long.
                let recent = self.opened_at.elapsed() < self.transaction_timeout / 2;
                self.twins.judge(step, detail, recent, self.fenced.get())
            }
            _ => self.not_allowed(step, text),
        }
    }

    /// A failure by what its text says: a right that is missing, or doubt.
    fn not_allowed(&self, step: &'static str, text: &str) -> TransactionError {
        let Some(rights) = &self.rights else { return TransactionError::doubt(step, text) };
        let lacks = |operation, topic: &String| rights.lacks(operation, Resource::Topic(topic));
        let reasons = self.producer.as_ref().map(|p| p.client().context().reasons());
        let written = reasons.iter().flat_map(|r| &r.refused);
        let mut all: Vec<String> = written.map(|topic| lacks(Operation::Write, topic)).collect();
        let read = rights::refused_topics(text);
        all.extend(read.iter().map(|topic| lacks(Operation::Read, topic)));
        let why = reasons.and_then(|r| r.transaction);
        let by_text = [Some(text), why.as_deref()].into_iter().flatten();
        all.extend(by_text.filter_map(|text| rights.missing(text, None)).take(1));
        match all.is_empty() {
            true => TransactionError::doubt(step, text),
            false => TransactionError::NotAllowed { step, lacks: all.join("; ") },
        }
    }
}

impl Commit for Transactions {
    fn begin(&mut self) -> Result<(), TransactionError> {
        self.opened_at = Instant::now();
        self.topics.clear();
        if self.limit.batch() != self.made_for {
            self.give_up();
        }
        let producer = self.ready()?;
        producer.begin_transaction().map_err(|e| TransactionError::doubt("begin", e))
    }

    fn send(&mut self, result: &Outgoing<'_>) -> Result<(), TransactionError> {
        if !self.topics.contains(result.topic) {
            let _ = self.topics.insert(result.topic.to_string());
        }
        let producer = self.producer.as_deref().expect("begun");
        let header = Header { key: header::NAME, value: Some(result.header) };
        let headers = OwnedHeaders::new_with_capacity(1).insert(header);
        let mut record = BaseRecord::to(result.topic).payload(result.value).headers(headers);
        (record.key, record.partition) = (result.key, result.partition);
        let deadline = Instant::now() + self.patience;
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((Rd::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    // Whatever is queued goes out now, full batches or not.
                    let _ = producer.flush(Duration::from_millis(5));
                }
                Err((e, _)) => return Err(self.refused("produce", &e.to_string())),
            }
        }
    }

    fn commit(
        &mut self,
        offsets: &[OffsetCommit],
        generation: &Generation,
        owned: &dyn Fn() -> bool,
    ) -> Result<CommitTimes, TransactionError> {
        let producer = self.producer.as_ref().expect("begun");
        let started = Instant::now();
        let deadline = started + self.patience;
        if !producer.flush(self.patience) {
            self.limit.messages_were_late();
            let topics = self.topics.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let text = format!("no broker confirmed the results for {topics} in time");
            return Err(self.refused("deliver", &text));
        }
        crash::at(Step::ResultsProduced);
        let deliver = started.elapsed();
        if let Some(text) = producer.client().context().failed() {
            return Err(self.refused("deliver", &text));
        }
        let list = Arc::new(listed(offsets)?);
        let ended = || TransactionError::doubt("send offsets", "the assignment has ended");
        let metadata = generation.metadata.as_ref().ok_or_else(ended)?;
        patiently(deadline, || {
            if !generation.may_commit() || !owned() {
                return Err(ended().into());
            }
            let (on, list, metadata) =
                (Arc::clone(producer), Arc::clone(&list), Arc::clone(metadata));
            let call = move || native::send_offsets(&**on, &list, &metadata, STEP);
            within("send offsets", call)?.map_err(|e| Refused {
                again: e.retriable && !e.fatal && !e.requires_abort,
                error: self.classify("send offsets", e.fatal, &e.text),
            })
        })?;
        crash::at(Step::OffsetsSent);
        let offsets = started.elapsed() - deliver;
        patiently(deadline, || {
            let on = Arc::clone(producer);
            match within("commit", move || on.commit_transaction(STEP))? {
                Ok(()) => Ok(()),
                Err(Rd::Transaction(e)) => Err(Refused {
                    again: e.is_retriable() && !e.is_fatal() && !e.txn_requires_abort(),
                    error: self.classify("commit", e.is_fatal(), &e.to_string()),
                }),
                Err(e) => Err(TransactionError::doubt("commit", e).into()),
            }
        })?;
        crash::at(Step::Committed);
        self.fenced.set(0);
        let end = started.elapsed() - deliver - offsets;
        Ok(CommitTimes { deliver, offsets, end })
    }

    fn largest_value(&self) -> usize {
        self.limit.value()
    }

    fn rest(&mut self) {
        if self.opened_at.elapsed() < self.idle_after {
            return;
        }
        let Some(producer) = self.producer.take() else { return };
        tracing::debug!("a producer that had nothing to do is ended");
        let _ = is_ended_beside(move || drop(producer));
    }

    fn give_up(&mut self) {
        let Some(producer) = self.producer.take() else {
            return;
        };
        let (aborted, answer) = sync_channel(1);
        let end = move || {
            producer.purge(PurgeConfig::default().queue().inflight());
            if producer.client().fatal_error().is_none()
                && let Err(e) = producer.abort_transaction(STEP)
            {
                tracing::debug!(
                    error = %e,
                    "an abort failed; the coordinator ends the transaction after its timeout"
                );
            }
            let _ = aborted.send(());
            drop(producer);
        };
        if is_ended_beside(end) && answer.recv_timeout(OVERDUE).is_err() {
            tracing::debug!(
                "ending a producer takes longer than one call may take, or its thread has panicked"
            );
        }
    }
}

/// Ends a producer on a thread of its own: the end joins the client's threads, which may take
/// seconds, and nobody waits for it. Whether there is such a thread.
fn is_ended_beside(end: impl FnOnce() + Send + 'static) -> bool {
    let begun = thread_detached("producer-end", end);
    if let Err(error) = &begun {
        tracing::error!(code = "AL903", %error, "no thread can be started to end a producer");
    }
    begun.is_ok()
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::clients::kafka::group;
    use crate::pure::record::{Offset, TopicPartition};

    #[test]
    fn a_step_that_is_refused_for_now_is_repeated_after_pauses() {
        let patience = Duration::from_millis(500);
        let mut calls = 0;
        let refused = patiently(Instant::now() + patience, || {
            calls += 1;
            Err(Refused { again: true, error: TransactionError::doubt("commit", "not now") })
        });
        assert_eq!(refused, Err(TransactionError::doubt("commit", "not now")));
        assert!((2..=10).contains(&calls), "{calls} calls");
    }

    fn of(brokers: &MockCluster<'_, DefaultProducerContext>) -> Transactions {
        let mut config = ClientConfig::new();
        let _ = config
            .set("bootstrap.servers", brokers.bootstrap_servers())
            .set("transactional.id", "t");
        Transactions::new(move || Ok(config.clone()), Duration::from_secs(15))
    }

    #[test]
    fn a_producer_that_has_nothing_to_do_is_ended_and_made_again() {
        let brokers = MockCluster::new(1).unwrap();
        let mut transactions = of(&brokers);
        for (idle_after, ends) in [(IDLE_AFTER, false), (Duration::ZERO, true)] {
            transactions.idle_after = idle_after;
            let _ = transactions.ready().unwrap();
            transactions.rest();
            assert_eq!(transactions.producer.is_none(), ends);
        }
    }

    #[test]
    fn a_transaction_timeout_that_the_brokers_refuse_is_named() {
        let brokers: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT;
        brokers.request_errors(RDKafkaApiKey::InitProducerId, &[refusal; 20]);
        let refused = of(&brokers).begin().unwrap_err();
        assert_eq!(refused, TransactionError::Refused(Fatal::TRANSACTION_TIMEOUT));
        for word in ["kafka.properties.\"transaction.timeout.ms\"", "transaction.max.timeout.ms"] {
            assert!(refused.to_string().contains(word), "{refused}");
        }
    }

    /// librdkafka asks for the group's coordinator once more only when a broker comes or goes, and
    /// send_offsets_to_transaction waits for that without a deadline.
    #[test]
    fn a_client_that_does_not_come_back_is_left_behind() {
        let brokers: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        brokers.create_topic("in", 1, 1).unwrap();
        brokers.create_topic("out", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        let _ = config
            .set("bootstrap.servers", brokers.bootstrap_servers())
            .set("transactional.id", "t")
            .set("group.id", "g");
        let observer = group::observer(&config).unwrap();
        let generation = Generation::outside(&observer).unwrap();
        // It asks for the coordinator too, when it likes: the broken answer is not for it.
        drop(observer);
        let mut transactions =
            Transactions::new(move || Ok(config.clone()), Duration::from_secs(15));
        let offset = OffsetCommit {
            tp: TopicPartition { topic: "in".into(), partition: 0 },
            offset: Offset(7),
            metadata: String::new(),
        };
        let mut commit = |break_it: bool| {
            transactions.begin().unwrap();
            let (topic, header) = ("out", "");
            transactions
                .send(&Outgoing { topic, partition: Some(0), key: None, value: b"x", header })
                .unwrap();
            if break_it {
                brokers.request_errors(
                    RDKafkaApiKey::FindCoordinator,
                    &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR],
                );
            }
            let done = transactions.commit(std::slice::from_ref(&offset), &generation, &|| true);
            if done.is_err() {
                transactions.give_up();
            }
            done
        };
        let hung = commit(true).unwrap_err();
        let TransactionError::Doubt { step, detail } = hung else { panic!("{hung}") };
        assert_eq!(step, "send offsets");
        assert!(detail.contains("does not return"), "{detail}");
        let _ = commit(false).unwrap();
    }
}
