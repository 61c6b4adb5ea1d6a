//! How old the Kerberos tickets are that the HDFS client uses: somebody else has to renew them.

use std::path::PathBuf;
use std::time::SystemTime;

/// Since the credential cache was written, seconds; [`None`] where there is none, or none that is a
/// file.
pub(super) fn ticket_age() -> Option<u64> {
    let written = std::fs::metadata(cache()?).ok()?.modified().ok()?;
    Some(SystemTime::now().duration_since(written).unwrap_or_default().as_secs())
}

/// The credential cache, found in the same way as MIT's library finds it.
fn cache() -> Option<PathBuf> {
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
