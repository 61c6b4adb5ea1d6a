//! Clients that ask the brokers for settings, and make topics.

use crate::clients::kafka::topics::{self, Admin};
use crate::clients::kafka::{KafkaError, base_config, consumer_config, group};
use crate::common::config::Config;

/// A client of this instance.
///
/// # Errors
/// The client library refuses `kafka.properties`.
pub(super) fn admin_of(config: &Config) -> Result<Admin, KafkaError> {
    Admin::new(&base_config(&config.kafka, &format!("alluvium-{}", config.daemon.instance))?)
}

/// The settings of one of the brokers.
pub(super) async fn broker_settings(config: &Config) -> anyhow::Result<topics::Settings> {
    let settings = consumer_config(config)?;
    let asked =
        tokio::task::spawn_blocking(move || topics::any_broker(&*group::observer(&settings)?));
    Ok(admin_of(config)?.broker_settings(asked.await??).await?)
}
