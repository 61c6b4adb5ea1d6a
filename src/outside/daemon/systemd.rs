//! What systemd is told: READY once the first assignment has recovered, a status line, and a sign
//! of life as long as there is progress.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;

use crate::common::deadlines::READY_AFTER;
use crate::common::status::Condition;
use crate::outside::daemon::health::{Health, now_ms};

/// The status line is made this often once the daemon is ready: it is of all partitions.
const LINE: Duration = Duration::from_secs(5);

/// Runs beside the daemon.
pub(super) async fn watch(health: Arc<Health>) {
    // Twice as often as systemd asks for.
    let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let every = watchdog.unwrap_or(Duration::MAX).min(Duration::from_secs(1));
    let mut tick = tokio::time::interval(every.max(Duration::from_millis(50)));
    let (mut ready, mut said, mut made) = (false, String::new(), Instant::now());
    loop {
        let _ = tick.tick().await;
        if watchdog.is_some() && health.stuck().is_empty() {
            notify(&[NotifyState::Watchdog]);
        }
        if ready && made.elapsed() < LINE {
            continue;
        }
        made = Instant::now();
        let status = health.status();
        let recovering = 0 < status.unheard || 0 < status.count(|c| *c == Condition::Recovering);
        let patience = READY_AFTER.as_millis() as i64 <= now_ms().saturating_sub(health.started);
        if !ready && (status.joined_since.is_some() && !recovering || patience) {
            ready = true;
            let stopped = status.count(|c| matches!(c, Condition::Stopped(_)));
            tracing::info!(partitions = status.partitions.len(), stopped, "ready");
            self::ready();
        }
        let line = status.line();
        if line != said {
            notify(&[NotifyState::Status(&line)]);
            said = line;
        }
    }
}

/// Before a reload; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(since) => notify(&[NotifyState::Reloading, since]),
        Err(e) => tracing::debug!(error = %e, "read the monotonic clock"),
    }
}

pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// A sign of life of a daemon that waits, and why it does.
pub(super) fn waits(why: &str) {
    notify(&[NotifyState::Watchdog, NotifyState::Status(why)]);
}

pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Does nothing where systemd is not.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!(error = %e, "notify systemd");
    }
}
