//! Logins that work, and logins that are refused.

/// Where a daemon connects to.
#[derive(Clone, Copy)]
pub(super) enum Listener {
    Sasl,
    /// By a name that the certificate is not for.
    SaslByName,
    Tls,
    Plain,
    /// A server whose certificate has expired.
    Expired,
}

/// The settings of a login. `$` stands for the directory of the certificates, and `%` for the port
/// of the token server, and `#` for that of a server that never answers.
pub(super) struct Login {
    pub(super) what: &'static str,
    pub(super) listener: Listener,
    pub(super) properties: Settings,
    /// Keys, and what their files contain.
    pub(super) secrets: Settings,
}

pub(super) type Settings = &'static [(&'static str, &'static str)];

pub(super) const fn login(
    what: &'static str,
    listener: Listener,
    properties: Settings,
    secrets: Settings,
) -> Login {
    Login { what, listener, properties, secrets }
}

pub(super) const CA: (&str, &str) = ("ssl.ca.location", "$/ca.crt");
pub(super) const USER: (&str, &str) = ("sasl.username", "archiver");
pub(super) const SASL: (&str, &str) = ("security.protocol", "sasl_ssl");
pub(super) const TLS: (&str, &str) = ("security.protocol", "ssl");
pub(super) const SCRAM: (&str, &str) = ("sasl.mechanism", "SCRAM-SHA-512");
pub(super) const BEARER: (&str, &str) = ("sasl.mechanism", "OAUTHBEARER");
pub(super) const OIDC: (&str, &str) = ("sasl.oauthbearer.method", "oidc");
pub(super) const CLIENT: (&str, &str) = ("sasl.oauthbearer.client.id", "archiver");
pub(super) const ENDPOINT: (&str, &str) =
    ("sasl.oauthbearer.token.endpoint.url", "https://127.0.0.1:%/token");
pub(super) const HTTPS_CA: (&str, &str) = ("https.ca.location", "$/ca.crt");
const PLAIN: (&str, &str) = ("sasl.mechanism", "PLAIN");
const PASSWORD: &[(&str, &str)] = &[("sasl.password", "archiver-secret")];
const OF_KEY: &[(&str, &str)] = &[("ssl.key.password", "changeit")];
pub(super) const CERTIFICATE: (&str, &str) = ("ssl.certificate.location", "$/client.crt");

const KEYSTORE: (&str, &str) = ("ssl.keystore.location", "$/client.p12");
const TOKEN: Settings = &[SASL, CA, BEARER, OIDC, CLIENT, ENDPOINT, HTTPS_CA];
const UNTRUSTED: Settings =
    &[SASL, CA, BEARER, OIDC, CLIENT, ENDPOINT, ("https.ca.location", "$/other-ca.crt")];
const AWAY: Settings = &[
    SASL,
    CA,
    BEARER,
    OIDC,
    CLIENT,
    ("sasl.oauthbearer.token.endpoint.url", "https://127.0.0.1:1/token"),
    HTTPS_CA,
];
const SILENT: Settings = &[
    SASL,
    CA,
    BEARER,
    OIDC,
    CLIENT,
    ("sasl.oauthbearer.token.endpoint.url", "https://127.0.0.1:#/token"),
    HTTPS_CA,
];
/// The token server gives it tokens that the brokers do not trust.
const STRANGER: Settings =
    &[SASL, CA, BEARER, OIDC, ("sasl.oauthbearer.client.id", "stranger"), ENDPOINT, HTTPS_CA];

pub(super) const WORK: [Login; 6] = [
    login("scram", Listener::Sasl, &[SASL, SCRAM, USER, CA], PASSWORD),
    login("plain", Listener::Sasl, &[SASL, PLAIN, USER, CA], PASSWORD),
    login(
        "certificate",
        Listener::Tls,
        &[TLS, CA, CERTIFICATE, ("ssl.key.location", "$/client.key")],
        &[],
    ),
    login(
        "encrypted-key",
        Listener::Tls,
        &[TLS, CA, CERTIFICATE, ("ssl.key.location", "$/client-encrypted.key")],
        OF_KEY,
    ),
    login("pkcs12", Listener::Tls, &[TLS, CA, KEYSTORE], &[("ssl.keystore.password", "changeit")]),
    login("token", Listener::Sasl, TOKEN, &[("sasl.oauthbearer.client.secret", "changeit")]),
];

/// A login that is refused, the exit code, and parts of the last line.
pub(super) type Refused = (Login, i32, &'static [&'static str]);

pub(super) const REFUSED: [Refused; 17] = [
    (
        login(
            "wrong password",
            Listener::Sasl,
            &[SASL, SCRAM, USER, CA],
            &[("sasl.password", "wrong")],
        ),
        78,
        &["\"archiver\"", "invalid credentials", "kafka.secrets.\"sasl.password\""],
    ),
    (
        login(
            "wrong password of PLAIN",
            Listener::Sasl,
            &[SASL, PLAIN, USER, CA],
            &[("sasl.password", "wrong")],
        ),
        78,
        &["\"archiver\"", "kafka.secrets.\"sasl.password\""],
    ),
    (
        login(
            "mechanism",
            Listener::Sasl,
            &[SASL, ("sasl.mechanism", "SCRAM-SHA-256"), USER, CA],
            PASSWORD,
        ),
        78,
        &["SCRAM-SHA-256", "but SCRAM-SHA-512,PLAIN", "\"sasl.mechanism\""],
    ),
    (
        login(
            "wrong authority",
            Listener::Sasl,
            &[SASL, SCRAM, USER, ("ssl.ca.location", "$/other-ca.crt")],
            PASSWORD,
        ),
        78,
        &["is not signed by", "other-ca.crt", "kafka.properties.\"ssl.ca.location\""],
    ),
    (
        login("wrong name", Listener::SaslByName, &[SASL, SCRAM, USER, CA], PASSWORD),
        78,
        &["not for the name \"localhost\", but for 127.0.0.1", "kafka.bootstrap_servers"],
    ),
    (
        login("expired", Listener::Expired, &[SASL, SCRAM, USER, CA], PASSWORD),
        69,
        &["the certificate of the broker", "has expired at"],
    ),
    (
        login("no certificate", Listener::Tls, &[TLS, CA], &[]),
        78,
        &["none is configured", "kafka.properties.\"ssl.certificate.location\""],
    ),
    (
        login(
            "expired client",
            Listener::Tls,
            &[
                TLS,
                CA,
                ("ssl.certificate.location", "$/expired-client.crt"),
                ("ssl.key.location", "$/client.key"),
            ],
            &[],
        ),
        78,
        &["has expired at", "kafka.properties.\"ssl.certificate.location\""],
    ),
    (
        login("plaintext to TLS", Listener::Sasl, &[("security.protocol", "plaintext")], &[]),
        78,
        &["is a port for TLS", "kafka.properties.\"security.protocol\""],
    ),
    (
        login("TLS to plaintext", Listener::Plain, &[SASL, SCRAM, USER, CA], PASSWORD),
        69,
        &["does not speak TLS", "kafka.properties.\"security.protocol\""],
    ),
    (
        login("PKCS12", Listener::Tls, &[TLS, CA, KEYSTORE], &[("ssl.keystore.password", "wrong")]),
        78,
        &["kafka.secrets.\"ssl.keystore.password\": is not the password of", "client.p12"],
    ),
    (
        login(
            "key password",
            Listener::Tls,
            &[TLS, CA, CERTIFICATE, ("ssl.key.location", "$/client-encrypted.key")],
            &[("ssl.key.password", "wrong")],
        ),
        78,
        &["kafka.secrets.\"ssl.key.password\": is not the password of", "client-encrypted.key"],
    ),
    (
        login(
            "secret of OIDC",
            Listener::Sasl,
            TOKEN,
            &[("sasl.oauthbearer.client.secret", "wrong")],
        ),
        78,
        &["no token", "invalid_client", "kafka.secrets.\"sasl.oauthbearer.client.secret\""],
    ),
    (
        login(
            "token of others",
            Listener::Sasl,
            STRANGER,
            &[("sasl.oauthbearer.client.secret", "changeit")],
        ),
        78,
        &["the brokers refuse the token with OAUTHBEARER", "key set"],
    ),
    (
        login(
            "token server of others",
            Listener::Sasl,
            UNTRUSTED,
            &[("sasl.oauthbearer.client.secret", "changeit")],
        ),
        78,
        &["the token server is not trusted", "kafka.properties.\"https.ca.location\""],
    ),
    (
        login(
            "token server that is away",
            Listener::Sasl,
            AWAY,
            &[("sasl.oauthbearer.client.secret", "changeit")],
        ),
        69,
        &["the token server https://127.0.0.1:1/token does not answer", "token.endpoint.url"],
    ),
    (
        login(
            "token server that is silent",
            Listener::Sasl,
            SILENT,
            &[("sasl.oauthbearer.client.secret", "changeit")],
        ),
        69,
        &["the token server https://127.0.0.1:", "/token does not answer", "accepts connections"],
    ),
];
