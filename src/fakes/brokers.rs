//! Brokers in memory: logs, committed offsets, transactions, one group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::clients::kafka::OffsetCommit;
use crate::clients::kafka::offsets::{CommittedRead, Positions, PositionsRead, Silence};
use crate::clients::kafka::transaction::CommitTimes;
use crate::clients::kafka::{
    Commit, Generation, KafkaError, Outgoing, Read, Source, TransactionError, Trouble,
};
use crate::common::config::Start;
use crate::common::spawn::spawn_detached;
use crate::fakes::network::{Failure, LATE, Network};
use crate::pure::formats::header;
use crate::pure::protocol::Committed;
use crate::pure::protocol::machine::LogAnswer;
use crate::pure::record::{Offset, OffsetRange, Record, Timestamp, TopicPartition};

/// A record as the broker holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) offset: i64,
    pub(crate) millis: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Vec<u8>,
    pub(crate) header: Option<(String, String)>,
}

#[derive(Default, Debug)]
pub(crate) struct State {
    pub(crate) logs: BTreeMap<TopicPartition, Log>,
    /// Offset and metadata, as text: what a broker stores.
    pub(crate) committed: BTreeMap<TopicPartition, (Offset, String)>,
    /// Partitions in a transaction that is decided and not yet written: stable reads wait.
    pending: BTreeSet<TopicPartition>,
    pub(crate) generation: i32,
    /// Topics that do not exist any more.
    pub(crate) deleted: BTreeSet<String>,
    /// Topics that no client may read.
    pub(crate) unreadable: BTreeSet<String>,
    /// Partitions whose results are refused, and with them their whole transaction.
    pub(crate) refused: BTreeSet<TopicPartition>,
    /// How often a topic was created again.
    made_again: BTreeMap<String, usize>,
    pub(crate) commits: usize,
}

#[derive(Default, Debug)]
pub(crate) struct Log {
    pub(crate) rows: Vec<Row>,
    /// Retention took everything before.
    start: i64,
    pub(crate) end: i64,
}

impl Log {
    fn push(&mut self, mut row: Row) {
        row.offset = self.end;
        self.end += 1;
        self.rows.push(row);
    }
}

/// One process's client.
#[derive(Clone, Default)]
pub(crate) struct Brokers {
    state: Arc<Mutex<State>>,
    network: Network,
}

impl Brokers {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn over(&self, network: &Network) -> Brokers {
        Brokers { state: Arc::clone(&self.state), network: network.clone() }
    }

    pub(crate) fn produce(&self, tp: &TopicPartition, millis: i64, value: &str) {
        let mut state = self.lock();
        let row = Row { offset: 0, millis, key: None, value: value.into(), header: None };
        state.logs.entry(tp.clone()).or_default().push(row);
    }

    /// A record that carries the header of one of this program's records.
    pub(crate) fn forge(&self, tp: &TopicPartition, value: &[u8], header: String) {
        let header = Some((header::NAME.to_string(), header));
        let row = Row { offset: 0, millis: 0, key: None, value: value.into(), header };
        self.lock().logs.entry(tp.clone()).or_default().push(row);
    }

    /// Deletes the oldest records.
    pub(crate) fn keep_from(&self, tp: &TopicPartition, start: i64) {
        let mut state = self.lock();
        let log = state.logs.entry(tp.clone()).or_default();
        log.start = start;
        log.rows.retain(|row| start <= row.offset);
    }

    /// Deletes a topic, and what the group has committed for it.
    pub(crate) fn delete(&self, topic: &str) {
        let mut state = self.lock();
        state.logs.retain(|tp, _| *tp.topic != *topic);
        state.committed.retain(|tp, _| *tp.topic != *topic);
        let _ = state.deleted.insert(topic.into());
    }

    /// Creates a topic of one partition that was deleted.
    pub(crate) fn create_again(&self, topic: &str) {
        let mut state = self.lock();
        assert!(state.deleted.remove(topic), "it was not deleted");
        *state.made_again.entry(topic.into()).or_default() += 1;
        let tp = TopicPartition { topic: topic.into(), partition: 0 };
        let _ = state.logs.insert(tp, Log::default());
    }

    fn id_of(&self, topic: &str) -> Result<String, KafkaError> {
        let state = self.lock();
        if state.deleted.contains(topic) {
            return Err(no_answer("no such topic"));
        }
        Ok(id(state.made_again.get(topic).copied().unwrap_or_default()))
    }

    pub(crate) fn source(&self, tp: &TopicPartition) -> LogSource {
        let (brokers, tp) = (self.clone(), tp.clone());
        LogSource {
            brokers,
            tp,
            position: None,
            parked: false,
            wake: None,
            told_end: false,
            told_refusal: false,
            sought_in: None,
        }
    }

    pub(crate) fn transactions(&self) -> Transactions {
        Transactions { brokers: self.clone(), open: None }
    }
}

/// The id of a topic that was created again this number of times.
fn id(times: usize) -> String {
    format!("id{times}")
}

fn no_answer(what: &str) -> KafkaError {
    KafkaError::new(what, "planted")
}

impl Positions for Brokers {
    fn read(
        &self,
        tp: &TopicPartition,
        _: Start,
        _: Option<&str>,
        counts_into: Option<&str>,
    ) -> Result<PositionsRead, KafkaError> {
        let committed = self.committed(std::slice::from_ref(tp))?.remove(0);
        let (start, end) = self.lock().logs.get(tp).map_or((0, 0), |log| (log.start, log.end));
        let log = OffsetRange { from: Offset(start), to: Offset(end) };
        let partials = counts_into.map(|topic| self.id_of(topic)).transpose()?;
        let (topic_id, first) = (self.id_of(&tp.topic)?, Offset(0));
        Ok(PositionsRead { topic_id, partials, committed, log, first, past: Ok(None) })
    }

    fn log(&self, tp: &TopicPartition) -> Result<LogAnswer, KafkaError> {
        match self.network.pass("log start") {
            None | Some(Failure::Lied) => {}
            Some(_) => return Err(no_answer("log start")),
        }
        let state = self.lock();
        let log = state.logs.get(tp).filter(|_| !state.deleted.contains(&*tp.topic));
        let start = log.map(|log| Offset(log.start)).ok_or_else(|| no_answer("no such topic"))?;
        let times = state.made_again.get(&*tp.topic).copied().unwrap_or_default();
        Ok(LogAnswer { topic_id: id(times), start })
    }

    fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedRead>>, KafkaError> {
        match self.network.pass("stable read") {
            None | Some(Failure::Lied) => {}
            Some(Failure::Panic) => panic!("planted in a stable read"),
            Some(_) => return Err(no_answer("stable read")),
        }
        let state = self.lock();
        if partitions.iter().any(|tp| state.pending.contains(tp)) {
            return Err(no_answer("a transaction is pending"));
        }
        let decode = |(offset, text): &(Offset, String)| Committed::decode(*offset, text);
        Ok(partitions.iter().map(|tp| state.committed.get(tp).map(decode)).collect())
    }

    fn silence(
        &self,
        sources: &[TopicPartition],
        partials: &TopicPartition,
    ) -> Result<Silence, KafkaError> {
        let committed = self.committed(sources)?;
        let state = self.lock();
        let end = |tp: &TopicPartition| Offset(state.logs.get(tp).map_or(0, |log| log.end));
        let each = sources.iter().zip(committed);
        let asked = each.map(|(tp, committed)| (tp.clone(), committed, end(tp))).collect();
        Ok(Silence { asked, end: end(partials) })
    }
}

/// Gives few records at a time, so that everything else gets its turn between them.
pub(crate) struct LogSource {
    brokers: Brokers,
    tp: TopicPartition,
    position: Option<i64>,
    parked: bool,
    /// Called at each read: there may always be something at the next one.
    wake: Option<Box<dyn Fn() + Send + Sync>>,
    told_end: bool,
    told_refusal: bool,
    /// The generation of the last seek.
    sought_in: Option<i32>,
}

const AT_ONCE: usize = 4;

impl Source for LogSource {
    fn on_records(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        self.wake = Some(wake);
    }

    fn read(&mut self, take: &mut dyn FnMut(&Record<'_>)) -> Read {
        self.wake.iter().for_each(|wake| wake());
        let Some(position) = self.position else {
            return Read { moved: self.parked, ..Read::default() };
        };
        let (rows, end) = {
            let state = self.brokers.lock();
            if self.sought_in.is_some_and(|g| g != state.generation) {
                // As the real client may: it skips what it had fetched, and says nothing of it.
                self.sought_in = None;
                let end = state.logs.get(&self.tp).map_or(0, |log| log.end);
                self.position = Some(end);
                return Read { moved: true, ..Read::default() };
            }
            if state.unreadable.contains(&*self.tp.topic) {
                let first = !std::mem::replace(&mut self.told_refusal, true);
                let trouble = first.then(|| Trouble::Refused(no_answer("read")));
                return Read { trouble, ..Read::default() };
            }
            let Some(log) = state.logs.get(&self.tp) else {
                return Read::default();
            };
            let rows = log.rows.iter().filter(|r| position <= r.offset).take(AT_ONCE);
            (rows.cloned().collect::<Vec<_>>(), log.end)
        };
        let mut read = Read { records: rows.len(), ..Read::default() };
        for row in &rows {
            let headers: Vec<_> =
                row.header.iter().map(|(k, v)| (k.as_bytes(), Some(v.as_bytes()))).collect();
            take(&Record {
                offset: Offset(row.offset),
                timestamp: Timestamp::Create(row.millis),
                key: row.key.as_ref().map(|k| k.as_bytes()),
                value: Some(&row.value),
                headers: &headers,
            });
            self.position = Some(row.offset + 1);
            self.told_end = false;
        }
        if rows.is_empty() && (!self.told_end || position < end) {
            self.told_end = true;
            self.position = Some(end);
            read.end = Some(Offset(end));
        }
        read
    }

    fn seek(&mut self, start: Offset) -> Result<(), KafkaError> {
        self.sought_in = Some(self.brokers.lock().generation);
        self.position = Some(start.0);
        (self.told_end, self.told_refusal) = (false, false);
        Ok(())
    }

    fn park(&mut self) -> Result<(), KafkaError> {
        self.position = None;
        self.parked = true;
        Ok(())
    }
}

/// One worker's transactions.
pub(crate) struct Transactions {
    brokers: Brokers,
    open: Option<Rows>,
}

/// What a transaction sends, by partition.
type Rows = BTreeMap<TopicPartition, Vec<Row>>;

fn apply(state: &mut State, rows: Rows, offsets: &[OffsetCommit]) {
    for (tp, rows) in rows {
        let log = state.logs.entry(tp).or_default();
        rows.into_iter().for_each(|row| log.push(row));
        // The transaction's marker takes an offset, too.
        log.end += 1;
    }
    for o in offsets {
        let _ = state.committed.insert(o.tp.clone(), (o.offset, o.metadata.clone()));
    }
    state.commits += 1;
}

impl Commit for Transactions {
    fn largest_value(&self) -> usize {
        usize::MAX
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        assert!(self.open.is_none(), "a transaction is open already");
        match self.brokers.network.pass("begin") {
            None | Some(Failure::Lied | Failure::PauseAfter) => {
                self.open = Some(Rows::new());
                Ok(())
            }
            Some(_) => Err(doubt("begin")),
        }
    }

    fn send(&mut self, result: &Outgoing<'_>) -> Result<(), TransactionError> {
        let partition = result.partition.unwrap_or_default();
        let tp = TopicPartition { topic: result.topic.into(), partition };
        self.open.as_mut().expect("begun").entry(tp).or_default().push(Row {
            offset: 0,
            millis: 0,
            key: result.key.map(Into::into),
            value: result.value.into(),
            header: Some((header::NAME.into(), result.header.into())),
        });
        Ok(())
    }

    fn commit(
        &mut self,
        offsets: &[OffsetCommit],
        generation: &Generation,
        owned: &dyn Fn() -> bool,
    ) -> Result<CommitTimes, TransactionError> {
        let rows = self.open.take().expect("begun");
        if !generation.may_commit() || !owned() {
            return Err(doubt("send offsets"));
        }
        let how = self.brokers.network.pass("commit");
        let mut state = self.brokers.lock();
        if generation.number() != state.generation {
            return Err(doubt("illegal generation"));
        }
        if rows.keys().any(|tp| state.deleted.contains(&*tp.topic)) {
            return Err(doubt("deliver"));
        }
        if offsets.iter().any(|o| state.refused.contains(&o.tp)) {
            return Err(doubt("deliver"));
        }
        let names: BTreeSet<_> = offsets.iter().map(|o| o.tp.clone()).collect();
        match how {
            None | Some(Failure::PauseAfter) => {
                apply(&mut state, rows, offsets);
                Ok(CommitTimes::default())
            }
            Some(Failure::Lied) => Ok(CommitTimes::default()),
            Some(Failure::After | Failure::KillAfter) => {
                apply(&mut state, rows, offsets);
                Err(doubt("commit"))
            }
            Some(Failure::Late) => {
                // Decided already: no abort undoes it, and stable reads wait for it.
                state.pending.extend(names.iter().cloned());
                let (brokers, offsets) = (self.brokers.clone(), offsets.to_vec());
                spawn_detached("late-commit", async move {
                    tokio::time::sleep(LATE).await;
                    let mut state = brokers.lock();
                    state.pending.retain(|tp| !names.contains(tp));
                    apply(&mut state, rows, &offsets);
                });
                Err(doubt("commit"))
            }
            // A process that was paused finds itself fenced when it goes on.
            Some(_) => Err(doubt("commit")),
        }
    }

    fn give_up(&mut self) {
        self.open = None;
    }
}

fn doubt(step: &'static str) -> TransactionError {
    TransactionError::Doubt { step, detail: "planted".into() }
}
