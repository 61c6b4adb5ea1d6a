//! What a worker hears of an attempt that readers see.

use crate::pure::protocol::{AttemptId, Entry};

/// An attempt that readers see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    pub id: AttemptId,
    pub files: usize,
    /// The sum of the bytes of all files.
    pub bytes: u64,
    /// The rule that ended the attempt.
    pub roll: String,
}

impl Published {
    /// Of an entry that stands.
    pub(super) fn of(entry: &Entry) -> Published {
        Published {
            id: entry.attempt,
            files: entry.files.len(),
            bytes: entry.files.iter().map(|f| f.bytes).sum(),
            roll: entry.roll.clone().unwrap_or_default(),
        }
    }
}
