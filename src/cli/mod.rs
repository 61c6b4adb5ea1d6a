//! The command line. One file a command; exit codes are those of sysexits(3).

mod check;
mod run;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

/// Wrong usage.
pub const EX_USAGE: u8 = 64;
/// A server that is needed is not to be had.
pub const EX_UNAVAILABLE: u8 = 69;
/// The configuration has faults.
pub const EX_CONFIG: u8 = 78;

/// Carries Kafka topics into HDFS, exactly once: counts words in windows, archives every record.
#[derive(Parser, Debug)]
#[command(name = "alluvium", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT.
    ///
    /// Example: alluvium run --config /etc/alluvium/alluvium.toml
    Run(run::Run),
    /// Read a configuration, report all of its faults, and show the paths that records would get.
    ///
    /// Touches neither brokers nor stores. Example: alluvium check --config config/tutorial.toml
    Check(check::Check),
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
        let shown = self.config.display();
        let text = std::fs::read_to_string(&self.config).map_err(|e| {
            complain(&format!("can't read {shown}: {e}"));
            EX_CONFIG
        })?;
        Config::parse(&text, self.instance.as_deref()).map_err(|faults| {
            let n = faults.0.len();
            complain(&format!("{shown}: {n} fault{}\n{faults}", if n == 1 { "" } else { "s" }));
            EX_CONFIG
        })
    }

    fn path(&self) -> &Path {
        &self.config
    }
}

/// Runs what was asked for; the process's exit code.
#[must_use]
pub fn main() -> u8 {
    match Cli::try_parse() {
        Ok(cli) => match cli.command {
            Command::Run(run) => run.main(),
            Command::Check(check) => check.main(),
        },
        Err(e) => {
            let _ = e.print();
            if e.use_stderr() { EX_USAGE } else { 0 }
        }
    }
}

#[allow(clippy::print_stderr)]
fn complain(text: &str) {
    eprintln!("alluvium: {}", text.trim_end());
}

#[allow(clippy::print_stdout)]
fn say(text: &str) {
    println!("{text}");
}
