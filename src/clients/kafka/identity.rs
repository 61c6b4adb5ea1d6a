//! Who the clients are with Kerberos (docs/decisions/0019-kerberos-of-kafka.md).
//!
//! The client library logs in with the credentials that GSSAPI finds by the environment of the
//! process. A cache that names a principal and has no tickets lets GSSAPI acquire the tickets of
//! this principal from the key table, and acquire them again before they expire.

use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;

use crate::clients::kerberos::{self, CLIENT_KEYTAB, Krb5, set_variable};
use crate::common::config::{ConfigFault, Kafka, Kerberos};

/// Where GSSAPI finds tickets.
const CACHE: &str = "KRB5CCNAME";
/// A cache that only this process sees.
const IN_MEMORY: &str = "MEMORY:alluvium-kafka";

/// What the environment said before.
static BEFORE: OnceLock<[(&str, Option<OsString>); 2]> = OnceLock::new();

/// What came of taking the identity.
static TAKEN: OnceLock<Result<(), ConfigFault>> = OnceLock::new();

/// Who this process is with Kerberos, if the configuration says so.
static IDENTITY: OnceLock<Kerberos> = OnceLock::new();

/// Makes this process the principal of `kafka.kerberos`, if there is one, for all clients of Kafka
/// and for those clients of HDFS that have no identity of their own. No server is asked. To be
/// called by a command before any other thread has work, because it sets variables.
///
/// Without an identity no client is made: [`fault`] says why.
pub fn take_identity(kafka: &Kafka) {
    if let Some(kerberos) = &kafka.kerberos {
        let _ = IDENTITY.get_or_init(|| kerberos.clone());
        let _ = TAKEN.get_or_init(|| take(kerberos));
    }
}

/// Why this process does not have the identity of `kafka.kerberos`.
pub(super) fn fault() -> Option<ConfigFault> {
    TAKEN.get()?.clone().err()
}

/// Whether GSSAPI acquires the tickets of this process by a keytab; without one, others do.
pub(super) fn has_keytab() -> bool {
    kerberos::has_keytab(IDENTITY.get())
}

/// Says that no KDC answers this process, if that is so. `service` is one that the KDC may be asked
/// for. Blocks for some seconds at most.
pub(super) fn silent_kdc(service: &str) -> Option<String> {
    kerberos::silent_kdc(IDENTITY.get(), service)
}

fn take(kerberos: &Kerberos) -> Result<(), ConfigFault> {
    if let Some(fault) = kerberos.refused().into_iter().next() {
        return Err(fault);
    }
    let Kerberos { principal, keytab, cache, .. } = kerberos;
    let krb5 = Krb5::load().map_err(|why| ConfigFault::new("kafka.kerberos", why))?;
    let cache = cache.as_deref().unwrap_or(IN_MEMORY);
    let of_cache = |why: String| of("cache", format!("{cache}: {why}"));
    let found = krb5.cache(cache).map_err(of_cache)?;
    if let Some(keytab) = keytab {
        krb5.find_key(keytab, principal).map_err(|why| {
            let look = format!("`klist -k {keytab}` shows whose keys it has");
            of("keytab", format!("{keytab} has no key of {principal} ({why}); {look}"))
        })?;
        found.be_of(principal).map_err(of_cache)?;
    } else if let Ok(has) = found.principal()
        && &has != principal
    {
        return Err(of("cache", format!("{cache} has tickets of {has}, not of {principal}")));
    }
    // A cache that has no principal yet may be filled later than this, and a client that has no
    // ticket says so, and tries again.
    let _ =
        BEFORE.get_or_init(|| [CACHE, CLIENT_KEYTAB].map(|name| (name, std::env::var_os(name))));
    let keytab = keytab.as_ref().map(|path| format!("FILE:{path}"));
    set_variable(CACHE, Some(OsStr::new(cache)));
    set_variable(CLIENT_KEYTAB, keytab.as_ref().map(OsStr::new));
    Ok(())
}

fn of(name: &str, why: String) -> ConfigFault {
    ConfigFault::new(format!("kafka.kerberos.{name}"), why)
}

/// The variables that were changed, with what they said before: for a process that starts anew.
pub fn environment_before() -> impl Iterator<Item = (&'static str, Option<&'static OsStr>)> {
    let before = BEFORE.get().into_iter().flatten();
    before.map(|(name, value)| (*name, value.as_deref()))
}
