//! The consumer group: one thread that does nothing but poll.
//!
//! At an assignment event it captures the group metadata, splits the partitions' queues (before
//! the assignment: after it, what was fetched already would go to the main queue), pauses them,
//! assigns them at a numeric placeholder and returns. The worker that gets a partition finds out
//! where it really starts, seeks and resumes. At a revocation it tells the workers and waits for
//! them, no longer than the revoke timeout.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as Rd, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Offset as RdOffset, TopicPartitionList};

use crate::clients::kafka::client_errors::Security;
use crate::clients::kafka::connection::{Errors, is_of_a_connection, is_told_elsewhere};
use crate::clients::kafka::error::{Fatal, KafkaError};
use crate::clients::kafka::generation::Generation;
use crate::clients::kafka::native::{GroupMetadata, Rebalances};
use crate::clients::kafka::queue;
use crate::clients::kafka::rights::{Operation, Resource, Rights};
use crate::clients::kafka::settings::without_secrets;
use crate::clients::kafka::topic_ids::{self, TopicIds};
use crate::common::crash::{self, Step};
use crate::pure::record::TopicPartition;

/// The consumer, shared by the poll thread and the workers.
pub type Consumer = BaseConsumer<Group>;

/// A partition's queue, split off from that consumer's.
pub type Queue = queue::Queue<Group>;

/// The receiver of assignments. Its methods are called on the poll thread.
pub trait Assignments: Send + Sync {
    /// A new generation, with the partitions that it adds (none, often).
    fn assigned(&self, generation: Arc<Generation>, added: Vec<(TopicPartition, Queue)>);

    /// Takes these partitions away. The call returns when their workers have released them, or at
    /// the timeout.
    ///
    /// `commits`: the captured generation is still the group's. It is not for an assignment that
    /// was lost, nor under the cooperative protocol, where the next generation has begun already.
    fn revoked(&self, partitions: &[TopicPartition], commits: bool);
}

/// The consumer's context: answers rebalances.
pub struct Group {
    me: OnceLock<Weak<Consumer>>,
    assignments: Arc<dyn Assignments>,
    moves: Rebalances,
    topic_ids: Arc<TopicIds>,
    rights: Arc<Rights>,
    /// The user wants to see what the client says at the level debug.
    shows_debug: bool,
    /// What the client said by itself of its connections.
    errors: Errors,
    /// Without secrets.
    settings: ClientConfig,
    /// The ids that this member has had.
    members: Mutex<BTreeSet<String>>,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.errors.hear_line(facility, line);
        if self.topic_ids.hear(line) {
            // Before anything is fetched with the new id: nobody reads on without a seek.
            self.moves.note();
        }
        if self.shows_debug || !matches!(level, RDKafkaLogLevel::Debug) {
            DefaultClientContext.log(level, facility, line);
        }
    }

    fn error(&self, error: Rd, reason: &str) {
        self.errors.hear_error(&error, reason);
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let started = Instant::now();
        // The client has paused all that it keeps, and goes on where it believes its readers to be,
        // as soon as this is answered: that may be beyond records that it threw away.
        self.moves.note();
        let done = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.revoke(consumer, partitions)
            }
            other => {
                let all = names(consumer.assignment().ok().as_ref());
                self.assignments.revoked(&all, false);
                consumer.unassign().map_err(|e| KafkaError::new(format!("rebalance {other:?}"), e))
            }
        };
        if let Err(e) = done {
            tracing::error!(error = %e, "a rebalance failed; the group tries again");
        }
        tracing::debug!(elapsed_ms = started.elapsed().as_millis(), "rebalance answered");
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        Duration::from_millis(100).into()
    }
}

fn names(list: Option<&TopicPartitionList>) -> Vec<TopicPartition> {
    let elements = list.map(TopicPartitionList::elements).unwrap_or_default();
    let one = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
    elements.iter().map(|e| one(e.topic(), e.partition())).collect()
}

fn cooperative(consumer: &Consumer) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

impl Group {
    /// What the client said by itself of its connections.
    pub(super) fn errors(&self) -> &Errors {
        &self.errors
    }

    /// The client's settings, without its secrets.
    pub(super) fn settings(&self) -> &ClientConfig {
        &self.settings
    }

    /// The ids that this member has, or has had: after a session that has ended, the brokers may
    /// list the earlier one for a while.
    pub(super) fn members(&self, consumer: &Consumer) -> BTreeSet<String> {
        let mut members = self.members.lock();
        members.extend(GroupMetadata::capture(consumer).map(|now| now.member.clone()));
        members.clone()
    }

    /// Who this client is.
    pub(super) fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    fn assign(
        &self,
        consumer: &Consumer,
        partitions: &mut TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let failed = |e: &dyn std::fmt::Display| KafkaError::new("take the assignment", e);
        let metadata = GroupMetadata::capture(consumer).ok_or_else(|| failed(&"no group"))?;
        let _ = self.members.lock().insert(metadata.member.clone());
        crash::at(Step::AssignmentCaptured);
        let me = self.me.get().and_then(Weak::upgrade);
        let mut added = Vec::new();
        for tp in names(Some(partitions)) {
            // Any number will do: nothing is fetched until its worker has sought.
            let placeholder = RdOffset::Offset(0);
            partitions
                .set_partition_offset(&tp.topic, tp.partition, placeholder)
                .map_err(|e| failed(&e))?;
            let Some(me) = &me else { continue };
            let queue = Queue::split(
                Arc::clone(me),
                tp.clone(),
                &self.moves,
                &self.topic_ids,
                &self.rights,
            );
            added.push((tp.clone(), queue.ok_or_else(|| failed(&format!("no queue for {tp}")))?));
        }
        // Before, not after: a fetch in between would ask for the placeholder, and where retention
        // has passed it, the answer stops the fetching for good. The split has made them known.
        if partitions.count() > 0 {
            consumer.pause(partitions).map_err(|e| failed(&e))?;
        }
        if cooperative(consumer) {
            consumer.incremental_assign(partitions).map_err(|e| failed(&e))?;
        } else {
            consumer.assign(partitions).map_err(|e| failed(&e))?;
        }
        let generation = Arc::new(Generation::captured(metadata));
        tracing::info!(
            generation = generation.number(),
            added = added.len(),
            "assignment: {}",
            list(added.iter().map(|(tp, _)| tp))
        );
        self.assignments.assigned(generation, added);
        Ok(())
    }

    /// Takes partitions out of the client's assignment and puts them in again; the group does not
    /// notice. Whoever reads them seeks.
    fn fetch_anew(&self, consumer: &Consumer, all: &[TopicPartition]) -> Result<(), KafkaError> {
        let failed = |e| KafkaError::new("fetch partitions anew", e);
        let assigned = names(consumer.assignment().ok().as_ref());
        let mut list = TopicPartitionList::new();
        for tp in all.iter().filter(|tp| assigned.contains(tp)) {
            let placeholder = RdOffset::Offset(0);
            list.add_partition_offset(&tp.topic, tp.partition, placeholder).map_err(failed)?;
        }
        if list.count() == 0 || !cooperative(consumer) {
            return Ok(());
        }
        consumer.incremental_unassign(&list).map_err(failed)?;
        // As in `assign`: nothing is fetched at the placeholder.
        consumer.pause(&list).map_err(failed)?;
        consumer.incremental_assign(&list).map_err(failed)
    }

    fn revoke(
        &self,
        consumer: &Consumer,
        partitions: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let lost = consumer.assignment_lost();
        let gone = names(Some(partitions));
        tracing::info!(lost, revoked = gone.len(), "revocation: {}", list(gone.iter()));
        self.assignments.revoked(&gone, !lost && !cooperative(consumer));
        let done = if cooperative(consumer) {
            consumer.incremental_unassign(partitions)
        } else {
            consumer.unassign()
        };
        done.map_err(|e| KafkaError::new("give up the assignment", e))
    }
}

fn list<'a>(all: impl Iterator<Item = &'a TopicPartition>) -> String {
    let names: Vec<String> = all.map(ToString::to_string).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// Makes the consumer; it does not join the group before [`poll`] runs.
///
/// # Errors
/// librdkafka refuses the settings.
pub fn consumer(
    config: &ClientConfig,
    assignments: Arc<dyn Assignments>,
) -> Result<Arc<Consumer>, KafkaError> {
    let shown = config.get("debug").map(str::to_string);
    let group = Group {
        me: OnceLock::new(),
        assignments,
        moves: Rebalances::default(),
        topic_ids: Arc::default(),
        rights: Arc::new(Rights::of(config, config.get("group.id").unwrap_or_default())),
        shows_debug: shown.is_some(),
        errors: Errors::of(Security::of(config)),
        settings: without_secrets(config),
        members: Mutex::default(),
    };
    let mut config = config.clone();
    let debug = shown.into_iter().chain([topic_ids::DEBUG.into()]).collect::<Vec<_>>().join(",");
    let _ = config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    let consumer: Consumer =
        config.create_with_context(group).map_err(|e| KafkaError::new("make the consumer", e))?;
    let consumer = Arc::new(consumer);
    let _ = consumer.context().me.set(Arc::downgrade(&consumer));
    Ok(consumer)
}

/// Makes a consumer that only asks the brokers, and never joins the group.
///
/// # Errors
/// As [`consumer`].
pub fn observer(config: &ClientConfig) -> Result<Arc<Consumer>, KafkaError> {
    struct Nobody;
    impl Assignments for Nobody {
        fn assigned(&self, _: Arc<Generation>, _: Vec<(TopicPartition, Queue)>) {}
        fn revoked(&self, _: &[TopicPartition], _: bool) {}
    }
    consumer(config, Arc::new(Nobody))
}

/// The requests to the poll thread.
#[derive(Debug, Default)]
pub struct PollControl {
    /// The topics that were asked for last, and whether the poll thread has subscribed to them.
    subscription: Mutex<(Vec<String>, bool)>,
    rejoin: AtomicBool,
    /// Partitions that the client is to fetch anew.
    fetch_anew: Mutex<Vec<TopicPartition>>,
    stop: AtomicBool,
    fatal: Mutex<Option<Fatal>>,
    unknown_topic: tokio::sync::Notify,
}

impl PollControl {
    /// Subscribes to exactly these topics, sorted; takes effect at the next round.
    pub fn subscribe(&self, topics: Vec<String>) {
        *self.subscription.lock() = (topics, false);
    }

    /// What was subscribed to last.
    #[must_use]
    pub fn subscribed(&self) -> Vec<String> {
        self.subscription.lock().0.clone()
    }

    /// The topics, if the poll thread is to subscribe to them: they are new, or `again`.
    fn to_subscribe(&self, again: bool) -> Option<Vec<String>> {
        let mut wanted = self.subscription.lock();
        let known = std::mem::replace(&mut wanted.1, true);
        (again || !known).then(|| wanted.0.clone())
    }

    /// Leave the group, and join it again with the same topics.
    pub fn rejoin(&self) {
        self.rejoin.store(true, Ordering::SeqCst);
    }

    /// Fetch this partition anew: after a position that was out of the log's range, the client
    /// fetches nothing more of it, and refuses every seek.
    pub fn fetch_anew(&self, tp: &TopicPartition) {
        self.fetch_anew.lock().push(tp.clone());
    }

    /// Leave the group, then end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Waits until a broker does not know a topic that is subscribed to: it was deleted, or it was
    /// made a moment ago. The client asks again after minutes by itself, and at once whenever
    /// it is asked for all topics.
    pub async fn unknown_topic(&self) {
        self.unknown_topic.notified().await;
    }

    /// The client cannot continue.
    fn end(&self, reason: Fatal) {
        *self.fatal.lock() = Some(reason);
    }

    /// The reason why the client cannot continue at all; [`None`] as long as it can.
    #[must_use]
    pub fn fatal(&self) -> Option<Fatal> {
        self.fatal.lock().clone()
    }
}

/// What the poll thread reports.
pub trait PollReports {
    /// Another round begins.
    fn alive(&self);

    /// The brokers refuse to let this client join the group; `why` names the right that is missing.
    fn may_not_join(&self, why: &str);
}

/// The poll thread's whole life.
pub fn poll(
    consumer: &Arc<Consumer>,
    control: &PollControl,
    leave: Duration,
    reports: &impl PollReports,
) {
    while !control.stop.load(Ordering::SeqCst) {
        reports.alive();
        let rejoin = control.rejoin.swap(false, Ordering::SeqCst);
        if rejoin {
            consumer.unsubscribe();
            until_revoked(consumer, leave);
        }
        if let Some(topics) = control.to_subscribe(rejoin) {
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            // The client refuses an empty list, and would keep the topics that it had.
            if topics.is_empty() {
                tracing::info!(
                    "no topic that a mapping selects exists yet; the brokers are asked again"
                );
                consumer.unsubscribe();
            } else {
                tracing::info!(topics = topics.join(", "), "subscribing");
                if let Err(e) = consumer.subscribe(&topics) {
                    tracing::error!(error = %e, "the subscription failed");
                }
            }
        }
        let anew = std::mem::take(&mut *control.fetch_anew.lock());
        if !anew.is_empty()
            && let Err(error) = consumer.context().fetch_anew(consumer, &anew)
        {
            tracing::debug!(%error, "partitions whose fetching has stopped");
        }
        let polled = consumer.poll(Duration::from_millis(100));
        if let Some(fatal) = polled.and_then(|polled| answer(consumer, control, reports, polled)) {
            return control.end(fatal);
        }
    }
    // Dropping a consumer while it owns partitions can hang: leave, and poll until it owns none.
    consumer.unsubscribe();
    until_revoked(consumer, leave);
}

/// Answers what a poll gave; the reason why there is no other poll, if there is one.
fn answer(
    consumer: &Consumer,
    control: &PollControl,
    reports: &impl PollReports,
    polled: Result<BorrowedMessage<'_>, Rd>,
) -> Option<Fatal> {
    match polled {
        Err(Rd::MessageConsumptionFatal(code)) => {
            return Some(Fatal::Ended(format!("the consumer can't continue: {code}")));
        }
        // The client would ask for ever, and nobody would join.
        Err(Rd::MessageConsumption(RDKafkaErrorCode::InvalidSessionTimeout)) => {
            return Some(Fatal::SESSION_TIMEOUT);
        }
        Err(Rd::PartitionEOF(_)) => {}
        Err(Rd::MessageConsumption(
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
        )) => control.unknown_topic.notify_one(),
        Err(Rd::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {
            let rights = consumer.context().rights();
            reports.may_not_join(&rights.lacks(Operation::Read, Resource::Group));
        }
        // The daemon finds which topics they are, and tells of each.
        Err(Rd::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
            control.unknown_topic.notify_one();
        }
        // It is told as an outage of the brokers, or of the partitions that can't be read.
        Err(e) if is_of_a_connection(&e) || is_told_elsewhere(&e) => {
            tracing::debug!(error = %e, "poll")
        }
        Err(e) => tracing::warn!(error = %e, "poll"),
        Ok(m) => {
            use rdkafka::Message as _;
            tracing::error!(
                topic = m.topic(),
                partition = m.partition(),
                offset = m.offset(),
                "a record arrived in the main queue; the record is read again after recovery"
            );
        }
    }
    None
}

fn until_revoked(consumer: &Consumer, leave: Duration) {
    let deadline = Instant::now() + leave;
    while Instant::now() < deadline && consumer.assignment().is_ok_and(|a| a.count() > 0) {
        let _ = consumer.poll(Duration::from_millis(50));
    }
}
