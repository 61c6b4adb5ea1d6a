//! A TLS handshake of our own with a broker, to find out why the client library's one fails: the
//! library says the same for a certificate of a stranger, one that has expired and one for another
//! name. OpenSSL is the library's, too, so both judge alike.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::{X509, X509VerifyResult};
use parking_lot::Mutex;
use rdkafka::ClientConfig;

use crate::clients::kafka::client_errors::{FaultClass, LoginFault};
use crate::common::files;

/// The most time for one handshake.
const PATIENCE: Duration = Duration::from_secs(3);

/// Errors of OpenSSL's check of a certificate (x509_vfy.h).
const NOT_YET_VALID: i32 = 9;
const EXPIRED: i32 = 10;
const HOST_MISMATCH: i32 = 62;
const ADDRESS_MISMATCH: i32 = 64;

/// The outcome of a handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Handshake {
    /// The broker speaks TLS, and its certificate is trusted.
    Trusted,
    /// The broker speaks TLS, and its certificate is not trusted.
    Untrusted(LoginFault),
    /// Somebody listens who does not speak TLS.
    NoTls,
    /// Nobody listens, or the settings can't be used.
    Unknown,
}

/// Tries one handshake with each of these servers until one says something.
pub(super) fn shake_hands(servers: &str, settings: &ClientConfig) -> Handshake {
    let each = servers.split(',').map(|server| with(server.trim(), settings));
    each.into_iter().find(|h| *h != Handshake::Unknown).unwrap_or(Handshake::Unknown)
}

fn with(server: &str, settings: &ClientConfig) -> Handshake {
    // A server may have the name of its listener in front.
    let address = server.rsplit_once("://").map_or(server, |(_, address)| address);
    let Some((host, _)) = address.rsplit_once(':') else { return Handshake::Unknown };
    let host = host.trim_matches(['[', ']']);
    let Ok(addresses) = address.to_socket_addrs() else { return Handshake::Unknown };
    let connect = |to| TcpStream::connect_timeout(&to, PATIENCE).ok();
    let Some(stream) = addresses.into_iter().find_map(connect) else { return Handshake::Unknown };
    let timeouts = stream.set_read_timeout(Some(PATIENCE)).is_ok()
        && stream.set_write_timeout(Some(PATIENCE)).is_ok();
    let shown = Arc::default();
    let Some(connector) = connector(settings, &shown).filter(|_| timeouts) else {
        return Handshake::Unknown;
    };
    let Ok(mut tls) = connector.configure() else { return Handshake::Unknown };
    let any_name = settings
        .get("ssl.endpoint.identification.algorithm")
        .is_some_and(|algorithm| algorithm.eq_ignore_ascii_case("none"));
    tls.set_verify_hostname(!any_name);
    match tls.connect(host, stream) {
        Ok(_) => Handshake::Trusted,
        Err(openssl::ssl::HandshakeError::Failure(failed)) => {
            let result = failed.ssl().verify_result();
            let shown = shown.lock().take();
            match result == X509VerifyResult::OK {
                // An alert comes from somebody who speaks TLS.
                true if failed.error().to_string().contains("alert") => Handshake::Trusted,
                true => Handshake::NoTls,
                false => Handshake::Untrusted(untrusted(server, host, result, shown, settings)),
            }
        }
        // The time is over.
        Err(openssl::ssl::HandshakeError::WouldBlock(_)) => Handshake::NoTls,
        Err(_) => Handshake::Unknown,
    }
}

/// What trusts as the client library does with the same settings. `shown` gets the certificate of
/// the broker.
fn connector(settings: &ClientConfig, shown: &Arc<Mutex<Option<X509>>>) -> Option<SslConnector> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).ok()?;
    let shown = Arc::clone(shown);
    builder.set_verify_callback(SslVerifyMode::PEER, move |trusted, context| {
        if context.error_depth() == 0 {
            *shown.lock() = context.current_cert().map(ToOwned::to_owned);
        }
        trusted
    });
    if let Some(pem) = settings.get("ssl.ca.pem") {
        let store = builder.cert_store_mut();
        for certificate in X509::stack_from_pem(pem.as_bytes()).ok()? {
            store.add_cert(certificate).ok()?;
        }
    } else if let Some(path) = settings.get("ssl.ca.location") {
        match Path::new(path).is_dir() {
            true => builder.load_verify_locations(None, Some(path.as_ref())).ok()?,
            false => builder.load_verify_locations(Some(path.as_ref()), None).ok()?,
        }
    }
    Some(builder.build())
}

/// Says why a certificate is not trusted, and what to do.
fn untrusted(
    server: &str,
    host: &str,
    result: X509VerifyResult,
    shown: Option<X509>,
    settings: &ClientConfig,
) -> LoginFault {
    let until = shown.as_ref().map_or(String::new(), |c| format!(" at {}", c.not_after()));
    let (class, text) = match result.as_raw() {
        EXPIRED => (
            FaultClass::Brokers,
            format!(
                "the certificate of the broker {server} has expired{until}: the broker needs a new \
                 one, and kafka.properties.\"ssl.ca.location\" its authority"
            ),
        ),
        NOT_YET_VALID => (
            FaultClass::Brokers,
            format!(
                "the certificate of the broker {server} is not valid yet: compare the clocks of \
                 this host and of the broker"
            ),
        ),
        HOST_MISMATCH | ADDRESS_MISMATCH => (
            FaultClass::Setting,
            format!(
                "the certificate of the broker {server} is not for the name {host:?}, but for {}: \
                 write one of these names in kafka.bootstrap_servers, and let the brokers' \
                 advertised.listeners have them",
                shown.as_ref().map_or_else(|| "others".into(), names)
            ),
        ),
        _ => {
            let trusted = match settings.get("ssl.ca.location") {
                Some(path) => format!("the authorities in {path}"),
                None if settings.get("ssl.ca.pem").is_some() => {
                    "kafka.properties.\"ssl.ca.pem\"".into()
                }
                None => "the authorities of the system".into(),
            };
            (
                FaultClass::Setting,
                format!(
                    "the certificate of the broker {server} is not signed by {trusted} ({}): name \
                     the file of the authority that has signed it in \
                     kafka.properties.\"ssl.ca.location\"",
                    result.error_string()
                ),
            )
        }
    };
    LoginFault { class, text }
}

/// The names that a certificate is for.
fn names(certificate: &X509) -> String {
    let alternatives = certificate.subject_alt_names();
    let one = |name: &openssl::x509::GeneralNameRef| {
        let address = name.ipaddress().and_then(|bytes| match bytes.len() {
            4 => Some(std::net::IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
            16 => Some(std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
            _ => None,
        });
        name.dnsname().map(String::from).or(address)
    };
    let names: Vec<String> = alternatives.iter().flatten().filter_map(one).collect();
    if names.is_empty() { "no name".into() } else { names.join(", ") }
}

/// When the certificate in this file ends, if it has ended.
pub(super) fn expired_file(path: &str) -> Option<String> {
    let certificate = X509::from_pem(&files::read(Path::new(path)).ok()?).ok()?;
    let now = openssl::asn1::Asn1Time::days_from_now(0).ok()?;
    (certificate.not_after() < now).then(|| certificate.not_after().to_string())
}
