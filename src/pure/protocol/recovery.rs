//! Rules 0 and 2: what was found in Kafka and in the store, and whether one may go on from there.

use std::sync::Arc;

use crate::pure::formats::entry::{EntryKey, Head};
use crate::pure::record::{Offset, OffsetRange};

/// What must match between this process, the metadata and the ledger.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// Root id of the mapping's store; empty where the mapping has no archive.
    pub root: String,
    /// Kafka's id of the topic.
    pub topic_id: String,
}

/// The ledger of one partition, as far as recovery needs it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LedgerTail {
    /// The last entry; the genesis entry itself where nothing was appended yet.
    pub tail: Head,
    /// The root and topic that the last entry was written for.
    pub of: Arc<Identity>,
    /// The incarnation of the topic that it belongs to.
    pub incarnation: u32,
}

impl LedgerTail {
    /// Whether nothing but the genesis entry stands.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.tail.key == EntryKey::Genesis
    }
}

/// What to do where retention has overtaken a position.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OnGap {
    Stop,
    Record,
}

/// A partition that has neither a committed offset nor a ledger needs a beginning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Begin {
    /// Put a genesis entry, read the ledger again, then commit F = P = genesis.to.
    PutGenesis,
    /// No archive: commit the start itself.
    CommitStart,
}

/// What recovery came to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Found {
    /// Positions are known: go on.
    Ready,
    /// The positions of the results are as they were thought to be.
    Verified,
    /// The committed offset is known; the ledger is still to be read.
    NeedsLedger,
    /// The committed offset is to be read once more.
    NeedsCommitted,
    /// There is nothing yet.
    Fresh(Begin),
}

/// Why a partition stops. Its data is safe where it is; a person has to decide.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Stop {
    #[error(
        "the group has no committed offset, but the ledger ends at offset {tail}: the offsets \
         were deleted or have expired. The archive continues at {tail}; the published counts say \
         where counting continues, or a person does"
    )]
    NothingCommitted { tail: Offset },
    #[error(
        "offset {offset} is committed, but this root has no ledger for the partition: the root \
         was wiped, or the mapping points to another root. Restore the root, or begin a new \
         archive here"
    )]
    NoLedger { offset: Offset },
    #[error(
        "offset {offset} is committed with an entry that is not in the ledger, which ends at \
         {tail}: entries are missing, as after a restore from an old backup. Restore the newer \
         root, or archive again from {tail} on"
    )]
    CommittedBeyondLedger { offset: Offset, tail: Offset },
    #[error(
        "the group's offsets or the ledger belong to root {found}, but this mapping archives into \
         {here}: \
         archive.root was changed, or two daemons share one group_id, or the identity file of \
         the root was lost and another one was written. Use another group_id for another root, \
         or continue here and leave the other root as it is",
        here = root_of(.ours)
    )]
    OtherRoot { found: String, ours: String },
    #[error(
        "the topic was deleted and created again (its id was {found}, and is {ours} now), so its \
         offsets mean other records. The old archive stays as it is; the new topic's archive \
         begins beside it"
    )]
    OtherTopic { found: String, ours: String },
    #[error(
        "the topic of partial counts is another one than before (its id was {found}, and is {ours} \
         now): it was deleted and created again, or the mapping names another one. Of the records \
         below offset {p}, what the open windows had counted was in the old topic and is not \
         published any more. Continue at offset {p} without it, or count again from the offset at \
         which these windows begin, with --count-from OFFSET"
    )]
    OtherPartials { found: String, ours: String, p: Offset },
    #[error(
        "offsets are committed for incarnation {committed} of the topic, and the ledger is of \
         incarnation {ledger}: a repair did not finish, or the root is an old backup"
    )]
    OtherIncarnation { committed: u32, ledger: u32 },
    #[error(
        "offsets {range} were deleted by retention before they were archived. Set on_gap = \
         \"record\" in the mapping to write a gap entry and continue, now and whenever it happens \
         again"
    )]
    ArchiveGap { range: OffsetRange },
    #[error(
        "offsets {range} were deleted by retention before their results were committed. \
         What the archive has of them stays there; its gap entries name the rest. Set on_gap = \
         \"record\" in the mapping to name the results as lost and continue, now and whenever it \
         happens again"
    )]
    ResultsGap { range: OffsetRange },
    #[error(
        "the log ends at {end}, but the partition was read up to {position} before: brokers have \
         lost records, \
         or the topic was replaced. Nothing is read until the log is as long again"
    )]
    BeyondLog { position: Offset, end: Offset },
    #[error(
        "the group has no committed offset for this partition of partial counts, and the \
         published counts do not say for sure which of its records they have: {why}. The counts \
         that can be read end at offset {known}, and the partition ends at {end}. A person decides \
         where the merge continues"
    )]
    ResultsUnknown { why: String, known: Offset, end: Offset },
    #[error("{0}. A newer version may have written it; nothing was changed")]
    Unreadable(String),
}

/// A root by its id, which may be lost with everything else.
fn root_of(id: &str) -> String {
    if id.is_empty() { "a root that has no id".into() } else { format!("root {id}") }
}

impl Stop {
    /// A closed set of label values for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Stop::NothingCommitted { .. } => "nothing_committed",
            Stop::NoLedger { .. } => "no_ledger",
            Stop::CommittedBeyondLedger { .. } => "committed_beyond_ledger",
            Stop::OtherRoot { .. } => "other_root",
            Stop::OtherTopic { .. } => "other_topic",
            Stop::OtherPartials { .. } => "other_partials",
            Stop::OtherIncarnation { .. } => "other_incarnation",
            Stop::ArchiveGap { .. } => "archive_gap",
            Stop::ResultsGap { .. } => "results_gap",
            Stop::BeyondLog { .. } => "beyond_log",
            Stop::ResultsUnknown { .. } => "results_unknown",
            Stop::Unreadable(_) => "unreadable",
        }
    }
}
