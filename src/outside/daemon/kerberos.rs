//! How old the Kerberos tickets are that the HDFS client uses: somebody else has to renew them.

use std::path::PathBuf;

use jiff::Timestamp;

/// Since the credential cache was written, seconds; [`None`] where there is none, or none that is a
/// file.
pub(super) fn ticket_age() -> Option<u64> {
    let written = std::fs::metadata(cache()?).ok()?.modified().ok()?;
    let age = Timestamp::now().duration_since(Timestamp::try_from(written).ok()?);
    // A clock that was set back makes no ticket older than it is.
    Some(u64::try_from(age.as_secs()).unwrap_or(0))
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
