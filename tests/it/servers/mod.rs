//! The daemon on a real Kafka of three brokers and a real HDFS: one cluster for all of these
//! scenarios but [`cut_off`]; each has topics, a group and a root of its own.

mod again;
mod audit;
mod awkward;
mod by_hand;
pub(crate) mod cut_off;
mod encodings;
mod exits;
mod faults;
mod group;
mod hive;
mod isolation;
mod languages;
mod leaving;
mod manual;
mod merge;
mod mistakes;
mod operate;
mod page;
mod parts;
mod paths;
mod readers;
mod records;
mod registry;
mod removed;
mod rolls;
mod starts;
mod trino;
mod unfit;

use std::path::Path;

use crate::support::Cluster;

type Scenario = (&'static str, fn(&Cluster));

/// They touch no server, and run side by side; the longest first.
pub(crate) const SIDE_BY_SIDE: &[Scenario] = &[
    ("one_count_over_all_instances", merge::one_count_over_all_instances),
    ("retention_that_overtook", group::retention_that_overtook),
    ("roots_that_were_wiped_or_changed", mistakes::roots_that_were_wiped_or_changed),
    ("entries_that_were_removed_alone", removed::entries_that_were_removed_alone),
    (
        "topics_of_counts_that_an_operator_made_again",
        again::topics_of_counts_that_an_operator_made_again,
    ),
    ("offsets_that_are_deleted_under_a_daemon", again::offsets_that_are_deleted_under_a_daemon),
    ("counts_that_nobody_can_read", again::counts_that_nobody_can_read),
    ("a_stranger_in_the_group", again::a_stranger_in_the_group),
    ("patterns_that_match_nothing", again::patterns_that_match_nothing),
    ("join_stop_and_kill_under_load", group::join_stop_and_kill_under_load),
    ("a_group_that_never_rests", group::a_group_that_never_rests),
    ("partitions_without_records_for_long", starts::partitions_without_records_for_long),
    ("a_transactional_id_that_is_taken", group::a_transactional_id_that_is_taken),
    ("what_another_version_wrote", mistakes::what_another_version_wrote),
    ("more_words_than_memory", merge::more_words_than_memory),
    ("an_offset_that_was_moved", group::an_offset_that_was_moved),
    ("offsets_that_were_deleted", group::offsets_that_were_deleted),
    ("a_topic_that_was_made_again", mistakes::a_topic_that_was_made_again),
    (
        "a_topic_that_is_made_again_under_a_daemon",
        mistakes::a_topic_that_is_made_again_under_a_daemon,
    ),
    ("partial_counts_that_were_deleted", mistakes::partial_counts_that_were_deleted),
    (
        "what_was_read_before_an_assignment_ends_for_good",
        leaving::what_was_read_before_an_assignment_ends_for_good,
    ),
    (
        "files_end_before_retention_deletes_their_records",
        leaving::files_end_before_retention_deletes_their_records,
    ),
    (
        "what_a_dead_owner_had_sealed_of_a_deleted_topic",
        leaving::what_a_dead_owner_had_sealed_of_a_deleted_topic,
    ),
    ("every_example_of_the_manual", manual::every_example_of_the_manual),
    ("a_source_that_nobody_reads", merge::a_source_that_nobody_reads),
    ("joins_after_retention", group::joins_after_retention),
    ("partitions_that_were_added", mistakes::partitions_that_were_added),
    ("an_operator_at_work", operate::an_operator_at_work),
    ("the_page_in_a_browser", page::the_page_in_a_browser),
    ("the_manual_in_a_browser", page::the_manual_in_a_browser),
    ("the_tutorial_by_console_tools", records::the_tutorial_by_console_tools),
    ("the_tutorial_by_hand", by_hand::the_tutorial_by_hand),
    ("two_instances_of_one_name", mistakes::two_instances_of_one_name),
    ("fields_keys_and_odd_times", merge::fields_keys_and_odd_times),
    ("every_byte_of_every_record", records::every_byte_of_every_record),
    ("record_time_windows", records::record_time_windows),
    ("a_local_directory", records::a_local_directory),
    ("foreign_readers", readers::foreign_readers),
    ("every_byte_by_other_readers", awkward::every_byte_by_other_readers),
    ("every_rule_that_rolls_files", rolls::every_rule_that_rolls_files),
    ("every_encoding_is_read", encodings::every_encoding_is_read),
    ("directories_of_values", paths::directories_of_values),
    ("a_registry_that_dies_and_comes_back", registry::a_registry_that_dies_and_comes_back),
    ("records_that_do_not_fit", unfit::records_that_do_not_fit),
    ("bad_records_that_stop", unfit::bad_records_that_stop),
    ("starts_patterns_and_idle_rolls", starts::starts_patterns_and_idle_rolls),
    ("mappings_that_cannot_run", starts::mappings_that_cannot_run),
    ("threads_are_as_many_as_the_docs_say", starts::threads_are_as_many_as_the_docs_say),
    ("every_exit_code_is_given", exits::every_exit_code_is_given),
    ("damage_is_found", audit::damage_is_found),
    ("aborted_and_compacted_input", mistakes::aborted_and_compacted_input),
    ("what_a_start_would_meet_is_tried", faults::what_a_start_would_meet_is_tried),
    ("every_wrong_start_says_what_is_wrong", faults::every_wrong_start_says_what_is_wrong),
];

/// They stop and kill servers: one after the other, when all others have ended.
pub(crate) const STOP_SERVERS: &[Scenario] = &[
    ("hdfs_goes_away_and_comes_back", faults::hdfs_goes_away_and_comes_back),
    ("hdfs_takes_nothing_for_a_while", faults::hdfs_takes_nothing_for_a_while),
    ("a_registry_of_three_languages", languages::a_registry_of_three_languages),
    ("nested_columns_of_three_languages", parts::nested_columns_of_three_languages),
    ("every_broker_of_three_is_killed", faults::every_broker_of_three_is_killed),
];

/// They compare what daemons do in the same time, so nothing else runs.
pub(crate) const COMPARE_TIMES: &[Scenario] =
    &[("a_mapping_whose_resources_break", isolation::a_mapping_whose_resources_break)];

/// As [`config`], with the archive in a directory of this machine.
fn config_with_local_root(cluster: &Cluster, name: &str, mapping: &str, root: &Path) -> String {
    let hdfs = format!("root = \"{}/{name}\"", cluster.hdfs());
    let text = config(cluster, name, mapping);
    assert!(text.contains(&hdfs), "{text}");
    text.replace(&hdfs, &format!("root = \"file://{}\"", root.display()))
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
