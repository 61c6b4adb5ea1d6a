//! Work beside the caller: tasks, and jobs that block. None of it ends unheard.
//!
//! A task of tokio that panics is silent, but for the panic's own line, until somebody awaits its
//! handle. So tasks are spawned here, or in a set whose results are read
//! (a test reads the sources for it).

use std::any::Any;
use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

/// What a panic said.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("panic: {0}")]
pub struct Panicked(String);

impl Panicked {
    fn of(payload: &(dyn Any + Send)) -> Panicked {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Panicked(text.unwrap_or_else(|| "without a text".into()))
    }
}

/// Runs a future to its end or to its panic. What it borrowed may be half changed after a panic:
/// the caller has to begin anew with it.
///
/// # Errors
/// It panicked.
pub async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|payload| Panicked::of(&*payload))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs the code of a library that may panic at foreign input, and writes nothing to standard error
/// if it does.
///
/// # Errors
/// It panicked.
pub fn caught_quietly<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    done.map_err(|payload| Panicked::of(&*payload))
}

/// Logs the name of a task whose panic drops this.
struct Named(&'static str);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(code = "AL901", task = self.0, "a task has panicked");
        }
    }
}

/// Spawns a task. If it panics, its name is logged.
#[expect(clippy::disallowed_methods, reason = "the one place that spawns tasks")]
pub fn spawn_named<T: Send + 'static>(
    name: &'static str,
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(async move {
        let _named = Named(name);
        task.await
    })
}

/// Spawns a task whose end is heard by other means than its handle. `tests/tidy/tasks.rs` has the
/// list of these tasks, and says by which means.
pub fn spawn_detached(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    drop(spawn_named(name, task));
}

/// Starts a thread whose end is heard by other means than its handle, as that of a task of
/// [`spawn_detached`]. If it panics, its name is logged.
///
/// # Errors
/// The system gives no thread.
pub fn thread_detached(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let run = move || {
        let _named = Named(name);
        work();
    };
    std::thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

/// Runs a job that blocks on a thread of its own. `answer` always gets what came of it, a panic
/// too; only a runtime that shuts down answers nothing.
pub fn spawn_job<T>(
    runtime: &Handle,
    name: &'static str,
    job: impl FnOnce() -> T + Send + 'static,
    answer: impl FnOnce(Result<T, Panicked>) + Send + 'static,
) {
    let job = move || {
        let done = std::panic::catch_unwind(AssertUnwindSafe(job));
        let done = done.map_err(|payload| Panicked::of(&*payload));
        if let Err(e) = &done {
            tracing::error!(code = "AL901", job = name, error = %e, "a job has panicked");
        }
        answer(done);
    };
    runtime.spawn_blocking(job);
}

/// Tasks without which the process is not whole: none of them ends by itself.
#[derive(Debug, Default)]
pub struct Essential(JoinSet<(&'static str, Result<(), Panicked>)>);

impl Essential {
    /// Spawns one more.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move { (name, caught(task).await) });
    }

    /// Waits until one of them has ended, and says which; for ever, if there is none.
    pub async fn one_ended(&mut self) -> String {
        match self.0.join_next().await {
            Some(Ok((name, Ok(())))) => format!("the task {name:?} has ended by itself"),
            Some(Ok((name, Err(panic)))) => format!("the task {name:?} has panicked: {panic}"),
            Some(Err(e)) => format!("a task has panicked: {e}"),
            None => std::future::pending().await,
        }
    }

    /// Ends all of them.
    pub fn abort(&mut self) {
        self.0.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn the_end_of_an_essential_task_is_heard_with_its_name() {
        let mut all = Essential::default();
        all.spawn("for ever", std::future::pending());
        all.spawn("dies", async { panic!("of {}", "old age") });
        assert_eq!(all.one_ended().await, "the task \"dies\" has panicked: panic: of old age");
        all.spawn("ends", async {});
        assert_eq!(all.one_ended().await, "the task \"ends\" has ended by itself");
        all.abort();
        assert!(all.one_ended().await.contains("cancelled"));
    }

    #[test]
    fn a_panic_of_a_library_is_an_error() {
        assert_eq!(caught_quietly(|| 3), Ok(3));
        assert_eq!(
            caught_quietly(|| -> () { panic!("of {}", "bounds") }).unwrap_err().to_string(),
            "panic: of bounds"
        );
        assert!(!QUIET.get(), "later panics are printed");
    }

    #[tokio::test]
    async fn a_job_that_panics_answers() {
        let (answers, received) = channel();
        let tell = move |answer| answers.send(answer).expect("it is waited for");
        let runtime = Handle::current();
        spawn_job(&runtime, "good", || 7, tell.clone());
        assert_eq!(received.recv(), Ok(Ok(7)));
        spawn_job(&runtime, "bad", || panic!("no answer"), tell);
        assert_eq!(received.recv(), Ok(Err(Panicked("no answer".into()))));
    }

    /// Tests may.
    #[test]
    fn nothing_else_spawns_a_task() {
        fn look(dir: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).expect("a directory of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() && !path.ends_with("fakes") {
                    look(&path, found);
                } else if path.is_file() && !path.ends_with("spawn.rs") {
                    let text = std::fs::read_to_string(&path).expect("UTF-8");
                    let bare = ["tokio::spawn(", "tokio::task::spawn(", "drop(runtime.spawn"];
                    if bare.iter().any(|b| text.contains(b)) {
                        found.push(path.display().to_string());
                    }
                }
            }
        }
        let mut found = Vec::new();
        look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.is_empty(), "these spawn tasks that may die unheard: {found:?}");
    }
}
