//! Rule 4: one transaction carries the results of all partitions in it, and their offsets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::clients::kafka::OffsetCommit;
use crate::clients::kafka::transaction::MAKE_PRODUCER;
use crate::clients::kafka::{Fatal, Outgoing, TransactionError};
use crate::common::clock::Now;
use crate::common::health::Subject;
use crate::engine::results::{Question, Transfer};
use crate::engine::worker::delay::seconds_between;
use crate::engine::worker::env::Env;
use crate::engine::worker::partition::{OwnedPartition, PartitionSinks};
use crate::engine::worker::round::Worker;
use crate::pure::protocol::machine::Input;
use crate::pure::record::TopicPartition;

/// Whether a partition wants a transaction now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    Nothing,
    /// Only the offset moves: what is counted waits for its time.
    OffsetOnly,
    Results,
}

impl PartitionSinks {
    /// Time until the results of what is counted are due; [`None`] if nothing is counted.
    pub(super) fn results_due_in(&self, now: Now, env: &Env) -> Option<Duration> {
        let left = self.interval_left(now, env);
        self.results.due_in(now, left, env.share(), self.backlog)
    }

    fn due(&self, now: Now, env: &Env) -> Due {
        if self.machine.stopped().is_some() {
            return Due::Nothing;
        }
        if self.results_due_in(now, env) == Some(Duration::ZERO) {
            return Due::Results;
        }
        let at_once = self.machine.waits_for_first_commit();
        let interval = self.interval_left(now, env).is_zero();
        match (at_once || interval) && self.wants_commit() {
            false => Due::Nothing,
            true if self.results.holds_nothing_back() => Due::Results,
            true => Due::OffsetOnly,
        }
    }

    /// Whether the next commit that is made anyway has something to say, or to ask.
    pub(super) fn wants_commit(&self) -> bool {
        let with_results = self.results.holds_nothing_back();
        self.machine.needs_confirmation() || self.machine.plan(with_results).is_some()
    }

    /// Whatever time and the answers allow; and the next question, if there is one.
    pub(super) fn advance_merge(&mut self, now: Now) -> Option<Question> {
        let rules = self.machine.rules().filter(|p| !p.replays())?;
        let position = rules.counted()?;
        if self.machine.is_paused() || self.machine.stopped().is_some() {
            return None;
        }
        self.results.merging_mut()?.advance(position, now)
    }

    /// Memory is short: what is open is published in part.
    pub(super) fn publish_open_windows(&mut self) {
        let replays = self.machine.rules().is_none_or(|p| p.replays());
        if let Some(merging) = self.results.merging_mut().filter(|_| !replays)
            && 0 < merging.merge.open()
        {
            tracing::warn!(
                code = "AL311",
                tp = %self.tp, windows = merging.merge.open(), bytes = merging.bytes(),
                "all open windows are published in part, because their words need too much of \
                 daemon.memory"
            );
            merging.publish_open();
        }
    }
}

fn partitions_of(transfers: &[Transfer]) -> Vec<TopicPartition> {
    transfers.iter().map(|t| t.tp.clone()).collect()
}

impl Worker {
    /// Commits whatever is due: what works in one transaction, and then a set of what fails.
    pub(super) fn commit_due(&mut self, now: Now) {
        self.owned.values_mut().for_each(|p| p.sinks.note_results_state());
        let (mut together, mut apart) = (BTreeMap::new(), BTreeMap::new());
        for (tp, owned) in &self.owned {
            let due = owned.sinks.due(now, &self.env);
            if due != Due::Nothing {
                let all = if self.failing.has(tp) { &mut apart } else { &mut together };
                let _ = all.insert(tp.clone(), due);
            }
        }
        self.transact_due(&together, now);
        if let Some(set) = self.failing.next(now.instant, |tp| apart.contains_key(tp)) {
            apart.retain(|tp, _| set.contains(tp));
            self.transact_due(&apart, now);
        }
        self.transactions.rest();
    }

    fn transact_due(&mut self, due: &BTreeMap<TopicPartition, Due>, now: Now) {
        let of = |wanted: Due| due.iter().filter(move |(_, due)| **due == wanted);
        let names = |wanted: Due| of(wanted).map(|(tp, _)| tp.clone()).collect::<Vec<_>>();
        let (results, offsets) = (names(Due::Results), names(Due::OffsetOnly));
        if !due.is_empty() {
            self.transact(&results, &offsets, now);
        }
    }

    /// Whether the partition's last transactions have failed, and the pause before the next one is
    /// not over.
    pub(super) fn commit_is_postponed(&self, tp: &TopicPartition, now: Now) -> bool {
        self.failing.rests(now.instant) && self.failing.has(tp)
    }

    /// Commits these now, because they leave: those whose transactions fail apart from the others.
    pub(super) fn commit_leaving(&mut self, partitions: &[TopicPartition], now: Now) {
        let (apart, together): (Vec<_>, Vec<_>) =
            partitions.iter().cloned().partition(|tp| self.failing.has(tp));
        for partitions in [together, apart].iter().filter(|p| !p.is_empty()) {
            self.transact(partitions, &[], now);
        }
    }

    fn transact(&mut self, results: &[TopicPartition], offsets: &[TopicPartition], now: Now) {
        self.turn.over = true;
        for tp in results {
            if let Some(owned) = self.owned.get_mut(tp) {
                owned.sinks.results.before_commit(now);
                owned.sinks.note_results_state();
            }
        }
        let all: Vec<TopicPartition> = results.iter().chain(offsets).cloned().collect();
        if !self.confirm(&all, now) {
            self.commits_failed(&all, true);
            return;
        }
        let transfer = |tp: &TopicPartition, with_results: bool| {
            let plan = self.owned.get(tp)?.sinks.machine.plan(with_results)?;
            Some(Transfer { tp: tp.clone(), plan, with_results, sent: 0 })
        };
        let results = results.iter().filter_map(|tp| transfer(tp, true));
        let offsets = offsets.iter().filter_map(|tp| transfer(tp, false));
        let mut transfers: Vec<Transfer> = results.chain(offsets).collect();
        if transfers.is_empty() {
            return;
        }
        if let Err(e) = self.transactions.begin() {
            // Nothing was sent: nothing is in doubt.
            self.transactions.give_up();
            self.on_transaction_error(&e, now);
            self.commits_failed(&all, true);
            return;
        }
        match self.send_all(&mut transfers, now) {
            Ok(()) => self.on_committed(&transfers, now),
            Err(e) => {
                self.transactions.give_up();
                self.input_to(&transfers, |_| Input::CommitDoubt, now);
                self.on_transaction_error(&e, now);
                self.commits_failed(&partitions_of(&transfers), false);
            }
        }
    }

    /// These are tried again apart from the others, and after a pause: each try costs the brokers
    /// requests, and this process a producer. `at_once`: already the first failure needs a pause.
    fn commits_failed(&mut self, partitions: &[TopicPartition], at_once: bool) {
        let now = (self.env.clock)();
        let jitter = self.env.jitter ^ (self.index as u32).wrapping_mul(0x9E37_79B9);
        self.failing.failed(partitions, at_once, jitter, now.instant);
    }

    /// Commits work, or those that did not work have nothing to commit any more.
    pub(super) fn commits_may_work(&self, now: Now) {
        if !self.failing.is_reported() {
            for subject in [Subject::Commits(self.name()), Subject::Producer(self.name())] {
                self.env.board.ended(&subject, now.millis);
            }
            let name = self.name();
            let may_write = Subject::MayWrite(name.mapping.to_string());
            self.env.board.worked(&may_write, &name.to_string(), now.millis);
        }
    }

    /// Partitions that have left or have stopped do not fail any more, nor do those that have had
    /// nothing to commit for long.
    pub(super) fn forget_failing(&mut self, now: Now) {
        let gone = self
            .failing
            .partitions()
            .filter(|tp| self.owned.get(*tp).is_none_or(|p| p.sinks.machine.stopped().is_some()));
        let has_nothing = |p: &OwnedPartition| {
            let sinks = &p.sinks;
            let recovered = sinks.machine.start().is_some();
            let counted = sinks.results_due_in(now, &self.env).is_some();
            recovered && !sinks.wants_commit() && !counted
        };
        let idle = self.failing.long_ago(now.instant);
        let idle = idle.filter(|tp| self.owned.get(*tp).is_some_and(has_nothing));
        let gone: Vec<TopicPartition> = gone.chain(idle).cloned().collect();
        if !gone.is_empty() {
            gone.iter().for_each(|tp| self.failing.forget(tp));
            self.commits_may_work(now);
        }
    }

    /// While no broker answers, the outage of the brokers is reported instead.
    fn commit_failed(
        &self,
        subject: &Subject,
        step: &str,
        error: &dyn std::fmt::Display,
        now: Now,
    ) {
        if self.env.board.outage(&Subject::Brokers).is_none() {
            let _ = self.env.board.failed(subject, step, &error.to_string(), now.millis);
        }
    }

    fn input_to(&mut self, transfers: &[Transfer], input: impl Fn(&Transfer) -> Input, now: Now) {
        for transfer in transfers {
            if let Some(owned) = self.owned.get_mut(&transfer.tp) {
                owned.sinks.input(input(transfer), now, &self.env);
            }
        }
    }

    /// Against an Ok that was lost (KAFKA-17754): one stable read before the next transaction.
    /// False if the brokers don't answer.
    fn confirm(&mut self, partitions: &[TopicPartition], now: Now) -> bool {
        let unconfirmed = |tp: &&TopicPartition| {
            self.owned.get(*tp).is_some_and(|p| p.sinks.machine.needs_confirmation())
        };
        let asked: Vec<TopicPartition> = partitions.iter().filter(unconfirmed).cloned().collect();
        if asked.is_empty() {
            return true;
        }
        let answers = match self.env.positions.committed(&asked) {
            Ok(answers) => answers,
            Err(error) => {
                self.commit_failed(&Subject::Commits(self.name()), "confirm", &error, now);
                self.env.metrics.kafka_errors.with_label_values(&["verify"]).inc();
                return false;
            }
        };
        for (tp, read) in asked.iter().zip(answers) {
            if let Some(owned) = self.owned.get_mut(tp) {
                let read = read.transpose().map_err(|e| e.to_string());
                owned.sinks.input(Input::Confirmed(read), now, &self.env);
            }
        }
        true
    }

    fn send_all(&mut self, transfers: &mut [Transfer], now: Now) -> Result<(), TransactionError> {
        let started = Instant::now();
        let mut offsets = Vec::with_capacity(transfers.len());
        for transfer in transfers.iter_mut() {
            let sinks = &self.owned.get(&transfer.tp).expect("planned from it").sinks;
            if transfer.with_results {
                let largest = self.transactions.largest_value();
                let transactions = &mut self.transactions;
                let mut send = |message: &Outgoing<'_>| transactions.send(message);
                transfer.sent = sinks.results.publish(transfer, now, largest, &mut send)?;
            }
            let plan = transfer.plan;
            let metadata = sinks.machine.metadata(&plan).expect("planned from it");
            let (tp, offset) = (transfer.tp.clone(), plan.offset);
            offsets.push(OffsetCommit { tp, offset, metadata: metadata.encode(offset) });
        }
        let Some(generation) = self.generation.clone() else {
            let detail = "no generation".to_string();
            return Err(TransactionError::Doubt { step: "send offsets", detail });
        };
        let all = &self.owned;
        let is_owned =
            |t: &Transfer| all.get(&t.tp).is_some_and(|p: &OwnedPartition| p.sinks.owned());
        let owned = || transfers.iter().all(is_owned);
        let sent = started.elapsed();
        let times = self.transactions.commit(&offsets, &generation, &owned)?;
        let steps = [sent, times.deliver, times.offsets, times.end];
        for (step, duration) in ["send", "deliver", "offsets", "end"].into_iter().zip(steps) {
            let histogram = self.env.metrics.commit_seconds.with_label_values(&[step]);
            histogram.observe(duration.as_secs_f64());
        }
        Ok(())
    }

    fn on_committed(&mut self, transfers: &[Transfer], now: Now) {
        self.env.metrics.commits.with_label_values(&["ok"]).inc();
        self.failing.committed(&partitions_of(transfers));
        self.env.board.ended(&Subject::Producer(self.name()), now.millis);
        self.commits_may_work(now);
        self.input_to(transfers, |t| Input::CommitOk(t.plan), now);
        for transfer in transfers {
            let Some(owned) = self.owned.get_mut(&transfer.tp) else { continue };
            let (sinks, metrics) = (&mut owned.sinks, &self.env.metrics);
            sinks.last_commit = (self.env.clock)().instant;
            // A mapping that does not count has no series of counts, not even one of 0.
            if transfer.with_results && sinks.role.count.is_some() {
                let partials = sinks.role.publishes_partials();
                let published = if partials { &metrics.partials } else { &metrics.results };
                published.with_label_values(&[&sinks.role.mapping]).inc_by(transfer.sent);
                let committed = (self.env.clock)().millis;
                let latency = metrics.count_latency.with_label_values(&[&sinks.role.mapping]);
                for end in sinks.results.final_ends(now) {
                    latency.observe(seconds_between(end, committed));
                }
            }
            if transfer.with_results {
                sinks.results.published(now);
            }
        }
        let counts = |t: &Transfer| {
            let owned = self.owned.get(&t.tp);
            owned.is_some_and(|owned: &OwnedPartition| owned.sinks.role.count.is_some())
        };
        if !transfers.iter().any(counts) {
            return;
        }
        let counted = transfers.iter().filter(|t| t.with_results);
        let records = counted.map(|t| t.plan.results.from.0.abs_diff(t.plan.results.to.0));
        let histogram = self.env.metrics.transaction_records.with_label_values(&[&self.mapping]);
        histogram.observe(records.sum::<u64>() as f64);
    }

    fn on_transaction_error(&self, error: &TransactionError, now: Now) {
        match error {
            TransactionError::TwoInstances { .. } => {
                (self.env.fatal)(Fatal::Ended(error.to_string()))
            }
            TransactionError::Refused(fatal) => (self.env.fatal)(fatal.clone()),
            TransactionError::NotAllowed { step, lacks } => {
                self.env.metrics.commits.with_label_values(&["doubt"]).inc();
                self.env.metrics.kafka_errors.with_label_values(&[*step]).inc();
                let name = self.name();
                let subject = Subject::MayWrite(name.mapping.to_string());
                self.commit_failed(&subject, &name.to_string(), lacks, now);
            }
            TransactionError::Doubt { step, .. } => {
                self.env.metrics.commits.with_label_values(&["doubt"]).inc();
                self.env.metrics.kafka_errors.with_label_values(&[*step]).inc();
                if *step == MAKE_PRODUCER {
                    return self.commit_failed(&Subject::Producer(self.name()), step, error, now);
                }
                self.commit_failed(&Subject::Commits(self.name()), step, error, now);
                // Fencing after a rebalance is the normal case; nothing is lost by it.
                tracing::info!(
                    %error,
                    "a commit was not answered with a plain Ok; reading the positions back"
                );
            }
        }
    }
}
