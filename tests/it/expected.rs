//! Warnings and errors that scenarios expect in their daemons' logs: `expected.toml`.

use std::collections::BTreeMap;

use crate::support::log::Expected;

/// The section whose lines are expected of every scenario: as warnings, unless a line names the
/// level of errors.
const ANYWHERE: &str = "anywhere";

/// Load explains a few lines of a kind in a daemon's log, not a stream of them.
const MOST_BY_LOAD: usize = 5;

/// What a scenario expects.
pub(crate) fn of(scenario: &str) -> Vec<Expected> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/expected.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let all: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(&text).unwrap();
    let wanted = all.into_iter().filter(|(of, _)| of == ANYWHERE || of == scenario);
    let expected = |(of, lines): (String, BTreeMap<String, String>)| {
        let only_warnings = of == ANYWHERE;
        lines.into_keys().map(move |part| {
            let most = only_warnings.then_some(MOST_BY_LOAD);
            let only_warnings = only_warnings && !part.starts_with("ERROR ");
            Expected { part, only_warnings, most }
        })
    };
    wanted.flat_map(expected).collect()
}
