//! How a command reaches a daemon: in the clear or by TLS, with the password of `daemon.login`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use openssl::x509::X509;
use ureq::{Agent, Error};

use crate::clients::http::{self, Trust};
use crate::common::config::{Config, WebLogin};
use crate::outside::web::context::Pems;
use crate::outside::web::file::{TlsKeys, WebFile};

/// The most time for one call.
const LIMIT: Duration = Duration::from_secs(10);

/// A daemon that can be asked.
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) agent: Agent,
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
        let config = Agent::config_builder().timeout_global(Some(LIMIT));
        let authorization = login.map(|login| http::authorization("daemon.login", login));
        let authorization = authorization.transpose()?.flatten();
        let authorization = authorization.filter(|_| is_private(&url));
        let agent = http::agent(config, ("daemon.login", login), trust, authorization)?;
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
            e if url.starts_with("https://") && is_no_tls(&e.to_string()) => format!(
                "what listens at {url} speaks no TLS: write http://, or set daemon.web_config"
            ),
            e => format!(
                "no daemon answers at {url}: {e}. Is the daemon running? (systemctl status \
                 alluvium)"
            ),
        }
    }
}

/// Whether a handshake failed because the answer was no record of TLS, in OpenSSL's words.
fn is_no_tls(error: &str) -> bool {
    ["wrong version number", "packet length too long"].iter().any(|text| error.contains(text))
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
