//! Whether there is a keytab, and whether it has a key of its principal.

use crate::clients::kerberos::krb5::Krb5;
use crate::common::config::{ConfigFault, Kerberos};

/// The variable that says where GSSAPI finds keys to acquire tickets with.
pub const CLIENT_KEYTAB: &str = "KRB5_CLIENT_KTNAME";

/// Whether GSSAPI acquires tickets for this identity ([`None`]: the default one) by a keytab: one
/// of the configuration, or of the environment. Without one, others acquire them.
#[must_use]
pub fn has_keytab(kerberos: Option<&Kerberos>) -> bool {
    let of_environment = || std::env::var_os(CLIENT_KEYTAB).is_some_and(|name| !name.is_empty());
    match kerberos {
        Some(Kerberos { keytab: Some(_), .. }) => true,
        Some(Kerberos { cache: Some(_), .. }) => false,
        _ => of_environment(),
    }
}

/// What is wrong with the keytab of an identity, as far as no KDC has to be asked.
#[must_use]
pub fn refused(kerberos: &Kerberos) -> Vec<ConfigFault> {
    // What can be said without the library says more.
    let faults = kerberos.refused();
    if !faults.is_empty() {
        return faults;
    }
    let Some(keytab) = &kerberos.keytab else { return faults };
    let (key, principal) = (kerberos.key(), &kerberos.principal);
    let krb5 = match Krb5::load() {
        Ok(krb5) => krb5,
        Err(why) => return vec![ConfigFault::new(key, why)],
    };
    let found = krb5.find_key(keytab, principal).map_err(|why| {
        let look = format!("`klist -k {keytab}` shows whose keys it has");
        let text = format!("{keytab} has no key of {principal} ({why}); {look}");
        ConfigFault::new(format!("{key}.keytab"), text)
    });
    found.err().into_iter().collect()
}
