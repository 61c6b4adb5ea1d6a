//! Two partitions of two roles in one transaction: a source, whose results are the records of an
//! output topic that is archived alone.
//!
//! Each is a [`World`] of its own; what they share is the workers' lives, the assignments, and the
//! transactions ([`Step::shared`]). Either may be given up alone.

use std::fmt;

use super::engine::Healthy;
use super::model::Model;
use super::scope::Scope;
use super::step::{Shared, Step};
use super::world::World;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pair {
    source: World,
    output: World,
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

/// What either partition may do next.
type Side = [(Step, World)];

impl Pair {
    pub(super) fn new() -> Pair {
        Pair { source: World::new(), output: World::new() }
    }

    /// One record of the output topic for each record whose results are committed.
    fn output_scope(&self, scope: &Scope) -> Scope {
        Scope { counts: false, records: self.source.results(), ..*scope }
    }

    fn source_alone(&self, (step, w): &(Step, World)) -> (PairStep, Pair) {
        (PairStep::Source(*step), Pair { source: w.clone(), ..self.clone() })
    }

    fn output_alone(&self, (step, w): &(Step, World)) -> (PairStep, Pair) {
        (PairStep::Output(*step), Pair { output: w.clone(), ..self.clone() })
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
            let after = |side: &Side, old: &World| {
                let taken = side.iter().find(|(other, _)| *other == step);
                taken.map_or_else(|| old.clone(), |(_, w)| w.clone())
            };
            let (source, output) = (after(source, &self.source), after(output, &self.output));
            out.push((PairStep::Together(step), Pair { source, output }));
        }
    }

    /// The transactions of one worker: of either partition alone, or of both.
    fn sends(&self, i: usize, source: &Side, output: &Side, out: &mut Vec<(PairStep, Pair)>) {
        // A worker has one producer, and so one transaction at a time.
        if self.source.in_transaction(i) || self.output.in_transaction(i) {
            return;
        }
        let of_worker = |(step, _): &&(Step, World)| {
            step.shared() == Shared::InOneTransaction && step.worker() == Some(i)
        };
        let (a, b) = (source.iter().filter(of_worker), output.iter().filter(of_worker));
        out.extend(a.clone().map(|sends| self.source_alone(sends)));
        out.extend(b.clone().map(|sends| self.output_alone(sends)));
        // Under one generation.
        if self.source.is_member(i) != self.output.is_member(i) {
            return;
        }
        for (first, source) in a {
            for (second, output) in b.clone() {
                let both = Pair { source: source.clone(), output: output.clone() };
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
        let apart = |(step, _): &&(Step, World)| step.shared() == Shared::Apart;
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
        self.source.broken_step(&next.source).or_else(|| self.output.broken_step(&next.output))
    }

    fn mirrored(&self) -> Pair {
        Pair { source: self.source.mirrored(), output: self.output.mirrored() }
    }

    /// Each partition by itself was looked at.
    fn stuck(&self, _: &Scope, _: &mut Healthy) -> Option<&'static str> {
        None
    }
}
