//! `alluvium generate`: what is made of the program's own code, for packages and editors.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, Subcommand};
use clap_complete::Shell;
use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::common::config::{json_schema, reference_tables};
use crate::outside::cli::exit::meanings_of;
use crate::outside::cli::output::{complain, say};

const FILES: [(&str, &str); 2] = [
    ("/etc/alluvium/alluvium.toml", "The configuration, unless --config names another file."),
    ("/usr/share/alluvium/alluvium.schema.json", "The JSON Schema of configurations, for editors."),
];

const ENVIRONMENT: [(&str, &str); 6] = [
    ("ALLUVIUM_CONFIG", "The configuration file where --config is not given."),
    ("RUST_LOG", "What is logged; overrides daemon.log."),
    ("HADOOP_CONF_DIR", "Hadoop's files where archive.hadoop_conf_dir is not set."),
    ("HADOOP_USER_NAME", "The user in an HDFS without Kerberos where archive.user is not set."),
    ("KRB5_CONFIG", "The configuration of Kerberos."),
    ("KRB5CCNAME, KRB5_CLIENT_KTNAME", "Cache and keytab where the configuration names none."),
];

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

/// What a first visitor of alluvium(1) would try, in this order.
const FIRST_STEPS: &str = "alluvium init --bootstrap broker1:9092 --root \
                           hdfs://namenode:8020/data -o alluvium.toml; alluvium check --live \
                           --config alluvium.toml; alluvium run --config alluvium.toml; alluvium \
                           status";

/// The example of alluvium.toml(5).
const SMALL: &str = "\
[kafka]
bootstrap_servers = \"broker1:9092,broker2:9092\"
group_id = \"archiver\"
[archive]
root = \"hdfs://namenode:8020/data\"
[mapping.lines]
topics = [\"lines\"]
[mapping.lines.wordcount]
output_topic = \"lines-counts\"
window = \"10s\"
";

/// The text of a command without its examples, and these, each a command line.
fn without_examples(about: &str) -> (String, Vec<String>) {
    let begin = ["Examples: ", "Example: "].iter().find_map(|word| about.split_once(word));
    let (text, examples) = begin.unwrap_or((about, ""));
    let examples = examples.split("; ").map(|e| e.split_whitespace().collect::<Vec<_>>().join(" "));
    (text.trim().to_string(), examples.filter(|e| !e.is_empty()).collect())
}

/// Takes the examples out of the texts of a command and of those below it. `all`: by the page's
/// name.
fn take_examples(command: Command, page: &str, all: &mut BTreeMap<String, Vec<String>>) -> Command {
    let about = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let (text, examples) = without_examples(&about);
    let _ = all.insert(page.to_string(), examples);
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_string()).collect();
    let command = if text.is_empty() { command } else { command.long_about(text) };
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(&name, |below| take_examples(below, &format!("{page}-{name}"), all))
    })
}

/// What all pages have behind what clap says. `name`: of the page, which the exit codes depend on.
fn sections(name: &str, examples: &[String]) -> Roff {
    let mut page = Roff::new();
    if !examples.is_empty() {
        let _ = page.control("SH", ["EXAMPLES"]);
    }
    for example in examples {
        let _ = page.control("PP", []).control("RS", ["4"]).control("nf", []);
        let _ = page.text([roman(example)]).control("fi", []).control("RE", []);
    }
    let _ = page.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in meanings_of(name) {
        let _ = page.control("TP", []).text([bold(code.to_string())]).text([roman(meaning)]);
    }
    let _ = page.control("SH", ["FILES"]);
    for (file, what) in FILES {
        let _ = page.control("TP", []).text([italic(file)]).text([roman(what)]);
    }
    let _ = page.control("SH", ["ENVIRONMENT"]);
    for (name, what) in ENVIRONMENT {
        let _ = page.control("TP", []).text([bold(name)]).text([roman(what)]);
    }
    let see = "alluvium(1), alluvium.toml(5), https://kafka.apache.org, https://hadoop.apache.org";
    let _ = page.control("SH", ["SEE ALSO"]).text([roman(see)]);
    page
}

/// alluvium.toml(5): every key, as the code reads it.
fn reference_page(commands: &Command) -> Roff {
    let mut page = Roff::new();
    let version = format!("alluvium {}", commands.get_version().unwrap_or_default());
    let _ = page.control("TH", ["alluvium.toml", "5", "", &version]);
    // Addresses are longer than what is left of a line.
    let _ = page.control("ad", ["l"]).control("nh", []);
    let _ =
        page.control("SH", ["NAME"]).text([roman("alluvium.toml - configuration of alluvium(1)")]);
    let about = "The file is TOML. alluvium check reports all of its faults at once. Durations are \
                 written as \"2s\", \"10m\" or \"1h 30m\", sizes as \"128MiB\" or \"1GB\". A key \
                 whose change needs a reload is taken at SIGHUP (systemctl reload alluvium). One \
                 whose change needs a restart stays as it was until the daemon is started again; \
                 the reload names it.";
    let _ = page.control("SH", ["DESCRIPTION"]).text([roman(about)]);
    for table in reference_tables() {
        let _ = page.control("SH", [&*format!("[{}]", table.name)]).text([roman(table.about)]);
        for key in table.keys {
            let _ = page.control("TP", []).text([bold(key.name)]);
            let default = key.default.map(|default| match default.as_str() {
                "required" => "; required".into(),
                default => format!("; default {default}"),
            });
            let example = key.example.map(|value| format!("; for example {value}"));
            let [default, example] = [default, example].map(Option::unwrap_or_default);
            let change = match key.change {
                "nothing" => "a change needs nothing".to_string(),
                needed => format!("a change needs a {needed}"),
            };
            let kind = format!("{}{default}{example}; {change}.", key.kind);
            let _ = page.text([italic(kind), roman(format!(" {}", key.words))]);
        }
    }
    end_of_reference(&mut page);
    page
}

/// What stands behind the keys of alluvium.toml(5).
fn end_of_reference(page: &mut Roff) {
    let _ = page.control("SH", ["FILES"]);
    let example = "/usr/share/doc/alluvium/examples/alluvium.toml";
    let of_example = (example, "An example with all keys, which says what each of them does.");
    for (file, what) in FILES.into_iter().chain([of_example]) {
        let _ = page.control("TP", []).text([italic(file)]).text([roman(what)]);
    }
    let about = "One topic is archived in HDFS, and its words are counted:";
    let _ = page.control("SH", ["EXAMPLES"]).text([roman(about)]);
    let _ = page.control("PP", []).control("RS", ["4"]).control("nf", []);
    for line in SMALL.lines() {
        let _ = page.text([roman(line)]);
    }
    let _ = page.control("fi", []).control("RE", []);
    let see = "alluvium(1), alluvium-check(1), alluvium-init(1), alluvium-run(1), https://toml.io";
    let _ = page.control("SH", ["SEE ALSO"]).text([roman(see)]);
}

/// Lets long addresses be broken, where troff would warn that it can't break a line.
fn with_breaks(page: &str) -> String {
    page.replace("/blob/", "\\:/blob/")
}

fn write(commands: Command, directory: &Path) -> std::io::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    // The pages of `help` would say what the others do.
    let mut command = commands.disable_help_subcommand(true);
    let mut examples = BTreeMap::new();
    let without = take_examples(command.clone(), "alluvium", &mut examples);
    let _ =
        examples.insert("alluvium".into(), without_examples(&format!("Examples: {FIRST_STEPS}")).1);
    clap_mangen::generate_to(without, &man)?;
    for page in std::fs::read_dir(&man)? {
        let path = page?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let of_page = examples.get(&name).map_or(&[][..], Vec::as_slice);
        let mut page = OpenOptions::new().append(true).open(&path)?;
        page.write_all(sections(&name, of_page).to_roff().as_bytes())?;
    }
    let reference = with_breaks(&reference_page(&command).to_roff());
    std::fs::write(man.join("alluvium.toml.5"), reference)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let _ = clap_complete::generate_to(shell, &mut command, "alluvium", &completions)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;

    #[test]
    fn long_addresses_can_be_broken() {
        assert_eq!(with_breaks("https://host/a/blob/b"), "https://host/a\\:/blob/b");
    }

    #[test]
    fn the_example_of_a_configuration_has_no_fault() {
        let faults = Config::parse(SMALL, Some("i")).err();
        assert!(faults.is_none(), "{}", faults.map(|f| f.to_string()).unwrap_or_default());
        let mut page = Roff::new();
        end_of_reference(&mut page);
        assert!(page.to_roff().contains("[mapping.lines.wordcount]"));
    }

    #[test]
    fn examples_are_a_section_of_their_own() {
        let (text, examples) = without_examples("Does it.\n\nExamples: a b; c; a\n--x \"y\"");
        assert_eq!(
            (text.as_str(), examples),
            ("Does it.", vec!["a b".into(), "c".into(), "a --x \"y\"".into()])
        );
        let (text, examples) = without_examples("Does it. Example: alluvium x");
        assert_eq!((text.as_str(), examples), ("Does it.", vec!["alluvium x".to_string()]));
        assert_eq!(without_examples("Does it."), ("Does it.".into(), Vec::new()));
    }
}
