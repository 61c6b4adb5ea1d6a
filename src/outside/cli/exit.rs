//! Exit codes, as sysexits(3) has them.

/// The codes, and what they mean to whoever reads a manual page.
const MEANINGS: [Meaning; 6] = [
    (0, "All went well."),
    (
        1,
        "The daemon could not archive everything that its files held within its drain time, or \
         could not go on, as its last line says (another instance runs under its name); nothing \
         is lost, because the records are read again. A command could not begin, or could not \
         write its files.",
    ),
    (EX_USAGE, "The command was used wrongly."),
    (
        EX_DATAERR,
        "verify, recount, where, explain or status has found a problem, repair something that it \
         can't repair (what it repairs, or would repair with --apply, does not count), or ddl a \
         damaged schema in the root.",
    ),
    (
        EX_UNAVAILABLE,
        "The brokers, or the stores of all mappings, could not be reached at the start, or denied \
         a permission there; a cache of Kerberos tickets that others fill has no valid one; \
         another process listens on the port of daemon.listen; a command could not look at all \
         roots, and has found no problem in the others; check --live has found something that \
         would not work; no daemon, or no broker, answers status; the registry, or the root, does \
         not answer ddl.",
    ),
    (
        EX_CONFIG,
        "The configuration has faults or does not suit the servers; or the brokers, or the roots \
         of all mappings, refuse the login with the settings and secrets.",
    ),
];

/// A code, and what it means to whoever reads a manual page.
type Meaning = (u8, &'static str);

const WELL: Meaning = (0, "All went well.");
const HALTED: Meaning = (1, "The command could not begin.");
const UNWRITTEN: Meaning = (1, "The files could not be written.");
const WRONG_USE: Meaning = (EX_USAGE, "The command was used wrongly.");
const FAULTS: Meaning = (EX_CONFIG, "The configuration has faults.");
const SOME_ROOTS: Meaning = (
    EX_UNAVAILABLE,
    "A root could not be looked at, and the command has found no problem in the others.",
);
const NO_DAEMON: Meaning = (EX_UNAVAILABLE, "No daemon answers.");

/// The codes that each command can give, by the command's name.
const OF_COMMANDS: [(&str, &[Meaning]); 16] = [
    (
        "run",
        &[
            WELL,
            MEANINGS[1],
            WRONG_USE,
            (
                EX_UNAVAILABLE,
                "The brokers, or the stores of all mappings, could not be reached at the start, or \
                 denied a permission there; a cache of Kerberos tickets that others fill has no \
                 valid one; or another process listens on the port of daemon.listen.",
            ),
            MEANINGS[5],
        ],
    ),
    (
        "check",
        &[
            WELL,
            HALTED,
            WRONG_USE,
            (EX_UNAVAILABLE, "With --live: something would not work."),
            FAULTS,
        ],
    ),
    (
        "init",
        &[
            WELL,
            WRONG_USE,
            (EX_UNAVAILABLE, "No broker answers, or none takes this client."),
            (
                EX_CONFIG,
                "What was to be read has faults or can't be read, or the output was not written.",
            ),
        ],
    ),
    (
        "status",
        &[
            WELL,
            WRONG_USE,
            (
                EX_DATAERR,
                "A partition is stopped, or a topic is missing or matched by two mappings.",
            ),
            (
                EX_UNAVAILABLE,
                "No daemon answers, no broker answers the daemon, or the daemon has lost its \
                 group.",
            ),
            FAULTS,
        ],
    ),
    ("pause", &[WELL, WRONG_USE, NO_DAEMON, FAULTS]),
    ("resume", &[WELL, WRONG_USE, NO_DAEMON, FAULTS]),
    ("roll", &[WELL, WRONG_USE, NO_DAEMON, FAULTS]),
    (
        "verify",
        &[
            WELL,
            HALTED,
            WRONG_USE,
            (EX_DATAERR, "Something is missing, foreign or damaged, or a partition is stopped."),
            (
                EX_UNAVAILABLE,
                "A root could not be looked at, or the brokers do not answer, and the command has \
                 found no problem otherwise.",
            ),
            FAULTS,
        ],
    ),
    (
        "recount",
        &[
            WELL,
            HALTED,
            WRONG_USE,
            (EX_DATAERR, "The count of a word differs, or a file is damaged."),
            SOME_ROOTS,
            FAULTS,
        ],
    ),
    (
        "repair",
        &[
            WELL,
            HALTED,
            WRONG_USE,
            (EX_DATAERR, "A partition can't be repaired, or needs a choice."),
            (EX_UNAVAILABLE, "A root could not be looked at, or the brokers do not answer."),
            FAULTS,
        ],
    ),
    (
        "where",
        &[
            WELL,
            HALTED,
            (EX_USAGE, "The command was used wrongly, or nothing of the partition is archived."),
            (EX_DATAERR, "The offset is not archived, or not yet, or its archive is damaged."),
            SOME_ROOTS,
            FAULTS,
        ],
    ),
    (
        "explain",
        &[
            WELL,
            HALTED,
            (EX_USAGE, "The command was used wrongly, or the file is none of an archive."),
            (EX_DATAERR, "The file is missing, foreign or damaged."),
            SOME_ROOTS,
            FAULTS,
        ],
    ),
    (
        "ddl",
        &[
            WELL,
            HALTED,
            (EX_USAGE, "The command was used wrongly, or there is no such table."),
            (EX_DATAERR, "A schema that the root keeps is damaged."),
            (EX_UNAVAILABLE, "The registry, or the root, does not answer."),
            FAULTS,
        ],
    ),
    ("generate", &[WELL, UNWRITTEN, WRONG_USE]),
    ("generate-package", &[WELL, UNWRITTEN, WRONG_USE]),
    ("generate-schema", &[WELL, WRONG_USE]),
];

/// The codes of the manual page of one command; those of all commands for the page of the program.
pub fn meanings_of(page: &str) -> Vec<Meaning> {
    let command = page.strip_prefix("alluvium-").unwrap_or_default();
    let own = OF_COMMANDS.iter().find(|(name, _)| *name == command);
    own.map_or(&MEANINGS[..], |(_, codes)| *codes).to_vec()
}

/// Wrong usage.
pub const EX_USAGE: u8 = 64;
/// The archive is not what it should be, or a record is not in it.
pub const EX_DATAERR: u8 = 65;
/// A server that is needed can't be reached, or does not do what is needed.
pub const EX_UNAVAILABLE: u8 = 69;
/// The configuration has faults.
pub const EX_CONFIG: u8 = 78;
