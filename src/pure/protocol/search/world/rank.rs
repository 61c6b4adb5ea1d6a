//! Which of its possible steps a lone owner takes.

use super::super::step::{Act, Answer, Event, Step};

/// Which step a lone owner takes first, of those that are possible: the lowest. None: no
/// faultless owner takes it.
pub(super) fn rank(step: Step, writer_is_gone: bool) -> Option<u8> {
    match step {
        Step::Worker(_, act) => rank_of_act(act, writer_is_gone),
        Step::Outside(event) => rank_of_event(event),
    }
}

fn rank_of_act(act: Act, writer_is_gone: bool) -> Option<u8> {
    Some(match act {
        Act::IsAnswered(Answer::Ok) => 0,
        Act::IsAnswered(Answer::Aborted) | Act::LearnsVerdict(..) => 1,
        Act::Retries => 3,
        Act::PutsGap(_) => 4,
        Act::AsksPositions
        | Act::ReadsPositions
        | Act::ConfirmsCommit
        | Act::ReadsLedger
        | Act::ReadsRecord(_) => 5,
        Act::IsOvertaken => 6,
        Act::ArchiveFails if writer_is_gone => 11,
        Act::Seals | Act::WritesManifest(_) => 12,
        Act::Appends(_) => 13,
        Act::Sends { .. } => 14,
        Act::IsAnswered(Answer::Lost | Answer::UnderWay | Answer::FalseOk)
        | Act::ArchiveFails
        | Act::AppendsUnanswered(_)
        | Act::IsAssigned
        | Act::Crashes
        | Act::ComesBack
        | Act::Leaves { .. }
        | Act::Finishes
        | Act::TransactionIsAborted
        | Act::TransactionCommitsLate => return None,
    })
}

fn rank_of_event(event: Event) -> Option<u8> {
    Some(match event {
        Event::IsRepaired(_) | Event::FilesAreMovedAway => 2,
        Event::SettleDeletes(_) | Event::AuthorDeletes(_) => 7,
        Event::IsPublished(_) | Event::IsPublishedFirst(_) => 8,
        Event::IsAdopted(_) => 9,
        Event::SettleDecides(_) => 10,
        Event::SettleDeletesFiles(_)
        | Event::RepairDies
        | Event::LateAppendLands(_)
        | Event::SessionExpires
        | Event::OffsetIsMoved { .. }
        | Event::OffsetExpires
        | Event::LogBegins(_)
        | Event::PartialsAreMadeAgain
        | Event::EntryIsLost
        | Event::TopicIsMadeAgain { .. } => return None,
    })
}
