//! One worker's thread: a round looks at the inbox and at the clock, and reads one batch of each
//! partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel};
use std::time::{Duration, Instant};

use crate::clients::kafka::{Commit, Generation};
use crate::common::clock::Now;
use crate::common::crash::{self, Step};
use crate::common::health::WorkerName;
use crate::engine::worker::env::Env;
use crate::engine::worker::failing::FailingPartitions;
use crate::engine::worker::inbox::{Added, Answer, Message, Wake, WorkerView};
use crate::engine::worker::partition::{OwnedPartition, PartitionSinks};
use crate::engine::worker::slots::Slots;
use crate::engine::worker::turns::BacklogTurn;
use crate::pure::layout::RollReason;
use crate::pure::protocol::machine::Input;
use crate::pure::record::TopicPartition;

/// A worker: some partitions of one mapping, and one transactional producer.
pub(super) struct Worker {
    pub(super) index: usize,
    /// The mapping that it serves.
    pub(super) mapping: Arc<str>,
    pub(super) env: Env,
    pub(super) inbox: Receiver<Message>,
    pub(super) wake: Wake,
    pub(super) owned: BTreeMap<TopicPartition, OwnedPartition>,
    /// Revocations that are not over yet.
    pub(super) handovers: Vec<Handover>,
    pub(super) generation: Option<Arc<Generation>>,
    pub(super) transactions: Box<dyn Commit>,
    /// Partitions whose transactions have failed.
    pub(super) failing: FailingPartitions,
    pub(super) epochs: u64,
    pub(super) view: Arc<WorkerView>,
    pub(super) drain: Drain,
    pub(super) last_report: Option<Instant>,
    /// Source partitions that windows wait for, and since when nothing was heard of them.
    pub(super) held_back: BTreeMap<TopicPartition, Duration>,
    pub(super) turn: BacklogTurn,
    pub(super) slots: Slots,
    /// When it looked last for partitions that become dormant.
    pub(super) dormant_look: Option<Instant>,
    /// Questions for positions that the brokers have not answered yet.
    pub(super) asking: usize,
}

/// A revocation, whose partitions complete what only they have.
pub(super) struct Handover {
    pub(super) leaving: Vec<PartitionSinks>,
    /// Who waits for the revocation; [`None`] if nobody does.
    done: Option<SyncSender<()>>,
}

impl Handover {
    /// The group waits for a bounded time only: perhaps nobody listens any more.
    fn answer(&mut self) {
        let _ = self.done.take().map(|done| done.try_send(()));
    }
}

/// A worker's way to its end.
pub(super) enum Drain {
    No,
    Until { deadline: Instant, done: SyncSender<bool> },
    Done,
}

impl Worker {
    pub(super) fn new(
        WorkerName { mapping, number: index }: WorkerName,
        env: Env,
        transactions: Box<dyn Commit>,
        view: Arc<WorkerView>,
    ) -> (Worker, Wake) {
        let (sender, inbox) = channel();
        let wake = Wake { inbox: sender, thread: Arc::default() };
        let slots = Slots::of(Arc::clone(&env.slots));
        let worker = Worker {
            index,
            mapping,
            env,
            inbox,
            wake: wake.clone(),
            owned: BTreeMap::new(),
            handovers: Vec::new(),
            generation: None,
            transactions,
            failing: FailingPartitions::NONE,
            epochs: 0,
            view,
            drain: Drain::No,
            last_report: None,
            held_back: BTreeMap::new(),
            turn: BacklogTurn::default(),
            slots,
            dormant_look: None,
            asking: 0,
        };
        (worker, wake)
    }

    /// How people know it.
    pub(super) fn name(&self) -> WorkerName {
        WorkerName { mapping: Arc::clone(&self.mapping), number: self.index }
    }

    /// Runs until [`Message::End`].
    pub(super) fn run(mut self) {
        let _ = self.wake.thread.set(std::thread::current());
        while let Some(sleep) = self.round() {
            if !sleep.is_zero() {
                std::thread::park_timeout(sleep);
            }
        }
    }

    /// One look at everything; how long nothing will be due, or [`None`] at the end.
    pub(super) fn round(&mut self) -> Option<Duration> {
        while let Ok(message) = self.inbox.try_recv() {
            if matches!(message, Message::End) {
                return None;
            }
            self.on_message(message);
        }
        self.hand_over();
        let now = (self.env.clock)();
        self.view.last_round.store(now.millis, Ordering::Relaxed);
        self.pause_and_resume(now);
        self.tick(now);
        self.merge(now);
        self.forget_failing(now);
        self.commit_due(now);
        let reads = match self.drain {
            Drain::No => true,
            Drain::Until { .. } => self.leave_slots(now),
            Drain::Done => false,
        };
        let busy = reads && self.read(now);
        let now = (self.env.clock)();
        self.roll(now);
        self.report(now);
        self.drained(now);
        Some(if busy { Duration::ZERO } else { self.until_due(now) })
    }

    fn on_message(&mut self, message: Message) {
        let now = (self.env.clock)();
        match message {
            Message::Assigned { generation, added } => self.assigned(generation, added, now),
            Message::Revoked { partitions, for_good, commits, done } => {
                let leaving = self.revoked(&partitions, for_good, commits, now);
                let mut handover = Handover { leaving, done: Some(done) };
                if !commits {
                    // Another owner is there already, and nobody waits for this one.
                    handover.answer();
                }
                self.handovers.push(handover);
            }
            Message::Answered { tp, epoch, answer } => {
                if matches!(*answer, Answer::Positions(..)) {
                    self.asking = self.asking.saturating_sub(1);
                }
                let owned = self.owned.get_mut(&tp).map(|owned| &mut owned.sinks);
                let leaving = self.handovers.iter_mut().flat_map(|h| &mut h.leaving);
                let mut of_epoch = owned.into_iter().chain(leaving).filter(|s| s.epoch == epoch);
                if let Some(sinks) = of_epoch.next() {
                    sinks.on_answer(*answer, now, &self.env);
                }
            }
            Message::RollEarly(tp) => {
                if let Some(owned) = self.owned.get_mut(&tp) {
                    owned.sinks.roll(RollReason::Retention, now, &self.env);
                }
            }
            Message::Drain { done, timeout } => {
                for owned in self.owned.values_mut() {
                    owned.sinks.begin_drain(now);
                    owned.sinks.roll(RollReason::Stop, now, &self.env);
                }
                self.drain = Drain::Until { deadline: now.instant + timeout, done };
            }
            Message::Awaken(partitions) => self.awaken(&partitions),
            Message::Retry => self.input_to_all(&Input::Retry, now),
            Message::Roll(mapping) => {
                let of = |p: &&mut OwnedPartition| p.sinks.role.mapping == *mapping;
                for owned in self.owned.values_mut().filter(of) {
                    owned.sinks.roll(RollReason::Asked, now, &self.env);
                }
            }
            Message::End => {}
        }
    }

    fn input_to_all(&mut self, input: &Input, now: Now) {
        for owned in self.owned.values_mut() {
            owned.sinks.input(input.clone(), now, &self.env);
        }
    }

    /// P outlives a change of generation only for a member of the one directly before (rule 1);
    /// no transaction is open here: they begin and end inside of one commit.
    fn assigned(&mut self, generation: Arc<Generation>, added: Vec<Added>, now: Now) {
        let number = generation.number();
        let before = self.generation.replace(generation).map(|g| g.number());
        if before.is_none_or(|before| before != number && before.checked_add(1) != Some(number)) {
            self.input_to_all(&Input::GenerationMissed, now);
        }
        // A stop takes no partitions: one that it had may have attempts on their way still.
        if !matches!(self.drain, Drain::No) {
            return;
        }
        for mut added in added {
            self.epochs = self.epochs.saturating_add(1);
            let epoch = self.epochs;
            let wake = self.wake.clone();
            let woken = Arc::new(AtomicBool::new(true));
            let by_client = Arc::clone(&woken);
            added.source.on_records(Box::new(move || {
                by_client.store(true, Ordering::SeqCst);
                wake.unpark();
            }));
            let (wake, tp) = (self.wake.clone(), added.tp.clone());
            let tell = move |event| {
                let answer = Answer::Archive(event);
                wake.send(Message::Answered { tp: tp.clone(), epoch, answer: Box::new(answer) });
            };
            let _runtime = self.env.runtime.enter();
            let tp = added.tp.clone();
            let mut owned = OwnedPartition::new(added, epoch, now, &self.env, tell);
            owned.fetching.woken = woken;
            let _ = self.owned.insert(tp, owned);
        }
    }

    /// Ends assignments; the partitions that have not left yet. `for_good`: nobody reads on.
    fn revoked(
        &mut self,
        partitions: &[TopicPartition],
        for_good: bool,
        commits: bool,
        now: Now,
    ) -> Vec<PartitionSinks> {
        let mine: Vec<TopicPartition> =
            partitions.iter().filter(|tp| self.owned.contains_key(tp)).cloned().collect();
        if commits && !mine.is_empty() {
            self.commit_leaving(&mine, now);
        }
        crash::at(Step::LeaveCommitted);
        // A rebalance in the middle of a stop: attempts may outlive an assignment, and nobody else
        // may be there to read it all again. The drain waits for them.
        let stops = matches!(self.drain, Drain::Until { .. });
        let mut leaving = Vec::new();
        for tp in mine {
            let Some(owned) = self.owned.get_mut(&tp) else { continue };
            owned.sinks.alive.store(false, Ordering::SeqCst);
            if stops {
                // What was read again after a failure is open.
                owned.sinks.roll(RollReason::Stop, now, &self.env);
                owned.sinks.input(Input::Finish, now, &self.env);
                continue;
            }
            owned.sinks.unheard(now, &self.env);
            let Some(OwnedPartition { mut sinks, .. }) = self.owned.remove(&tp) else { continue };
            if for_good {
                sinks.roll(RollReason::Revoke, now, &self.env);
                sinks.input(Input::Finish, now, &self.env);
            } else {
                sinks.input(Input::Revoke, now, &self.env);
                self.ask_log(&mut sinks);
            }
            leaving.push(sinks);
        }
        self.forget_failing(now);
        if self.owned.is_empty() {
            self.commits_may_work(now);
        }
        leaving
    }

    /// Forgets partitions that have left, and answers for revocations that are over.
    fn hand_over(&mut self) {
        self.handovers.retain_mut(|handover| {
            handover.leaving.retain(|sinks| !sinks.machine.is_drained());
            if handover.leaving.is_empty() {
                handover.answer();
            }
            !handover.leaving.is_empty()
        });
    }

    fn pause_and_resume(&mut self, now: Now) {
        for owned in self.owned.values_mut() {
            let paused = self.env.paused.has(&owned.sinks.role.mapping);
            if paused != owned.sinks.machine.is_paused() {
                owned.sinks.input(Input::Pause(paused), now, &self.env);
            }
        }
    }

    /// One batch of each partition that is not waiting for its [`BacklogTurn`]; whether there may
    /// be more.
    fn read(&mut self, now: Now) -> bool {
        let leaving = self.handovers.iter().flat_map(|h| &h.leaving);
        let all = self.owned.values().map(|p| &p.sinks).chain(leaving);
        let under_way: usize = all.map(PartitionSinks::bytes_under_way).sum();
        // There has to be room for one more record, if not even one fits.
        let next = self.env.slots.largest(now.instant);
        let stands_still = 0 < under_way && self.env.share() < under_way.saturating_add(next);
        if stands_still {
            self.owned.values_mut().for_each(|p| p.fetching.is_not_read());
        }
        for schemas in self.owned.values_mut().filter_map(|p| p.sinks.schemas.as_mut()) {
            schemas.look(now, &self.env);
        }
        // A stop reads nothing new, only what has to be read again.
        let stops = matches!(self.drain, Drain::Until { .. });
        let is_read =
            |p: &OwnedPartition| !p.sinks.waits_for_schema() && (!stops || p.reads_for_drain(now));
        let backlogged = self.owned.iter().filter(|(_, p)| p.sinks.backlog && is_read(p));
        self.turn.choose(&backlogged.map(|(tp, _)| tp).collect::<Vec<_>>(), now);
        let turn = self.turn.whose.as_ref();
        self.slots.share(&mut self.owned, turn, now, &is_read);
        self.look_for_dormant(now);
        if stands_still {
            return false;
        }
        let most = self.env.share();
        let (failing, rests) = (&self.failing, self.failing.rests(now.instant));
        let mut busy = false;
        for (tp, owned) in &mut self.owned {
            let turn = self.turn.whose.as_ref() == Some(tp);
            if owned.sinks.is_clogged() || !is_read(owned) {
                owned.fetching.is_not_read();
                continue;
            }
            if owned.sinks.backlog && !turn || owned.rests(now) {
                continue;
            }
            // Nothing can be published to make room.
            if rests && most < owned.sinks.results.bytes() && failing.has(tp) {
                continue;
            }
            let records = owned.read(now, &self.env);
            owned.fetching.had_turn |= turn;
            if turn && 0 < records {
                self.turn.gave = Some(now.instant);
            }
            busy |= 0 < records;
        }
        busy
    }

    /// Ends what is due, and when memory is short releases that of the partitions that hold most.
    fn roll(&mut self, now: Now) {
        for owned in self.owned.values_mut() {
            owned.sinks.roll_if_due(now, &self.env);
        }
        let mut total: usize = self.owned.values().map(|p| p.sinks.file_bytes()).sum();
        // Without counts nobody else needs the shares of counts and of open windows.
        let counts = self.owned.values().any(|p| p.sinks.role.count.is_some());
        let most = self.env.share().saturating_mul(if counts { 1 } else { 3 });
        while most < total {
            let largest = self.owned.values_mut().max_by_key(|p| p.sinks.file_bytes());
            let Some(sinks) = largest.map(|p| &mut p.sinks) else { break };
            let before = sinks.file_bytes();
            sinks.release(now, &self.env);
            let freed = before.saturating_sub(sinks.file_bytes());
            if freed == 0 {
                break;
            }
            total = total.saturating_sub(freed);
        }
    }
}
