//! Exit codes, as sysexits(3) has them.

/// Wrong usage.
pub const EX_USAGE: u8 = 64;
/// The archive is not what it should be, or a record is not in it.
pub const EX_DATAERR: u8 = 65;
/// A server that is needed can't be reached, or does not do what is needed.
pub const EX_UNAVAILABLE: u8 = 69;
/// The configuration has faults.
pub const EX_CONFIG: u8 = 78;
