//! `[registry]`: where schemas are asked for.

use std::time::Duration;

use crate::common::config::daemon::WebLogin;
use crate::common::config::fields::{Faults, Fields};
use crate::common::config::mapping::Mapping;
use crate::pure::layout::format::Rows;

/// A registry of schemas, with the interface of Confluent's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registry {
    /// Without a slash at its end.
    pub url: String,
    /// How it is logged in to, and which certificates are believed.
    pub login: WebLogin,
    /// The most time for one call.
    pub timeout: Duration,
}

const TIMEOUT: Duration = Duration::from_secs(10);

impl Registry {
    pub(super) fn read(mut f: Fields, faults: &mut Faults) -> Option<Registry> {
        let url = f.parsed("url", faults, url);
        let url = f.require("url", url, "write url = \"https://registry:8081\"", faults);
        let timeout = f.duration("timeout", Duration::from_millis(100), faults).unwrap_or(TIMEOUT);
        let key = f.key("url");
        let login = WebLogin::read(f, faults);
        let url = url?;
        if login.user.is_some() && !is_private(&url) {
            faults.add(
                key,
                format!(
                    "{url:?}: a password does not cross a network in the clear; write https://, \
                     or remove user and password"
                ),
            );
        }
        Some(Registry { url, login, timeout })
    }
}

fn url(text: &str) -> Result<String, String> {
    let hint = "write \"https://registry:8081\", or http:// and a path behind the port";
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| format!("{text:?} is no URL of a registry; {hint}"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("the URL has a user in it; write user and password under [registry]".into());
    }
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !"?#\"\\".contains(c));
    if authority.is_empty() || !is_plain {
        return Err(format!("{text:?} is no URL of a registry; {hint}"));
    }
    Ok(text.trim_end_matches('/').into())
}

/// Whether what is sent there is read by nobody else.
fn is_private(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return true };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    let is_here = |ip: std::net::IpAddr| ip.to_canonical().is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_here)
}

/// Mappings whose values have ids need a registry to ask for them.
pub(super) fn check_registry(
    registry: Option<&Registry>,
    is_written: bool,
    mappings: &[Mapping],
    faults: &mut Faults,
) {
    let needs = |mapping: &&Mapping| {
        mapping.archives().any(|archive| matches!(archive.rules.rows, Rows::Registered(_)))
    };
    if let (None, false, Some(mapping)) = (registry, is_written, mappings.iter().find(needs)) {
        let own = mapping.written.get("archive").and_then(|archive| archive.get("value"));
        let asked_by = match own {
            Some(_) => format!("mapping.{}.archive.value", mapping.name),
            None => "archive.value".into(),
        };
        faults.add_asked(
            "registry",
            asked_by,
            format!(
                "is missing; mapping.{} has value = \"registry\": write [registry] with url = \
                 \"https://registry:8081\"",
                mapping.name
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::common::config::Config;
    use crate::pure::layout::format::Rows;

    fn text(registry: &str, archive: &str) -> String {
        format!(
            "{registry}\n[kafka]\nbootstrap_servers = \"b:9092\"\ngroup_id = \"g\"\n[archive]\n\
             root = \"file:///nowhere\"\n{archive}\n[mapping.m]\ntopics = [\"in\"]\n"
        )
    }

    #[test]
    fn a_mapping_with_registered_values_needs_a_registry() {
        let registry = "[registry]\nurl = \"http://127.0.0.1:8081/apis/ccompat/v7/\"\n\
                        timeout = \"2s\"";
        let config = Config::parse(&text(registry, "value = \"registry\""), None).unwrap();
        let known = config.registry.as_ref().unwrap();
        assert_eq!(known.url, "http://127.0.0.1:8081/apis/ccompat/v7");
        let archive = config.mappings[0].archive.as_ref().unwrap();
        assert!(matches!(archive.rules.rows, Rows::Registered(_)));
        let of = archive.rules.registered.as_ref().unwrap();
        assert_eq!(of.reserved, ["dt", "hr"]);
        let latest = text(registry, "value = \"registry\"\nevolution = \"latest\"");
        let other = Config::parse(&latest, None).unwrap();
        let other = other.mappings[0].archive.as_ref().unwrap();
        assert_ne!(other.fingerprint, archive.fingerprint);
        let nested = |choice: &str| {
            let text = format!("value = \"registry\"\nnested = \"{choice}\"");
            let config = Config::parse(&self::text(registry, &text), None).unwrap();
            config.mappings[0].archive.as_ref().unwrap().fingerprint.clone()
        };
        assert_eq!(nested("json"), archive.fingerprint, "as before there was a choice");
        assert_ne!(nested("columns"), archive.fingerprint);
    }

    #[test]
    fn a_registry_that_is_missing_has_the_place_of_the_key_that_asks_for_it() {
        let of_all = text("", "value = \"registry\"");
        let of_one = format!("{}archive = {{ value = \"registry\" }}\n", text("", ""));
        for (text, place) in [(of_all, "line 7, column 1"), (of_one, "line 10, column 13")] {
            let faults = Config::parse(&text, None).unwrap_err().to_string();
            let want = format!("{place}: registry: is missing; mapping.m has");
            assert!(faults.contains(&want), "{text}: {faults}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (registry, archive, want) in [
            ("", "value = \"registry\"", "registry: is missing; mapping.m"),
            ("[registry]", "", "registry.url: is missing"),
            ("[registry]\nurl = \"registry:8081\"", "", "is no URL of a registry"),
            ("[registry]\nurl = \"http://a:b@c\"", "", "has a user in it"),
            ("[registry]\nurl = \"http://c/?x\"", "", "is no URL of a registry"),
            ("[registry]\nurl = \"http://c\"\nuser = \"u\"", "", "registry.password: is missing"),
            (
                "[registry]\nurl = \"http://c\"\nuser = \"u\"\n\
                 password = { file = \"/dev/null\" }",
                "",
                "in the clear",
            ),
            ("[registry]\nurl = \"http://c\"\nuri = \"u\"", "", "did you mean \"url\""),
            (
                "[registry]\nurl = \"http://c\"",
                "value = \"registry\"\nformat = \"jsonl\"",
                "needs format = \"parquet\" or \"avro\"",
            ),
            (
                "[registry]\nurl = \"http://c\"",
                "value = \"registry\"\ncolumns = { a = \"string\" }",
                "can't both be set",
            ),
            ("", "evolution = \"latest\"", "value = \"registry\", which is not set"),
            ("", "nested = \"columns\"", "value = \"registry\", which is not set"),
        ] {
            let faults = Config::parse(&text(registry, archive), None).unwrap_err().to_string();
            assert!(faults.contains(want), "{registry} {archive}: {faults}");
        }
    }
}
