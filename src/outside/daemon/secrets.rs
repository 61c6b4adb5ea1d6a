//! The files of secrets and certificates that the clients were made with. A client keeps what it
//! has read, so a daemon whose files have changed starts anew, in the same process.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::common::config::Kafka;
use crate::outside::daemon::systemd;

/// How long a daemon waits whose login the brokers refuse, before it logs in again: an account that
/// is locked after some failures stays usable.
const PAUSE: Duration = Duration::from_secs(300);

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
        let hash = |path: &PathBuf| {
            let content = std::fs::read(path).ok()?;
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            Some(hasher.finish())
        };
        let files = kafka.files().into_iter().map(|path| (hash(&path), path));
        Secrets { files: files.map(|(hash, path)| (path, hash)).collect() }
    }

    /// The files whose content is another one now, in words; [`None`] if there are none. A file
    /// that can't be read now is not one of them.
    pub(super) fn changed(&self, kafka: &Kafka) -> Option<String> {
        let now = Secrets::read(kafka);
        let differs = |(path, hash): &(&PathBuf, &Option<u64>)| {
            hash.is_some() && self.files.get(*path) != Some(*hash)
        };
        let changed = now.files.iter().filter(differs).map(|(path, _)| path.display().to_string());
        let changed: Vec<String> = changed.collect();
        (!changed.is_empty()).then(|| changed.join(", "))
    }
}

/// Waits until the brokers may be asked again to let this client log in, or until a file has
/// changed: without any client, so nothing is sent to the brokers. False if the process is to end.
pub async fn pause_after_refusal(kafka: &Kafka, shutdown: impl Future<Output = ()>) -> bool {
    let secrets = Secrets::read(kafka);
    let begun = tokio::time::Instant::now();
    tracing::error!(
        "the brokers refuse the login: all clients are closed, and the next try is in {} minutes, \
         or as soon as a file of kafka.secrets or a certificate has changed",
        PAUSE.as_secs() / 60
    );
    tokio::pin!(shutdown);
    while begun.elapsed() < PAUSE {
        systemd::waits("the brokers refuse the login; waiting before the next try");
        tokio::select! {
            () = &mut shutdown => return false,
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Some(files) = secrets.changed(kafka) {
            tracing::info!("{files} has changed; logging in again");
            return true;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;
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
        assert_eq!(secrets.changed(&kafka), None);
        std::fs::write(&ca, "a").unwrap();
        assert_eq!(secrets.changed(&kafka), None, "written again, with the same content");
        std::fs::write(&password, "two").unwrap();
        assert_eq!(secrets.changed(&kafka), Some(password.display().to_string()));
        std::fs::remove_file(&password).unwrap();
        assert_eq!(secrets.changed(&kafka), None, "half of a change");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_tried_again_after_minutes_and_an_end_is_heard() {
        let kafka = examples::config("[mapping.m]\ntopics = [\"t\"]").kafka;
        let begun = tokio::time::Instant::now();
        assert!(pause_after_refusal(&kafka, std::future::pending()).await);
        assert!(Duration::from_secs(300) <= begun.elapsed());
        assert!(!pause_after_refusal(&kafka, std::future::ready(())).await);
    }
}
