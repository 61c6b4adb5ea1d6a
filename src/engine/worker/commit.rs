//! Rule 4: one transaction carries the results of all partitions in it, and their offsets.

use std::time::{Duration, Instant};

use crate::clients::kafka::transaction::{MAKE_PRODUCER, OffsetCommit};
use crate::clients::kafka::{Outgoing, TransactionError};
use crate::common::config::{Merging, WordCount};
use crate::engine::worker::task::{AHEAD_MILLIS, Now, Task};
use crate::engine::worker::{Env, Worker, doubt};
use crate::pure::count::output::WindowWriter;
use crate::pure::count::{Kind, Merged, Time};
use crate::pure::fault::{Fault, planted};
use crate::pure::formats::partials::{self, Packer};
use crate::pure::protocol::{Begin, Found, Plan, Stop};
use crate::pure::record::TopicPartition;

/// After a transaction could not begin.
const PAUSE: Duration = Duration::from_secs(1);

impl Task {
    /// Time until the results of what is counted are due; [`None`] if nothing is counted.
    pub(super) fn results_due_in(&self, now: Now, env: &Env) -> Option<Duration> {
        let state = &self.state;
        let count = self.role.count.as_ref()?;
        if let Some(merging) = &state.merging {
            // The answer is waited for; but who reads a backlog has many to give.
            let at_once = merging.merge.is_due() && !state.backlog;
            let any = merging.merge.due().next().is_some();
            let left = if at_once { Duration::ZERO } else { self.interval_left(now, env) };
            return any.then_some(left);
        }
        if state.counts.is_empty() {
            return None;
        }
        if env.memory_bytes / 4 < state.counts.bytes() {
            return Some(Duration::ZERO);
        }
        match count.time {
            Time::Arrival => {
                let (first, _) = state.counts.iter().next()?;
                let left = count.window.end(first).saturating_sub(now.millis).max(0);
                Some(Duration::from_millis(left as u64))
            }
            Time::Record | Time::Field { .. } => Some(self.interval_left(now, env)),
        }
    }

    fn interval_left(&self, now: Now, env: &Env) -> Duration {
        (self.state.last_commit + env.commit_interval).saturating_duration_since(now.instant)
    }

    /// Whether this partition wants a transaction now, and whether with results.
    fn due(&self, now: Now, env: &Env) -> Option<bool> {
        let part = self.state.part.as_ref()?;
        if self.state.stopped.is_some() {
            return None;
        }
        if self.results_due_in(now, env) == Some(Duration::ZERO) {
            return Some(true);
        }
        // The first commit of all, or one that a stable read has yet to confirm: nothing may be
        // appended before.
        let beginning = part.a().is_some() && !part.is_begun();
        let interval = self.interval_left(now, env).is_zero();
        let with_results = self.state.counts.is_empty();
        let wanted = part.needs_committed() || part.plan(with_results).is_some();
        ((beginning || interval) && wanted).then_some(with_results)
    }
}

impl Task {
    /// All that was read arrived before now, and what comes arrives later.
    fn clock_in(&mut self, now: Now) {
        let arrival = self.role.count.as_ref().is_some_and(|c| c.time == Time::Arrival);
        if let (true, true, Some(part)) = (arrival, self.state.counted_any, &mut self.state.part) {
            part.saw_time(now.millis);
        }
    }

    /// Sends what the plan publishes; how many records.
    fn publish(
        &self,
        plan: &Plan,
        now: Now,
        send: &mut dyn FnMut(&Outgoing<'_>) -> Result<(), TransactionError>,
    ) -> Result<u64, TransactionError> {
        let Some(count) = &self.role.count else { return Ok(0) };
        match (&self.state.merging, &count.merge) {
            (Some(merging), _) => {
                let mut sent = 0;
                for (span, kind, words) in merging.merge.due() {
                    let window = (span.start, span.end);
                    sent += self.publish_window(count, window, kind, plan, words.iter(), send)?;
                }
                Ok(sent)
            }
            (None, Some(merge)) => self.publish_partials(count, merge, plan, now, send),
            (None, None) => {
                let mut sent = 0;
                for (start, words) in self.state.counts.iter() {
                    let since = self.state.whole_since;
                    let kind = count.window.kind(&count.time, start, now.millis, since);
                    let window = (start, count.window.end(start));
                    sent += self.publish_window(count, window, kind, plan, words, send)?;
                }
                Ok(sent)
            }
        }
    }

    fn publish_window<'w>(
        &self,
        count: &WordCount,
        window: (i64, i64),
        kind: Kind,
        plan: &Plan,
        words: impl Iterator<Item = (&'w str, u64)>,
        send: &mut dyn FnMut(&Outgoing<'_>) -> Result<(), TransactionError>,
    ) -> Result<u64, TransactionError> {
        let Plan { offset, marks, .. } = *plan;
        let merged = self.state.merging.as_ref().map(|_| Merged { offset, marks });
        let mut writer =
            WindowWriter::new(count.format, window, kind, &self.tp, plan.results, merged);
        let header = writer.header().to_string();
        let mut sent = 0;
        for (word, n) in words {
            let value = writer.value(word, n).as_bytes();
            let (topic, key) = (count.output_topic.as_str(), Some(word));
            send(&Outgoing { topic, partition: None, key, value, header: &header })?;
            sent += 1;
        }
        Ok(sent)
    }

    /// One message for each partition of the partials topic, or more.
    fn publish_partials(
        &self,
        count: &WordCount,
        merge: &Merging,
        plan: &Plan,
        now: Now,
        send: &mut dyn FnMut(&Outgoing<'_>) -> Result<(), TransactionError>,
    ) -> Result<u64, TransactionError> {
        if !self.state.counted_any {
            return Ok(0);
        }
        let watermark = plan.marks.watermark.map(|w| w.saturating_sub(count.out_of_order()));
        let header =
            |watermark| partials::header(count.window.millis, watermark, &self.tp, plan.results);
        let headers = [header(None), header(watermark)];
        let late = now.millis.saturating_add(AHEAD_MILLIS);
        let mut sent = 0;
        Packer::new(merge.partitions as usize).pack(
            self.state.counts.iter(),
            |start| late < start,
            |partition, value, last| {
                sent += 1;
                let partition = Some(partition as i32);
                let header = &headers[usize::from(last)];
                send(&Outgoing { topic: &merge.topic, partition, key: None, value, header })
            },
        )?;
        Ok(sent)
    }
}

impl Worker {
    /// Commits whatever is due.
    pub(super) fn commit_due(&mut self, now: Now) {
        self.tasks.values_mut().for_each(|t| t.state.hold());
        if self.commit_not_before.is_some_and(|at| now.instant < at) {
            return;
        }
        let due = |with: bool| -> Vec<TopicPartition> {
            let all = self.tasks.iter();
            let wanted = all.filter(|(_, t)| t.due(now, &self.env) == Some(with));
            wanted.map(|(tp, _)| tp.clone()).collect()
        };
        let (results, offsets) = (due(true), due(false));
        if !results.is_empty() || !offsets.is_empty() {
            self.transact(&results, &offsets, now);
        }
    }

    /// Commits these now.
    pub(super) fn commit(&mut self, partitions: &[TopicPartition], with_results: bool, now: Now) {
        let (results, offsets) =
            if with_results { (partitions, &[][..]) } else { (&[][..], partitions) };
        self.transact(results, offsets, now);
    }

    fn transact(&mut self, results: &[TopicPartition], offsets: &[TopicPartition], now: Now) {
        self.turn.over = true;
        for tp in results {
            if let Some(task) = self.tasks.get_mut(tp) {
                task.state.hold();
                task.clock_in(now);
            }
        }
        let all: Vec<TopicPartition> = results.iter().chain(offsets).cloned().collect();
        if !self.verify(&all, now) {
            self.commit_not_before = Some(now.instant + PAUSE);
            return;
        }
        let plan = |tp: &TopicPartition, with: bool| {
            let part = self.tasks.get(tp)?.state.part.as_ref()?;
            Some((tp.clone(), part.plan(with)?, with))
        };
        let plans: Vec<(TopicPartition, Plan, bool)> = results
            .iter()
            .filter_map(|tp| plan(tp, true))
            .chain(offsets.iter().filter_map(|tp| plan(tp, false)))
            .collect();
        if plans.is_empty() {
            return;
        }
        if let Err(e) = self.transactions.begin() {
            // Nothing was sent: nothing is in doubt.
            self.transactions.give_up();
            self.on_transaction_error(&e);
            self.commit_not_before = Some(now.instant + PAUSE);
            return;
        }
        match self.send_all(&plans, now) {
            Ok(published) => self.on_committed(&plans, &published, now),
            Err(e) => {
                self.transactions.give_up();
                for (tp, _, _) in &plans {
                    if let Some(task) = self.tasks.get_mut(tp)
                        && !planted(Fault::ErrorIsAbort)
                    {
                        doubt(task);
                    }
                }
                self.on_transaction_error(&e);
            }
        }
    }

    /// Against an Ok that was lost (KAFKA-17754): one stable read before the next transaction.
    /// False if the brokers don't answer.
    fn verify(&mut self, partitions: &[TopicPartition], now: Now) -> bool {
        let unverified = |tp: &&TopicPartition| {
            let part = self.tasks.get(tp).and_then(|t| t.state.part.as_ref());
            part.is_some_and(|p| p.needs_committed() && p.counted().is_some())
        };
        let asked: Vec<TopicPartition> = partitions.iter().filter(unverified).cloned().collect();
        if asked.is_empty() {
            return true;
        }
        let answers = match self.env.positions.committed(&asked) {
            Ok(answers) => answers,
            Err(e) => {
                tracing::warn!(
                    error = %e,
                    "the brokers do not confirm the last commit; trying again"
                );
                self.env.metrics.kafka_errors.with_label_values(&["verify"]).inc();
                return false;
            }
        };
        for (tp, read) in asked.iter().zip(answers) {
            let Some(task) = self.tasks.get_mut(tp) else {
                continue;
            };
            let Some(part) = &mut task.state.part else {
                continue;
            };
            let found = match read.transpose() {
                Ok(read) => part.on_committed(read),
                Err(e) => {
                    task.state.stop(&Stop::Unreadable(e.to_string()), now);
                    continue;
                }
            };
            match found {
                Ok(Found::Verified) => {}
                Ok(Found::Fresh(Begin::CommitStart)) => task.state.begin(),
                Ok(_) => {
                    tracing::warn!(
                        %tp,
                        "the last commit is not there although the broker answered Ok, or the \
                         offset was moved; counting again"
                    );
                    task.state.recounted();
                }
                Err(stop) => task.state.stop(&stop, now),
            }
        }
        true
    }

    fn send_all(
        &mut self,
        plans: &[(TopicPartition, Plan, bool)],
        now: Now,
    ) -> Result<Vec<u64>, TransactionError> {
        let began = Instant::now();
        let mut published = Vec::with_capacity(plans.len());
        let mut offsets = Vec::with_capacity(plans.len());
        for (tp, plan, with_results) in plans {
            let task = self.tasks.get(tp).expect("planned from it");
            let part = task.state.part.as_ref().expect("planned from it");
            let sent = match with_results {
                true => task.publish(plan, now, &mut |r| self.transactions.send(r))?,
                false => 0,
            };
            published.push(sent);
            let metadata = part.metadata(plan).encode(plan.offset);
            offsets.push(OffsetCommit { tp: tp.clone(), offset: plan.offset, metadata });
        }
        let Some(generation) = self.generation.clone() else {
            let detail = "no generation".to_string();
            return Err(TransactionError::Doubt { step: "send offsets", detail });
        };
        let tasks = &self.tasks;
        let owned = || plans.iter().all(|(tp, _, _)| tasks.get(tp).is_some_and(Task::owned));
        let sent = began.elapsed();
        let took = self.transactions.commit(&offsets, &generation, &owned)?;
        let steps = [sent, took.deliver, took.offsets, took.end];
        for (step, took) in ["send", "deliver", "offsets", "end"].into_iter().zip(steps) {
            let histogram = self.env.metrics.commit_seconds.with_label_values(&[step]);
            histogram.observe(took.as_secs_f64());
        }
        Ok(published)
    }

    fn on_committed(
        &mut self,
        plans: &[(TopicPartition, Plan, bool)],
        published: &[u64],
        now: Now,
    ) {
        let metrics = &self.env.metrics;
        metrics.commits.with_label_values(&["ok"]).inc();
        for ((tp, plan, with_results), sent) in plans.iter().zip(published) {
            let Some(task) = self.tasks.get_mut(tp) else {
                continue;
            };
            let state = &mut task.state;
            if let Some(part) = &mut state.part {
                part.on_commit_ok(plan);
            }
            state.last_commit = (self.env.clock)().instant;
            if *with_results {
                let partials = task.role.publishes_partials();
                let sort = if partials { &metrics.partials } else { &metrics.results };
                sort.with_label_values(&[&task.role.mapping]).inc_by(*sent);
                let cut = task.role.count.as_ref().is_some_and(|c| {
                    let now_kind = |s| c.window.kind(&c.time, s, now.millis, i64::MIN);
                    state.counts.iter().any(|(start, _)| now_kind(start) == Kind::Part)
                });
                if cut {
                    state.whole_since = now.millis;
                }
                state.counts.clear();
                state.counted_any = false;
                if let Some(merging) = &mut state.merging {
                    merging.published();
                }
            }
        }
    }

    fn on_transaction_error(&self, e: &TransactionError) {
        match e {
            TransactionError::TwoInstances { .. } => (self.env.fatal)(e.to_string()),
            TransactionError::Doubt { step, .. } => {
                self.env.metrics.commits.with_label_values(&["doubt"]).inc();
                self.env.metrics.kafka_errors.with_label_values(&[*step]).inc();
                if *step == MAKE_PRODUCER {
                    return tracing::error!(
                        error = %e,
                        "results wait for a producer: check kafka.properties and the brokers"
                    );
                }
                // Fencing after a rebalance is the normal case; nothing is lost by it.
                tracing::info!(
                    error = %e,
                    "a commit was not answered with a plain Ok; reading the positions back"
                );
            }
        }
    }
}
