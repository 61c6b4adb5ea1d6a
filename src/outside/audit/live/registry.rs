//! The registry of schemas.

use std::sync::Arc;

use crate::clients::registry::RegistryClient;
use crate::common::config::Config;
use crate::outside::audit::live::tried::Attempted;

/// The kinds of schemas that can be read.
const KINDS: [&str; 3] = ["AVRO", "JSON", "PROTOBUF"];

/// Asks the registry, if the configuration names one.
pub(super) async fn registry(config: &Config, report: &mut Attempted) {
    let Some(registry) = &config.registry else { return };
    let what = format!("registry {}", registry.url);
    let client = RegistryClient::new(Arc::clone(registry));
    let asked = tokio::task::spawn_blocking(move || client.kinds()).await;
    let asked = asked.unwrap_or_else(|e| Err(e.to_string()));
    let asked = asked.and_then(|kinds| {
        let mut known: Vec<&str> =
            KINDS.into_iter().filter(|k| kinds.iter().any(|x| x == k)).collect();
        known.sort_unstable();
        match known.is_empty() {
            false => Ok(known.join(", ")),
            true => Err(format!("it has none of {}, but {}", KINDS.join(", "), kinds.join(", "))),
        }
    });
    let said = match &asked {
        Ok(known) => format!("it answers, and has schemas of {known}"),
        Err(_) => String::new(),
    };
    let _ = report.of(&what, asked.map(drop), &said);
}
