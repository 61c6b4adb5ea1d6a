//! What several commands do first: open the stores, or ask the brokers for the partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clients::kafka;
use crate::clients::store::{self, Deadlines, Store, StoreError};
use crate::common::config::{Config, Root};
use crate::outside::audit::brokers::{Brokers, LookError, blocking};
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::EX_UNAVAILABLE;
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

/// Runs `work` on the stores of a configuration's roots, one a root.
pub(super) fn on_stores(
    config: &ConfigArgs,
    work: impl AsyncFnOnce(&Arc<Config>, &[Arc<dyn Store>]) -> Result<u8, LookError>,
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
        let open = |root: &&Root| store::open(root, Deadlines::default());
        let stores = roots.values().map(open).collect::<Result<Vec<_>, StoreError>>()?;
        work(&config, &stores).await
    });
    done.unwrap_or_else(|e| {
        complain(&e.to_string());
        EX_UNAVAILABLE
    })
}

/// All partitions that a group of this configuration shares out.
pub(super) async fn partitions(
    config: &Arc<Config>,
    brokers: &Brokers,
) -> Result<Vec<TopicPartition>, LookError> {
    let (consumer, config) = (Arc::clone(&brokers.consumer), Arc::clone(config));
    let topics = blocking(move || daemon::topics::subscription(&config, &consumer)).await?;
    brokers.partitions(topics).await
}
