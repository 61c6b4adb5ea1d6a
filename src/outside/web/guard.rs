//! What is in force of a web configuration, and whom it lets in.
//!
//! A thread reads the file and the certificates again every second, and compares passwords: a
//! bcrypt hash costs tens of milliseconds by design, and no thread of the runtime is to be held
//! by a stranger who tries passwords. A password that was right once costs nothing any more.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use openssl::sha::sha256;
use openssl::ssl::{Ssl, SslContext};
use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::common::config::{ConfigFault, Daemon, Secret};
use crate::common::spawn::thread_detached;
use crate::outside::web::context::{Pems, context};
use crate::outside::web::file::WebFile;
use crate::outside::web::stream::Stream;

/// How often the files are read again.
const EVERY: Duration = Duration::from_secs(1);

/// The salt and the hash of no password.
const NOBODY: &str = "abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDC";

/// A digest of a user, a hash and a password that belong together.
type Digest = [u8; 32];

/// What is in force.
struct InForce {
    file: WebFile,
    pems: Option<Pems>,
    tls: Option<SslContext>,
    /// What a user who is not known is compared with, so that the time of an answer tells nobody
    /// which users there are.
    nobody: String,
    /// Passwords that were found right; new with each change of the file.
    right: RwLock<HashSet<Digest>>,
}

impl InForce {
    fn read(path: &Path) -> Result<InForce, String> {
        let file = WebFile::read(path)?;
        let pems = file.tls.as_ref().map(Pems::read).transpose();
        let pems = pems.map_err(|e| format!("{}: {e}", path.display()))?;
        let tls = file.tls.as_ref().zip(pems.as_ref()).map(|(keys, pems)| context(keys, pems));
        let tls = tls.transpose().map_err(|e| format!("{}: {e}", path.display()))?;
        let cost = file.users.values().filter_map(|h| HashParts::from_str(h).ok());
        let cost = cost.map(|parts| parts.get_cost()).max().unwrap_or(bcrypt::DEFAULT_COST);
        let nobody = format!("$2y${cost:02}${NOBODY}");
        Ok(InForce { file, pems, tls, nobody, right: RwLock::default() })
    }

    /// Whether this would let somebody in, or in the clear, whom `before` would not.
    fn opens(&self, before: &InForce) -> bool {
        before.tls.is_some() && self.tls.is_none() || !before.file.is_open() && self.file.is_open()
    }
}

/// A user and a password, and who waits for the answer.
struct Question {
    user: String,
    password: Vec<u8>,
    answer: oneshot::Sender<bool>,
}

/// Guards a listener.
#[derive(Clone)]
pub(crate) struct Guard {
    in_force: Arc<RwLock<Arc<InForce>>>,
    ask: mpsc::Sender<Question>,
}

impl Guard {
    /// Reads a web configuration, and keeps on reading it.
    ///
    /// # Errors
    /// What is wrong with it, with the path and the key.
    pub(crate) fn start(path: &Path) -> Result<Guard, String> {
        let first = InForce::read(path)?;
        let in_force = Arc::new(RwLock::new(Arc::new(first)));
        let (ask, asked) = mpsc::channel();
        let (path, shared) = (path.to_path_buf(), Arc::clone(&in_force));
        thread_detached("web-config", move || serve(&path, &shared, &asked))
            .map_err(|e| format!("start a thread: {e}"))?;
        Ok(Guard { in_force, ask })
    }

    /// Begins TLS on a new connection, if it is in force.
    pub(crate) fn begin(&self, stream: TcpStream) -> io::Result<Stream> {
        match self.in_force.read().tls.as_ref().map(|tls| Ssl::new(tls)).transpose()? {
            Some(ssl) => Stream::begin(ssl, stream),
            None => Ok(Stream::Plain(stream)),
        }
    }

    /// Asks for a password before anything else, at every path, and adds the headers.
    pub(crate) fn around(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, admit))
    }

    async fn is_right(&self, user: String, password: Vec<u8>) -> Result<bool, ()> {
        let known = {
            let now = self.in_force.read();
            let digest = digest(&now.file, &user, &password);
            digest.is_some_and(|digest| now.right.read().contains(&digest))
        };
        if known {
            return Ok(true);
        }
        let (answer, answered) = oneshot::channel();
        self.ask.send(Question { user, password, answer }).map_err(drop)?;
        answered.await.map_err(drop)
    }
}

/// A digest that another hash of the same password does not have; [`None`] for nobody's.
fn digest(file: &WebFile, user: &str, password: &[u8]) -> Option<Digest> {
    let hash = file.users.get(user)?;
    let digests = [sha256(user.as_bytes()), sha256(hash.as_bytes()), sha256(password)];
    Some(sha256(digests.as_flattened()))
}

/// Ends with the last guard.
fn serve(path: &Path, shared: &RwLock<Arc<InForce>>, asked: &mpsc::Receiver<Question>) {
    let mut said = String::new();
    let mut next = Instant::now() + EVERY;
    loop {
        match asked.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(question) => {
                let now = Arc::clone(&shared.read());
                let right = compare(&now, &question);
                let _ = question.answer.send(right);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if next <= Instant::now() {
            read_again(path, shared, &mut said);
            next = Instant::now() + EVERY;
        }
    }
}

/// Whether a password is right; the digest of one that is right is kept.
fn compare(now: &InForce, question: &Question) -> bool {
    let hash = now.file.users.get(&question.user);
    let same = bcrypt::verify(&question.password, hash.unwrap_or(&now.nobody));
    let right = hash.is_some() && same.unwrap_or(false);
    if let Some(digest) = digest(&now.file, &question.user, &question.password).filter(|_| right) {
        let _ = now.right.write().insert(digest);
    }
    right
}

/// Takes a change into force. `said`: the fault that was logged last.
fn read_again(path: &Path, shared: &RwLock<Arc<InForce>>, said: &mut String) {
    let before = Arc::clone(&shared.read());
    let fault = match InForce::read(path) {
        Ok(now) if now.opens(&before) => format!(
            "{} would take passwords or TLS away under a running daemon, as a file that is \
             written in two steps does: restart the daemon if that is meant",
            path.display()
        ),
        Ok(now) => {
            said.clear();
            if now.pems != before.pems || now.file != before.file {
                tracing::info!("the web configuration has changed, and is in force");
                *shared.write() = Arc::new(now);
            }
            return;
        }
        Err(fault) => fault,
    };
    if *said != fault {
        tracing::error!(code = "AL505", "the web configuration stays as it was: {fault}");
        *said = fault;
    }
}

async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (asks, headers) = {
        let now = guard.in_force.read();
        (!now.file.users.is_empty(), now.file.headers.clone())
    };
    let mut response = match asks {
        true => match credentials(request.headers()) {
            Some((user, password)) => match guard.is_right(user, password).await {
                Ok(true) => next.run(request).await,
                Ok(false) => unauthorized(),
                Err(()) => {
                    tracing::error!(code = "AL904", "the thread that compares passwords has ended");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }
            },
            None => unauthorized(),
        },
        false => next.run(request).await,
    };
    for (name, value) in &headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            let _ = response.headers_mut().entry(name).or_insert(value);
        }
    }
    response
}

fn unauthorized() -> Response {
    let asks = [(header::WWW_AUTHENTICATE, "Basic realm=\"alluvium\"")];
    let text = "a user and a password are asked for here (daemon.web_config); commands have them \
                from daemon.login\n";
    (StatusCode::UNAUTHORIZED, asks, text).into_response()
}

/// The user and the password of a request.
pub(super) fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(pair[..colon].to_vec()).ok()?;
    Some((user, pair[colon.saturating_add(1)..].to_vec()))
}

/// What is wrong with a web configuration.
pub(crate) fn refused(daemon: &Daemon) -> Option<ConfigFault> {
    let read = InForce::read(daemon.web_config.as_deref()?);
    read.err().map(|fault| ConfigFault::new("daemon.web_config", fault))
}

/// Files that everybody on this host can read, and a listener that is open to other hosts.
pub(crate) fn warnings(daemon: &Daemon) -> Vec<String> {
    let mut warnings: Vec<String> =
        daemon.login.iter().flat_map(|l| l.exposed("daemon.login")).collect();
    let path = daemon.web_config.as_deref();
    let now = path.and_then(|path| InForce::read(path).ok());
    if let (Some(path), Some(now)) = (path, &now) {
        let tls = now.file.tls.as_ref();
        let has_secrets = !now.file.users.is_empty() || tls.is_some_and(|tls| tls.key.is_some());
        let key = tls.and_then(|tls| tls.key_file.as_deref());
        let named = [("", Some(path).filter(|_| has_secrets)), (": key_file", key)];
        warnings.extend(named.into_iter().filter_map(|(name, path)| {
            Secret::exposed(&format!("daemon.web_config{name}"), path?)
        }));
    }
    warnings.extend(daemon.listen.and_then(|listen| unguarded(listen, now.as_ref())));
    warnings
}

/// The warning about a listener that other hosts reach; `guard`: what guards it.
pub(crate) fn open_to_others(listen: SocketAddr, guard: Option<&Guard>) -> Option<String> {
    let now = guard.map(|guard| Arc::clone(&guard.in_force.read()));
    unguarded(listen, now.as_deref())
}

fn unguarded(listen: SocketAddr, now: Option<&InForce>) -> Option<String> {
    if listen.ip().to_canonical().is_loopback() {
        return None;
    }
    let lacks = match now {
        None => "TLS and passwords",
        Some(now) if now.tls.is_none() => "TLS",
        Some(now) if now.file.is_open() => "passwords or clients' certificates",
        Some(_) => return None,
    };
    Some(format!(
        "daemon.listen: other hosts reach {listen} without {lacks}, and can read the names of \
         topics, hosts and errors: name a file with certificates and passwords in \
         daemon.web_config"
    ))
}
