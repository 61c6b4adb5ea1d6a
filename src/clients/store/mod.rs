//! Where files live: a small trait over HDFS and a local directory.
//!
//! Paths are relative to the root that a store was opened on. Three promises, on which the
//! protocol rests:
//!
//! * [`Store::rename`] never overwrites: put-if-absent, decided by the store itself.
//! * Every call answers within its deadline. An answer of [`ErrorKind::Unknown`] means that the
//!   call may have happened, may not have, or may happen yet: the caller looks.
//! * No operation of a client library is ever cancelled: each runs in a task of its own, and a
//!   caller that stops waiting leaves it running. Those of HDFS run on threads of their own
//!   (`threads`), because some of them block.
//!
//! `mounts` refuses a local root into parts of which no file can be renamed; `reach` tells whether
//! NameNodes listen.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod api;
mod cure;
mod error;
mod hdfs;
mod local;
mod local_modes;
pub mod measured;
mod mounts;
mod open;
mod reach;
mod tasks;
mod threads;

#[cfg(test)]
pub use api::Walked;
pub use api::{Deadlines, FileFacts, Limit, Limited, SMALL, Store, Writer};
pub use cure::with_cure;
pub use error::{ErrorKind, StoreError};
pub use mounts::refuse_mounts_below;
pub use open::{open, refused};
pub use reach::{reach, reach_one_of};
