//! Arguments that several commands take.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::clients::kafka;
use crate::clients::kerberos;
use crate::clients::store;
use crate::common::config::{Config, ConfigFault, Faulty, KeyPlaces, table_of_key};
use crate::common::files;
use crate::outside::cli::exit::{EX_CONFIG, EX_USAGE};
use crate::outside::cli::output::complain;
use crate::outside::web::{self, Asked};

/// The key of a fault that is the file's own.
const NO_FILE: &str = "(file)";

/// Which configuration.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    /// The configuration file (TOML).
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "ALLUVIUM_CONFIG",
        default_value = "/etc/alluvium/alluvium.toml"
    )]
    pub(super) config: PathBuf,
    /// The name of the instance instead of daemon.instance, by default the host's name. A second
    /// instance on one host needs a name of its own.
    #[arg(long, value_name = "NAME")]
    pub(super) instance: Option<String>,
}

impl ConfigArgs {
    /// Reads and checks; faults are printed.
    pub(super) fn load(&self) -> Result<Config, u8> {
        self.read().map_err(|text| {
            complain(&text);
            EX_CONFIG
        })
    }

    /// As [`ConfigArgs::load`], with the checks that only the client library of Kafka can make.
    pub(super) fn load_for_clients(&self) -> Result<Config, u8> {
        self.read_for_clients().map_err(|faults| {
            complain(&self.shown(&faults));
            EX_CONFIG
        })
    }

    /// As [`ConfigArgs::load_for_clients`]; the faults, each with its key and place.
    pub(super) fn read_for_clients(&self) -> Result<Config, Faulty> {
        let text = self.text().map_err(|why| Faulty(vec![ConfigFault::new(NO_FILE, why)]))?;
        let (config, mut faults) = match Config::parse_as_far(&text, self.instance.as_deref()) {
            Ok(config) => (Box::new(config), Vec::new()),
            Err((faulty, None)) => return Err(faulty),
            Err((faulty, Some(config))) => (config, faulty.0),
        };
        for fault in refused(&config, &faults) {
            let is_known = |f: &ConfigFault| f.key == fault.key && f.message == fault.message;
            if !faults.iter().any(is_known) {
                faults.push(fault);
            }
        }
        if faults.is_empty() {
            return Ok(*config);
        }
        Err(Faulty(faults).placed(&KeyPlaces::read(&text)))
    }

    /// Reads and checks; all faults, as text.
    pub(super) fn read(&self) -> Result<Config, String> {
        let text = self.text()?;
        Config::parse(&text, self.instance.as_deref()).map_err(|faults| self.shown(&faults))
    }

    fn text(&self) -> Result<String, String> {
        files::read_named_text(&self.config).map_err(|e| {
            let shown = self.config.display();
            format!("can't read {shown}: {e}; `alluvium init` writes a first configuration")
        })
    }

    fn shown(&self, faults: &Faulty) -> String {
        if let [fault] = &*faults.0
            && fault.key == NO_FILE
        {
            return fault.message.clone();
        }
        let n = faults.0.len();
        let plural = if n == 1 { "" } else { "s" };
        let tables = faults.0.iter().filter_map(|fault| table_of_key(&fault.key));
        let tables: BTreeSet<String> = tables.map(|table| format!("[{table}]")).collect();
        let more = match tables.is_empty() {
            true => String::new(),
            false => format!(
                "; the manual describes the keys in configuration.md, {}, and so does `man 5 \
                 alluvium.toml`",
                Vec::from_iter(tables).join(", ")
            ),
        };
        // The last line is a fault: who reads the end of a log reads that.
        format!("{}: {n} fault{plural}{more}\n{faults}", self.config.display())
    }

    pub(super) fn path(&self) -> &Path {
        &self.config
    }
}

/// What the clients, and the files that it names, say of a configuration. `known`: the faults that
/// were found before; what would only follow from them is not said.
fn refused(config: &Config, known: &[ConfigFault]) -> Vec<ConfigFault> {
    let mut faults = if known.iter().any(|fault| fault.key.starts_with("kafka")) {
        config.kafka.unreadable.clone()
    } else {
        kafka::take_identity(&config.kafka);
        kafka::refused(config)
    };
    faults.extend(config.memory_fault().filter(|_| known.is_empty()));
    faults.extend(config.kerberos().flat_map(kerberos::refused));
    for archive in config.archives() {
        let of_root = archive.root.refused();
        let of_client = if of_root.is_empty() { store::refused(&archive.root) } else { None };
        faults.extend(of_root.into_iter().chain(of_client));
    }
    faults.extend(web::refused(&config.daemon));
    faults
}

/// Which running daemon.
#[derive(Args, Debug)]
pub(super) struct DaemonArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Ask the instance at this address instead of the one at daemon.listen.
    #[arg(long, value_name = "http[s]://HOST:PORT")]
    pub(super) url: Option<String>,
}

impl DaemonArgs {
    /// The daemon at `--url`, or the one of the configuration.
    pub(super) fn asked(&self) -> Result<Asked, u8> {
        let asked = match &self.url {
            // A configuration that can't be read names no login.
            Some(url) => {
                let config = self.config.read().ok();
                Asked::at(url, config.as_ref().and_then(|c| c.daemon.login.as_ref()))
            }
            None => {
                let config = self.config.load()?;
                let Some(listen) = config.daemon.listen else {
                    complain("daemon.listen is \"off\": this daemon does not answer requests");
                    return Err(EX_USAGE);
                };
                Asked::here(&config, listen)
            }
        };
        asked.map_err(|text| {
            complain(&text);
            EX_CONFIG
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever mends one fault after the other starts a daemon as often.
    #[test]
    fn the_faults_of_keys_and_of_files_are_told_together() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("alluvium.toml");
        let text = r#"
            [kafka]
            bootstrap_servers = "b:1"
            group_id = "g"
            secrets = { "sasl.password" = { file = "/no/such/secret" } }
            [daemon]
            workers = 0
            web_config = "/no/such/web.yml"
            [archive]
            root = "hdfs://n:1/r"
            hadoop_conf_dir = "/no/such/directory"
            [mapping.a]
            topics_regex = "a("
            [mapping.a.wordcount]
            output_topic = "b"
            [mapping.b]
            topics = ["b"]
        "#;
        std::fs::write(&config, text).unwrap();
        let found = ConfigArgs { config, instance: None }.read_for_clients().unwrap_err();
        for key in [
            "kafka.secrets.\"sasl.password\"",
            "daemon.workers",
            "daemon.web_config",
            "archive.hadoop_conf_dir",
            "mapping.a.topics_regex",
            "mapping.a.wordcount.output_topic",
        ] {
            assert!(found.0.iter().any(|fault| fault.key == key), "{key} is not in\n{found}");
            let times = found.0.iter().filter(|fault| fault.key == key).count();
            assert_eq!(times, 1, "{key} in\n{found}");
        }
        assert!(!found.to_string().contains("^(?:"), "nobody has written that: {found}");
    }
}
