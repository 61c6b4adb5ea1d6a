//! `alluvium generate`: man pages and completions, for packages.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::outside::cli::output::complain;

/// Arguments of `generate`.
#[derive(Args, Debug)]
pub(super) struct Generate {
    /// The directory; it is created if it does not exist.
    directory: PathBuf,
}

impl Generate {
    /// Writes the man pages and completions of all commands, and the other files of a package.
    pub(super) fn main(&self, commands: Command) -> u8 {
        match write(commands, &self.directory) {
            Ok(()) => 0,
            Err(e) => {
                complain(&format!("can't write to {}: {e}", self.directory.display()));
                1
            }
        }
    }
}

fn write(commands: Command, directory: &Path) -> std::io::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    // The pages of `help` would say what the others do.
    let mut command = commands.disable_help_subcommand(true);
    clap_mangen::generate_to(command.clone(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let _ = clap_complete::generate_to(shell, &mut command, "alluvium", &completions)?;
    }
    Ok(())
}
