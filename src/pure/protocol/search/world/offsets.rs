//! Kafka's side: the committed offset, and transactions that end.

use super::super::step::Coordinator;
use super::state::{Pending, RECORDS, Stored, World, Wrote, identity};
use crate::pure::protocol::{Committed, Identity, Marks, Metadata, Plan};
use crate::pure::record::Offset;

impl World {
    /// Whether the committed offset is of the topic as it is now.
    pub(super) fn of_this_life(&self) -> bool {
        let wrote = self.committed.as_ref().and_then(|c| c.metadata);
        wrote.is_none_or(|m| m.life == self.life)
    }

    pub(super) fn p(&self) -> Offset {
        let read = self.committed.as_ref().filter(|_| self.of_this_life());
        let genesis = self.genesis[usize::from(self.life)];
        let none = self.expired.or(genesis).unwrap_or(Offset(0));
        read.map_or(none, |c| match c.metadata {
            Some(m) if m.at == c.offset => m.p,
            _ => c.offset,
        })
    }

    pub(super) fn read_committed(&self) -> Option<Committed> {
        self.committed.as_ref().map(|c| {
            let text =
                c.metadata.map_or(String::new(), |Wrote { at, p, entry, life, lost, partials }| {
                    let Identity { root, topic_id } = (*identity(life)).clone();
                    let (marks, partials) =
                        (Marks::default(), partials.map(|life| life.to_string()));
                    Metadata { p, entry, root, topic_id, marks, lost, partials }.encode(at)
                });
            Committed::decode(c.offset, &text).expect("written by us")
        })
    }

    /// Somebody who may says that results go on from here.
    pub(super) fn move_results(&mut self, to: Offset) {
        let p = self.p();
        for r in 0..RECORDS as i64 {
            let (again, skipped) = (to.0 <= r && r < p.0, p.0 <= r && r < to.0);
            self.expected[r as usize] += i8::from(again) - i8::from(skipped);
        }
    }
}

impl Coordinator for World {
    fn sent(&self, i: usize) -> Option<Plan> {
        self.pending[i].map(|p| p.plan)
    }

    fn abort_unseen(&mut self, i: usize) {
        self.pending[i] = None;
        self.lies += 1;
    }

    fn stay_in_flight(&mut self, i: usize) {
        self.pending[i].as_mut().expect("was sent").in_flight = true;
    }

    fn commit(&mut self, i: usize) {
        let Pending { plan, results, life, lost, partials, .. } =
            self.pending[i].take().expect("was sent");
        let Plan { offset, entry, results: range, .. } = plan;
        let mine = life == self.life;
        if self.unaccepted && partials == Some(self.partials) {
            self.alarm = Some("results go on although open windows have lost counts");
        }
        for r in (0..RECORDS).filter(|r| mine && results >> r & 1 == 1) {
            self.counted[r] += 1;
        }
        for r in lost.into_iter().flat_map(|l| l.from.0.max(range.from.0)..l.to.0.min(range.to.0)) {
            if self.log.0 <= r && mine {
                self.alarm = Some("results of a record that is there are named as lost");
            }
            if mine {
                self.expected[r as usize] -= 1;
            }
        }
        let metadata = Some(Wrote { at: offset, p: range.to, entry, life, lost, partials });
        self.committed = Some(Stored { offset, metadata });
        (self.moved, self.expired) = (false, None);
    }
}
