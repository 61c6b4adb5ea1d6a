//! One thing that the daemon depends on: it works, or it has failed since a moment.
//!
//! Only data, with time as an argument: milliseconds of the wall clock.

use std::collections::BTreeSet;

/// A thing that works or fails, as those who use it observe.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dependency {
    outage: Option<Outage>,
    /// When its last outage ended that was reported.
    ended: Option<i64>,
}

/// A thing has failed, and has not worked since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outage {
    /// The first failure.
    pub since: i64,
    /// The latest failure.
    pub last: i64,
    /// What the latest failure said.
    pub cause: String,
    /// How many calls have failed.
    pub failures: u64,
    /// Who has met a failure, and has not met a success since: operations, or partitions.
    failing: BTreeSet<String>,
    reported: bool,
    /// The cause was found out otherwise, and says more than the failures do.
    explained: bool,
    /// It began soon after the end of another one.
    repeated: bool,
    /// It answers again, and it is not known whether it does its work.
    doubted: bool,
    /// Since when nobody has met a failure, if this is not yet believed.
    works_since: Option<i64>,
}

/// Milliseconds between two failures that do not belong together, unless the first was reported.
const APART: i64 = 60_000;

/// A thing that fails within so many milliseconds after the end of an outage may fail and work in
/// turn: a store that is nearly full takes one file and refuses the next.
const SOON: i64 = 60_000;

/// Then it works when there was no failure for so many milliseconds.
const STEADY: i64 = 10_000;

/// What is to be reported to an operator, once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    Began {
        cause: String,
    },
    Ended {
        lasted: i64,
        failures: u64,
    },
    /// Nothing was heard since the latest failure, for so many milliseconds.
    Silent {
        silent: i64,
    },
}

impl Dependency {
    /// A call of `who` has failed. An outage is not reported before it is `patience` old.
    pub fn failed(&mut self, who: &str, cause: &str, now: i64, patience: i64) -> Option<News> {
        // Two failures that lie far apart are not one outage, unless the first was reported.
        let apart = |o: &Outage| !o.reported && APART < now.saturating_sub(o.last);
        if self.outage.as_ref().is_some_and(apart) {
            self.outage = None;
        }
        let repeated = self.ended.is_some_and(|at| now.saturating_sub(at) < SOON);
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: now,
            last: now,
            cause: String::new(),
            failures: 0,
            failing: BTreeSet::new(),
            reported: false,
            explained: false,
            repeated,
            doubted: false,
            works_since: None,
        });
        outage.works_since = None;
        if !outage.explained {
            outage.cause = cause.into();
        }
        outage.last = now;
        outage.failures = outage.failures.saturating_add(1);
        if !outage.failing.contains(who) {
            let _ = outage.failing.insert(who.into());
        }
        if outage.reported || now.saturating_sub(outage.since) < patience {
            return None;
        }
        outage.reported = true;
        Some(News::Began { cause: cause.into() })
    }

    /// A call of `who` has worked, or nothing more will be heard of it. The outage ends when this
    /// is true of everybody who has met a failure; if it came soon after another one, it ends only
    /// after some time without a failure, in [`Dependency::expire`].
    pub fn worked(&mut self, who: &str, now: i64) -> Option<News> {
        let _ = self.outage.as_mut()?.failing.remove(who);
        self.end_if_steady(now)
    }

    /// Ends the outage if nobody fails any more, and if this can be believed.
    fn end_if_steady(&mut self, now: i64) -> Option<News> {
        let outage = self.outage.as_mut()?;
        if !outage.failing.is_empty() {
            return None;
        }
        let since = *outage.works_since.get_or_insert(now);
        let quiet_since = match (outage.doubted, outage.repeated) {
            // The failures may lie further apart than this.
            (true, _) => Some(since),
            (false, true) => Some(outage.last),
            (false, false) => None,
        };
        let steady = quiet_since.is_none_or(|quiet| STEADY <= now.saturating_sub(quiet));
        if !steady {
            return None;
        }
        // It is told when it is believed, and the time that is told is that between the two lines.
        let lasted = now.saturating_sub(outage.since).max(0);
        match self.end(since)? {
            News::Ended { failures, .. } => Some(News::Ended { lasted, failures }),
            other => Some(other),
        }
    }

    /// A call has worked that stands for all who have met a failure but those that `stays` names.
    pub fn worked_for_all(&mut self, stays: fn(&str) -> bool, now: i64) -> Option<News> {
        self.outage.as_mut()?.failing.retain(|who| stays(who));
        self.end_if_steady(now)
    }

    /// The thing answers again, and that says nothing of its work: a NameNode in safe mode answers
    /// questions, and refuses every change. What these have met ends after some time without a
    /// failure, or with [`Dependency::proven`].
    pub fn answered(&mut self, who: &[&str], now: i64) -> Option<News> {
        self.outage.as_mut()?.doubted = true;
        self.cleared(who, now)
    }

    /// The thing has done its work, which is the end of what these have met.
    pub fn proven(&mut self, who: &[&str], now: i64) -> Option<News> {
        self.outage.as_mut()?.doubted = false;
        self.cleared(who, now)
    }

    fn cleared(&mut self, who: &[&str], now: i64) -> Option<News> {
        self.outage.as_mut()?.failing.retain(|failing| !who.contains(&failing.as_str()));
        self.end_if_steady(now)
    }

    /// The outage is over, whoever has met it.
    pub fn end(&mut self, now: i64) -> Option<News> {
        let Outage { since, failures, reported, .. } = self.outage.take()?;
        self.ended = if reported { Some(now) } else { self.ended };
        reported.then(|| News::Ended { lasted: now.saturating_sub(since).max(0), failures })
    }

    /// Ends an outage if nobody fails any more and there was no failure for some time. Forgets one
    /// of which nothing was heard for so long; [`None`]: it ends only when the thing works. Whether
    /// the thing works then is not known.
    pub fn expire(&mut self, now: i64, after: Option<i64>) -> Option<News> {
        if self.outage.as_ref()?.works_since.is_some() {
            return self.end_if_steady(now);
        }
        let silent = now.saturating_sub(self.outage.as_ref()?.last);
        if silent <= after? {
            return None;
        }
        let Outage { reported, .. } = self.outage.take()?;
        reported.then_some(News::Silent { silent })
    }

    /// A cause that says more than the failures do; it is kept.
    pub fn explain(&mut self, cause: &str) {
        if let Some(outage) = &mut self.outage {
            (outage.cause, outage.explained) = (cause.into(), true);
        }
    }

    /// Whether `who` has met a failure, and no success since.
    #[must_use]
    pub fn is_failing(&self, who: &str) -> bool {
        self.outage.as_ref().is_some_and(|o| o.failing.contains(who))
    }

    /// The outage, if the thing fails, once it was reported.
    #[must_use]
    pub fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref().filter(|o| o.reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(cause: &str) -> Option<News> {
        Some(News::Began { cause: cause.into() })
    }

    #[test]
    fn an_outage_is_told_once_at_its_beginning_and_once_at_its_end() {
        let mut d = Dependency::default();
        assert_eq!(d.worked("list", 5), None);
        assert_eq!(d.failed("list", "refused", 10, 0), began("refused"));
        for now in 11..500 {
            assert_eq!(d.failed("read", "no answer", now, 0), None);
        }
        let outage = d.outage().unwrap();
        assert_eq!((outage.since, outage.failures), (10, 490));
        assert_eq!(outage.cause, "no answer", "the latest cause is shown");
        // Whoever has failed must have worked.
        assert_eq!(d.worked("list", 600), None);
        assert_eq!(d.worked("read", 610), Some(News::Ended { lasted: 600, failures: 490 }));
        assert_eq!((d.worked("read", 620), d.outage()), (None, None));
        assert_eq!(d.failed("read", "again", 700, 0), began("again"), "another outage");
    }

    #[test]
    fn a_success_of_another_kind_ends_nothing() {
        let mut d = Dependency::default();
        assert_eq!(d.failed("close", "quota", 0, 0), began("quota"));
        for now in 0..100 {
            assert_eq!(d.worked("list", now), None, "reading works while writing does not");
        }
        assert_eq!(d.outage().unwrap().since, 0);
        assert_eq!(d.end(100), Some(News::Ended { lasted: 100, failures: 1 }));
    }

    #[test]
    fn a_call_that_stands_for_others_does_not_stand_for_all() {
        let mut d = Dependency::default();
        let _ = d.failed("list", "refused", 0, 0);
        let _ = d.failed("t/0", "full", 1, 0);
        let is_partition = |who: &str| who.contains('/');
        assert_eq!(d.worked_for_all(is_partition, 2), None);
        assert!(!d.is_failing("list") && d.is_failing("t/0"));
        assert_eq!(d.worked("t/0", 5), Some(News::Ended { lasted: 5, failures: 2 }));
        let _ = d.failed("list", "refused", 5 + SOON, 0);
        let ended = d.worked_for_all(is_partition, 6 + SOON);
        assert!(matches!(ended, Some(News::Ended { .. })));
    }

    #[test]
    fn what_ends_before_anybody_lost_patience_is_not_told() {
        let mut d = Dependency::default();
        assert_eq!(d.failed("a", "x", 0, 30), None);
        assert_eq!((d.failed("a", "x", 29, 30), d.outage()), (None, None));
        assert_eq!(d.worked("a", 29), None);
        assert_eq!(d.failed("a", "x", 40, 30), None);
        assert_eq!(d.failed("a", "y", 70, 30), began("y"));
        assert_eq!(d.outage().unwrap().since, 40);
        assert_eq!(d.worked("a", 60), Some(News::Ended { lasted: 20, failures: 2 }));
    }

    #[test]
    fn failures_that_lie_far_apart_are_not_one_outage() {
        let mut d = Dependency::default();
        assert_eq!(d.failed("a", "x", 0, 20), None);
        assert_eq!(d.failed("a", "x", APART + 1, 20), None);
        assert_eq!(d.failed("a", "x", APART + 21, 20), began("x"));
        assert_eq!(d.outage().unwrap().since, APART + 1);
        // One that was reported goes on, however seldom it is met.
        assert_eq!(d.failed("a", "x", 9 * APART, 20), None);
        assert_eq!(d.expire(20 * APART, None), None);
        assert_eq!(d.expire(9 * APART + 100, Some(100)), None);
        let silent = Some(News::Silent { silent: 101 });
        assert_eq!(d.expire(9 * APART + 101, Some(100)), silent);
        assert_eq!(d.outage(), None);
    }

    /// A store that is nearly full takes one file and refuses the next, for hours.
    #[test]
    fn what_fails_and_works_in_turn_is_one_outage() {
        let mut d = Dependency::default();
        assert_eq!(d.failed("t/0", "full", 0, 0), began("full"));
        assert_eq!(d.worked("t/0", 5), Some(News::Ended { lasted: 5, failures: 1 }));
        assert_eq!(d.failed("t/1", "full", 20, 0), began("full"));
        for round in 1..900 {
            let now = 20 + round * (STEADY - 1);
            assert_eq!(d.worked("t/1", now), None);
            assert_eq!(d.expire(now, Some(1)), None);
            assert!(d.outage().is_some() && !d.is_failing("t/1"));
            assert_eq!(d.failed("t/1", "full", now, 0), None);
        }
        let last = d.outage().unwrap().last;
        assert_eq!(d.worked("t/1", last + 30), None);
        assert_eq!(d.expire(last + STEADY - 1, Some(1)), None);
        let ended = Some(News::Ended { lasted: last + STEADY - 20, failures: 900 });
        assert_eq!((d.expire(last + STEADY, Some(1)), d.outage()), (ended, None));
        // Much later, it is a new one.
        let later = last + 30 + SOON;
        assert_eq!(d.failed("t/0", "full", later, 0), began("full"));
        assert!(d.worked("t/0", later + 1).is_some());
    }

    #[test]
    fn an_answer_is_believed_after_some_time_or_when_work_is_done() {
        let mut d = Dependency::default();
        let _ = d.failed("index", "no answer", 0, 0);
        assert_eq!(d.answered(&["index"], 5_000), None);
        let _ = d.failed("create", "safe mode", 7_000, 0);
        assert_eq!(d.outage().map(|outage| outage.since), Some(0), "it is the same outage");
        assert_eq!(d.answered(&["index"], 8_000), None);
        let ended = Some(News::Ended { lasted: 9_000, failures: 2 });
        assert_eq!(d.proven(&["create"], 9_000), ended);
        let mut d = Dependency::default();
        let _ = d.failed("index", "no answer", 0, 0);
        assert_eq!(d.answered(&["index"], 5_000), None);
        assert_eq!(d.expire(5_000 + STEADY - 1, None), None);
        assert!(matches!(d.expire(5_000 + STEADY, None), Some(News::Ended { .. })));
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_negative_time() {
        let mut d = Dependency::default();
        let _ = d.failed("a", "x", 100, 0);
        assert_eq!(d.worked("a", 50), Some(News::Ended { lasted: 0, failures: 1 }));
    }
}
