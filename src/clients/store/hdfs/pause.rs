//! Logins that were refused: each further one counts where the KDC locks accounts.
//!
//! A daemon whose root refuses its login tries to append again and again, and each partition does
//! so for itself. With a keytab each of these calls would be several logins at the KDC. So after a
//! refusal no client of the same identity logs in before minutes are over, or before somebody has
//! put another file in the place of the keytab: until then every call ends with the first one's
//! error. Then one call tries alone, and the others wait for what it hears.
//!
//! A client whose old ticket has expired is told this alone, whether its key is not taken any more
//! or no KDC answers. So the KDC is asked once, by a login of its own.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clients::kerberos::{NoTicket, ticket};
use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::hdfs::error::of_login;
use crate::common::config::Kerberos;

/// The pauses after the first refusals, and after each further one. The first is short, because a
/// server that is just being set up refuses logins, too.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(300)];

/// The pause while no KDC answers, which locks no account.
const SILENT: Duration = Duration::from_secs(5);

/// What the file of a keytab is, without reading it: device, inode, length, and when it was
/// changed.
type Stamp = (u64, u64, u64, i64, i64);

/// A refusal, and until when nobody tries again.
#[derive(Debug)]
struct Refused {
    kind: ErrorKind,
    detail: String,
    times: usize,
    /// When this was heard.
    at: Instant,
    until: Instant,
    keytab: Option<Stamp>,
}

/// The logins of one identity.
#[derive(Debug)]
pub(super) struct Logins {
    kerberos: Kerberos,
    keytab: String,
    refused: Mutex<Option<Refused>>,
}

/// A principal, and the path of its keytab.
type Identity = (String, String);

/// The identities of this process: an account is locked by the logins of all roots together.
static IDENTITIES: LazyLock<Mutex<HashMap<Identity, Arc<Logins>>>> = LazyLock::new(Mutex::default);

/// The logins of an identity; [`None`] for one without a keytab, which asks no KDC to let it in.
pub(super) fn logins_of(kerberos: Option<&Kerberos>) -> Option<Arc<Logins>> {
    let kerberos = kerberos?;
    let keytab = kerberos.keytab.clone()?;
    let mut all = IDENTITIES.lock();
    let of = all.entry((kerberos.principal.clone(), keytab.clone()));
    let logins = || {
        let kerberos = kerberos.clone();
        Arc::new(Logins { kerberos, keytab, refused: Mutex::default() })
    };
    Some(Arc::clone(of.or_insert_with(logins)))
}

impl Refused {
    fn error(&self, keytab: &str, operation: &'static str, path: &str) -> StoreError {
        let Refused { kind, detail, .. } = self;
        let text = match kind {
            ErrorKind::Authentication => format!(
                "{detail}. A daemon that runs tries no other login before some minutes are over, \
                 or before {keytab} has changed, so that no account is locked"
            ),
            _ => detail.clone(),
        };
        StoreError::new(*kind, operation, path, text)
    }
}

impl Logins {
    /// Whether a call may be made now.
    ///
    /// # Errors
    /// The login was refused, and the pause is not over.
    pub(super) fn may_try(
        &self,
        now: Instant,
        operation: &'static str,
        path: &str,
    ) -> Result<(), StoreError> {
        let mut state = self.refused.lock();
        let Some(refused) = state.as_mut() else { return Ok(()) };
        let stamp = stamp(&self.keytab);
        // A file that is not there is half of a change.
        let is_new = stamp.is_some() && stamp != refused.keytab;
        if now < refused.until && !is_new {
            return Err(refused.error(&self.keytab, operation, path));
        }
        // This call tries alone.
        refused.until = now + PAUSES[PAUSES.len().saturating_sub(1)];
        refused.keytab = stamp;
        Ok(())
    }

    /// Notes the answer of a call that began at `began`; the answer with what is known of it.
    pub(super) async fn judged<T>(
        &self,
        answer: Result<T, StoreError>,
        began: Instant,
    ) -> Result<T, StoreError> {
        let now = Instant::now();
        let e = match answer {
            Err(e) if matches!(e.kind, ErrorKind::Authentication | ErrorKind::NoTicket) => e,
            Err(e) if e.kind.is_login() || e.kind == ErrorKind::Unknown => {
                // Nobody has looked at the key.
                if let Some(refused) = self.refused.lock().as_mut() {
                    refused.until = refused.until.min(now + PAUSES[0]);
                }
                return Err(e);
            }
            answer => {
                *self.refused.lock() = None;
                return answer;
            }
        };
        if self.shut(&e, began, now) && e.kind == ErrorKind::NoTicket {
            let kerberos = self.kerberos.clone();
            let asked = tokio::task::spawn_blocking(move || ticket(&kerberos)).await;
            self.asked(asked.map_or(Ok(()), |ticket| ticket.map(drop)), Instant::now());
        }
        let state = self.refused.lock();
        Err(state.as_ref().map_or(e.clone(), |of| of.error(&self.keytab, e.operation, &e.path)))
    }

    /// Notes that a login has failed; false if this is one of many that were on their way together.
    fn shut(&self, e: &StoreError, began: Instant, now: Instant) -> bool {
        let mut state = self.refused.lock();
        if state.as_ref().is_some_and(|refused| began < refused.at) {
            return false;
        }
        let times = state.as_ref().map_or(0, |refused| refused.times);
        *state = Some(Refused {
            kind: e.kind,
            detail: e.detail.clone(),
            times: times.saturating_add(1),
            at: now,
            until: now + PAUSES[times.min(PAUSES.len().saturating_sub(1))],
            keytab: stamp(&self.keytab),
        });
        true
    }

    /// Notes what came of a login that asked why.
    fn asked(&self, login: Result<(), NoTicket>, now: Instant) {
        let mut state = self.refused.lock();
        let Some(refused) = state.as_mut() else { return };
        match login {
            // It is let in: the next call has another ticket.
            Ok(()) => *state = None,
            Err(NoTicket::Silent(why)) => {
                (refused.kind, refused.detail) = (ErrorKind::SilentKdc, why);
                (refused.times, refused.until) = (0, now + SILENT);
            }
            Err(NoTicket::Refused(why)) => (refused.kind, refused.detail) = of_login(&why),
        }
    }
}

fn stamp(keytab: &str) -> Option<Stamp> {
    let of = std::fs::metadata(keytab).ok()?;
    Some((of.dev(), of.ino(), of.len(), of.ctime(), of.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn kerberos(more: &str) -> Kerberos {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
             \"hdfs://n:1/r\"\n[archive.kerberos]\nprincipal = \"pause@B\"\n{more}\n\
             [mapping.m]\ntopics = [\"t\"]\n"
        );
        let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
        config.kerberos().next().expect("an identity").clone()
    }

    fn logins(keytab: &str) -> Logins {
        let kerberos = kerberos(&format!("keytab = {keytab:?}"));
        Logins { kerberos, keytab: keytab.into(), refused: Mutex::default() }
    }

    fn error(kind: ErrorKind) -> StoreError {
        StoreError::new(kind, "list", "/p", "why")
    }

    const REFUSED: ErrorKind = ErrorKind::Authentication;

    /// A login per call would be hundreds in ten minutes.
    #[test]
    fn a_refused_login_is_tried_a_few_times_in_minutes() {
        let logins = logins("/no/such/keytab");
        let (began, mut tries) = (Instant::now(), Vec::new());
        for second in 0..1_000 {
            let now = began + S(second);
            if logins.may_try(now, "list", "/p").is_ok() {
                tries.push(second);
                assert!(logins.shut(&error(REFUSED), now, now));
            }
        }
        assert_eq!(tries, [0, 15, 75, 375, 675, 975]);
        let told = logins.may_try(began + S(1_000), "list", "/p").unwrap_err();
        assert!(told.detail.starts_with("why. A daemon that runs tries no other login"), "{told}");
        assert_eq!(told.kind, REFUSED);
    }

    #[tokio::test]
    async fn one_call_alone_tries_after_a_pause() {
        let (logins, began) = (logins("/no/such/keytab"), Instant::now());
        assert!(logins.shut(&error(REFUSED), began, began));
        for _ in 0..9 {
            let late = began.checked_sub(S(1)).unwrap();
            assert!(!logins.shut(&error(REFUSED), late, began + S(1)), "on its way before");
        }
        let after = began + S(16);
        assert!(logins.may_try(after, "list", "/p").is_ok());
        assert!(logins.may_try(after, "list", "/p").is_err(), "its answer is waited for");
        let unknown = logins.judged::<()>(Err(error(ErrorKind::Unknown)), began).await;
        assert_eq!(unknown.unwrap_err().kind, ErrorKind::Unknown);
        assert!(logins.may_try(after, "list", "/p").is_ok(), "it was not answered");
        assert!(logins.judged(Err::<(), _>(error(ErrorKind::NotFound)), began).await.is_err());
        for _ in 0..2 {
            assert!(logins.may_try(after, "list", "/p").is_ok(), "it is logged in");
        }
        let told = logins.judged::<()>(Err(error(REFUSED)), after).await.unwrap_err();
        assert!(told.detail.contains("tries no other login"), "the first one says so, too");
    }

    #[test]
    fn an_expired_ticket_is_explained_by_the_kdc() {
        let now = Instant::now();
        let after = |login: Result<(), NoTicket>| {
            let logins = logins("/no/such/keytab");
            assert!(logins.shut(&error(ErrorKind::NoTicket), now, now));
            logins.asked(login, now);
            logins.may_try(now, "list", "/p").err().map(|e| (e.kind, e.detail))
        };
        assert_eq!(after(Ok(())), None);
        let silent = after(Err(NoTicket::Silent("no KDC".into())));
        assert_eq!(silent, Some((ErrorKind::SilentKdc, "no KDC".into())));
        let refused = after(Err(NoTicket::Refused("Password incorrect".into())));
        let (kind, text) = refused.expect("refused");
        assert!(kind == REFUSED && text.contains("export the keytab again"), "{text}");
    }

    #[test]
    fn another_keytab_is_tried_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (logins, now) = (logins(file.path().to_str().unwrap()), Instant::now());
        assert!(logins.shut(&error(REFUSED), now, now));
        assert!(logins.may_try(now, "list", "/p").is_err());
        std::fs::write(file.path(), "another").unwrap();
        assert!(logins.may_try(now, "list", "/p").is_ok());
        assert!(logins.may_try(now, "list", "/p").is_err(), "once");
    }

    #[test]
    fn all_roots_of_an_identity_wait_together() {
        let of = |more: &str| logins_of(Some(&kerberos(more)));
        let (a, b) = (of("keytab = \"/k\"").unwrap(), of("keytab = \"/k\"").unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &of("keytab = \"/l\"").unwrap()));
        assert!(of("cache = \"/c\"").is_none() && logins_of(None).is_none());
    }
}
