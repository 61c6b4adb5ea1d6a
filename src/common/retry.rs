//! How a call is tried again: with pauses that double and are jittered, and never without a bound.
//!
//! Jitter keeps the instances of a group, which all lose the same server at the same moment, from
//! asking it again at the same moment.

use std::time::{Duration, Instant};

use backon::{
    BackoffBuilder as _, BlockingRetryable as _, ExponentialBackoff, ExponentialBuilder,
    Retryable as _,
};

/// The pauses between two tries. Before its jitter a pause is `first`, and is doubled up to half of
/// `longest`; jitter adds up to as much again.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// The shortest first pause.
    pub first: Duration,
    /// No pause is longer, provided that `first` is at most half of it.
    pub longest: Duration,
}

impl Pauses {
    const fn builder(self) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(Duration::from_nanos(self.longest.as_nanos() as u64 / 2))
            .with_jitter()
            .without_max_times()
    }

    /// An endless sequence of pauses, for a caller that does its own waiting.
    #[must_use]
    pub fn begin(self) -> ExponentialBackoff {
        self.builder().build()
    }
}

/// Calls until there is an answer, an error that is not `retriable`, or `retries` calls after the
/// first one; the last error then.
///
/// # Errors
/// The last call's.
pub async fn bounded<T, E, F: Future<Output = Result<T, E>>>(
    pauses: Pauses,
    retries: usize,
    retriable: impl FnMut(&E) -> bool,
    call: impl FnMut() -> F,
) -> Result<T, E> {
    call.retry(pauses.builder().with_max_times(retries)).when(retriable).await
}

/// Blocks its thread: calls until there is an answer, an error that is not `retriable`, or the
/// deadline; the last error then. No pause ends after the deadline.
///
/// # Errors
/// The last call's.
pub fn until<T, E>(
    deadline: Instant,
    pauses: Pauses,
    mut retriable: impl FnMut(&E) -> bool,
    call: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let left = move || deadline.saturating_duration_since(Instant::now());
    call.retry(pauses.builder())
        .when(move |e| !left().is_zero() && retriable(e))
        .sleep(move |pause: Duration| std::thread::sleep(pause.min(left())))
        .call()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const PAUSES: Pauses =
        Pauses { first: Duration::from_millis(20), longest: Duration::from_millis(80) };

    #[test]
    fn pauses_double_up_to_the_longest_and_are_jittered() {
        let pauses: Vec<u128> = PAUSES.begin().take(5).map(|p| p.as_millis()).collect();
        assert!((20..=40).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[1..].iter().all(|p| (40..=80).contains(p)), "{pauses:?}");
        let other: Vec<Duration> = PAUSES.begin().take(5).collect();
        assert_ne!(other, PAUSES.begin().take(5).collect::<Vec<_>>(), "no jitter");
    }

    /// Without pauses there would be thousands of calls, and each is a thread where the client of
    /// the brokers is called.
    #[test]
    fn a_retriable_error_is_tried_again_after_pauses_until_the_deadline() {
        let (started, calls) = (Instant::now(), Cell::new(0));
        let patience = Duration::from_millis(300);
        let call = || {
            calls.set(calls.get() + 1);
            Err::<(), _>("not now")
        };
        assert_eq!(until(started + patience, PAUSES, |_| true, call), Err("not now"));
        assert!((3..=12).contains(&calls.get()), "{} calls", calls.get());
        assert!(patience <= started.elapsed() && started.elapsed() < 2 * patience);
        calls.set(0);
        assert_eq!(until(started + patience, PAUSES, |_| false, call), Err("not now"));
        assert_eq!(calls.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_are_bounded() {
        let calls = Cell::new(0);
        let call = || async {
            calls.set(calls.get() + 1);
            if calls.get() == 3 { Ok(calls.get()) } else { Err("not now") }
        };
        assert_eq!(bounded(PAUSES, 1, |_| true, call).await, Err("not now"));
        assert_eq!(bounded(PAUSES, 1, |_| true, call).await, Ok(3));
    }
}
