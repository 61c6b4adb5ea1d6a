//! What is promised of the merge.

use super::state::{Merging, span};
use super::step::WINDOWS;
use crate::pure::protocol::{Committed, Marks};

/// What does not hold, if anything.
type Invariant = fn(&Merging) -> Option<&'static str>;

pub(super) fn broken(world: &Merging) -> Option<&'static str> {
    let windows: Invariant = |world| (0..WINDOWS).find_map(|k| window_is_right(world, k));
    [i4_offset_is_safe, windows].iter().find_map(|holds| holds(world))
}

fn i4_offset_is_safe(world: &Merging) -> Option<&'static str> {
    let (p, _) = world.p();
    let above = world.committed.as_ref().is_some_and(|(f, _)| p < f.0 as usize);
    above.then_some("I4: F is above P")
}

fn window_is_right(world: &Merging, k: usize) -> Option<&'static str> {
    i1_counted_once(world, k)
        .or_else(|| one_final_count(world, k))
        .or_else(|| late_is_late(world, k))
}

/// Each message below P is counted at most once, and exactly once when its window is closed.
fn i1_counted_once(world: &Merging, k: usize) -> Option<&'static str> {
    let (p, marks) = world.p();
    let below = world.log.iter().take(p).filter(|m| m.window == k).count();
    let sum = usize::from(world.published[k].sum);
    if below < sum {
        return Some("I1: a partial count is published twice");
    }
    let closed = marks.watermark.is_some_and(|w| span(k).end <= w);
    (closed && sum < below).then_some("I1: a closed window lacks a partial count")
}

fn one_final_count(world: &Merging, k: usize) -> Option<&'static str> {
    (1 < world.published[k].finals).then_some("a window has two final counts")
}

/// Where no source is silent, only what was sent late is published as late.
fn late_is_late(world: &Merging, k: usize) -> Option<&'static str> {
    let (p, _) = world.p();
    let late = world.log.iter().take(p).filter(|m| m.window == k && !m.on_time).count();
    let wrong = !world.bounds.silence && late < usize::from(world.published[k].late);
    wrong.then_some("a partial count that came in time is published as late")
}

impl Merging {
    /// P and its marks.
    pub(super) fn p(&self) -> (usize, Marks) {
        let Some((offset, text)) = &self.committed else {
            return (self.past.p.0 as usize, self.past.marks);
        };
        let read = Committed::decode(*offset, text).expect("ours");
        let marks = read.metadata.as_ref().map_or(Marks::default(), |m| m.marks);
        (read.p().0 as usize, marks)
    }

    /// Everything was counted, and published.
    fn is_whole(&self) -> bool {
        let of = |k| self.log.iter().filter(|m| m.window == k).count();
        (0..WINDOWS).all(|k| usize::from(self.published[k].sum) == of(k))
    }
}

/// I6: a new owner, left alone with silent sources, publishes everything.
pub(super) fn i6_lone_owner_finishes(world: &Merging) -> Option<&'static str> {
    let mut at = world.clone();
    (at.owners, at.pending) = ([None, None], [None, None]);
    at.assign(0);
    at.read_positions(0);
    let patience = 4 * (at.log.len() + WINDOWS) + 8;
    for _ in 0..patience {
        if at.is_whole() && at.p().0 == at.log.len() {
            return None;
        }
        if !at.goes_on() {
            break;
        }
    }
    Some("I6: an owner gets stuck")
}

impl Merging {
    /// The lone owner's next faultless step; whether there is one.
    fn goes_on(&mut self) -> bool {
        let owner = self.owner(0);
        if owner.asks() {
            self.read_positions(0);
            return true;
        }
        let next = owner.next_message();
        if let Some(next) = next.filter(|next| *next < self.log.len()) {
            self.read_message(0, next);
            return true;
        }
        let owner = self.owner(0);
        (0..2).for_each(|from| owner.find_silent(from, WINDOWS as i64));
        let _ = owner.merge.close(0);
        let Some((_, after)) = self.transaction(0) else { return false };
        *self = after;
        self.on_answer(0, super::super::step::Answer::Ok);
        true
    }
}
