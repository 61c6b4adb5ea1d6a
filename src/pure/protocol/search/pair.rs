//! Two partitions of two roles in one transaction: a source, whose results are the records of an
//! output topic that is archived alone.
//!
//! Each is a [`World`] of its own; what they share is the workers' lives, the assignments, and the
//! transactions. Either may be given up alone.

use super::world::{Scope, Step, World};
use super::{Model, engine};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pair {
    source: World,
    output: World,
}

/// What both partitions live through together, by the steps' labels.
const LIVES: &[&str] = &["crashes", "gets the partition", "comes back after"];
const FATE: &[&str] = &["transaction is aborted", "transaction commits late"];
const ANSWERS: &[&str] = &[
    "commit is answered Ok",
    "commits, the answer is lost",
    "commit is under way, no answer",
    "is told Ok, in truth it was aborted",
    "learns of an abort",
];
const SENDS: &str = " sends [";

impl Pair {
    pub(super) fn new() -> Pair {
        Pair { source: World::new(), output: World::new() }
    }

    /// One record of the output topic for each record whose results are committed.
    fn output_scope(&self, scope: &Scope) -> Scope {
        Scope { counts: false, records: self.source.results(), ..*scope }
    }
}

impl Model for Pair {
    fn next(&self, scope: &Scope) -> Vec<(String, Pair)> {
        let sides = [self.source.next(scope), self.output.next(&self.output_scope(scope))];
        let mut out = Vec::new();
        let shared = |label: &str| {
            let named = LIVES.iter().chain(FATE).chain(ANSWERS);
            label.contains(SENDS) || named.into_iter().any(|l| label.contains(l))
        };
        for (label, w) in sides[0].iter().filter(|(label, _)| !shared(label)) {
            out.push((format!("source: {label}"), Pair { source: w.clone(), ..self.clone() }));
        }
        for (label, w) in sides[1].iter().filter(|(label, _)| !shared(label)) {
            out.push((format!("output: {label}"), Pair { output: w.clone(), ..self.clone() }));
        }
        for i in 0..scope.workers {
            let me = format!("w{i}");
            for what in LIVES.iter().chain(FATE).chain(ANSWERS) {
                self.together(
                    &sides,
                    |label| label.starts_with(&me) && label.contains(what),
                    &mut out,
                );
            }
            // A worker has one producer, and so one transaction at a time.
            if !self.source.in_transaction(i) && !self.output.in_transaction(i) {
                let sends = format!("{me}{SENDS}");
                self.send(&sides, &sends, i, &mut out);
            }
        }
        out
    }

    fn broken(&self, scope: &Scope) -> Option<&'static str> {
        self.source.broken(scope).or_else(|| self.output.broken(&self.output_scope(scope)))
    }

    fn mirrored(&self) -> Pair {
        Pair { source: self.source.mirrored(), output: self.output.mirrored() }
    }

    /// Each partition by itself was looked at.
    fn stuck(&self, _: &Scope, _: &mut engine::Healthy) -> Option<&'static str> {
        None
    }
}

impl Pair {
    /// Whatever of the two has this step takes it.
    fn together(
        &self,
        sides: &[Vec<Step>; 2],
        is: impl Fn(&str) -> bool,
        out: &mut Vec<(String, Pair)>,
    ) {
        let [a, b] = sides.each_ref().map(|steps| steps.iter().find(|(label, _)| is(label)));
        let Some((label, _)) = a.or(b) else { return };
        let side = |step: Option<&Step>, old: &World| step.map_or(old.clone(), |(_, w)| w.clone());
        let (source, output) = (side(a, &self.source), side(b, &self.output));
        out.push((label.clone(), Pair { source, output }));
    }

    /// Either alone, or both in one transaction.
    fn send(&self, sides: &[Vec<Step>; 2], sends: &str, i: usize, out: &mut Vec<(String, Pair)>) {
        let [a, b] = sides.each_ref().map(|steps| {
            let of = steps.iter().filter(|(label, _)| label.starts_with(sends));
            of.collect::<Vec<_>>()
        });
        for (label, w) in &a {
            out.push((format!("source: {label}"), Pair { source: w.clone(), ..self.clone() }));
        }
        for (label, w) in &b {
            out.push((format!("output: {label}"), Pair { output: w.clone(), ..self.clone() }));
        }
        // Under one generation.
        if self.source.is_member(i) == self.output.is_member(i) {
            for (first, source) in &a {
                for (second, output) in &b {
                    let both = Pair { source: source.clone(), output: output.clone() };
                    out.push((format!("{first}, and of the output {second}"), both));
                }
            }
        }
    }
}
