//! What is promised: I1 to I5 of every world, I7 of every step. I6 stands in `fair`, and I8 in
//! `driver`.

use std::cmp::Ordering;

use super::super::scope::Scope;
use super::state::{ATTEMPTS, Files, GAP, LIVES, World, bits};
use crate::pure::protocol::invariants;
use crate::pure::record::{Offset, OffsetRange};

/// What does not hold in a world, if anything.
type Invariant = fn(&World, &Scope) -> Option<&'static str>;

const INVARIANTS: [Invariant; 8] = [
    i1_counted_once,
    i2_entries_tile,
    i5_named_files_are_kept,
    i3_final_files_are_named,
    i4_offset_is_safe,
    no_row_is_doubled,
    search_has_room,
    nothing_raised_the_alarm,
];

pub(super) fn broken(world: &World, scope: &Scope) -> Option<&'static str> {
    INVARIANTS.iter().find_map(|holds| holds(world, scope))
}

/// A record is counted once if it is below P, never otherwise.
fn i1_counted_once(world: &World, scope: &Scope) -> Option<&'static str> {
    let p = world.p();
    for r in (0..scope.records).filter(|_| scope.counts) {
        let below = Offset(r as i64) < p;
        let want = world.expected[r] - i8::from(!below);
        match (world.counted[r] as i8).cmp(&want) {
            Ordering::Less if below => return Some("I1: a record below P is not counted"),
            Ordering::Greater => return Some("I1: a record is counted twice"),
            Ordering::Less | Ordering::Equal => {}
        }
    }
    None
}

/// Entries tile from genesis, and the files of each hold its range; a gap names only records that
/// are gone.
fn i2_entries_tile(world: &World, _: &Scope) -> Option<&'static str> {
    (0..LIVES).find_map(|life| i2_of_one_ledger(world, life))
}

fn i2_of_one_ledger(world: &World, life: usize) -> Option<&'static str> {
    let mut end = world.genesis[life].unwrap_or(Offset(0));
    for (from, entry) in world.ledger[life].iter().enumerate() {
        let Some(e) = *entry else { continue };
        if !invariants::tiles(end, Offset(from as i64), e.to) {
            return Some("I2: ledger entries do not tile");
        }
        end = e.to;
        if e.attempt == GAP && world.log < e.to && life == usize::from(world.life) {
            return Some("I2: a gap entry names a record that is there");
        }
        let Some(f) = world.named_by(e) else { continue };
        if f.content != bits(OffsetRange { from: f.from, to: f.to }) {
            return Some("I2: an entry's files do not hold its range");
        }
    }
    None
}

/// A final file's attempt is named by the ledger.
fn i3_final_files_are_named(world: &World, _: &Scope) -> Option<&'static str> {
    let named = |id, f: &Files| world.entry_of(f).is_some_and(|e| e.attempt == id);
    let unnamed = |f: &Files| bits(OffsetRange { from: f.from, to: f.to }) & world.unnamed != 0;
    let stray = world.ids().any(|(id, f)| f.published && !named(id, &f) && !unnamed(&f));
    stray.then_some("I3: a final file that the ledger does not name")
}

/// F ≤ min(A, P), unless an operator has moved F.
fn i4_offset_is_safe(world: &World, _: &Scope) -> Option<&'static str> {
    let c = world.committed.as_ref().filter(|_| !world.moved && world.of_this_life())?;
    if world.unnamed != 0 || world.emptied {
        return None;
    }
    let a = world.tail(world.life).map_or(Offset(0), |t| t.to);
    (!invariants::i4_holds(c.offset, a, world.p())).then_some("I4: F > min(A, P)")
}

/// No file that an entry names is deleted unpublished.
fn i5_named_files_are_kept(world: &World, _: &Scope) -> Option<&'static str> {
    let kept = |e| world.named_by(e).is_none_or(|f| f.published || f.staged);
    let gone = !world.ledger.iter().flatten().flatten().all(|e| kept(*e));
    gone.then_some("I5: a file that an entry names is gone unpublished")
}

/// No ledger's tail ever decreases, and no ledger vanishes.
pub(super) fn i7_tail_never_decreases(before: &World, after: &World) -> Option<&'static str> {
    let end = |world: &World, life| world.tail(life).map(|t| t.to);
    let removed = before.unnamed != after.unnamed;
    let decreases = !removed && (0..LIVES as u8).any(|life| end(after, life) < end(before, life));
    decreases.then_some("I7: the ledger's tail decreases")
}

/// What readers see in files whose entry was removed is not archived again.
fn no_row_is_doubled(world: &World, _: &Scope) -> Option<&'static str> {
    let again = world.ledger[0].iter().enumerate().any(|(from, entry)| {
        entry.is_some_and(|e| {
            let range = OffsetRange { from: Offset(from as i64), to: e.to };
            e.attempt != GAP && bits(range) & world.unnamed != 0
        })
    });
    again.then_some("readers see a record twice: its entry was removed, and it is archived again")
}

fn search_has_room(world: &World, scope: &Scope) -> Option<&'static str> {
    let alive = world.ids().count();
    let full = scope.slots <= alive && alive == ATTEMPTS;
    full.then_some("the search ran out of attempt ids")
}

fn nothing_raised_the_alarm(world: &World, _: &Scope) -> Option<&'static str> {
    world.alarm
}
