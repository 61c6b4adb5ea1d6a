//! An agent that reaches its server in the clear or by TLS, and logs in.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{HandshakeError, SslConnector, SslMethod, SslStream, SslVerifyMode};
use openssl::x509::X509;
use ureq::config::ConfigBuilder;
use ureq::http::{HeaderValue, Request, header};
use ureq::middleware::MiddlewareNext;
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
    Transport, TransportAdapter,
};
use ureq::{Agent, Error, SendBody};

use crate::common::config::WebLogin;
use crate::common::files;

/// Which certificate is believed.
pub enum Trust {
    /// The one in the daemon's own file, for whatever name it is.
    This(Box<X509>),
    /// One that an authority has signed for the name in the address.
    Signed,
}

/// An agent. `login`: its certificates, and the table that has them.
///
/// # Errors
/// A certificate can't be read.
pub fn agent(
    mut config: ConfigBuilder<AgentScope>,
    login: (&str, Option<&WebLogin>),
    trust: Trust,
    authorization: Option<HeaderValue>,
) -> Result<Agent, String> {
    if let Some(value) = authorization {
        config = config.middleware(move |mut request: Request<SendBody>, next: MiddlewareNext| {
            let _ = request.headers_mut().insert(header::AUTHORIZATION, value.clone());
            next.handle(request)
        });
    }
    let tls = TlsConnector::new(login, trust)?;
    let connector = ().chain(TcpConnector::default()).chain(tls);
    Ok(Agent::with_parts(config.build(), connector, DefaultResolver::default()))
}

/// The header that logs in; [`None`] without a user. `of`: the table of the login.
///
/// # Errors
/// The password can't be read.
pub fn authorization(of: &str, login: &WebLogin) -> Result<Option<HeaderValue>, String> {
    if let Some(fault) = login.unreadable.first() {
        return Err(fault.to_string());
    }
    let (Some(user), Some(password)) = (&login.user, &login.password) else { return Ok(None) };
    let path = password.0.display();
    let read = files::read_text(&password.0);
    let read = read.map_err(|e| format!("{of}.password: can't read {path}: {e}"))?;
    let pair = format!("{user}:{}", read.trim_end_matches(['\r', '\n']));
    let text = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let value = HeaderValue::try_from(text);
    let mut value = value.map_err(|e| format!("{of}: {e}"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Reads a key that has no password: one with a password would be asked for at a terminal.
///
/// # Errors
/// There is no such key.
pub fn key_of(pem: &[u8]) -> Result<PKey<Private>, String> {
    PKey::private_key_from_pem_callback(pem, |_| Ok(0))
        .map_err(|_| "there is no key in PEM form without a password".into())
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
    fn new((of, login): (&str, Option<&WebLogin>), trust: Trust) -> Result<TlsConnector, String> {
        let mut builder =
            SslConnector::builder(SslMethod::tls_client()).map_err(|e| e.to_string())?;
        if let Trust::This(_) = trust {
            // It is compared after the handshake, before anything is sent.
            builder.set_verify(SslVerifyMode::NONE);
        } else if let Some(ca) = login.and_then(|login| login.ca.as_ref()) {
            let set = builder.set_ca_file(ca);
            set.map_err(|e| format!("{of}.ca: {}: {e}", ca.display()))?;
        }
        let pair = login.and_then(|login| login.certificate.as_ref().zip(login.key.as_ref()));
        if let Some((certificate, key)) = pair {
            let set = builder.set_certificate_chain_file(certificate);
            set.map_err(|e| format!("{of}.certificate: {}: {e}", certificate.display()))?;
            let pem = files::read(key).map_err(|e| e.to_string()).and_then(|pem| key_of(&pem));
            let set = pem.and_then(|key| builder.set_private_key(&key).map_err(|e| e.to_string()));
            set.map_err(|e| format!("{of}.key: {}: {e}", key.display()))?;
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
