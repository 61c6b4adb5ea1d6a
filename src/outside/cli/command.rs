//! Which commands there are.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::outside::cli::exit::EX_USAGE;
use crate::outside::cli::{
    check, ddl, explain, generate, init, locate, pause, recount, repair, run, status, verify,
    version,
};

/// Carries Kafka topics into HDFS, exactly once: counts words in windows, archives every record.
#[derive(Parser, Debug)]
#[command(name = "alluvium", version = version::short(), long_version = version::long())]
#[command(max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand, Debug)]
enum CliCommand {
    /// Run the daemon until SIGTERM or SIGINT.
    ///
    /// SIGHUP reads the configuration again: mappings, their archives and the log level change
    /// without a restart; the daemon reports what can't change. When a file of a secret or a
    /// certificate has changed, the daemon drains and starts anew in the same process.
    ///
    /// Example: alluvium run --config /etc/alluvium/alluvium.toml
    Run(run::Run),
    /// Read a configuration, report all of its faults, and show the paths that records would get.
    ///
    /// Without --live the command asks neither brokers nor stores. The exit code is 78 when the
    /// file has faults, and 69 when --live has found something that would not work.
    ///
    /// Examples: alluvium check --config alluvium.toml; alluvium check --live
    Check(check::Check),
    /// Write a first configuration, with comments.
    ///
    /// The command asks brokers for their topics, or converts the settings of a Kafka Connect HDFS
    /// sink, and names the settings that have no counterpart.
    ///
    /// Examples: alluvium init --bootstrap broker1:9092 --root hdfs://namenode:8020/data -o
    /// alluvium.toml; alluvium init --from-connect sink.properties
    Init(init::Init),
    /// Show the state of a running daemon's partitions.
    ///
    /// The page at daemon.listen shows the same. The exit code is 65 when a partition is stopped,
    /// or a topic is missing or matched by two mappings. It is 69 when no daemon answers, when no
    /// broker answers the daemon, or when the daemon has lost its group.
    ///
    /// Examples: alluvium status; alluvium status --watch; alluvium status --url
    /// http://archiver-2:9464 --json
    Status(status::Status),
    /// Pause a mapping in a running daemon, until the mapping is resumed.
    ///
    /// The daemon archives and commits what it has read, and reads nothing more of the mapping. The
    /// mapping's partitions in other instances are not paused: pause each instance on its own host.
    /// Windows of a merged count close without paused source partitions after `patience`. A restart
    /// resumes the mapping.
    ///
    /// Example: alluvium pause orders
    Pause(pause::Pause),
    /// Resume a paused mapping where it was paused.
    ///
    /// Example: alluvium resume orders
    Resume(pause::Pause),
    /// End the open files of a mapping in a running daemon, and publish them.
    ///
    /// The files of the mapping's records and of its counts are appended to the ledger within
    /// seconds, as when a limit of `archive.roll` is reached; reading goes on. The command returns
    /// before that is done: `alluvium status` shows the positions. Files of other instances stay
    /// open: run the command on each host.
    ///
    /// Example: alluvium roll orders
    Roll(pause::Pause),
    /// Check that every offset is archived once or in a named gap, and that files, ledger and
    /// brokers agree.
    ///
    /// The command reads every file, changes nothing, and works beside a running daemon. The exit
    /// code is 65 when something is missing, foreign, truncated, changed or doubled, or when a
    /// partition is stopped.
    ///
    /// Examples: alluvium verify; alluvium verify --offline --json
    Verify(verify::Verify),
    /// Recount from the raw files, and compare with the published counts in the archive.
    ///
    /// The exit code is 65 when the count of a word differs. Both sides are read from the archive:
    /// beside a running daemon the newest windows differ until their files are rolled; exclude them
    /// with --until. Windows of arrival time are not in the raw files, so for them the sums over
    /// all windows are compared.
    ///
    /// Example: alluvium recount --mapping lines --from 2026-11-22T00:00:00Z --until
    /// 2026-11-23T00:00:00Z
    Recount(recount::Recount),
    /// Show what a stopped partition needs to continue; with --apply, do it.
    ///
    /// Without a topic, the command looks at all partitions. It works beside a running daemon: the
    /// daemon at daemon.listen is informed of a repair and checks at once; any other daemon checks
    /// every 20 seconds whether a stopped partition was repaired. The exit code is 65 when a
    /// partition can't be repaired, or needs a choice.
    ///
    /// Examples: alluvium repair; alluvium repair orders 3 --apply
    Repair(repair::Repair),
    /// Show where a record is: file, row and ledger entry, or the gap and its cause.
    ///
    /// The exit code is 65 when the offset is not archived, or not yet, or when the archive is not
    /// as it should be: the answer says which, and until which offset the partition is archived.
    ///
    /// Example: alluvium where orders 3 1234567
    Where(locate::Where),
    /// Show what a file of the archive is: its ledger entry, its offsets, and whether the file has
    /// changed.
    ///
    /// Example: alluvium explain hdfs://nameservice1/data/orders/dt=2026-11-22/part-….parquet
    Explain(explain::Explain),
    /// Print the SQL statements that make a table of a mapping's files (a view in DuckDB).
    ///
    /// The command runs nothing. It asks neither brokers nor stores, but for a mapping with value =
    /// "registry", whose schema it reads from the root or from the registry. Times are TIMESTAMP,
    /// and BIGINT in Hive, whose version 3 cannot read them otherwise.
    ///
    /// Examples: alluvium ddl orders --engine spark; alluvium ddl orders --engine duckdb --root
    /// file:///srv/copy --counts
    Ddl(ddl::Ddl),
    /// For those who make packages: write man pages and completions, or print the JSON Schema.
    ///
    /// Packages already contain all of them, and nobody needs the command to run a daemon.
    #[command(subcommand)]
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// Runs what was asked for; the process's exit code.
#[must_use]
pub fn main() -> u8 {
    match Cli::try_parse() {
        Ok(cli) => match cli.command {
            CliCommand::Run(run) => run.main(),
            CliCommand::Check(check) => check.main(),
            CliCommand::Init(init) => init.main(),
            CliCommand::Generate(generate) => generate.main(Cli::command()),
            CliCommand::Status(status) => status.main(),
            CliCommand::Pause(pause) => pause.main("pause"),
            CliCommand::Roll(roll) => roll.main("roll"),
            CliCommand::Resume(resume) => resume.main("resume"),
            CliCommand::Verify(verify) => verify.main(),
            CliCommand::Recount(recount) => recount.main(),
            CliCommand::Repair(repair) => repair.main(),
            CliCommand::Where(r#where) => r#where.main(),
            CliCommand::Explain(explain) => explain.main(),
            CliCommand::Ddl(ddl) => ddl.main(),
        },
        Err(e) => {
            let _ = e.print();
            if e.use_stderr() { EX_USAGE } else { 0 }
        }
    }
}
