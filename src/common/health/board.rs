//! All that an instance depends on, shared by its threads. Log lines of outages are written here.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::common::health::outage::{Dependency, News, Outage};
use crate::common::health::subject::Subject;

/// What this instance knows of the things that it depends on. Times are milliseconds of the wall
/// clock.
#[derive(Debug, Default)]
pub struct Board {
    all: Mutex<BTreeMap<Subject, Dependency>>,
    member: Mutex<Member>,
}

/// Whether this instance is in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Member {
    joined: Option<i64>,
    left: Option<i64>,
}

impl Board {
    /// A call of `who` has failed; the beginning of an outage is logged, and every failure is at
    /// the level debug. Returns whether the outage begins now.
    pub fn failed(&self, subject: &Subject, who: &str, cause: &str, now: i64) -> bool {
        let news = self.note_failed(subject, who, cause, now);
        if let Some(news) = &news {
            tell(subject, news);
        }
        news.is_some()
    }

    /// As [`Board::failed`], for a caller that asks for a better cause before it calls
    /// [`Board::explain`].
    pub fn note_failed(&self, subject: &Subject, who: &str, cause: &str, now: i64) -> Option<News> {
        tracing::debug!(who, cause, "{}", subject.fails());
        let mut all = self.all.lock();
        all.entry(subject.clone()).or_default().failed(who, cause, now, subject.patience())
    }

    /// Logs the beginning of an outage with a cause that says more than the failed call does.
    pub fn explain(&self, subject: &Subject, cause: &str) {
        if let Some(dependency) = self.all.lock().get_mut(subject) {
            dependency.explain(cause);
        }
        tell(subject, &News::Began { cause: cause.into() });
    }

    /// The cause is known for certain, and another one than what was said: an outage that began
    /// with a server that did not answer goes on because the login is refused.
    pub fn explain_anew(&self, subject: &Subject, cause: &str) {
        let mut all = self.all.lock();
        let Some(dependency) = all.get_mut(subject) else { return };
        if dependency.outage().is_none_or(|outage| outage.cause == cause) {
            return;
        }
        dependency.explain(cause);
        drop(all);
        tell(subject, &News::Began { cause: cause.into() });
    }

    /// A call of `who` has worked; the end of an outage is logged.
    pub fn worked(&self, subject: &Subject, who: &str, now: i64) {
        self.change(subject, |d| d.worked(who, now));
    }

    /// A call has worked that stands for all who have met a failure but those that `stays` names.
    pub fn worked_for_all(&self, subject: &Subject, stays: fn(&str) -> bool, now: i64) {
        self.change(subject, |d| d.worked_for_all(stays, now));
    }

    /// The thing answers these again, which does not show yet that it does its work; the end of an
    /// outage is logged when that is believed.
    pub fn answered(&self, subject: &Subject, who: &[&str], now: i64) {
        self.change(subject, |d| d.answered(who, now));
    }

    /// The thing has done its work, for these too; the end of an outage is logged.
    pub fn proven(&self, subject: &Subject, who: &[&str], now: i64) {
        self.change(subject, |d| d.proven(who, now));
    }

    /// Nobody depends on the thing any more.
    pub fn forget(&self, subject: &Subject) {
        let _ = self.all.lock().remove(subject);
    }

    /// The thing works, whoever has met its outage.
    pub fn ended(&self, subject: &Subject, now: i64) {
        self.change(subject, |d| d.end(now));
    }

    fn change(&self, subject: &Subject, change: impl FnOnce(&mut Dependency) -> Option<News>) {
        let mut all = self.all.lock();
        let Some(dependency) = all.get_mut(subject) else { return };
        let news = change(dependency);
        drop(all);
        if let Some(news) = news {
            tell(subject, &news);
        }
    }

    /// Forgets outages of which nothing was heard for long.
    pub fn expire(&self, now: i64) {
        let mut all = self.all.lock();
        let ended = all.iter_mut().filter_map(|(subject, dependency)| {
            Some((subject.clone(), dependency.expire(now, subject.expires_after())?))
        });
        let ended: Vec<(Subject, News)> = ended.collect();
        drop(all);
        ended.iter().for_each(|(subject, news)| tell(subject, news));
    }

    /// Whether `who` has met a failure of this thing, and no success since.
    #[must_use]
    pub fn is_failing(&self, subject: &Subject, who: &str) -> bool {
        self.all.lock().get(subject).is_some_and(|d| d.is_failing(who))
    }

    /// The outage of this thing, if it fails.
    #[must_use]
    pub fn outage(&self, subject: &Subject) -> Option<Outage> {
        self.all.lock().get(subject)?.outage().cloned()
    }

    /// Everything that fails.
    #[must_use]
    pub fn outages(&self) -> Vec<(Subject, Outage)> {
        let all = self.all.lock();
        all.iter().filter_map(|(s, d)| Some((s.clone(), d.outage()?.clone()))).collect()
    }

    /// An assignment has come.
    pub fn joined(&self, now: i64) {
        self.ended(&Subject::MayJoin, now);
        let mut member = self.member.lock();
        let left = member.left.take();
        if member.joined.is_none() || left.is_some() {
            member.joined = Some(now);
        }
    }

    /// Partitions were taken away; the next assignment says of what this instance is a member.
    pub fn left(&self, now: i64) {
        let mut member = self.member.lock();
        let _ = member.left.get_or_insert(now);
    }

    /// Since when this instance is in its group; [`None`] before the first assignment, and between
    /// a revocation and the next assignment.
    #[must_use]
    pub fn joined_since(&self) -> Option<i64> {
        let member = self.member.lock();
        member.joined.filter(|_| member.left.is_none())
    }

    /// Since when this instance is not in its group any more.
    #[must_use]
    pub fn left_since(&self) -> Option<i64> {
        self.member.lock().left
    }
}

fn tell(subject: &Subject, news: &News) {
    let (line, code, mapping) = (subject.line(news), subject.code(), subject.mapping());
    let root = if let Subject::Root(url) = subject { Some(url.as_str()) } else { None };
    match news {
        News::Began { .. } if subject.stops_work() => {
            tracing::error!(code, mapping, root, "{line}")
        }
        News::Began { .. } => tracing::warn!(code, mapping, root, "{line}"),
        News::Ended { .. } | News::Silent { .. } => tracing::info!(code, mapping, root, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_fail_each_for_itself() {
        let board = Board::default();
        let root = Subject::Root("hdfs://a".into());
        assert!(board.failed(&root, "list", "refused", 5));
        assert!(!board.failed(&root, "list", "refused", 6));
        assert!(board.failed(&Subject::Brokers, "probe", "refused", 7));
        board.worked(&Subject::Brokers, "probe", 8);
        let outages = board.outages();
        assert_eq!(outages.len(), 1);
        assert_eq!((&outages[0].0, outages[0].1.since), (&root, 5));
        board.ended(&root, 9);
        assert!(board.outages().is_empty() && board.outage(&root).is_none());
    }

    #[test]
    fn a_cause_that_is_certain_replaces_another_one_once() {
        let (board, root) = (Board::default(), Subject::Root("hdfs://a".into()));
        board.explain_anew(&root, "nothing fails");
        assert!(board.outage(&root).is_none());
        assert!(board.failed(&root, "index", "no answer", 5));
        board.explain(&root, "can't connect");
        let _ = board.failed(&root, "index", "refused", 6);
        assert_eq!(board.outage(&root).unwrap().cause, "can't connect");
        board.explain_anew(&root, "refused");
        let _ = board.failed(&root, "index", "no answer", 7);
        assert_eq!(board.outage(&root).unwrap().cause, "refused");
    }

    #[test]
    fn it_is_a_member_from_an_assignment_to_a_revocation() {
        let board = Board::default();
        assert_eq!((board.joined_since(), board.left_since()), (None, None));
        board.joined(10);
        board.joined(20);
        assert_eq!((board.joined_since(), board.left_since()), (Some(10), None));
        board.left(30);
        board.left(40);
        assert_eq!((board.joined_since(), board.left_since()), (None, Some(30)));
        board.joined(50);
        assert_eq!((board.joined_since(), board.left_since()), (Some(50), None));
    }
}
