//! Two instances of one name in one group: which of them is the newer one.
//!
//! Instances of one name share their transactional ids, so each of them fences the producers of the
//! other. The older one ends. A member of the group that has this instance's name, and that was not
//! in the group when this instance began, is a newer instance; one that was there before is an
//! older instance, or what a process left behind that was killed.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;

use crate::clients::kafka::error::{KafkaError, TransactionError};
use crate::clients::kafka::group::Consumer;
use crate::common::deadlines::PRODUCER_CALL;

/// The workers of an instance ask at the same time: for so long they share an answer.
const SHARED: Duration = Duration::from_millis(500);
/// An instance that is fenced this number of times, without a commit in between, ends even if the
/// group has no other member of its name.
const MOST_FENCED: u32 = 3;

/// Whether a newer instance of this name is in the group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Newer {
    /// The brokers did not say.
    Unknown,
    Nobody,
    /// With its member id, and the host that it is on.
    Member {
        id: String,
        host: String,
    },
}

/// What is known of the members that have this instance's name.
#[derive(Debug, Default)]
pub struct Twins {
    group: String,
    name: String,
    before_join: OnceLock<BeforeJoin>,
    last: Mutex<Option<(Instant, Newer)>>,
}

/// How the group was before this instance joined it.
#[derive(Debug)]
struct BeforeJoin {
    consumer: Weak<Consumer>,
    /// Ids of the members that had this instance's name.
    members: BTreeSet<String>,
}

/// A member as the brokers list it.
struct Listed {
    client_id: String,
    member: String,
    host: String,
}

impl Twins {
    /// The members of the group that a consumer with these settings would join.
    #[must_use]
    pub fn of(settings: &ClientConfig) -> Twins {
        let text = |key| settings.get(key).unwrap_or_default().to_string();
        Twins { group: text("group.id"), name: text("client.id"), ..Twins::default() }
    }

    /// The name of the group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Asks who is in the group; to be called before the consumer joins it.
    ///
    /// # Errors
    /// The brokers do not say. All that is asked later is [`Newer::Unknown`] then.
    pub fn begin(&self, consumer: &Arc<Consumer>) -> Result<(), KafkaError> {
        let listed = self.members(consumer)?;
        let before = listed.into_iter().filter(|l| l.client_id == self.name).map(|l| l.member);
        let before = before.collect();
        let _ = self
            .before_join
            .set(BeforeJoin { consumer: Arc::downgrade(consumer), members: before });
        Ok(())
    }

    fn members(&self, consumer: &Consumer) -> Result<Vec<Listed>, KafkaError> {
        let list = consumer.client().fetch_group_list(Some(&self.group), PRODUCER_CALL);
        let list = list.map_err(|e| KafkaError::new("list the members of the group", e))?;
        let members = list.groups().iter().flat_map(|g| g.members());
        Ok(members
            .map(|m| Listed {
                client_id: m.client_id().into(),
                member: m.id().into(),
                host: m.client_host().trim_start_matches('/').into(),
            })
            .collect())
    }

    /// Whether a newer instance of this name is in the group now.
    #[must_use]
    pub fn newer(&self) -> Newer {
        let mut last = self.last.lock();
        if let Some((at, newer)) = &*last
            && at.elapsed() < SHARED
        {
            return newer.clone();
        }
        let newer = self.ask().unwrap_or(Newer::Unknown);
        *last = Some((Instant::now(), newer.clone()));
        newer
    }

    fn ask(&self) -> Option<Newer> {
        let before_join = self.before_join.get()?;
        let consumer = before_join.consumer.upgrade()?;
        let listed = match self.members(&consumer) {
            Ok(listed) => listed,
            Err(error) => {
                tracing::debug!(%error, "it is not known who else has this instance's name");
                return None;
            }
        };
        // Afterwards: a member id that was given to this instance meanwhile is its own, too.
        let ours = consumer.context().members(&consumer);
        Some(newer_of(&self.name, &before_join.members, &ours, &listed))
    }

    /// Why a producer of this instance was fenced. `recent`: the transaction was so young that the
    /// coordinator itself had no reason to fence. `times`: how often in a row.
    pub(super) fn judge(
        &self,
        step: &'static str,
        detail: String,
        recent: bool,
        times: u32,
    ) -> TransactionError {
        match self.newer() {
            Newer::Member { id, host } => joined_later(&id, &host),
            Newer::Nobody if times < MOST_FENCED => TransactionError::doubt(step, detail),
            Newer::Unknown if !recent => TransactionError::doubt(step, detail),
            Newer::Nobody | Newer::Unknown => TransactionError::TwoInstances { detail },
        }
    }

    /// Before a producer is made: it would fence those of a newer instance.
    pub(super) fn give_way(&self) -> Result<(), TransactionError> {
        match self.newer() {
            Newer::Member { id, host } => Err(joined_later(&id, &host)),
            Newer::Nobody | Newer::Unknown => Ok(()),
        }
    }
}

fn joined_later(id: &str, host: &str) -> TransactionError {
    let detail =
        format!("the member {id} of the group, on {host}, has this name, too, and joined later");
    TransactionError::TwoInstances { detail }
}

fn newer_of(
    name: &str,
    before: &BTreeSet<String>,
    ours: &BTreeSet<String>,
    listed: &[Listed],
) -> Newer {
    let mut others = listed.iter().filter(|l| l.client_id == name);
    let newer = others.find(|l| !before.contains(&l.member) && !ours.contains(&l.member));
    newer.map_or(Newer::Nobody, |l| Newer::Member { id: l.member.clone(), host: l.host.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_the_name_that_came_after_the_start_is_newer() {
        let set = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let listed = |all: &[(&str, &str)]| {
            let one = |(name, id): &(&str, &str)| Listed {
                client_id: (*name).into(),
                member: (*id).into(),
                host: "h2".into(),
            };
            all.iter().map(one).collect::<Vec<_>>()
        };
        let newer = |all: &[(&str, &str)]| {
            newer_of("a", &set(&["a-killed"]), &set(&["a-1", "a-2"]), &listed(all))
        };
        assert_eq!(newer(&[]), Newer::Nobody);
        assert_eq!(newer(&[("a", "a-killed"), ("a", "a-2"), ("b", "b-1")]), Newer::Nobody);
        // An id that this instance had before it joined again.
        assert_eq!(newer(&[("a", "a-1"), ("a", "a-2")]), Newer::Nobody);
        assert_eq!(
            newer(&[("a", "a-2"), ("a", "a-3")]),
            Newer::Member { id: "a-3".into(), host: "h2".into() }
        );
    }

    #[test]
    fn an_instance_that_is_fenced_ends_if_a_newer_one_is_there_or_after_some_times() {
        let twins = Twins::default();
        let judged = |newer: &Newer, recent, times| {
            *twins.last.lock() = Some((Instant::now(), newer.clone()));
            twins.judge("commit", "fenced".into(), recent, times)
        };
        let ends = |e: &TransactionError| matches!(e, TransactionError::TwoInstances { .. });
        let member = Newer::Member { id: "a-3".into(), host: "h2".into() };
        let told = judged(&member, true, 1);
        assert!(told.to_string().contains("on h2"), "{told}");
        assert!(ends(&judged(&member, false, 1)) && ends(&judged(&member, true, 1)));
        for (times, want) in [(1, false), (2, false), (3, true)] {
            assert_eq!(ends(&judged(&Newer::Nobody, true, times)), want, "{times}");
        }
        assert!(
            ends(&judged(&Newer::Unknown, true, 1)) && !ends(&judged(&Newer::Unknown, false, 1))
        );
        *twins.last.lock() = Some((Instant::now(), member));
        assert!(twins.give_way().is_err());
        *twins.last.lock() = None;
        assert_eq!(twins.newer(), Newer::Unknown, "nobody was asked at the start");
        assert!(twins.give_way().is_ok());
    }
}
