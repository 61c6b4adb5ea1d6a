//! Configurations for tests.

use crate::common::config::Config;

/// A configuration with these mappings, and with a broker and a root that nobody asks.
pub(super) fn config(mappings: &str) -> Config {
    let text = format!(
        "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
         \"file:///x\"\n{mappings}"
    );
    Config::parse(&text, Some("i")).unwrap()
}

/// One mapping that counts: topic `t`, counts in `o`.
pub(super) fn counting() -> Config {
    config("[mapping.m]\ntopics = [\"t\"]\n[mapping.m.wordcount]\noutput_topic = \"o\"")
}
