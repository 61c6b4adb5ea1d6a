//! What the house is built by, read from its source: which room may import which, how long a file, a
//! function and a line may be, and what every rule, series, dependency and task needs. Starts no
//! server and takes a second.
//!
//! Each check is a function from text to faults. A test beside it feeds it a small text that
//! breaks the rule, so that the check itself is seen to fail.

mod dependencies;
mod hubs;
mod imports;
mod rooms;
mod rules;
mod series;
mod sizes;
mod source;
mod tasks;
mod tokens;

/// Rules that a single file can break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    FileLength,
    FunctionLength,
    LineLength,
    Hub,
    Task,
}

/// Files that are being taken apart at this moment, with the rule that they still break. To be
/// emptied; a line whose file keeps the rule by now fails.
const BEING_REWRITTEN: &[(Rule, &str)] = &[];
