//! What the texts of Kerberos and of token servers mean, and what to look at. The texts are those
//! of librdkafka 2.12, Cyrus SASL 2.1 and MIT Kerberos 1.20.

/// How the client library begins to say that a token server gave no token.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token: ";

/// How it says that nobody has answered: what libcurl says then.
const SILENT: [&str; 6] = [
    "Failed to connect",
    "Couldn't connect",
    "Could not resolve",
    "timed out",
    "Timeout was reached",
    "Terminating",
];

const KEY: &str =
    "the key in kafka.kerberos.keytab is not that of the KDC: export the keytab again";
const MODULE: &str = "the SASL library has no module for Kerberos: install the package \
                      libsasl2-modules-gssapi-mit (Debian) or cyrus-sasl-gssapi";
const SERVICE: &str = "the KDC does not know the principal of the brokers: it is made of \
                       kafka.properties.\"sasl.kerberos.service.name\" and of the name in the \
                       brokers' advertised.listeners";

const NO_TICKET: &str = "there is no ticket: write kafka.kerberos = { principal, keytab }, or let \
                         the cache be filled by whoever renews the tickets";

/// Parts of what the libraries say where there is no valid ticket; a cache that is being filled at
/// this moment counts, too.
const LACKS_TICKET: [&str; 8] = [
    "redentials available",
    "No credentials cache found",
    "redential cache is empty",
    "icket expired",
    "Bad format in credentials cache",
    "End of credential cache",
    "atching credential not found",
    "lifetime is negative or too short",
];

/// Parts of what the libraries say, and what to look at then.
const HINTS: [(&str, &str); 11] = [
    ("Client ", "the KDC does not know kafka.kerberos.principal"),
    ("Server ", SERVICE),
    ("reauthentication failed", KEY),
    ("ntegrity check failed", KEY),
    ("assword incorrect", KEY),
    ("lock skew", "the clocks of this host and of the KDC differ"),
    ("redentials available", NO_TICKET),
    ("No credentials cache found", NO_TICKET),
    ("redential cache is empty", NO_TICKET),
    ("expired", "the tickets in kafka.kerberos.cache have expired: set keytab, or renew them"),
    ("No worthy mechs found", MODULE),
];

/// What a text says of a KDC that has not answered.
pub(super) fn silent_kdc(text: &str) -> String {
    const WORDS: &str = "Cannot contact any KDC";
    let cause = text.find(WORDS).map_or(WORDS, |at| &text[at..]);
    let cause = cause.split_once(')').map_or(cause, |(cause, _)| cause);
    format!(
        "{cause}: check the hosts that /etc/krb5.conf (or KRB5_CONFIG) or DNS names as its KDCs"
    )
}

/// What a text says of a login by Kerberos that this host or the KDC has refused.
pub(super) fn kerberos(text: &str) -> Option<String> {
    let (_, detail) = text.split_once("SASL handshake failed ")?;
    let (_, cause) = detail.split_once("GSSAPI Error: ").or_else(|| detail.rsplit_once(": "))?;
    // The cause of the general error that stands before it.
    let cause = match cause.split_once('(') {
        Some((_, cause)) => cause.strip_suffix(')').unwrap_or(cause),
        None => cause,
    };
    let found = HINTS.iter().find(|(part, _)| cause.contains(part));
    let hint = found.map_or(
        "check kafka.kerberos and the KDC, with `kinit -k -t KEYTAB PRINCIPAL`",
        |(_, hint)| hint,
    );
    Some(format!("can't log in with GSSAPI: {cause}; {hint}"))
}

/// Whether a text says that the client has no valid ticket. By a keytab the library would have
/// acquired one, so then it is the KDC that gives none.
pub(super) fn lacks_ticket(text: &str) -> bool {
    LACKS_TICKET.iter().any(|part| text.contains(part))
}

/// Why a token server gave no token.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum NoToken<'a> {
    /// It refuses this client, or this client does not trust it; what to set.
    Refused(String),
    /// It has not answered; what the library says of it.
    Silent(&'a str),
}

/// What a text says of a token server that gave no token.
pub(super) fn token(text: &str) -> Option<NoToken<'_>> {
    let (_, why) = text.split_once(NO_TOKEN)?;
    if SILENT.iter().any(|words| why.contains(words)) {
        return Some(NoToken::Silent(first_line(why)));
    }
    if why.contains("certificate") {
        return Some(NoToken::Refused(format!(
            "the token server is not trusted ({}): name the file of the authority that has signed \
             its certificate in kafka.properties.\"https.ca.location\"",
            first_line(why)
        )));
    }
    Some(NoToken::Refused(format!(
        "the token server gives no token ({}): correct \
         kafka.properties.\"sasl.oauthbearer.client.id\", \
         kafka.secrets.\"sasl.oauthbearer.client.secret\" or \
         kafka.properties.\"sasl.oauthbearer.token.endpoint.url\"",
        first_line(why)
    )))
}

/// The body of an answer may be a page.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default().trim();
    &line[..line.floor_char_boundary(200)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are as the libraries have written them against MiniKdc 3.4.3.
    #[test]
    fn the_cause_stands_first_and_the_key_after_it() {
        let start = "sasl_ssl://b:1/bootstrap: Failed to initialize SASL authentication: SASL \
                     handshake failed (start (-1)): SASL(-1): generic failure: GSSAPI Error: ";
        let none = "No credentials were supplied, or the credentials were unavailable or \
                    inaccessible ";
        let general = "Unspecified GSS failure.  Minor code may provide more information ";
        for (text, cause, hint) in [
            (
                format!("{start}{none}(Decrypt integrity check failed)"),
                "GSSAPI: Decrypt integrity check failed; ",
                "kafka.kerberos.keytab",
            ),
            (
                format!("{start}{none}(Client 'n@T' not found in Kerberos database)"),
                "GSSAPI: Client 'n@T' not found in Kerberos database; ",
                "kafka.kerberos.principal",
            ),
            (
                format!("{start}{general}(Server k/b@T not found in Kerberos database)"),
                "GSSAPI: Server k/b@T not found in Kerberos database; ",
                "\"sasl.kerberos.service.name\"",
            ),
            (
                format!("{start}{none}(No Kerberos credentials available (default cache: /c))"),
                "GSSAPI: No Kerberos credentials available (default cache: /c); ",
                "kafka.kerberos = {",
            ),
            (
                format!("{start}{general}(Ticket expired)"),
                "GSSAPI: Ticket expired; ",
                "kafka.kerberos.cache",
            ),
            (
                "b: Failed to initialize SASL authentication: SASL handshake failed (start (-4)): \
                 SASL(-4): no mechanism available: No worthy mechs found"
                    .to_string(),
                "GSSAPI: No worthy mechs found; ",
                "libsasl2-modules-gssapi-mit",
            ),
        ] {
            let said = kerberos(&text).unwrap_or_else(|| panic!("{text}"));
            assert!(said.contains(cause) && said.contains(hint), "{said}");
        }
        assert_eq!(kerberos("b:1: Connect to b:1 failed: Connection refused"), None);
    }

    #[test]
    fn a_token_server_that_is_silent_has_refused_nobody() {
        let refused = format!("{NO_TOKEN}{{\"error\":\"invalid_client\"}}\n<p>");
        let Some(NoToken::Refused(said)) = token(&refused) else { panic!("no refusal") };
        assert!(said.contains("({\"error\":\"invalid_client\"})"), "{said}");
        assert!(said.contains("kafka.secrets.\"sasl.oauthbearer.client.secret\""), "{said}");
        let silent = "Failed to connect to 127.0.0.1 port 1: Connection refused";
        let text = format!("{NO_TOKEN}{silent}");
        assert_eq!(token(&text), Some(NoToken::Silent(silent)));
        let stranger = "SSL certificate problem: unable to get local issuer certificate";
        let text = format!("{NO_TOKEN}{stranger}");
        let Some(NoToken::Refused(said)) = token(&text) else { panic!("no refusal") };
        assert!(said.contains("kafka.properties.\"https.ca.location\""), "{said}");
        assert_eq!(token("SASL authentication error: x"), None);
    }
}
