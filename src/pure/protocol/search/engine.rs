//! Breadth-first over all worlds. Worlds are remembered by 128-bit hashes; a trace is replayed.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::LazyLock;

use foldhash::fast;
use foldhash::quality::{FixedState, FoldHasher};

use super::model::{Healthy, Key, Model};
use super::scope::{Scope, is_full};

/// What a walk came to.
#[derive(Debug)]
pub(super) struct SearchReport {
    pub states: usize,
    /// The invariant, and the steps that lead to where it does not hold.
    pub broken: Option<(&'static str, Vec<String>)>,
}

impl SearchReport {
    pub(super) fn assert_holds(&self) {
        println!("{} states", self.states);
        if let Some((what, trace)) = &self.broken {
            panic!("{what}, after {} steps:\n  {}", trace.len(), trace.join("\n  "));
        }
        assert!(self.states > 100, "the search went nowhere: {} states", self.states);
    }
}

/// More states than this mean that a scope has no bound.
fn most_states() -> usize {
    if is_full() { 30_000_000 } else { 6_000_000 }
}

/// How each world was first reached: the key of the world before it, 0 for the first.
type Parents = HashMap<Key, Key, fast::FixedState>;

/// Worlds that differ in the workers' names only have the same key.
pub(super) fn key(world: &impl Model, scope: &Scope) -> Key {
    let here = hash(world);
    if scope.workers < 2 { here } else { here.min(hash(&world.mirrored())) }
}

/// Two hashes of 64 bits, of one walk through the world.
struct TwoHashers([FoldHasher<'static>; 2]);

macro_rules! both {
    ($($write:ident: $number:ty),*) => {$(
        #[inline]
        fn $write(&mut self, number: $number) {
            self.0.iter_mut().for_each(|hasher| hasher.$write(number));
        }
    )*};
}

impl Hasher for TwoHashers {
    fn finish(&self) -> u64 {
        self.0[0].finish()
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|hasher| hasher.write(bytes));
    }

    both! { write_u8: u8, write_u32: u32, write_u64: u64, write_u128: u128, write_usize: usize }
}

pub(super) fn hash(world: &impl Hash) -> Key {
    static SEEDS: LazyLock<[FixedState; 2]> = LazyLock::new(|| [1, 2].map(FixedState::with_seed));
    let mut hashers = TwoHashers(SEEDS.each_ref().map(|seed| seed.build_hasher()));
    world.hash(&mut hashers);
    let [a, b] = hashers.0.map(|hasher| hasher.finish());
    u128::from(a) << 64 | u128::from(b)
}

/// Walks everything that is reachable from `first`, up to the first broken invariant.
pub(super) fn explore<M: Model>(first: &M, scope: &Scope) -> SearchReport {
    explore_whole(first, &scope.in_this_run())
}

/// The same, as far as the scope says, in every run: a planted fault must be found.
pub(super) fn explore_whole<M: Model>(first: &M, scope: &Scope) -> SearchReport {
    let mut parents = Parents::default();
    let mut healthy = Healthy::default();
    // Most steps lead to where another step has led before: those worlds are not mirrored.
    let mut exactly = HashSet::with_hasher(fast::FixedState::default());
    let _ = parents.insert(key(first, scope), 0);
    let mut level = vec![(key(first, scope), first.clone())];
    let mut steps = 0;
    while !level.is_empty() && scope.steps.is_none_or(|most| steps < most) {
        steps += 1;
        let mut next = Vec::new();
        for (here, world) in &level {
            let stuck = |healthy| scope.live.then(|| world.stuck(scope, healthy)).flatten();
            if let Some(what) = world.broken(scope).or_else(|| stuck(&mut healthy)) {
                let trace = replay(first, *here, &parents, scope);
                return SearchReport { states: parents.len(), broken: Some((what, trace)) };
            }
            for (step, w) in world.next(scope) {
                if let Some(what) = world.broken_step(&w) {
                    let mut trace = replay(first, *here, &parents, scope);
                    trace.push(step.to_string());
                    return SearchReport { states: parents.len(), broken: Some((what, trace)) };
                }
                if !exactly.insert(hash(&w)) {
                    continue;
                }
                let k = key(&w, scope);
                if let Entry::Vacant(unseen) = parents.entry(k) {
                    let _ = unseen.insert(*here);
                    next.push((k, w));
                }
            }
            assert!(parents.len() < most_states(), "no bound: {scope:?}");
        }
        level = next;
    }
    SearchReport { states: parents.len(), broken: None }
}

fn replay<M: Model>(first: &M, target: Key, parents: &Parents, scope: &Scope) -> Vec<String> {
    let mut keys = vec![target];
    while let Some(p) = parents.get(keys.last().expect("never empty")).filter(|p| **p != 0) {
        keys.push(*p);
    }
    let mut world = first.clone();
    let mut trace = Vec::new();
    for k in keys.iter().rev().skip(1) {
        let taken = world.next(scope).into_iter().find(|(_, w)| key(w, scope) == *k);
        let (step, w) = taken.expect("a step that was taken before");
        trace.push(step.to_string());
        world = w;
    }
    trace
}
