//! The life of the daemon's process, and what it shows of itself.
//!
//! * `run`: what is opened at the start, what runs beside the workers, and how it ends.
//! * `active`: the configuration that is in force, with the stores that it opened; `reload` lets
//!   another one take its place.
//! * `health`: what the parts of the daemon share, and what people are told of it.
//! * `beginnings`: what existed before the group began.
//! * `ends`: where logs end.
//! * `cut_off`: clients that reach no broker, although a new client does.
//! * `roots` and `topics`: what stores and brokers have to say, at the start and later; `written`
//!   has the topics that the daemon makes itself, and `retention` how long brokers keep records
//!   (`moving`: by size).
//! * `abandoned`: what dead owners have left of partitions that no broker has any more.
//! * `patterns`: mappings whose `topics_regex` matches nothing.
//! * `refused`: topics that the brokers do not let this client see.
//! * `secrets`: the files of secrets and certificates, and what happens when they change.
//! * `held`: mappings that can't run now, and do not hold up the others.
//! * `admin`, `unavailable`: the clients that ask for settings, and the errors of a start.
//! * `http`, `page`, `connections`: what is answered, and to whom.
//! * `systemd`, `kerberos`: the surroundings.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod abandoned;
mod active;
mod admin;
mod beginnings;
mod connections;
mod cut_off;
mod ends;
#[cfg(test)]
mod examples;
mod health;
mod held;
mod http;
mod kerberos;
mod moving;
mod page;
mod patterns;
mod refused;
mod reload;
mod retention;
pub(crate) mod roots;
mod run;
mod secrets;
mod systemd;
pub(crate) mod topics;
mod unavailable;
mod written;

pub(crate) use http::COMMAND;
pub use reload::SetLog;
pub use run::{Launch, run};
pub use secrets::pause_after_refusal;
pub use unavailable::{LoginRefused, Misconfigured, StartAgain, Unavailable};
