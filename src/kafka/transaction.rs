//! One worker's transactions: results and offsets, all or nothing.
//!
//! Anything but a plain Ok is doubt (rule 4): not an abort, not a success. After it the producer
//! is made anew before the next transaction, because a delayed end of this one could hit the next
//! transaction of the same epoch (KAFKA-17754).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError as Rd, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::{ClientConfig, ClientContext, Offset as RdOffset, TopicPartitionList};

use crate::count::output::HEADER;
use crate::crash::{self, Step};
use crate::kafka::group::Generation;
use crate::kafka::native;
use crate::record::{Offset, TopicPartition};

/// Counts delivery failures, so that a commit is not even tried after one.
#[derive(Default)]
pub struct Events {
    failed: AtomicU64,
}

impl ClientContext for Events {
    fn error(&self, error: Rd, reason: &str) {
        tracing::debug!(error = %error, "kafka producer: {reason}");
    }
}

impl ProducerContext for Events {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &rdkafka::message::DeliveryResult<'_>, (): ()) {
        if let Err((e, _)) = result
            && self.failed.fetch_add(1, Ordering::SeqCst) == 0
        {
            tracing::warn!(error = %e, "a result was not delivered; its transaction is aborted");
        }
    }
}

/// Why a transaction has no known good outcome.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransactionError {
    /// It may or may not have been committed; read the positions back.
    #[error("{step}: {detail}")]
    Doubt { step: &'static str, detail: String },
    /// Another process uses our transactional id.
    #[error(
        "another process uses the transactional id of this one: two instances run under one name. \
         Give each its own daemon.instance (or --instance) ({detail})"
    )]
    TwoInstances { detail: String },
}

impl TransactionError {
    fn doubt(step: &'static str, detail: impl std::fmt::Display) -> TransactionError {
        TransactionError::Doubt { step, detail: detail.to_string() }
    }
}

/// One partition's offset in a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OffsetCommit {
    pub tp: TopicPartition,
    pub offset: Offset,
    pub metadata: String,
}

/// See the module's page.
pub struct Transactions {
    config: ClientConfig,
    producer: Option<ThreadedProducer<Events>>,
    /// How long one step may be repeated.
    patience: Duration,
    begun: Instant,
    /// After this long the coordinator itself aborts and fences.
    transaction_timeout: Duration,
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transactions")
    }
}

/// The step of a client that librdkafka refuses to make.
pub const MAKE_PRODUCER: &str = "make the producer";

const STEP: Duration = Duration::from_secs(5);

/// One record of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// [`None`]: by the key.
    pub partition: Option<i32>,
    pub key: Option<&'a str>,
    pub value: &'a [u8],
    /// Of the header [`HEADER`].
    pub header: &'a str,
}

/// What a worker needs of transactions; tests bring their own.
pub trait Commit: Send {
    /// Begins; records are sent next.
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
    ) -> Result<(), TransactionError>;

    /// Ends a transaction that did not come to a plain Ok. Whatever the brokers say to the abort,
    /// the positions are to be read back; the producer is made anew.
    fn give_up(&mut self);
}

impl Transactions {
    #[must_use]
    pub fn new(config: ClientConfig, patience: Duration) -> Transactions {
        let millis = config.get("transaction.timeout.ms").and_then(|v| v.parse().ok());
        let transaction_timeout = Duration::from_millis(millis.unwrap_or(60_000));
        Transactions {
            config,
            producer: None,
            patience,
            begun: Instant::now(),
            transaction_timeout,
        }
    }

    /// Makes the producer if need be. Its first act ends what an earlier life of this
    /// transactional id has left open.
    ///
    /// # Errors
    /// No coordinator answers in time.
    pub fn ready(&mut self) -> Result<&ThreadedProducer<Events>, TransactionError> {
        if self.producer.is_none() {
            let made: ThreadedProducer<Events> = self
                .config
                .create_with_context(Events::default())
                .map_err(|e| TransactionError::doubt(MAKE_PRODUCER, e))?;
            retry("init transactions", self.patience, || made.init_transactions(STEP))?;
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
            // Fenced although the coordinator had no reason to.
            Some((RDKafkaErrorCode::Fenced, detail))
                if fatal && self.begun.elapsed() < self.transaction_timeout / 2 =>
            {
                TransactionError::TwoInstances { detail }
            }
            _ => TransactionError::doubt(step, text),
        }
    }
}

impl Commit for Transactions {
    fn begin(&mut self) -> Result<(), TransactionError> {
        self.begun = Instant::now();
        let producer = self.ready()?;
        producer.begin_transaction().map_err(|e| TransactionError::doubt("begin", e))
    }

    fn send(&mut self, result: &Outgoing<'_>) -> Result<(), TransactionError> {
        let producer = self.producer.as_ref().expect("begun");
        let header = Header { key: HEADER, value: Some(result.header) };
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
                    let _ = native::flush(producer, Duration::from_millis(5));
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
    ) -> Result<(), TransactionError> {
        let producer = self.producer.as_ref().expect("begun");
        let deadline = Instant::now() + self.patience;
        if !native::flush(producer, self.patience) {
            return Err(self.refused("deliver", "no answer in time"));
        }
        crash::at(Step::ResultsProduced);
        if producer.context_failed() {
            return Err(self.refused("deliver", "a result was refused"));
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for o in offsets {
            let mut element = list.add_partition(&o.tp.topic, o.tp.partition);
            element
                .set_offset(RdOffset::Offset(o.offset.0))
                .map_err(|e| TransactionError::doubt("name offsets", e))?;
            element.set_metadata(o.metadata.as_str());
        }
        let ended = || TransactionError::doubt("send offsets", "the assignment has ended");
        let metadata = generation.metadata.as_ref().ok_or_else(ended)?;
        loop {
            if !generation.may_commit() || !owned() {
                return Err(ended());
            }
            match native::send_offsets(producer, &list, metadata, STEP) {
                Ok(()) => break,
                Err(e)
                    if e.retriable
                        && !e.fatal
                        && !e.requires_abort
                        && Instant::now() < deadline => {}
                Err(e) => return Err(self.classify("send offsets", e.fatal, &e.text)),
            }
        }
        crash::at(Step::OffsetsSent);
        loop {
            match producer.commit_transaction(STEP) {
                Ok(()) => {
                    crash::at(Step::Committed);
                    return Ok(());
                }
                Err(Rd::Transaction(e))
                    if e.is_retriable()
                        && !e.is_fatal()
                        && !e.txn_requires_abort()
                        && Instant::now() < deadline => {}
                Err(Rd::Transaction(e)) => {
                    return Err(self.classify("commit", e.is_fatal(), &e.to_string()));
                }
                Err(e) => return Err(TransactionError::doubt("commit", e)),
            }
        }
    }

    fn give_up(&mut self) {
        let Some(producer) = self.producer.take() else {
            return;
        };
        producer.purge(PurgeConfig::default().queue().inflight());
        if producer.client().fatal_error().is_none()
            && let Err(e) = producer.abort_transaction(STEP)
        {
            tracing::debug!(error = %e, "abort; the coordinator will time it out");
        }
        // Dropping joins the client's threads: that may take seconds, and nobody waits for it.
        let _ = std::thread::Builder::new().name("producer-drop".into()).spawn(|| drop(producer));
    }
}

trait Failed {
    fn context_failed(&self) -> bool;
}

impl Failed for ThreadedProducer<Events> {
    /// Whether any delivery of this producer failed; each producer fails at most once.
    fn context_failed(&self) -> bool {
        self.client().context().failed.load(Ordering::SeqCst) > 0
    }
}

fn retry(
    step: &'static str,
    patience: Duration,
    mut call: impl FnMut() -> Result<(), Rd>,
) -> Result<(), TransactionError> {
    let deadline = Instant::now() + patience;
    loop {
        match call() {
            Ok(()) => return Ok(()),
            Err(Rd::Transaction(e)) if e.is_retriable() && Instant::now() < deadline => {}
            Err(e) => return Err(TransactionError::doubt(step, e)),
        }
    }
}
