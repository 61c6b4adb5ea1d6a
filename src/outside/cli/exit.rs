//! Exit codes, as sysexits(3) has them.

/// The codes, and what they mean to whoever reads a manual page.
pub const MEANINGS: [(u8, &str); 6] = [
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
         can't repair (what it repairs, or would with --apply, is none), or ddl a damaged schema \
         in the root.",
    ),
    (
        EX_UNAVAILABLE,
        "The brokers, or the stores of all mappings, could not be reached at the start, or denied \
         a permission there; another process listens on the port of daemon.listen; a command \
         could not look at all roots, and has found no problem in the others; check --live has \
         found something that would not work; no daemon, or no broker, answers status; the \
         registry, or the root, does not answer ddl.",
    ),
    (
        EX_CONFIG,
        "The configuration has faults or does not suit the servers; or the brokers, or the roots \
         of all mappings, refuse the login with the settings and secrets.",
    ),
];

/// Wrong usage.
pub const EX_USAGE: u8 = 64;
/// The archive is not what it should be, or a record is not in it.
pub const EX_DATAERR: u8 = 65;
/// A server that is needed can't be reached, or does not do what is needed.
pub const EX_UNAVAILABLE: u8 = 69;
/// The configuration has faults.
pub const EX_CONFIG: u8 = 78;
