//! What the engine walks.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;

use foldhash::fast;

use super::scope::Scope;

/// What a world is remembered by.
pub(super) type Key = u128;
/// Worlds from which a lone owner gets to the end.
pub(super) type Healthy = HashSet<Key, fast::FixedState>;

pub(super) trait Model: Clone + Hash {
    type Step: Copy + Display;

    /// Every world that one step leads to, and what the step is.
    fn next(&self, scope: &Scope) -> Vec<(Self::Step, Self)>;

    /// The invariant that does not hold here.
    fn broken(&self, scope: &Scope) -> Option<&'static str>;

    /// The invariant that the step from here to `next` breaks: what one world does not show.
    fn broken_step(&self, _next: &Self) -> Option<&'static str> {
        None
    }

    /// The same world with the workers' names exchanged.
    fn mirrored(&self) -> Self;

    /// I6: whether somebody who is left alone gets nowhere.
    fn stuck(&self, scope: &Scope, healthy: &mut Healthy) -> Option<&'static str>;
}
