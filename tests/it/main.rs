//! The daemon on real servers, from the testbed: scenarios on one cluster, and incidents that have
//! clusters of their own. `cargo test --release --test it NAME` runs those whose names contain
//! NAME; `-- --list` names them and starts nothing. What runs beside what: [`lanes`].
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod crashes;
mod expected;
mod lanes;
mod network;
mod servers;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use lanes::{Lanes, Place};
use libtest_mimic::{Arguments, Trial};
use support::{Cluster, log};

/// Scenarios of one cluster that run at the same time.
const SIDE_BY_SIDE: usize = 3;

/// A cluster that the first scenario starts, and that ends with the last.
struct Shared(OnceLock<Result<Cluster, ()>>);

impl Shared {
    fn cluster(&self) -> &Cluster {
        let start = || std::panic::catch_unwind(|| Cluster::start("servers", 3, 1)).map_err(drop);
        self.0.get_or_init(start).as_ref().expect("the testbed did not start, as was said above")
    }
}

fn main() -> ExitCode {
    if network::is_apart() {
        network::the_network_is_pulled();
        log::assert_expected(&expected::of("network::the_network_is_pulled"));
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    let one_by_one = arguments.test_threads == Some(1);
    let mut all: Vec<(String, Place, Box<dyn FnOnce() + Send>)> = Vec::new();
    let shared = Arc::new(Shared(OnceLock::new()));
    for (stage, width, scenarios) in
        [(0, SIDE_BY_SIDE, servers::SIDE_BY_SIDE), (1, 1, servers::ALONE)]
    {
        for (name, scenario) in scenarios {
            let width = if one_by_one { 1 } else { width };
            let place = Place { lane: 0, stage, width };
            let shared = Arc::clone(&shared);
            all.push((
                format!("servers::{name}"),
                place,
                Box::new(move || scenario(shared.cluster())),
            ));
        }
    }
    drop(shared);
    let own: [(&str, fn()); 3] = [
        ("crashes::every_step", crashes::every_step),
        ("chaos::random_incidents", chaos::random_incidents),
        ("network::the_network_is_pulled", network::apart),
    ];
    for (name, incident) in own {
        let place = if one_by_one {
            Place { lane: 0, stage: 2, width: 1 }
        } else {
            Place { lane: 1, stage: 0, width: 1 }
        };
        all.push((name.into(), place, Box::new(incident)));
    }

    let wanted = |name: &str| {
        let trial = Trial::test(name, || Ok(()));
        !arguments.is_filtered_out(&trial)
    };
    let places = all.iter().map(|(name, place, _)| (name.clone(), *place));
    let lanes = Arc::new(Lanes::new(places.filter(|(name, _)| wanted(name)).collect()));
    let trials = all.into_iter().map(|(name, _, run)| {
        let (lanes, of) = (Arc::clone(&lanes), name.clone());
        let ignored = of.starts_with("network::") && !network::can_be_apart();
        let trial = Trial::test(name, move || {
            let turn = lanes.wait_for(&of);
            log::forget();
            run();
            log::assert_expected(&expected::of(&of));
            turn.passed();
            Ok(())
        });
        trial.with_ignored_flag(ignored)
    });
    let trials: Vec<Trial> = trials.collect();
    // Each has a thread, and waits there for its turn.
    arguments.test_threads = Some(trials.len());
    let conclusion = libtest_mimic::run(&arguments, trials);
    lanes.print_times();
    conclusion.exit_code()
}
