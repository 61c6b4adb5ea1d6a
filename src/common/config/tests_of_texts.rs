//! What people are told of faults: the key where it is written, and words that are true.

use super::tests::check;
use super::*;

#[test]
fn a_path_of_a_pattern_needs_the_topic() {
    check(
        "[mapping.b]\ntopics_regex = \"app-(?<app>.)\"\narchive = { path = \"a={capture:app}\" }",
        &["put {topic}", "{capture:NAME} is not enough"],
    );
}

#[test]
fn a_root_of_another_kind_is_told_all_that_there_are() {
    check("archive = { root = \"s3://b/c\" }", &["hdfs://", "viewfs://", "file:///"]);
}

/// The faults of a whole file, as text.
fn faults(text: &str) -> String {
    Config::parse(text, Some("i")).err().map(|f| f.to_string()).unwrap_or_default()
}

#[test]
fn an_empty_group_is_not_missing() {
    let found = faults(
        "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"\"\n[archive]\n\
         root = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]\n",
    );
    assert!(found.contains("kafka.group_id: is empty"), "{found}");
    assert!(!found.contains("is missing"), "{found}");
}

#[test]
fn a_time_that_is_inherited_is_a_fault_where_it_is_written() {
    let found = faults(
        "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n\
         [registry]\nurl = \"http://r:1\"\n[archive]\nroot = \"file:///x\"\n\
         time = { field = \"at\" }\n[mapping.m]\ntopics = [\"t\"]\n\
         archive = { value = \"registry\" }\n",
    );
    assert!(found.contains("line 8, column 1: archive.time: reads a field"), "{found}");
}

#[test]
fn a_lateness_that_is_inherited_is_a_fault_where_it_is_written() {
    let found = faults(
        "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
         root = \"file:///x\"\npath = \"{topic}\"\n[archive.roll]\nlateness = \"1m\"\n\
         [mapping.m]\ntopics = [\"t\"]\n",
    );
    assert!(found.contains("line 8, column 1: archive.roll.lateness: "), "{found}");
}
