//! Servers that let everybody in, where Kerberos is configured.
//!
//! hdfs-native takes the first way of logging in that a server offers. One that offers SIMPLE, by a
//! mistake or because it is another server, would get the files of a client with Kerberos, which
//! would never know. Hadoop's own client refuses such a server unless
//! `ipc.client.fallback-to-simple-auth-allowed` is set, and so does this one. The library does not
//! tell which way it took, so a second client, which can't log in, asks once: if it gets an answer,
//! nobody had to log in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdfs_native::{Client, ClientBuilder, HdfsError};
use parking_lot::Mutex;

use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::hdfs::builder::stranger;
use crate::clients::store::hdfs::error::classify;

/// What is known of the server's login.
pub(super) struct SimpleLogin {
    /// A client that can't log in; [`None`] where nobody asks for Kerberos.
    stranger: Option<Arc<Client>>,
    /// The server has refused the stranger.
    refused: AtomicBool,
    /// When the stranger asked last.
    asked: Mutex<Option<Instant>>,
}

/// A stranger that was not answered asks again after this time: a silent NameNode must not hold up
/// every call.
const AGAIN: Duration = Duration::from_secs(60);

/// Whether a client with these properties must not use a server without a login. `is_configured`:
/// the configuration has an identity in Kerberos.
fn is_guarded(properties: &BTreeMap<String, String>, is_configured: bool) -> bool {
    let is = |key: &str, wanted: &str| {
        properties.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    let kerberos = is_configured || is("hadoop.security.authentication", "kerberos");
    kerberos && !is("ipc.client.fallback-to-simple-auth-allowed", "true")
}

impl SimpleLogin {
    /// `builder` builds the client of the root, and `properties` are all that it knows.
    ///
    /// # Errors
    /// The client can't be built.
    pub(super) fn new(
        builder: ClientBuilder,
        properties: &BTreeMap<String, String>,
        is_configured: bool,
    ) -> Result<SimpleLogin, HdfsError> {
        let stranger = || stranger(builder).build().map(Arc::new);
        let stranger = is_guarded(properties, is_configured).then(stranger).transpose()?;
        Ok(SimpleLogin { stranger, refused: AtomicBool::new(false), asked: Mutex::default() })
    }

    /// The client to ask with now, as long as it is not known that the server wants a login.
    pub(super) fn stranger(&self, now: Instant) -> Option<Arc<Client>> {
        let stranger = self.stranger.clone().filter(|_| !self.refused.load(Ordering::Relaxed))?;
        let mut asked = self.asked.lock();
        if asked.is_some_and(|at| now < at + AGAIN) {
            return None;
        }
        *asked = Some(now);
        Some(stranger)
    }

    /// What the stranger heard at this path.
    ///
    /// # Errors
    /// The server has let the stranger in.
    pub(super) fn heard<T>(
        &self,
        answer: Result<T, HdfsError>,
        operation: &'static str,
        path: &str,
    ) -> Result<(), StoreError> {
        let kind = answer.err().map(|e| classify(operation, path, &e).kind);
        match kind {
            Some(kind) if kind.is_login() => self.refused.store(true, Ordering::Relaxed),
            // The server has looked at what was asked for.
            None | Some(ErrorKind::NotFound | ErrorKind::Permission) => {
                let text = "Kerberos is configured, and the NameNode lets clients in without a \
                            login (hadoop.security.authentication = simple there): check the \
                            address in archive.root. If it is meant, remove archive.kerberos, or \
                            set \"ipc.client.fallback-to-simple-auth-allowed\" = \"true\" in \
                            [archive.hadoop]";
                // Everybody who asks is told.
                *self.asked.lock() = None;
                return Err(StoreError::new(ErrorKind::Authentication, operation, path, text));
            }
            // It did not answer: the next call tells more.
            Some(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_login_is_refused_where_kerberos_is_configured() {
        let security = ("hadoop.security.authentication", " Kerberos\n");
        let fallback = ("ipc.client.fallback-to-simple-auth-allowed", "true");
        for (properties, is_configured, expected) in [
            (&[][..], false, false),
            (&[][..], true, true),
            (&[security][..], false, true),
            (&[("hadoop.security.authentication", "simple")][..], false, false),
            (&[security, fallback][..], false, false),
            (&[fallback][..], true, false),
        ] {
            let map = properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            assert_eq!(is_guarded(&map, is_configured), expected, "{properties:?}");
        }
    }

    #[test]
    fn only_a_refused_login_shows_that_one_is_needed() {
        let of = || SimpleLogin {
            stranger: None,
            refused: AtomicBool::new(false),
            asked: Mutex::default(),
        };
        let not_found = || HdfsError::FileNotFound("/".into());
        assert!(of().heard(Ok(()), "read", "/").is_err());
        assert!(of().heard::<()>(Err(not_found()), "read", "/").is_err());
        let unknown = of();
        let silent = HdfsError::DataTransferError("closed".into());
        assert!(unknown.heard::<()>(Err(silent), "read", "/").is_ok());
        assert!(!unknown.refused.load(Ordering::Relaxed), "nothing is known yet");
        let refused = of();
        assert!(refused.heard::<()>(Err(HdfsError::NoSASLMechanism), "read", "/").is_ok());
        assert!(refused.refused.load(Ordering::Relaxed));
    }
}
