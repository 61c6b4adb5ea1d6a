//! How much time is left until the brokers delete what is still needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::kafka::KafkaError;
use crate::clients::kafka::topics::{self, Admin};
use crate::common::config::Config;
use crate::common::status::PartitionStatus;
use crate::outside::daemon::admin::admin_of;
use crate::outside::daemon::health::{Health, now_ms};

/// So much time, in seconds, is enough for any roll.
const SHORT: i64 = 1_800;
/// Rounds for which the settings of topics are kept: they hardly change.
const KEPT: u32 = 20;

/// Sets the headroom of each partition that archives or merges, and rolls early where it is short.
pub(super) async fn watch(config: Arc<Config>, health: Arc<Health>) {
    const EVERY: Duration = Duration::from_secs(15);
    let mut retention = Retention::default();
    let mut tick = tokio::time::interval(EVERY);
    loop {
        let _ = tick.tick().await;
        retention.begin_round(&config);
        for p in health.pool.status().iter().filter(|p| p.archives || p.needed_ms.is_some()) {
            if let Some(kept) = retention.of(&p.topic).await {
                note(&health, p, kept);
            }
        }
    }
}

fn note(health: &Health, p: &PartitionStatus, kept: i64) {
    let (now, oldest) = (now_ms(), p.oldest_ms.or(p.needed_ms));
    let left = headroom_s(kept, oldest, now);
    health.pool.set_headroom(p, left);
    let age = oldest.map_or(0, |at| now.saturating_sub(at).max(0));
    if p.archives && left < SHORT && left.saturating_mul(1_000) < age {
        health.pool.roll_early(p);
    }
}

/// For how long the brokers keep the records of topics.
#[derive(Default)]
struct Retention {
    admin: Option<Admin>,
    /// By topic, milliseconds; [`None`]: for ever, or it is not known.
    known: HashMap<String, Option<i64>>,
    /// Topics that the log has a line about.
    unknown: Vec<String>,
    round: u32,
}

impl Retention {
    fn begin_round(&mut self, config: &Config) {
        if self.round.is_multiple_of(KEPT) {
            self.known.clear();
            self.admin = admin_of(config)
                .inspect_err(|e| tracing::warn!(error = %e, "the topics' retention is not known"))
                .ok();
        }
        self.round = self.round.wrapping_add(1);
    }

    async fn of(&mut self, topic: &str) -> Option<i64> {
        if let Some(known) = self.known.get(topic) {
            return *known;
        }
        let settings = self.admin.as_ref()?.settings(topic).await;
        let kept = match settings {
            Ok(settings) => topics::retention(&settings),
            Err(error) => {
                self.report(topic, &error);
                None
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
            topic, %error,
            "the topic's retention is not known, so that alluvium_retention_headroom_seconds is \
             absent and AlluviumRetentionNear can't fire for this topic; give the client's \
             principal the operation DescribeConfigs on the topic"
        );
    }
}

/// The time until the oldest record is deleted, seconds. The record's time is in milliseconds, and
/// whoever wrote the record chose it.
fn headroom_s(retention_ms: i64, oldest_ms: Option<i64>, now_ms: i64) -> i64 {
    let age = oldest_ms.map_or(0, |at| now_ms.saturating_sub(at).max(0));
    retention_ms.saturating_sub(age).max(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_of_a_record_breaks_the_headroom() {
        assert_eq!(headroom_s(10_000, None, 5_000), 10);
        assert_eq!(headroom_s(10_000, Some(1_000), 5_000), 6);
        for (oldest, want) in [(i64::MIN, 0), (i64::MAX, 10), (-1, 4)] {
            assert_eq!(headroom_s(10_000, Some(oldest), 5_000), want, "{oldest}");
        }
    }
}
