//! Who may connect to `daemon.listen`, how many, and for how long without a word.
//!
//! The page and the commands are for people and programs of this host and its network; anybody who
//! reaches the port could else hold thousands of connections open, or lead a browser of this host
//! to it under a name of their own (DNS rebinding).

use std::future::Future as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use crate::outside::web::{Guard, Stream};

/// A few for each program that looks, and some for people.
pub(super) const MOST: usize = 128;
/// A request arrives within this time, and a part of its answer is taken within it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A listener that drops connections beyond a number, at once.
pub(super) struct Bounded {
    listener: TcpListener,
    /// What asks for TLS, if anything does.
    guard: Option<Guard>,
    free: Arc<Semaphore>,
    patience: Duration,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, most: usize, patience: Duration) -> Bounded {
        Bounded { listener, guard: None, free: Arc::new(Semaphore::new(most)), patience }
    }

    pub(super) fn guarded(self, guard: Option<Guard>) -> Bounded {
        Bounded { guard, ..self }
    }
}

impl Listener for Bounded {
    type Io = Patient;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Patient, SocketAddr) {
        loop {
            let (stream, from) = Listener::accept(&mut self.listener).await;
            let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() else {
                tracing::debug!(%from, "too many connections; this one is closed");
                continue;
            };
            let stream = match &self.guard {
                Some(guard) => guard.begin(stream),
                None => Ok(Stream::Plain(stream)),
            };
            match stream {
                Ok(stream) => {
                    let idle = Box::pin(tokio::time::sleep(self.patience));
                    return (Patient { stream, idle, patience: self.patience, _slot: slot }, from);
                }
                Err(error) => {
                    tracing::error!(code = "AL506", %from, %error, "a connection can't begin TLS")
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when nothing of an answer was written for a while: a request that comes
/// byte by byte gets no more time than one that does not come, and a handshake none at all.
pub(super) struct Patient {
    stream: Stream,
    idle: Pin<Box<Sleep>>,
    patience: Duration,
    _slot: OwnedSemaphorePermit,
}

impl Patient {
    fn or_late<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_pending() && self.idle.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        done
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.or_late(cx, done)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if done.is_ready() {
            let next = Instant::now() + self.patience;
            self.idle.as_mut().reset(next);
        }
        self.or_late(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The address at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// Refuses requests of this host that name another one: a browser was led here by a foreign name.
pub(super) fn guarded(router: Router) -> Router {
    let name = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    router.layer(middleware::from_fn_with_state(Arc::<str>::from(name), check_host))
}

async fn check_host(
    State(name): State<Arc<str>>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).map(|h| h.to_str().unwrap_or("?"));
    let local = from.ip().to_canonical().is_loopback();
    if local && host.is_some_and(|host| !is_own(host, &name)) {
        let text = "this host is not known by the name in the request's Host header\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    next.run(request).await
}

/// Whether a Host header names this host: by an address, as localhost, or by its own name.
fn is_own(host: &str, name: &str) -> bool {
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host,
    };
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let host = host.to_lowercase();
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_string();
    address.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || host == name
        || (!host.contains('.') && host == short(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::spawn::spawn_named;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    async fn served(most: usize, patience: Duration) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = guarded(Router::new().route("/", get(async || "here")))
            .into_make_service_with_connect_info::<Peer>();
        let server = spawn_named("server", async move {
            axum::serve(Bounded::new(listener, most, patience), router).await.unwrap();
        });
        (address, server)
    }

    async fn answer(to: SocketAddr, host: &str) -> String {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    /// Half a request holds a place for a moment alone, also when it comes byte by byte; and there
    /// are no more places than said.
    #[tokio::test]
    async fn half_a_request_is_not_waited_for() {
        let patience = Duration::from_millis(300);
        let (address, server) = served(2, patience).await;
        let mut half = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            half.push(stream);
        }
        tokio::time::sleep(patience / 3).await;
        assert_eq!(answer(address, "127.0.0.1").await, "", "there is no place");
        let started = Instant::now();
        for mut stream in half {
            while stream.write_all(b"x").await.is_ok() {
                assert!(started.elapsed() < 10 * patience, "still held");
                tokio::time::sleep(patience / 10).await;
            }
        }
        assert!(answer(address, "127.0.0.1").await.ends_with("here"));
        server.abort();
    }

    #[tokio::test]
    async fn a_foreign_host_is_refused() {
        let (address, server) = served(4, Duration::from_secs(5)).await;
        for own in ["127.0.0.1:9464", "localhost", "LOCALHOST:1", "[::1]:9464"] {
            assert!(answer(address, own).await.ends_with("here"), "{own}");
        }
        for foreign in ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", ""] {
            assert!(answer(address, foreign).await.starts_with("HTTP/1.1 421"), "{foreign}");
        }
        server.abort();
    }

    #[test]
    fn a_host_has_names() {
        for own in ["node7", "node7.example.org", "NODE7:80", "10.0.0.1", "[::1]"] {
            assert!(is_own(own, "node7.example.org"), "{own}");
        }
        for foreign in ["node7.evil.org", "example.org", "node", "xnode7"] {
            assert!(!is_own(foreign, "node7.example.org"), "{foreign}");
        }
    }
}
