//! One partition's positions and attempts while it is owned.
//!
//! Two halves, each known or unknown by itself:
//!
//! ```text
//!              stable read                       any doubt
//!   results:   unknown ───────────► P known ─────────────────► unknown
//!              ledger read                 lost, or store down
//!   archive:   unknown ───────────► A known ─────────────────► unknown
//! ```
//! Records are read from the lower of the two halves' next offsets, and each half takes only what
//! it has not taken yet. While the archive half is unknown, the results go on alone, and F does not
//! move. Doubt about the results leaves the attempts alone: put-if-absent decides about those.
//!
//! Results may need state that outlives a commit: the merge's open windows. F stays at the first
//! record that the state still needs, and after any doubt [F, P) is replayed: those records rebuild
//! the state, and publish nothing.
//!
//! [`archive_half`] and [`results_half`] hold what is known, and say what a record is for
//! ([`share`]). [`rules`] recovers both halves, [`reading`] shares out records, [`archive`] brings
//! the attempts into the ledger, [`results`] plans commits, and [`view`] answers questions.

mod archive;
mod archive_half;
mod reading;
mod results;
mod results_half;
mod rules;
#[cfg(test)]
mod searched;
mod share;
mod view;

pub use results::Plan;
pub use results_half::{KnownPosition, Published, Unsure};
pub use rules::{Partition, Sinks};
pub use share::{Append, Share, Use};
