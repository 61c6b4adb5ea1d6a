//! The registry of schemas.

use std::sync::Arc;

use crate::clients::registry::RegistryClient;
use crate::common::config::Config;
use crate::outside::audit::live::tried::Attempted;

/// Asks the registry, if the configuration names one.
pub(super) async fn registry(config: &Config, report: &mut Attempted) {
    let Some(registry) = &config.registry else { return };
    let what = format!("registry {}", registry.url);
    let client = RegistryClient::new(Arc::clone(registry));
    let asked = tokio::task::spawn_blocking(move || client.kinds()).await;
    let asked = asked.unwrap_or_else(|e| Err(e.to_string()));
    let asked = asked.and_then(|kinds| match kinds.iter().any(|kind| kind == "AVRO") {
        true => Ok(()),
        false => Err(format!("it has no schemas of Avro, but {}", kinds.join(", "))),
    });
    let _ = report.of(&what, asked, "it answers, and has schemas of Avro");
}
