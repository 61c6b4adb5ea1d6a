//! Real servers, the real daemon, and an oracle that recomputes everything from the input.
//! Shared by the tests of `tests/it` and the benchmarks, which do not use all of it.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod admin;
mod archive;
pub mod beside;
pub mod broker_front;
pub mod browser;
mod cluster;
mod daemon;
mod frames;
mod lines;
pub mod load;
pub mod log;
pub mod manual;
mod ports;
mod promtool;
pub mod recording;
mod registry;
pub mod replies;
pub mod scene;
pub mod secured;

use std::time::{Duration, Instant};

pub use archive::{Archived, ReadBack, assert_each_once, ends_of, read_names, tree};
pub use cluster::{Cluster, Producing, assert_taken, flush, send, send_full};
pub use daemon::{Daemon, alluvium, alluvium_with, assert_line, check_live};
pub use lines::Lines;
pub use ports::free_port;
pub use promtool::promtool;
pub use registry::register;

/// Begins what a scenario says that has waited too long, or that has counted by time. A machine
/// that does other work, too, may be the reason.
pub const TOO_LATE: &str = "too late: ";

/// Whether a scenario that failed with this text may have been right, and only too late. What it
/// says of records, files and counts is never excused.
pub fn is_too_late(said: &str) -> bool {
    said.starts_with(TOO_LATE)
}

/// Says that something can't be tried on this machine: here, and at the end of `testbed/steps`, so
/// that nobody takes it for passed.
pub fn not_tried(what: &str, why: &str) {
    use std::io::Write as _;
    println!("NOT TRIED: {what}: {why}");
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/not-tried");
    let file = std::fs::File::options().create(true).append(true).open(file);
    let written = file.and_then(|mut file| writeln!(file, "{what}: {why}"));
    written.unwrap_or_else(|e| panic!("what was not tried can't be written down: {e}"));
}

/// Waits until `done` holds.
pub fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "{TOO_LATE}not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
