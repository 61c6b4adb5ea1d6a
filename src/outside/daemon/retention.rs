//! How much time is left until the brokers delete what is still needed: by the time for which they
//! keep a topic's records, and by the size of its logs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::kafka::KafkaError;
use crate::clients::kafka::topics::{self, Admin};
use crate::common::config::Config;
use crate::common::health::Subject;
use crate::common::status::PartitionStatus;
use crate::outside::daemon::admin::admin_of;
use crate::outside::daemon::health::{Health, now_ms};
use crate::outside::daemon::moving::Moving;
use crate::pure::record::{Offset, TopicPartition};

/// So much time, in seconds, is enough for any roll.
const SHORT: i64 = 1_800;
/// Rounds for which the settings of topics are kept: they hardly change.
const KEPT: u32 = 20;

/// Sets the headroom of each partition, and rolls early where it is short.
pub(super) async fn watch(config: Arc<Config>, health: Arc<Health>) {
    const EVERY: Duration = Duration::from_secs(15);
    let (mut retention, mut moving) = (Retention::default(), Moving::default());
    let mut tick = tokio::time::interval(EVERY);
    loop {
        let _ = tick.tick().await;
        retention.begin_round(&config);
        let all = health.pool.status();
        let mut limited = Vec::new();
        // What is counted has to stay until it is, and partial counts until their window ends.
        for p in all.iter().filter(|p| p.archives || p.counts) {
            let kept = retention.of(&p.topic).await;
            let by_time = kept.time.map(|kept| left_by_time(kept, p, now_ms()));
            if kept.is_limited_in_size && p.archives {
                limited.push((p, by_time));
            } else if let Some(left) = by_time {
                note(&health, p, left);
            }
        }
        let named = |p: &PartitionStatus| TopicPartition {
            topic: p.topic.as_str().into(),
            partition: p.partition,
        };
        let names: Vec<TopicPartition> = limited.iter().map(|(p, _)| named(p)).collect();
        let starts = starts_of(&health, names.clone()).await;
        let now = now_ms();
        moving.look(names.iter().cloned().zip(starts.iter().copied()), now);
        for ((p, by_time), tp) in limited.into_iter().zip(&names) {
            let by_size = p.archive.and_then(|archived| moving.left_s(tp, Offset(archived)));
            if let Some(left) = by_time.into_iter().chain(by_size).min() {
                note(&health, p, left);
            }
        }
    }
}

/// Where these logs begin now; nothing, if the brokers do not answer.
async fn starts_of(health: &Arc<Health>, partitions: Vec<TopicPartition>) -> Vec<Offset> {
    if partitions.is_empty() || health.board.outage(&Subject::Brokers).is_some() {
        return Vec::new();
    }
    let positions = health.positions.clone();
    match tokio::task::spawn_blocking(move || positions.starts(&partitions)).await {
        Ok(Ok(starts)) => starts,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the beginnings of logs are not known");
            Vec::new()
        }
        Err(error) => {
            tracing::error!(
                code = "AL901", %error,
                "the job that asks for the beginnings of logs has panicked"
            );
            Vec::new()
        }
    }
}

fn note(health: &Health, p: &PartitionStatus, left: i64) {
    health.pool.set_headroom(p, left);
    let oldest = p.oldest_ms.or(p.needed_ms);
    let age = oldest.map_or(0, |at| now_ms().saturating_sub(at).max(0));
    if p.archives && is_short(left, age) {
        health.pool.roll_early(p);
    }
}

/// Whether a roll has to come before its time. The oldest record that is not archived is `age`
/// milliseconds old.
fn is_short(left_s: i64, age: i64) -> bool {
    left_s < SHORT && left_s.saturating_mul(1_000) < age
}

/// What is known of how long the brokers keep a topic's records.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// Milliseconds; [`None`]: for ever, or it is not known.
    time: Option<i64>,
    is_limited_in_size: bool,
}

/// For how long the brokers keep the records of topics.
#[derive(Default)]
struct Retention {
    admin: Option<Admin>,
    known: HashMap<String, Kept>,
    /// Topics that the log has a line about.
    unknown: Vec<String>,
    round: u32,
}

impl Retention {
    fn begin_round(&mut self, config: &Config) {
        if self.round.is_multiple_of(KEPT) {
            self.known.clear();
            self.admin = admin_of(config)
                .inspect_err(|e| {
                    tracing::warn!(
                        code = "AL408", error = %e,
                        "the topics' retention is not known"
                    )
                })
                .ok();
        }
        self.round = self.round.wrapping_add(1);
    }

    async fn of(&mut self, topic: &str) -> Kept {
        if let Some(known) = self.known.get(topic) {
            return *known;
        }
        let Some(admin) = &self.admin else { return Kept::default() };
        let kept = match admin.settings(topic).await {
            Ok(settings) => Kept {
                time: topics::retention(&settings),
                is_limited_in_size: topics::is_limited_in_size(&settings),
            },
            Err(error) => {
                self.report(topic, &error);
                Kept::default()
            }
        };
        *self.known.entry(topic.into()).or_insert(kept)
    }

    /// Once a topic: nobody is warned of records of this topic that are about to be deleted.
    fn report(&mut self, topic: &str, error: &KafkaError) {
        if self.unknown.iter().any(|t| t == topic) {
            return tracing::debug!(topic, %error, "the topic's settings are not known");
        }
        self.unknown.push(topic.into());
        tracing::warn!(
            code = "AL408",
            topic, %error,
            "the topic's retention is not known, so that alluvium_retention_headroom_seconds is \
             absent and AlluviumRetentionNear can't fire for this topic"
        );
    }
}

/// The time until the oldest record is deleted that is still needed, seconds. Whoever wrote the
/// record chose its time.
fn left_by_time(retention_ms: i64, p: &PartitionStatus, now_ms: i64) -> i64 {
    headroom_s(retention_ms, p.oldest_ms.or(p.needed_ms), now_ms)
}

/// The time until the oldest record is deleted, seconds; its time is in milliseconds.
fn headroom_s(retention_ms: i64, oldest_ms: Option<i64>, now_ms: i64) -> i64 {
    let age = oldest_ms.map_or(0, |at| now_ms.saturating_sub(at).max(0));
    retention_ms.saturating_sub(age).max(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::status::InstanceStatus;

    #[test]
    fn what_is_only_counted_has_to_stay_too() {
        let golden = include_str!("../../../tests/golden/status-v3.json");
        let all = serde_json::from_str::<InstanceStatus>(golden).unwrap().partitions;
        let partials = all.iter().find(|p| p.needed_ms.is_some()).unwrap();
        assert!(partials.counts && !partials.archives);
        let read = partials.needed_ms.unwrap();
        assert_eq!(left_by_time(10_000, partials, read + 4_000), 6);
        let idle = PartitionStatus { needed_ms: None, ..partials.clone() };
        assert_eq!(left_by_time(10_000, &idle, read + 4_000), 10, "it does not stay as it was");
    }

    #[test]
    fn no_time_of_a_record_breaks_the_headroom() {
        assert_eq!(headroom_s(10_000, None, 5_000), 10);
        assert_eq!(headroom_s(10_000, Some(1_000), 5_000), 6);
        for (oldest, want) in [(i64::MIN, 0), (i64::MAX, 10), (-1, 4)] {
            assert_eq!(headroom_s(10_000, Some(oldest), 5_000), want, "{oldest}");
        }
    }

    #[test]
    fn a_roll_comes_early_when_less_than_half_of_the_time_is_left() {
        assert!(!is_short(31, 29_000), "29 of 60 seconds are over");
        assert!(is_short(29, 31_000));
        assert!(!is_short(SHORT, i64::MAX), "there is time for any roll");
        assert!(!is_short(0, 0), "nothing waits");
    }
}
