//! The text of a first configuration.

use std::fmt::Write as _;

/// What the written configuration is made of.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) bootstrap: String,
    /// The tables of `--kafka`, which are written as they are.
    pub(super) kafka: Option<String>,
    pub(super) root: String,
    /// Each line of `[archive]` and below, but for the root.
    pub(super) archive: Vec<String>,
    pub(super) mapping: String,
    /// `topics = […]` or `topics_regex = "…"`.
    pub(super) topics: String,
    /// What a person has to look at, at the head of the file.
    pub(super) remarks: Vec<String>,
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

impl Draft {
    pub(crate) fn text(&self) -> String {
        let mut text = String::from(
            "# Written by `alluvium init`. Every key, with its default, is in \
             config/alluvium.toml\n\
             # (/usr/share/doc/alluvium/examples). `alluvium check` reports all faults of this \
             file.\n",
        );
        for remark in &self.remarks {
            // A comment ends with its line, and TOML takes no other control characters either.
            let _ = writeln!(text, "# TODO: {}", remark.replace(char::is_control, " "));
        }
        let archive: String = self.archive.iter().map(|line| format!("{line}\n")).collect();
        let Draft { root, mapping, topics, .. } = self;
        let (root, kafka) = (quoted(root), self.kafka());
        let _ = write!(
            text,
            r#"
{kafka}
[daemon]
workers = 2
memory = "1GiB"
listen = "127.0.0.1:9464"          # /metrics and the status page

[archive]
root = {root}
{archive}
[mapping.{mapping}]
{topics}
# Where a partition begins that was never read: "earliest", "latest" or a time.
start = "earliest"

# Counts of words in windows, published to a topic and archived beside the records:
# [mapping.{mapping}.wordcount]
# output_topic = "{mapping}.wordcount"
# window = "1m"
"#
        );
        text
    }
}

impl Draft {
    /// The tables of the brokers.
    fn kafka(&self) -> String {
        let bootstrap = quoted(&self.bootstrap);
        self.kafka.clone().unwrap_or_else(|| {
            format!(
                r#"[kafka]
bootstrap_servers = {bootstrap}
# The consumer group; instances of one group share out the partitions.
group_id = "alluvium"
# Connection and security, in librdkafka's words:
# [kafka.properties]
# "security.protocol" = "SASL_SSL"
# "sasl.mechanism" = "SCRAM-SHA-512"
# "sasl.username" = "alluvium"
# [kafka.secrets]
# "sasl.password" = {{ credential = "kafka-password" }}
"#
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;

    #[test]
    fn names_are_quoted_and_the_result_is_read() {
        let draft = Draft {
            bootstrap: "b:9092".into(),
            kafka: None,
            root: "file:///srv/a \"b\"".into(),
            archive: vec!["format = \"jsonl\"".into()],
            mapping: "records".into(),
            topics: "topics = [\"a\"]".into(),
            remarks: vec!["look".into()],
        };
        let config = Config::parse(&draft.text(), Some("i")).unwrap();
        assert_eq!(config.archives().next().unwrap().root.url(), "file:///srv/a \"b\"");
        // What stands in comments is right, too.
        let open: String = draft
            .text()
            .lines()
            .map(|l| {
                l.strip_prefix("# ")
                    .filter(|l| l.contains(" = ") || l.starts_with('['))
                    .unwrap_or(l)
            })
            .filter(|l| !l.contains("credential"))
            .map(|l| format!("{l}\n"))
            .collect();
        let config = Config::parse(&open, Some("i")).unwrap();
        assert!(config.mappings[0].count.is_some());
    }
}
