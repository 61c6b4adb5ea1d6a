//! `alluvium init`

mod connect;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::clients::kafka::topics;
use crate::common::config::Config;
use crate::outside::cli::{EX_CONFIG, EX_UNAVAILABLE, complain, say};
use connect::Sink;

/// Arguments of `init`.
#[derive(Args, Debug)]
pub(super) struct Init {
    /// Ask these brokers which topics there are.
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap: Option<String>,
    /// Where records are archived to, as hdfs://namenode:8020/data or file:///srv/archive.
    #[arg(long, value_name = "URL")]
    root: Option<String>,
    /// Take what a Kafka Connect HDFS sink is set to (its properties, or its JSON).
    #[arg(long, value_name = "FILE")]
    from_connect: Option<PathBuf>,
    /// Write to this file, which must not be there; without it, to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What the written configuration is made of.
#[derive(Debug)]
struct Draft {
    bootstrap: String,
    root: String,
    /// Each line of `[archive]` and below, but for the root.
    archive: Vec<String>,
    mapping: String,
    /// `topics = […]` or `topics_regex = "…"`.
    topics: String,
    /// What a person has to look at, at the head of the file.
    remarks: Vec<String>,
}

impl Init {
    pub(super) fn main(&self) -> u8 {
        let draft = match &self.from_connect {
            Some(file) => self.draft_of_sink(file),
            None => self.draft_of_brokers(),
        };
        let draft = match draft {
            Ok(draft) => draft,
            Err((code, text)) => {
                complain(&text);
                return code;
            }
        };
        let text = draft.text();
        // What is written here must be read by `run`.
        if let Err(faults) = Config::parse(&text, None) {
            complain(&format!("what would be written has faults:\n{faults}"));
            return EX_CONFIG;
        }
        let Some(file) = &self.output else {
            say(text.trim_end());
            return 0;
        };
        let written =
            std::fs::File::create_new(file).and_then(|mut f| f.write_all(text.as_bytes()));
        if let Err(e) = written {
            complain(&format!("can't write {}: {e}", file.display()));
            return EX_CONFIG;
        }
        let shown = file.display();
        draft.remarks.iter().for_each(|r| say(&format!("note: {r}")));
        say(&format!("{shown} is written. Next: alluvium check --config {shown}"));
        0
    }

    fn draft_of_brokers(&self) -> Result<Draft, (u8, String)> {
        let bootstrap = self.bootstrap.clone().ok_or_else(|| {
            let hint =
                "name brokers with --bootstrap HOST:PORT, or a sink with --from-connect FILE";
            (super::EX_USAGE, hint.to_string())
        })?;
        let asked = topics::listed(&bootstrap);
        let mut all = asked.map_err(|e| (EX_UNAVAILABLE, e.to_string()))?;
        all.retain(|(name, _)| !name.starts_with('_'));
        all.sort();
        let mut remarks = vec!["remove the topics that are not to be archived".to_string()];
        let mut list = String::from("topics = [\n");
        for (name, partitions) in &all {
            let s = if *partitions == 1 { "" } else { "s" };
            let _ = writeln!(list, "    {}, # {partitions} partition{s}", quoted(name));
        }
        if all.is_empty() {
            remarks = vec![format!("{bootstrap} has no topics yet: write their names")];
            list += "    \"my-topic\",\n";
        }
        list += "]";
        if self.root.is_none() {
            remarks.push("set archive.root to where records are to lie".into());
        }
        Ok(Draft {
            bootstrap,
            root: self.root.clone().unwrap_or_else(|| "hdfs://namenode:8020/data".into()),
            archive: Vec::new(),
            mapping: "records".into(),
            topics: list,
            remarks,
        })
    }

    fn draft_of_sink(&self, file: &std::path::Path) -> Result<Draft, (u8, String)> {
        let shown = file.display();
        let read = std::fs::read(file).map_err(|e| e.to_string());
        let sink = read.and_then(|bytes| Sink::parse(&bytes));
        let sink = sink.map_err(|e| (EX_CONFIG, format!("{shown}: {e}")))?;
        sink.draft(self.bootstrap.clone(), self.root.clone())
            .map_err(|e| (EX_CONFIG, format!("{shown}: {e}")))
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

impl Draft {
    fn text(&self) -> String {
        let mut text = String::from(
            "# Written by `alluvium init`. Every key, with its default, is in config/alluvium.toml\n\
             # (/usr/share/doc/alluvium/examples). `alluvium check` tells what is wrong with this file.\n",
        );
        for remark in &self.remarks {
            let _ = writeln!(text, "# TODO: {remark}");
        }
        let archive: String = self.archive.iter().map(|line| format!("{line}\n")).collect();
        let Draft { bootstrap, root, mapping, topics, .. } = self;
        let (bootstrap, root) = (quoted(bootstrap), quoted(root));
        let _ = write!(
            text,
            r#"
[kafka]
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

[daemon]
workers = 2
memory = "1GiB"
listen = "127.0.0.1:9464"          # /metrics and the status page

[archive]
root = {root}
{archive}
[mapping.{mapping}]
{topics}
# Where a partition starts that was never read: "earliest", "latest" or a time.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_the_result_is_read() {
        let draft = Draft {
            bootstrap: "b:9092".into(),
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
