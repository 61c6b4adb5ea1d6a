//! Warnings and errors that scenarios expect in their daemons' logs: `expected.toml`.

use std::collections::BTreeMap;

use crate::support::log::Expected;

/// What a scenario expects.
pub(crate) fn of(scenario: &str) -> Vec<Expected> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/expected.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let all: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(&text).unwrap();
    let wanted = all.into_iter().filter(|(of, _)| of == "anywhere" || of == scenario);
    wanted.flat_map(|(_, lines)| lines).collect()
}
