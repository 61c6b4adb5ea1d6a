//! The settings of OAUTHBEARER: the clients get their tokens from a server of OpenID Connect, with
//! the grant of client credentials.

use std::collections::BTreeMap;

use crate::common::config::fields::Faults;

const METHOD: &str = "sasl.oauthbearer.method";
const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT: &str = "sasl.oauthbearer.client.id";
const SECRET: &str = "sasl.oauthbearer.client.secret";

/// Adds what is missing for a token: without it the client library would never log in, and say
/// nothing.
pub(super) fn check(
    properties: &BTreeMap<String, String>,
    has_secret: impl Fn(&str) -> bool,
    faults: &mut Faults,
) {
    let key = |name: &str| format!("kafka.properties.{name:?}");
    match properties.get(METHOD).map(|method| method.to_ascii_lowercase()).as_deref() {
        Some("oidc") => {}
        Some(other) => faults.add(
            key(METHOD),
            format!("{other:?} gets tokens that no broker should trust: write \"oidc\""),
        ),
        None => faults.add(key(METHOD), "is missing: OAUTHBEARER needs \"oidc\""),
    }
    match properties.get(URL) {
        // The address is shown in logs, and the server is given the secret otherwise.
        Some(url) if has_login(url) => faults.add(
            key(URL),
            format!(
                "has a user or a password before the @: write the address without, the client's \
                 name into {CLIENT:?}, and its secret into kafka.secrets.{SECRET:?}"
            ),
        ),
        Some(url) if ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) => {}
        Some(url) => faults.add(key(URL), format!("{url:?} is not an address of https")),
        None => faults.add(
            key(URL),
            "is missing: it is the address that tokens come from, such as \
             \"https://idp.example.org/oauth2/token\"",
        ),
    }
    if !properties.contains_key(CLIENT) {
        faults.add(key(CLIENT), "is missing: the token server knows this client by it");
    }
    if !has_secret(SECRET) {
        faults.add(format!("kafka.secrets.{SECRET:?}"), "is missing: write { file = \"…\" }");
    }
}

/// Whether an address has a login in it: `https://user:password@host/`.
fn has_login(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// Adds what has a meaning with OAUTHBEARER alone.
pub(super) fn check_unused(
    is_set: impl Fn(&str) -> bool,
    has_secret: impl Fn(&str) -> bool,
    faults: &mut Faults,
) {
    let set = "has a meaning with kafka.properties.\"sasl.mechanism\" = \"OAUTHBEARER\" alone";
    for key in [METHOD, URL, CLIENT].into_iter().filter(|key| is_set(key)) {
        faults.add(format!("kafka.properties.{key:?}"), set);
    }
    if has_secret(SECRET) {
        faults.add(format!("kafka.secrets.{SECRET:?}"), set);
    }
}

/// Whether the secret of the client would go over a network as it is.
#[must_use]
pub(super) fn sends_in_the_clear(properties: &BTreeMap<String, String>) -> Option<String> {
    let url = properties.get(URL)?.strip_prefix("http://")?;
    let on_this_host = ["127.", "localhost", "[::1]"].iter().any(|host| url.starts_with(host));
    (!on_this_host).then(|| {
        format!(
            "kafka.properties.{URL:?}: http does not encrypt, so whoever is on the way can read \
             kafka.secrets.{SECRET:?}: use https"
        )
    })
}
