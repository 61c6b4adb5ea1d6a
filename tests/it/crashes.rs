//! Every named step of `alluvium::crash` on a real Kafka of three brokers and a real HDFS: the
//! daemon dies there, or stands still until another instance has taken over, with a load going on,
//! a read_committed reader and somebody who looks at the files beside it. At the end everything is
//! computed anew from the input. From one incident to the next the files have another format; with
//! ALLUVIUM_SHAPES=all each step meets each of them. `cargo test --release --test it crashes`;
//! STEP=NAME runs one step alone (or `namenode-stands-still`); `make crashes` writes
//! docs/crashes.md; with SECURE=1 the servers ask for logins and rights, and have tickets of 20 s.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alluvium::testing::Step;

use crate::support::scene::{Outcome, SHAPES, Scene};
use crate::support::{Daemon, eventually, secured};

/// Standing still here, a process comes back as a zombie with something to do.
const STOPS: &[Step] = &[
    Step::AssignmentCaptured,
    Step::TailRead,
    Step::SettleDecided,
    Step::ManifestClosed,
    Step::AppendDue,
    Step::Appended,
    Step::Renamed,
    Step::Published,
    Step::ResultsProduced,
    Step::OffsetsSent,
    Step::Committed,
];

/// The name of the one incident that is no step of its own.
const STANDSTILL: &str = "namenode-stands-still";

pub(crate) fn every_step() {
    let only = std::env::var("STEP").ok();
    let wanted = |s: &&Step| only.as_ref().is_none_or(|o| s.label() == o);
    let cluster = Arc::new(secured::start("crashes", 3, 1));
    let scene = Scene::new(&cluster, "crashes");
    let running = scene.begin();
    let (mut table, number) = (Vec::new(), Cell::new(0));
    let mut incident = |step: Step, how: &'static str| {
        let (started, shape) = (Instant::now(), scene.shape(number.get()));
        number.set(number.get() + 1);
        match how {
            "kill" => kill(&scene, step),
            _ => stop(&scene, step),
        }
        let took = started.elapsed().as_secs_f64();
        println!("{:>20} {how}  {took:.1} s  {shape}", step.label());
        table.push((step.label(), how, shape));
    };
    // The first act of a partition's life comes once only.
    let (first, rest): (Vec<&Step>, Vec<&Step>) =
        Step::ALL.iter().filter(wanted).partition(|s| **s == Step::GenesisPut);
    first.into_iter().for_each(|step| incident(*step, "kill"));
    let begins = scene.start("a", &[]);
    scene.works(&begins);
    begins.kill();
    let stops: Vec<&Step> = STOPS.iter().filter(wanted).collect();
    let all = std::env::var("ALLUVIUM_SHAPES").is_ok_and(|shapes| shapes == "all");
    for round in 0..if all { SHAPES.len() } else { 1 } {
        // Each step meets the next shape, however many steps there are.
        number.set(if all { round } else { number.get() });
        rest.iter().for_each(|step| incident(**step, "kill"));
        stops.iter().for_each(|step| incident(**step, "stop"));
    }
    if only.as_ref().is_none_or(|o| o == STANDSTILL) {
        namenode_stands_still(&scene);
    }
    let outcome = running.finish(&scene);
    let has_bad = |(_, _, shape): &(&str, &str, &str)| shape.contains("quarantine");
    assert_eq!(0 < outcome.bad, table.iter().any(has_bad), "{} bad records", outcome.bad);
    report(&table, &outcome);
}

/// An instance that comes to the step, and the one that brings it there if need be.
fn reach(scene: &Scene, step: Step, how: &str) -> (Daemon, Option<Daemon>) {
    // Something must be left behind first.
    match step {
        Step::RolledForward => kill(scene, Step::Appended),
        Step::SettleDecided => kill(scene, Step::FilesClosed),
        _ => {}
    }
    let plan = format!("{}:1:{how}", step.label());
    let mut daemon = scene.start("a", &[("ALLUVIUM_CRASH", &plan)]);
    let mut helper = None;
    match step {
        // A newcomer takes partitions away.
        Step::LeaveCommitted | Step::LeaveDiscarding => {
            scene.works(&daemon);
            helper = Some(scene.start("b", &[]));
        }
        Step::DrainCommitted => {
            scene.works(&daemon);
            daemon.signal("-TERM");
        }
        _ => {}
    }
    eventually(step.label(), Duration::from_secs(60), || {
        daemon.log_text().contains("crash point reached")
    });
    if how == "kill" {
        daemon.ended(Duration::from_secs(10));
    }
    (daemon, helper)
}

/// The daemon dies at the step.
fn kill(scene: &Scene, step: Step) {
    let (_, helper) = reach(scene, step, "kill");
    if let Some(helper) = helper {
        let _ = helper.stop();
    }
}

/// The daemon stands still at the step until another one has taken over, and goes on as a zombie.
fn stop(scene: &Scene, step: Step) {
    let (zombie, _) = reach(scene, step, "stop");
    let successor = scene.start("b", &[]);
    scene.owns_all(&successor);
    scene.works(&successor);
    zombie.signal("-CONT");
    // Time for the zombie to do what it was about to do.
    std::thread::sleep(Duration::from_secs(3));
    zombie.kill();
    let _ = successor.stop();
}

/// The NameNode stands still for three quarters of a minute while the append's rename is under way.
/// The daemon lives on, gives the rename up without knowing what came of it, and finds out.
fn namenode_stands_still(scene: &Scene) {
    let started = Instant::now();
    let (daemon, _) = reach(scene, Step::AppendDue, "stop");
    let _ = scene.cluster.run(&["pause", "nn"]);
    daemon.signal("-CONT");
    // Longer than two calls may take.
    std::thread::sleep(Duration::from_secs(45));
    let _ = scene.cluster.run(&["resume", "nn"]);
    let archived = || daemon.metric("alluvium_archive_position", &[]);
    let before = archived();
    // A partition that still waits for its next try would leave what it has read to the next owner.
    eventually("every archive goes on", Duration::from_secs(90), || {
        before < archived()
            && daemon.metric("alluvium_archive_detached", &[]) == 0.0
            && daemon.get("/readyz").is_some()
    });
    assert_eq!(daemon.stop(), 0);
    println!("{STANDSTILL:>20}  {:.1} s", started.elapsed().as_secs_f64());
}

/// The last line, for scripts; and the table in docs/crashes.md, which nobody writes by hand. It is
/// only reached when nothing was lost or doubled.
fn report(table: &[(&str, &str, &str)], outcome: &Outcome) {
    let shapes = |label: &str, how: &str| {
        let all = table.iter().filter(|(l, h, _)| (*l, *h) == (label, how));
        all.map(|(_, _, shape)| *shape).collect::<Vec<_>>().join("; ")
    };
    let of = |how: &str| table.iter().filter(|(_, h, _)| *h == how).count();
    let last = format!(
        "steps={} kills={} stops={} records={} quarantined={} files_watched={} lost=0 doubled=0",
        Step::ALL.len(),
        of("kill"),
        of("stop"),
        outcome.records,
        outcome.bad,
        outcome.files
    );
    println!("{last}");
    if std::env::var("ALLUVIUM_TABLE").as_deref() != Ok("1") {
        return;
    }
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let version = |name: &str| {
        let testbed = std::process::Command::new(top.join("testbed/testbed"));
        let told = { testbed }.args(["version", name]).output().unwrap().stdout;
        String::from_utf8(told).unwrap().trim().to_string()
    };
    let mut text = format!(
        "# Killed at every step\n\n`make crashes` wrote this page on {}, on Kafka {} (three \
         brokers) and HDFS {}, with librdkafka {}.\nUnder load, the daemon is killed at the step, \
         or it is paused there until another instance has taken over, and then continues as a \
         zombie.\nBeside it a read_committed reader runs, and a checker verifies that no file is \
         visible before its ledger entry.\nFrom one incident to the next, files have another \
         format, and every ninth record fits no declared columns.\nAt the end, rows and sums are \
         computed again from the input, and `alluvium verify` looks at the archive.\n\n\
         | step | killed while the files were | paused while they were |\n| --- | --- | --- |\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        version("kafka"),
        version("hdfs"),
        rdkafka::util::get_rdkafka_version().1,
    );
    for step in Step::ALL.iter().map(|s| s.label()) {
        text += &format!("| {step} | {} | {} |\n", shapes(step, "kill"), shapes(step, "stop"));
    }
    text += &format!("\n`{last}`\n");
    std::fs::write(top.join("docs/crashes.md"), text).unwrap();
}
