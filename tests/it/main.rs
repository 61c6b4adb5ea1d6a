//! The daemon on real servers, from the testbed: scenarios on one cluster, and incidents that have
//! clusters of their own. `cargo test --release --test it NAME` runs those whose names contain
//! NAME; `-- --list` names them and starts nothing. What runs beside what: [`lanes`].
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod busy;
mod chaos;
mod crashes;
mod erasure;
mod expected;
mod lanes;
mod network;
mod secure;
mod servers;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use lanes::{LAST, Lanes, Place};
use libtest_mimic::{Arguments, Trial};
use support::{Cluster, beside, broker_front, is_too_late, log, recording, secured};

/// Scenarios of one cluster that run at the same time.
const SIDE_BY_SIDE: usize = 3;

/// A cluster that the first scenario starts, and that ends with the last.
struct Shared {
    name: &'static str,
    cluster: OnceLock<Result<Cluster, ()>>,
}

impl Shared {
    fn new(name: &'static str) -> Shared {
        Shared { name, cluster: OnceLock::new() }
    }

    fn cluster(&self) -> &Cluster {
        let start = || std::panic::catch_unwind(|| Cluster::start(self.name, 3, 1)).map_err(drop);
        self.cluster
            .get_or_init(start)
            .as_ref()
            .expect("the testbed did not start, as was said above")
    }
}

/// Which try of a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Try {
    First,
    /// It was too late beside others, and runs alone. Its topics and its group exist in the shared
    /// cluster, so it has another one.
    Second,
}

/// A scenario, where it stands, and what it does.
struct Planned {
    name: String,
    place: Place,
    run: Box<dyn Fn(Try) + Send>,
}

/// All scenarios. Lane 0 has the shared cluster, lane 1 the incidents with clusters of their own,
/// lane 2 secured and highly available servers, lane 3 clients that are cut off, and the last one
/// what compares times.
fn plan(one_by_one: bool) -> Vec<Planned> {
    let shared = ["servers", "servers-again"].map(Shared::new);
    let shared = Arc::new(shared);
    let stages = [
        (0, 0, SIDE_BY_SIDE, servers::SIDE_BY_SIDE),
        (0, 1, 1, servers::STOP_SERVERS),
        (LAST, 0, 1, servers::COMPARE_TIMES),
    ];
    let mut all = Vec::new();
    for (lane, stage, width, scenarios) in stages {
        for (name, scenario) in scenarios {
            let (name, shared) = (format!("servers::{name}"), Arc::clone(&shared));
            let width = if one_by_one { 1 } else { width };
            let run = Box::new(move |of: Try| scenario(shared[of as usize].cluster()));
            all.push(Planned { name, place: Place { lane, stage, width }, run });
        }
    }
    let incidents: [(&str, fn()); 4] = [
        ("crashes::every_step", crashes::every_step),
        (
            "erasure::only_a_codec_that_is_written_is_taken",
            erasure::only_a_codec_that_is_written_is_taken,
        ),
        ("chaos::random_incidents", chaos::random_incidents),
        ("network::the_network_is_pulled", network::apart),
    ];
    let (lane, stage) = if one_by_one { (0, 2) } else { (1, 0) };
    let place = Place { lane, stage, width: 1 };
    let own = incidents.map(|(name, run)| {
        let run = Box::new(move |_| run());
        Planned { name: name.into(), place, run }
    });
    all.extend(own);
    let secured: [(&str, fn()); 4] = [
        ("secure::kerberos", secure::kerberos),
        ("secure::logins_and_rights", secure::logins_and_rights),
        ("secure::namenodes_fail_over", secure::namenodes_fail_over),
        ("secure::roots_of_every_kind", secure::roots_of_every_kind),
    ];
    let place = if one_by_one { place } else { Place { lane: 2, stage: 0, width: 1 } };
    let secured = secured.map(|(name, run)| {
        let run = Box::new(move |_| run());
        Planned { name: name.into(), place, run }
    });
    all.extend(secured);
    // It waits most of the time, so it lengthens no other lane.
    let place = if one_by_one { place } else { Place { lane: 3, stage: 0, width: 1 } };
    let run = Box::new(|_| servers::cut_off::clients_that_lose_their_brokers());
    all.push(Planned { name: CUT_OFF.into(), place, run });
    let compared: [(&str, fn()); 2] = [
        (
            "secure::a_mapping_whose_rights_are_taken_away",
            secure::a_mapping_whose_rights_are_taken_away,
        ),
        (STORES, secure::a_mapping_whose_stores_are_away),
    ];
    let place = Place { lane: LAST, stage: 0, width: 1 };
    all.extend(compared.map(|(name, run)| {
        let run = Box::new(move |_| run());
        Planned { name: name.into(), place, run }
    }));
    for named in alerts::scenarios() {
        assert!(all.iter().any(|p| p.name == named), "tests/it/alerts.toml: no scenario {named}");
    }
    all
}

/// None of its resources is broken in every run.
const STORES: &str = "secure::a_mapping_whose_stores_are_away";

/// It takes more than three minutes, and runs when `ALLUVIUM_CUT_OFF` is set.
const CUT_OFF: &str = "servers::clients_that_lose_their_brokers";

fn is_ignored(name: &str) -> bool {
    let is_cut_off_wanted = std::env::var_os("ALLUVIUM_CUT_OFF").is_some();
    is_impossible(name)
        || name == STORES && !beside::are_all_wanted()
        || name == CUT_OFF && !is_cut_off_wanted
}

/// What can't be tried on this machine.
fn is_impossible(name: &str) -> bool {
    name.starts_with("network::") && !network::can_be_apart()
}

/// A scenario as the harness runs it: it waits for its turn, and its daemons' logs must be as
/// expected. One that was too late beside others has a second try alone.
fn trial(lanes: &Arc<Lanes>, Planned { name, run, .. }: Planned) -> Trial {
    let (lanes, of) = (Arc::clone(lanes), name.clone());
    let ignored = is_ignored(&name);
    let trial = Trial::test(name, move || {
        let mut turn = lanes.wait_for(&of);
        let mut failure = attempt(&of, || run(Try::First));
        if let Some(first) = &failure
            && is_too_late(&first.said)
            && turn.again(&first.with_logs)
        {
            println!("{of} was too late beside others, and is tried again: {}", first.said);
            turn = lanes.wait_for(&of);
            failure = attempt(&of, || run(Try::Second));
        }
        let (said, with_logs) = failure.map(|f| (f.said, f.with_logs)).unzip();
        turn.ended(with_logs);
        said.map_or(Ok(()), |f| Err(f.into()))
    });
    trial.with_ignored_flag(ignored)
}

/// Why a scenario failed.
struct Failure {
    /// What its panic said.
    said: String,
    /// The same, and the ends of its daemons' logs.
    with_logs: String,
}

/// Runs a scenario once.
fn attempt(name: &str, run: impl FnOnce()) -> Option<Failure> {
    log::forget();
    alerts::begin(name);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        run();
        log::assert_expected(&expected::of(name));
        if let Some(recording) = recording::end() {
            alerts::assert_right(name, &recording);
        }
    }));
    drop(recording::end());
    let said = reason(outcome.err()?.as_ref());
    let with_logs = said.clone() + &log::last_lines();
    Some(Failure { said, with_logs })
}

/// What a panic said.
fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text").to_string()
}

fn main() -> ExitCode {
    // Of the clusters that SECURE=1 secures, one is up at a time.
    let is_crashes = std::env::args().any(|argument| argument.contains("crashes"));
    secured::be_let_in(if is_crashes { "crashes" } else { "chaos" });
    log::assert_checks_see();
    broker_front::assert_answers_are_right();
    lanes::assert_order_is_kept();
    if network::is_apart() {
        network::the_network_is_pulled();
        log::assert_expected(&expected::of("network::the_network_is_pulled"));
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    let all = plan(arguments.test_threads == Some(1));
    let wanted = |p: &&Planned| {
        let named = Trial::test(p.name.clone(), || Ok(()));
        !arguments.is_filtered_out(&named) && !is_ignored(&p.name)
    };
    for p in all.iter().filter(|p| is_impossible(&p.name) && !arguments.list) {
        if !arguments.is_filtered_out(&Trial::test(p.name.clone(), || Ok(()))) {
            support::not_tried(&p.name, network::NOT_APART);
        }
    }
    let places = all.iter().filter(wanted).map(|p| (p.name.clone(), p.place)).collect();
    let lanes = Arc::new(Lanes::new(places));
    let trials: Vec<Trial> = all.into_iter().map(|p| trial(&lanes, p)).collect();
    // Each has a thread, and waits there for its turn.
    arguments.test_threads = Some(trials.len());
    let conclusion = libtest_mimic::run(&arguments, trials);
    lanes.report_outcomes(Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/it-failures")));
    conclusion.exit_code()
}
