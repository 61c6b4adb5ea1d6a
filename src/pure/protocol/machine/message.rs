//! What goes into the machine, and what comes out.

use std::time::Duration;

use crate::pure::formats::entry::{AttemptId, EntryKey, EntryKind, EntryName};
use crate::pure::protocol::append::AppendVerdict;
use crate::pure::protocol::committed::Committed;
use crate::pure::protocol::partition::{Plan, Published};
use crate::pure::protocol::recovery::{LedgerTail, Stop};
use crate::pure::record::{Offset, OffsetRange};

/// Monotonic time since a moment of the caller's choice; only differences matter.
pub type Moment = Duration;

/// Names one question of one assignment. A later question has a greater ticket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket {
    /// The assignment; unique within a worker.
    pub epoch: u64,
    /// The question within the assignment.
    pub number: u32,
}

/// What the brokers say of a partition: a stable read, then the log's ends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PositionsAnswer {
    /// Kafka's id of the topic.
    pub topic_id: String,
    /// Kafka's id of the partials topic that counts go to; [`None`] if they go to none.
    pub partials: Option<String>,
    /// The committed offset; `Err`: the text that says why its metadata can't be read.
    pub committed: Result<Option<Committed>, String>,
    /// The log's start, and its last stable offset.
    pub log: OffsetRange,
    /// Where the mapping lets a partition start that has nothing yet.
    pub first: Offset,
    /// What the published counts say of the position, where nothing is committed.
    pub published: Published,
}

/// What the brokers say of a log.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LogAnswer {
    /// Kafka's id of the topic.
    pub topic_id: String,
    /// The log's start; [`i64::MAX`] if there is no such log any more.
    pub start: Offset,
}

/// What happens to the partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The brokers' answer; [`None`] if they gave none.
    Positions(Ticket, Option<PositionsAnswer>),
    /// The brokers' answer about the log; [`None`] if they gave none, or if there is no such topic.
    Log(Ticket, Option<LogAnswer>),
    /// The stable read that confirms the last commit; `Err`: why its metadata can't be read.
    Confirmed(Result<Option<Committed>, String>),
    /// The newest incarnation, and its ledger if there is one.
    Ledger(Ticket, u32, Option<LedgerTail>),
    /// The archive task has failed, and ignores everything until it is asked for the ledger.
    ArchiveFailed,
    /// A ledger entry, or a message of the partials topic, can't be read, for the reason of this
    /// text.
    Unreadable(String),
    /// The attempt's files are closed, and its manifest is written.
    ManifestWritten(AttemptId),
    /// What the append came to.
    Append(AttemptId, AppendVerdict),
    /// The attempt's files are at their final paths.
    Published(AttemptId),
    /// A record, or a file, can't be encoded, for the reason of this text.
    NotEncoded(String),
    /// The client says that the position is not in the log.
    OutOfRange,
    /// A rebalance may have moved the client's position.
    Moved,
    /// The client took the seek that [`super::ReadStep::Seek`] asked for.
    SeekTaken(Offset),
    /// The client refused the seek.
    SeekRefused,
    /// The transaction with this plan was answered with a plain Ok.
    CommitOk(Plan),
    /// The transaction was answered in any other way.
    CommitDoubt,
    /// The assignment goes on in a generation that does not follow the last one.
    GenerationMissed,
    /// An operator pauses the mapping, or resumes it.
    Pause(bool),
    /// A repair was made: a stopped partition recovers now.
    Retry,
    /// The assignment has ended, but attempts are completed: the process stops, or no mapping names
    /// the topic any more.
    Finish,
    /// The assignment has ended; another owner reads on, as far as the log allows.
    Revoke,
}

/// What the machine wants done, in this order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Ask the brokers for the positions; the answer is [`Input::Positions`].
    AskPositions(Ticket),
    /// Ask the brokers for the topic's id and the log's start; the answer is [`Input::Log`].
    AskLog(Ticket),
    /// Ask the archive task for the ledger; the answer is [`Input::Ledger`].
    AskLedger(LedgerQuestion),
    /// Send the append of this attempt; the answer is [`Input::Append`].
    Append(AttemptId),
    /// End the open attempt, if there is one: call [`super::Machine::seal`].
    EndAttempt(Cause),
    /// Drop the files that are open: their attempt was given up.
    DropFiles,
    /// Drop the results in memory: the records are read again.
    Recount,
    /// The client has stopped fetching this partition for good: let it begin anew. The answer is
    /// that seeks are taken again.
    FetchAnew,
    /// A message for the operator is logged.
    Report(Report),
}

/// Why the machine ends an open attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// What was read may be gone from the log.
    OutOfRange,
    /// An operator pauses the mapping.
    Paused,
    /// The partition has stopped.
    Stopped,
    /// The assignment has ended.
    Revoked,
}

/// A question to the archive task, carried out in the order of the fields.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LedgerQuestion {
    pub ticket: Ticket,
    /// The store has failed: first it has to show that it takes a file.
    pub probe: bool,
    /// Attempts to be deleted whose append was never sent.
    pub discard: Vec<(EntryKey, AttemptId)>,
    /// An entry to be put, unless one stands there.
    pub put: Option<NewEntry>,
    /// The log has lost the records behind the ledger's end: sealed attempts that have them are
    /// appended, whoever has written them.
    pub adopt: bool,
    /// An entry that is known to exist.
    pub hint: Option<EntryName>,
}

/// An entry without files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NewEntry {
    pub kind: EntryKind,
    pub range: OffsetRange,
}

/// A message for the operator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Report {
    /// The brokers do not answer; they are asked again after this time.
    BrokersSilent { retry_in: Duration },
    /// The committed offset was moved by hand: the results go on from there.
    OffsetMoved(Offset),
    /// A commit that was answered Ok did not happen, or the offset was moved.
    CommitLost,
    /// A gap entry names offsets that retention deleted before they were archived.
    Gap(OffsetRange),
    /// Both halves are known.
    Recovered { results: Option<Offset>, archive: Option<Offset> },
    /// Another owner's entry stands where the attempt's would.
    AppendLost(AttemptId),
    /// The archive half is given up; the ledger is read after this time.
    ArchiveWaits { retry_in: Duration },
    /// The store takes what the partition archives again, after this time.
    ArchiveContinues { after: Duration },
    /// The position is not in the log.
    Overtaken,
    /// The assignment has ended, and the store takes no files, or a record does not fit the format:
    /// what was read is not archived, and the log may not have it any more.
    LeftUnarchived(OffsetRange),
    /// The assignment has ended, the log does not have these records any more, and their counts
    /// were not published.
    LeftUncounted(OffsetRange),
}

/// Why a partition has stopped. A person has to decide; its data is safe where it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StopReason {
    /// The rules can't trust what they found.
    Rules(Stop),
    /// A record can't be encoded.
    Encoding(String),
}

impl StopReason {
    /// A closed set of label values for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            StopReason::Rules(stop) => stop.label(),
            StopReason::Encoding(_) => "encode",
        }
    }

    /// Whether `alluvium repair` may help.
    #[must_use]
    pub fn may_be_repaired(&self) -> bool {
        matches!(self, StopReason::Rules(_))
    }
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StopReason::Rules(stop) => stop.fmt(f),
            StopReason::Encoding(text) => f.write_str(text),
        }
    }
}
