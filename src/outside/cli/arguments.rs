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
    /// Override daemon.instance, so that one file serves every host.
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
        let config = Config::parse(&text, self.instance.as_deref())?;
        kafka::take_identity(&config.kafka);
        let mut faults = kafka::refused(&config);
        faults.extend(config.memory_fault());
        for kerberos in config.kerberos() {
            let more = kerberos::refused(kerberos);
            let more: Vec<_> = more.into_iter().filter(|f| !faults.contains(f)).collect();
            faults.extend(more);
        }
        for archive in config.archives() {
            let of_root = archive.root.refused();
            let of_client = if of_root.is_empty() { store::refused(&archive.root) } else { None };
            for fault in of_root.into_iter().chain(of_client) {
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
        faults.extend(web::refused(&config.daemon));
        if faults.is_empty() {
            return Ok(config);
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
