//! What several commands do first: open the stores, or ask the brokers for the partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clients::kafka;
use crate::clients::store::{self, Deadlines, Store};
use crate::common::config::{Config, Mapping, Root};
use crate::engine::archive::root::find_identity;
use crate::outside::audit::brokers::{Brokers, LookError, blocking};
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::{EX_UNAVAILABLE, EX_USAGE};
use crate::outside::cli::output::complain;
use crate::outside::daemon;
use crate::pure::record::TopicPartition;

/// What a command runs on, or its exit code.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, u8> {
    tokio::runtime::Runtime::new().map_err(|e| {
        complain(&format!("start: {e}"));
        1
    })
}

/// The roots of a configuration, as far as they answer.
#[derive(Default)]
pub(super) struct Roots {
    pub(super) open: Vec<Arc<dyn Store>>,
    /// By URL, why a root can't be read.
    pub(super) closed: BTreeMap<String, String>,
}

impl Roots {
    /// Opens these roots. One that does not answer keeps no other one from being looked at.
    async fn open(all: &BTreeMap<String, &Root>) -> Roots {
        let mut roots = Roots::default();
        for (url, root) in all {
            let answer = async {
                let store = store::open(root, Deadlines::default())?;
                find_identity(&*store).await.map(|_| store)
            };
            match answer.await {
                Ok(store) => roots.open.push(store),
                Err(e) => {
                    complain(&format!("root {url} is not looked at: {e}"));
                    let _ = roots.closed.insert(url.clone(), e.to_string());
                }
            }
        }
        roots
    }

    /// The exit code of a command over all roots that came to this one with those that answer: that
    /// nothing is wrong is known of these alone.
    pub(super) fn code_of_all(&self, code: u8) -> u8 {
        if code == 0 && !self.closed.is_empty() { EX_UNAVAILABLE } else { code }
    }

    /// Whether the roots of a mapping's records and counts answer; else the mapping is named.
    pub(super) fn has_all_of(&self, mapping: &Mapping) -> bool {
        let of_counts = mapping.count.as_ref().and_then(|count| count.archive.as_ref());
        let mut all = mapping.archive.iter().chain(of_counts).map(|archive| archive.root.url());
        let Some(url) = all.find(|url| self.closed.contains_key(url)) else { return true };
        complain(&format!(
            "mapping {:?} is not recounted: its root {url} does not answer",
            mapping.name
        ));
        false
    }

    /// The exit code of any command: what was not found may be in a root that was not looked at.
    fn code(&self, code: u8) -> u8 {
        if code == EX_USAGE && !self.closed.is_empty() { EX_UNAVAILABLE } else { code }
    }
}

/// Runs `work` on the stores of a configuration's roots, one a root.
pub(super) fn on_stores(
    config: &ConfigArgs,
    work: impl AsyncFnOnce(&Arc<Config>, &Roots) -> Result<u8, LookError>,
) -> u8 {
    let config = match config.load() {
        Ok(config) => Arc::new(config),
        Err(code) => return code,
    };
    // A client that is made without the identity says why.
    kafka::take_identity(&config.kafka);
    let roots: BTreeMap<String, _> = config.archives().map(|a| (a.root.url(), &a.root)).collect();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let done = runtime.block_on(async {
        let open = Roots::open(&roots).await;
        if open.open.is_empty() && !open.closed.is_empty() {
            return Ok(EX_UNAVAILABLE);
        }
        work(&config, &open).await.map(|code| open.code(code))
    });
    done.unwrap_or_else(|e| {
        complain(&e.to_string());
        EX_UNAVAILABLE
    })
}

/// All partitions that a group of this configuration shares out, but those whose root is closed.
pub(super) async fn partitions(
    config: &Arc<Config>,
    brokers: &Brokers,
) -> Result<Vec<TopicPartition>, LookError> {
    let (consumer, config) = (Arc::clone(&brokers.consumer), Arc::clone(config));
    let asked = Arc::clone(&config);
    let topics = blocking(move || daemon::topics::subscription(&asked, &consumer)).await?;
    // That a root does not answer was said of the root.
    let open = topics.into_iter().filter(|topic| brokers.is_open(&config, topic)).collect();
    brokers.partitions(open).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Root;

    /// Of two roots, one does not answer: the other one is looked at, and the command does not say
    /// that all is well.
    #[tokio::test]
    async fn a_root_that_does_not_answer_is_named_and_the_others_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let root = |name: &str| {
            let at = dir.path().join(name);
            std::fs::create_dir(&at).unwrap();
            let directory = at.to_str().unwrap().to_string();
            (name.to_string(), Root::Local { directory, umask: None })
        };
        let all = [root("broken"), root("good")];
        let link = dir.path().join("broken/_alluvium");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        let by_url = all.iter().map(|(name, root)| (name.clone(), root)).collect();
        let roots = Roots::open(&by_url).await;
        assert_eq!(roots.open.len(), 1);
        assert!(roots.open[0].url().ends_with("/good"));
        assert_eq!(roots.closed.keys().collect::<Vec<_>>(), ["broken"]);
        for (code, of_one, of_all) in [(0, 0, 69), (EX_USAGE, 69, EX_USAGE), (65, 65, 65)] {
            assert_eq!((roots.code(code), roots.code_of_all(code)), (of_one, of_all));
            let all = Roots::default();
            assert_eq!((all.code(code), all.code_of_all(code)), (code, code));
        }
    }
}
