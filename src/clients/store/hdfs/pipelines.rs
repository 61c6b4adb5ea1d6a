//! Files of HDFS while a DataNode is dead.
//!
//! hdfs-native (0.14.8) does not exclude a dead DataNode when it begins a block, and does not
//! report the node to the NameNode. With three replicas on three nodes, no new file can be written
//! until the NameNode gives the node up, after 630 s by default. A file that is open continues
//! without the node. So the *beginning* of a file is supervised here: for a while after a failure,
//! the file's first chunk is brought to every replica before anything else is written. If that
//! fails, the file is deleted and created again, at last with one replica, until the nodes that are
//! chosen are alive. When the file is closed it gets its full number of replicas, and HDFS adds the
//! missing ones (docs/decisions/0012-dead-datanodes.md).
//!
//! A file that was deleted and made again by its author, after somebody else has settled its
//! attempt, harms nobody: the ledger has passed the attempt, and its append is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::hdfs::creation::Making;
use crate::clients::store::hdfs::datanodes;
use crate::clients::store::hdfs::erasure::replicas;
use crate::clients::store::hdfs::error::classify;
use crate::clients::store::tasks::RawFile;
use crate::common::deadlines;
use crate::common::spawn::spawn_detached;

/// How long new files are supervised after a failure: longer than the NameNode takes to give a node
/// up.
const CAREFUL: Duration = Duration::from_secs(15 * 60);
/// How long new files start with one replica, before the full number is tried again.
const ALONE: Duration = Duration::from_secs(60);
/// For the first chunk to come to every replica. A pipeline with a dead node in it is not refused,
/// it stalls.
const BEGIN: Duration = deadlines::PIPELINE_BEGIN;
/// All tries together: whoever writes gives up after
/// [`crate::clients::store::api::Deadlines::data`].
const TRIES: Duration = deadlines::PIPELINE_TRIES;
/// A call that takes this long has met a node that does not answer.
const SLOW: Duration = deadlines::PIPELINE_SLOW;

/// What a client knows about the health of the DataNodes.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    health: Mutex<DataNodeHealth>,
    /// The cluster asks for logins, and no DataNode has taken anything yet.
    is_unproven: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
struct DataNodeHealth {
    failed: Option<Instant>,
    /// Since when one replica worked, and the full number did not.
    alone: Option<Instant>,
}

impl Pipelines {
    /// `is_secured`: the client logs in by Kerberos.
    pub(super) fn new(is_secured: bool) -> Pipelines {
        Pipelines { is_unproven: is_secured.into(), ..Pipelines::default() }
    }

    fn health(&self) -> parking_lot::MutexGuard<'_, DataNodeHealth> {
        self.health.lock()
    }

    /// A DataNode has taken a file.
    fn proven(&self) {
        self.is_unproven.store(false, Ordering::Relaxed);
    }

    /// What may be wrong if the first file of all ends so: DataNodes close a connection without a
    /// word where they expected another protection of the data.
    fn doubt(&self, e: &HdfsError) -> Option<String> {
        use std::io::ErrorKind as Io;
        let HdfsError::IOError(io) = e else { return None };
        let is_closed = matches!(
            io.kind(),
            Io::ConnectionReset | Io::ConnectionAborted | Io::UnexpectedEof | Io::BrokenPipe
        );
        (is_closed && self.is_unproven.load(Ordering::Relaxed)).then(|| {
            format!(
                "a DataNode has ended the connection of the first file ({io}): \
                 dfs.data.transfer.protection must be as on the DataNodes. Set hadoop_conf_dir to \
                 the cluster's hdfs-site.xml, or \"dfs.data.transfer.protection\" = \"privacy\" in \
                 [archive.hadoop]"
            )
        })
    }

    fn failed(&self, now: Instant) {
        self.health().failed = Some(now);
    }

    fn careful(&self, now: Instant) -> bool {
        self.health().failed.is_some_and(|at| now.saturating_duration_since(at) < CAREFUL)
    }

    /// Notes that a file started with all replicas, or with one; returns whether this is different
    /// from before.
    fn note_start(&self, whole: bool, now: Instant) -> bool {
        let mut health = self.health();
        let since = health.alone.filter(|at| now.saturating_duration_since(*at) < ALONE);
        let alone = (!whole).then(|| since.unwrap_or(now));
        std::mem::replace(&mut health.alone, alone).is_some() != alone.is_some()
    }

    /// The numbers of replicas to try, in this order. Nodes are chosen anew each time, so a number
    /// that failed may work the next time. Two replicas are not tried: two of three nodes that are
    /// both alive are chosen too seldom.
    fn plan(&self, wanted: u32, now: Instant) -> Vec<u32> {
        let full = match self.health().alone {
            Some(at) if now.saturating_duration_since(at) < ALONE => 0,
            Some(_) => 1,
            None => 2,
        };
        [vec![wanted; full], vec![1; 8]].concat()
    }
}

pub(super) struct HdfsFile {
    client: Arc<Client>,
    path: String,
    pipelines: Arc<Pipelines>,
    making: Making,
    /// [`None`] once the file could not be started.
    writer: Option<FileWriter>,
    /// A chunk was given to the file, so its start is over.
    written_to: bool,
    /// The number of replicas that the file is to have, if it was started with one.
    wanted: Option<u32>,
}

impl HdfsFile {
    pub(super) fn new(
        client: Arc<Client>,
        path: String,
        pipelines: Arc<Pipelines>,
        making: Making,
        writer: FileWriter,
    ) -> HdfsFile {
        let writer = Some(writer);
        HdfsFile { client, path, pipelines, making, writer, written_to: false, wanted: None }
    }

    fn error(&self, operation: &'static str, e: &HdfsError) -> StoreError {
        let error = classify(operation, &self.path, e);
        if error.kind == ErrorKind::Unknown {
            self.pipelines.failed(Instant::now());
        }
        if let Some(doubt) = self.pipelines.doubt(e) {
            return StoreError { kind: ErrorKind::Unsuitable, detail: doubt, ..error };
        }
        let HdfsError::IOError(io) = e else { return error };
        match datanodes::of_write(operation, io) {
            Some(detail) => StoreError { detail, ..error },
            None => error,
        }
    }

    fn unusable(&self) -> StoreError {
        let detail = "the file could not be started";
        StoreError::new(ErrorKind::Unknown, "write", &self.path, detail)
    }

    /// Brings the first chunk to every replica, or to one alone.
    async fn begin(&mut self, bytes: &Bytes) -> Result<(), StoreError> {
        let wanted = replicas(&self.client, &self.path).await;
        let Some(wanted) = wanted.map_err(|e| self.error("look at", &e))? else {
            // Erasure coded: its writer does without a node by itself.
            return self.append(bytes.clone()).await;
        };
        let (mut last, mut tried, started) = (self.unusable(), false, Instant::now());
        for replicas in self.pipelines.plan(wanted, started) {
            if TRIES < started.elapsed() {
                break;
            }
            let writer = match self.writer.take() {
                Some(writer) if replicas == wanted && !tried => writer,
                writer => self.again(writer, replicas).await?,
            };
            tried = true;
            match bring(writer, bytes.clone()).await {
                Ok(writer) => {
                    self.writer = Some(writer);
                    let whole = replicas == wanted;
                    self.wanted = (!whole).then_some(wanted);
                    if self.pipelines.note_start(whole, Instant::now()) {
                        let news = if whole {
                            "new files have all their replicas again"
                        } else {
                            "a DataNode does not answer: new files start with one replica, and \
                             HDFS adds the others"
                        };
                        tracing::warn!(code = "AL204", path = self.path, wanted, "{news}");
                    }
                    return Ok(());
                }
                Err((writer, e)) => {
                    self.writer = writer;
                    last = self.error("begin", &e);
                    let may_help = [ErrorKind::Unknown, ErrorKind::Other, ErrorKind::Unsuitable];
                    if !may_help.contains(&last.kind) {
                        break; // No other node would help.
                    }
                }
            }
        }
        Err(last)
    }

    /// Deletes the file and makes it again.
    async fn again(
        &self,
        writer: Option<FileWriter>,
        replicas: u32,
    ) -> Result<FileWriter, StoreError> {
        let deleted = self.client.delete(&self.path, false).await;
        if let Some(writer) = writer {
            spawn_detached("hdfs-abandon", abandon(writer));
        }
        let _ = deleted.map_err(|e| self.error("delete", &e))?;
        let made = self.making.file(&self.client, &self.path, Some(replicas)).await;
        made.map_err(|e| self.error("create", &e))
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        for bytes in apart(bytes) {
            let Some(writer) = &mut self.writer else { return Err(self.unusable()) };
            let written = watched(&self.pipelines, writer.write_bytes(bytes)).await;
            let _ = written.map_err(|e| self.error("write", &e))?;
        }
        Ok(())
    }
}

/// The client cuts files into packets of at most this size.
const PACKET: usize = 64 << 10;

/// A chunk, whose last bytes have memory of their own: the client keeps a packet that is not full
/// until the next chunk comes, and would keep all of a chunk with it.
fn apart(mut bytes: Bytes) -> Vec<Bytes> {
    let last = bytes.split_off(bytes.len().saturating_sub(PACKET));
    let last = Bytes::copy_from_slice(&last);
    [bytes, last].into_iter().filter(|part| !part.is_empty()).collect()
}

/// Writes the first chunk and waits until all replicas have it. A call of the writer must not be
/// cancelled: a late one ends by itself.
async fn bring(
    mut writer: FileWriter,
    bytes: Bytes,
) -> Result<FileWriter, (Option<FileWriter>, HdfsError)> {
    let (done, answer) = oneshot::channel();
    spawn_detached("hdfs-pipeline", async move {
        let brought = match writer.write_bytes(bytes).await {
            Ok(_) => writer.hsync().await,
            Err(e) => Err(e),
        };
        if let Err((writer, _)) = done.send((writer, brought)) {
            abandon(writer).await;
        }
    });
    match tokio::time::timeout(BEGIN, answer).await {
        Ok(Ok((writer, Ok(())))) => Ok(writer),
        Ok(Ok((writer, Err(e)))) => Err((Some(writer), e)),
        Ok(Err(_)) | Err(_) => {
            let text = format!("no answer within {} s", BEGIN.as_secs());
            Err((None, HdfsError::DataTransferError(text)))
        }
    }
}

/// An unclosed writer would keep its lease and its socket for ever. Its file is gone.
async fn abandon(mut writer: FileWriter) {
    let _ = writer.close().await;
}

/// Waits as long as it takes, and notes a call that takes too long while it does.
async fn watched<T>(pipelines: &Pipelines, call: impl Future<Output = T>) -> T {
    tokio::pin!(call);
    tokio::select! {
        answer = &mut call => return answer,
        () = tokio::time::sleep(SLOW) => pipelines.failed(Instant::now()),
    }
    call.await
}

#[async_trait]
impl RawFile for HdfsFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let first = !std::mem::replace(&mut self.written_to, true);
        if first && self.pipelines.careful(Instant::now()) {
            return self.begin(&bytes).await;
        }
        self.append(bytes).await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        let Some(writer) = &mut self.writer else { return Err(self.unusable()) };
        watched(&self.pipelines, writer.close()).await.map_err(|e| self.error("close", &e))?;
        if self.written_to {
            self.pipelines.proven();
        }
        if let Some(wanted) = self.wanted {
            let set = self.client.set_replication(&self.path, wanted).await;
            let _ = set.map_err(|e| self.error("set the replication of", &e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_may_keep_does_not_keep_the_chunk() {
        for length in [0, 1, PACKET, PACKET + 1, 1 << 20] {
            let chunk: Bytes = (0..length).map(|i| i as u8).collect();
            let parts = apart(chunk.clone());
            assert_eq!(parts.concat(), chunk);
            let Some(last) = parts.last() else { continue };
            assert!(last.len() <= PACKET && (length == 0 || parts.len() <= 2));
            let within = chunk.as_ptr_range();
            assert!(!within.contains(&last.as_ptr()), "{length}: it shares the chunk's memory");
        }
    }

    #[test]
    fn the_protection_of_data_is_doubted_until_a_file_was_written() {
        let reset = HdfsError::IOError(std::io::ErrorKind::ConnectionReset.into());
        let refused = HdfsError::IOError(std::io::ErrorKind::ConnectionRefused.into());
        assert_eq!(Pipelines::new(false).doubt(&reset), None);
        let secured = Pipelines::new(true);
        assert_eq!(secured.doubt(&refused), None);
        let said = secured.doubt(&reset).expect("a doubt");
        assert!(said.contains("dfs.data.transfer.protection"), "{said}");
        secured.proven();
        assert_eq!(secured.doubt(&reset), None);
    }

    #[test]
    fn one_replica_is_the_last_resort() {
        let (pipelines, now) = (Pipelines::default(), Instant::now());
        assert!(!pipelines.careful(now), "nothing has failed");
        pipelines.failed(now);
        assert!(pipelines.careful(now) && !pipelines.careful(now + CAREFUL));
        let full = |now| pipelines.plan(3, now).iter().take_while(|n| **n == 3).count();
        assert_eq!(pipelines.plan(3, now), [3, 3, 1, 1, 1, 1, 1, 1, 1, 1]);
        // What worked is tried at once, and the full number every minute: not put off by each file.
        assert!(pipelines.note_start(false, now));
        assert_eq!(full(now + ALONE / 2), 0);
        assert!(!pipelines.note_start(false, now + ALONE / 2), "no news");
        assert_eq!(full(now + ALONE), 1);
        assert!(!pipelines.note_start(false, now + ALONE), "no news");
        assert_eq!(full(now + ALONE * 3 / 2), 0);
        assert!(pipelines.note_start(true, now + ALONE * 2));
        assert_eq!(full(now + ALONE * 2), 2);
        assert!(!pipelines.note_start(true, now + ALONE * 2), "no news");
    }
}
