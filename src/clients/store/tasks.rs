//! Operations that are never cancelled, only waited for.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clients::store::api::{Deadlines, Writer};
use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::threads::awake;
use crate::common::spawn::{spawn_detached, spawn_named};

/// Runs `work` in a task of its own on the runtime `on` and waits for it, `deadline` at most. The
/// deadline is measured on the caller's runtime: it holds if the other one is blocked.
pub(super) async fn within<T: Send + 'static>(
    on: &Handle,
    deadline: Duration,
    operation: &'static str,
    path: &str,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let unknown = |detail: String| StoreError::new(ErrorKind::Unknown, operation, path, detail);
    let task = {
        let _there = on.enter();
        spawn_named("store-call", work)
    };
    match tokio::time::timeout(deadline, awake(on, task)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(join)) => Err(unknown(format!("the client library failed: {join}"))),
        Err(_) => Err(unknown(format!("no answer within {} s", deadline.as_secs_f32()))),
    }
}

/// A file of a client library, owned by its writing task.
#[async_trait]
pub(super) trait RawFile: Send + 'static {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;
    async fn close(&mut self) -> Result<(), StoreError>;
}

enum FileCommand {
    Write(Bytes),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// Chunks on their way to the store, for one file.
const CHUNKS_IN_FLIGHT: usize = 4;

/// Hands chunks to the task that owns the file.
pub(super) struct TaskWriter {
    /// Where the file's task runs.
    on: Handle,
    path: String,
    deadlines: Deadlines,
    commands: mpsc::Sender<FileCommand>,
    failure: Option<oneshot::Receiver<StoreError>>,
    /// Becomes true when the file's client was replaced.
    replaced: Option<watch::Receiver<bool>>,
}

impl TaskWriter {
    /// The file is written, and closed, by a task on the runtime `on`.
    pub(super) fn spawn(
        on: &Handle,
        path: &str,
        file: impl RawFile,
        deadlines: Deadlines,
    ) -> TaskWriter {
        let (commands, inbox) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let (failed, failure) = oneshot::channel();
        let _there = on.enter();
        spawn_detached("store-file", own(file, inbox, failed));
        let (on, failure) = (on.clone(), Some(failure));
        TaskWriter { on, path: path.into(), deadlines, commands, failure, replaced: None }
    }

    /// The same, which gives up when its client was replaced: nothing more is heard from that one.
    pub(super) fn until(self, replaced: watch::Receiver<bool>) -> TaskWriter {
        TaskWriter { replaced: Some(replaced), ..self }
    }

    /// Until there is no more to be waited for.
    async fn given_up(&self) -> String {
        let deadline = self.deadlines.data;
        let replaced = async {
            let heard = match self.replaced.clone() {
                Some(mut replaced) => replaced.wait_for(|gone| *gone).await.is_ok(),
                None => false,
            };
            if !heard {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(deadline) => {
                format!("no progress in {} s", deadline.as_secs_f32())
            }
            () = replaced => "the NameNode of this file does not answer".into(),
        }
    }

    /// What is waited for, unless that is given up first.
    async fn unless_given_up<T>(
        &self,
        operation: &'static str,
        wait: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            done = awake(&self.on, wait) => Ok(done),
            why = self.given_up() => {
                Err(StoreError::new(ErrorKind::Unknown, operation, &self.path, why))
            }
        }
    }

    async fn send(
        &mut self,
        command: FileCommand,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        match self.unless_given_up(operation, self.commands.send(command)).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(self.cause(operation).await),
        }
    }

    async fn cause(&mut self, operation: &'static str) -> StoreError {
        let stopped = StoreError::new(ErrorKind::Unknown, operation, &self.path, "writer stopped");
        match self.failure.take() {
            Some(failure) => failure.await.unwrap_or(stopped),
            None => stopped,
        }
    }
}

/// Writes until told to close. A file that fails, or whose writer was dropped, is closed all the
/// same, its outcome ignored: an unclosed one would keep its lease and its socket for ever.
async fn own(
    mut file: impl RawFile,
    mut inbox: mpsc::Receiver<FileCommand>,
    failed: oneshot::Sender<StoreError>,
) {
    while let Some(command) = inbox.recv().await {
        match command {
            FileCommand::Write(bytes) => {
                if let Err(e) = file.write(bytes).await {
                    let _ = failed.send(e);
                    drop(inbox);
                    break;
                }
            }
            FileCommand::Close(answer) => {
                let _ = answer.send(file.close().await);
                return;
            }
        }
    }
    let _ = file.close().await;
}

#[async_trait]
impl Writer for TaskWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.send(FileCommand::Write(bytes), "write").await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        let (answer, closed) = oneshot::channel();
        self.send(FileCommand::Close(answer), "close").await?;
        match self.unless_given_up("close", closed).await? {
            Ok(result) => result,
            Err(_) => Err(self.cause("close").await),
        }
    }
}
