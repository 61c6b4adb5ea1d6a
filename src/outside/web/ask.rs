//! How a command reaches a daemon: in the clear or by TLS, with the password of `daemon.login`.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use openssl::ssl::{HandshakeError, SslConnector, SslMethod, SslStream, SslVerifyMode};
use openssl::x509::X509;
use ureq::config::Config as AgentConfig;
use ureq::http::{HeaderValue, Request, header};
use ureq::middleware::MiddlewareNext;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
    Transport, TransportAdapter,
};
use ureq::{Agent, Error, SendBody};

use crate::common::config::{Config, WebLogin};
use crate::common::files;
use crate::outside::web::context::{Pems, key_of};
use crate::outside::web::file::{TlsKeys, WebFile};

/// The most time for one call.
const LIMIT: Duration = Duration::from_secs(10);

/// A daemon that can be asked.
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) agent: Agent,
}

/// Which certificate is believed.
enum Trust {
    /// The one in the daemon's own file, for whatever name it is.
    This(Box<X509>),
    /// One that an authority has signed for the name in the address.
    Signed,
}

impl Asked {
    /// The daemon of a configuration, on this host.
    ///
    /// # Errors
    /// What can't be read.
    pub(crate) fn here(config: &Config, listen: SocketAddr) -> Result<Asked, String> {
        let login = config.daemon.login.as_ref();
        let own = config.daemon.web_config.as_deref().map(own_certificate).transpose();
        let own = own.map_err(|e| {
            format!(
                "daemon.web_config: {e}. Run the command as a user who can read it, or add --url \
                 https://HOST:PORT and name the certificate's authority in daemon.login.ca"
            )
        })?;
        match own.flatten() {
            Some(own) => {
                let trust = Trust::This(Box::new(own));
                Asked::new(reached_at(listen, "https"), login, trust)
            }
            None => Asked::new(reached_at(listen, "http"), login, Trust::Signed),
        }
    }

    /// The daemon at an address.
    ///
    /// # Errors
    /// What can't be read.
    pub(crate) fn at(url: &str, login: Option<&WebLogin>) -> Result<Asked, String> {
        Asked::new(url.trim_end_matches('/').into(), login, Trust::Signed)
    }

    fn new(url: String, login: Option<&WebLogin>, trust: Trust) -> Result<Asked, String> {
        let mut config = Agent::config_builder().timeout_global(Some(LIMIT));
        let authorization = login.map(authorization).transpose()?.flatten();
        if let Some(value) = authorization.filter(|_| is_private(&url)) {
            config =
                config.middleware(move |mut request: Request<SendBody>, next: MiddlewareNext| {
                    let _ = request.headers_mut().insert(header::AUTHORIZATION, value.clone());
                    next.handle(request)
                });
        }
        let connector = TlsConnector::new(login, trust)?;
        let agent = agent(config.build(), connector);
        Ok(Asked { url, agent })
    }

    /// Why it does not answer.
    pub(crate) fn silent(&self, e: &Error) -> String {
        let url = &self.url;
        match e {
            Error::StatusCode(401) => format!(
                "the daemon at {url} asks for a user and a password: set daemon.login = {{ user = \
                 \"…\", password = {{ file = \"…\" }} }}"
            ),
            e => format!(
                "no daemon answers at {url}: {e}. Is the daemon running? (systemctl status \
                 alluvium)"
            ),
        }
    }
}

fn agent(config: AgentConfig, tls: TlsConnector) -> Agent {
    let connector = ().chain(TcpConnector::default()).chain(tls);
    Agent::with_parts(config, connector, DefaultResolver::default())
}

/// A password does not cross a network in the clear.
fn is_private(url: &str) -> bool {
    if url.starts_with("https://") {
        return true;
    }
    let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// How a daemon that listens there is reached from this host.
pub(super) fn reached_at(mut listen: SocketAddr, scheme: &str) -> String {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{listen}")
}

/// The certificate that the daemon of a web configuration shows; [`None`] if it has no TLS.
fn own_certificate(web_config: &Path) -> Result<Option<X509>, String> {
    let file = WebFile::read(web_config)?;
    let Some(tls) = &file.tls else { return Ok(None) };
    // The key is the daemon's alone: a command may be allowed to read the certificate only.
    let public = TlsKeys { key_file: None, ..tls.clone() };
    Ok(Pems::read(&public)?.chain()?.into_iter().next())
}

fn authorization(login: &WebLogin) -> Result<Option<HeaderValue>, String> {
    if let Some(fault) = login.unreadable.first() {
        return Err(fault.to_string());
    }
    let (Some(user), Some(password)) = (&login.user, &login.password) else { return Ok(None) };
    let path = password.0.display();
    let read = files::read_text(&password.0);
    let read = read.map_err(|e| format!("daemon.login.password: can't read {path}: {e}"))?;
    let pair = format!("{user}:{}", read.trim_end_matches(['\r', '\n']));
    let text = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let value = HeaderValue::try_from(text);
    let mut value = value.map_err(|e| format!("daemon.login: {e}"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// TLS by OpenSSL, the only TLS in this program, for a client of HTTP that has none.
struct TlsConnector {
    ssl: SslConnector,
    trust: Trust,
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl TlsConnector {
    fn new(login: Option<&WebLogin>, trust: Trust) -> Result<TlsConnector, String> {
        let mut builder =
            SslConnector::builder(SslMethod::tls_client()).map_err(|e| e.to_string())?;
        if let Trust::This(_) = trust {
            // It is compared after the handshake, before anything is sent.
            builder.set_verify(SslVerifyMode::NONE);
        } else if let Some(ca) = login.and_then(|login| login.ca.as_ref()) {
            let set = builder.set_ca_file(ca);
            set.map_err(|e| format!("daemon.login.ca: {}: {e}", ca.display()))?;
        }
        let pair = login.and_then(|login| login.certificate.as_ref().zip(login.key.as_ref()));
        if let Some((certificate, key)) = pair {
            let set = builder.set_certificate_chain_file(certificate);
            set.map_err(|e| format!("daemon.login.certificate: {}: {e}", certificate.display()))?;
            let pem = files::read(key).map_err(|e| e.to_string()).and_then(|pem| key_of(&pem));
            let set = pem.and_then(|key| builder.set_private_key(&key).map_err(|e| e.to_string()));
            set.map_err(|e| format!("daemon.login.key: {}: {e}", key.display()))?;
        }
        Ok(TlsConnector { ssl: builder.build(), trust })
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let mut below = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        below.set_timeout(details.timeout);
        let failed = |text: String| Error::Io(std::io::Error::other(text));
        let mut configured = self.ssl.configure().map_err(|e| failed(e.to_string()))?;
        configured.set_verify_hostname(matches!(self.trust, Trust::Signed));
        let stream = configured.connect(host, below).map_err(|e| failed(why(&e)))?;
        if let Trust::This(own) = &self.trust {
            let shown = stream.ssl().peer_certificate();
            let same = shown.is_some_and(|shown| shown.to_der().ok() == own.to_der().ok());
            if !same {
                let text = "the certificate there is not the one in daemon.web_config's cert_file";
                return Err(failed(text.into()));
            }
        }
        let sizes = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(sizes.0, sizes.1);
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

/// Why there is no handshake.
fn why(error: &HandshakeError<TransportAdapter>) -> String {
    match error {
        HandshakeError::SetupFailure(e) => format!("TLS: {e}"),
        HandshakeError::Failure(failed) | HandshakeError::WouldBlock(failed) => {
            format!("TLS: {}", failed.error())
        }
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: SslStream<TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(0 < read)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
