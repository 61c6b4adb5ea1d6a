//! Named steps at which a process dies or stops on purpose: for tests of what comes after.
//!
//! The steps are part of every build, so that what is tested is what runs. The environment
//! variable `ALLUVIUM_CRASH` arms one of them for the life of a process:
//!
//! * `ALLUVIUM_CRASH=STEP:N:kill` ends the process with SIGKILL when it reaches the step for the
//!   Nth time;
//! * `ALLUVIUM_CRASH=STEP:N:stop` stops it there with SIGSTOP until it is sent SIGCONT.
//!
//! Without the variable a step costs one load of a flag, and no step is taken once a record. A
//! daemon whose variable is set says so at its start, as a warning (docs/crash-points.md).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Signal, getpid, kill_process};

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// The steps at which a test can kill or stop the process.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            pub const ALL: &[Step] = &[$(Step::$name,)*];

            /// The name in `ALLUVIUM_CRASH`.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Step::$name => $label,)* }
            }
        }
    };
}

steps! {
    /// The group's metadata is captured, nothing is assigned yet.
    AssignmentCaptured = "assignment-captured",
    /// Committed offset, log ends and topic id are read.
    StableRead = "stable-read",
    /// The genesis entry exists, and no owner has read it.
    GenesisPut = "genesis-put",
    /// The ledger was followed to its end.
    TailRead = "tail-read",
    /// A dead owner's files were published.
    RolledForward = "rolled-forward",
    /// A left-over directory is to be deleted; the delete is not sent.
    SettleDecided = "settle-decided",
    /// An attempt has a directory, and no file.
    AttemptMade = "attempt-made",
    /// A file is open, and some of its bytes are written.
    MidFile = "mid-file",
    /// All files are closed; there is no manifest.
    FilesClosed = "files-closed",
    ManifestClosed = "manifest-closed",
    /// The append is decided and not sent.
    AppendDue = "append-due",
    /// The entry stands; nothing is published.
    Appended = "appended",
    /// One file is published, others are not.
    Renamed = "renamed",
    /// All files are published; the directory is still there.
    Published = "published",
    /// Results are delivered; no offsets are in the transaction.
    ResultsProduced = "results-produced",
    /// Offsets are in the transaction; its end is not sent.
    OffsetsSent = "offsets-sent",
    /// The commit was answered Ok, and the rules do not know it yet.
    Committed = "committed",
    /// Revoked: the last transaction has ended.
    LeaveCommitted = "leave-committed",
    /// Revoked: attempts are to be discarded; no delete is sent.
    LeaveDiscarding = "leave-discarding",
    /// Stopping: everything is appended and committed.
    DrainCommitted = "drain-committed",
}

/// The variable that arms a step.
pub const VARIABLE: &str = "ALLUVIUM_CRASH";

/// What is to happen, once.
struct ArmedStep {
    step: Step,
    /// How often the step is reached until it happens.
    left: AtomicUsize,
    signal: Signal,
}

static ARMED: OnceLock<Option<ArmedStep>> = OnceLock::new();

/// Reads `ALLUVIUM_CRASH`; the step that it arms, as it was written. Called at the start of a
/// daemon: in a process that never calls this, no step is armed.
///
/// # Errors
/// The variable is set and does not read STEP:N:kill or STEP:N:stop.
pub fn arm() -> Result<Option<String>, String> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Ok(None);
    };
    let armed = ArmedStep::parse(&text)
        .ok_or_else(|| format!("{VARIABLE}={text} is not STEP:N:kill or STEP:N:stop"))?;
    // A second call finds the same variable.
    let _ = ARMED.set(Some(armed));
    Ok(Some(text))
}

/// A step is reached.
#[inline]
pub fn at(step: Step) {
    if let Some(Some(armed)) = ARMED.get()
        && armed.step == step
    {
        armed.reached();
    }
}

impl ArmedStep {
    fn parse(text: &str) -> Option<ArmedStep> {
        let mut fields = text.split(':');
        let (step, n, how) = (fields.next()?, fields.next()?, fields.next()?);
        let step = Step::ALL.iter().copied().find(|s| s.label() == step)?;
        let signal = match how {
            "kill" => Signal::KILL,
            "stop" => Signal::STOP,
            _ => return None,
        };
        let left = n.parse().ok().filter(|n| 0 < *n)?;
        fields.next().is_none().then_some(ArmedStep { step, left: AtomicUsize::new(left), signal })
    }

    #[cold]
    fn reached(&self) {
        let last = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if last == Ok(1) {
            tracing::error!(code = "AL905", step = self.step.label(), "crash point reached");
            kill_process(getpid(), self.signal).expect("a process may signal itself");
            // The signal may hit another thread first.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_whole_or_not_at_all() {
        for step in Step::ALL {
            let armed = ArmedStep::parse(&format!("{}:3:stop", step.label())).unwrap();
            assert_eq!((armed.step, armed.signal), (*step, Signal::STOP));
            assert_eq!(armed.left.into_inner(), 3);
        }
        for text in ["", "appended", "appended:1", "appended:0:kill", "appended:x:kill"] {
            assert!(ArmedStep::parse(text).is_none(), "{text}");
        }
        for text in ["nowhere:1:kill", "appended:1:term", "appended:1:kill:again"] {
            assert!(ArmedStep::parse(text).is_none(), "{text}");
        }
    }

    /// Names are what an operator types: no two steps share one.
    #[test]
    fn every_step_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = Step::ALL.iter().map(|s| s.label()).collect();
        assert_eq!(names.len(), Step::ALL.len());
    }
}
