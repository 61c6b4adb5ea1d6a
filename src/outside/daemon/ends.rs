//! Where logs end: for the lags, and for partitions that are not fetched until their logs grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clients::kafka::Consumer;
use crate::clients::kafka::offsets::log_range;
use crate::common::health::Subject;
use crate::common::status;
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::health::{Health, now_ms};
use crate::outside::daemon::kerberos;

/// Asks for the ends of all logs, for the lags; and samples what is shown of the process.
pub(super) async fn watch(
    consumer: Arc<Consumer>,
    health: Arc<Health>,
    in_force: watch::Receiver<Arc<ActiveConfig>>,
) {
    let mut every = tokio::time::interval(status::SAMPLE);
    loop {
        let _ = every.tick().await;
        let read = health.pool.records();
        health.throughput.lock().sample(read);
        let config = Arc::clone(&in_force.borrow().config);
        if let Some(age) = kerberos::ticket_age(&config) {
            health.pool.metrics().ticket_age.with_label_values(&["file"]).set(age as i64);
        }
        let (consumer, pool) = (Arc::clone(&consumer), Arc::clone(&health.pool));
        let (board, positions) = (Arc::clone(&health.board), health.positions.clone());
        let asked = tokio::task::spawn_blocking(move || {
            // Each question would wait for its whole deadline.
            let away = || board.outage(&Subject::Brokers).is_some();
            let owned = pool.owned_partitions();
            let stable = if away() { None } else { positions.stable_ends(&owned).ok() };
            let stable: BTreeMap<_, _> =
                owned.into_iter().zip(stable.into_iter().flatten()).collect();
            // One leader that does not answer leaves all unanswered: then each is asked for alone.
            let alone = |tp: &_| log_range(&consumer, tp).ok().map(|log| log.to);
            let end = |tp: &_| stable.get(tp).copied().or_else(|| alone(tp));
            pool.refresh_ends(|tp| if away() { None } else { end(tp) }, now_ms());
            let full = |all: &[_]| if away() { None } else { positions.ends(all).ok() };
            pool.refresh_full_ends(full, now_ms());
        });
        if let Err(error) = asked.await {
            tracing::error!(
                code = "AL901", %error,
                "the job that asks for the ends of the logs has panicked"
            );
        }
    }
}

/// Asks where the logs end of partitions that are not fetched, and has those fetched that have
/// grown.
pub(super) async fn watch_dormant(health: Arc<Health>) {
    const EVERY: Duration = Duration::from_secs(1);
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let _ = tick.tick().await;
        // Nothing could be fetched either.
        if health.board.outage(&Subject::Brokers).is_some() {
            continue;
        }
        let (pool, positions) = (Arc::clone(&health.pool), health.positions.clone());
        let asked = tokio::task::spawn_blocking(move || {
            pool.refresh_dormant(|all| positions.stable_ends(all).ok());
        });
        if let Err(error) = asked.await {
            tracing::error!(
                code = "AL901", %error,
                "the job that asks for the ends of idle logs has panicked"
            );
        }
    }
}
