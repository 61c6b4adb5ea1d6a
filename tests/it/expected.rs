//! Warnings and errors that scenarios expect in their daemons' logs, each with its reason. Any other
//! fails its scenario.

use crate::support::log::Expected;

/// What a scenario expects.
pub(crate) fn of(scenario: &str) -> Vec<Expected> {
    let mine = SCENARIOS.iter().filter(|(name, _)| *name == scenario);
    mine.flat_map(|(_, lines)| lines.iter().copied()).collect()
}

const SCENARIOS: &[(&str, &[Expected])] = &[];
