//! The files of secrets and certificates that the clients were made with. A client keeps what it
//! has read, so a daemon whose files have changed starts anew, in the same process.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::clients::kafka;
use crate::common::config::{Config, Kafka, Kerberos};
use crate::common::files;
use crate::outside::daemon::systemd;

/// The least time that a daemon waits whose login is refused, before it logs in again: an account
/// that is locked after some failures stays usable.
const PAUSE: Duration = Duration::from_secs(300);

/// The pauses of the instances differ by up to this time, so that a fleet whose account is refused
/// does not log in at the same moment.
const SPREAD: Duration = Duration::from_secs(60);

/// How often it looks meanwhile whether a person has mended a file.
const LOOK: Duration = Duration::from_secs(1);

/// What the files contained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Secrets {
    /// By file, a hash of its content: the content itself is not kept. [`None`] for a file that
    /// can't be read.
    files: BTreeMap<PathBuf, Option<u64>>,
}

impl Secrets {
    /// Reads all files that the clients of a configuration read.
    pub(super) fn read(kafka: &Kafka) -> Secrets {
        Secrets::of(kafka.files())
    }

    fn of(files: Vec<PathBuf>) -> Secrets {
        let hash = |path: &PathBuf| {
            let content = files::read(path).ok()?;
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            Some(hasher.finish())
        };
        let files = files.into_iter().map(|path| (hash(&path), path));
        Secrets { files: files.map(|(hash, path)| (path, hash)).collect() }
    }

    /// The files whose content is another one now, in words; [`None`] if there are none. A file
    /// that can't be read now is not one of them.
    pub(super) fn changed(&self) -> Option<String> {
        let now = Secrets::of(self.files.keys().cloned().collect());
        let differs = |(path, hash): &(&PathBuf, &Option<u64>)| {
            hash.is_some() && self.files.get(*path) != Some(*hash)
        };
        let changed = now.files.iter().filter(differs).map(|(path, _)| path.display().to_string());
        let changed: Vec<String> = changed.collect();
        (!changed.is_empty()).then(|| changed.join(", "))
    }
}

/// Waits until the brokers and the stores may be asked again to let this client log in, or until a
/// file has changed: without any client, so nothing is sent. False if the process is to end.
pub async fn pause_after_refusal(config: &Config, shutdown: impl Future<Output = ()>) -> bool {
    // Another job may renew the tickets meanwhile.
    let of_kerberos = |kerberos: &Kerberos| {
        let files = [kerberos.keytab.as_deref(), kerberos.cache_file()];
        files.into_iter().flatten().map(PathBuf::from).collect::<Vec<_>>()
    };
    let of_kerberos = config.kerberos().flat_map(of_kerberos);
    let secrets = Secrets::of(config.kafka.files().into_iter().chain(of_kerberos).collect());
    let begun = tokio::time::Instant::now();
    let pause = pause_of(&config.daemon.instance);
    tracing::error!(
        code = "AL107",
        "the login is refused: all clients are closed, and the next try is in {} seconds, or as \
         soon as a file of kafka.secrets, a certificate, a keytab or a ticket has changed",
        pause.as_secs()
    );
    tokio::pin!(shutdown);
    while begun.elapsed() < pause {
        systemd::waits("the login is refused; waiting before the next try");
        tokio::select! {
            () = &mut shutdown => return false,
            () = tokio::time::sleep(LOOK) => {}
        }
        let Some(files) = secrets.changed() else { continue };
        // A certificate comes without its key at first, for a moment.
        if kafka::refused(config).is_empty() {
            tracing::info!("{files} has changed; logging in again");
            return true;
        }
    }
    true
}

/// The pause of an instance: always the same one, and mostly another one than that of the others.
fn pause_of(instance: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    instance.hash(&mut hasher);
    let above = hasher.finish().checked_rem(SPREAD.as_millis() as u64).unwrap_or_default();
    PAUSE + Duration::from_millis(above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::daemon::examples;

    #[test]
    fn a_file_with_another_content_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (password, ca) = (dir.path().join("password"), dir.path().join("ca.crt"));
        std::fs::write(&password, "one").unwrap();
        std::fs::write(&ca, "a").unwrap();
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[kafka.properties]\n\
             \"ssl.ca.location\" = {ca:?}\n[kafka.secrets]\n\"sasl.password\" = {{ file = \
             {password:?} }}\n[archive]\nroot = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]\n"
        );
        let kafka = Config::parse(&text, Some("i")).unwrap().kafka;
        let secrets = Secrets::read(&kafka);
        assert_eq!(secrets.changed(), None);
        std::fs::write(&ca, "a").unwrap();
        assert_eq!(secrets.changed(), None, "written again, with the same content");
        std::fs::write(&password, "two").unwrap();
        assert_eq!(secrets.changed(), Some(password.display().to_string()));
        std::fs::remove_file(&password).unwrap();
        assert_eq!(secrets.changed(), None, "half of a change");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_tried_again_after_minutes_and_an_end_is_heard() {
        let config = examples::config("[mapping.m]\ntopics = [\"t\"]");
        let begun = tokio::time::Instant::now();
        assert!(pause_after_refusal(&config, std::future::pending()).await);
        assert!(Duration::from_secs(300) <= begun.elapsed());
        assert!(!pause_after_refusal(&config, std::future::ready(())).await);
    }

    #[test]
    fn the_pauses_of_a_fleet_are_spread_and_none_is_shorter() {
        let pauses: Vec<Duration> = (0..100).map(|n| pause_of(&format!("host-{n}"))).collect();
        assert!(pauses.iter().all(|pause| (PAUSE..PAUSE + SPREAD).contains(pause)));
        let mut seconds: Vec<u64> = pauses.iter().map(Duration::as_secs).collect();
        seconds.sort_unstable();
        seconds.dedup();
        assert!(40 < seconds.len(), "{seconds:?}");
        assert_eq!(pause_of("a"), pause_of("a"));
    }
}
