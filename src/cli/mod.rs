//! The command line. One file a command; exit codes are those of sysexits(3).

mod check;
mod generate;
mod init;
mod log;
mod pause;
mod places;
mod recount;
mod repair;
mod run;
mod status;
mod verify;
mod version;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::audit::brokers::{Brokers, LookError, blocking};
use crate::config::Config;
use crate::daemon;
use crate::record::TopicPartition;
use crate::store::{self, Deadlines, Store, StoreError};

/// Wrong usage.
pub const EX_USAGE: u8 = 64;
/// The archive is not what it should be, or a record is not in it.
pub const EX_DATAERR: u8 = 65;
/// A server that is needed is not to be had.
pub const EX_UNAVAILABLE: u8 = 69;
/// The configuration has faults.
pub const EX_CONFIG: u8 = 78;

/// Carries Kafka topics into HDFS, exactly once: counts words in windows, archives every record.
#[derive(Parser, Debug)]
#[command(name = "alluvium", version = version::short(), long_version = version::long(), max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT.
    ///
    /// SIGHUP reads the configuration again: mappings, their archives, and what is logged change
    /// without a restart; what can't is said. Example: alluvium run --config
    /// /etc/alluvium/alluvium.toml
    Run(run::Run),
    /// Read a configuration, report all of its faults, and show the paths that records would get.
    ///
    /// Touches neither brokers nor stores. Example: alluvium check --config config/tutorial.toml
    Check(check::Check),
    /// Write a first configuration, with comments.
    ///
    /// Asks brokers for their topics, or takes over what a Kafka Connect HDFS sink is set to, and says
    /// what has no counterpart. Examples: alluvium init --bootstrap broker1:9092 --root
    /// hdfs://namenode:8020/data -o alluvium.toml; alluvium init --from-connect sink.properties
    Init(init::Init),
    /// Ask a running daemon where its partitions stand.
    ///
    /// The same as its page at daemon.listen. Exit code 65 when a partition is stopped or a topic
    /// is missing, 69 when no daemon answers. Examples: alluvium status; alluvium status --watch;
    /// alluvium status --url http://archiver-2:9464 --json
    Status(status::Status),
    /// Let a mapping stand still in a running daemon, until it is resumed.
    ///
    /// What was read is archived and committed, then nothing is read any more; its other partitions,
    /// in other instances, go on: pause each of them, on its own host. Windows of a merged count
    /// whose sources are paused elsewhere close without them after `patience`. A restart resumes.
    ///
    /// Example: alluvium pause orders
    Pause(pause::Pause),
    /// Let a paused mapping go on where it stood.
    ///
    /// Example: alluvium resume orders
    Resume(pause::Pause),
    /// Check the archive: every offset once, or in a named gap; files, ledger and brokers agree.
    ///
    /// Reads every file; changes nothing, and works beside a running daemon. Exit code 65 when
    /// something is missing, foreign, truncated, changed or doubled, or when a partition stops.
    /// Example: alluvium verify --config /etc/alluvium/alluvium.toml --json
    Verify(verify::Verify),
    /// Count the raw files anew, and compare with the published counts in the archive.
    ///
    /// Exit code 65 when a word differs. Both sides are what is archived: beside a running daemon
    /// the newest windows differ until their files are rolled; leave them out with --until.
    /// Windows of arrival time are not in the raw files: there, sums over all windows are
    /// compared. Example: alluvium recount --mapping lines --from 2026-11-22T00:00:00Z --until
    /// 2026-11-23T00:00:00Z
    Recount(recount::Recount),
    /// Show what a stopped partition needs to go on; with --apply, do it.
    ///
    /// Without a topic: all partitions. Works beside a running daemon: the one at daemon.listen is
    /// told of a repair and looks at once; any other looks again every 20 seconds. Exit code 65 when a partition can't be
    /// repaired, or needs a choice. Example: alluvium repair orders 3 --apply
    Repair(repair::Repair),
    /// Say where a record is: file, row and ledger entry, or the gap and its cause.
    ///
    /// Example: alluvium where orders 3 1234567
    Where(places::Where),
    /// Say what a file of the archive is: its ledger entry, its offsets, and whether it changed.
    ///
    /// Example: alluvium explain hdfs://nameservice1/data/orders/dt=2026-11-22/part-….parquet
    Explain(places::Explain),
    /// Write man pages and shell completions into a directory.
    ///
    /// Packages have them already. Example: alluvium generate target/package
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// Which configuration.
#[derive(Args, Debug)]
struct ConfigArgs {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE", default_value = "/etc/alluvium/alluvium.toml")]
    config: PathBuf,
    /// Overrides daemon.instance, so that one file serves every host.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
}

impl ConfigArgs {
    /// Reads and checks; faults are printed.
    fn load(&self) -> Result<Config, u8> {
        self.read().map_err(|text| {
            complain(&text);
            EX_CONFIG
        })
    }

    /// Reads and checks; all faults, as text.
    fn read(&self) -> Result<Config, String> {
        let shown = self.config.display();
        let text = std::fs::read_to_string(&self.config)
            .map_err(|e| format!("can't read {shown}: {e}; `alluvium init` writes a first one"))?;
        Config::parse(&text, self.instance.as_deref()).map_err(|faults| {
            let n = faults.0.len();
            format!("{shown}: {n} fault{}\n{faults}", if n == 1 { "" } else { "s" })
        })
    }

    fn path(&self) -> &Path {
        &self.config
    }
}

/// Which running daemon.
#[derive(Args, Debug)]
struct DaemonArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask this instance, in place of the one at daemon.listen.
    #[arg(long, value_name = "http://HOST:PORT")]
    url: Option<String>,
}

impl DaemonArgs {
    /// Where it listens.
    fn url(&self) -> Result<String, u8> {
        if let Some(url) = &self.url {
            return Ok(url.trim_end_matches('/').to_string());
        }
        match self.config.load()?.daemon.listen {
            Some(address) => Ok(reached_at(address)),
            None => {
                complain("daemon.listen is \"off\": this daemon answers nobody");
                Err(EX_USAGE)
            }
        }
    }

    fn agent(&self) -> ureq::Agent {
        agent()
    }

    fn silent(&self, url: &str, e: &ureq::Error) -> String {
        format!("no daemon answers at {url}: {e}. Is it running? (systemctl status alluvium)")
    }
}

/// How a daemon that listens there is reached from this host.
fn reached_at(mut listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{listen}")
}

fn agent() -> ureq::Agent {
    const LIMIT: Duration = Duration::from_secs(10);
    ureq::Agent::config_builder().timeout_global(Some(LIMIT)).build().into()
}

/// Runs what was asked for; the process's exit code.
#[must_use]
pub fn main() -> u8 {
    match Cli::try_parse() {
        Ok(cli) => match cli.command {
            Command::Run(run) => run.main(),
            Command::Check(check) => check.main(),
            Command::Init(init) => init.main(),
            Command::Generate(generate) => generate.main(),
            Command::Status(status) => status.main(),
            Command::Pause(pause) => pause.main("pause"),
            Command::Resume(resume) => resume.main("resume"),
            Command::Verify(verify) => verify.main(),
            Command::Recount(recount) => recount.main(),
            Command::Repair(repair) => repair.main(),
            Command::Where(r#where) => r#where.main(),
            Command::Explain(explain) => explain.main(),
        },
        Err(e) => {
            let _ = e.print();
            if e.use_stderr() { EX_USAGE } else { 0 }
        }
    }
}

/// Runs `work` on the stores of a configuration's roots, one a root.
fn on_stores(
    config: &ConfigArgs,
    work: impl AsyncFnOnce(&Arc<Config>, &[Arc<dyn Store>]) -> Result<u8, LookError>,
) -> u8 {
    let config = match config.load() {
        Ok(config) => Arc::new(config),
        Err(code) => return code,
    };
    let roots: BTreeMap<String, _> = config.archives().map(|a| (a.root.url(), &a.root)).collect();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            complain(&format!("start: {e}"));
            return 1;
        }
    };
    let done = runtime.block_on(async {
        let open = |root: &&store::Root| store::open(root, Deadlines::default());
        let stores = roots.values().map(open).collect::<Result<Vec<_>, StoreError>>()?;
        work(&config, &stores).await
    });
    done.unwrap_or_else(|e| {
        complain(&e.to_string());
        EX_UNAVAILABLE
    })
}

/// All partitions that a group of this configuration shares out.
async fn partitions(
    config: &Arc<Config>,
    brokers: &Brokers,
) -> Result<Vec<TopicPartition>, LookError> {
    let (consumer, config) = (Arc::clone(&brokers.consumer), Arc::clone(config));
    let topics = blocking(move || daemon::topics::subscription(&config, &consumer)).await?;
    brokers.partitions(topics).await
}

#[allow(clippy::print_stderr)]
fn complain(text: &str) {
    eprintln!("alluvium: {}", text.trim_end());
}

#[allow(clippy::print_stdout)]
fn say(text: &str) {
    println!("{text}");
}
