//! The clock of this host against those of the servers that tell their time.

use jiff::Timestamp;

use crate::outside::audit::live::tried::{Attempted, Outcome};

/// More than this is worth a warning, milliseconds.
const MUCH: i64 = 2_000;
/// More than this, and Kerberos refuses every login, milliseconds.
const TOO_MUCH: i64 = 300_000;

/// What a server's clock said while it was asked; milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// This host's clock before the server was asked, and after it had answered.
    pub(super) asked: (i64, i64),
    /// The server's clock said this, or up to `step` more.
    pub(super) told: i64,
    pub(super) step: i64,
}

/// This host's clock, milliseconds since 1970.
pub(super) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

impl Told {
    /// How far the server is certainly ahead of this host, milliseconds; negative if it is behind.
    fn ahead(self) -> i64 {
        let least = self.told.saturating_sub(self.asked.1);
        let most = self.told.saturating_add(self.step).saturating_sub(self.asked.0);
        match (0 < least, most < 0) {
            (true, _) => least,
            (_, true) => most,
            _ => 0,
        }
    }

    /// What people are told of it. `kerberos`: tickets are used there.
    pub(super) fn judged(self, kerberos: bool) -> (Outcome, String) {
        let (ahead, seconds) = (self.ahead(), |ms: i64| ms.unsigned_abs() as f64 / 1_000.0);
        if ahead.saturating_abs() <= MUCH {
            let text = format!("this host's clock agrees with it within {} s", seconds(MUCH));
            return (Outcome::Good, text);
        }
        let (side, by) = (if ahead < 0 { "behind" } else { "ahead of" }, seconds(ahead));
        let text = format!(
            "its clock is at least {by:.1} s {side} that of this host: windows and the times in \
             paths follow clocks, so let both hosts be synchronized, as by chrony"
        );
        if kerberos && TOO_MUCH < ahead.saturating_abs() {
            return (Outcome::Wrong, format!("{text}. Kerberos accepts no more than 300 s"));
        }
        (Outcome::Doubtful, text)
    }
}

impl Attempted {
    /// Adds what is known of the clock of a server. `kerberos`: tickets are used there.
    pub(super) fn clock(&mut self, of: &str, told: Told, kerberos: bool) {
        let (outcome, text) = told.judged(kerberos);
        self.add(format!("clock of {of}"), outcome, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(told: i64, step: i64) -> Told {
        Told { asked: (10_000, 10_500), told, step }
    }

    #[test]
    fn only_what_is_certain_is_a_difference() {
        for (told, ahead) in [
            (told(10_200, 1), 0),
            (told(10_500, 1), 0),
            (told(10_600, 1), 100),
            (told(9_000, 1_000), 0),
            (told(8_000, 1_000), -1_000),
            (told(400_000, 1), 389_500),
        ] {
            assert_eq!(told.ahead(), ahead, "{told:?}");
        }
    }

    #[test]
    fn a_difference_is_told_with_its_side() {
        let judged = |at, kerberos| told(at, 0).judged(kerberos);
        assert_eq!(judged(12_500, true).0, Outcome::Good);
        let (outcome, text) = judged(12_600, true);
        assert_eq!(outcome, Outcome::Doubtful);
        assert!(text.contains("at least 2.1 s ahead of that of this host"), "{text}");
        let (outcome, text) = judged(7_000, true);
        assert_eq!(outcome, Outcome::Doubtful);
        assert!(text.contains("3.0 s behind"), "{text}");
        assert_eq!(judged(400_000, false).0, Outcome::Doubtful);
        assert_eq!(judged(400_000, true).0, Outcome::Wrong);
    }
}
