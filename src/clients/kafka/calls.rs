//! Calls of the producer: each has a deadline, and one that is refused for now is repeated.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use crate::clients::kafka::error::TransactionError;
use crate::common::deadlines::PRODUCER_CALL_OVERDUE as OVERDUE;
use crate::common::retry::{self, Pauses};
use crate::common::spawn::thread_detached;

/// Runs a call of the client on a thread of its own. A call that does not return in time is
/// abandoned, with everything that it holds.
pub(super) fn within<T: Send + 'static>(
    step: &'static str,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TransactionError> {
    let (done, answer) = sync_channel(1);
    let run = move || {
        let _ = done.send(call());
    };
    thread_detached("producer-call", run).map_err(|e| TransactionError::doubt(step, e))?;
    let late =
        |_| TransactionError::doubt(step, "the client library does not return from its call");
    answer.recv_timeout(OVERDUE).map_err(late)
}

/// The brokers need a moment: each try costs them a request, and here a thread.
const PAUSES: Pauses = Pauses { first: Duration::from_millis(50), longest: Duration::from_secs(1) };

/// What one try of a step came to.
pub(super) struct Refused {
    /// The client says that the same call may do.
    pub(super) again: bool,
    pub(super) error: TransactionError,
}

impl From<TransactionError> for Refused {
    fn from(error: TransactionError) -> Refused {
        Refused { again: false, error }
    }
}

/// Repeats a step while the client says that it may do later.
pub(super) fn patiently(
    deadline: Instant,
    call: impl FnMut() -> Result<(), Refused>,
) -> Result<(), TransactionError> {
    retry::until(deadline, PAUSES, |e: &Refused| e.again, call).map_err(|e| e.error)
}
