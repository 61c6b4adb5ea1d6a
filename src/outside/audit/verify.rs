//! Archive against ledger, for everything under a root.

use std::collections::{BTreeMap, BTreeSet};

use crate::clients::store::{Store, StoreError};
use crate::engine::archive::listing::{
    Finding, FindingKind, LedgerListing, LedgerPath, staged_directory,
};
use crate::outside::audit::report::{Gap, PartitionReport, Report};
use crate::outside::audit::rows;
use crate::pure::layout::names::PRIVATE;
use crate::pure::protocol::{Entry, EntryKind, FileRef};
use crate::pure::record::{Offset, OffsetRange};

/// Told how far it is: bytes read of all bytes.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Verifies everything under a root. A daemon may go on writing meanwhile: the files are listed
/// before the ledgers are read, so that what appears in between is not taken for foreign.
///
/// # Errors
/// The store does not answer.
pub async fn verify(store: &dyn Store, progress: Progress<'_>) -> Result<Report, StoreError> {
    let mut report = Report { root: store.url().into(), ..Report::default() };
    let visible: BTreeMap<String, u64> = store.walk("").await?.into_iter().collect();
    let ledgers = LedgerListing::all(store).await?;
    let files = || ledgers.iter().flat_map(|(_, b)| &b.entries).flat_map(|e| &e.files);
    let total = files().map(|f| f.bytes).sum();
    let named: BTreeSet<String> = files().map(|f| f.path.clone()).collect();
    let mut done = 0;
    for (place, listing) in ledgers {
        let mut of = PartitionReport::new(&place, &listing);
        for entry in listing.entries.iter().filter(|e| e.kind == EntryKind::Data) {
            let mut seen = BTreeSet::new();
            for file in &entry.files {
                of.check_file(store, entry, file, &mut seen).await?;
                done += file.bytes;
                progress(done, total);
            }
            let width = (entry.to.0 - entry.from.0).unsigned_abs();
            of.holes += width.saturating_sub(entry.files.iter().map(|f| f.rows).sum());
        }
        report.partitions.push(of);
    }
    let directory = |path: &str| path.rsplit_once('/').map_or("", |(d, _)| d).to_string();
    let ours: BTreeSet<String> = named.iter().map(|path| directory(path)).collect();
    let foreign = visible.keys().filter(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let hidden = path.starts_with(PRIVATE) || name.starts_with(['_', '.']);
        let near = ours.contains(&directory(path)) || name.starts_with("part-");
        !hidden && near && !named.contains(*path)
    });
    report.findings.extend(foreign.map(|path| Finding {
        kind: FindingKind::ForeignFile,
        path: path.clone(),
        detail: "readers see the file, and no entry names it".into(),
    }));
    Ok(report)
}

impl PartitionReport {
    fn new(place: &LedgerPath, listing: &LedgerListing) -> PartitionReport {
        let topic =
            listing.entries.first().map_or_else(|| place.topic.clone(), |e| e.topic.clone());
        let gaps = listing.entries.iter().filter(|e| e.kind == EntryKind::Gap).map(|e| Gap {
            range: OffsetRange { from: e.from, to: e.to },
            cause: e.cause.clone().unwrap_or_default(),
        });
        let range = listing.start().zip(listing.end()).map(|(from, to)| OffsetRange { from, to });
        PartitionReport {
            topic,
            incarnation: place.incarnation.clone(),
            partition: place.partition.clone(),
            range,
            entries: listing.entries.len(),
            files: 0,
            rows: 0,
            bytes: 0,
            gaps: gaps.collect(),
            holes: 0,
            unpublished: 0,
            brokers: None,
            findings: listing.findings.clone(),
        }
    }

    async fn check_file(
        &mut self,
        store: &dyn Store,
        entry: &Entry,
        file: &FileRef,
        seen: &mut BTreeSet<Offset>,
    ) -> Result<(), StoreError> {
        let mut found = store.read(&file.path).await?;
        if found.is_none() {
            // Appended, not yet published? Looked at in this order, a rename in between is seen.
            let staged = format!("{}/{}", staged_directory(entry), file.staged);
            if store.length(&staged).await? == Some(file.bytes) {
                self.unpublished += 1;
                return Ok(());
            }
            found = store.read(&file.path).await?;
        }
        let Some(bytes) = found else {
            self.find(
                FindingKind::MissingFile,
                file,
                "an entry names the file, and the file is not there",
            );
            return Ok(());
        };
        self.files += 1;
        self.bytes += bytes.len() as u64;
        if bytes.len() as u64 != file.bytes {
            let detail =
                format!("the file has {} bytes, and the entry says {}", bytes.len(), file.bytes);
            self.find(FindingKind::TruncatedFile, file, detail);
            return Ok(());
        }
        let checksum = format!("{:08x}", crc32c::crc32c(&bytes));
        if checksum != file.checksum {
            let detail =
                format!("the file's CRC-32C is {checksum}, and the entry says {}", file.checksum);
            self.find(FindingKind::ChangedFile, file, detail);
            return Ok(());
        }
        match rows::offsets(&file.path, bytes) {
            Ok(offsets) => {
                self.rows += offsets.len() as u64;
                if let Some(detail) = wrong_rows(entry, file, &offsets, seen) {
                    self.find(FindingKind::WrongRows, file, detail);
                }
            }
            Err(e) => {
                self.find(FindingKind::WrongRows, file, format!("the file can't be read: {e}"))
            }
        }
        Ok(())
    }

    fn find(&mut self, kind: FindingKind, file: &FileRef, detail: impl Into<String>) {
        self.findings.push(Finding { kind, path: file.path.clone(), detail: detail.into() });
    }
}

fn wrong_rows(
    entry: &Entry,
    file: &FileRef,
    offsets: &[Offset],
    seen: &mut BTreeSet<Offset>,
) -> Option<String> {
    if offsets.len() as u64 != file.rows {
        return Some(format!(
            "the file has {} rows, and the entry says {}",
            offsets.len(),
            file.rows
        ));
    }
    for offset in offsets {
        if *offset < entry.from || entry.to <= *offset {
            return Some(format!("offset {offset} is outside of [{}, {})", entry.from, entry.to));
        }
        if !seen.insert(*offset) {
            return Some(format!("offset {offset} is in the file twice"));
        }
    }
    None
}
