//! What the client library's texts about a connection mean, and which key of the configuration
//! mends it. The texts are those of librdkafka 2.12 and OpenSSL 3.

use std::fmt;

use rdkafka::ClientConfig;

use crate::clients::kafka::identity;
use crate::clients::kafka::login_hints::{NoToken, kerberos, lacks_ticket, silent_kdc, token};

/// Why no connection to a broker can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoginFault {
    pub class: FaultClass,
    /// The cause, and what to set, for people.
    pub text: String,
}

/// What kind of fault it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultClass {
    /// The brokers have checked who the client is, and refuse it. An account may be locked after
    /// some more tries.
    Login,
    /// The client does not trust the broker. The text of the library does not say why.
    Untrusted,
    /// The configuration can't work with these brokers.
    Setting,
    /// Somebody has closed the connection: a port for another protocol does that, and a broker
    /// that ends does it, too. The text is about the port: whoever knows better replaces it.
    Closed,
    /// The brokers have to be mended.
    Brokers,
    /// A KDC or a token server does not answer: no broker can be asked before it does.
    Silent,
    /// There is no valid ticket of Kerberos, and others fill the cache: no broker and no KDC has
    /// checked who the client is.
    NoTicket,
}

impl FaultClass {
    /// Whether another start can't help before a person has mended a setting or a secret.
    #[must_use]
    pub fn is_misconfigured(self) -> bool {
        matches!(self, FaultClass::Login | FaultClass::Setting)
    }
}

impl fmt::Display for LoginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a client secures its connections, as far as texts need it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Security {
    /// In small letters.
    pub(super) protocol: String,
    /// In capitals.
    pub(super) mechanism: String,
    pub(super) user: String,
    /// Whether the client has a certificate of its own, and where it is configured.
    certificate: Option<String>,
    /// The URL of the server that gives tokens.
    token_server: Option<String>,
    /// Whether GSSAPI acquires tickets by a keytab; without one, others do.
    has_keytab: bool,
}

/// Words of an error that refuses nobody: no broker has answered, or one was asked for another
/// login a moment after the last one.
const NO_ANSWER: [&str; 5] = [
    "Local: ",
    "Timed out",
    "timed out",
    "parsing failed",
    "Request not valid in current SASL state",
];

/// What an alert of TLS says of the client's certificate, by its number (RFC 8446, 6.2); [`None`]
/// if it is not about one.
fn of_certificate(alert: &str) -> Option<&'static str> {
    Some(match alert {
        "44" => "the certificate is revoked",
        "45" => "the certificate has expired",
        "48" => "the certificate is signed by an authority that the brokers do not know",
        "116" => "the brokers ask for a certificate",
        "42" | "43" | "46" | "47" | "49" => {
            "the certificate has expired, or the brokers do not know who has signed it"
        }
        _ => return None,
    })
}

impl Security {
    #[must_use]
    pub fn of(settings: &ClientConfig) -> Security {
        let text = |key: &str| settings.get(key).unwrap_or_default().to_string();
        // Without one the client library uses GSSAPI.
        let mechanism = settings.get("sasl.mechanism").or_else(|| settings.get("sasl.mechanisms"));
        let mechanism = mechanism.filter(|mechanism| !mechanism.is_empty());
        let protocol = text("security.protocol").to_ascii_lowercase();
        let certificates =
            ["ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"];
        let of_client = certificates.into_iter().find(|key| settings.get(key).is_some());
        Security {
            protocol: if protocol.is_empty() { "plaintext".into() } else { protocol },
            mechanism: mechanism.unwrap_or("GSSAPI").to_ascii_uppercase(),
            user: text("sasl.username"),
            certificate: of_client.map(|key| format!("kafka.properties.{key:?}")),
            token_server: settings.get("sasl.oauthbearer.token.endpoint.url").map(String::from),
            has_keytab: identity::has_keytab(),
        }
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.protocol.ends_with("ssl")
    }

    /// The fault that a text of the client library is about; [`None`] for any other text, such as
    /// that nobody listens.
    #[must_use]
    pub fn fault(&self, text: &str) -> Option<LoginFault> {
        let fault = |class, text: String| Some(LoginFault { class, text });
        // What follows is how long it took.
        let text = text.split(" (after ").next().unwrap_or(text);
        if text.contains("SASL") && text.contains("ontact any KDC") {
            return fault(FaultClass::Silent, silent_kdc(text));
        }
        // A connection that ends in the middle of a login is told in the words of a refusal.
        if text.contains("SASL") && NO_ANSWER.iter().any(|words| text.contains(words)) {
            return None;
        }
        if let Some((_, why)) = text.split_once("SASL authentication error: ") {
            return fault(FaultClass::Login, self.refused(why));
        }
        if let Some(no_token) = token(text) {
            return Some(match no_token {
                NoToken::Refused(text) => LoginFault { class: FaultClass::Login, text },
                NoToken::Silent(why) => self.silent_token_server(why),
            });
        }
        if text.contains("Unsupported SASL mechanism") {
            let offered = text.rsplit_once("supported mechanisms: ").map_or("", |(_, all)| all);
            return fault(
                FaultClass::Setting,
                format!(
                    "the brokers do not offer the SASL mechanism {}, but {offered}: set \
                     kafka.properties.\"sasl.mechanism\"",
                    self.mechanism
                ),
            );
        }
        if let Some(found) = kerberos(text) {
            let waits = !self.has_keytab && lacks_ticket(text);
            return fault(if waits { FaultClass::NoTicket } else { FaultClass::Login }, found);
        }
        if text.contains("SASL") && text.contains("failed") {
            return fault(FaultClass::Login, self.refused(text));
        }
        if text.contains("certificate verify failed") {
            return fault(FaultClass::Untrusted, "the broker's certificate is not trusted".into());
        }
        if let Some((_, alert)) = text.split_once("SSL alert number ") {
            let number = alert.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            return of_certificate(number)
                .and_then(|why| fault(FaultClass::Login, self.refused_certificate(why)));
        }
        self.closed(text).and_then(|text| fault(FaultClass::Closed, text))
    }

    /// Whether clients log in with a ticket of Kerberos.
    #[must_use]
    pub(super) fn is_kerberos(&self) -> bool {
        self.protocol.starts_with("sasl") && self.mechanism == "GSSAPI"
    }

    /// Where clients get their tokens from; [`None`] if they need none, or if somebody else gets
    /// them.
    #[must_use]
    pub(super) fn token_server(&self) -> Option<&str> {
        let has_tokens = self.protocol.starts_with("sasl") && self.mechanism == "OAUTHBEARER";
        self.token_server.as_deref().filter(|_| has_tokens)
    }

    /// A token server that has not answered.
    #[must_use]
    pub(super) fn silent_token_server(&self, why: &str) -> LoginFault {
        let server = self.token_server.as_deref().unwrap_or_default();
        let text = format!(
            "the token server {server} does not answer ({why}), and without a token no broker \
             lets this client in: is it up, and is \
             kafka.properties.\"sasl.oauthbearer.token.endpoint.url\" right?"
        );
        LoginFault { class: FaultClass::Silent, text }
    }

    fn refused(&self, why: &str) -> String {
        let who = match (self.mechanism.as_str(), self.user.as_str()) {
            ("GSSAPI", _) => "the Kerberos principal".to_string(),
            ("OAUTHBEARER", _) => "the token".to_string(),
            (_, "") => "this client".into(),
            (_, user) => format!("the user {user:?}"),
        };
        let keys = match self.mechanism.as_str() {
            "GSSAPI" => "correct kafka.kerberos",
            "OAUTHBEARER" => {
                "its issuer, audience and times have to be those that the brokers expect, and \
                 their key set has to have its key; kafka.properties.\"sasl.oauthbearer.scope\" \
                 asks for another token"
            }
            _ => "correct kafka.properties.\"sasl.username\" or kafka.secrets.\"sasl.password\"",
        };
        format!("the brokers refuse {who} with {} ({}): {keys}", self.mechanism, why.trim())
    }

    fn refused_certificate(&self, why: &str) -> String {
        let Some(key) = &self.certificate else {
            return "the brokers ask for a certificate of the client, and none is configured: set \
                    kafka.properties.\"ssl.certificate.location\" and \"ssl.key.location\", or \
                    \"ssl.keystore.location\""
                .into();
        };
        format!("the brokers refuse the client's certificate ({why}): correct {key}")
    }

    /// A connection that was closed where a port for another protocol closes it.
    fn closed(&self, text: &str) -> Option<String> {
        if !text.contains("isconnected") && !text.contains("connection closed") {
            return None;
        }
        let set = |to: &str| {
            format!(
                "the brokers close the connection, as a port for another protocol does: if the \
                 port is for {to}, set kafka.properties.\"security.protocol\" (now {:?}) to it",
                self.protocol
            )
        };
        match self.protocol.as_str() {
            "plaintext" => Some(set("\"ssl\", \"sasl_ssl\" or \"sasl_plaintext\"")),
            "sasl_plaintext" => Some(set("\"sasl_ssl\" or \"plaintext\"")),
            "ssl" => Some(set("\"sasl_ssl\" or \"plaintext\"")),
            _ => Some(set("\"sasl_plaintext\" or \"ssl\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn security(settings: &[(&str, &str)]) -> Security {
        let mut config = ClientConfig::new();
        for (key, value) in settings {
            let _ = config.set(*key, *value);
        }
        Security::of(&config)
    }

    fn scram() -> Security {
        security(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "archiver"),
        ])
    }

    /// The texts are as librdkafka 2.12.1 has written them against Kafka 4.3.1.
    #[test]
    fn each_text_is_a_cause_and_a_key() {
        let tls = security(&[("security.protocol", "ssl")]);
        let mutual = security(&[("security.protocol", "ssl"), ("ssl.keystore.location", "/k.p12")]);
        let plain = security(&[]);
        let refused = "sasl_ssl://b:1/bootstrap: SASL authentication error: Authentication failed \
                       during authentication due to invalid credentials with SASL mechanism \
                       SCRAM-SHA-512 (after 315ms in state AUTH_REQ)";
        let mechanism = "sasl_ssl://b:1/bootstrap: SASL SCRAM-SHA-256 mechanism handshake failed: \
                         Broker: Unsupported SASL mechanism: broker's supported mechanisms: \
                         SCRAM-SHA-512,PLAIN (after 306ms in state AUTH_HANDSHAKE)";
        let verify = "sasl_ssl://b:1/bootstrap: SSL handshake failed: \
                      ../ssl/statem/statem_clnt.c:1889:tls_post_process_server_certificate \
                      error:0A000086:SSL routines::certificate verify failed: broker certificate \
                      could not be verified";
        let alert = "ssl://b:1/bootstrap: Receive failed: ../ssl/record/rec_layer_s3.c:1601:\
                     ssl3_read_bytes error:0A000412:SSL routines::sslv3 alert bad certificate: \
                     SSL alert number 42 (after 0ms in state APIVERSION_QUERY)";
        let closed = "b:1/bootstrap: Disconnected: connection closed by peer: receive 0 after \
                      POLLIN (after 0ms in state APIVERSION_QUERY)";
        use FaultClass::{Closed, Login, Setting, Untrusted};
        for (security, text, class, parts) in [
            (&scram(), refused, Login, ["\"archiver\"", "kafka.secrets.\"sasl.password\""]),
            (&scram(), mechanism, Setting, ["SCRAM-SHA-512,PLAIN", "\"sasl.mechanism\""]),
            (&scram(), verify, Untrusted, ["certificate", "not trusted"]),
            (&tls, alert, Login, ["none is configured", "\"ssl.certificate.location\""]),
            (&mutual, alert, Login, ["has expired, or", "\"ssl.keystore.location\""]),
            (&plain, closed, Closed, ["another protocol", "\"security.protocol\""]),
        ] {
            let fault = security.fault(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(fault.class, class, "{text}");
            for part in parts {
                assert!(fault.text.contains(part), "no {part:?} in {fault}");
            }
            assert!(!fault.text.contains("(after "), "{fault}");
        }
        for other in ["b:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused", ""] {
            assert_eq!(scram().fault(other), None);
        }
    }

    #[test]
    fn a_kdc_and_a_token_server_that_are_silent_are_named() {
        let text = "b:1: SASL handshake failed (start (-1)): SASL(-1): generic failure: GSSAPI \
                    Error: Unspecified GSS failure (Cannot contact any KDC for realm \
                    'EXAMPLE.ORG')";
        let fault = scram().fault(text).expect("silence");
        assert_eq!(fault.class, FaultClass::Silent);
        assert!(
            fault.text.starts_with("Cannot contact any KDC for realm 'EXAMPLE.ORG'"),
            "{fault}"
        );
        let url = "https://idp:1/token";
        let tokens = security(&[
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.token.endpoint.url", url),
        ]);
        assert_eq!(tokens.token_server(), Some(url));
        let text = "Failed to acquire SASL OAUTHBEARER token: Failed to connect to idp port 1";
        let fault = tokens.fault(text).expect("silence");
        assert_eq!(fault.class, FaultClass::Silent);
        assert!(fault.text.contains(url) && fault.text.contains("does not answer"), "{fault}");
        assert!(!fault.class.is_misconfigured());
    }

    /// Others fill the cache: nobody has refused this client, so it may try again.
    #[test]
    fn a_cache_without_a_ticket_is_no_refusal_unless_there_is_a_keytab() {
        let start = "b:1: SASL handshake failed (start (-1)): SASL(-1): generic failure: GSSAPI \
                     Error: Unspecified GSS failure.  Minor code may provide more information ";
        let of = |has_keytab, why: &str| {
            let gssapi = Security { has_keytab, ..security(&[("security.protocol", "sasl_ssl")]) };
            gssapi.fault(&format!("{start}({why})")).expect("a fault").class
        };
        for why in ["No Kerberos credentials available (default cache: /c)", "Ticket expired"] {
            assert_eq!(of(false, why), FaultClass::NoTicket, "{why}");
            assert_eq!(of(true, why), FaultClass::Login, "{why}");
        }
        assert!(!FaultClass::NoTicket.is_misconfigured());
        let unknown = "Client 'a@B' not found in Kerberos database";
        assert_eq!(of(false, unknown), FaultClass::Login);
    }

    /// A broker that dies in the middle of a login.
    #[test]
    fn who_does_not_answer_has_refused_nobody() {
        for text in [
            "b:1: SASL authentication error: SaslAuthenticateRequest failed: Local: Broker \
             transport failure (after 5ms in state AUTH_REQ)",
            "b:1: SASL authentication error: SaslAuthenticateRequest failed: Local: Timed out",
            "b:1: SASL OAUTHBEARER mechanism handshake failed: Broker: Request not valid in \
             current SASL state: broker's supported mechanisms:",
            "b:1: SASL SCRAM-SHA-512 mechanism handshake failed: Local: Broker transport failure: \
             broker's supported mechanisms: ",
            "b:1: SSL handshake failed: error:0A000438:SSL routines::tlsv1 alert internal error: \
             SSL alert number 80",
        ] {
            let fault = scram().fault(text);
            assert!(fault.is_none(), "{text}: {fault:?}");
        }
    }
}
