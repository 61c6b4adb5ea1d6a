//! The threads on which the client library of HDFS runs.
//!
//! hdfs-native logs in to Kerberos with a library that blocks its thread for as long as the KDC
//! does not answer. On the runtime of the process that would silence HTTP, heartbeats and timers.
//! So every call of the library runs on a runtime of its own, and whoever waits for such a call
//! waits on the runtime that it runs on itself: there, deadlines hold whatever the library does.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// A client logs in to a NameNode once at a time, so each client that waits for a KDC takes one of
/// these threads.
const THREADS: usize = 8;

/// Started with the first root in HDFS; it ends with the process.
static STORE: LazyLock<Result<Runtime, String>> =
    LazyLock::new(|| start(THREADS).map_err(|e| e.to_string()));

fn start(threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).thread_name("store").enable_all().build()
}

/// The runtime of the store's client.
///
/// # Errors
/// The system gives no threads.
pub(super) fn of_the_store() -> Result<Handle, String> {
    match &*STORE {
        Ok(runtime) => Ok(runtime.handle().clone()),
        Err(e) => Err(format!("no threads for the store's client: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::clients::store::error::{ErrorKind, StoreError};
    use crate::clients::store::tasks::within;

    const BLOCKED: Duration = Duration::from_secs(2);
    const DEADLINE: Duration = Duration::from_millis(200);

    async fn blocking() -> Result<(), StoreError> {
        std::thread::sleep(BLOCKED);
        Ok(())
    }

    /// On one thread, as a daemon with one core has it.
    #[tokio::test]
    async fn a_call_that_blocks_its_thread_delays_nothing_else() {
        let store = of_the_store().expect("threads");
        let begun = Instant::now();
        // More calls than threads: all block, or wait for one that does.
        let calls = (0..2 * THREADS).map(|_| within(&store, DEADLINE, "list", "/p", blocking()));
        let mut calls = std::pin::pin!(futures_util::future::join_all(calls));
        let mut ticks = 0;
        let answers = loop {
            tokio::select! {
                answers = &mut calls => break answers,
                () = tokio::time::sleep(Duration::from_millis(5)) => ticks += 1,
            }
        };
        assert!(begun.elapsed() < BLOCKED / 2, "deadlines: {:?}", begun.elapsed());
        assert!(10 <= ticks, "the caller's runtime went on: {ticks}");
        for answer in answers {
            let error = answer.expect_err("a deadline");
            assert_eq!(error.kind, ErrorKind::Unknown);
            assert!(error.detail.contains("no answer within"), "{error}");
        }
        assert_eq!(store.metrics().num_workers(), THREADS);
        let after = within(&store, 3 * BLOCKED, "list", "/p", async { Ok(7) }).await;
        assert_eq!(after.expect("a thread is free again"), 7);
    }
}
