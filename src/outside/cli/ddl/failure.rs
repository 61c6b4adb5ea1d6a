//! Why there is no table.

use crate::outside::cli::exit::{EX_UNAVAILABLE, EX_USAGE};

/// A reason, and the exit code for it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    /// [`None`]: it is said already.
    pub(super) why: Option<String>,
}

impl Failure {
    /// A server that has the schema does not answer.
    pub(super) fn unavailable(why: String) -> Failure {
        Failure { code: EX_UNAVAILABLE, why: Some(why) }
    }
}

/// What was asked for is not there.
impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure { code: EX_USAGE, why: Some(why) }
    }
}
