//! What may happen next in a world.

use super::super::model::{Healthy, Model};
use super::super::scope::Scope;
use super::super::step::Step;
use super::state::{Steps, World};
use super::{fair, invariants};

impl Model for World {
    type Step = Step;

    fn next(&self, scope: &Scope) -> Vec<(Step, World)> {
        let mut out = Steps::All(Vec::with_capacity(32));
        for i in 0..scope.workers {
            self.group(i, scope, &mut out);
            self.coordinator(i, &mut out);
            self.own_steps(i, scope, &mut out);
        }
        self.settling(&mut out);
        self.adoptions(&mut out);
        self.late_appends(scope, &mut out);
        self.operator(scope, &mut out);
        self.topic(scope, &mut out);
        self.damage(scope, &mut out);
        self.repairs(scope, &mut out);
        if let Steps::All(all) = out { all } else { Vec::new() }
    }

    fn broken(&self, scope: &Scope) -> Option<&'static str> {
        invariants::broken(self, scope)
    }

    fn broken_step(&self, next: &World) -> Option<&'static str> {
        invariants::i7_tail_never_decreases(self, next)
    }

    fn mirrored(&self) -> World {
        let mut w = self.clone();
        w.workers.swap(0, 1);
        w.pending.swap(0, 1);
        w.letters.swap(0, 1);
        w.relabel();
        w
    }

    fn stuck(&self, scope: &Scope, healthy: &mut Healthy) -> Option<&'static str> {
        fair::i6_lone_owner_finishes(self, scope, healthy)
    }
}
