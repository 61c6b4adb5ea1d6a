//! The ticket of an identity, and a KDC that does not answer.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::clients::kerberos::credentials::TicketTimes;
use crate::clients::kerberos::krb5::Krb5;
use crate::common::config::Kerberos;
use crate::common::spawn::thread_detached;
use crate::pure::calendar;

/// How long a KDC may take for one answer. The library itself waits for up to a minute.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the library says that nobody has answered, or that it knows nobody to ask.
const NOBODY: [&str; 3] = ["ontact any KDC", "annot find KDC", "annot resolve"];

/// Why there is no ticket.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoTicket {
    /// No KDC answers.
    #[error("{0}")]
    Silent(String),
    /// A KDC has refused, or there is no library, no cache or no ticket in it.
    #[error("{0}")]
    Refused(String),
}

/// Finds the ticket of an identity: one of its keytab is acquired and thrown away, so a KDC is
/// asked; one of its cache is looked at. Blocks for some seconds at most.
///
/// # Errors
/// There is none.
pub fn ticket(kerberos: &Kerberos) -> Result<TicketTimes, NoTicket> {
    let of = kerberos.clone();
    asked(Some(kerberos), move || {
        let krb5 = Krb5::load()?;
        if let Some(keytab) = &of.keytab {
            return krb5.log_in(keytab, &of.principal);
        }
        let cache = match &of.cache {
            Some(name) => krb5.cache(name)?,
            None => krb5.default_cache()?,
        };
        cache.ticket()?.ok_or_else(|| "the credential cache has no ticket of a KDC".into())
    })
}

/// Says that the ticket in a cache that the configuration names, and that others fill, has expired;
/// [`None`] if it has not, or if nobody can tell. No server is asked.
#[must_use]
pub fn expired(kerberos: &Kerberos) -> Option<String> {
    let cache = kerberos.cache.as_deref().filter(|_| kerberos.keytab.is_none())?;
    // One that is not there is named elsewhere.
    if kerberos.unfilled().is_some() {
        return None;
    }
    let until = ticket(kerberos).ok()?.until;
    let now = jiff::Timestamp::now().as_second();
    let at = calendar::iso_millis(until.saturating_mul(1_000));
    (until <= now).then(|| {
        let (key, principal) = (kerberos.key(), &kerberos.principal);
        format!(
            "{key}.cache: the ticket in {cache} expired at {at}: whoever renews the tickets has to \
             fill the cache again, as `kinit -c {cache} {principal}` does, or set {key}.keytab in \
             its place"
        )
    })
}

/// Says that no KDC answers this identity ([`None`]: that of the environment), if that is so.
/// `service` is asked for where there is no keytab: `kafka/broker.example.com`. Blocks for some
/// seconds at most.
#[must_use]
pub fn silent_kdc(kerberos: Option<&Kerberos>, service: &str) -> Option<String> {
    let answer = match kerberos {
        Some(kerberos) if kerberos.keytab.is_some() => ticket(kerberos).map(drop),
        _ => {
            let named = kerberos.and_then(|kerberos| kerberos.cache.clone());
            let service = service.to_string();
            asked(kerberos, move || {
                let krb5 = Krb5::load()?;
                let cache = match &named {
                    Some(name) => krb5.cache(name)?,
                    None => krb5.default_cache()?,
                };
                cache.ask_for(&service)
            })
        }
    };
    match answer {
        Err(NoTicket::Silent(text)) => Some(text),
        _ => None,
    }
}

/// Asks on a thread of its own, which is left behind if nobody answers it in time.
fn asked<T: Send + 'static>(
    kerberos: Option<&Kerberos>,
    ask: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, NoTicket> {
    let realm = match kerberos.and_then(|kerberos| kerberos.principal.rsplit_once('@')) {
        Some((_, realm)) => format!("the realm {realm}"),
        None => "the default realm".into(),
    };
    let silent = |why: &str| {
        NoTicket::Silent(format!(
            "no KDC of {realm} answers ({why}): check the hosts that /etc/krb5.conf (or \
             KRB5_CONFIG) or DNS names as its KDCs, and the way to them"
        ))
    };
    let (answer, answered) = sync_channel(1);
    let run = move || {
        let _ = answer.send(ask());
    };
    if let Err(e) = thread_detached("kerberos", run) {
        return Err(NoTicket::Refused(format!("no thread to ask with: {e}")));
    }
    match answered.recv_timeout(PATIENCE) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(why)) if NOBODY.iter().any(|words| why.contains(words)) => Err(silent(&why)),
        Ok(Err(why)) => Err(NoTicket::Refused(why)),
        Err(RecvTimeoutError::Timeout) => {
            Err(silent(&format!("none within {} s", PATIENCE.as_secs())))
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(NoTicket::Refused("the thread that asked has panicked".into()))
        }
    }
}
