//! `/metrics`, `/livez` (own progress only), `/readyz` (with what does not get on), and the status
//! page with its `/status.json`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use prometheus::{Encoder as _, TextEncoder};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::common::config::Daemon;
use crate::common::spawn::spawn_named;
use crate::outside::daemon::connections::{self, Bounded, Peer, guarded};
use crate::outside::daemon::health::Health;
use crate::outside::daemon::page;
use crate::outside::daemon::unavailable::{Misconfigured, Unavailable};
use crate::outside::web::{Guard, open_to_others};

/// Tries whether the listener's port is free, before anything else is opened or made.
///
/// # Errors
/// Another process listens there, or this one must not.
pub(super) async fn try_port(daemon: &Daemon) -> anyhow::Result<()> {
    if let Some(address) = daemon.listen {
        drop(bind(address).await?);
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| match e.kind() {
        ErrorKind::AddrInUse => {
            Unavailable(format!("another process listens on {address}: daemon.listen")).into()
        }
        ErrorKind::PermissionDenied => {
            Misconfigured(format!("this user must not listen on {address}: daemon.listen")).into()
        }
        _ => Unavailable(format!("can't listen on {address}: daemon.listen: {e}")).into(),
    })
}

pub(super) async fn serve(
    daemon: &Daemon,
    health: Arc<Health>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(address) = daemon.listen else {
        return Ok(None);
    };
    let guard = daemon.web_config.as_deref().map(Guard::start).transpose();
    let guard = guard.map_err(|e| Misconfigured(format!("daemon.web_config: {e}")))?;
    if let Some(warning) = open_to_others(address, guard.as_ref()) {
        tracing::warn!(code = "AL504", "{warning}");
    }
    let listener = bind(address).await?;
    let router = Router::new()
        .route("/", get(page))
        .route("/status.json", get(status))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/mappings/{mapping}/{verb}", post(command))
        .route("/repaired", post(repaired))
        .with_state(health);
    let router = match guard.clone() {
        Some(guard) => guard.around(router),
        None => router,
    };
    let router = guarded(router).into_make_service_with_connect_info::<Peer>();
    let listener = Bounded::new(listener, connections::MOST, connections::PATIENCE).guarded(guard);
    Ok(Some(spawn_named("http", async move {
        let until = async move {
            let _ = stopped.wait_for(|s| *s).await;
        };
        if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(until).await {
            tracing::error!(code = "AL508", error = %e, "http");
        }
    })))
}

async fn page(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
    ];
    (headers, page::render(&health.status()))
}

async fn status(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let text = serde_json::to_string(&health.status()).expect("string keys");
    ([(header::CONTENT_TYPE, "application/json")], text)
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    health.set_gauges();
    let mut text = Vec::new();
    match TextEncoder::new().encode(&health.registry.gather(), &mut text) {
        Ok(()) => {
            let kind = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
            (StatusCode::OK, kind, text).into_response()
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// A command's requests have this header: no page in a browser can send it unasked.
pub(crate) const COMMAND: &str = "x-alluvium-command";

/// Pauses or resumes a mapping, or ends its open files; for this host alone.
async fn command(
    State(health): State<Arc<Health>>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    headers: HeaderMap,
    Path((mapping, verb)): Path<(String, String)>,
) -> (StatusCode, String) {
    if !["pause", "resume", "roll"].contains(&verb.as_str()) {
        return (StatusCode::NOT_FOUND, "the command must be pause, resume or roll\n".into());
    }
    if let Some(refused) = refused(from, &headers) {
        return refused;
    }
    let config = Arc::clone(&health.in_force.borrow().config);
    if !config.mappings.iter().any(|m| m.name == mapping) {
        let names: Vec<&str> = config.mappings.iter().map(|m| m.name.as_str()).collect();
        let text =
            format!("there is no mapping {mapping:?}; the mappings are {}\n", names.join(", "));
        return (StatusCode::NOT_FOUND, text);
    }
    if verb == "roll" {
        tracing::info!(mapping, %from, "roll: the mapping's open files end in this instance");
        health.pool.roll(&mapping);
        let text = format!("the files of {mapping} that are open in this instance end now\n");
        return (StatusCode::OK, text);
    }
    let paused = verb == "pause";
    let word = if paused { "paused" } else { "running" };
    if health.paused.set(&mapping, paused) {
        tracing::warn!(
            code = "AL410", mapping, %from,
            "{verb}: the mapping is {word} in this instance"
        );
        (StatusCode::OK, format!("{mapping} is {word}\n"))
    } else {
        (StatusCode::OK, format!("{mapping} is already {word}\n"))
    }
}

/// The refusal of a command that comes from another host, or from a page in a browser; [`None`] if
/// the command is accepted.
fn refused(from: SocketAddr, headers: &HeaderMap) -> Option<(StatusCode, String)> {
    let ours = from.ip().to_canonical().is_loopback() && headers.contains_key(COMMAND);
    let text = "commands are accepted from this host only, by `alluvium pause`, `resume`, `roll` \
                and `repair`\n";
    (!ours).then(|| (StatusCode::FORBIDDEN, text.into()))
}

/// `alluvium repair` has repaired something: every stopped partition checks at once whether it was
/// repaired.
async fn repaired(
    State(health): State<Arc<Health>>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    if let Some(refused) = refused(from, &headers) {
        return refused;
    }
    health.pool.retry_stopped();
    (StatusCode::OK, "stopped partitions check now whether they were repaired\n".into())
}

async fn livez(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let stuck = health.stuck();
    if stuck.is_empty() {
        (StatusCode::OK, "alive\n".into())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("no progress: {}\n", stuck.join(", ")))
    }
}

async fn readyz(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let status = health.status();
    let (code, mut lines) = match status.not_ready.clone() {
        reasons if reasons.is_empty() => (StatusCode::OK, vec!["ready".into()]),
        reasons => (StatusCode::SERVICE_UNAVAILABLE, reasons),
    };
    lines.extend(status.topic_troubles().into_iter().map(|trouble| format!("not read: {trouble}")));
    lines.extend(status.notes());
    (code, lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_with_its_key() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = bind(taken.local_addr().unwrap()).await.unwrap_err();
        assert!(error.is::<Unavailable>(), "systemd tries again: {error}");
        let text = error.to_string();
        assert!(text.contains("another process") && text.contains("daemon.listen"), "{text}");
    }
}
