//! What an owner makes of what it is told: recovery, messages, commits.
//!
//! Like `world/driver.rs` for an archive, the only copy here of the control flow around the rules.

use std::sync::Arc;

use super::super::step::Answer;
use super::state::{Merging, Owner, Pending, Sums, WINDOWS, merge, source, span};
use super::step::MergeAct;
use crate::pure::count::Kind;
use crate::pure::count::merge::Asked;
use crate::pure::protocol::partition::Roles;
use crate::pure::protocol::{Begin, Committed, Found, Identity, Marks, OnGap, Partition};
use crate::pure::record::Offset;

impl Owner {
    pub(super) fn assigned() -> Owner {
        let roles = Roles { counts: true, archive: false, holds: true };
        let identity = Identity { root: String::new(), topic_id: "t".into() };
        Owner {
            current: true,
            part: Partition::assigned(roles, Arc::new(identity), OnGap::Stop),
            merge: merge(Marks::default()),
            position: None,
            sent: false,
        }
    }

    /// The next message to be read; P is known.
    pub(super) fn next_message(&self) -> usize {
        self.position.unwrap_or(self.part.start().expect("P is known").0 as usize)
    }

    pub(super) fn find_silent(&mut self, from: usize, at: i64) {
        let asked = Asked { p: Some(Offset(0)), end: Offset(0) };
        self.merge.silent(&source(from), asked, at);
    }

    /// What is due by window.
    fn due(&self) -> [Sums; WINDOWS] {
        let mut sums: [Sums; WINDOWS] = Default::default();
        for (span, kind, sum) in self.merge.due() {
            let of = &mut sums[span.start as usize];
            of.sum += sum;
            of.finals += u8::from(kind == Kind::Final);
            of.late += if kind == Kind::Late { *sum } else { 0 };
        }
        sums
    }
}

impl Merging {
    pub(super) fn assign(&mut self, i: usize) {
        self.owners.iter_mut().flatten().for_each(|o| o.current = false);
        self.owners[i] = Some(Owner::assigned());
    }

    pub(super) fn read_positions(&mut self, i: usize) {
        let read = self.committed.as_ref();
        let read = read.map(|(offset, text)| Committed::decode(*offset, text).expect("ours"));
        let past = self.past;
        let owner = self.owner(i);
        match owner.part.on_committed(read).expect("nothing stops it") {
            Found::Verified => return,
            Found::Fresh(Begin::CommitStart) => owner.part.begin_at(past),
            Found::Ready => {}
            other => panic!("{other:?}"),
        }
        owner.merge = merge(owner.part.marks());
        owner.position = None;
    }

    pub(super) fn read_message(&mut self, i: usize, at: usize) {
        let message = self.log[at];
        let owner = self.owner(i);
        owner.position = Some(at + 1);
        let accept = owner.part.accept(Offset(at as i64), || unreachable!("no archive"));
        if accept.count || accept.replay {
            let (span, offset) = (span(message.window), Offset(at as i64));
            if let Some(sum) = owner.merge.sums(span, false, offset, accept.replay) {
                *sum += 1;
            }
            owner.merge.heard(&source(message.source), Some(message.watermark), 0);
        }
    }

    /// The transaction that owner `i` would send now, and the world after it.
    pub(super) fn sent(&self, i: usize) -> Option<(MergeAct, Merging)> {
        let mut owner = self.owners[i].clone().expect("is up");
        owner.part.hold(owner.merge.needed(), owner.merge.marks());
        if !owner.current || self.pending[i].is_some() {
            return None;
        }
        let plan = owner.part.plan(true)?;
        let sums = owner.due();
        let metadata = owner.part.metadata(&plan).encode(plan.offset);
        let act = MergeAct::Sends { p: plan.results.to, offset: plan.offset, sums };
        owner.sent = true;
        let mut next = self.clone();
        next.pending[i] = Some(Pending { plan, metadata, sums, in_flight: false });
        next.owners[i] = Some(owner);
        Some((act, next))
    }

    pub(super) fn on_answer(&mut self, i: usize, answer: Answer) {
        let sent = self.pending[i].as_ref().map(|p| p.plan);
        match answer {
            Answer::Ok | Answer::Lost => self.commit(i),
            Answer::UnderWay => self.pending[i].as_mut().expect("was sent").in_flight = true,
            Answer::FalseOk => {
                self.pending[i] = None;
                self.lies += 1;
            }
            Answer::Aborted => {}
        }
        let owner = self.owner(i);
        owner.sent = false;
        match sent {
            Some(plan) if answer.says_ok() => {
                owner.part.on_commit_ok(&plan);
                owner.merge.published();
            }
            _ => owner.part.doubt(),
        }
    }
}
