//! The web configuration: the YAML file in which all of Prometheus' exporters, and Prometheus
//! itself, are told about certificates and passwords (`--web.config.file` there).
//!
//! What this listener does not have is refused by its name, and never ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use serde::Deserialize;

use crate::common::files;

/// The hash of a password takes two to this many steps; a hash with more of them would keep
/// everybody waiting for seconds.
const MOST_COST: u32 = 16;

/// The headers that the format allows, and their values if only some are.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// The checked content of a web configuration.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct WebFile {
    pub(super) tls: Option<TlsKeys>,
    /// By name, the bcrypt hash of the password.
    pub(super) users: BTreeMap<String, String>,
    /// Headers of each answer.
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Keys {
    tls_server_config: Option<TlsKeys>,
    http_server_config: Option<HttpKeys>,
    basic_auth_users: Option<BTreeMap<String, String>>,
}

/// `tls_server_config`
#[derive(Deserialize, Clone, PartialEq, Eq, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsKeys {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_auth_type: ClientAuth,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) min_version: Option<Version>,
    pub(super) max_version: Option<Version>,
    pub(super) cipher_suites: Vec<String>,
    pub(super) curve_preferences: Vec<Curve>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum ClientAuth {
    #[default]
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// The versions that are not refused by today's clients.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Curve {
    #[serde(rename = "CurveP256")]
    P256,
    #[serde(rename = "CurveP384")]
    P384,
    #[serde(rename = "CurveP521")]
    P521,
    X25519,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HttpKeys {
    /// Whether HTTP/2 may be spoken, which nobody has to: a client that can speak it speaks
    /// HTTP/1.1 here.
    #[serde(rename = "http2")]
    _http2: bool,
    headers: BTreeMap<String, String>,
}

impl WebFile {
    /// Reads a file and checks it.
    ///
    /// # Errors
    /// What is wrong, with the path and the key.
    pub(crate) fn read(path: &Path) -> Result<WebFile, String> {
        let shown = path.display();
        let text = files::read_text(path).map_err(|e| format!("can't read {shown}: {e}"))?;
        let here = path.parent().unwrap_or(Path::new("/"));
        WebFile::parse(&text, here).map_err(|e| format!("{shown}: {e}"))
    }

    /// `here`: the directory that relative paths begin in.
    pub(crate) fn parse(text: &str, here: &Path) -> Result<WebFile, String> {
        // A snippet of the file in an error would show hashes and keys.
        let options = serde_saphyr::options! { with_snippet: false };
        let keys: Option<Keys> =
            serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string())?;
        let keys = keys.unwrap_or_default();
        let http = keys.http_server_config.unwrap_or_default();
        for (name, value) in &http.headers {
            check_header(name, value).map_err(|e| format!("http_server_config.headers: {e}"))?;
        }
        let users = keys.basic_auth_users.unwrap_or_default();
        for (user, hash) in &users {
            check_hash(hash).map_err(|e| format!("basic_auth_users: user {user:?}: {e}"))?;
        }
        let tls = keys.tls_server_config.map(|tls| tls.checked(here)).transpose();
        let tls = tls.map_err(|e| format!("tls_server_config.{e}"))?;
        Ok(WebFile { tls, users, headers: http.headers })
    }

    /// Whether people without a password or a certificate are let in.
    pub(super) fn is_open(&self) -> bool {
        let asks = self
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_auth_type == ClientAuth::RequireAndVerifyClientCert);
        self.users.is_empty() && !asks
    }
}

impl TlsKeys {
    fn checked(mut self, here: &Path) -> Result<TlsKeys, String> {
        for path in [&mut self.cert_file, &mut self.key_file, &mut self.client_ca_file] {
            *path = path.take().filter(|p| !p.as_os_str().is_empty()).map(|p| here.join(p));
        }
        if self.cert_file.is_none() && self.cert.is_none() {
            return Err("cert_file: is missing; it names the listener's certificate".into());
        }
        if self.key_file.is_none() && self.key.is_none() {
            return Err("key_file: is missing; it names the key of the certificate".into());
        }
        let has_authority = self.client_ca_file.is_some() || self.client_ca.is_some();
        let asks = match self.client_auth_type {
            ClientAuth::NoClientCert if has_authority => {
                return Err("client_auth_type: is missing; client_ca_file has no effect \
                            without it, write RequireAndVerifyClientCert"
                    .into());
            }
            ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert
                if !has_authority =>
            {
                return Err("client_ca_file: is missing; client_auth_type says that clients' \
                            certificates are verified"
                    .into());
            }
            ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert => true,
            _ => false,
        };
        if self.client_allowed_sans.is_some() && !asks {
            return Err("client_allowed_sans: needs client_auth_type RequireAndVerifyClientCert \
                        or RequireAnyClientCert"
                .into());
        }
        if (self.min_version, self.max_version) == (Some(Version::Tls13), Some(Version::Tls12)) {
            return Err("max_version: is below min_version".into());
        }
        Ok(self)
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let Some((_, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = HEADERS.iter().map(|(known, _)| *known).collect();
        return Err(format!("{name:?} can't be set; these can: {}", known.join(", ")));
    };
    if !values.is_empty() && !values.contains(&value) {
        return Err(format!("{name:?} can be {}, not {value:?}", values.join(" or ")));
    }
    let valid = axum::http::HeaderValue::from_str(value);
    valid.map(drop).map_err(|_| format!("the value of {name:?} is no value of a header"))
}

/// The hash is not shown.
fn check_hash(hash: &str) -> Result<(), String> {
    let hint = "`htpasswd -nBC 10 \"\"` makes one";
    let parts = bcrypt::HashParts::from_str(hash)
        .map_err(|_| format!("the value is no bcrypt hash of a password; {hint}"))?;
    match parts.get_cost() {
        cost if cost <= MOST_COST => Ok(()),
        cost => Err(format!("a hash of cost {cost} takes too long, {MOST_COST} at most; {hint}")),
    }
}
