//! The daemon on a real Kafka of three brokers and a real HDFS, from the testbed. One scenario
//! after the other: some of them kill servers. `cargo test --test servers NAME` runs one.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod faults;
mod group;
mod merge;
mod mistakes;
mod operate;
mod page;
mod readers;
mod records;
mod starts;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use support::Cluster;

type Scenario = fn(&Cluster);

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let scenarios: Vec<(&str, Scenario)> = vec![
        ("the_tutorial_by_console_tools", records::the_tutorial_by_console_tools),
        ("every_byte_of_every_record", records::every_byte_of_every_record),
        ("record_time_windows", records::record_time_windows),
        ("a_local_directory", records::a_local_directory),
        ("foreign_readers", readers::foreign_readers),
        ("starts_patterns_and_idle_rolls", starts::starts_patterns_and_idle_rolls),
        ("one_count_over_all_instances", merge::one_count_over_all_instances),
        ("fields_keys_and_odd_times", merge::fields_keys_and_odd_times),
        ("a_source_that_nobody_reads", merge::a_source_that_nobody_reads),
        ("more_words_than_memory", merge::more_words_than_memory),
        ("an_operator_at_work", operate::an_operator_at_work),
        ("the_page_in_a_browser", page::the_page_in_a_browser),
        ("damage_is_found", audit::damage_is_found),
        ("join_stop_and_kill_under_load", group::join_stop_and_kill_under_load),
        ("a_group_that_never_rests", group::a_group_that_never_rests),
        ("an_offset_that_was_moved", group::an_offset_that_was_moved),
        ("offsets_that_were_deleted", group::offsets_that_were_deleted),
        ("joins_after_retention", group::joins_after_retention),
        ("retention_that_overtook", group::retention_that_overtook),
        ("a_topic_that_was_made_again", mistakes::a_topic_that_was_made_again),
        (
            "a_topic_that_is_made_again_under_a_daemon",
            mistakes::a_topic_that_is_made_again_under_a_daemon,
        ),
        ("roots_that_were_wiped_or_changed", mistakes::roots_that_were_wiped_or_changed),
        ("two_instances_of_one_name", mistakes::two_instances_of_one_name),
        ("aborted_and_compacted_input", mistakes::aborted_and_compacted_input),
        ("partitions_that_were_added", mistakes::partitions_that_were_added),
        ("what_another_version_wrote", mistakes::what_another_version_wrote),
        ("hdfs_goes_away_and_comes_back", faults::hdfs_goes_away_and_comes_back),
        ("hdfs_takes_nothing_for_a_while", faults::hdfs_takes_nothing_for_a_while),
        ("every_broker_of_three_is_killed", faults::every_broker_of_three_is_killed),
        ("every_wrong_start_says_what_is_wrong", faults::every_wrong_start_says_what_is_wrong),
    ];
    let wanted = |name: &str| arguments.filter.as_ref().is_none_or(|f| name.contains(f.as_str()));
    if arguments.list || !scenarios.iter().any(|(name, _)| wanted(name)) {
        let none = |(name, _): (&'static str, Scenario)| Trial::test(name, || Ok(()));
        libtest_mimic::run(&arguments, scenarios.into_iter().map(none).collect()).exit();
    }
    let cluster = Arc::new(Cluster::start("servers", 1_000, 3, 1));
    let trials = scenarios.into_iter().map(|(name, scenario)| {
        let cluster = Arc::clone(&cluster);
        Trial::test(name, move || {
            scenario(&cluster);
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // The trials' clones are gone: this stops the servers.
    drop(cluster);
    conclusion.exit()
}

/// The configuration that most scenarios share; everything has the scenario's name.
fn config(cluster: &Cluster, name: &str, mapping: &str) -> String {
    format!(
        r#"{}[archive.roll]
age = "3s"
[daemon]
workers = 2
commit_interval = "500ms"
{mapping}
"#,
        cluster.head(name, 10_000)
    )
}

/// Where a scenario keeps its files.
fn home(cluster: &Cluster, name: &str) -> std::path::PathBuf {
    cluster.state.join("tests").join(name)
}
