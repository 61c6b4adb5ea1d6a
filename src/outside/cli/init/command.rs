//! What `alluvium init` asks, and what it writes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::clients::kafka::take_identity;
use crate::clients::kafka::topics::{self, NotListed};
use crate::common::config::Config;
use crate::common::files;
use crate::outside::cli::exit::{EX_CONFIG, EX_UNAVAILABLE};
use crate::outside::cli::init::connect::Sink;
use crate::outside::cli::init::draft::{Draft, quoted};
use crate::outside::cli::init::login::Login;
use crate::outside::cli::output::{complain, say};

/// Arguments of `init`.
#[derive(Args, Debug)]
pub struct Init {
    /// Ask these brokers for their topics.
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap: Option<String>,
    /// How to log in at the brokers: a file with the table `[kafka]` of a configuration, and its
    /// tables `properties`, `secrets` and `kerberos`. They are copied into what is written.
    #[arg(long, value_name = "FILE", conflicts_with = "from_connect")]
    kafka: Option<PathBuf>,
    /// The root for archives, for example hdfs://namenode:8020/data or file:///srv/archive.
    #[arg(long, value_name = "URL")]
    root: Option<String>,
    /// Convert the settings of a Kafka Connect HDFS sink (its properties, or its JSON).
    #[arg(long, value_name = "FILE")]
    from_connect: Option<PathBuf>,
    /// Write to this file, which must not exist; by default, write to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The exit code and the lines for brokers that do not list their topics.
fn not_listed(error: &NotListed) -> (u8, String) {
    let text = match error {
        NotListed::NoContact(why) => format!(
            "can't {why}\nThe addresses are those of --bootstrap, or of kafka.bootstrap_servers in \
             the file of --kafka, which also says how to log in; init needs one broker that answers"
        ),
        NotListed::Failed(why) => format!("can't {why}"),
    };
    (EX_UNAVAILABLE, text)
}

impl Init {
    pub fn main(&self) -> u8 {
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
            complain(&format!("the configuration that would be written has faults:\n{faults}"));
            return EX_CONFIG;
        }
        let Some(file) = &self.output else {
            say(text.trim_end());
            return 0;
        };
        let written =
            std::fs::File::create_new(file).and_then(|mut f| f.write_all(text.as_bytes()));
        if let Err(e) = written {
            let advice = match e.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    "; init replaces no file: name another one, or move this one away"
                }
                _ => "",
            };
            complain(&format!("can't write {}: {e}{advice}", file.display()));
            return EX_CONFIG;
        }
        let shown = file.display();
        draft.remarks.iter().for_each(|r| say(&format!("note: {r}")));
        say(&format!("{shown} was written. Next: alluvium check --config {shown}"));
        0
    }

    fn draft_of_brokers(&self) -> Result<Draft, (u8, String)> {
        let login = Login::read(self.kafka.as_deref(), self.bootstrap.as_deref())?;
        let Login { kafka, text, bootstrap } = login;
        take_identity(&kafka);
        let asked = topics::listed(&kafka);
        let mut all = asked.map_err(|e| not_listed(&e))?;
        all.retain(|(name, _)| !name.starts_with('_'));
        all.sort();
        let mut remarks = vec!["remove the topics that are not to be archived".to_string()];
        let mut list = String::from("topics = [\n");
        for (name, partitions) in &all {
            let s = if *partitions == 1 { "" } else { "s" };
            let _ = writeln!(list, "    {}, # {partitions} partition{s}", quoted(name));
        }
        if all.is_empty() {
            remarks = vec![format!(
                "{bootstrap} has no topics yet, or none that this client may see: write their names"
            )];
            list += "    \"my-topic\",\n";
        }
        list += "]";
        if self.root.is_none() {
            remarks.push("set archive.root to the directory for the records".into());
        }
        Ok(Draft {
            bootstrap,
            kafka: text,
            root: self.root.clone().unwrap_or_else(|| "hdfs://namenode:8020/data".into()),
            archive: Vec::new(),
            mapping: "records".into(),
            topics: list,
            remarks,
        })
    }

    fn draft_of_sink(&self, file: &std::path::Path) -> Result<Draft, (u8, String)> {
        let shown = file.display();
        let read = files::read_named(file).map_err(|e| e.to_string());
        let sink = read.and_then(|bytes| Sink::parse(&bytes));
        let sink = sink.map_err(|e| (EX_CONFIG, format!("{shown}: {e}")))?;
        sink.draft(self.bootstrap.clone(), self.root.clone())
            .map_err(|e| (EX_CONFIG, format!("{shown}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_that_do_not_answer_are_named() {
        let bootstrap = Some("127.0.0.1:1".to_string());
        let init = Init { bootstrap, kafka: None, root: None, from_connect: None, output: None };
        let (code, text) = init.draft_of_brokers().expect_err("nobody listens there");
        assert_eq!(code, EX_UNAVAILABLE, "{text}");
        for part in ["can't reach the brokers 127.0.0.1:1", "Is a broker up", "--bootstrap"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
