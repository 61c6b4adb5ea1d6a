//! Breadth-first over all worlds. Worlds are remembered by 128-bit hashes; a trace is replayed.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use super::Model;
use super::world::{Scope, World};

/// What a walk came to.
#[derive(Debug)]
pub(super) struct Report {
    pub states: usize,
    pub broken: Option<(&'static str, Vec<String>)>,
}

impl Report {
    pub(super) fn assert_holds(&self) {
        println!("{} states", self.states);
        if let Some((what, trace)) = &self.broken {
            panic!("{what}, after {} steps:\n  {}", trace.len(), trace.join("\n  "));
        }
        assert!(self.states > 100, "the search went nowhere: {} states", self.states);
    }
}

/// More states than this mean that a scope has no bound.
const MAX_STATES: usize = 30_000_000;
/// A lone owner needs far fewer steps than this.
const MAX_FAIR_STEPS: usize = 300;

pub(super) type Key = u128;
/// Worlds from which a lone owner gets to the end.
pub(super) type Healthy = HashSet<Key>;

/// Worlds that differ in the workers' names only have the same key.
fn key(world: &impl Model) -> Key {
    hash(world).min(hash(&world.mirrored()))
}

fn hash(world: &impl Model) -> Key {
    let [a, b] =
        [1u64, 2].map(|seed| foldhash::quality::FixedState::with_seed(seed).hash_one(world));
    u128::from(a) << 64 | u128::from(b)
}

/// Walks everything that is reachable from `first`, up to the first broken invariant.
pub(super) fn explore(first: &impl Model, scope: &Scope) -> Report {
    let mut parent: HashMap<Key, Key> = HashMap::new();
    let mut healthy = Healthy::new();
    let _ = parent.insert(key(first), 0);
    let mut level = vec![first.clone()];
    let mut steps = 0;
    while !level.is_empty() && scope.steps.is_none_or(|most| steps < most) {
        steps += 1;
        let mut next = Vec::new();
        for world in &level {
            let here = key(world);
            let stuck = |healthy| scope.live.then(|| world.stuck(scope, healthy)).flatten();
            let broken = world.broken(scope).or_else(|| stuck(&mut healthy));
            if let Some(what) = broken {
                let trace = replay(first, here, &parent, scope);
                return Report { states: parent.len(), broken: Some((what, trace)) };
            }
            for (_, w) in world.next(scope) {
                let k = key(&w);
                if let Entry::Vacant(unseen) = parent.entry(k) {
                    let _ = unseen.insert(here);
                    next.push(w);
                }
            }
            assert!(parent.len() < MAX_STATES, "no bound: {scope:?}");
        }
        level = next;
    }
    Report { states: parent.len(), broken: None }
}

/// I6, for the owner as it is and for one that was restarted.
pub(super) fn dead_end(
    world: &World,
    scope: &Scope,
    healthy: &mut Healthy,
) -> Option<&'static str> {
    for restart in [true, false] {
        let mut path = Vec::new();
        let mut at = if restart { world.fair(scope, true)? } else { world.clone() };
        loop {
            let k = key(&at);
            if at.goal(scope) || at.excused(scope) || healthy.contains(&k) {
                healthy.extend(path);
                break;
            }
            path.push(k);
            match at.fair(scope, false) {
                Some(w) if path.len() < MAX_FAIR_STEPS => at = w,
                // Without an owner nothing moves; a restarted one was looked at first.
                None if !restart && !world.has_owner() => break,
                _ => return Some("I6: an owner gets stuck"),
            }
        }
    }
    None
}

fn replay(
    first: &impl Model,
    target: Key,
    parent: &HashMap<Key, Key>,
    scope: &Scope,
) -> Vec<String> {
    let mut keys = vec![target];
    while let Some(p) = parent.get(keys.last().expect("never empty")).filter(|p| **p != 0) {
        keys.push(*p);
    }
    let mut world = first.clone();
    let mut labels = Vec::new();
    for k in keys.iter().rev().skip(1) {
        let step = world.next(scope).into_iter().find(|(_, w)| key(w) == *k);
        let (label, w) = step.expect("a step that was taken before");
        labels.push(label);
        world = w;
    }
    labels
}
