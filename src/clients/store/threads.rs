//! The threads on which the client library of HDFS runs.
//!
//! hdfs-native logs in to Kerberos with a library that blocks its thread for as long as the KDC
//! does not answer. On the runtime of the process that would silence HTTP, heartbeats and timers.
//! So every call of the library runs on a runtime of its own, and whoever waits for such a call
//! waits on the runtime that it runs on itself: there, deadlines hold whatever the library does.
//!
//! One thread of a runtime waits for its sockets and timers while the others sleep. If the task
//! that this thread wakes for blocks it, no other thread takes its place before something wakes
//! one: until then no answer of any NameNode or DataNode is heard. So whoever waits for long gives
//! the runtime something to do ([`awake`]).

use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::common::spawn::spawn_named;

/// How long an answer may take before the threads are woken, and the pause between two such calls.
const NUDGE: Duration = Duration::from_millis(250);

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

/// Waits for what the runtime `on` does, and sees to it that one of its threads listens to sockets
/// and timers, even if the one that did so is blocked.
pub(super) async fn awake<T>(on: &Handle, wait: impl Future<Output = T>) -> T {
    tokio::pin!(wait);
    let mut nudge: Option<JoinHandle<()>> = None;
    loop {
        match tokio::time::timeout(NUDGE, &mut wait).await {
            Ok(done) => return done,
            // While all threads are blocked, one waits for them.
            Err(_) if nudge.as_ref().is_some_and(|last| !last.is_finished()) => {}
            Err(_) => {
                let _there = on.enter();
                nudge = Some(spawn_named("store-nudge", std::future::ready(())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

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

    /// A connection; its end on the store's runtime is the second one.
    async fn connection(store: &Handle) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let far = within(store, DEADLINE, "connect to", "/p", async move {
            Ok(TcpStream::connect(at).await.expect("connected"))
        });
        let (far, near) = tokio::join!(far, listener.accept());
        (near.expect("a connection").0, far.expect("connected"))
    }

    /// The answer of one server is heard while a login blocks the thread that listened.
    #[tokio::test]
    async fn a_login_that_blocks_delays_no_answer_of_others() {
        let store = start(THREADS).expect("threads");
        let on = store.handle();
        let (mut of_login, mut at_login) = connection(on).await;
        let (mut of_other, mut at_other) = connection(on).await;
        let login = within(on, 3 * BLOCKED, "list", "/p", async move {
            let _ = at_login.read_u8().await.expect("a byte");
            blocking().await
        });
        let other = within(on, 3 * BLOCKED, "list", "/p", async move {
            Ok(at_other.read_u8().await.expect("a byte"))
        });
        let answers = async {
            // All threads sleep, and one of them listens.
            tokio::time::sleep(NUDGE / 2).await;
            of_login.write_u8(1).await.expect("sent");
            // It blocks.
            tokio::time::sleep(NUDGE / 4).await;
            of_other.write_u8(2).await.expect("sent");
            Instant::now()
        };
        let timed = async { (other.await, Instant::now()) };
        let (login, (other, heard), sent) = tokio::join!(login, timed, answers);
        assert_eq!(other.expect("an answer"), 2);
        login.expect("it ends");
        let late = heard.saturating_duration_since(sent);
        assert!(late < BLOCKED / 2, "the answer was heard after {late:?}");
        store.shutdown_background();
    }
}
