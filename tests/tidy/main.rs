//! What the house is built by, read from its source: which room may import which, how long a file,
//! a function and a line may be, and what every rule, series, dependency and task needs. Starts no
//! server and takes a second.
//!
//! Each check is a function from text to faults. A test beside it feeds it a small text that
//! breaks the rule, so that the check itself is seen to fail. No rule has an exception for a file
//! that breaks it.

mod circles;
mod clients;
mod codes;
mod decoders;
mod dependencies;
mod foreign;
mod hubs;
mod imports;
mod manual;
mod pictures;
mod purity;
mod rooms;
mod rules;
mod scripts;
mod series;
mod sizes;
mod source;
mod tasks;
mod tokens;
