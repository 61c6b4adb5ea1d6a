//! What one record is for.

use crate::pure::formats::entry::AttemptId;
use crate::pure::record::Offset;

/// What one record is for; neither of the two for a record that both halves have already.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Share {
    pub archive: Option<Append>,
    pub results: Option<Use>,
}

impl Share {
    /// Nobody takes the record.
    pub const NONE: Share = Share { archive: None, results: None };
}

/// The attempt that the archive half writes a record into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Append {
    /// The attempt that is open.
    ToOpen,
    /// A new attempt, whose range begins at `from`.
    ToNew { id: AttemptId, from: Offset },
}

/// What the results half does with a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Use {
    /// The record is counted.
    Count,
    /// The record is below P: it rebuilds the state, and publishes nothing.
    Replay,
}
