//! Nothing goes wrong unheard: what people are told by log and metrics, and what goes on after a
//! panic.

use std::io::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use tracing::Dispatch;

use crate::common::health::Subject;
use crate::common::metrics::Metrics;
use crate::engine::worker::inbox::Message;
use crate::engine::worker::lives::oracle;
use crate::engine::worker::lives::topics::{MERGED, all, tp};
use crate::engine::worker::lives::world::{AGE, World, feed, in_paused_time};
use crate::fakes::network::{Always, Failure, Network};
use crate::pure::formats::partials::{Packer, header};
use crate::pure::layout::names::MANIFEST;
use crate::pure::protocol::OnGap;
use crate::pure::record::{Offset, OffsetRange, TopicPartition};

/// What was logged while it ran, on this thread.
fn heard(life: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // With a single subscriber alive, a line that another test's thread reaches first is switched
    // off for all threads.
    static SECOND: LazyLock<Dispatch> =
        LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    let _ = LazyLock::force(&SECOND);
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let log = log.with_max_level(tracing::Level::DEBUG);
    tracing::subscriber::with_default(log.finish(), life);
    let text = lines.0.lock().clone();
    String::from_utf8(text).expect("UTF-8")
}

impl World {
    fn metrics(&self, who: usize) -> Arc<Metrics> {
        Arc::clone(&self.processes[who].worker.env.metrics)
    }

    /// A first process with all partitions; `always` goes wrong from the beginning.
    fn begin(always: Option<Always>) -> World {
        let mut world = World::new(None);
        let first = world.start();
        world.processes[first].network.always(always);
        let generation = world.next_generation();
        world.give(first, &generation, &all());
        feed(&world, 0);
        world
    }
}

fn permission(metrics: &Metrics) -> u64 {
    metrics.store_errors.with_label_values(&["permission"]).get()
}

#[test]
fn an_append_that_is_refused_is_told_with_its_cause_and_counted() {
    let log = heard(|| {
        in_paused_time(async {
            let mut world = World::begin(None);
            world.steps(Duration::from_millis(3_000)).await;
            let is_append = |call: &str| call.starts_with("rename") && call.ends_with(MANIFEST);
            world.processes[0].network.always(Some((is_append, Failure::Denied)));
            feed(&world, 1);
            world.steps(Duration::from_secs(20)).await;
            let metrics = world.metrics(0);
            assert!(0 < metrics.appends.with_label_values(&["again"]).get());
            assert!(0 < permission(&metrics), "the refusal is not counted");
            world.processes[0].network.always(None);
            world.finish().await;
        });
    });
    let line = log.lines().find(|l| l.contains("waits for its root") && l.contains(MANIFEST));
    assert!(line.is_some_and(|l| l.contains("rename")), "nobody says why:\n{log}");
}

/// A store that answers reads, and takes no file, for two and a half minutes. The daemon, which
/// hears of every call, tells of the root; a partition tells when it has begun, and nothing else.
#[test]
fn a_store_that_takes_no_files_is_told_once_and_records_are_not_read_again_and_again() {
    let log = heard(|| {
        in_paused_time(async {
            let mut world = World::begin(None);
            world.steps(Duration::from_millis(3_000)).await;
            let is_write = |call: &str| call.starts_with("write ") || call.starts_with("close ");
            world.processes[0].network.always(Some((is_write, Failure::Denied)));
            let read = || world.metrics(0).records.with_label_values(&["m", "source"]).get();
            let before = read();
            feed(&world, 1);
            feed(&world, 2);
            world.steps(Duration::from_secs(150)).await;
            let metrics = world.metrics(0);
            let read = metrics.records.with_label_values(&["m", "source"]).get() - before;
            assert!(read <= 24, "{read} records were read for 12 that came");
            assert!(10 < permission(&metrics), "the refusals are not counted");
            let detached = &metrics.detached;
            assert_eq!(detached.with_label_values(&["in", "0"]).get(), 1);
            world.processes[0].network.always(None);
            world.finish().await;
            assert_eq!(detached.with_label_values(&["in", "0"]).get(), 0);
        });
    });
    let of_partition: Vec<&str> = log.lines().filter(|l| l.contains("tp=in/0 ")).collect();
    let lines = |what: &str| of_partition.iter().filter(|l| l.contains(what)).count();
    assert_eq!(lines("the archive continues"), 1, "{log}");
    assert_eq!(lines("the partition has recovered and continues at these offsets"), 1, "{log}");
    assert_eq!(of_partition.len() - lines(" DEBUG "), 1, "{log}");
}

/// The client says once that it may not read, and nothing more until it seeks, whether it may read
/// again or not.
#[test]
fn a_refused_read_is_told_until_reading_is_allowed_again() {
    let log = heard(|| {
        in_paused_time(async {
            let mut world = World::begin(None);
            world.steps(Duration::from_millis(3_000)).await;
            let board = Arc::clone(&world.processes[0].worker.env.board);
            let refused = || board.outage(&Subject::MayRead("m".into()));
            assert_eq!(refused(), None);
            let _ = world.brokers.lock().unreadable.insert("in".into());
            world.steps(Duration::from_secs(1)).await;
            assert!(refused().is_some(), "the first refusal is not told");
            world.steps(Duration::from_secs(600)).await;
            let outage = refused().expect("it is forgotten while nothing may be read");
            assert!((30..60).contains(&outage.failures), "{outage:?}");
            // No record tells that the log may be read again.
            let _ = world.brokers.lock().unreadable.remove("in");
            world.steps(Duration::from_secs(31)).await;
            assert_eq!(refused(), None);
            world.finish().await;
        });
    });
    let begins = log.lines().filter(|l| l.contains("ERROR") && l.contains("the operation Read"));
    assert_eq!(begins.count(), 1, "{log}");
    let ends = log.lines().filter(|l| l.contains("may be read again after 10 min"));
    assert_eq!(ends.count(), 1, "{log}");
}

/// The root takes small files only. Whoever could not write a large one shows with its next file
/// that there is space again, and does not wait for the age at which files end.
#[test]
fn the_first_file_after_a_full_root_comes_early() {
    in_paused_time(async {
        AGE.set(Some(Duration::from_secs(3_600)));
        let is_file = |call: &str| call.starts_with("close ") && call.ends_with(".staged");
        let mut world = World::begin(Some((is_file, Failure::Full)));
        world.steps(Duration::from_secs(3)).await;
        let tp = tp("in", 0);
        world.processes[0].wake.send(Message::RollEarly(tp.clone()));
        world.steps(Duration::from_secs(5)).await;
        let metrics = world.metrics(0);
        assert_eq!(metrics.store_errors.with_label_values(&["no_space"]).get(), 1);
        world.processes[0].network.always(None);
        world.steps(Duration::from_secs(90)).await;
        let rolls = |reason| metrics.rolls.with_label_values(&[reason]).get();
        assert_eq!((rolls("outage"), rolls("age")), (1, 0), "of the partition that had no space");
        for tp in all() {
            world.processes[0].wake.send(Message::RollEarly(tp));
        }
        world.finish().await;
        AGE.set(None);
    });
}

#[test]
fn a_genesis_that_is_refused_is_told_with_its_cause_and_put_later() {
    let log = heard(|| {
        in_paused_time(async {
            let is_rename = |call: &str| call.starts_with("rename");
            let mut world = World::begin(Some((is_rename, Failure::Denied)));
            world.steps(Duration::from_secs(20)).await;
            assert!(0 < permission(&world.metrics(0)), "the refusal is not counted");
            world.processes[0].network.always(None);
            world.finish().await;
        });
    });
    let line = log.lines().find(|l| l.contains("waits for its root") && l.contains(MANIFEST));
    assert!(line.is_some_and(|l| l.contains("rename")), "nobody says why:\n{log}");
}

/// Whether a stop says that everything is archived, while these calls of the store are refused.
fn stops_whole(refused: fn(&str) -> bool) -> (bool, String) {
    let mut whole = None;
    let log = heard(|| {
        whole = in_paused_time(async {
            let mut world = World::begin(None);
            world.steps(Duration::from_millis(3_000)).await;
            world.processes[0].network.always(Some((refused, Failure::Denied)));
            feed(&world, 1);
            world.steps(Duration::from_secs(5)).await;
            let wait = world.drain(0);
            world.steps(Duration::from_secs(40)).await;
            let whole = wait.try_recv().ok();
            world.processes[0].network.always(None);
            whole
        });
    });
    (whole.expect("the drain has a timeout"), log)
}

#[test]
fn a_stop_says_how_much_is_not_archived() {
    for refused in [
        |call: &str| call.starts_with("close"),
        |call: &str| call.starts_with("make directory"),
        |call: &str| call.starts_with("rename"),
    ] {
        let (whole, log) = stops_whole(refused);
        assert!(!whole, "it says that all is archived:\n{log}");
        let line = log.lines().find(|l| l.contains("that were read are not archived"));
        assert!(line.is_some_and(|l| l.contains("cause=") && l.contains("planted")), "{log}");
    }
    let (whole, log) = stops_whole(|_| false);
    assert!(whole && !log.contains("are not archived"), "{log}");
}

/// A new owner counts on, and does not know yet where the archive ends: what it has counted
/// meanwhile was never in a file of its own, so a stop leaves it to the next owner and is whole.
#[test]
fn a_stop_after_a_takeover_leaves_to_the_next_owner_what_was_only_counted() {
    let mut whole = None;
    let log = heard(|| {
        whole = in_paused_time(async {
            let mut world = World::begin(None);
            world.steps(Duration::from_secs(5)).await;
            world.take(0, &all(), true);
            world.step().await;
            world.processes[0].wake.send(Message::End);
            world.step().await;
            let network = Network::default();
            // No answer comes.
            network.always(Some((|call| call.starts_with("list"), Failure::KillBefore)));
            let second = world.start_over(network);
            let generation = world.next_generation();
            world.give(second, &generation, &all());
            world.steps(Duration::from_secs(2)).await;
            feed(&world, 1);
            world.steps(Duration::from_secs(2)).await;
            let wait = world.drain(second);
            world.steps(Duration::from_secs(40)).await;
            wait.try_recv().ok()
        });
    });
    assert_eq!(whole, Some(true), "{log}");
    assert!(log.contains("the archive was behind the counts"), "{log}");
}

#[test]
fn an_archiver_whose_store_panics_is_told_and_recovers() {
    for meant in [
        |call: &str| call.starts_with("create"),
        |call: &str| call.starts_with("close"),
        |call: &str| call.starts_with("list"),
    ] {
        let log = heard(|| {
            in_paused_time(async {
                let mut world = World::begin(Some((meant, Failure::Panic)));
                world.steps(Duration::from_secs(5)).await;
                world.processes[0].network.always(None);
                world.finish().await;
            });
        });
        let line = log.lines().find(|l| l.contains("ERROR") && l.contains("planted in"));
        assert!(line.is_some(), "nobody says that it has died:\n{log}");
    }
}

#[test]
fn a_question_to_the_brokers_that_panics_is_asked_again() {
    in_paused_time(async {
        let is_read = |call: &str| call == "stable read";
        let mut world = World::begin(Some((is_read, Failure::Panic)));
        world.steps(Duration::from_secs(5)).await;
        world.processes[0].network.always(None);
        world.finish().await;
    });
}

/// Records that retention took, as one process counts them; call k of it goes wrong.
fn lost(plan: Option<(usize, Failure)>) -> (u64, usize) {
    in_paused_time(async {
        let mut world = World::begin(None);
        world.on_gap = OnGap::Record;
        world.steps(Duration::from_secs(5)).await;
        let wait = world.drain(0);
        world.drained(0, &wait).await;
        world.take(0, &all(), true);
        world.step().await;
        world.processes[0].wake.send(Message::End);
        world.step().await;
        feed(&world, 1);
        feed(&world, 2);
        // Of nine records three were archived.
        world.brokers.keep_from(&tp("in", 0), 7);
        let network = plan.map_or_else(Network::default, |(k, how)| Network::failing(k, how));
        let second = world.start_over(network);
        let generation = world.next_generation();
        world.give(second, &generation, &all());
        world.steps(Duration::from_secs(40)).await;
        (world.metrics(second).gap_records.get(), world.processes[second].network.calls())
    })
}

#[test]
fn offsets_of_a_gap_are_counted_once() {
    let (offsets, calls) = lost(None);
    assert_eq!(offsets, 4);
    for how in [Failure::Before, Failure::After] {
        for k in 1..=calls {
            assert_eq!(lost(Some((k, how))).0, 4, "call {k} went {how:?}");
        }
    }
}

#[test]
fn words_are_counted_once() {
    for merged in [false, true] {
        MERGED.set(merged);
        in_paused_time(async {
            let mut world = World::begin(None);
            world.finish().await;
            let expected: i64 = oracle::expected(&world.brokers).values().sum();
            let counted = world.metrics(0).words.with_label_values(&["m"]).get();
            assert_eq!(counted, expected as u64, "merged: {merged}");
        });
        MERGED.set(false);
    }
}

/// Anybody may write into the partials topic.
#[test]
fn a_count_that_no_reader_holds_stops_its_partition_alone() {
    MERGED.set(true);
    let log = heard(|| {
        in_paused_time(async {
            let mut world = World::begin(None);
            world.steps(Duration::from_secs(5)).await;
            let (partials, source) = (tp("g-m-partials", 0), tp("in", 0));
            let range = OffsetRange { from: Offset(3), to: Offset(4) };
            let counts = [(1_700_000_000_000, [("all", 1_u64 << 63)])];
            let forge = |_, body: &[u8], last: bool| {
                let header = header(10_000, last.then_some(0), &source, range);
                world.brokers.forge(&partials, body, header);
                Ok::<(), ()>(())
            };
            let packed = Packer::new(1, usize::MAX).pack(counts, |_| false, forge);
            assert_eq!(packed, Ok(()));
            feed(&world, 1);
            world.steps(Duration::from_secs(30)).await;
            let metrics = world.metrics(0);
            let stopped =
                |topic| metrics.stopped.with_label_values(&[topic, "0", "unreadable"]).get();
            assert_eq!([stopped("g-m-partials"), stopped("in"), stopped("out")], [1, 0, 0]);
            let read = |role| metrics.records.with_label_values(&["m", role]).get();
            assert_eq!(read("source"), 12, "the sources are read on");
        });
    });
    MERGED.set(false);
    let line = log.lines().find(|l| l.contains("ERROR") && l.contains("g-m-partials/0"));
    assert!(line.is_some_and(|l| l.contains("offset ")), "{log}");
}

/// The output topic is gone, or may not be written to: the brokers are not asked in each round.
#[test]
fn transactions_that_fail_again_and_again_are_tried_after_growing_pauses() {
    in_paused_time(async {
        let is_commit = |call: &str| call == "commit";
        let mut world = World::begin(Some((is_commit, Failure::Denied)));
        world.steps(Duration::from_secs(120)).await;
        let doubts = world.metrics(0).commits.with_label_values(&["doubt"]).get();
        assert!((5..=20).contains(&doubts), "{doubts} transactions failed in two minutes");
        world.processes[0].network.always(None);
        world.finish().await;
        // The next trouble begins with short pauses again.
        assert_eq!(world.processes[0].worker.failing.partitions().count(), 0);
    });
}

/// A topic refuses the results of one partition, such as a count that is too large.
#[test]
fn a_partition_whose_results_are_refused_holds_up_no_other_and_is_reported() {
    in_paused_time(async {
        let mut world = World::begin(None);
        let bad = tp("in", 0);
        let subject = Subject::Commits(world.processes[0].worker.name());
        let reported =
            |world: &World| world.processes[0].worker.env.board.outage(&subject).is_some();
        let _ = world.brokers.lock().refused.insert(bad.clone());
        for batch in 1..5 {
            feed(&world, batch);
            world.steps(Duration::from_secs(30)).await;
        }
        assert!(reported(&world), "an outage that lasts two minutes");
        let doubts = world.metrics(0).commits.with_label_values(&["doubt"]).get();
        assert!((5..=30).contains(&doubts), "{doubts} transactions failed in two minutes");
        let all_of = |world: &World, tp: &TopicPartition| {
            let state = world.brokers.lock();
            state.committed.get(tp).map(|(offset, _)| offset.0) == Some(state.logs[tp].end)
        };
        assert!(all_of(&world, &tp("in", 1)) && !all_of(&world, &bad));
        let _ = world.brokers.lock().refused.remove(&bad);
        world.steps(Duration::from_secs(20)).await;
        assert!(all_of(&world, &bad) && !reported(&world));
        world.finish().await;
    });
}

/// The brokers commit, and the answers are lost; then the topic rests.
#[test]
fn a_commit_whose_answer_was_lost_is_no_failure_for_ever() {
    in_paused_time(async {
        let is_commit = |call: &str| call == "commit";
        let mut world = World::begin(Some((is_commit, Failure::After)));
        let subject = Subject::Commits(world.processes[0].worker.name());
        let reported =
            |world: &World| world.processes[0].worker.env.board.outage(&subject).is_some();
        for batch in 1..20 {
            feed(&world, batch);
            world.steps(Duration::from_secs(3)).await;
        }
        let failed = world.processes[0].worker.failing.is_reported();
        world.processes[0].network.always(None);
        world.steps(Duration::from_secs(90)).await;
        assert!(failed && !reported(&world), "{failed}: nothing is left that could fail");
        assert_eq!(world.processes[0].worker.failing.partitions().count(), 0);
        world.finish().await;
    });
}
