//! Named steps at which a test build dies or stands still; in any other build, nothing.
//!
//! With the cargo feature `crash-points`, `ALLUVIUM_CRASH=STEP:N:kill` ends the process with
//! SIGKILL when it comes to a step for the Nth time, and `ALLUVIUM_CRASH=STEP:N:stop` lets it
//! stand still with SIGSTOP until somebody sends SIGCONT.

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

/// Marks a step: kills or stops the process here if the step is armed.
#[inline]
pub fn at(step: Step) {
    #[cfg(feature = "crash-points")]
    armed::at(step);
    #[cfg(not(feature = "crash-points"))]
    let _ = step;
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Step;

    struct Plan {
        step: Step,
        left: AtomicUsize,
        signal: Signal,
    }

    static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
        let text = std::env::var("ALLUVIUM_CRASH").ok()?;
        let plan = parse(&text);
        assert!(plan.is_some(), "ALLUVIUM_CRASH={text} is not STEP:N:kill or STEP:N:stop");
        plan
    });

    fn parse(text: &str) -> Option<Plan> {
        let mut fields = text.split(':');
        let (step, n, how) = (fields.next()?, fields.next()?, fields.next()?);
        let step = Step::ALL.iter().copied().find(|s| s.label() == step)?;
        let signal = match how {
            "kill" => Signal::KILL,
            "stop" => Signal::STOP,
            _ => return None,
        };
        Some(Plan { step, left: AtomicUsize::new(n.parse().ok()?), signal })
    }

    pub(super) fn at(step: Step) {
        let Some(plan) = PLAN.as_ref().filter(|p| p.step == step) else {
            return;
        };
        let last = plan.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if last == Ok(1) {
            tracing::error!(step = step.label(), "crash point reached");
            kill_process(getpid(), plan.signal).expect("a process may signal itself");
            // The signal may hit another thread first.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
