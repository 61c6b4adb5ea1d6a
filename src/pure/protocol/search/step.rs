//! What one step of the search is, as data: models decide by it, and only traces turn it into text.

use std::fmt;

use crate::pure::protocol::{AppendVerdict, AttemptId, EntryKind, Plan};
use crate::pure::record::{Offset, OffsetRange};

/// One step of a [`World`](super::world::World).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// What the worker of this index does, or what becomes of its transaction.
    Worker(usize, Act),
    Outside(Event),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    IsAssigned,
    Crashes,
    /// A member again, after generations that it has missed.
    ComesBack,
    Leaves {
        deletes: bool,
    },
    /// The process stops: the assignment ends, and attempts are completed.
    Finishes,
    /// The coordinator aborts what the worker has sent.
    TransactionIsAborted,
    /// The end of a transaction arrives whose author has stopped waiting for the answer.
    TransactionCommitsLate,

    Retries,
    PutsGap(OffsetRange),
    /// The brokers answer; the answer is on its way.
    AsksPositions,
    ReadsPositions,
    /// The stable read before a transaction.
    ConfirmsCommit,
    ReadsLedger,
    ReadsRecord(usize),
    /// The log no longer has the worker's position.
    IsOvertaken,
    ArchiveFails,
    Seals,
    /// The files of a sealed attempt are closed, and its manifest is written.
    WritesManifest(AttemptId),
    Appends(AttemptId),
    /// The append is sent, and its author does not wait for the answer.
    AppendsUnanswered(AttemptId),
    LearnsVerdict(AttemptId, AppendVerdict),
    /// A transaction with the results of a range, which may be empty, and F.
    Sends {
        results: OffsetRange,
        offset: Offset,
    },
    IsAnswered(Answer),
}

/// What no worker does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    SettleDecides(AttemptId),
    SettleDeletes(AttemptId),
    /// At the end of its assignment, or a while later.
    AuthorDeletes(AttemptId),
    IsPublished(AttemptId),
    /// A planted fault: published before the append.
    IsPublishedFirst(AttemptId),
    /// Its files, without the manifest that came after the decision.
    SettleDeletesFiles(AttemptId),
    LateAppendLands(AttemptId),
    /// Appended by somebody else than its author.
    IsAdopted(AttemptId),
    SessionExpires,
    OffsetIsMoved {
        to: Offset,
        with_metadata: bool,
    },
    OffsetExpires,
    LogBegins(Offset),
    TopicIsMadeAgain {
        offsets_go: bool,
    },
    PartialsAreMadeAgain,
    EntryIsLost,
    /// An operator moves the files of the removed entry out of the root, as `repair` asks for.
    FilesAreMovedAway,
    /// Whoever repairs dies after the entry and before the commit.
    RepairDies,
    IsRepaired(Mended),
}

/// What a worker is answered at the end of its transaction, and what is true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It is committed, and the answer says so.
    Ok,
    /// It is committed, and the answer is lost.
    Lost,
    /// It is still under way when the worker stops waiting.
    UnderWay,
    /// It is aborted, and the answer is Ok (KAFKA-17754).
    FalseOk,
    /// It was aborted before.
    Aborted,
}

/// What a repair has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mended {
    pub entry: Option<(EntryKind, OffsetRange)>,
    /// F and P.
    pub committed: Option<(Offset, Offset)>,
}

/// How two partitions of one worker take a step; see [`Pair`](super::pair::Pair).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shared {
    /// Each partition by itself.
    Apart,
    /// Both at once, as far as the step is possible for either.
    Together,
    /// Either, or both in one transaction.
    InOneTransaction,
}

impl Answer {
    /// The possible answers to a worker that has sent a transaction. `pending`: the coordinator
    /// still has it; `may_lie`: the coordinator may answer Ok and abort.
    pub(super) fn possible(pending: bool, may_lie: bool) -> impl Iterator<Item = Answer> {
        let all: &[Answer] = match (pending, may_lie) {
            (false, _) => &[Answer::Aborted],
            (true, false) => &[Answer::Ok, Answer::Lost, Answer::UnderWay],
            (true, true) => &[Answer::Ok, Answer::Lost, Answer::UnderWay, Answer::FalseOk],
        };
        all.iter().copied()
    }

    /// Lets the transaction of this worker end as the answer has it; the plan, if the answer is Ok.
    /// Every other answer leaves the worker in doubt.
    pub(super) fn apply(self, to: &mut impl Coordinator, worker: usize) -> Option<Plan> {
        let sent = to.sent(worker);
        match self {
            Answer::Ok => to.commit(worker),
            Answer::FalseOk => to.abort_unseen(worker),
            Answer::Lost => {
                to.commit(worker);
                return None;
            }
            Answer::UnderWay => {
                to.stay_in_flight(worker);
                return None;
            }
            Answer::Aborted => return None,
        }
        sent
    }
}

/// Where transactions end.
pub(super) trait Coordinator {
    /// The plan of the worker's transaction, if one is pending.
    fn sent(&self, worker: usize) -> Option<Plan>;

    /// The pending transaction is committed.
    fn commit(&mut self, worker: usize);

    /// The pending transaction is aborted, although the answer is Ok (KAFKA-17754).
    fn abort_unseen(&mut self, worker: usize);

    /// The pending transaction may still be committed, after its author has stopped waiting.
    fn stay_in_flight(&mut self, worker: usize);
}

impl Step {
    /// What two partitions of one worker share: its life, its assignments, its transactions. A
    /// new step has to be put into one of the three groups here.
    pub(super) fn shared(self) -> Shared {
        match self {
            Step::Worker(_, act) => act.shared(),
            Step::Outside(event) => event.shared(),
        }
    }

    /// The worker whose step it is, or whose transaction.
    pub(super) fn worker(self) -> Option<usize> {
        match self {
            Step::Worker(worker, _) => Some(worker),
            Step::Outside(_) => None,
        }
    }
}

impl Act {
    fn shared(self) -> Shared {
        match self {
            Act::IsAssigned
            | Act::Crashes
            | Act::ComesBack
            | Act::Finishes
            | Act::TransactionIsAborted
            | Act::TransactionCommitsLate
            | Act::IsAnswered(_) => Shared::Together,
            Act::Sends { .. } => Shared::InOneTransaction,
            // Either partition may be given up alone, and each has its own archive and log.
            Act::Leaves { .. }
            | Act::Retries
            | Act::PutsGap(_)
            | Act::AsksPositions
            | Act::ReadsPositions
            | Act::ConfirmsCommit
            | Act::ReadsLedger
            | Act::ReadsRecord(_)
            | Act::IsOvertaken
            | Act::ArchiveFails
            | Act::Seals
            | Act::WritesManifest(_)
            | Act::Appends(_)
            | Act::AppendsUnanswered(_)
            | Act::LearnsVerdict(..) => Shared::Apart,
        }
    }
}

impl Event {
    fn shared(self) -> Shared {
        match self {
            Event::SettleDecides(_)
            | Event::SettleDeletes(_)
            | Event::AuthorDeletes(_)
            | Event::IsPublished(_)
            | Event::IsPublishedFirst(_)
            | Event::SettleDeletesFiles(_)
            | Event::LateAppendLands(_)
            | Event::IsAdopted(_)
            | Event::SessionExpires
            | Event::OffsetIsMoved { .. }
            | Event::OffsetExpires
            | Event::LogBegins(_)
            | Event::TopicIsMadeAgain { .. }
            | Event::PartialsAreMadeAgain
            | Event::EntryIsLost
            | Event::FilesAreMovedAway
            | Event::RepairDies
            | Event::IsRepaired(_) => Shared::Apart,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Worker(worker, act) => write!(f, "worker {worker} {act}"),
            Step::Outside(event) => event.fmt(f),
        }
    }
}

/// A sentence without its subject, the worker.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::IsAssigned => f.write_str("is assigned the partition"),
            Act::Crashes => f.write_str("crashes"),
            Act::ComesBack => f.write_str("comes back after missed generations"),
            Act::Leaves { deletes } => write!(f, "leaves the group{}", its_files(*deletes)),
            Act::Finishes => f.write_str("leaves the group and completes its attempts"),
            Act::TransactionIsAborted => f.write_str("has its transaction aborted"),
            Act::TransactionCommitsLate => f.write_str("has its transaction committed late"),
            Act::Retries => f.write_str("recovers its stopped partition again"),
            Act::PutsGap(gap) => write!(f, "puts a gap entry for {gap}"),
            Act::AsksPositions => f.write_str("is sent the committed offset"),
            Act::ReadsPositions => f.write_str("learns the committed offset"),
            Act::ConfirmsCommit => f.write_str("reads back what it has committed"),
            Act::ReadsLedger => f.write_str("reads the ledger"),
            Act::ReadsRecord(record) => write!(f, "reads record {record}"),
            Act::IsOvertaken => f.write_str("is overtaken by retention"),
            Act::ArchiveFails => f.write_str("gives up its archive half"),
            Act::Seals => f.write_str("seals its open attempt"),
            Act::WritesManifest(id) => write!(f, "writes the manifest of attempt {}", id.0),
            Act::Appends(id) => write!(f, "appends attempt {}", id.0),
            Act::AppendsUnanswered(id) => {
                write!(f, "sends the append of attempt {} and gets no answer", id.0)
            }
            Act::LearnsVerdict(id, verdict) => {
                write!(f, "learns the verdict on attempt {}: {verdict:?}", id.0)
            }
            Act::Sends { results, offset } => {
                write!(f, "sends the results of {results} with the offset F = {offset}")
            }
            Act::IsAnswered(answer) => answer.fmt(f),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::SettleDecides(id) => {
                write!(f, "somebody who settles decides to delete attempt {}", id.0)
            }
            Event::SettleDeletes(id) => write!(f, "somebody who settles deletes attempt {}", id.0),
            Event::IsPublished(id) => write!(f, "attempt {} is published", id.0),
            Event::IsPublishedFirst(id) => {
                write!(f, "attempt {} is published before its append", id.0)
            }
            Event::AuthorDeletes(id) => write!(f, "the author of attempt {} deletes it", id.0),
            Event::SettleDeletesFiles(id) => {
                write!(f, "somebody who settles deletes the files of attempt {}", id.0)
            }
            Event::LateAppendLands(id) => write!(f, "the late append of attempt {} arrives", id.0),
            Event::IsAdopted(id) => write!(f, "attempt {} is appended by somebody else", id.0),
            Event::SessionExpires => f.write_str("the session of the owner expires"),
            Event::OffsetIsMoved { to, with_metadata } => {
                let metadata = if *with_metadata { "with its" } else { "without" };
                write!(f, "an operator moves the offset to {to}, {metadata} metadata")
            }
            Event::OffsetExpires => f.write_str("the committed offset expires"),
            Event::LogBegins(at) => write!(f, "retention lets the log begin at {at}"),
            Event::PartialsAreMadeAgain => {
                write!(f, "the topic of partial counts is deleted and created again")
            }
            Event::TopicIsMadeAgain { offsets_go } => {
                let offsets = if *offsets_go { "is deleted" } else { "stays" };
                write!(f, "the topic is made again, and its committed offset {offsets}")
            }
            Event::EntryIsLost => f.write_str("somebody removes the ledger's last entry"),
            Event::FilesAreMovedAway => f.write_str("its files are moved out of the root"),
            Event::RepairDies => f.write_str("a repair puts its entry and dies"),
            Event::IsRepaired(mended) => write!(f, "a repair {mended}"),
        }
    }
}

fn its_files(deletes: bool) -> &'static str {
    if deletes { " and deletes its directories" } else { " and leaves its directories behind" }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Ok => "commits and is answered Ok",
            Answer::Lost => "commits, and the answer is lost",
            Answer::UnderWay => "stops waiting for its commit, which is under way",
            Answer::FalseOk => "is answered Ok, although its transaction was aborted",
            Answer::Aborted => "learns that its transaction was aborted",
        })
    }
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            Some((EntryKind::Genesis, range)) => write!(f, "puts a genesis entry at {}", range.to)?,
            Some((EntryKind::Gap | EntryKind::Data, range)) => {
                write!(f, "puts a gap entry for {range}")?
            }
            None => {}
        }
        if self.entry.is_some() && self.committed.is_some() {
            f.write_str(" and ")?;
        }
        if let Some((offset, p)) = self.committed {
            write!(f, "commits offset F = {offset} with P = {p}")?;
        }
        Ok(())
    }
}
