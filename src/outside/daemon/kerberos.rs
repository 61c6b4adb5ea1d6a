//! How old the Kerberos tickets are that the clients of Kafka and HDFS use, where somebody else has
//! to renew them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::common::config::{Config, Kerberos, Root};

/// Since the oldest credential cache was written that somebody else has to renew, seconds; [`None`]
/// where there is none, or none that is a file.
pub(super) fn ticket_age(config: &Config) -> Option<u64> {
    let used = config.archives().filter_map(|archive| match &archive.root {
        Root::Hdfs { options, .. } => Some(options.kerberos.as_ref()),
        Root::Local { .. } => None,
    });
    let of_kafka = config.kafka.kerberos.as_ref().map(Some);
    used.chain(of_kafka).filter_map(|kerberos| age(&cache(kerberos)?)).max()
}

/// The cache that a client of this identity takes its tickets from, unless it has a keytab.
fn cache(identity: Option<&Kerberos>) -> Option<PathBuf> {
    match identity {
        Some(Kerberos { keytab: Some(_), .. }) => None,
        Some(kerberos) if kerberos.cache.is_some() => kerberos.cache_file().map(PathBuf::from),
        _ => cache_of_the_environment(),
    }
}

fn age(cache: &Path) -> Option<u64> {
    let written = std::fs::metadata(cache).ok()?.modified().ok()?;
    let age = Timestamp::now().duration_since(Timestamp::try_from(written).ok()?);
    // A clock that was set back makes no ticket older than it is.
    Some(u64::try_from(age.as_secs()).unwrap_or(0))
}

/// The credential cache, found in the same way as MIT's library finds it.
fn cache_of_the_environment() -> Option<PathBuf> {
    let Some(name) = std::env::var_os("KRB5CCNAME") else {
        let user = rustix::process::getuid().as_raw();
        return Some(format!("/tmp/krb5cc_{user}").into());
    };
    let name = name.into_string().ok()?;
    match name.split_once(':') {
        Some(("FILE", path)) => Some(path.into()),
        Some(_) => None,
        None => Some(name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kerberos: &str) -> Option<u64> {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
             \"hdfs://n/r\"\nkerberos = {{ principal = \"a@B\", {kerberos} }}\n[mapping.m]\ntopics \
             = [\"t\"]\n"
        );
        ticket_age(&Config::parse(&text, None).expect("no faults"))
    }

    #[test]
    fn only_tickets_that_somebody_else_renews_have_an_age() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().display();
        assert!(of(&format!("cache = \"FILE:{path}\"")).is_some_and(|age| age < 60));
        assert_eq!(of(&format!("cache = \"FILE:{path}\", keytab = \"/k\"")), None);
        assert_eq!(of("cache = \"FILE:/no/such/cache\""), None);
        assert_eq!(of("cache = \"KEYRING:session:a\""), None);
    }
}
