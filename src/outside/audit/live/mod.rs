//! `check --live`: what a daemon of a configuration would meet at its start.
//!
//! Nothing that counts stays of it: no topic is made, no record is sent, no group is joined, and
//! the file that is written is deleted (the directory for staged files stays).
//!
//! * `tried`: what came of one try.
//! * `all`: everything, in order.
//! * `budget`: what the mappings cost the NameNode in a day.
//! * `topics`: the topics, and the rights on them and on the group.
//! * `identities`: tickets of Kerberos, and who gives them.
//! * `roots`: a file in each root, and the room that is left.
//! * `clocks`: whether the clocks agree; `stamps`: what records tell of the brokers' clocks.

mod all;
mod budget;
mod clocks;
mod identities;
mod registry;
mod roots;
mod stamps;
mod topics;
mod tried;

pub use all::try_all;
pub use tried::{Outcome, SECTIONS, Tried};
