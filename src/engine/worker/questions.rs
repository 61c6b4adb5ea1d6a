//! What a worker asks outside of its thread: positions, and source partitions that say nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::kafka::KafkaError;
use crate::common::clock::Now;
use crate::common::crash::{self, Step};
use crate::common::spawn::{Panicked, spawn_job};
use crate::engine::results::Question;
use crate::engine::worker::inbox::{Answer, Message};
use crate::engine::worker::partition::{OwnedPartition, PartitionSinks};
use crate::engine::worker::round::Worker;
use crate::pure::protocol::machine::Input;
use crate::pure::record::TopicPartition;

/// The shortest time between two reports of a worker.
const REPORT: Duration = Duration::from_secs(1);

/// Questions for positions that one worker has under way: each blocks a thread.
const ASKED_AT_ONCE: usize = 8;

/// A source partition that windows have waited for this long is named in the log.
const WAITED: Duration = Duration::from_secs(30);

impl Worker {
    /// Lets the machines see the time, and asks the brokers what they want to know.
    pub(super) fn tick(&mut self, now: Now) {
        for owned in self.owned.values_mut() {
            let sinks = &mut owned.sinks;
            sinks.input(Input::Tick, now, &self.env);
            if ASKED_AT_ONCE <= self.asking {
                continue;
            }
            let Some(ticket) = sinks.question.take() else { continue };
            self.asking = self.asking.saturating_add(1);
            let (tp, epoch, wake) = (sinks.tp.clone(), sinks.epoch, self.wake.clone());
            let (positions, start) = (Arc::clone(&self.env.positions), sinks.role.start);
            let output = sinks.role.merges_into().map(String::from);
            let partials = sinks.role.counts_into().map(String::from);
            let of = tp.clone();
            let job = move || {
                let read = positions.read(&of, start, output.as_deref(), partials.as_deref());
                crash::at(Step::StableRead);
                read
            };
            let answer = move |read| {
                let read = or_failed("read the positions", read).map(Box::new);
                let answer = Answer::Positions(ticket, read);
                wake.send(Message::Answered { tp, epoch, answer: Box::new(answer) });
            };
            spawn_job(&self.env.runtime, "positions", job, answer);
        }
        let mut handovers = std::mem::take(&mut self.handovers);
        for sinks in handovers.iter_mut().flat_map(|h| &mut h.leaving) {
            sinks.input(Input::Tick, now, &self.env);
            self.ask_log(sinks);
        }
        self.handovers = handovers;
    }

    /// Asks whether the log still has what a revoked partition has read.
    pub(super) fn ask_log(&self, sinks: &mut PartitionSinks) {
        let Some(ticket) = sinks.log_question.take() else { return };
        let (tp, epoch, wake) = (sinks.tp.clone(), sinks.epoch, self.wake.clone());
        let (positions, of) = (Arc::clone(&self.env.positions), tp.clone());
        let job = move || positions.log(&of);
        let answer = move |read| {
            let answer = Answer::Log(ticket, or_failed("ask for the start of the log", read));
            wake.send(Message::Answered { tp, epoch, answer: Box::new(answer) });
        };
        spawn_job(&self.env.runtime, "log start", job, answer);
    }

    /// Closes windows, asks about silent sources, and publishes the largest merge's windows in part
    /// when memory is short.
    pub(super) fn merge(&mut self, now: Now) {
        for owned in self.owned.values_mut() {
            let Some(Question { at, sources }) = owned.sinks.advance_merge(now) else { continue };
            let sinks = &owned.sinks;
            let (tp, epoch, wake) = (sinks.tp.clone(), sinks.epoch, self.wake.clone());
            let positions = Arc::clone(&self.env.positions);
            let of = tp.clone();
            let job = move || positions.silence(&sources, &of);
            let answer = move |answer| {
                let answer = or_failed("ask about silence", answer);
                let answer = Answer::Silence { at, answer };
                wake.send(Message::Answered { tp, epoch, answer: Box::new(answer) });
            };
            spawn_job(&self.env.runtime, "silence", job, answer);
        }
        let bytes = |p: &OwnedPartition| p.sinks.results.merging().map_or(0, |m| m.bytes());
        let total: usize = self.owned.values().map(bytes).sum();
        if self.env.share() < total
            && let Some(owned) = self.owned.values_mut().max_by_key(|p| bytes(p))
        {
            owned.sinks.publish_open_windows();
        }
    }

    /// Writes gauges, status and log lines, once a second.
    pub(super) fn report(&mut self, now: Now) {
        if self.last_report.is_some_and(|at| now.instant < at + REPORT) {
            return;
        }
        self.last_report = Some(now.instant);
        let metrics = Arc::clone(&self.env.metrics);
        let (mut buffered, mut queued, mut partitions) = (0_usize, 0_usize, Vec::new());
        for owned in self.owned.values_mut() {
            let sinks = &mut owned.sinks;
            sinks.report(now, &metrics, &self.env.repair, &self.env.board);
            let under_way = sinks.bytes_under_way();
            buffered =
                [sinks.file_bytes(), under_way].into_iter().fold(buffered, usize::saturating_add);
            queued = queued.saturating_add(under_way);
            partitions.push(sinks.status(self.index, now));
        }
        *self.view.partitions.lock() = partitions;
        self.report_held_back(now);
        let worker = self.index.to_string();
        metrics.buffered_bytes.with_label_values(&[&worker]).set(buffered as i64);
        metrics.queued_bytes.with_label_values(&[&worker]).set(queued as i64);
    }

    /// Which source partitions the windows of this worker's merges wait for.
    fn report_held_back(&mut self, now: Now) {
        let gauge = &self.env.metrics.held_back;
        let mut held_back: BTreeMap<TopicPartition, Duration> = BTreeMap::new();
        for merging in self.owned.values().filter_map(|p| p.sinks.results.merging()) {
            for wait in merging.waits_for(now.millis) {
                let longest = held_back.entry(wait.tp.clone()).or_default();
                *longest = wait.waited.max(*longest);
            }
        }
        for (tp, _) in self.held_back.iter().filter(|(tp, _)| !held_back.contains_key(tp)) {
            let _ = gauge.remove_label_values(&[&*tp.topic, &tp.partition.to_string()]);
        }
        for (tp, since) in &held_back {
            let partition = tp.partition.to_string();
            gauge.with_label_values(&[&*tp.topic, &partition]).set(since.as_secs() as i64);
            let before = self.held_back.get(tp).copied().unwrap_or_default();
            if before < WAITED && WAITED <= *since {
                tracing::warn!(
                    code = "AL313",
                    %tp, held_back = ?since,
                    "windows wait for this source partition: the partition lags, or no instance \
                     reads it; after patience they are published without it"
                );
            }
        }
        self.held_back = held_back;
    }
}

/// A job that died is one that the brokers did not answer.
fn or_failed<T>(
    operation: &str,
    done: Result<Result<T, KafkaError>, Panicked>,
) -> Result<T, KafkaError> {
    done.unwrap_or_else(|panic| Err(KafkaError::new(operation, panic)))
}
