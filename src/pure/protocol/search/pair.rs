//! Two partitions of two roles in one transaction: a source, whose results are the records of an
//! output topic that is archived alone.
//!
//! Each is a [`World`] of its own; what they share is the workers' lives, the assignments, and the
//! transactions ([`Step::shared`]). Either may be given up alone.

use std::cell::{Ref, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use foldhash::fast::FixedState;

use super::engine::hash;
use super::model::{Healthy, Key, Model};
use super::scope::Scope;
use super::step::{Shared, Step};
use super::world::World;

/// Two partitions, within one walk: all pairs of a walk share what is known of their halves.
#[derive(Clone)]
pub(super) struct Pair {
    source: Half,
    output: Half,
}

impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.source.key());
        state.write_u128(self.output.key());
    }
}

/// One partition of a pair. There are millions of pairs of some ten thousand worlds: each world is
/// made once, and is a number from then on.
#[derive(Clone)]
struct Half {
    at: u32,
    known: Rc<RefCell<Known>>,
}

/// The worlds that one of the two partitions was in.
#[derive(Default)]
struct Known {
    worlds: Vec<KnownWorld>,
    numbers: HashMap<Key, u32, FixedState>,
}

struct KnownWorld {
    world: World,
    key: Key,
    mirrored: Option<u32>,
    /// By the number of the scope's records, which is all that differs within one walk.
    next: Vec<Option<Rc<Side>>>,
    broken: Vec<Option<Option<&'static str>>>,
}

/// What either partition may do next, and the number of the world that it leads to.
type Side = [(Step, u32)];

impl Known {
    fn number(&mut self, world: World) -> u32 {
        let (key, new) = (hash(&world), self.worlds.len() as u32);
        let number = *self.numbers.entry(key).or_insert(new);
        if number == new {
            let (next, broken) = (Vec::new(), Vec::new());
            self.worlds.push(KnownWorld { world, key, mirrored: None, next, broken });
        }
        number
    }
}

/// The place of a value by number; made if it is not there yet.
fn place<T: Default>(of: &mut Vec<T>, number: usize) -> &mut T {
    let length = of.len().max(number + 1);
    of.resize_with(length, T::default);
    &mut of[number]
}

impl Half {
    fn new() -> Half {
        let mut known = Known::default();
        Half { at: known.number(World::new()), known: Rc::new(RefCell::new(known)) }
    }

    fn to(&self, at: u32) -> Half {
        Half { at, known: Rc::clone(&self.known) }
    }

    fn known(&self) -> Ref<'_, KnownWorld> {
        Ref::map(self.known.borrow(), |known| &known.worlds[self.at as usize])
    }

    fn world(&self) -> Ref<'_, World> {
        Ref::map(self.known(), |known| &known.world)
    }

    fn key(&self) -> Key {
        self.known().key
    }

    fn next(&self, scope: &Scope) -> Rc<Side> {
        let at = self.at as usize;
        let mut known = self.known.borrow_mut();
        if let Some(next) = place(&mut known.worlds[at].next, scope.records) {
            return Rc::clone(next);
        }
        let next = known.worlds[at].world.next(scope);
        let next: Vec<_> = next.into_iter().map(|(step, w)| (step, known.number(w))).collect();
        let next: Rc<Side> = next.into();
        known.worlds[at].next[scope.records] = Some(Rc::clone(&next));
        next
    }

    fn broken(&self, scope: &Scope) -> Option<&'static str> {
        let mut known = self.known.borrow_mut();
        let KnownWorld { world, broken, .. } = &mut known.worlds[self.at as usize];
        *place(broken, scope.records).get_or_insert_with(|| world.broken(scope))
    }

    fn mirrored(&self) -> Half {
        let mirrored = self.known().mirrored;
        let at = mirrored.unwrap_or_else(|| {
            let mirrored = self.world().mirrored();
            let mut known = self.known.borrow_mut();
            let number = known.number(mirrored);
            known.worlds[self.at as usize].mirrored = Some(number);
            number
        });
        self.to(at)
    }
}

/// Which of the two takes which step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PairStep {
    Source(Step),
    Output(Step),
    /// The same step, for whichever of the two it is possible.
    Together(Step),
    /// One transaction of both.
    Both {
        source: Step,
        output: Step,
    },
}

impl fmt::Display for PairStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PairStep::Source(step) => write!(f, "source: {step}"),
            PairStep::Output(step) => write!(f, "output: {step}"),
            PairStep::Together(step) => step.fmt(f),
            PairStep::Both { source, output } => write!(f, "{source}, and of the output {output}"),
        }
    }
}

impl Pair {
    pub(super) fn new() -> Pair {
        Pair { source: Half::new(), output: Half::new() }
    }

    /// One record of the output topic for each record whose results are committed.
    fn output_scope(&self, scope: &Scope) -> Scope {
        Scope { counts: false, records: self.source.world().results(), ..*scope }
    }

    fn source_alone(&self, (step, at): &(Step, u32)) -> (PairStep, Pair) {
        (PairStep::Source(*step), Pair { source: self.source.to(*at), ..self.clone() })
    }

    fn output_alone(&self, (step, at): &(Step, u32)) -> (PairStep, Pair) {
        (PairStep::Output(*step), Pair { output: self.output.to(*at), ..self.clone() })
    }

    /// Whatever of the two has this step takes it.
    fn together(&self, source: &Side, output: &Side, out: &mut Vec<(PairStep, Pair)>) {
        let all = source.iter().chain(output).map(|(step, _)| *step);
        let mut shared: Vec<Step> = Vec::new();
        for step in all.filter(|step| step.shared() == Shared::Together) {
            if !shared.contains(&step) {
                shared.push(step);
            }
        }
        for step in shared {
            let after = |side: &Side, old: &Half| {
                let taken = side.iter().find(|(other, _)| *other == step);
                taken.map_or_else(|| old.clone(), |(_, at)| old.to(*at))
            };
            let (source, output) = (after(source, &self.source), after(output, &self.output));
            out.push((PairStep::Together(step), Pair { source, output }));
        }
    }

    /// The transactions of one worker: of either partition alone, or of both.
    fn sends(&self, i: usize, source: &Side, output: &Side, out: &mut Vec<(PairStep, Pair)>) {
        // A worker has one producer, and so one transaction at a time.
        if self.source.world().in_transaction(i) || self.output.world().in_transaction(i) {
            return;
        }
        let of_worker = |(step, _): &&(Step, u32)| {
            step.shared() == Shared::InOneTransaction && step.worker() == Some(i)
        };
        let (a, b) = (source.iter().filter(of_worker), output.iter().filter(of_worker));
        out.extend(a.clone().map(|sends| self.source_alone(sends)));
        out.extend(b.clone().map(|sends| self.output_alone(sends)));
        // Under one generation.
        if self.source.world().is_member(i) != self.output.world().is_member(i) {
            return;
        }
        for (first, source) in a {
            for (second, output) in b.clone() {
                let both =
                    Pair { source: self.source.to(*source), output: self.output.to(*output) };
                out.push((PairStep::Both { source: *first, output: *second }, both));
            }
        }
    }
}

impl Model for Pair {
    type Step = PairStep;

    fn next(&self, scope: &Scope) -> Vec<(PairStep, Pair)> {
        let source = self.source.next(scope);
        let output = self.output.next(&self.output_scope(scope));
        let mut out = Vec::new();
        let apart = |(step, _): &&(Step, u32)| step.shared() == Shared::Apart;
        out.extend(source.iter().filter(apart).map(|step| self.source_alone(step)));
        out.extend(output.iter().filter(apart).map(|step| self.output_alone(step)));
        self.together(&source, &output, &mut out);
        for i in 0..scope.workers {
            self.sends(i, &source, &output, &mut out);
        }
        out
    }

    fn broken(&self, scope: &Scope) -> Option<&'static str> {
        self.source.broken(scope).or_else(|| self.output.broken(&self.output_scope(scope)))
    }

    fn broken_step(&self, next: &Pair) -> Option<&'static str> {
        let step = |from: &Half, to: &Half| from.world().broken_step(&to.world());
        step(&self.source, &next.source).or_else(|| step(&self.output, &next.output))
    }

    fn mirrored(&self) -> Pair {
        Pair { source: self.source.mirrored(), output: self.output.mirrored() }
    }

    /// Each partition by itself was looked at.
    fn stuck(&self, _: &Scope, _: &mut Healthy) -> Option<&'static str> {
        None
    }
}
