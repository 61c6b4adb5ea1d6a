//! Whether a keytab has a key of its principal.

use crate::clients::kerberos::krb5::Krb5;
use crate::common::config::{ConfigFault, Kerberos};

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
