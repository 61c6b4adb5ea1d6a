//! Mappings that can't run now: a root that can't be opened, or a topic that can't be made or does
//! not suit. They are tried again, and the other mappings run.

use std::collections::BTreeSet;

use crate::common::config::Config;
use crate::common::health::{Board, Subject};
use crate::outside::daemon::health::now_ms;
use crate::outside::daemon::unavailable::{Refusal, Refusals};

/// Who meets the outage of a mapping.
const WHO: &str = "start";

/// Passes the refusals on, if they leave a mapping that runs.
///
/// # Errors
/// They leave none. What a person has to correct comes before what may pass.
pub(super) fn unless_all(config: &Config, refusals: Refusals) -> anyhow::Result<Refusals> {
    if config.mappings.iter().any(|m| !refusals.contains_key(&m.name)) {
        return Ok(refusals);
    }
    let mut all: Vec<Refusal> = refusals.into_values().collect();
    let wrong = all.iter().position(Refusal::is_fault).unwrap_or(0);
    if all.is_empty() { Ok(Refusals::new()) } else { Err(all.swap_remove(wrong).into_error()) }
}

/// The mappings that are held after a try; `before`: those that were held. What changes is
/// reported.
pub(super) fn after(
    before: &BTreeSet<String>,
    refusals: Refusals,
    board: &Board,
) -> BTreeSet<String> {
    let now = now_ms();
    for name in before.iter().filter(|name| !refusals.contains_key(*name)) {
        board.ended(&Subject::Mapping(name.clone()), now);
    }
    for (name, refusal) in &refusals {
        let subject = Subject::Mapping(name.clone());
        let _ = board.failed(&subject, WHO, &refusal.to_string(), now);
    }
    refusals.into_keys().collect()
}

/// Nothing is said any more of mappings that are not configured any more.
pub(super) fn forget(before: &BTreeSet<String>, config: &Config, board: &Board) {
    for name in before.iter().filter(|name| config.mappings.iter().all(|m| m.name != **name)) {
        board.forget(&Subject::Mapping(name.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::daemon::examples;
    use crate::outside::daemon::unavailable::{Misconfigured, Unavailable};

    fn config() -> Config {
        examples::config("[mapping.a]\ntopics = [\"a\"]\n[mapping.b]\ntopics = [\"b\"]")
    }

    fn unavailable(names: &[&str]) -> Refusals {
        let one = |name: &&str| (name.to_string(), Unavailable("away".into()).into());
        names.iter().map(one).collect()
    }

    #[test]
    fn a_mapping_that_cannot_run_holds_up_no_other_one() {
        let (config, board) = (config(), Board::default());
        let refusals = unless_all(&config, unavailable(&["a"])).unwrap();
        let held = after(&BTreeSet::new(), refusals, &board);
        assert_eq!(held, BTreeSet::from(["a".to_string()]));
        let a = Subject::Mapping("a".into());
        assert_eq!(board.outage(&a).unwrap().cause, "away");
        assert_eq!(after(&held, unavailable(&["a"]), &board), held);
        assert!(after(&held, Refusals::new(), &board).is_empty());
        assert_eq!(board.outage(&a), None);
    }

    #[test]
    fn without_any_mapping_there_is_no_start() {
        let config = config();
        let mut refusals = unavailable(&["a"]);
        let _ = refusals.insert("b".into(), Misconfigured("wrong".into()).into());
        let error = unless_all(&config, refusals).unwrap_err();
        assert!(error.is::<Misconfigured>(), "a restart would not help: {error}");
        let error = unless_all(&config, unavailable(&["a", "b"])).unwrap_err();
        assert!(error.is::<Unavailable>());
        assert!(unless_all(&config, Refusals::new()).unwrap().is_empty());
    }

    #[test]
    fn a_mapping_that_is_removed_is_forgotten() {
        let (mut config, board) = (config(), Board::default());
        let held = after(&BTreeSet::new(), unavailable(&["a"]), &board);
        forget(&held, &config, &board);
        assert_eq!(board.outages().len(), 1);
        config.mappings.retain(|m| m.name != "a");
        forget(&held, &config, &board);
        assert!(board.outages().is_empty());
    }
}
