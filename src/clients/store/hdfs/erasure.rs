//! Erasure coding: files are written only under a codec that the client library knows.
//!
//! hdfs-native writes the parity of Reed-Solomon (`rs`) under every codec. Under another one the
//! data can be read until a DataNode is lost; after that HDFS gives wrong bytes, and says nothing.
//! A file gets its policy when it is created, from the directory, and keeps it when it is renamed.
//! The library does not tell a policy's name, but it tells whether a file has one, and the space
//! that a file takes tells the number of parity units.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hdfs_native::{Client, HdfsError};
use parking_lot::Mutex;

use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::hdfs::creation::options;
use crate::clients::store::hdfs::error::classify;
use crate::common::config::ErasureCoding;

/// The first file that is created so long after the last check is checked before a byte is in it.
const LOOK: Duration = Duration::from_secs(10);

/// What is known of the policy of a root's files.
#[derive(Debug)]
pub(super) struct Erasure {
    /// What the configuration says.
    configured: Option<ErasureCoding>,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    /// When a file was looked at last, and was as it should be.
    looked: Option<Instant>,
    /// The number of parity units was compared with the configured policy.
    measured: bool,
}

impl Erasure {
    pub(super) fn new(configured: Option<ErasureCoding>) -> Erasure {
        Erasure { configured, state: Mutex::default() }
    }

    /// Whether the next file has to be checked: none was checked a moment ago.
    pub(super) fn is_due(&self) -> bool {
        self.state.lock().looked.is_none_or(|at| LOOK <= at.elapsed())
    }

    /// Checks the policy of a file that has just been created. A file that must not be written is
    /// deleted.
    ///
    /// # Errors
    /// The file has an erasure-coding policy that is not the configured one, or the NameNode does
    /// not answer.
    pub(super) async fn check(&self, client: &Client, path: &str) -> Result<(), StoreError> {
        let replicas = replicas(client, path).await;
        let replicas = replicas.map_err(|e| classify("look at", path, &e))?;
        if replicas.is_none()
            && let Err(e) = self.suits(client, path).await
        {
            let _ = client.delete(path, false).await;
            return Err(e);
        }
        self.state.lock().looked = Some(Instant::now());
        Ok(())
    }

    /// Whether the policy of this file, which has one, is the configured one.
    async fn suits(&self, client: &Client, path: &str) -> Result<(), StoreError> {
        let unsuitable = |detail| StoreError::new(ErrorKind::Unsuitable, "create", path, detail);
        let Some(configured) = &self.configured else {
            return Err(unsuitable(
                "the directory is erasure coded, and only files of the codec rs may be written: \
                 set archive.erasure_coding to the policy, such as \"RS-6-3-1024k\" (`hdfs ec \
                 -getPolicy -path` shows the policy), or use a directory that is replicated"
                    .into(),
            ));
        };
        if self.state.lock().measured {
            return Ok(());
        }
        let probe = format!("{path}.probe");
        let units = parity_units(client, &probe).await;
        let _ = client.delete(&probe, false).await;
        let units = units.map_err(|e| classify("write", &probe, &e))?;
        if units != configured.parity {
            return Err(unsuitable(format!(
                "the directory's erasure-coding policy has {units} parity units, and {:?}, as \
                 archive.erasure_coding says, has {}: `hdfs ec -getPolicy -path` shows the policy",
                configured.policy, configured.parity
            )));
        }
        self.state.lock().measured = true;
        Ok(())
    }
}

/// The number of replicas that a file is to have; [`None`] if it is erasure coded.
///
/// The NameNode says 1 of a file that is erasure coded, but it does not take a number of replicas
/// for such a file: it answers false.
pub(super) async fn replicas(client: &Client, path: &str) -> Result<Option<u32>, HdfsError> {
    let status = client.get_file_info(path).await?;
    let Some(replicas) = status.replication.filter(|replicas| 0 < *replicas) else {
        return Ok(None);
    };
    let taken = client.set_replication(path, replicas).await?;
    Ok(taken.then_some(replicas))
}

/// Of a file of one byte, each parity unit takes one byte, too.
async fn parity_units(client: &Client, path: &str) -> Result<u64, HdfsError> {
    let mut file = client.create(path, options()).await?;
    let _ = file.write_bytes(Bytes::from_static(b"x")).await?;
    file.close().await?;
    let summary = client.get_content_summary(path).await?;
    Ok(summary.space_consumed.saturating_sub(summary.length))
}
