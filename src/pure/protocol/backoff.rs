//! When a partition tries again after trouble: pauses that double, with the caller's jitter.

use std::time::Duration;

/// How often something has failed since it last worked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// There was no trouble yet.
    pub const NONE: Backoff = Backoff { attempts: 0 };

    /// No pause is shorter.
    pub const SHORTEST: Duration = Duration::from_millis(500);

    /// No pause is longer.
    pub const LONGEST: Duration = Duration::from_secs(15);

    /// The next pause. Its bound is twice the shortest pause, is doubled with each attempt, and is
    /// at most [`Backoff::LONGEST`]. `jitter`, any number, chooses a pause between half of the
    /// bound and the bound.
    pub fn next(&mut self, jitter: u32) -> Duration {
        let doubled = 2u32.saturating_pow(self.attempts.saturating_add(1));
        self.attempts = self.attempts.saturating_add(1);
        let bound = Backoff::SHORTEST.saturating_mul(doubled).min(Backoff::LONGEST);
        let half = bound.as_millis() as u64 / 2;
        const MOST: u64 = u32::MAX as u64;
        let more = half.saturating_mul(u64::from(jitter)) / MOST;
        Duration::from_millis(half.saturating_add(more))
    }

    /// What failed has worked: the next pause is a short one. That something else has worked, such
    /// as a read where a write had failed, is no reason to call this.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_the_shortest_to_the_longest() {
        let pauses = |jitter| {
            let mut backoff = Backoff::default();
            (0..8).map(|_| backoff.next(jitter).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(0), [500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500, 7_500]);
        assert_eq!(pauses(u32::MAX), [1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000, 15_000]);
        let between = pauses(u32::MAX / 2);
        assert!((749..=751).contains(&between[0]), "{between:?}");
    }

    #[test]
    fn it_never_overflows_and_begins_again() {
        let mut backoff = Backoff { attempts: u32::MAX };
        assert_eq!(backoff.next(u32::MAX), Backoff::LONGEST);
        backoff.reset();
        assert_eq!(backoff.next(0), Backoff::SHORTEST);
    }
}
