//! `alluvium generate`: what is made of the program's own code, for packages and editors.

use std::path::{Path, PathBuf};

use clap::{Command, Subcommand};
use clap_complete::Shell;

use crate::common::config::json_schema;
use crate::outside::cli::output::{complain, say};

/// What is made.
#[derive(Subcommand, Debug)]
pub(super) enum Generate {
    /// Write the man pages and completions of all commands into a directory.
    ///
    /// Example: alluvium generate package target/package
    Package {
        /// The directory; it is created if it does not exist.
        directory: PathBuf,
    },
    /// Print the JSON Schema of configuration files, with which editors complete and check them.
    ///
    /// Example: alluvium generate schema > alluvium.schema.json
    Schema,
}

impl Generate {
    /// Writes the files, or prints the schema.
    pub(super) fn main(&self, commands: Command) -> u8 {
        match self {
            Generate::Package { directory } => match write(commands, directory) {
                Ok(()) => 0,
                Err(e) => {
                    complain(&format!("can't write to {}: {e}", directory.display()));
                    1
                }
            },
            Generate::Schema => {
                say(&format!("{:#}", json_schema()));
                0
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
