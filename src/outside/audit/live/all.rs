//! Everything that is tried, in order.

use std::sync::Arc;
use std::time::Duration;

use crate::clients::kafka::{Consumer, Transactions, Twins, consumer_config, producer_config};
use crate::common::config::Config;
use crate::outside::audit::brokers::Brokers;
use crate::outside::audit::live::tried::{Attempted, Tried};
use crate::outside::audit::live::{identities, registry, roots, stamps, topics};

/// How long the brokers have to answer a producer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Tries everything that a configuration names.
pub async fn try_all(config: &Config) -> Vec<Tried> {
    let mut report = Attempted::default();
    identities::identities(config, &mut report).await;
    if let Some(consumer) = brokers(config, &mut report).await {
        topics::topics(config, &consumer, &mut report).await;
        topics::group(config, &consumer, &mut report).await;
        transactions(config, &mut report).await;
        stamps::clock(config, &consumer, &mut report).await;
    }
    identities::token_server(config, &mut report).await;
    registry::registry(config, &mut report).await;
    roots::roots(config, &mut report).await;
    report.0
}

async fn brokers(config: &Config, report: &mut Attempted) -> Option<Arc<Consumer>> {
    let what = format!("brokers {}", config.kafka.bootstrap_servers);
    let met = Brokers::new(config, &[]).await;
    let met = report.of(&what, met, "they answer, and accept this client");
    met.map(|brokers| brokers.consumer)
}

/// A producer under a name that no worker has: its id and its timeout are accepted, or refused.
async fn transactions(config: &Config, report: &mut Attempted) {
    let id = format!("{}-check", config.kafka.group_id);
    let what = format!("transactional id {id}");
    let settings = producer_config(config, "check", 0);
    let tried = match settings.and_then(|of| Ok((of, consumer_config(config)?))) {
        Ok((mut settings, of_group)) => {
            let _ = settings.set("transactional.id", &id);
            let ready = move || {
                let transactions = Transactions::new(move || Ok(settings.clone()), PATIENCE);
                // It knows the group's name, which a right that is missing is told with.
                let mut transactions = transactions.beside(Arc::new(Twins::of(&of_group)));
                transactions.ready().map(|_| ()).map_err(|e| e.to_string())
            };
            let done = tokio::task::spawn_blocking(ready).await;
            done.unwrap_or_else(|e| Err(e.to_string()))
        }
        Err(error) => Err(error.to_string()),
    };
    let good = "a producer of this prefix, and its transaction.timeout.ms, are accepted";
    let _ = report.of(&what, tried, good);
}
