//! Since when the questions of one client fail, while the brokers may answer others.

use std::time::{Duration, Instant};

/// A client whose questions all fail for so long is replaced: it may have lost all of its brokers,
/// and it would not ask `bootstrap.servers` for others (docs/decisions/0026-cut-off-clients.md).
const REPLACED_AFTER: Duration = Duration::from_secs(120);

/// Since when the questions of a client fail.
#[derive(Default, Debug)]
pub(super) struct Failing {
    since: Option<Instant>,
}

impl Failing {
    /// A question was answered or not; whether the client is to be replaced now.
    pub(super) fn heard(&mut self, is_answered: bool, now: Instant) -> bool {
        if is_answered {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_over = REPLACED_AFTER <= now.saturating_duration_since(since);
        if is_over {
            self.since = None;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_replaced_when_its_questions_have_failed_for_long_and_not_before() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut failing = Failing::default();
        assert!(!failing.heard(false, at(0)));
        assert!(!failing.heard(false, at(119)));
        assert!(!failing.heard(true, at(120)), "it has answered");
        assert!(!failing.heard(false, at(121)), "the time begins again");
        assert!(!failing.heard(false, at(240)));
        assert!(failing.heard(false, at(241)));
        assert!(!failing.heard(false, at(242)), "this is another client");
    }
}
