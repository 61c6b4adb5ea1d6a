//! The consumer group: one thread that does nothing but poll.
//!
//! At an assignment event it captures the group metadata, splits the partitions' queues (before
//! the assignment: after it, what was fetched already would go to the main queue), pauses them,
//! assigns them at a numeric placeholder and returns. The worker that gets a partition finds out
//! where it really starts, seeks and resumes. At a revocation it tells the workers and waits for
//! them, no longer than the revoke timeout.

use std::collections::BTreeSet;
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
use crate::clients::kafka::poll_control::PollControl;
use crate::clients::kafka::rights::{Operation, Resource, Rights};
use crate::clients::kafka::settings::without_secrets;
use crate::clients::kafka::topic_ids::{self, TopicIds};
use crate::clients::kafka::{gate, queue};
use crate::common::crash::{self, Step};
use crate::pure::record::TopicPartition;

/// The consumer, shared by the poll thread and the workers.
pub type Consumer = BaseConsumer<Group>;

/// A partition's queue, split off from that consumer's.
pub type Queue = queue::Queue<Group>;

/// Whether all workers have released what was taken away.
pub type Released = Box<dyn FnMut() -> bool + Send>;

/// The receiver of assignments. Its methods are called on the poll thread.
pub trait Assignments: Send + Sync {
    /// A new generation, with the partitions that it adds (none, often).
    fn assigned(&self, generation: Arc<Generation>, added: Vec<(TopicPartition, Queue)>);

    /// Takes these partitions away, to give them again in the same generation: no rebalance. Does
    /// not wait for their workers.
    fn taken_away(&self, partitions: &[TopicPartition]) -> Released;

    /// The generation of the latest assignment, with the partitions that were taken away.
    fn given_again(&self, generation: Arc<Generation>, again: Vec<(TopicPartition, Queue)>);

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
    /// Of the latest assignment.
    generation: Mutex<Option<Arc<Generation>>>,
    /// Partitions that were taken away, and are given again when their workers have released them.
    taken: Mutex<Vec<(Vec<TopicPartition>, Released)>>,
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
                self.forget_taken(&all);
                self.assignments.revoked(&all, false);
                consumer.unassign().map_err(|e| KafkaError::new(format!("rebalance {other:?}"), e))
            }
        };
        if let Err(e) = done {
            tracing::error!(code = "AL103", error = %e, "a rebalance failed; it is tried again");
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
        let added = self.split(partitions)?;
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
        *self.generation.lock() = Some(Arc::clone(&generation));
        self.assignments.assigned(generation, added);
        Ok(())
    }

    /// Splits the queues of partitions that are about to be assigned, and lets them begin at a
    /// placeholder.
    fn split(
        &self,
        partitions: &mut TopicPartitionList,
    ) -> Result<Vec<(TopicPartition, Queue)>, KafkaError> {
        let failed = |e: &dyn std::fmt::Display| KafkaError::new("take the assignment", e);
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
        Ok(added)
    }

    /// Takes the partitions of these topics away, so that they are given again. False if the
    /// protocol does not let a client change a part of its assignment.
    fn take_away(&self, consumer: &Consumer, topics: &[String]) -> bool {
        if !cooperative(consumer) {
            return false;
        }
        let mut taken = self.taken.lock();
        let mut gone = names(consumer.assignment().ok().as_ref());
        gone.retain(|tp| topics.iter().any(|topic| **topic == *tp.topic));
        gone.retain(|tp| !taken.iter().any(|(all, _)| all.contains(tp)));
        if !gone.is_empty() {
            tracing::info!("partitions begin again, all others go on: {}", list(gone.iter()));
            let released = self.assignments.taken_away(&gone);
            taken.push((gone, released));
        }
        true
    }

    /// Gives the partitions again that were taken away and that their workers have released. Not
    /// before: a transaction that is under way commits in the generation that goes on.
    fn give_again(&self, consumer: &Consumer) -> Result<(), KafkaError> {
        let failed = |e| KafkaError::new("give partitions again", e);
        let mut released = Vec::new();
        self.taken.lock().retain_mut(|(partitions, is_released)| {
            let is_released = is_released();
            if is_released {
                released.append(partitions);
            }
            !is_released
        });
        // The client would copy the whole assignment, at each poll.
        if released.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        let assigned = names(consumer.assignment().ok().as_ref());
        for tp in released.iter().filter(|tp| assigned.contains(tp)) {
            let _ = list.add_partition(&tp.topic, tp.partition);
        }
        // Of the latest assignment, never of now: a next generation may have begun, in which
        // another member owns them (docs/decisions/0002-group-metadata.md).
        let generation = self.generation.lock().clone();
        let Some(generation) = generation.filter(|_| 0 < list.count()) else { return Ok(()) };
        // This may answer a rebalance that was not told yet: then the client goes on with all that
        // it keeps.
        self.moves.note();
        consumer.incremental_unassign(&list).map_err(failed)?;
        let again = self.split(&mut list)?;
        // As in `assign`: nothing is fetched at the placeholder.
        consumer.pause(&list).map_err(failed)?;
        consumer.incremental_assign(&list).map_err(failed)?;
        self.assignments.given_again(generation, again);
        Ok(())
    }

    /// A rebalance takes them away: the next assignment gives them, perhaps to another member.
    fn forget_taken(&self, gone: &[TopicPartition]) {
        self.taken.lock().iter_mut().for_each(|(all, _)| all.retain(|tp| !gone.contains(tp)));
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
        // As in `give_again`.
        self.moves.note();
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
        self.forget_taken(&gone);
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
        generation: Mutex::default(),
        taken: Mutex::default(),
    };
    let mut config = config.clone();
    let debug = shown.into_iter().chain([topic_ids::DEBUG.into()]).collect::<Vec<_>>().join(",");
    let _ = config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    let made: Result<Consumer, Rd> = config.create_with_context(group);
    let consumer = Arc::new(made.map_err(|e| KafkaError::new("make the consumer", e))?);
    gate::guard(consumer.client());
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
        fn taken_away(&self, _: &[TopicPartition]) -> Released {
            Box::new(|| true)
        }
        fn given_again(&self, _: Arc<Generation>, _: Vec<(TopicPartition, Queue)>) {}
        fn revoked(&self, _: &[TopicPartition], _: bool) {}
    }
    consumer(config, Arc::new(Nobody)).inspect(|of| of.context().errors.are_of_an_observer())
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
    while !control.is_stopped() {
        reports.alive();
        let rejoin = control.is_to_rejoin();
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
                    tracing::error!(code = "AL104", error = %e, "the subscription failed");
                }
            }
        }
        let again = control.to_give_again();
        if !again.is_empty() && !consumer.context().take_away(consumer, &again) {
            control.rejoin();
        }
        if let Err(error) = consumer.context().give_again(consumer) {
            // What was taken away and not given again is given by a rebalance.
            tracing::warn!(code = "AL105", %error, "joining the group again");
            control.rejoin();
        }
        let anew = control.to_fetch_anew();
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
        )) => control.note_unknown_topic(),
        Err(Rd::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {
            let rights = consumer.context().rights();
            reports.may_not_join(&rights.lacks(Operation::Read, Resource::Group));
        }
        // The daemon finds which topics they are, and tells of each.
        Err(Rd::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
            control.note_unknown_topic();
        }
        // It is told as an outage of the brokers, or of the partitions that can't be read.
        Err(e) if is_of_a_connection(&e) || is_told_elsewhere(&e) => {
            tracing::debug!(error = %e, "poll")
        }
        Err(e) => tracing::warn!(code = "AL106", error = %e, "poll"),
        Ok(m) => {
            use rdkafka::Message as _;
            tracing::error!(
                code = "AL906",
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
