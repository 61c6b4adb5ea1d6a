//! One assigned partition as a machine: inputs go in, effects come out, time is an argument.
//!
//! ```text
//!                ┌───────────────────── everything that was read is appended ──────┐
//!                ▼                                                                 │
//!   assigned ─► Running ──── the position is out of the log's range ──► Overtaken ─┘
//!                │ ▲                                                  (attempts go first)
//!                │ └──── recovered ──── Retrying ◄── 20 s, or a repair ──┐
//!                │                       │                              │
//!                └── rules or encoder ───┴───────────────────────────► Stopped
//!
//!   any of them ─► Leaving (attempts are completed) or Left (nothing is done)
//! ```
//! The table has all transitions; [`Machine`] asserts them, in release builds too:
//!
//! | phase | may be followed by |
//! | --- | --- |
//! | Running | Overtaken, Stopped, Leaving, Left |
//! | Overtaken | Running, Stopped, Leaving, Left |
//! | Stopped | Stopped, Retrying, Leaving, Left |
//! | Retrying | Running, Stopped, Leaving, Left |
//! | Leaving | Leaving, Left |
//! | Left | nothing |
//!
//! While it is running, a partition recovers or reads, as far as its two halves are known
//! ([`crate::pure::protocol::partition`]).
//!
//! The worker, the repair, the fakes and the search all drive this code: each of them carries out
//! the [`Effect`]s in order, and hands over the answers as [`Input`]s. An answer names the
//! [`Ticket`] of its question; an answer to any other question than the one that is pending is
//! ignored, so that nothing of an earlier assignment, and nothing that was read before a doubt, is
//! believed.
//!
//! [`state`] holds the data, [`phase`] the transitions, [`recovery`] finds the positions,
//! [`reading`] decides where the client reads, [`attempts`] brings attempts into the ledger,
//! [`commit`] answers for transactions, and [`handover`] decides about what was read when the
//! assignment ends.

mod attempts;
mod commit;
mod handover;
mod message;
mod phase;
mod reading;
mod recovery;
#[cfg(test)]
mod searched;
mod state;
#[cfg(test)]
mod tests;

pub use message::{
    Cause, Effect, Input, LedgerQuestion, LogAnswer, Moment, NewEntry, PositionsAnswer, Report,
    StopReason, Ticket,
};
pub use reading::ReadStep;
pub use state::{Machine, Setup};
