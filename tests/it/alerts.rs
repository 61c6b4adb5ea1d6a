//! Which alerts fire in which scenario, and which scenarios are healthy: `alerts.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::support::TOO_LATE;
use crate::support::recording::{self, Firing, Recording};

/// Seconds for which a recorded second counts, where the table says nothing else.
const STRETCH: u64 = 60;

/// An alert that fires in a scenario.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fires {
    scenario: String,
    /// Labels that the alert must have, in the notation of PromQL.
    labels: String,
    /// Labels with which it must not fire: of a healthy daemon beside the one that has the trouble.
    silent: Option<String>,
    stretch: Option<u64>,
}

/// The table. That it has each alert of the rules, tests/files.rs checks.
#[derive(Deserialize)]
struct Table {
    fires: BTreeMap<String, Fires>,
    /// Healthy scenarios, each with the reason to look at it.
    silent: BTreeMap<String, String>,
}

impl Table {
    fn read() -> Table {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/alerts.toml");
        toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }
}

/// The scenarios that the table names.
pub(crate) fn scenarios() -> Vec<String> {
    let table = Table::read();
    let fires = table.fires.into_values().map(|f| f.scenario);
    fires.chain(table.silent.into_keys()).collect()
}

/// The daemons of this scenario are recorded, if the table names it.
pub(crate) fn begin(scenario: &str) {
    if scenarios().iter().any(|s| s == scenario) {
        recording::begin();
    }
}

/// The alerts of the table fire; none does, if the scenario is a healthy one.
pub(crate) fn assert_right(scenario: &str, recording: &Recording) {
    let table = Table::read();
    let mut by_stretch: BTreeMap<u64, Vec<Firing<'_>>> = BTreeMap::new();
    if table.silent.contains_key(scenario) {
        let _ = by_stretch.insert(STRETCH, Vec::new());
    }
    for (alert, Fires { labels, silent, stretch, .. }) in
        table.fires.iter().filter(|(_, f)| f.scenario == scenario)
    {
        let all = by_stretch.entry(stretch.unwrap_or(STRETCH)).or_default();
        all.push(Firing { alert, labels, silent: silent.as_deref() });
    }
    for (stretch, firing) in by_stretch {
        let file = recording::file_of(scenario, stretch);
        if let Err(report) = recording.play(&file, stretch, &firing) {
            panic!("{TOO_LATE}alerts that are not as tests/it/alerts.toml says: {report}");
        }
    }
}
