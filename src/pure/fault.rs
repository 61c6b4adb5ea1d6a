//! Faults that tests plant into the real rules, and into the worker that carries them out, to show
//! that they can fail.
//!
//! In a build without tests [`planted`] is constantly false and costs nothing.

/// One broken rule each; `search::plants` asserts that every one of them is found, and
/// `worker::lives` those that a worker by itself can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(test), allow(dead_code, reason = "some are planted into the search's world alone"))]
pub enum PlantedFault {
    /// Reading starts at P alone: records between A and P never reach a file.
    StartAtP,
    /// Reading starts at A alone: records between P and A are never counted.
    StartAtA,
    /// Records below P are counted again when they are read again.
    CountBelowP,
    /// Records below A are archived again when they are read again.
    ArchiveBelowA,
    /// F is P instead of min(A, P).
    CommitP,
    /// A commit without a plain Ok is taken for one that was aborted.
    ErrorIsAbort,
    /// No stable read after an Ok: a lost Ok goes unseen.
    NoVerify,
    /// An entry that exists at `from` is taken for one's own.
    ExistsIsMine,
    /// A becomes the attempt's end as soon as the append is sent.
    AdvanceOnTry,
    /// An attempt whose append was tried is deleted by its author.
    DiscardTried,
    /// Settle deletes whatever the ledger does not name.
    SettleUnnamedAnywhere,
    /// Settle deletes by position alone and does not look at names.
    SettleIgnoresNames,
    /// Settle uses the tail's `from` where its `to` is right: rubbish stays.
    SettleBelowTailFrom,
    /// Files are published before the append.
    PublishFirst,
    /// An append is sent although no entry is known to end at its `from`.
    AppendOutOfOrder,
    /// Data is appended before the first commit is known.
    AppendBeforeConfirmed,
    /// A gap entry is put before the first commit is known.
    GapBeforeConfirmed,
    /// A gap entry is put where an attempt ends that is not appended yet.
    GapAheadOfAttempts,
    /// A ledger that was fresh once is taken for fresh at the next look.
    FreshForever,
    /// Results that were found lost are forgotten when more are.
    LostForgotten,
    /// A topic's id is not compared.
    TopicIdUnchecked,
    /// The entry that the committed offset names is not looked for in the ledger.
    EntryUnchecked,
    /// The id of the topic of partial counts is not compared.
    PartialsUnchecked,
    /// A partition whose store is down forgets what F may be.
    DetachedCommitsP,
    /// The metadata is believed although it was written for another offset.
    MetadataUnchecked,
    /// A ledger without a committed offset is taken for a fresh partition.
    ExpiredBeginsAgain,
    /// F passes records that open state still needs.
    CommitAheadOfState,
    /// A transaction is sent while the state is being rebuilt.
    CommitInReplay,
    /// Partial counts of a closed window are published again when they are replayed.
    LateAgain,
    /// A window closes with its first source partition, not with its last.
    HighestWatermark,
    /// A source partition that lags is taken for a silent one.
    LagIsSilence,
    /// A single window is published in part while others stay.
    PartAlone,
    /// The client's position is trusted after a rebalance.
    TrustMovedPosition,
    /// A question is asked although the same question is pending.
    AskTwice,
    /// The answer to a question of an earlier assignment, or from before a doubt, is believed.
    TakeOldAnswer,
    /// The archive half is forgotten as soon as the log has lost the position: what was read, and
    /// can't be read again, is thrown away.
    ForgetOvertaken,
    /// An owner goes on to answer and to commit after its assignment has ended.
    AnswerAfterRevoke,
    /// A partition that completes its attempts after its assignment recovers, or stops, as if it
    /// were still assigned.
    RecoverWhileLeaving,
    /// What was read is deleted at a revocation, whether the log still has it or not.
    DiscardOnlyCopy,
    /// A gap is named although a sealed attempt has its records.
    GapOverSealed,
    /// An author deletes an attempt of its own that somebody else has appended.
    DiscardAdopted,
    /// P outlives an assignment in which generations were missed.
    KeepPOverMissedGeneration,
}

#[cfg(test)]
thread_local! {
    pub(crate) static PLANTED: std::cell::Cell<Option<PlantedFault>> =
        const { std::cell::Cell::new(None) };
}

/// Whether this fault was planted; constantly false outside of tests.
#[inline]
#[must_use]
pub fn planted(fault: PlantedFault) -> bool {
    #[cfg(test)]
    {
        PLANTED.with(|p| p.get() == Some(fault))
    }
    #[cfg(not(test))]
    {
        let _ = fault;
        false
    }
}
