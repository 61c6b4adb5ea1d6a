//! What OpenSSL makes of `tls_server_config`.

use std::path::PathBuf;

use openssl::error::ErrorStack;
use openssl::ssl::{
    AlpnError, SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod, SslOptions,
    SslSessionCacheMode, SslVerifyMode, SslVersion, cipher_name, select_next_proto,
};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use crate::clients::http::key_of;
use crate::common::files;
use crate::outside::web::file::{ClientAuth, Curve, TlsKeys, Version};

/// The only protocol that is spoken here, as TLS names it.
const HTTP_1_1: &[u8] = b"\x08http/1.1";

/// The files of a configuration, as they were read: what is compared to see a change.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pems {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Pems {
    pub(super) fn read(keys: &TlsKeys) -> Result<Pems, String> {
        let read = |name: &str, path: &Option<PathBuf>, text: &Option<String>| match path {
            Some(path) => files::read(path).map(Some).map_err(|e| {
                format!("tls_server_config.{name}: can't read {}: {e}", path.display())
            }),
            None => Ok(text.as_ref().map(|text| text.clone().into_bytes())),
        };
        Ok(Pems {
            certificate: read("cert_file", &keys.cert_file, &keys.cert)?.unwrap_or_default(),
            key: read("key_file", &keys.key_file, &keys.key)?.unwrap_or_default(),
            client_ca: read("client_ca_file", &keys.client_ca_file, &keys.client_ca)?,
        })
    }

    /// The certificates of the listener, its own one first.
    pub(super) fn chain(&self) -> Result<Vec<X509>, String> {
        certificates("cert_file", &self.certificate)
    }
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<X509>, String> {
    let fault = |what: &str| format!("tls_server_config.{name}: {what}");
    let chain = X509::stack_from_pem(pem).map_err(|e| fault(&e.to_string()))?;
    if chain.is_empty() { Err(fault("there is no certificate in PEM form")) } else { Ok(chain) }
}

/// What each connection begins with.
pub(super) fn context(keys: &TlsKeys, pems: &Pems) -> Result<SslContext, String> {
    let key = key_of(&pems.key).map_err(|e| format!("tls_server_config.key_file: {e}"))?;
    let chain = pems.chain()?;
    let authorities = pems.client_ca.as_deref().map(|pem| certificates("client_ca_file", pem));
    let authorities = authorities.transpose()?;
    let own = chain.first().and_then(|own| own.public_key().ok());
    if !own.is_some_and(|own| own.public_eq(&key)) {
        let text = "tls_server_config.key_file: the key is not that of the certificate";
        return Err(text.into());
    }
    let build = || -> Result<SslAcceptorBuilder, ErrorStack> {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        let mut chain = chain.into_iter();
        if let Some(own) = chain.next() {
            builder.set_certificate(&own)?;
        }
        chain.try_for_each(|above| builder.add_extra_chain_cert(above))?;
        builder.set_private_key(&key)?;
        Ok(builder)
    };
    let mut builder = build().map_err(|e| format!("tls_server_config.cert_file: {e}"))?;
    restrict(&mut builder, keys)?;
    ask_for_certificates(&mut builder, keys, authorities.unwrap_or_default())
        .map_err(|e| format!("tls_server_config.client_ca_file: {e}"))?;
    Ok(builder.build().into_context())
}

fn restrict(builder: &mut SslAcceptorBuilder, keys: &TlsKeys) -> Result<(), String> {
    let version = |version: Version| match version {
        Version::Tls12 => SslVersion::TLS1_2,
        Version::Tls13 => SslVersion::TLS1_3,
    };
    let least = keys.min_version.map_or(SslVersion::TLS1_2, version);
    let versions = builder
        .set_min_proto_version(Some(least))
        .and_then(|()| builder.set_max_proto_version(keys.max_version.map(version)));
    versions.map_err(|e| format!("tls_server_config.min_version: {e}"))?;
    let mut ciphers = Vec::new();
    // Those of TLS 1.3 can't be chosen in this format.
    let chosen = |suite: &&String| {
        !["TLS_AES_", "TLS_CHACHA20_"].iter().any(|newer| suite.starts_with(newer))
    };
    for suite in keys.cipher_suites.iter().filter(chosen) {
        match cipher_name(suite) {
            "(NONE)" => {
                return Err(format!("tls_server_config.cipher_suites: {suite:?} is not known"));
            }
            name => ciphers.push(name),
        }
    }
    if !ciphers.is_empty() {
        let set = builder.set_cipher_list(&ciphers.join(":"));
        set.map_err(|e| format!("tls_server_config.cipher_suites: {e}"))?;
    }
    let groups = keys.curve_preferences.iter().map(|curve| match curve {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
        Curve::P521 => "P-521",
        Curve::X25519 => "X25519",
    });
    let groups: Vec<&str> = groups.collect();
    if !groups.is_empty() {
        let set = builder.set_groups_list(&groups.join(":"));
        set.map_err(|e| format!("tls_server_config.curve_preferences: {e}"))?;
    }
    if keys.prefer_server_cipher_suites.unwrap_or(true) {
        let _ = builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    }
    // A session that is resumed would not show its certificate again.
    let _ = builder.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
    let _ = builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(0).map_err(|e| format!("tls_server_config: {e}"))?;
    builder.set_alpn_select_callback(|_, offered| {
        select_next_proto(HTTP_1_1, offered).ok_or(AlpnError::NOACK)
    });
    Ok(())
}

fn ask_for_certificates(
    builder: &mut SslAcceptorBuilder,
    keys: &TlsKeys,
    authorities: Vec<X509>,
) -> Result<(), ErrorStack> {
    let (must, any) = match keys.client_auth_type {
        ClientAuth::NoClientCert => {
            builder.set_verify(SslVerifyMode::NONE);
            return Ok(());
        }
        ClientAuth::RequestClientCert => (false, true),
        ClientAuth::RequireAnyClientCert => (true, true),
        ClientAuth::VerifyClientCertIfGiven => (false, false),
        ClientAuth::RequireAndVerifyClientCert => (true, false),
    };
    let (mut store, mut names) = (X509StoreBuilder::new()?, Stack::new()?);
    for authority in authorities {
        names.push(authority.subject_name().to_owned()?)?;
        store.add_cert(authority)?;
    }
    builder.set_verify_cert_store(store.build())?;
    builder.set_client_ca_list(names);
    let fail = SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    let mode = if must { SslVerifyMode::PEER | fail } else { SslVerifyMode::PEER };
    let allowed = keys.client_allowed_sans.clone();
    builder.set_verify_callback(mode, move |verified, context| {
        let certificate = context.current_cert().filter(|_| context.error_depth() == 0);
        let named = match (&allowed, certificate) {
            (Some(allowed), Some(certificate)) => is_named(certificate, allowed),
            _ => true,
        };
        if !named {
            context.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
        }
        (verified || any) && named
    });
    Ok(())
}

/// Whether one of the names that a certificate is for is among these.
fn is_named(certificate: &X509Ref, allowed: &[String]) -> bool {
    let names = certificate.subject_alt_names();
    names.iter().flatten().any(|name| {
        let address = name.ipaddress().and_then(|bytes| match bytes.len() {
            4 => Some(std::net::IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
            16 => Some(std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
            _ => None,
        });
        let texts = [name.dnsname(), name.email(), name.uri(), address.as_deref()];
        texts.into_iter().flatten().any(|text| allowed.iter().any(|allowed| allowed == text))
    })
}
