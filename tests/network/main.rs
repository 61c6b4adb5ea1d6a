//! The network is pulled out under a daemon, its brokers, NameNode and DataNodes, all at once: nothing is
//! refused, nothing is closed, nothing comes back. Then it is plugged in again.
//!
//! All of them run in a network namespace of their own, which needs root; without, this says so.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

use std::process::Command;
use std::time::Duration;

use support::load::{check, load, mapping};
use support::{Cluster, Daemon, eventually};

/// Set inside of the namespace.
const APART: &str = "ALLUVIUM_APART";
const OUTAGE_S: u64 = 45;

fn main() {
    if std::env::args().any(|a| a == "--list") {
        return;
    }
    if std::env::var_os(APART).is_some() {
        return the_network_is_pulled();
    }
    let try_it = "ip link set lo up && ip link set lo down && ip link set lo up";
    let apart = |command: &mut Command| command.status().is_ok_and(|s| s.success());
    if !apart(Command::new("unshare").args(["--net", "--", "sh", "-c", try_it])) {
        println!("NOT RUN: no network namespace can be made here (root, CAP_SYS_ADMIN)");
        return;
    }
    let me = std::env::current_exe().unwrap();
    let whole = apart(Command::new("unshare").args(["--net", "--"]).arg(me).env(APART, "1"));
    std::process::exit(i32::from(!whole));
}

fn link(state: &str) {
    let done = Command::new("ip").args(["link", "set", "lo", state]).status().unwrap();
    assert!(done.success(), "ip link set lo {state}: {done}");
}

fn the_network_is_pulled() {
    link("up");
    let cluster = Cluster::start("network", 8_000, 3, 1);
    let (name, topic) = ("pulled", "pulled-in");
    let seconds = 20 + OUTAGE_S;
    cluster.create_topic(topic, 4);
    let config = cluster.head(name, 10_000)
        + "[archive.roll]\nage = \"3s\"\n[daemon]\nworkers = 2\n"
        + &mapping(name);
    let dir = cluster.state.join("tests").join(name);
    let mut daemon = Daemon::start(&dir, "a", &config);
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    let load = load(&cluster, topic, seconds);
    std::thread::sleep(Duration::from_secs(10));
    let counted = || daemon.metric("alluvium_results_position", topic);
    eventually("under way", Duration::from_secs(30), || 2_000.0 <= counted());
    let (before, lines) = (counted(), daemon.log_text().lines().count());
    link("down");
    std::thread::sleep(Duration::from_secs(OUTAGE_S));
    let said = daemon.log_text().lines().count() - lines;
    link("up");
    println!(
        "{before} records were counted before; {said} lines were logged in {OUTAGE_S} s without"
    );
    assert!(daemon.is_running());
    assert!((1..=100).contains(&said), "silent, or a flood: {said} lines in {OUTAGE_S} s");
    let sent = load.join().unwrap();
    check(&cluster, daemon, name, seconds * 1_000, &sent);
    println!("pulled for {OUTAGE_S} s: records={} lost=0 doubled=0", seconds * 1_000);
}
